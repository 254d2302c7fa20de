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
        asymptote = np.full((*y.shape[:-1], len(exponents)), points.asymptote)
        slope = _through_origin(basis, sign * (y - points.asymptote), weight)
        return _best([(asymptote, slope)], points, basis, weight, exponents)
    # y less its first value, so that a constant one is constant to the last bit
    first = y[..., :1]
    mean = ((y - first) @ weight)[..., None]
    centre = (basis @ weight)[:, None]
    slope = _through_origin(basis - centre, sign * (y - first - mean), weight)
    mean = mean + first
    asymptote = mean - sign * slope * centre[:, 0]
    if sign < 0:
        return _best([(asymptote, slope)], points, basis, weight, exponents)
    asymptote = np.where(asymptote < 0, np.inf, asymptote)
    from_zero = np.zeros_like(slope), _through_origin(basis, y, weight)
    return _best([(asymptote, slope), from_zero], points, basis, weight, exponents)


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


def _best(candidates, points, basis, weight, exponents):
    """Return the candidates of least error, from residuals: y'y - b'c would cancel."""
    errors = []
    for asymptote, slope in candidates:
        with np.errstate(invalid="ignore", over="ignore"):
            residual = slope[..., None] * (points.sign * basis)
            residual += asymptote[..., None] - points.y[..., None, :]
            errors.append(np.square(residual, out=residual) @ weight)
    errors = np.nan_to_num(np.stack(errors), nan=np.inf)
    best = errors.argmin(axis=0)[None]
    asymptote, slope, error = (
        np.take_along_axis(np.stack(values), best, axis=0)[0]
        for values in (*zip(*candidates, strict=True), errors)
    )
    return Law(asymptote, slope, exponents, error)


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
        low, here, high = grid[max(place - 1, 0)], grid[place], grid[place + 1 :][:1]
        grid = np.r_[np.linspace(low, here, ZOOM_POINTS), here]
        if high.size:
            grid = np.r_[grid[:-1], np.linspace(here, high[0], ZOOM_POINTS)[1:]]
        values = values_at(grid)
        place = values.argmin()
    return values[place], grid[place]


def _fit_several(points):
    """Fit a law of several x: exponents by descent from a few starts, the rest by nnls."""
    x, sign = points.x, points.sign
    n_features = x.shape[1]
    root, log_x = np.sqrt(points.weight / points.weight.sum())[:, None], np.log(x)
    constants, target = [1.0] if sign > 0 else [1.0, -1.0], root[:, 0] * points.y
    if points.asymptote is not None:
        constants, target = [], target - root[:, 0] * points.asymptote
    constants = root * constants  # (n, 0 to 2)

    def solve(log_exponents):
        basis = sign * root * x ** -np.exp(log_exponents)
        columns = np.hstack([basis, constants])
        values, _ = nnls(columns, target)
        return values, columns

    def residual(log_exponents):
        values, columns = solve(log_exponents)
        return columns @ values - target

    def jacobian(log_exponents):
        """Move the terms, less what the linear part makes up for (Kaufman, 1975)."""
        values, columns = solve(log_exponents)
        slopes = -columns[:, :n_features] * values[:n_features] * log_x
        slopes = slopes * np.exp(log_exponents)
        span, _ = np.linalg.qr(columns[:, values > 0])
        return slopes - span @ (span.T @ slopes)

    if points.exponent is not None:
        best = np.full(n_features, np.log(points.exponent))
    else:
        starts = [np.full(n_features, np.log(start)) for start in STARTS]
        found = [
            least_squares(
                residual, start, jacobian, bounds=LOG_RANGE, max_nfev=MOST_STEPS,
                ftol=1e-12, xtol=1e-10, gtol=1e-14,
            )
            for start in starts
        ]  # fmt: skip
        best = min(found, key=lambda one: one.cost).x
    values, columns = solve(best)
    error = np.sum((columns @ values - target) ** 2)
    asymptote = points.asymptote
    if asymptote is None:
        asymptote = values[n_features:] @ ([1.0] if sign > 0 else [1.0, -1.0])
    return Law(asymptote, values[:n_features], np.exp(best), error)


def fit_log_huber(points, delta):
    """Return the law of least Huber's losses of log-ratios, quadratic up to ``delta``.

    From the fits of least squared relative errors to all points, and to all but one.
    """
    relative = points.weight / points.y**2
    starts = [fit_squared(points._replace(weight=relative))]
    n_points = len(points.y)
    n_left_out = min(n_points, MOST_LEFT_OUT)
    for row in np.linspace(0, n_points - 1, n_left_out).astype(int):
        others = relative.copy()
        others[row] = 0.0
        if others.any():
            starts.append(fit_squared(points._replace(weight=others)))
    laws = [_descend_log_huber(points, delta, start) for start in starts]
    return min(laws, key=lambda law: law.error)


def _descend_log_huber(points, delta, start):
    """Return the local minimum next to a law, over log A, log alpha and E."""
    x, y, sign = points.x, points.y, points.sign
    p, log_x = x.shape[1], np.log(x)
    smallest = np.finfo(float).tiny
    weight = points.weight / points.weight.sum()

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
        slopes = [terms, -terms * law.exponent * log_x, np.ones((len(y), 1))]
        return (np.hstack(slopes) / (delta * values[:, None]))[:, is_free]

    def robust(squares):
        roots = np.sqrt(np.maximum(squares, 1.0))
        is_far = squares > 1
        losses = np.where(is_far, 2 * roots - 1, squares)
        return weight * np.stack([losses, 1 / roots, -0.5 * is_far / roots**3])

    # a coefficient of 0 has no logarithm
    coefficient = np.log(np.maximum(start.coefficient, 1e-6))
    exponents = np.log(np.broadcast_to(start.exponent, p))
    full = np.r_[coefficient, exponents, start.asymptote]
    is_free = np.r_[
        np.full(p, True), np.full(p, points.exponent is None), points.asymptote is None
    ]
    low = np.r_[
        np.full(p, -np.inf), np.full(p, LOG_RANGE[0]), 0.0 if sign > 0 else -np.inf
    ]
    high = np.r_[np.full(p, np.inf), np.full(p, LOG_RANGE[1]), np.inf]
    found = least_squares(
        residual, np.clip(full, low, high)[is_free], jacobian,
        bounds=(low[is_free], high[is_free]), loss=robust, x_scale="jac",
        ftol=1e-12, xtol=1e-10, gtol=1e-12,
    )  # fmt: skip
    law = unpack(found.x)
    is_none = law.coefficient * (x**-law.exponent).max(axis=0) < NEGLIGIBLE
    coefficient = np.where(is_none, 0.0, law.coefficient)
    return law._replace(coefficient=coefficient, error=found.cost)
