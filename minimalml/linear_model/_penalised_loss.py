"""Losses of linear predictions, and their minimum with a penalty on the coefficients.

A loss acts on the coefficients of a design, whose last column may be of ones. Rows and
penalties come as the caller wants them: nothing is centred or scaled here.
"""

import numpy as np
from scipy.linalg import eigh
from scipy.special import expit

from minimalml.linear_model._proximal import (
    accelerated_steps,
    conjugate_steps,
    has_risen,
    iterate,
)

LARGEST_EXACT = 500  # rows or columns up to which eigenvalues are computed exactly


class SquaredLoss:
    """Half the sum of squares of ``target - design @ coef``.

    For a weighted mean, rows of both come multiplied by the roots of their weights.
    """

    def __init__(self, design, target):
        n_rows, n_columns = design.shape
        if n_rows > 2 * n_columns:
            # the triangle has the same sums of squares, in as many rows as columns
            triangle = np.linalg.qr(np.column_stack([design, target]), mode="r")
            design, target = triangle[:, :-1].copy(), triangle[:, -1].copy()
        self.design, self.target = design, target

    def value(self, coef):
        """Return the loss."""
        residual = self.target - self.design @ coef
        return float(residual @ residual) / 2

    def gradient(self, coef):
        """Return the gradient, of the shape of ``coef``."""
        return (self.design @ coef - self.target) @ self.design

    def curvature(self):
        """Return the largest curvature, or nearly so."""
        return largest_eigenvalue(self.design)

    def is_separated(self, coef, flat_from):
        """Whether larger multiples of ``coef`` are better for ever: never."""
        return False


class LogisticLoss:
    """Weighted sum of the losses of labels 0 and 1 by the logits ``design @ coef``."""

    def __init__(self, design, target, weights):
        self.design, self.target, self.weights = design, target, weights

    def value(self, coef):
        """Return the loss."""
        logits = self.design @ coef
        # log(1 + e^z) - y z as one term, which keeps the digits of a small loss
        return float(self.weights @ np.logaddexp(0, (1 - 2 * self.target) * logits))

    def gradient(self, coef):
        """Return the gradient, of the shape of ``coef``."""
        errors = expit(self.design @ coef) - self.target
        return (self.weights * errors) @ self.design

    def curvature(self):
        """Return a bound on the curvature, or nearly so."""
        return largest_eigenvalue(np.sqrt(self.weights)[:, None] * self.design) / 4

    def is_separated(self, coef, flat_from):
        """Whether larger multiples of ``coef`` are better for ever.

        So it is if each row is on its side, and the penalty flat where coefficients are.
        """
        margins = (2 * self.target - 1) * (self.design @ coef)
        is_flat = (np.abs(coef) >= flat_from) | (coef == 0)
        return bool((margins > 0).all() and is_flat.all())


def largest_eigenvalue(design):
    """Return the largest eigenvalue of ``design.T @ design``; 5 % more if it is large.

    Then it comes from power iteration, which is below it.
    """
    n_rows, n_columns = design.shape
    n = min(n_rows, n_columns)
    if n <= LARGEST_EXACT:
        gram = design @ design.T if n_rows < n_columns else design.T @ design
        if not np.isfinite(gram).all():
            return np.inf
        return eigh(gram, eigvals_only=True, subset_by_index=[n - 1, n - 1])[0]
    vector = np.random.default_rng(0).normal(size=n_columns)
    before, value = 0.0, np.inf
    for _ in range(50):
        vector /= np.linalg.norm(vector)
        vector = (design @ vector) @ design
        before, value = value, np.linalg.norm(vector)
        if value == 0 or abs(value - before) < 1e-3 * value:
            break
    return 1.05 * value


def minimise(
    loss, penalty, start, *, solver="accelerated", curvature=None, max_iter=5000,
    tol=1e-6, after_iteration=None,
):  # fmt: skip
    """Minimise ``loss`` plus ``penalty`` from ``start``; return result and objective.

    ``curvature`` is that of the loss, where it is known. It ends early where
    ``after_iteration(coef)`` is true.
    """

    def objective(coef):
        return loss.value(coef) + penalty.value(coef)

    def gradient(coef):
        return loss.gradient(coef) + penalty.concave_gradient(coef)

    curvature = loss.curvature() if curvature is None else curvature
    lipschitz = max(curvature, penalty.curvature) or 1.0
    before = objective(start)
    if not np.isfinite([before, lipschitz]).all():
        raise ValueError(
            "Squares of X or y leave the range of float64: scale them, X by "
            "standardize=True."
        )
    while True:
        options = start, penalty.threshold, lipschitz
        if solver == "accelerated":
            steps = accelerated_steps(gradient, *options)
        else:
            steps = conjugate_steps(gradient, objective, *options)
        result = iterate(
            steps, gradient, start, penalty.threshold, max_iter, tol, after_iteration
        )  # fmt: skip
        after = objective(result.x)
        if not has_risen(after, before):
            return result, after
        lipschitz *= 2  # what was taken for a bound was none
