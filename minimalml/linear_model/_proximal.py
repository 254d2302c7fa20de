"""Minimise a smooth function, convex or not, plus a weighted l1 norm.

Both solvers take steps that end in soft thresholding, so zeros are exact: one with the
momentum of Ghadimi and Lan, one with conjugate directions of Hager and Zhang.
"""

from collections import deque
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_array

from minimalml._core.validation import Integral, Interval, Real, validate_params

# L is a bound: a step a little shorter is safe from its rounding
SHARE_OF_LONGEST_STEP = 0.99
N_REMEMBERED = 10  # values of the objective that a conjugate step may rise to
MAX_HALVINGS = 100  # of a step, where no bound holds
MAX_EVALUATIONS = 12  # of the gradient in a line search
ROUNDING = 1e-12  # of an objective, by which it may seem to rise
FLATNESS = 0.1  # of the slope that a line search may leave

_CONSTRAINTS = {
    "gradient": [callable],
    "start": ["array-like"],
    "threshold": [Interval(Real, 0, None, closed="left"), "array-like"],
    "lipschitz": [Interval(Real, 0, None, closed="neither")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
}


class ProximalResult(NamedTuple):
    """Where a proximal solver ended.

    Attributes
    ----------
    x : ndarray of shape (n_coefficients,)
        The point, with exact zeros.
    n_iter : int
        Number of iterations.
    stationarity : float
        Largest violation of the optimality conditions at ``x``: 0 at a stationary point.
    converged : bool
        Whether ``stationarity`` is below ``tol``.
    """

    x: np.ndarray
    n_iter: int
    stationarity: float
    converged: bool


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def accelerated_proximal_gradient(
    gradient, start, *, threshold, lipschitz, max_iter=5000, tol=1e-6
):
    r"""Minimise a smooth function plus a weighted l1 norm by damped acceleration.

    One gradient an iteration. The smooth part need not be convex. Where it is
    ill-conditioned this takes a fraction of the iterations of proximal gradient.

    Parameters
    ----------
    gradient : callable
        ``gradient(x)`` of the smooth part, shape (n_coefficients,).

    start : array-like of shape (n_coefficients,)
        Where to begin.

    threshold : float or array-like of shape (n_coefficients,)
        Weight of each absolute value, at least 0; 0 leaves a coefficient free.

    lipschitz : float
        Bound on the curvature of the smooth part in absolute value. Too small a bound may
        diverge: then ``converged`` is False and ``stationarity`` may be no number.

    max_iter : int, default=5000
        Largest number of iterations.

    tol : float, default=1e-6
        Largest violation of the optimality conditions, in units of the gradient.

    Returns
    -------
    ProximalResult
        With ``x``, ``n_iter``, ``stationarity`` and ``converged``.

    Raises
    ------
    ValueError
        If ``start`` or ``threshold`` is not finite or of another shape than the
        gradient, or a threshold is negative.

    See Also
    --------
    proximal_conjugate_gradient : Fewer iterations of several gradients each.

    Notes
    -----
    With steps :math:`\beta = 0.99 / L` and damping :math:`\alpha_k`, 1 at first and then
    :math:`2 / (1 + \sqrt{1 + 4 / \alpha_{k-1}^2})`, soft thresholding :math:`S` gives

    .. math::

       m = (1 - \alpha) \bar x + \alpha x

    .. math::

       x \leftarrow S\Bigl(x - \frac{\beta}{\alpha} \nabla g(m), \frac{\beta}{\alpha} t\Bigr),
       \qquad \bar x \leftarrow S(m - \beta \nabla g(m), \beta t)

    and :math:`\bar x` in the end. The damping is 1 again when :math:`m` moves less than
    in the iteration before, three iterations after the last time at the earliest.

    References
    ----------
    K. Yang, M. Asgharian, S. Bhatnagar, "Accelerated Gradient Methods for Sparse
    Statistical Learning with Nonconvex Penalties", 2020. arXiv:2009.10629

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.linear_model import accelerated_proximal_gradient
    >>> A, b = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([3.0, 0.5])
    >>> result = accelerated_proximal_gradient(
    ...     lambda x: A @ x - b, np.zeros(2), threshold=1.0, lipschitz=3.0
    ... )
    >>> result.x.round(4).tolist(), result.converged
    ([1.0, 0.0], True)
    """
    start, threshold = _check_problem(gradient, start, threshold)
    steps = accelerated_steps(gradient, start, threshold, lipschitz)
    return iterate(steps, gradient, start, threshold, max_iter, tol)


@validate_params(
    _CONSTRAINTS | {"objective": [callable]}, prefer_skip_nested_validation=True
)
def proximal_conjugate_gradient(
    gradient, objective, start, *, threshold, lipschitz, max_iter=5000, tol=1e-6
):
    r"""Minimise a smooth function plus a weighted l1 norm along conjugate directions.

    The step of proximal gradient is taken for the gradient of a smooth function, and
    followed by conjugate directions. About three gradients an iteration. The smooth part
    need not be convex, and too small a bound ``lipschitz`` is mended.

    Parameters
    ----------
    gradient : callable
        ``gradient(x)`` of the smooth part, shape (n_coefficients,).

    objective : callable
        ``objective(x)``, the value of the whole sum.

    start : array-like of shape (n_coefficients,)
        Where to begin.

    threshold : float or array-like of shape (n_coefficients,)
        Weight of each absolute value, at least 0; 0 leaves a coefficient free.

    lipschitz : float
        Bound on the curvature of the smooth part in absolute value.

    max_iter : int, default=5000
        Largest number of iterations.

    tol : float, default=1e-6
        Largest violation of the optimality conditions, in units of the gradient.

    Returns
    -------
    ProximalResult
        With ``x``, ``n_iter``, ``stationarity`` and ``converged``.

    Raises
    ------
    ValueError
        If ``start`` or ``threshold`` is not finite or of another shape than the
        gradient, or a threshold is negative.

    See Also
    --------
    accelerated_proximal_gradient : One gradient an iteration.

    Notes
    -----
    With :math:`\rho = 0.99 / L` and :math:`p(x) = S(x - \rho \nabla g(x), \rho t)`, the
    residual :math:`s(x) = x - p(x)` is 0 where x is stationary. Directions are those of
    Hager and Zhang for s in place of a gradient; a line search seeks where s is
    orthogonal to the direction. The result is p. Where the objective exceeds its last ten
    values, a step of proximal gradient is taken instead, halved while the objective rises
    there too.

    References
    ----------
    W. W. Hager, H. Zhang, "A New Conjugate Gradient Method with Guaranteed Descent and an
    Efficient Line Search", SIAM Journal on Optimization, 2005.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.linear_model import proximal_conjugate_gradient
    >>> A, b = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([3.0, 0.5])
    >>> result = proximal_conjugate_gradient(
    ...     lambda x: A @ x - b,
    ...     lambda x: x @ A @ x / 2 - b @ x + np.abs(x).sum(),
    ...     np.zeros(2), threshold=1.0, lipschitz=3.0,
    ... )
    >>> result.x.round(4).tolist(), result.converged
    ([1.0, 0.0], True)
    """
    start, threshold = _check_problem(gradient, start, threshold)
    steps = conjugate_steps(gradient, objective, start, threshold, lipschitz)
    return iterate(steps, gradient, start, threshold, max_iter, tol)


def clip(x, bound):
    """Return the nearest numbers from ``-bound`` to ``bound``."""
    # np.clip takes twice the time for a few hundred numbers
    return np.minimum(np.maximum(x, -bound), bound)


def soft_threshold(x, threshold):
    """Move each number towards zero by ``threshold``, and not past it."""
    return x - clip(x, threshold)


def stationarity(slope, x, threshold):
    """Return the distance from 0 to ``slope`` plus the subgradients, the largest."""
    at_zero = np.maximum(np.abs(slope) - threshold, 0.0)
    return _largest(np.where(x == 0, at_zero, slope + threshold * np.sign(x)))


def has_risen(value, before):
    """Whether an objective is larger than before, by more than rounding, or no number."""
    return not value <= before + ROUNDING * abs(before)


def iterate(steps, gradient, start, threshold, max_iter, tol, after_iteration=None):
    """Take steps until one ends at a stationary point, or ``after_iteration(x)`` is true."""
    x, n_iter, violation = start, 0, np.inf
    while n_iter < max_iter:
        n_iter += 1
        x, gap = next(steps)
        # one more gradient, so only where the step says that it may be the last
        violation = stationarity(gradient(x), x, threshold) if gap < tol else np.inf
        is_stopped = after_iteration is not None and after_iteration(x)
        if is_stopped or violation < tol or not np.isfinite(gap):
            break
    if violation == np.inf:
        violation = stationarity(gradient(x), x, threshold)
    return ProximalResult(x, n_iter, violation, violation < tol)


def accelerated_steps(gradient, start, threshold, lipschitz):
    """Yield points of the accelerated method, each with the size of its step's gap."""
    step = SHARE_OF_LONGEST_STEP / lipschitz
    x = aggregate = middle = start
    damping, n_steps, moved = 1.0, 1, 0.0
    while True:
        before, moved_before = middle, moved
        middle = (1.0 - damping) * aggregate + damping * x
        slope = gradient(middle)
        longer = step / damping
        x = soft_threshold(x - longer * slope, longer * threshold)
        aggregate = soft_threshold(middle - step * slope, step * threshold)
        yield aggregate, _largest(middle - aggregate) / step
        moved = np.linalg.norm(middle - before)
        if n_steps >= 3 and moved < moved_before:
            damping, n_steps = 1.0, 1
        else:
            damping = 2.0 / (1.0 + np.sqrt(1.0 + 4.0 / damping**2))
            n_steps += 1


def conjugate_steps(gradient, objective, start, threshold, lipschitz):
    """Yield points of the conjugate-gradient method, each with the gap of its step."""
    step = SHARE_OF_LONGEST_STEP / lipschitz

    def residual(x):
        return x - soft_threshold(x - step * gradient(x), step * threshold)

    def descend(x, before):
        """Return the residual at x whose step leaves the objective below ``before``."""
        nonlocal step
        for _ in range(MAX_HALVINGS):
            shift = residual(x)
            value = objective(x - shift)
            if not has_risen(value, before):
                break
            step /= 2
        return shift, value

    x = start
    shift, value = descend(x, objective(x))
    point, direction = x - shift, -shift
    values = deque([value], N_REMEMBERED)
    while True:
        yield point, _largest(shift) / step
        x_new, shift_new = _search_line(residual, x, shift, direction)
        value = objective(x_new - shift_new)
        if not has_risen(value, max(values)):
            direction = _conjugate_direction(shift, shift_new, direction)
            x, shift = x_new, shift_new
        else:
            x = point
            shift, value = descend(x, values[-1])
            direction = -shift
        point = x - shift
        values.append(value)


def _search_line(residual, x, shift, direction):
    """Return where the residual is about orthogonal to ``direction``, and the residual."""
    low, low_slope = 0.0, shift @ direction  # below 0
    high, length, enough = None, 1.0, FLATNESS * -low_slope
    for _ in range(MAX_EVALUATIONS):
        x_new = x + length * direction
        shift_new = residual(x_new)
        slope = shift_new @ direction
        if abs(slope) <= enough:
            break
        if slope > 0:
            high, high_slope = length, slope
        else:
            low, low_slope = length, slope
        if high is None:
            length *= 2
        else:
            length = low - low_slope * (high - low) / (high_slope - low_slope)
    return x_new, shift_new


def _conjugate_direction(shift, shift_new, direction):
    """Return Hager and Zhang's direction, or that of the residual if it would not descend."""
    change = shift_new - shift
    curvature = direction @ change
    if abs(curvature) < 1e-300:
        return -shift_new
    conjugacy = change - 2.0 * (change @ change) / curvature * direction
    size = np.linalg.norm(direction) * min(0.01, np.linalg.norm(shift))
    weight = max(conjugacy @ shift_new / curvature, -1.0 / size)
    new = -shift_new + weight * direction
    return new if shift_new @ new < 0 else -shift_new


def _largest(values):
    return float(np.abs(values).max())


def _check_problem(gradient, start, threshold):
    """Return start and threshold as float arrays that fit the gradient."""
    vector = {"ensure_2d": False, "dtype": np.float64}
    start = check_array(start, input_name="start", **vector)
    threshold = check_array(np.atleast_1d(threshold), input_name="threshold", **vector)
    if start.ndim != 1 or threshold.shape not in ((1,), start.shape):
        raise ValueError(
            f"start must be one-dimensional, and threshold a number or of its shape, got "
            f"shapes {start.shape} and {threshold.shape}."
        )
    if (threshold < 0).any():
        raise ValueError(f"threshold must be at least 0, got {threshold.min()}.")
    shape = np.shape(gradient(start))
    if shape != start.shape:
        raise ValueError(
            f"gradient must return an array of the shape of start, {start.shape}, got "
            f"{shape}."
        )
    return start, threshold
