"""The ordering programme among a few classes at a time, for NumPy and torch.

Each sample is solved among its targets and the rivals nearest to them; then all classes
are scored, and those that are violated join, until there are none. A proof that the few
can't be ordered holds for all.
"""
# Time O(n C^2) a round beside the small programmes, or O(n C p) from p weights a class.

import numpy as np

from minimalml.inspection._quad_attack._gram import entries, multiply
from minimalml.inspection._quad_attack._ordered_qp import OrderedQP

# Beside the targets: four rivals a target and some more are nearly always enough.
RIVALS_PER_TARGET, SPARE_RIVALS = 4, 32
# A second set is rare, more are for degenerate heads.
ROUNDS = 20


def ordered_qp(logits, targets, gram, margin, tol, max_iter, warm_start, few, xp):
    """Solve the ordering programme of each row of ``logits``.

    Arguments and results are those of `OrderedQP.solve`; ``max_iter`` counts working
    sets, and ``few`` solves one, as `compiled_few` does.
    """
    n_classes = logits.shape[1]
    row, rows = row_index(targets, xp), rows_in_class_order(targets, n_classes, xp)
    multiplier, residual = xp.zeros_like(logits), xp.zeros_like(logits[:, 0])
    if warm_start is not None:
        multiplier[row, rows] = warm_start.clip(min=0.0)
    lift = multiply(direction_of(multiplier, targets, xp), gram)
    unsolved = row[:, 0]
    status, n_iter = xp.zeros_like(unsolved), xp.zeros_like(unsolved)
    size = (1 + RIVALS_PER_TARGET) * targets.shape[1] + SPARE_RIVALS
    n_rounds = max_iter or ROUNDS
    for round_ in range(n_rounds + 1):
        part = [x[unsolved] for x in (logits, targets, multiplier, lift)]
        code = xp.zeros_like(unsolved)
        if round_:
            part[2], code, rounds = improve(
                *part, gram, margin, tol, min(size, n_classes), few, xp
            )
            part[3] = multiply(direction_of(part[2], part[1], xp), gram)
            multiplier[unsolved], lift[unsolved] = part[2], part[3]
            n_iter[unsolved] += rounds
            size += size // 4
        residual[unsolved] = kkt_residual(*part, margin, xp)
        goal = tol if round_ == n_rounds else 0.1 * tol
        is_open = (code == 0) & ~(residual[unsolved] <= goal)
        status[unsolved] = xp.where(is_open, 2, code)
        unsolved = unsolved[is_open]  # the round's one look at the host
        if len(unsolved) == 0:
            break
    u = direction_of(multiplier, targets, xp)
    u[status == 1] = 0.0
    distance = (lift * u).sum(1).clip(min=0.0)
    distance[status == 1] = residual[status == 1] = np.inf
    status = xp.asarray(status, dtype=xp.int8)
    return u, distance, multiplier[row, rows], residual, status, n_iter


def row_index(targets, xp):
    """Return the column of row numbers, which picks entries row by row."""
    return xp.arange(len(targets), device=targets.device)[:, None]


def rows_in_class_order(targets, n_classes, xp):
    """Return all classes but the first target, ascending, (n_samples, n_classes - 1)."""
    rows = xp.arange(n_classes - 1, device=targets.device)
    return rows + (rows >= targets[:, :1])


def direction_of(multiplier, targets, xp):
    """Multiply by the transposed matrix of rows; the first target's multiplier is 0."""
    row, direction, rivals = row_index(targets, xp), -multiplier, multiplier + 0.0
    rivals[row, targets] = 0.0
    chain = multiplier[row, targets[:, 1:]]
    direction[row, targets] += xp.concatenate([chain, rivals.sum(1)[:, None]], 1)
    return direction


def kkt_residual(logits, targets, multiplier, lift, margin, xp):
    """Worst violation or lack of complementarity, relative to logits and distance."""
    row, score = row_index(targets, xp), logits + lift
    gap = margin - score[row, targets[:, -1:]] + score
    follower = score[row, targets[:, 1:]]
    gap[row, targets[:, 1:]] = margin - score[row, targets[:, :-1]] + follower
    gap[row, targets[:, :1]] = 0.0
    scale = 1.0 + xp.amax(xp.abs(logits), 1)
    distance = (direction_of(multiplier, targets, xp) * lift).sum(1).clip(min=0.0)
    slack = xp.amax(xp.abs(multiplier * gap), 1) / (scale + distance)
    return xp.maximum(xp.amax(gap, 1) / scale, slack)


def improve(logits, targets, multiplier, lift, gram, margin, tol, size, few, xp):
    """Solve among the targets, active classes and best rivals: as ``few`` does."""
    row, urgency = row_index(targets, xp), logits + lift
    urgency[multiplier > 0.0] = np.inf
    urgency[row, targets] = -np.inf
    n_rivals = size - targets.shape[1]
    if xp is np:
        rivals = np.argpartition(-urgency, n_rivals - 1, axis=1)[:, :n_rivals]
    else:
        rivals = urgency.topk(n_rivals, dim=1).indices
    classes = xp.concatenate([targets, rivals], 1)
    picked, found = (row, classes), xp.zeros_like(multiplier)
    found[picked], code, rounds = few(
        logits[picked], targets.shape[1], entries(gram, classes), margin,
        multiplier[picked], 0.5 * tol,
    )  # fmt: skip
    return found, code, rounds


def compiled_few(logits, n_targets, gram, margin, multiplier, tol):
    """Solve for targets that are the first classes: multipliers, codes and rounds.

    Logits and multipliers are (n, m), matrices (n, m, m); the first class has none.
    """
    targets = np.broadcast_to(np.arange(n_targets), (len(logits), n_targets))
    solved = OrderedQP(targets, gram).solve(
        logits, margin, tol, warm_start=multiplier[:, 1:], keep=False
    )
    return np.insert(solved[2], 0, 0.0, axis=1), solved[4], solved[5]
