"""Where a fit starts: what it asks of the two samples, and the first potential."""

import warnings

import numpy as np
from scipy.special import logsumexp
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from minimalml.transport._light_bridge._gaussian_map import gaussian_maps
from minimalml.transport._light_bridge._potential import (
    Potential,
    softmax_inplace,
    source_terms,
)

VARIANCE_AT_ROWS = 0.1  # S where components start at rows of the target
# Sinkhorn's iterations at the start, until no share of the source is 10 % off.
MAX_BALANCING, BALANCED = 100, 0.1
# Of the mean variance: with less entropy a component covers a small part of the rows.
SMALLEST_EPSILON = 1e-3


def check_sizes(n_source, n_target, n_components):
    """Refuse samples of too few rows."""
    if min(n_source, n_target) < 2:
        raise ValueError(
            f"A bridge needs at least 2 rows of each sample, got {n_source} of the "
            f"source and {n_target} of the target."
        )
    if n_components > n_target:
        raise ValueError(
            f"n_components={n_components} is more than the {n_target} rows of the target."
        )


def smallest_epsilon(X0, X1):
    """Return the weight of the entropy below which the loss is ill-conditioned."""
    with np.errstate(over="ignore"):
        variance = np.mean([X0.var(axis=0), X1.var(axis=0)])
        fourth_power = variance**2
    if not np.isfinite(fourth_power):
        raise ValueError(
            "X has numbers whose fourth powers overflow: scale the features."
        )
    return SMALLEST_EPSILON * variance


def start_at_rows(X1, n_components, epsilon, *, covariance_type, random_state):
    """Return components of one weight at different rows of the target."""
    means = X1[random_state.permutation(len(X1))[:n_components]]
    S = np.full(means.shape, VARIANCE_AT_ROWS)
    if covariance_type == "full":
        S = S[:, None, :] * np.eye(X1.shape[1])
    return Potential(np.full(n_components, -np.log(n_components)), means, S, epsilon)


def start_at_mixture(X0, X1, n_components, epsilon, **options):
    """Return maps from the whole source to each component of a mixture of the target."""
    mixture = GaussianMixture(n_components, **options)
    # k-means inside takes NumPy arrays alone, and says so under array API dispatch
    with warnings.catch_warnings(), config_context(array_api_dispatch=False):
        # a start need not have converged
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(X1)
    if mixture.covariances_.ndim == 2:
        C0 = X0.var(axis=0)
    else:
        C0 = np.atleast_2d(np.cov(X0, rowvar=False, bias=True))
    S, means = gaussian_maps(
        X0.mean(axis=0), C0, mixture.means_, mixture.covariances_, epsilon
    )
    potential = Potential(np.zeros(n_components), means, S, epsilon)
    return potential._replace(
        log_weights=balance(source_terms(potential)(X0), np.log(mixture.weights_))
    )


def balance(exponents, log_shares):
    """Return log weights that give each component its share of the source.

    One of Sinkhorn's iterations makes the integrals right, but where epsilon is small
    it leaves most components without a row, which would stay so.
    """
    log_weights = log_shares - logsumexp(exponents, axis=0)
    for _ in range(MAX_BALANCING):
        terms = exponents + log_weights  # (n_source_samples, n_components)
        softmax_inplace(terms)
        found = terms.mean(axis=0).clip(np.finfo(float).tiny)
        change = log_shares - np.log(found)
        log_weights += change
        if np.abs(change).max() < BALANCED:
            break
    return log_weights
