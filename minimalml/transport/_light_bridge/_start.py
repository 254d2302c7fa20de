"""Where a fit of the potential starts."""

import warnings

import numpy as np
from scipy.special import logsumexp
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from minimalml.transport._light_bridge._gaussian_map import (
    entropic_scale,
    entropic_scale_diagonal,
)
from minimalml.transport._light_bridge._potential import Potential, source_terms

VARIANCE_AT_ROWS = 0.1  # S where components start at rows of the target


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
    m0 = X0.mean(axis=0)
    if mixture.covariances_.ndim == 2:
        S = entropic_scale_diagonal(X0.var(axis=0), mixture.covariances_, epsilon)
        means = mixture.means_ - S * m0
    else:
        C0 = np.atleast_2d(np.cov(X0, rowvar=False, bias=True))
        S = entropic_scale(C0, mixture.covariances_, epsilon)
        means = mixture.means_ - S @ m0
    unweighted = Potential(np.zeros(n_components), means, S, epsilon)
    # each component gets its weight of the mixture, on average over the source
    totals = logsumexp(source_terms(unweighted)(X0), axis=0) - np.log(len(X0))
    return unweighted._replace(log_weights=np.log(mixture.weights_) - totals)
