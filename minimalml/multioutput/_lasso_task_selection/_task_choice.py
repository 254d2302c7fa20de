"""Which sources to open when each has a price of its own, or their number is bounded.

A sparse relevance pays here: every support on the Lasso path (every support at all,
for few sources) is refitted and priced. See Wang, Chen, Jamieson and Du (2023),
arXiv 2306.02556.
"""

import warnings
from itertools import combinations
from typing import NamedTuple

import numpy as np

from minimalml.multioutput._lasso_task_selection._relevance import (
    check_heads,
    check_weights,
    relevance_path,
    units,
)

# All supports of so many sources are 4096 small least-squares fits: about 0.2 s.
EXHAUSTIVE_TASKS = 12


class TaskChoice(NamedTuple):
    """Sources chosen for a budget.

    Attributes
    ----------
    relevance : ndarray of shape (n_tasks,)
        Relevance refitted on the chosen sources, zero elsewhere.
    support : ndarray of int
        Indices of the chosen sources, rising.
    bound : float
        ``sum(sqrt(sample_cost) * |relevance|)**2 / (budget - sum of task_cost)``.
    residual : float
        Length of ``W @ relevance - w0`` over the length of ``w0``.
    """

    relevance: np.ndarray
    support: np.ndarray
    bound: float
    residual: float


def select_tasks(
    W,
    w0,
    budget=None,
    *,
    sample_cost=None,
    task_cost=None,
    max_tasks=None,
    tolerance=0.1,
):
    """Choose the sources whose samples serve the target best for the money.

    Walks the Lasso path of the columns scaled by ``1 / sqrt(sample_cost)``, refits the
    relevance on each support, and takes the support with the smallest bound on the
    excess risk. With at most 12 sources every support is tried.

    Parameters
    ----------
    W : array-like of shape (k, n_tasks)
        Source heads, one a column.

    w0 : array-like of shape (k,)
        Target head.

    budget : float, default=None
        Money for opening prices and samples together. Needed with ``task_cost`` only:
        without opening prices the choice does not depend on it.

    sample_cost : array-like of shape (n_tasks,), default=None
        Positive price of a sample of each source; None takes ones.

    task_cost : float or array-like of shape (n_tasks,), default=None
        Price, not negative, of using a source at all; None takes zeros.

    max_tasks : int, default=None
        Largest number of sources; None sets no bound.

    tolerance : float, default=0.1
        Largest accepted ``||W @ nu - w0|| / ||w0||`` (of the part of ``w0`` that the
        sources can express) after refitting.

    Returns
    -------
    TaskChoice
        ``relevance``, ``support``, ``bound`` and ``residual``.

    Raises
    ------
    ValueError
        If a price is negative, ``budget`` is missing, or no source can be afforded.

    Notes
    -----
    If no affordable support comes within ``tolerance``, the one with the smallest
    residual is taken, with a warning.

    Examples
    --------
    A single source that points the right way beats two exact ones once opening a
    source costs enough.

    >>> import numpy as np
    >>> from minimalml.multioutput import select_tasks
    >>> W = np.array([[1.0, 0.0, 0.4], [0.0, 1.0, 0.4]])
    >>> select_tasks(W, [0.5, 0.5], budget=100).support
    array([0, 1])
    >>> select_tasks(W, [0.5, 0.5], budget=100, task_cost=40).support
    array([2])
    """
    if np.ndim(w0) != 1:
        raise ValueError(f"w0 must be 1-dimensional, got {np.ndim(w0)} dimensions.")
    W, targets, give_back = check_heads(W, w0)
    n_tasks = W.shape[1]
    prices = check_weights(sample_cost, n_tasks, "sample_cost")
    openings = check_task_cost(task_cost, n_tasks)
    money = _check_money(budget, openings, max_tasks)
    unit, target_unit = units(W), units(targets)
    W, target = W / unit, targets[:, 0] / target_unit
    target = W @ np.linalg.lstsq(W, target, rcond=None)[0]
    if not target.any():
        nothing = give_back(np.zeros((n_tasks, 1)))
        return TaskChoice(nothing, np.arange(0), 0.0, float(targets.any()))
    most = min(n_tasks, len(W), max_tasks or n_tasks)
    supports = (
        _all_supports(n_tasks, most)
        if n_tasks <= EXHAUSTIVE_TASKS
        else _path_supports(W, target, np.sqrt(prices), most)
    )
    priced = (
        _price(W, target, support, np.sqrt(prices), money - openings[support].sum())
        for support in supports
        if openings[support].sum() < money
    )
    choices = [choice for choice in priced if choice is not None]
    choice = _best(choices, tolerance, openings, money)
    scale = target_unit / unit
    relevance = give_back(scale * choice.relevance[:, None])
    return choice._replace(relevance=relevance, bound=scale**2 * choice.bound)


def check_task_cost(task_cost, n_tasks):
    """Check opening prices; return one a task."""
    openings = np.asarray(0.0 if task_cost is None else task_cost, dtype=np.float64)
    if openings.ndim and openings.shape != (n_tasks,):
        raise ValueError(
            f"task_cost must be a number or hold one for each of {n_tasks} tasks, "
            f"got shape {openings.shape}."
        )
    if not (np.isfinite(openings).all() and (openings >= 0).all()):
        raise ValueError(
            f"task_cost must not be negative or infinite, got {openings.min()}."
        )
    return np.broadcast_to(openings, (n_tasks,))


def _check_money(budget, openings, max_tasks):
    if max_tasks is not None and max_tasks < 1:
        raise ValueError(f"max_tasks must be at least 1, got {max_tasks}.")
    if budget is None:
        if openings.any():
            raise ValueError("task_cost needs a budget to be weighed against.")
        return 1.0
    if not 0 < budget < np.inf:
        raise ValueError(f"budget must be positive, got {budget}.")
    return float(budget)


def _all_supports(n_tasks, most):
    sizes = range(1, most + 1)
    return (np.array(s) for size in sizes for s in combinations(range(n_tasks), size))


def _path_supports(W, target, root_prices, most):
    """Distinct supports on the path, and each truncated to its largest members."""
    path = relevance_path(W, target, weights=root_prices).relevance
    seen = set()
    for column in path.T:
        ranked = np.argsort(-np.abs(column) * root_prices, kind="stable")
        n_used = np.count_nonzero(column)
        support = np.sort(ranked[: min(n_used, most)])
        if n_used and support.tobytes() not in seen:
            seen.add(support.tobytes())
            yield support


def _price(W, target, support, root_prices, money):
    """Refit one support; None if its heads are dependent: fewer express the same."""
    heads = W[:, support]
    fitted, _, rank, _ = np.linalg.lstsq(heads, target, rcond=None)
    if rank < len(support):
        return None
    relevance = np.zeros(W.shape[1])
    relevance[support] = fitted
    residual = np.linalg.norm(heads @ fitted - target) / np.linalg.norm(target)
    bound = (root_prices[support] @ np.abs(fitted)) ** 2 / money
    return TaskChoice(relevance, support, float(bound), float(residual))


def _best(choices, tolerance, openings, money):
    if not choices:
        raise ValueError(
            f"budget must exceed the cheapest task_cost, {openings.min():g}, "
            f"got {money:g}."
        )
    close = [choice for choice in choices if choice.residual <= tolerance]
    if close:
        return min(close, key=lambda choice: choice.bound)
    best = min(choices, key=lambda choice: choice.residual)
    warnings.warn(
        f"No affordable choice of tasks expresses w0 within tolerance={tolerance:g}: "
        f"the closest leaves {best.residual:.3g} of its length; allow more tasks.",
        stacklevel=3,
    )
    return best
