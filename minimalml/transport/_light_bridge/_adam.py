"""Fit the potential by Adam on minibatches, as in the paper; diagonal matrices only."""

from itertools import count

import numpy as np

from minimalml.transport._light_bridge._expectation_maximization import share_moments
from minimalml.transport._light_bridge._potential import (
    Potential,
    source_terms,
    target_terms,
)

DECAYS = 0.9, 0.999
SMALLEST_SCALE = 1e-8  # of a gradient, added below the fraction line


def adam(X0, X1, potential, *, learning_rate, batch_size, random_state):
    """Yield potentials, their losses on the step's rows, and a fall that ends nothing."""
    parameters = _pack(potential)
    mean, square = np.zeros_like(parameters), np.zeros_like(parameters)
    for step in count(1):
        batches = (X[random_state.randint(len(X), size=batch_size)] for X in (X0, X1))
        loss, gradient = loss_and_gradient(*batches, potential)
        mean += (1 - DECAYS[0]) * (gradient - mean)
        square += (1 - DECAYS[1]) * (gradient**2 - square)
        scale = np.sqrt(square / (1 - DECAYS[1] ** step)) + SMALLEST_SCALE
        parameters -= learning_rate * mean / (1 - DECAYS[0] ** step) / scale
        potential = _unpack(parameters, potential.epsilon)
        yield potential, loss, np.inf


def _pack(potential):
    """Return epsilon log(alpha), r and log(S) side by side: what the steps act on."""
    log_weights, means, variances, epsilon = potential
    return np.column_stack([epsilon * log_weights, means, np.log(variances)])


def _unpack(parameters, epsilon):
    means, log_variances = np.split(parameters[:, 1:], 2, axis=1)
    return Potential(parameters[:, 0] / epsilon, means, np.exp(log_variances), epsilon)


def loss_and_gradient(X0, X1, potential):
    """Return the loss, and its slopes by the packed parameters."""
    _, means, variances, epsilon = potential
    source = share_moments(X0, source_terms(potential), is_diagonal=True)
    target = share_moments(X1, target_terms(potential), is_diagonal=True)
    shares = target.shares[:, None]
    # sums over the target's rows of (x1 - r) and its squares, by shares
    first = target.first - shares * means
    second = target.second - 2 * means * target.first + shares * means**2
    by_mean = (source.first - first / variances) / epsilon
    by_log_variance = variances * source.second - second / variances
    by_log_variance = (by_log_variance / epsilon + shares) / 2
    by_weight = (source.shares - target.shares) / epsilon
    gradient = np.column_stack([by_weight, by_mean, by_log_variance])
    return source.log_sum - target.log_sum, gradient
