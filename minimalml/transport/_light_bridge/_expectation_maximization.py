"""Fit the potential by expectation and maximisation, with steps that never go up.

Where the loss has no slope, each component is the entropic transport between two
Gaussians: the moments of the source and of the target by its shares of their rows. A
step computes shares, moments, and these maps, and goes towards them as far as the loss
falls.
"""

from typing import NamedTuple

import numpy as np
from sklearn.utils import gen_batches

from minimalml.transport._light_bridge._gaussian_map import (
    gaussian_maps,
    times_each,
)
from minimalml.transport._light_bridge._potential import (
    BLOCK_ROWS,
    Potential,
    softmax_inplace,
    source_terms,
    target_terms,
)

# Shortest step that is tried, as a share of the whole one.
SMALLEST_STEP = 1e-3


class Moments(NamedTuple):
    """Means over rows of the shares of components, and of rows times these."""

    log_sum: float
    shares: np.ndarray  # (n_components,)
    first: np.ndarray  # (n_components, n_features)
    second: np.ndarray  # squares, or products (n_components, n_features, n_features)


def share_moments(X, terms, is_diagonal):
    """Return the `Moments` of rows whose shares are the softmax of ``terms``."""
    sums = [0.0] * 4
    for block in gen_batches(len(X), BLOCK_ROWS):
        rows = X[block]
        shares = terms(rows)
        log_sums = softmax_inplace(shares)
        if is_diagonal:
            second = shares.T @ rows**2
        else:
            second = np.stack([(rows * s[:, None]).T @ rows for s in shares.T])
        parts = log_sums.sum(), shares.sum(axis=0), shares.T @ rows, second
        sums = [total + part for total, part in zip(sums, parts, strict=True)]
    return Moments(*(total / len(X) for total in sums))


def expectation_maximization(X0, X1, potential, reg_covar):
    """Yield potentials, their losses, and by how much the loss fell."""
    sizes = len(X0), len(X1)
    source, target, loss = _expect(X0, X1, potential)
    while True:
        goal = _maximize(potential, source, target, sizes, reg_covar)
        previous, step = loss, 1.0
        while step >= SMALLEST_STEP:
            trial = _towards(potential, goal, step)
            trial_source, trial_target, trial_loss = _expect(X0, X1, trial)
            if trial_loss <= loss:
                potential, loss = trial, trial_loss
                source, target = trial_source, trial_target
                break
            step /= 2
        yield potential, loss, previous - loss


def _expect(X0, X1, potential):
    """Return the moments of both samples, and the loss."""
    source = share_moments(X0, source_terms(potential), potential.is_diagonal)
    target = share_moments(X1, target_terms(potential), potential.is_diagonal)
    return source, target, source.log_sum - target.log_sum


def _maximize(potential, source, target, sizes, reg_covar):
    """Return the potential of the Gaussian map of each component."""
    _, means, covariances, epsilon = potential
    # a component of less than a row has no moments: only its weight changes
    active = (sizes[0] * source.shares >= 1) & (sizes[1] * target.shares >= 1)
    m0, C0 = _weighted_gaussians(source, active, reg_covar)
    m1, C1 = _weighted_gaussians(target, active, reg_covar)
    S, r = gaussian_maps(m0, C0, m1, C1, epsilon, reg_covar)
    goal = Potential(*(np.array(part) for part in potential[:3]), epsilon)
    goal.means[active], goal.covariances[active] = r, S
    before = _exponents(m0, covariances[active], means[active], epsilon)
    goal.log_weights[active] += before - _exponents(m0, S, r, epsilon)
    seen = (source.shares > 0) & (target.shares > 0)
    goal.log_weights[seen] += np.log(target.shares[seen] / source.shares[seen])
    return goal


def _weighted_gaussians(moments, active, reg_covar):
    """Return mean and covariance of the rows by the shares of each active component."""
    shares = moments.shares[active]
    means = moments.first[active] / shares[:, None]
    if moments.second.ndim == 2:
        variances = moments.second[active] / shares[:, None] - means**2
        return means, np.maximum(variances, reg_covar)
    covariances = moments.second[active] / shares[:, None, None]
    covariances -= means[:, :, None] * means[:, None, :]
    return means, covariances + reg_covar * np.eye(means.shape[1])


def _exponents(points, covariances, means, epsilon):
    """Return the logarithm of the source term of each component at its own point."""
    moved = times_each(covariances, points) + 2 * means
    return (moved * points).sum(axis=1) / (2 * epsilon)


def _towards(potential, goal, step):
    """Return the potential on the way to ``goal``; matrices S stay positive definite."""
    parts = zip(potential[:3], goal[:3], strict=True)
    return Potential(*(a + step * (b - a) for a, b in parts), potential.epsilon)
