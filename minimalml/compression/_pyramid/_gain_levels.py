"""Levels for the lengths of groups, at the least mean squared error: Lloyd and Max.

Of a direction drawn uniformly on the sphere of n_total numbers, the share of n_group in
the squared length follows a Beta law: their levels need no data.
"""

from functools import lru_cache

import numpy as np
from scipy.special import betainc, betaincinv, betaln

N_ROUNDS, TOLERANCE = 2000, 1e-12


@lru_cache(maxsize=256)
def beta_levels(n_group, n_total, n_bits):
    """Return the levels of the share of a group in a row's length, in rising order."""
    if n_group == n_total:
        return _fixed(np.ones(1))
    alpha, beta = n_group / 2, (n_total - n_group) / 2
    n_levels = 2**n_bits
    levels = np.sqrt(betaincinv(alpha, beta, (np.arange(n_levels) + 0.5) / n_levels))
    mean = np.exp(betaln(alpha + 0.5, beta) - betaln(alpha, beta))
    for _ in range(N_ROUNDS):
        squares = np.r_[0, midpoints(levels) ** 2, 1]
        mass = np.diff(betainc(alpha, beta, squares))
        new = mean * np.diff(betainc(alpha + 0.5, beta, squares)) / mass
        change = np.abs(new - levels).max()
        levels = new
        if change <= TOLERANCE:
            break
    return _fixed(levels)


def sample_levels(gains, n_bits, n_rounds=100):
    """Return levels fitted to a sample; one that no gain is nearest to stays."""
    n_levels = 2**n_bits
    levels = np.quantile(gains, (np.arange(n_levels) + 0.5) / n_levels)
    for _ in range(n_rounds):
        codes = nearest_level(gains, levels)
        counts = np.bincount(codes, minlength=n_levels)
        sums = np.bincount(codes, weights=gains, minlength=n_levels)
        new = np.divide(sums, counts, out=levels.copy(), where=counts > 0)
        if (new == levels).all():
            break
        levels = new
    return levels


def midpoints(levels):
    """Return where the nearest level changes."""
    return (levels[:-1] + levels[1:]) / 2


def nearest_level(gains, levels):
    """Return the number of the nearest level, the lower one of two as near."""
    return np.searchsorted(midpoints(levels), gains)


def _fixed(levels):
    levels.flags.writeable = False
    return levels
