"""Tables whose columns are correlated, and penalties as their papers write them."""

import numpy as np


def correlated_table(n_rows, n_features, correlation, seed, n_true=10):
    """Draw rows of an AR process, and y from a few columns; noise a third of the signal."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    for j in range(1, n_features):
        X[:, j] *= np.sqrt(1 - correlation**2)
        X[:, j] += correlation * X[:, j - 1]
    coef = np.zeros(n_features)
    true = rng.choice(n_features, n_true, replace=False)
    coef[true] = rng.choice([-1, 1], n_true) * rng.uniform(1, 5, n_true)
    signal = X @ coef
    return X, signal + signal.std() / 3 * rng.normal(size=n_rows), coef


def standardised(X, y):
    return (X - X.mean(axis=0)) / X.std(axis=0), y - y.mean()


def share_of_largest_alpha(X, y, share=0.15):
    X, y = standardised(X, y)
    return share * np.abs(X.T @ y).max() / len(y)


def scad(t, alpha, a=3.7):
    t = np.abs(t)
    if t <= alpha:
        return alpha * t
    if t <= a * alpha:
        return (2 * a * alpha * t - t**2 - alpha**2) / (2 * (a - 1))
    return alpha**2 * (a + 1) / 2


def mcp(t, alpha, gamma=3.0):
    t = np.abs(t)
    return (
        alpha * t - t**2 / (2 * gamma) if t <= gamma * alpha else gamma * alpha**2 / 2
    )


def scad_slope(t, alpha, a=3.7):
    """Derivative at t >= 0."""
    return alpha if t <= alpha else max(a * alpha - t, 0) / (a - 1)


def mcp_slope(t, alpha, gamma=3.0):
    """Derivative at t >= 0."""
    return max(alpha - t / gamma, 0)


VALUES = {"scad": scad, "mcp": mcp, "l1": lambda t, alpha: alpha * abs(t)}
SLOPES = {"scad": scad_slope, "mcp": mcp_slope, "l1": lambda t, alpha: alpha}


def violation(slope, coef, name, alpha):
    """Distance of 0 from the loss's gradient plus the penalty's subgradients."""
    off = slope + [np.sign(c) * SLOPES[name](abs(c), alpha) for c in coef]
    return np.where(coef == 0, np.maximum(np.abs(slope) - alpha, 0), np.abs(off)).max()
