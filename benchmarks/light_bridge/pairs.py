"""Pairs of samples with a known plan, and how far a plan is from it.

The published benchmark of entropic transport builds its pairs so: a potential of five
Gaussians is chosen, its plan carries a standard Gaussian to the target, and the law of
the target given any row of the source is known. arXiv:2306.10161
"""

import numpy as np
from scipy.stats import special_ortho_group

from minimalml.transport import LightSchrodingerBridge

N_TRUE, RADIUS = 5, 5.0


def known_pair(n, n_features, epsilon, seed, together=True):
    """Return the true bridge, and rows of both samples.

    Drawn together, the target rows are where the source rows end, and the plan between
    the samples is nearly the true one; no fit is told which belongs to which. Drawn
    apart, as samples of two experiments are, their own best plan is further from it.
    """
    rng = np.random.RandomState(seed)
    means = rng.normal(size=(N_TRUE, n_features))
    means *= RADIUS / np.linalg.norm(means, axis=1, keepdims=True)
    turns = special_ortho_group.rvs(n_features, size=N_TRUE, random_state=rng)
    values = np.exp(rng.uniform(np.log(0.25), 0, means.shape))
    S = turns * values[:, None] @ np.swapaxes(turns, 1, 2)
    truth = LightSchrodingerBridge.from_parameters(
        np.full(N_TRUE, -np.log(N_TRUE)), means, S,
        epsilon=epsilon, covariance_type="full",
    )  # fmt: skip
    X0, others = rng.normal(size=(2, n, n_features))
    X1 = truth.sample_conditional(X0 if together else others, random_state=rng)[:, 0]
    return truth, X0, X1[rng.permutation(n)]


def squared_distance(m0, C0, m1, C1):
    """Return the squared Bures-Wasserstein distance between Gaussians."""
    values, axes = np.linalg.eigh(C0)
    root = axes * np.sqrt(values.clip(0))[..., None, :]
    cross = np.linalg.eigvalsh(np.swapaxes(root, -1, -2) @ C1 @ root).clip(0)
    traces = np.trace(C0 + C1, axis1=-2, axis2=-1)
    return ((m0 - m1) ** 2).sum(-1) + traces - 2 * np.sqrt(cross).sum(-1)


def errors(moments, truth, X0):
    """Return BW2-UVP of the whole target and of it given each new row, in percent."""
    mean, covariance = truth.conditional_moments(X0)
    target = whole(mean, covariance)
    unit = np.trace(target[1]) / 200
    of_all = squared_distance(*whole(*moments), *target) / unit
    of_rows = squared_distance(*moments, mean, covariance).mean() / unit
    return of_all, of_rows


def whole(mean, covariance):
    """Return mean and covariance of a law from those given each row."""
    return mean.mean(axis=0), covariance.mean(axis=0) + np.cov(mean.T, bias=True)


def independent(X1, n):
    """Return the moments of a plan that knows nothing of the source."""
    covariance = np.cov(X1.T, bias=True)
    return np.tile(X1.mean(axis=0), (n, 1)), np.tile(covariance, (n, 1, 1))
