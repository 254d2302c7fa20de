"""How many samples of which source, given how relevant each is.

The target's excess risk grows with ``sum(nu**2 / n)``; sharing a budget in proportion
to ``|nu|`` (over the root of the price) minimises it, and floors and pool sizes are
met by water-filling. See Wang, Chen, Jamieson and Du (2023), arXiv 2306.02556.
"""

import warnings
from numbers import Integral

import numpy as np
from sklearn.utils import check_array

from minimalml.multioutput._lasso_task_selection._relevance import check_per_task

# A share this close to a whole number is one: it is rounding error of the division.
WHOLE = 1e-9


def allocate_samples(
    nu, n_total, min_samples=0, exponent=1, max_samples=None, sample_cost=None
):
    """Share a budget of samples among the sources.

    ``n_t`` is proportional to ``|nu_t| ** exponent / sqrt(sample_cost_t)``, but at
    least ``min_samples`` and at most ``max_samples``; what these take or leave is
    shared among the others in proportion. O(n_tasks log n_tasks).

    Parameters
    ----------
    nu : array-like of shape (n_tasks,)
        Relevance; its sign does not matter. All zeros give equal shares, with a
        warning.
    n_total : int or float
        Number of samples, spent exactly; with ``sample_cost`` the money, spent up to
        less than the price of one more sample.
    min_samples : int or array-like of shape (n_tasks,), default=0
        Floor of each source.
    exponent : float, default=1
        1 with the smallest-L1 relevance is optimal; 2 with the smallest-L2 relevance
        is the rule of 2022.
    max_samples : int or array-like of shape (n_tasks,), default=None
        Largest number of each source (its pool); None sets no bound. Where all
        relevant pools run dry, the rest goes to the others in equal shares.
    sample_cost : array-like of shape (n_tasks,), default=None
        Positive price of a sample of each source; None counts samples.

    Returns
    -------
    ndarray of shape (n_tasks,), int64
        Number of samples of each source. Fractions are rounded by largest remainder;
        ties go to the larger relevance, then to the lower index.

    Raises
    ------
    ValueError
        If the budget is less than the floors or more than the pools allow.

    Examples
    --------
    >>> from minimalml.multioutput import allocate_samples
    >>> allocate_samples([0.6, -0.3, 0.1, 0.0], n_total=100)
    array([60, 30, 10,  0])
    >>> allocate_samples([0.6, -0.3, 0.1, 0.0], n_total=100, max_samples=40)
    array([40, 40, 20,  0])
    """
    nu = check_array(nu, ensure_2d=False, dtype=np.float64, input_name="nu")
    if nu.ndim != 1:
        raise ValueError(f"nu must be 1-dimensional, got shape {nu.shape}.")
    if not exponent > 0:
        raise ValueError(f"exponent must be positive, got {exponent!r}.")
    prices = check_per_task(sample_cost, len(nu), "sample_cost", is_positive=True)
    floors = check_counts(min_samples, len(nu), "min_samples")
    caps = check_counts(max_samples, len(nu), "max_samples")
    _check_budget(n_total, floors, caps, prices, sample_cost is not None)
    if not nu.any():
        warnings.warn("nu is all zero: samples are shared equally.", stacklevel=2)
        nu = np.ones_like(nu)
    largest = np.abs(nu).max()
    shares = (np.abs(nu) / largest) ** exponent / np.sqrt(prices)
    filled = _fill(shares, floors, caps, prices, n_total)
    return _round_to_budget(filled, caps, prices, n_total, np.abs(nu))


