"""Rows and targets about their means and in units of their size, and coefficients back."""

from typing import NamedTuple

import numpy as np

NEGLIGIBLE_NOISE = 1e-6  # of the middling size of y: a fit is exact from there on
SMALLEST_SCALE = 1e-300


class StandardisedRows(NamedTuple):
    """Rows and targets for the solver, and what they are measured by."""

    design: np.ndarray  # (n_rows, n_features), then a constant for the intercept
    target: np.ndarray  # (n_rows,)
    X_means: np.ndarray  # (n_features,), 0 without an intercept
    X_sizes: np.ndarray  # (n_features,)
    constant: float  # as large as the columns, which the solver of penalties needs
    y_mean: float
    y_size: float
    smallest_scale: float  # squared noise below which a fit is exact

    def restore(self, coef):
        """Return coefficients of the rows as they came, and the intercept."""
        n_features = len(self.X_means)
        constant = coef[n_features:].sum() * self.constant * self.y_size + self.y_mean
        coef = coef[:n_features] / self.X_sizes * self.y_size
        return coef, float(constant - coef @ self.X_means)


def standardise(X, y, *, has_intercept, has_penalty):
    """Centre rows and targets for an intercept, and scale them but for a penalty."""
    columns, X_means, X_sizes = _measure(X, has_intercept)
    target, y_mean, y_size = _measure(y, has_intercept)
    if has_penalty:  # it is of the columns as they come
        X_sizes = np.ones(len(X_sizes))
    columns /= X_sizes
    squares = np.einsum("ij,ij->j", columns, columns)
    if not (np.isfinite(squares).all() and 0 < y_size**2 < np.inf):
        raise ValueError("Squares of X or y leave the range of float64: scale them.")
    constant = max(1.0, float(np.sqrt(squares.max() / len(X))))
    if has_intercept:
        columns = np.column_stack([columns, np.full(len(X), constant)])
    target /= y_size
    smallest_scale = _smallest_scale(target)
    return StandardisedRows(
        columns, target, X_means, X_sizes, constant, y_mean, y_size, smallest_scale
    )


def _measure(values, is_centred):
    """Return values about their means, the means, and the largest sizes, 1 for 0."""
    values = values.astype(np.float64)
    means = np.zeros(values.shape[1:])
    if is_centred:
        # about the first row: constant columns become zeros, others keep their digits
        origin = values[0].copy()
        values -= origin
        shift = values.mean(axis=0)
        values -= shift
        means = origin + shift
    sizes = np.abs(values).max(axis=0)
    return values, means, np.where(sizes > 0, sizes, 1.0)


def _smallest_scale(target):
    """Return the scale of a fit that is exact; outliers do not raise it."""
    # where most targets are equal the median is no measure, and the mean has to do
    spread = np.median(np.abs(target - np.median(target))) or np.abs(target).mean()
    return max((NEGLIGIBLE_NOISE * spread) ** 2, SMALLEST_SCALE)
