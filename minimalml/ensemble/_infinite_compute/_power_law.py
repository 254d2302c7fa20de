"""Power laws with an asymptote, ``y = E + sum_j A_j x_j^-alpha_j``, fitted to points.

Given the exponents the rest is linear with bounds: for one x a closed form, so that a search
along one line finds the best fit of all, without a start.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares, nnls

# Exponents searched. Below, x^-alpha is a logarithm of x on any range that data have.
LOWEST, HIGHEST = 0.01, 10.0
LOG_RANGE = (np.log(LOWEST), np.log(HIGHEST))
LOG_GRID = np.linspace(*LOG_RANGE, 200)
# A zoom keeps 2 of 32 steps: 9 of them leave 1e-11 of the grid's step.
ZOOM_POINTS, N_ZOOMS = 17, 9
# Local minima of the grid that are looked into: noise of rounding may make many.
MOST_MINIMA = 5
# Common starts of several exponents.
STARTS = (0.1, 0.3, 1.0)
# Of each: two terms take about 20, and flat optima would take thousands.
MOST_STEPS = 100
MOST_LEFT_OUT = 20
# A term below this share of y is none.
NEGLIGIBLE = 1e-9


class Points(NamedTuple):
    """What to fit, and what is known of the law."""

    x: np.ndarray  # (n, p), of geometric mean 1
    y: np.ndarray  # (n,) or (n_replicates, n), of largest size 1
    weight: np.ndarray  # (n,)
    sign: float  # 1 where y falls, -1 where it rises to its asymptote
    exponent: float | None  # None is to be found
    asymptote: float | None


class Law(NamedTuple):
    """A law; or one for each exponent tried. The error is the mean that was minimised."""

    asymptote: np.ndarray
    coefficient: np.ndarray
    exponent: np.ndarray
    error: np.ndarray


def law_values(law, x, sign):
    """Return y of the law at x, shape (n,)."""
    return law.asymptote + sign * (x**-law.exponent) @ law.coefficient


def fit_squared(points):
    """Return the law of least squares."""
    if points.x.shape[1] > 1:
        return _fit_several(points)
    exponent = points.exponent
    if exponent is None:
        exponent = _best_exponent(lambda tried: solve_linear(points, tried).error)
    law = solve_linear(points, np.array([exponent]))
    return law._replace(asymptote=law.asymptote[0], error=law.error[0])


def solve_linear(points, exponents):
    """Return the best laws of one x at given exponents, shapes (..., n_exponents).

    The slope is cut at A >= 0; where y falls and E comes out below 0, the best law is one
    through 0. Time and memory O(n n_exponents) for each replicate of y.
    """
    basis, weight = powers(points, exponents)
    y, sign = points.y, points.sign
    if points.asymptote is not None:
        slope = _through_origin(basis, sign * (y - points.asymptote), weight)
        asymptote = np.full_like(slope, points.asymptote)
    else:
        # y less its first value, so that a constant one is constant to the last bit
        first = y[..., :1]
        mean = ((y - first) @ weight)[..., None]
        centre = (basis @ weight)[:, None]
        slope = _through_origin(basis - centre, sign * (y - first - mean), weight)
        asymptote = mean + first - sign * slope * centre[:, 0]
        if sign > 0:
            from_zero = _through_origin(basis, y, weight)
            slope = np.where(asymptote < 0, from_zero, slope)
            asymptote = np.maximum(asymptote, 0.0)
    # from residuals: y'y - b'c would cancel
    with np.errstate(invalid="ignore", over="ignore"):
        residual = slope[..., None] * (sign * basis)
        residual += asymptote[..., None] - y[..., None, :]
        error = np.square(residual, out=residual) @ weight
    return Law(asymptote, slope, exponents, np.nan_to_num(error, nan=np.inf))


def powers(points, exponents):
    """Return x^-alpha, shape (n_exponents, n), and weights of sum 1."""
    with np.errstate(over="ignore"):
        basis = points.x[:, 0] ** -np.asarray(exponents)[:, None]
    return basis, points.weight / points.weight.sum()


def _through_origin(basis, y, weight):
    """Return the best coefficients of at least 0 of y on each row of the basis."""
    squares = (weight * basis**2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = y @ (weight * basis).T / squares
    return np.where(squares > 0, np.maximum(slope, 0.0), 0.0)


def _best_exponent(error_at):
    """Return the exponent of least error within the range; ``error_at`` takes arrays."""
    errors = error_at(np.exp(LOG_GRID))
    before, after = np.r_[np.inf, errors[:-1]], np.r_[errors[1:], np.inf]
    minima = np.flatnonzero((errors < before) & (errors <= after))
    minima = minima[np.argsort(errors[minima], kind="stable")[:MOST_MINIMA]]
    found = [zoom(lambda g: error_at(np.exp(g)), LOG_GRID, place) for place in minima]
    return np.exp(min(found)[1]) if found else HIGHEST


def zoom(values_at, grid, place):
    """Return the least value, and where, about a place of a grid; that place stays in it."""
    for _ in range(N_ZOOMS):
        low, high = grid[max(place - 1, 0)], grid[place : place + 2][-1]
        parts = [np.linspace(end, grid[place], ZOOM_POINTS) for end in (low, high)]
        grid = np.unique(parts)
        values = values_at(grid)
        place = values.argmin()
    return values[place], grid[place]


def _fit_several(points):
    """Fit a law of several x: exponents by descent from a few starts, the rest by nnls."""
    x, sign = points.x, points.sign
    n_features = x.shape[1]
    root = np.sqrt(points.weight / points.weight.sum())[:, None]
    known = points.asymptote
    directions = [1.0] if sign > 0 else [1.0, -1.0]  # of E, which nnls has at least 0
    directions = directions if known is None else []
    target = root[:, 0] * (points.y - (known or 0.0))

    def solve(log_exponents):
        terms = sign * x ** -np.exp(log_exponents)
        columns = root * np.hstack([terms, np.tile(directions, (len(x), 1))])
        values, _ = nnls(columns, target)
        return values, columns @ values - target

    if points.exponent is not None:
        best = np.full(n_features, np.log(points.exponent))
    else:
        found = [
            least_squares(
                lambda tried: solve(tried)[1], np.full(n_features, np.log(start)),
                bounds=LOG_RANGE, max_nfev=MOST_STEPS, ftol=1e-12, xtol=1e-10, gtol=1e-14,
            )
            for start in STARTS
        ]  # fmt: skip
        best = min(found, key=lambda one: one.cost).x
    values, residual = solve(best)
    asymptote = (known or 0.0) + values[n_features:] @ directions
    return Law(asymptote, values[:n_features], np.exp(best), residual @ residual)


def fit_log_huber(points, delta):
    """Return the law of least Huber's losses of log-ratios, quadratic up to ``delta``.

    From the fits of least squared relative errors to all points, and to all but one.
    """
    relative, rows = points.weight / points.y**2, np.arange(len(points.y))
    left_out = np.linspace(0, rows[-1], min(len(rows), MOST_LEFT_OUT)).astype(int)
    weights = [relative, *(relative * (rows != row) for row in left_out)]
    starts = [fit_squared(points._replace(weight=w)) for w in weights if w.any()]
    laws = [_descend_log_huber(points, delta, start) for start in starts]
    return min(laws, key=lambda law: law.error)


def _descend_log_huber(points, delta, start):
    """Return the local minimum next to a law, over log A, log alpha and E."""
    x, y, sign = points.x, points.y, points.sign
    p, weight = x.shape[1], points.weight / points.weight.sum()
    smallest = np.finfo(float).tiny
    parts = [p, p, 1]
    is_free = np.repeat(
        [True, points.exponent is None, points.asymptote is None], parts
    )
    low = np.repeat([-np.inf, LOG_RANGE[0], 0.0 if sign > 0 else -np.inf], parts)
    high = np.repeat([np.inf, LOG_RANGE[1], np.inf], parts)
    # a coefficient of 0 has no logarithm
    coefficient = np.log(np.maximum(start.coefficient, 1e-6))
    exponents = np.log(np.broadcast_to(start.exponent, p))
    full = np.r_[coefficient, exponents, start.asymptote]

    def unpack(theta):
        full[is_free] = theta
        return Law(full[-1], np.exp(full[:p]), np.exp(full[p:-1]), None)

    def residual(theta):
        values = law_values(unpack(theta), x, sign)
        return (np.log(np.maximum(values, smallest)) - np.log(y)) / delta

    def jacobian(theta):
        law = unpack(theta)
        terms = sign * law.coefficient * x**-law.exponent  # (n, p)
        values = np.maximum(law.asymptote + terms.sum(axis=1), smallest)
        slopes = [terms, -terms * law.exponent * np.log(x), np.ones((len(y), 1))]
        return (np.hstack(slopes) / (delta * values[:, None]))[:, is_free]

    def robust(squares):
        roots = np.sqrt(np.maximum(squares, 1.0))
        is_far = squares > 1
        losses = np.where(is_far, 2 * roots - 1, squares)
        return weight * np.stack([losses, 1 / roots, -0.5 * is_far / roots**3])

    found = least_squares(
        residual, np.clip(full, low, high)[is_free], jacobian,
        bounds=(low[is_free], high[is_free]), loss=robust, x_scale="jac",
        ftol=1e-12, xtol=1e-10, gtol=1e-12,
    )  # fmt: skip
    law = unpack(found.x)
    is_none = law.coefficient * (x**-law.exponent).max(axis=0) < NEGLIGIBLE
    coefficient = np.where(is_none, 0.0, law.coefficient)
    return law._replace(coefficient=coefficient, error=found.cost)
