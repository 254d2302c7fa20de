"""The q-Gaussian density, which maximises Tsallis entropy: heavy tails, in any dimension.

With m degrees of freedom it is the multivariate t distribution. Marginals and linear maps
keep m, whereas the Tsallis index q = 1 + 2 / (m + n) changes with the dimension n.
"""

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.special import betaln, gammaln
from sklearn.utils import check_array

from minimalml._core.validation import Interval, Real, validate_params


@validate_params(
    {
        "x": ["array-like"],
        "mean": [Interval(Real, None, None, closed="neither"), "array-like"],
        "scale": [Interval(Real, 0, None, closed="neither"), "array-like"],
        "df": [Interval(Real, 0, None, closed="right")],
    },
    prefer_skip_nested_validation=True,
)
def q_gaussian_logpdf(x, mean, scale, *, df):
    r"""Return the logarithm of the q-Gaussian (multivariate t) density.

    O(n_draws n) time for a number as ``scale``, O(n³ + n_draws n²) for a matrix.

    Parameters
    ----------
    x : array-like of shape (n,) or (n_draws, n)
        One draw, or one in each row.

    mean : float or array-like of shape (n,)
        Centre.

    scale : float or array-like of shape (n, n)
        Positive definite scale matrix :math:`\Sigma`, or a number times the identity. The
        covariance is ``df / (df - 2)`` of it, where there is one.

    df : float
        Degrees of freedom above 0, the same in each dimension. The smaller, the heavier
        the tails; ``inf`` is the Gaussian density.

    Returns
    -------
    float or ndarray of shape (n_draws,)
        Logarithm of the density of each draw.

    Raises
    ------
    ValueError
        If shapes do not agree, or ``scale`` is not symmetric and positive definite.

    Notes
    -----
    With :math:`\delta = (x - \mu)^T \Sigma^{-1} (x - \mu)` and m degrees of freedom, the
    density is

    .. math::

       \frac{\Gamma((m + n) / 2)}{\Gamma(m / 2)} |\pi m \Sigma|^{-1/2}
       (1 + \delta / m)^{-(m + n) / 2}

    Its Tsallis index is :math:`q = 1 + 2 / (m + n)`.

    References
    ----------
    K. Yang, "Contributions to Robust and Efficient Methods for Analysis of High
    Dimensional Data", McGill University, 2025. arXiv:2509.08155

    Examples
    --------
    >>> from minimalml.linear_model import q_gaussian_logpdf
    >>> q_gaussian_logpdf([[0.0, 0.0], [6.0, 8.0]], 0.0, 4.0, df=3).round(3).tolist()
    [-3.224, -8.808]
    """
    checks = {"dtype": np.float64, "ensure_2d": False, "allow_nd": True}
    x = check_array(np.asarray(x), input_name="x", **checks)
    mean = check_array(np.atleast_1d(mean), input_name="mean", **checks)
    n = x.shape[-1]
    if x.ndim > 2 or mean.shape not in ((1,), (n,)):
        raise ValueError(
            "x must have shape (n,) or (n_draws, n), and mean be a number or have shape "
            f"(n,), got shapes {x.shape} and {mean.shape}."
        )
    draws = np.atleast_2d(x)
    whitened, log_determinant = _whiten(draws - mean, scale)
    distances = np.einsum("ij,ij->i", whitened, whitened)
    log_densities = (
        log_normaliser(n, df) - log_determinant / 2 - tail_loss(distances, n, df)
    )
    return log_densities if x.ndim == 2 else float(log_densities[0])


def _whiten(draws, scale):
    """Return draws whose scale matrix is the identity, and log |scale|."""
    n = draws.shape[1]
    if np.ndim(scale) == 0:
        return draws / np.sqrt(scale), n * np.log(scale)
    scale = check_array(scale, dtype=np.float64, input_name="scale")
    if scale.shape != (n, n) or not np.allclose(scale, scale.T):
        raise ValueError(
            f"scale must be a number or a symmetric matrix of shape {(n, n)}, got shape "
            f"{scale.shape}."
        )
    try:
        root = cholesky(scale, lower=True)
    except LinAlgError as error:
        raise ValueError("scale must be positive definite, which it is not.") from error
    whitened = solve_triangular(root, draws.T, lower=True).T
    return whitened, 2 * np.log(np.diag(root)).sum()


def log_normaliser(n, df):
    """Return the logarithm of the density's constant in ``n`` dimensions."""
    gaussian = -n / 2 * np.log(2 * np.pi)
    if np.isinf(df):
        return gaussian
    # the beta function keeps the digits that a difference of two gammas would lose
    ratio = gammaln(n / 2) - betaln(df / 2, n / 2)
    return gaussian + ratio - n / 2 * np.log(df / 2)


def tail_loss(distances, n, df):
    """Return how much less the density is, as logarithms, at squared distances."""
    if np.isinf(df):
        return distances / 2
    return (df + n) / 2 * np.log1p(distances / df)
