"""Bridges and samples that the tests share."""

import numpy as np

from minimalml.transport import LightSchrodingerBridge

TYPES = ["diag", "full"]


def parameters(covariance_type, n_components=3, n_features=2, seed=0):
    """Draw weights, means and matrices S of a potential."""
    rng = np.random.default_rng(seed)
    means = 2 * rng.normal(size=(n_components, n_features))
    S = rng.uniform(0.3, 1.5, size=means.shape)
    if covariance_type == "full":
        turn = rng.normal(size=(n_components, n_features, n_features))
        S = 0.3 * turn @ np.swapaxes(turn, 1, 2) + S[:, None] * np.eye(n_features)
    return rng.normal(size=n_components), means, S


def known_bridge(covariance_type, epsilon=0.8, **options):
    return LightSchrodingerBridge.from_parameters(
        *parameters(covariance_type, **options),
        epsilon=epsilon,
        covariance_type=covariance_type,
    )


def two_samples(n=300, seed=0, n_features=2):
    """Draw a Gaussian and three Gaussians around it."""
    rng = np.random.default_rng(seed)
    centers = 3 * rng.normal(size=(3, n_features))
    X1 = centers[rng.integers(3, size=n)] + 0.5 * rng.normal(size=(n, n_features))
    return rng.normal(size=(n + 20, n_features)), X1


def matrices(S):
    """Return S as matrices."""
    return S if S.ndim == 3 else S[:, None] * np.eye(S.shape[1])
