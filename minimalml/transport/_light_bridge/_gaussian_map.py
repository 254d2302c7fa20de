"""Entropic transport between two Gaussians, in closed form."""

from numbers import Real

import numpy as np
from sklearn.utils import check_array


def gaussian_entropic_map(m0, C0, m1, C1, epsilon):
    """Solve entropic optimal transport between two Gaussians in closed form.

    The plan moves x0 to a Gaussian of mean ``S x0 + r`` and covariance ``epsilon S``.
    Use it where both samples are well described by mean and covariance; a light bridge
    of one full component is this map of the samples' moments.

    Parameters
    ----------
    m0 : array-like of shape (n_features,)
        Mean of the source.

    C0 : array-like of shape (n_features, n_features)
        Covariance of the source; may be singular.

    m1 : array-like of shape (n_features,)
        Mean of the target.

    C1 : array-like of shape (n_features, n_features)
        Covariance of the target; may be singular.

    epsilon : float
        Weight of the entropy, above 0, beside half the squared distance.

    Returns
    -------
    S : ndarray of shape (n_features, n_features)
        Symmetric and positive semi-definite, with ``S C0 S + epsilon S = C1``.

    r : ndarray of shape (n_features,)
        ``m1 - S m0``.

    Raises
    ------
    ValueError
        If shapes disagree, something is not finite, or a covariance is not symmetric
        and positive semi-definite.

    Notes
    -----
    With ``C1 = L L'`` it is ``S = L g(L' C0 L) L'`` where ``g(x) = 2 / (epsilon +
    sqrt(epsilon^2 + 4 x))``, which divides by no covariance. Time O(d^3).

    References
    ----------
    .. [1] H. Janati, B. Muzellec, G. Peyré, M. Cuturi, "Entropic Optimal Transport
       between Unbalanced Gaussian Measures has a Closed Form", NeurIPS 2020.

    Examples
    --------
    >>> from minimalml.transport import gaussian_entropic_map
    >>> S, r = gaussian_entropic_map([1.0], [[2.0]], [3.0], [[3.0]], epsilon=1.0)
    >>> S, r  # S * 2 * S + S is 3
    (array([[1.]]), array([2.]))
    """
    m0, m1 = (
        check_array(mean, dtype=np.float64, ensure_2d=False, input_name=name)
        for name, mean in (("m0", m0), ("m1", m1))
    )
    if m0.ndim != 1 or m0.shape != m1.shape:
        raise ValueError(
            f"m0 and m1 must be vectors of one length, got shapes {m0.shape} and "
            f"{m1.shape}."
        )
    C0, C1 = (
        _check_covariance(C, name, len(m0)) for name, C in (("C0", C0), ("C1", C1))
    )
    check_epsilon(epsilon)
    S, r = gaussian_maps(m0, C0, m1[None], C1[None], epsilon)
    return S[0], r[0]


def gaussian_maps(m0, C0, m1, C1, epsilon, smallest_variance=0.0):
    """Return S and r of each Gaussian of a stack, by diagonals or by matrices C1.

    Rounding may have left matrices C1 variances below the smallest that they can have.
    """
    if C1.ndim == 2:
        S = C1 * _scale(C0 * C1, epsilon)
    else:
        variances, axes = np.linalg.eigh(C1)
        root = axes * np.sqrt(variances.clip(smallest_variance))[:, None]
        values, vectors = np.linalg.eigh(np.swapaxes(root, 1, 2) @ C0 @ root)
        half = root @ vectors * np.sqrt(_scale(values.clip(0), epsilon))[:, None]
        S = half @ np.swapaxes(half, 1, 2)
    return S, m1 - times_each(S, m0)


def times_each(S, points):
    """Return ``S_k @ points[k]`` for diagonals or matrices S, or of one point for all."""
    return S * points if S.ndim == 2 else (S @ points[..., None])[..., 0]


def _scale(product, epsilon):
    """Return ``(sqrt(epsilon^2 / 4 + x) - epsilon / 2) / x``, which has a limit at 0."""
    return 2 / (epsilon + np.hypot(epsilon, 2 * np.sqrt(product)))


def check_epsilon(epsilon):
    """Refuse what is no weight of an entropy."""
    if not (isinstance(epsilon, Real) and 0 < epsilon < np.inf):
        raise ValueError(
            f"epsilon must be a number above 0 and finite, got {epsilon!r}."
        )


def _check_covariance(C, name, n_features):
    C = check_array(C, dtype=np.float64, input_name=name)
    if C.shape != (n_features, n_features):
        raise ValueError(
            f"{name} must have shape {(n_features, n_features)}, got {C.shape}."
        )
    if not np.allclose(C, C.T):
        raise ValueError(f"{name} must be symmetric.")
    smallest, largest = np.linalg.eigvalsh(C)[[0, -1]]
    if smallest < -1e-8 * max(largest, -smallest):
        raise ValueError(
            f"{name} must be positive semi-definite, got an eigenvalue {smallest:g}."
        )
    return C
