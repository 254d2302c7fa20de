"""A mixture of Gaussians as the potential of an entropic transport plan, and its loss.

Both log sums of the loss are over the components of the mixture; all else is built on
their terms. Korotin, Gushchin, Burnaev, "Light Schrödinger Bridge", ICLR 2024.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from sklearn.utils import check_array, gen_batches

from minimalml.transport._light_bridge._gaussian_map import check_epsilon, times_each

# Rows at a time: their terms for a hundred components take 3 MB, about a cache.
BLOCK_ROWS = 4096


class Potential(NamedTuple):
    """The adjusted potential: the sum of ``exp(log_weights) N(means, epsilon S)``."""

    log_weights: np.ndarray  # (n_components,)
    means: np.ndarray  # r, (n_components, n_features)
    covariances: np.ndarray  # S, diagonals (n_components, n_features), or matrices
    epsilon: float

    @property
    def is_diagonal(self):
        """Whether the matrices S are given by their diagonals."""
        return self.covariances.ndim == 2

    def translate(self, shift):
        """Return the potential of the same plan after all rows moved by ``shift``."""
        moved = times_each(self.covariances, shift)
        means = self.means + shift - moved
        added = (2 * means + moved) @ shift / (2 * self.epsilon)
        return self._replace(means=means, log_weights=self.log_weights - added)

    def normalize(self):
        """Return the same plan with weights that sum to 1."""
        log_sum = logsumexp(self.log_weights)
        return self._replace(log_weights=self.log_weights - log_sum)


def light_bridge_loss(X0, X1, log_weights, means, covariances, epsilon):
    """Compute how far a potential is from the entropic transport between two samples.

    Up to a constant of the samples it is the Kullback-Leibler divergence from the
    optimal plan to that of the potential, so differences at equal ``epsilon`` have a
    meaning, and a value alone has none. Rows of both samples need not be paired.

    Parameters
    ----------
    X0 : array-like of shape (n_source_samples, n_features)
        Rows of the source.

    X1 : array-like of shape (n_target_samples, n_features)
        Rows of the target.

    log_weights : array-like of shape (n_components,)
        Logarithms of the weights alpha of the components. A constant added to all
        changes nothing.

    means : array-like of shape (n_components, n_features)
        Means r.

    covariances : array-like of shape (n_components, n_features) or \
            (n_components, n_features, n_features)
        Matrices S, or their diagonals; positive definite.

    epsilon : float
        Weight of the entropy, above 0, in squared units of the features.

    Returns
    -------
    float
        The loss.

    Raises
    ------
    ValueError
        If shapes disagree, something is not finite, or S is not positive definite.

    Notes
    -----
    The mean of ``log c(x0)`` minus the mean of ``log v(x1)``, with ``v(x1) = sum_k
    alpha_k N(x1 | r_k, epsilon S_k)`` and ``c(x0) = sum_k alpha_k exp((x0' S_k x0 + 2
    r_k' x0) / (2 epsilon))``. Time O(n K d) for diagonals, else O(n K d^2).

    References
    ----------
    .. [1] A. Korotin, N. Gushchin, E. Burnaev, "Light Schrödinger Bridge", ICLR 2024.
       arXiv:2310.01174

    Examples
    --------
    >>> from minimalml.transport import light_bridge_loss
    >>> X0, X1 = [[0.0], [2.0]], [[3.0], [5.0]]
    >>> near, far = (
    ...     light_bridge_loss(X0, X1, [0.0], [[mean]], [[1.0]], epsilon=1.0)
    ...     for mean in (3.0, 9.0)
    ... )
    >>> near < far
    True
    """
    X0, X1 = (
        check_array(X, dtype=np.float64, input_name=name)
        for name, X in (("X0", X0), ("X1", X1))
    )
    potential = check_potential(log_weights, means, covariances, epsilon)
    for name, X in (("X0", X0), ("X1", X1)):
        if X.shape[1] != potential.means.shape[1]:
            raise ValueError(
                f"{name} has {X.shape[1]} features but means have "
                f"{potential.means.shape[1]}."
            )
    return potential_loss(X0, X1, potential)


def check_potential(log_weights, means, covariances, epsilon):
    """Return the `Potential` of what a user gives, or say what is wrong with it."""
    means = check_array(means, dtype=np.float64, input_name="means")
    n_components, n_features = means.shape
    log_weights = check_array(
        log_weights, dtype=np.float64, ensure_2d=False, input_name="log_weights"
    )
    covariances = check_array(
        covariances, dtype=np.float64, allow_nd=True, input_name="covariances"
    )
    if log_weights.shape != (n_components,):
        raise ValueError(
            f"log_weights must have shape {(n_components,)}, one number for each row of "
            f"means, got {log_weights.shape}."
        )
    if covariances.shape not in (means.shape, (*means.shape, n_features)):
        raise ValueError(
            f"covariances must have shape {means.shape} (diagonals) or "
            f"{(*means.shape, n_features)}, got {covariances.shape}."
        )
    check_epsilon(epsilon)
    if covariances.ndim == 2 and (covariances <= 0).any():
        raise ValueError(
            f"covariances must be positive, got diagonals down to {covariances.min():g}."
        )
    if covariances.ndim == 3:
        if not np.allclose(covariances, np.swapaxes(covariances, 1, 2)):
            raise ValueError("covariances must be symmetric matrices.")
        cholesky(covariances)
    return Potential(log_weights, means, covariances, float(epsilon))


def cholesky(covariances):
    """Return the lower factors of matrices S, or say that they have none."""
    try:
        return np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError as error:
        raise ValueError(
            "covariances must be positive definite. A fit keeps them so by reg_covar: "
            "raise it, or scale the features."
        ) from error


def source_terms(potential):
    """Return the function from rows x0 to the logarithms of the K terms of c(x0)."""
    log_weights, means, covariances, epsilon = potential

    def terms(X):
        if potential.is_diagonal:
            squares = X**2 @ covariances.T
        else:
            squares = np.stack(
                [np.einsum("ij,ij->i", X @ S, X) for S in covariances], axis=1
            )
        squares += X @ (2 * means.T)
        squares /= 2 * epsilon
        squares += log_weights
        return squares  # (n_rows, n_components)

    return terms


def target_terms(potential):
    """Return the function from rows x1 to the logarithms of the K terms of v(x1)."""
    log_weights, means, covariances, epsilon = potential
    center = means.mean(axis=0)  # squares of numbers far from 0 would lose digits
    means = means - center
    if potential.is_diagonal:
        precisions = 1 / covariances
        log_determinants = np.log(covariances).sum(axis=1)
        offsets = (means**2 * precisions).sum(axis=1)
    else:
        factors = cholesky(covariances)
        log_determinants = 2 * np.log(np.einsum("kii->ki", factors)).sum(axis=1)
        identity = np.eye(means.shape[1])
        roots = [solve_triangular(L, identity, lower=True).T for L in factors]
    log_determinants += means.shape[1] * np.log(2 * np.pi * epsilon)

    def terms(X):
        X = X - center
        if potential.is_diagonal:
            squares = X**2 @ precisions.T
            squares -= X @ (2 * means * precisions).T
            squares += offsets
        else:
            whitened = (X @ P - r @ P for P, r in zip(roots, means, strict=True))
            squares = np.stack([np.einsum("ij,ij->i", Z, Z) for Z in whitened], axis=1)
        squares /= -2 * epsilon
        squares += log_weights - log_determinants / 2
        return squares  # (n_rows, n_components)

    return terms


def softmax_inplace(terms):
    """Turn logarithms into shares of their rows' sums; return the sums' logarithms."""
    largest = terms.max(axis=1, keepdims=True)
    terms -= largest
    np.exp(terms, out=terms)
    sums = terms.sum(axis=1, keepdims=True)
    terms /= sums
    log_sums = (np.log(sums) + largest)[:, 0]
    if not np.isfinite(log_sums).all():
        raise ValueError(
            "X has numbers too large for epsilon: the logarithms of the potential are "
            "not finite. Raise epsilon or scale the features."
        )
    return log_sums


def log_sums(X, terms):
    """Return the logarithms of the sums of ``terms`` of each row."""
    blocks = gen_batches(len(X), BLOCK_ROWS)
    return np.concatenate([softmax_inplace(terms(X[block])) for block in blocks])


def potential_loss(X0, X1, potential, weights=(None, None)):
    """Return the loss of a checked potential, with weights of rows of both samples."""
    normalizers = log_sums(X0, source_terms(potential))
    densities = log_sums(X1, target_terms(potential))
    return float(
        np.average(normalizers, weights=weights[0])
        - np.average(densities, weights=weights[1])
    )
