"""How far the asymptote of a power law may lie from where the best fit has it."""

import numpy as np
from scipy.stats import f as f_distribution

from minimalml.ensemble._infinite_compute._power_law import (
    LOG_GRID,
    LOWEST,
    law_values,
    powers,
    solve_linear,
    zoom,
)

# Numbers that replicates may take in memory at once.
CHUNK = 2**22


def is_at_floor(exponent):
    """Whether an exponent is the lowest searched, where a law is a logarithm."""
    return exponent <= LOWEST * (1 + 1e-6)


def profile_interval(points, law, confidence):
    """Return the least and the largest asymptote that an F-test does not refuse.

    With an exponent the error is quadratic in E, so the asymptotes that pass are known;
    the ends are those over all exponents.
    """
    freedom = len(points.y) - (3 if points.exponent is None else 2)
    quantile = f_distribution.ppf(confidence, 1, freedom)
    limit = law.error * (1 + quantile / freedom)
    start = np.log(law.exponent)
    grid = np.union1d(LOG_GRID, start) if points.exponent is None else start

    def end(direction):
        def outwards(tried):
            return -direction * _ends(points, np.exp(tried), limit)[direction]

        value, at = zoom(outwards, grid, outwards(grid).argmin())
        return -direction * value, points.exponent is None and is_at_floor(np.exp(at))

    (lower, is_open), (upper, is_unbounded) = end(-1), end(1)
    # a law of no slope passes at any exponent
    mean = np.average(points.y, weights=points.weight)
    spare = limit - np.average((points.y - mean) ** 2, weights=points.weight)
    if spare >= 0:
        lower = min(lower, mean - np.sqrt(spare))
        upper = max(upper, mean + np.sqrt(spare))
    lower, upper = min(lower, law.asymptote), max(upper, law.asymptote)
    if points.sign < 0:
        return lower, np.inf if is_unbounded else upper
    return 0.0 if is_open else max(lower, 0.0), upper


def _ends(points, exponents, limit):
    """Return, by direction, the ends of E at each exponent, inf and -inf where none passes."""
    basis, weight = powers(points, exponents)
    centre = basis @ weight
    deviations = basis - centre[:, None]
    mean = points.y @ weight
    spread = deviations**2 @ weight
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (deviations * (points.y - mean)) @ weight / spread
        best = mean - slope * centre
        residuals = points.y - mean - slope[:, None] * deviations
        curvature = spread / (basis**2 @ weight)
        width = np.sqrt((limit - residuals**2 @ weight) / curvature)
        flat = (basis * points.y) @ weight / centre  # where the coefficient is 0
        lower, upper = best - width, best + width
        if points.sign > 0:
            upper = np.minimum(upper, flat)
        else:
            lower = np.maximum(lower, flat)
        passes = lower <= upper
    return {-1: np.where(passes, lower, np.inf), 1: np.where(passes, upper, -np.inf)}


def bootstrap_interval(points, law, confidence, n_bootstrap, random_state):
    """Return percentiles of the asymptotes of replicates, each fitted on the grid.

    Time O(200 n n_bootstrap), all replicates at once.
    """
    replicates = _replicates(points, law, n_bootstrap, random_state)
    exponents = np.exp(LOG_GRID) if points.exponent is None else law.exponent
    n_chunks = -(-replicates.size * len(exponents) // CHUNK)
    asymptotes = []
    for part in np.array_split(replicates, n_chunks):
        laws = solve_linear(points._replace(y=part), exponents)
        best = laws.error.argmin(axis=1)
        asymptotes.append(laws.asymptote[np.arange(len(part)), best])
    tail = (1 - confidence) / 2
    return tuple(np.quantile(np.concatenate(asymptotes), [tail, 1 - tail]))


def _replicates(points, law, n_bootstrap, random_state):
    """Return y drawn anew, (n_bootstrap, n): residuals, or rows of the same x."""
    n_points, root = len(points.y), np.sqrt(points.weight)
    values = np.unique(points.x)
    if len(values) == n_points:
        n_free = 3 if points.exponent is None else 2
        fitted = law_values(law, points.x, points.sign)
        residuals = root * (points.y - fitted) * np.sqrt(n_points / (n_points - n_free))
        draws = random_state.randint(n_points, size=(n_bootstrap, n_points))
        return fitted + residuals[draws] / root
    replicates = np.empty((n_bootstrap, n_points))
    for value in values:
        rows = np.flatnonzero(points.x[:, 0] == value)
        share = points.weight[rows] / points.weight[rows].sum()
        drawn = random_state.choice(rows, size=(n_bootstrap, len(rows)), p=share)
        replicates[:, rows] = points.y[drawn]
    return replicates
