"""The plan and the diffusion of a potential: moments, draws, and the drift."""

import numpy as np

from minimalml.transport._light_bridge._potential import (
    cholesky,
    softmax_inplace,
    source_terms,
)


def component_shares(X, potential):
    """Return the share of each component in the law of x1 given each row x0."""
    shares = source_terms(potential)(X)
    softmax_inplace(shares)
    return shares  # (n_rows, n_components)


def conditional_mean(X, potential):
    """Return the mean of x1 given each row x0."""
    shares = component_shares(X, potential)
    mean = shares @ potential.means
    if potential.is_diagonal:
        return mean + shares @ potential.covariances * X
    for share, S in zip(shares.T, potential.covariances, strict=True):
        mean += (share[:, None] * X) @ S
    return mean


def conditional_moments(X, potential):
    """Return the means and covariance matrices of x1 given each row x0."""
    mean = conditional_mean(X, potential)
    covariance = np.zeros((*X.shape, X.shape[1]))
    shares = component_shares(X, potential)
    for share, r, S in zip(shares.T, *potential[1:3], strict=True):
        offset = r + _times(X, S) - mean
        covariance += (share[:, None] * offset)[:, :, None] * offset[:, None, :]
        matrix = np.diag(S) if potential.is_diagonal else S
        covariance += potential.epsilon * share[:, None, None] * matrix
    return mean, covariance


def draw_conditional(X, potential, n_samples, rng):
    """Return ``n_samples`` draws of x1 given each row x0."""
    cumulative = component_shares(X, potential).cumsum(axis=1)
    uniform = rng.uniform(size=(len(X), n_samples))
    component = np.zeros((len(X), n_samples), dtype=np.intp)
    for share in cumulative.T[:-1]:
        component += uniform > share[:, None]
    draws = rng.standard_normal((len(X), n_samples, X.shape[1]))
    draws *= np.sqrt(potential.epsilon)
    S = potential.covariances
    roots = np.sqrt(S) if potential.is_diagonal else np.swapaxes(cholesky(S), 1, 2)
    for number, root in enumerate(roots):
        rows, places = np.nonzero(component == number)
        noise = _times(draws[rows, places], root)
        draws[rows, places] = (
            potential.means[number] + noise + _times(X[rows], S[number])
        )
    return draws


def draw_path(X, potential, times, rng):
    """Return Brownian bridges at growing times, from rows to draws of their ends."""
    ends = draw_conditional(X, potential, 1, rng)[:, 0]
    path = np.empty((len(X), len(times), X.shape[1]))
    position, now = X, 0.0
    for number, time in enumerate(times):
        share = (time - now) / (1 - now)
        noise = np.sqrt(potential.epsilon * share * (1 - time)) * rng.standard_normal(
            X.shape
        )
        position = position + share * (ends - position) + noise
        path[:, number], now = position, time
    return path


def drift(X, t, potential):
    """Return the drift at rows X at times ``t``, shape (n_rows,).

    In the axes of S, where ``B = (t S + (1 - t) I)^-1`` is diagonal. The mean of x1 is
    ``B (S x + (1 - t) r)``, so that its distance from x over 1 - t is ``B ((S - I) x +
    r)``: nothing is divided by 1 - t.
    """
    t, epsilon = t[:, None], potential.epsilon
    if potential.is_diagonal:
        values, axes = potential.covariances, [None] * len(potential.means)
    else:
        values, axes = np.linalg.eigh(potential.covariances)
    components = list(zip(values, axes, potential.means, strict=True))
    logarithms = np.empty((len(X), len(components)))
    for k, (value, axis, r) in enumerate(components):
        x, r = (part if axis is None else part @ axis for part in (X, r))
        scale = 1 / (t * value + (1 - t))
        terms = scale * ((value - 1) * x**2 + 2 * r * x - t * r**2) / epsilon
        logarithms[:, k] = (terms + np.log(scale)).sum(axis=1) / 2
    shares = logarithms + potential.log_weights
    softmax_inplace(shares)
    result = np.zeros_like(X)
    for share, (value, axis, r) in zip(shares.T, components, strict=True):
        x, r = (part if axis is None else part @ axis for part in (X, r))
        part = share[:, None] * ((value - 1) * x + r) / (t * value + (1 - t))
        result += part if axis is None else part @ axis.T
    return result


def _times(X, matrix):
    """Return rows times a matrix, or times a diagonal."""
    return X * matrix if matrix.ndim == 1 else X @ matrix
