"""Where a fit starts: what it asks of the two samples, and the first potential."""

import warnings

import numpy as np
from scipy.special import logsumexp
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.utils import gen_batches

from minimalml.transport._light_bridge._gaussian_map import gaussian_maps
from minimalml.transport._light_bridge._potential import (
    BLOCK_ROWS,
    Potential,
    source_terms,
)

VARIANCE_AT_ROWS = 0.1  # S where components start at rows of the target
# Of the mean variance: with less entropy a component covers a small part of the rows.
SMALLEST_EPSILON = 1e-3


def check_samples(X0, X1, n_components):
    """Refuse samples of too few rows."""
    if min(len(X0), len(X1)) < 2:
        raise ValueError(
            f"A bridge needs at least 2 rows of each sample, got {len(X0)} of the "
            f"source and {len(X1)} of the target."
        )
    if n_components > len(X1):
        raise ValueError(
            f"n_components={n_components} is more than the {len(X1)} rows of the target."
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
    unweighted = Potential(np.zeros(n_components), means, S, epsilon)
    # each component gets its weight of the mixture, on average over the source
    terms = source_terms(unweighted)
    blocks = gen_batches(len(X0), BLOCK_ROWS)
    totals = logsumexp(
        [logsumexp(terms(X0[block]), axis=0) for block in blocks], axis=0
    )
    totals -= np.log(len(X0))
    return unweighted._replace(log_weights=np.log(mixture.weights_) - totals)