def excess_risk_bound(nu, n):
    """Bound the target's excess risk for a relevance and numbers of samples.

    Up to the factor ``noise**2 * n_features * rank`` and the error of the target's own
    head, which no choice of sources changes.

    Parameters
    ----------
    nu : array-like of shape (n_tasks,)
        Any relevance with ``W @ nu = w0``.
    n : array-like of shape (n_tasks,)
        Samples of each source.

    Returns
    -------
    float
        ``sum(nu**2 / n)``; infinite if a relevant source has no sample.

    Raises
    ------
    ValueError
        If shapes disagree, or a number of samples is negative.

    Examples
    --------
    >>> from minimalml.multioutput import excess_risk_bound
    >>> excess_risk_bound([0.5, -0.5, 0.0], [50, 50, 0])
    0.01
    """
    nu, n = np.asarray(nu, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if nu.shape != n.shape:
        raise ValueError(f"nu and n must match, got shapes {nu.shape} and {n.shape}.")
    if np.isnan(nu).any() or not (n >= 0).all():
        raise ValueError("nu must not hold NaN, and n no NaN and no negative number.")
    used = nu != 0
    with np.errstate(divide="ignore"):
        return float(np.sum((nu[used] / np.sqrt(n[used])) ** 2))


def check_counts(counts, n_tasks, name):
    """Check whole numbers, one a task or the same for all; None becomes infinity."""
    counts = np.asarray(np.inf if counts is None else counts, dtype=np.float64)
    finite = check_per_task(np.where(counts == np.inf, 0, counts), n_tasks, name)
    if (finite % 1).any():
        raise ValueError(f"{name} must hold whole numbers at least 0, got {counts}.")
    return np.broadcast_to(counts, (n_tasks,))


def _check_budget(n_total, floors, caps, prices, is_money):
    what = "n_total, the money," if is_money else "n_total"
    whole = is_money or isinstance(n_total, Integral)
    if not whole or not 0 < n_total < np.inf:
        kind = "number" if is_money else "whole number"
        raise ValueError(f"{what} must be a positive {kind}, got {n_total}.")
    task = int(np.argmax(floors > caps))
    if floors[task] > caps[task]:
        raise ValueError(
            f"min_samples must not exceed max_samples, got {floors[task]:g} and "
            f"{caps[task]:g} for task {task}."
        )
    least, most = prices @ floors, prices @ caps
    if n_total < least:
        raise ValueError(
            f"{what} must be at least {least:g}, the sum of min_samples, got {n_total}."
        )
    if n_total > most and not is_money:
        raise ValueError(
            f"{what} must be at most {most:g}, the sum of max_samples, got {n_total}."
        )


def _fill(shares, floors, caps, prices, total):
    """Fill relevant sources first, then, if their pools are dry, the others."""
    relevant = shares > 0
    filled = floors.copy()
    rest = total - prices[~relevant] @ floors[~relevant]
    filled[relevant] = _water_fill(
        shares[relevant], floors[relevant], caps[relevant], prices[relevant], rest
    )
    rest = total - prices[relevant] @ filled[relevant]
    others = ~relevant & (caps > floors)
    rest -= prices[~relevant & ~others] @ floors[~relevant & ~others]
    if others.any() and rest > prices[others] @ floors[others] + WHOLE * total:
        filled[others] = _water_fill(
            1 / np.sqrt(prices[others]), floors[others], caps[others], prices[others],
            rest,
        )  # fmt: skip
    return filled


def _water_fill(shares, floors, caps, prices, total):
    """Find the level at which ``clip(level * shares, floors, caps)`` costs total."""
    slopes = prices * shares
    ends = np.isfinite(caps)
    levels = np.concatenate([floors / shares, caps[ends] / shares[ends]])
    changes = np.concatenate([slopes, -slopes[ends]])
    order = np.argsort(levels, kind="stable")
    levels, slope = levels[order], np.cumsum(changes[order])
    steps = slope[:-1] * np.diff(levels)
    spent = prices @ floors + np.concatenate([[0.0], np.cumsum(steps)])
    at = np.searchsorted(spent, total, side="right") - 1
    if at < 0:  # only rounding error is below the floors
        return floors.copy()
    level = levels[at]
    if slope[at] > WHOLE * slopes.max():
        level += (total - spent[at]) / slope[at]
    return np.clip(level * shares, floors, caps)


def _round_to_budget(filled, caps, prices, total, relevance):
    """Round down, then give what is left to the largest remainders."""
    nearest = np.round(filled)
    is_whole = np.abs(filled - nearest) <= WHOLE + 1e-12 * filled
    counts = np.where(is_whole, nearest, np.floor(filled))
    remainders = np.round(filled - counts, 9)
    left = total - prices @ counts
    order = np.lexsort((np.arange(len(filled)), -relevance, -remainders))
    for task in order[(counts < caps)[order] & (remainders[order] > 0)]:
        if prices[task] <= left * (1 + WHOLE):
            counts[task] += 1
            left -= prices[task]
    return counts.astype(np.int64)
