"""Tables of correlated columns, and coordinate descent by skglm on them.

Columns are standardised and y is centred, so that all solvers see one problem.
"""

import numpy as np

ALPHA_SHARE = 0.15  # of the strength at which all coefficients are 0


def autoregressive_rows(n_rows, n_features, correlation, rng):
    """Draw rows whose neighbouring columns are correlated."""
    X = rng.normal(size=(n_rows, n_features))
    for j in range(1, n_features):
        X[:, j] *= np.sqrt(1 - correlation**2)
        X[:, j] += correlation * X[:, j - 1]
    return X


def scattered_table(n_rows, n_features, correlation, seed, n_true=10):
    """Ten true columns anywhere, of either sign; noise a third of the signal."""
    rng = np.random.default_rng(seed)
    X = autoregressive_rows(n_rows, n_features, correlation, rng)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    coef = np.zeros(n_features)
    true = rng.choice(n_features, n_true, replace=False)
    coef[true] = rng.choice([-1, 1], n_true) * rng.uniform(1, 5, n_true)
    signal = X @ coef
    y = signal + signal.std() / 3 * rng.normal(size=n_rows)
    return X, y - y.mean(), coef


def paper_table(n_rows, n_between, correlation, signal_to_noise, seed):
    """Five runs of ten true columns, from weak to strong, with zeros between them.

    The paper has 1000 rows and 500 zeros between runs. Twice the rows are drawn: half
    of them to fit, and half to choose the strength of the penalty.
    """
    rng = np.random.default_rng(seed)
    sizes = [(0.5, 1), (5, 2), (10, 3), (20, 4), (50, 5)]
    parts = [part for m, s in sizes for part in (rng.normal(m, s, 10), [0] * n_between)]
    coef = np.concatenate(parts[:-1])
    places = np.arange(len(coef))
    covariance = correlation ** np.abs(places[:, None] - places)
    noise = np.sqrt(coef @ covariance @ coef / signal_to_noise)
    X = autoregressive_rows(2 * n_rows, len(coef), correlation, rng)
    y = X @ coef + noise * rng.normal(size=len(X))
    scale = X[:n_rows].std(axis=0)
    X, y = (X - X[:n_rows].mean(axis=0)) / scale, y - y[:n_rows].mean()
    return X, y, coef * scale


def largest_alpha(X, y):
    """Return the strength from which on all coefficients are 0."""
    return np.abs(X.T @ y).max() / len(y)


class CoordinateDescent:
    """skglm's solver for SCAD and MCP, with working sets and Anderson acceleration."""

    def __init__(self, penalty, *, warm_start=False, tol=1e-6):
        from skglm import GeneralizedLinearEstimator
        from skglm.datafits import Quadratic
        from skglm.solvers import AndersonCD

        solver = AndersonCD(fit_intercept=False, tol=tol, warm_start=warm_start)
        self.penalty = penalty
        self.model = GeneralizedLinearEstimator(Quadratic(), None, solver)

    def fit(self, X, y, alpha):
        """Return the coefficients."""
        from skglm.penalties import SCAD, MCPenalty

        penalties = {"scad": (SCAD, 3.7), "mcp": (MCPenalty, 3.0)}
        make, concavity = penalties[self.penalty]
        self.model.penalty = make(alpha, concavity)
        return self.model.fit(X, y).coef_
