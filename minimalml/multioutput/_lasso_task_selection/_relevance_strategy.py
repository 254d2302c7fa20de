"""Relevance of source tasks as an estimator's parameters ask for it.

See Wang, Chen, Jamieson and Du (2023), arXiv 2306.02556.
"""

import numpy as np

from minimalml.multioutput._lasso_task_selection._relevance import (
    check_weights,
    relevance_l1,
    relevance_l2,
    relevance_lasso,
)
from minimalml.multioutput._lasso_task_selection._relevance_path import (
    lambda_by_discrepancy,
    relevance_path,
)
from minimalml.multioutput._lasso_task_selection._task_choice import (
    check_task_cost,
    select_tasks,
)


def relevance_by_strategy(
    W,
    w0,
    strategy,
    lambda_,
    *,
    refit=False,
    max_tasks=None,
    sample_cost=None,
    task_cost=None,
    budget=None,
    head_error=0.0,
):
    """Compute the relevance of sources as the parameters of an estimator say.

    ``lambda_`` may also be "lp", or "discrepancy" with the length of the error of the
    target's head.
    """
    n_tasks = W.shape[1]
    prices = check_weights(sample_cost, n_tasks, "sample_cost")
    check_task_cost(task_cost, n_tasks)
    check_sparse(strategy, max_tasks, task_cost)
    if strategy == "l2":
        return relevance_l2(W, w0)
    if task_cost is not None or max_tasks is not None:
        return select_tasks(
            W,
            w0,
            budget,
            sample_cost=sample_cost,
            task_cost=task_cost,
            max_tasks=max_tasks,
        ).relevance
    weights = np.sqrt(prices)
    if "lp" in (strategy, lambda_):
        return relevance_l1(W, w0, weights=weights)
    is_relative = lambda_ != "discrepancy"
    if not is_relative:
        path = relevance_path(W, w0, weights=weights)
        lambda_ = lambda_by_discrepancy(path, W, w0, head_error)
    return relevance_lasso(W, w0, lambda_, is_relative, weights, refit=refit)


def check_sparse(strategy, max_tasks, task_cost):
    """Check that a strategy which is to open few tasks can leave some out."""
    # Equal shares can pay for opening all tasks; it is only few that they can't take.
    is_bounded = max_tasks is not None or (task_cost is not None and strategy == "l2")
    if is_bounded and strategy in ("l2", "uniform"):
        raise ValueError(
            f"max_tasks and task_cost need a sparse strategy, got {strategy=}, which "
            "uses every task: set strategy='lasso'."
        )


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
