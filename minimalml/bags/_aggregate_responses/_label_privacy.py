"""Means of bags that keep labels private, and how large the bags should be."""

from numbers import Integral
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_array, check_random_state, column_or_1d

from minimalml._core.groups import GroupIndex
from minimalml.bags._aggregate_responses._aggregate_risk import (
    aggregate_risk,
    check_range,
)

# Where the best interpolation is looked for; strong noise ends at the largest.
LEAST_INTERPOLATION, LARGEST_INTERPOLATION = 1e-6, 20.0
# Steps of a golden section from there to differences of 1e-8.
SECTIONS = 45


def private_aggregate(y, bags, *, epsilon, bounds, random_state=None):
    """Release means of bags that are differentially private about single responses.

    Responses are clipped to ``bounds`` and averaged, and each mean gets Laplace noise of
    scale ``(high - low) / (rows of the bag * epsilon)``. Changing one response then
    changes the probability of any release by a factor of at most exp(epsilon). Which
    rows are in a bag is taken to be public, and so are the features. O(n) time beside
    the sorting of ids.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Responses of single rows.

    bags : array-like of shape (n_samples,) or None
        The id of each row's bag; None makes each row a bag.

    epsilon : float
        Privacy, above 0: less is more private; infinity adds no noise.

    bounds : tuple of (float, float)
        Between what responses are clipped. They must not be taken from the data.

    random_state : int, RandomState instance or None, default=None
        Seed of the noise, one draw a bag in the order of sorted ids. A known seed
        undoes the privacy.

    Returns
    -------
    ndarray of shape (n_samples,)
        The noisy mean of its bag on each row, not clipped again.

    Raises
    ------
    ValueError
        If ``epsilon`` is not above 0, bounds are not increasing, a response is missing,
        or ids are missing or of another number.

    Notes
    -----
    Not hardened against attacks on the low bits of floating-point noise.

    Examples
    --------
    >>> from minimalml.bags import private_aggregate
    >>> y, bags = [0.0, 2.0, 9.0, 5.0], ["a", "a", "b", "b"]
    >>> private_aggregate(y, bags, epsilon=float("inf"), bounds=(0, 6))
    array([1. , 1. , 5.5, 5.5])
    >>> private_aggregate(y, bags, epsilon=3, bounds=(0, 6), random_state=0).round(1)
    array([1.1, 1.1, 6.1, 6.1])
    """
    check_range("epsilon", epsilon, is_open=True, allows_infinity=True)
    y = check_array(column_or_1d(y), ensure_2d=False, dtype=np.float64, input_name="y")
    low, high = _check_bounds(bounds)
    index = GroupIndex(bags, len(y))
    scale = (high - low) / (index.sizes * epsilon)
    noise = check_random_state(random_state).laplace(scale=scale)
    return index.expand(index.mean(y.clip(low, high)) + noise)


def _check_bounds(bounds):
    """Return both bounds as finite floats."""
    bounds = np.asarray(bounds)
    is_valid = bounds.shape == (2,) and bounds.dtype.kind in "iuf"
    if not is_valid or not -np.inf < bounds[0] < bounds[1] < np.inf:
        raise ValueError(
            f"bounds must be two finite numbers, the smaller first, got {bounds!s}."
        )
    return bounds.astype(np.float64)


class BagSize(NamedTuple):
    """What `optimal_bag_size` returns."""

    bag_size: int
    interpolation: float
    risk: float
    risks: np.ndarray


def optimal_bag_size(
    sample_ratio,
    *,
    epsilon,
    response_range,
    signal=1.0,
    noise=1.0,
    interpolation="optimal",
    max_bag_size=32,
):
    """Find the bag size at which private means of bags teach a linear model most.

    Larger bags need less noise for the same privacy, but leave fewer equations. The risk
    is that of `aggregate_risk`, with the noise that `private_aggregate` adds; it holds
    as long as few responses are clipped. O(max_bag_size) time.

    Parameters
    ----------
    sample_ratio : float
        Rows a feature, above 0.

    epsilon : float
        Privacy, above 0; infinity is none.

    response_range : float
        Upper less lower bound of the responses, above 0.

    signal, noise : float, default=1.0
        Variances of the responses without noise, and of their noise.

    interpolation : float or "optimal", default="optimal"
        Weight of the spread within bags; "optimal" takes the best for each size, between
        1e-6 and 20, and 1 where it does not matter.

    max_bag_size : int, default=32
        The largest size to consider.

    Returns
    -------
    BagSize
        A named tuple: ``bag_size``, the smallest of the best; ``interpolation`` and
        ``risk`` there; and ``risks`` of shape (max_bag_size,), those of 1, 2, ... rows.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> from minimalml.bags import optimal_bag_size
    >>> found = optimal_bag_size(12, epsilon=1, response_range=6, interpolation=1)
    >>> found.bag_size, round(found.risk, 3), round(float(found.risks[0]), 2)
    (8, 0.889, 6.64)
    """
    check_range("epsilon", epsilon, is_open=True, allows_infinity=True)
    check_range("response_range", response_range, is_open=True)
    check_range("noise", noise)
    if not isinstance(max_bag_size, Integral) or max_bag_size < 1:
        raise ValueError(
            f"max_bag_size must be a positive integer, got {max_bag_size!r}."
        )
    sizes = np.arange(1, max_bag_size + 1)
    variance = noise + 2 * (response_range / epsilon) ** 2 / sizes

    def risks_at(rho):
        return aggregate_risk(sample_ratio, sizes, rho, signal=signal, noise=variance)

    if isinstance(interpolation, str):
        if interpolation != "optimal":
            raise ValueError(
                f"interpolation must be a number or 'optimal', got {interpolation!r}."
            )
        rho = _best_interpolation(risks_at, len(sizes))
        rho[(sizes == 1) | (sample_ratio <= 1)] = 1.0
    else:
        rho = np.broadcast_to(np.asarray(interpolation), sizes.shape)
    risks = risks_at(rho)
    best = int(np.argmin(risks))
    return BagSize(int(sizes[best]), float(rho[best]), float(risks[best]), risks)


def _best_interpolation(risks_at, n_sizes):
    """Return the interpolation of least risk for each size, by golden section of its log.

    Each risk has one minimum.
    """
    low = np.full(n_sizes, np.log(LEAST_INTERPOLATION))
    high = np.full(n_sizes, np.log(LARGEST_INTERPOLATION))
    golden = (np.sqrt(5) - 1) / 2
    for _ in range(SECTIONS):
        left, right = high - golden * (high - low), low + golden * (high - low)
        is_left = risks_at(np.exp(left)) <= risks_at(np.exp(right))
        low, high = np.where(is_left, low, left), np.where(is_left, right, high)
    ends = np.array([low, (low + high) / 2, high])
    risks = np.array([risks_at(np.exp(end)) for end in ends])
    return np.exp(ends[risks.argmin(axis=0), np.arange(n_sizes)])
