"""The paper's task: a quadratic target of one direction."""

import numpy as np

MEAN_SQUARE = 0.75  # of the target: what predicting 0 costs


def polynomial_task(seed, n_features=25, n_samples=120):
    """Return X with rows from N(0, I / D), y = (beta . x)^2 / 2 and beta, |beta|^2 = D."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)) / np.sqrt(n_features)
    beta = rng.normal(size=n_features)
    beta *= np.sqrt(n_features) / np.linalg.norm(beta)
    return X, (X @ beta) ** 2 / 2, beta
