"""Relevance of source tasks from estimated heads, over all outputs of the target.

See Wang, Chen, Jamieson and Du (2023), arXiv 2306.02556.
"""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from minimalml.multitask._task_selector import relevance_by_strategy


def task_relevance(
    heads, is_usable, target_head, error, *, sample_cost, task_cost, **parameters
):
    """Write the target's heads with the usable heads of the sources.

    Parameters
    ----------
    heads : ndarray of shape (k, n_tasks, n_outputs)
        Source heads.

    is_usable : ndarray of bool of shape (n_tasks, n_outputs)
        Which of them can be trusted; the others get no relevance.

    target_head : ndarray of shape (k, n_outputs)
        Target heads.

    error : ndarray of shape (n_outputs,)
        Length of the error of each target head.

    sample_cost, task_cost : array-like, float or None
        Prices of tasks.

    **parameters
        As `relevance_by_strategy` takes them.

    Returns
    -------
    ndarray of shape (n_tasks,)
        Relevance: signed for one output, else the norm over all pairs of outputs.
    """
    nu = np.zeros((*is_usable.shape, len(error)))
    if not is_usable.any():
        return nu[:, 0, 0]
    owners = np.nonzero(is_usable)[0]
    prices, openings = (
        None if cost is None else np.broadcast_to(cost, len(nu))[owners]
        for cost in (sample_cost, task_cost)
    )
    columns = [
        relevance_by_strategy(
            heads[:, is_usable],
            column,
            sample_cost=prices,
            task_cost=openings,
            head_error=length,
            **parameters,
        )
        for column, length in zip(target_head.T, error, strict=True)
    ]
    nu[is_usable] = np.array(columns).T
    return nu[:, 0, 0] if nu[0].size == 1 else np.linalg.norm(nu, axis=(1, 2))


def head_error(features, targets, head):
    """Estimate the length of the error of each column of a least-squares head."""
    n_free = max(len(features) - len(head), 1)
    variance = ((targets - features @ head) ** 2).sum(axis=0) / n_free
    return np.sqrt(variance * np.trace(np.linalg.pinv(features.T @ features)))
