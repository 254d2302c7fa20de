"""Kernels of infinitely wide ReLU networks, and what gradient descent makes of them.

Giapitzakis, Back de Luca, Fountoulakis: "Exact Learning of Permutations for Nonzero Binary
Inputs with Logarithmic Training Size and Quadratic Ensemble Complexity", 2025.
"""

import warnings

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_consistent_length

from minimalml._core.validation import Integral, Interval, Real, validate_params

# Rows whose kernels are made at a time: all layers of them stay in the cache's reach.
BLOCK_ROWS = 256
# Above this cosine its inverse loses half of the digits; of such pairs there are few.
NEAR = 1 - 1e-4
JITTERS = 10.0 ** np.arange(-10, -3)  # of the mean of the diagonal

KERNEL_CONSTRAINTS = {
    "depth": [Interval(Integral, 1, None, closed="left")],
    "sigma_w": [Interval(Real, 0, None, closed="neither")],
    "sigma_b": [Interval(Real, 0, None, closed="left")],
}


@validate_params(
    {"X": ["array-like"], "Z": ["array-like", None], **KERNEL_CONSTRAINTS},
    prefer_skip_nested_validation=True,
)
def relu_kernels(X, Z=None, *, depth=1, sigma_w=2**0.5, sigma_b=0.0):
    r"""Compute the two kernels of infinitely wide ReLU networks between rows.

    They are the covariance of the outputs at the start (NNGP), and the neural tangent
    kernel (NTK), by which gradient descent moves them. Either serves any estimator with
    ``kernel="precomputed"``. Time O(depth n_X n_Z + n_X n_Z n_features).

    Parameters
    ----------
    X : array-like of shape (n_X, n_features)
        Rows.

    Z : array-like of shape (n_Z, n_features), default=None
        Other rows; None takes ``X``, at half the cost.

    depth : int, default=1
        Number of hidden layers.

    sigma_w : float, default=sqrt(2)
        Deviation of weights, over the root of the number of a layer's inputs. At sqrt(2)
        lengths stay the same from layer to layer.

    sigma_b : float, default=0.0
        Deviation of biases.

    Returns
    -------
    nngp, ntk : ndarray of shape (n_X, n_Z)
        float64.

    Raises
    ------
    ValueError
        If widths differ, entries are not finite, or a parameter is out of range.

    Notes
    -----
    With S the first layer's :math:`\sigma_b^2 + \sigma_w^2 x \cdot z / d` and
    :math:`\theta` the angle that it gives, each hidden layer makes of S and T

    .. math::
        S' = \sigma_b^2 + \frac{\sigma_w^2}{2\pi} \sqrt{S_{xx} S_{zz}}
             (\sin\theta + (\pi - \theta) \cos\theta), \quad
        T' = S' + \frac{\sigma_w^2}{2\pi} (\pi - \theta) T.

    References
    ----------
    .. [1] G. Giapitzakis, A. Back de Luca, K. Fountoulakis, "Exact Learning of
       Permutations for Nonzero Binary Inputs with Logarithmic Training Size and
       Quadratic Ensemble Complexity", 2025. arXiv:2502.16763

    Examples
    --------
    >>> from minimalml.training_dynamics import relu_kernels
    >>> nngp, ntk = relu_kernels([[1.0, 0.0], [0.0, 1.0]])
    >>> ntk.round(3)
    array([[2.   , 0.318],
           [0.318, 2.   ]])
    """
    X = check_array(X, dtype=np.float64, input_name="X")
    is_square = Z is None
    Z = X if is_square else check_array(Z, dtype=np.float64, input_name="Z")
    if X.shape[1] != Z.shape[1]:
        raise ValueError(f"Z has {Z.shape[1]} features but X has {X.shape[1]}.")
    allowed = np.sqrt(np.finfo(np.float64).max / X.shape[1]) / max(1.0, sigma_w)
    for name, rows in (("X", X), ("Z", Z)):
        if not np.abs(rows).max() <= allowed:
            raise ValueError(
                f"{name} must hold numbers up to {allowed:.2g}, whose squares don't "
                f"overflow, got {np.abs(rows).max():.2g}: scale it."
            )
    nngp, ntk = np.empty((2, len(X), len(Z)))
    for start in range(0, len(X), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        first = start if is_square else 0  # of a symmetric matrix a half will do
        diagonal = np.arange(len(X[rows])) if is_square else None
        block = _kernel_block(X[rows], Z[first:], diagonal, depth, sigma_w, sigma_b)
        for kernel, values in zip((nngp, ntk), block, strict=True):
            kernel[rows, first:] = values
            if is_square:
                kernel[first:, rows] = values.T
    return nngp, ntk


def _kernel_block(X, Z, diagonal, depth, sigma_w, sigma_b):
    """Return the kernels of some rows; ``diagonal`` counts those that Z begins with."""
    scale = sigma_w**2 / X.shape[1]
    products = X @ Z.T
    nngp = scale * products + sigma_b**2
    ntk = nngp.copy()
    squares_X = scale * np.einsum("ij,ij->i", X, X) + sigma_b**2
    squares_Z = scale * np.einsum("ij,ij->i", Z, Z) + sigma_b**2
    for layer in range(depth):
        lengths = np.outer(np.sqrt(squares_X), np.sqrt(squares_Z))
        cosines = np.divide(nngp, lengths, out=np.zeros_like(nngp), where=lengths > 0)
        np.clip(cosines, -1, 1, out=cosines)
        angles = np.arccos(cosines)
        if layer == 0 and sigma_b == 0:
            _sharpen(angles, cosines, X, Z)
        if diagonal is not None:
            angles[diagonal, diagonal] = 0.0
        active = (np.pi - angles) / (2 * np.pi)
        nngp = np.sin(angles, out=angles) / (2 * np.pi) + active * cosines
        nngp *= sigma_w**2 * lengths
        nngp += sigma_b**2
        ntk *= sigma_w**2 * active
        ntk += nngp
        squares_X, squares_Z = (
            sigma_b**2 + sigma_w**2 / 2 * squares for squares in (squares_X, squares_Z)
        )
    return nngp, ntk


def nngp_diagonal(X, *, depth, sigma_w, sigma_b):
    """Return the first kernel of each row with itself."""
    squares = sigma_w**2 / X.shape[1] * np.einsum("ij,ij->i", X, X) + sigma_b**2
    for _ in range(depth):
        squares = sigma_b**2 + sigma_w**2 / 2 * squares
    return squares


def _sharpen(angles, cosines, X, Z):
    """Recompute small angles from sums and differences of unit vectors, in place."""
    rows, columns = np.nonzero(cosines > NEAR)
    x, z = (A / np.linalg.norm(A, axis=1, keepdims=True) for A in (X[rows], Z[columns]))
    far, near = np.linalg.norm(x - z, axis=1), np.linalg.norm(x + z, axis=1)
    angles[rows, columns] = 2 * np.arctan2(far, near)


class GradientFlow:
    """Maps what a network shall learn to what it has learnt by time t, on training rows.

    It holds Theta^-1 (I - exp(-t Theta)) as factors, of the NTK with a ridge; what is given
    is changed in place.
    """

    def __init__(self, ntk, t, ridge):
        ntk[np.diag_indices_from(ntk)] += ridge
        self._factor = _cholesky(ntk) if np.isinf(t) else None
        if self._factor is None:
            values, self._vectors = eigh(ntk, overwrite_a=True, check_finite=False)
            values = np.maximum(values, np.finfo(np.float64).tiny)
            self._shares = -np.expm1(-t * values) / values

    def __matmul__(self, right):
        if self._factor is not None:
            return cho_solve(self._factor, right, check_finite=False)
        return (self._vectors * self._shares) @ (self._vectors.T @ right)


def _cholesky(matrix):
    """Return the factor of a matrix, with a little on the diagonal where it needs that."""
    diagonal = np.diag_indices_from(matrix)
    before, mean = matrix[diagonal], matrix[diagonal].mean()
    for jitter in (0.0, *JITTERS):
        matrix[diagonal] = before + jitter * mean
        try:
            factor = cho_factor(matrix, lower=True, check_finite=False)
        except LinAlgError:
            continue
        if jitter:
            warnings.warn(
                f"the kernel of the training rows is singular (rows that are equal?): "
                f"{jitter:.0e} of its mean diagonal was added. Raise alpha, or give a "
                "finite training_time.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return factor
    raise LinAlgError(
        "the kernel of the training rows has no Cholesky factor, even with "
        f"{JITTERS[-1]:.0e} of its mean diagonal added: raise alpha."
    )


def draw_outputs(covariance, n_draws, rng):
    """Return draws (n, n_draws) of mean 0; equal rows are drawn equal."""
    values, vectors = eigh(covariance, check_finite=False)
    noise = rng.standard_normal((len(values), n_draws))
    return vectors @ (np.sqrt(np.maximum(values, 0.0))[:, None] * noise)


def spread_of_starts(flow, nngp_train, ntk_cross, nngp_cross, nngp_test):
    """Return the covariance of trained outputs; its diagonal if ``nngp_test`` is one."""
    reach = (flow @ ntk_cross.T).T  # (n_test, n_train)
    moved = reach @ nngp_train - nngp_cross
    if nngp_test.ndim == 1:
        change = np.einsum("ij,ij->i", reach, moved - nngp_cross)
        return np.maximum(nngp_test + change, 0.0)
    covariance = nngp_test + moved @ reach.T - reach @ nngp_cross.T
    return (covariance + covariance.T) / 2


def ntk_ensemble_moments(
    ntk_train, nngp_train, ntk_cross, nngp_cross, nngp_test, Y, t=np.inf, ridge=0.0
):
    """Compute mean and covariance of infinitely wide networks after gradient descent.

    Over random starts, at time t of the flow of half the sum of squared errors. An
    average of N networks has the same mean, and the covariance over N. Time
    O(n_train^3 + n_train n_test (n_train + n_test)).

    Parameters
    ----------
    ntk_train, nngp_train : array-like of shape (n_train, n_train)
        Kernels of the training rows, as `relu_kernels` returns them.

    ntk_cross, nngp_cross : array-like of shape (n_test, n_train)
        Kernels of other rows with them.

    nngp_test : array-like of shape (n_test, n_test)
        Kernel of the other rows.

    Y : array-like of shape (n_train,) or (n_train, n_outputs)
        Targets.

    t : float, default=inf
        Time times learning rate.

    ridge : float, default=0.0
        What is added to the diagonal of ``ntk_train``.

    Returns
    -------
    mean : ndarray of shape (n_test,) or (n_test, n_outputs)
        Of the outputs.

    covariance : ndarray of shape (n_test, n_test)
        Of each output; outputs are independent.

    Raises
    ------
    ValueError
        If shapes do not fit, entries are not finite, or ``t`` or ``ridge`` is below 0.

    References
    ----------
    .. [1] G. Giapitzakis, A. Back de Luca, K. Fountoulakis, "Exact Learning of
       Permutations for Nonzero Binary Inputs with Logarithmic Training Size and
       Quadratic Ensemble Complexity", 2025. arXiv:2502.16763

    Examples
    --------
    >>> from minimalml.training_dynamics import ntk_ensemble_moments, relu_kernels
    >>> X, Z, y = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0]], [1.0, 3.0]
    >>> (nngp, ntk), (nngp_cross, ntk_cross) = relu_kernels(X), relu_kernels(Z, X)
    >>> mean, covariance = ntk_ensemble_moments(
    ...     ntk, nngp, ntk_cross, nngp_cross, relu_kernels(Z)[0], y)
    >>> mean.round(3), covariance.round(3)
    (array([3.137]), array([[0.27]]))
    """
    given = dict(ntk_train=ntk_train, nngp_train=nngp_train, ntk_cross=ntk_cross,
                 nngp_cross=nngp_cross, nngp_test=nngp_test)  # fmt: skip
    arrays = {
        name: check_array(value, dtype=np.float64, copy=True, input_name=name)
        for name, value in given.items()
    }
    Y = check_array(Y, dtype=np.float64, ensure_2d=False, input_name="Y")
    n_test, n_train = arrays["ntk_cross"].shape
    sizes = {"train": n_train, "cross": n_train, "test": n_test}
    for name, array in arrays.items():
        kind = name.split("_")[1]
        shape = (n_test if kind == "cross" else sizes[kind], sizes[kind])
        if array.shape != shape:
            raise ValueError(
                f"{name} must have shape {shape} beside ntk_cross, got {array.shape}."
            )
    check_consistent_length(arrays["ntk_train"], Y)
    for name, value in (("t", t), ("ridge", ridge)):
        if not value >= 0:
            raise ValueError(f"{name} must be at least 0, got {value!r}.")
    flow = GradientFlow(arrays.pop("ntk_train"), t, ridge)
    return arrays["ntk_cross"] @ (flow @ Y), spread_of_starts(flow, **arrays)
