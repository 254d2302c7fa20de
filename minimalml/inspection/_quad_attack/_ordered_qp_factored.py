"""The ordering programme on the CPU for heads with very many classes.

Each sample is solved among a few classes with the kernel of ``_ordered_qp.pyx``;
then all classes are scored, and those that are violated join, until there are none.
A proof that the few can't be ordered holds for all.
"""
# Time O(C p + a^2 p) a sample and round; memory O(C p + n C).

import numpy as np

from minimalml.inspection._quad_attack._ordered_qp import ordered_qp as solve_small

# Beside the targets: four rivals a target and some more are nearly always enough.
RIVALS_PER_TARGET, SPARE_RIVALS = 4, 32


def ordered_qp(
    logits,
    targets,
    gram,
    margin,
    warm_start,
    tol,
    max_iter,
    n_threads,
    start=None,
    in_place=False,
    factor=1.0,
):
    """Solve the ordering programme of each row of ``logits``.

    Arguments and results are those of the CPU kernel, but for ``gram``, a
    `FactoredGram`, and ``start``, for which there is no use.
    """
    n, n_classes = logits.shape
    u, multiplier = np.zeros((n, n_classes)), np.zeros((n, n_classes))
    not_first = np.arange(n_classes) != targets[:, :1]
    if warm_start is not None:
        multiplier[not_first] = warm_start.clip(0.0).ravel()
    lift, residual = np.zeros_like(logits), np.empty(n)
    status, n_iter = np.zeros(n, dtype=np.int8), np.zeros(n, dtype=np.intp)
    n_rivals = RIVALS_PER_TARGET * targets.shape[1] + SPARE_RIVALS
    scale = 1.0 + np.abs(logits).max(axis=1)
    classes = [np.concatenate([t, active]) for t, active in _start(targets, multiplier)]
    unsolved = np.arange(n)
    while len(unsolved):
        growing = []
        for i in unsolved:
            rivals = logits[i] + lift[i]
            gap = margin - rivals[targets[i, -1]] + rivals
            gap[classes[i]] = -np.inf
            more = np.argpartition(-gap, min(n_rivals, n_classes - 1))[:n_rivals]
            if n_iter[i]:
                more = more[gap[more] > 0.1 * tol * scale[i]]
            more = more[np.isfinite(gap[more])]
            if n_iter[i] and len(more) == 0:
                continue
            growing.append(i)
            classes[i] = few = np.concatenate([classes[i], more])
            small = solve_small(
                logits[i, few][None],
                np.arange(targets.shape[1])[None],
                gram.entries(few[None])[0],
                margin,
                multiplier[i, few[1:]][None],
                tol,
                max_iter,
                1,
            )
            u[i, few], multiplier[i, few[1:]] = small[0][0], small[2][0]
            status[i], n_iter[i] = small[4][0], n_iter[i] + max(1, small[5][0])
        lift[growing] = gram.multiply(u[growing])
        unsolved = np.array([i for i in growing if status[i] == 0], dtype=np.intp)
    distance = (u * lift).sum(axis=1).clip(0.0)
    score = logits + lift
    above = np.repeat(targets[:, -1:], n_classes, axis=1)
    np.put_along_axis(above, targets[:, 1:], targets[:, :-1], axis=1)
    gap = margin - np.take_along_axis(score, above, axis=1) + score
    np.put_along_axis(gap, targets[:, :1], -1.0, axis=1)
    slack = np.abs(multiplier * gap).max(axis=1) / (scale + distance)
    residual = np.maximum(gap.max(axis=1).clip(0.0) / scale, slack)
    status[(status != 1) & (residual > tol)] = 2
    distance[status == 1] = residual[status == 1] = np.inf
    dual = multiplier[not_first].reshape(n, n_classes - 1)
    return factor * u, distance, dual, residual, status, n_iter, None


def _start(targets, multiplier):
    """Pair each row's targets with the other classes whose rows are active."""
    for mine, values in zip(targets, multiplier, strict=True):
        yield mine, np.setdiff1d(np.flatnonzero(values), mine)
