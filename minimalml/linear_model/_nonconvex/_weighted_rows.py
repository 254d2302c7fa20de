"""Rows with their weights, centred and scaled for the solver, and coefficients back."""

from typing import NamedTuple

import numpy as np

from minimalml._core.validation import check_sample_weight


class WeightedRows(NamedTuple):
    """Rows of positive weight, and how their columns were moved and scaled."""

    columns: np.ndarray  # (n_rows, n_features), centred and scaled
    y: np.ndarray  # (n_rows,)
    weights: np.ndarray  # (n_rows,), their sum is 1
    means: np.ndarray  # (n_features,), 0 where columns were not centred
    scales: np.ndarray  # (n_features,)

    def restore(self, coef, constant):
        """Return coefficients of the rows as they came, and the intercept."""
        coef = coef / self.scales
        return coef, constant - coef @ self.means

    def prepare(self, coef, intercept):
        """Return coefficients of the scaled columns, and what is constant over rows."""
        return coef * self.scales, intercept + coef @ self.means


def weigh_rows(X, y, sample_weight, *, center, scale):
    """Return the rows with a positive weight, with centred and scaled columns."""
    weights = check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    kept = weights > 0
    if not kept.all():
        X, y, weights = X[kept], y[kept], weights[kept]
    weights = weights / weights.max()
    weights /= weights.sum()
    # about the first row: constant columns become zeros, others keep their digits
    origin = X[0].astype(np.float64)
    columns = X - origin
    shift = weights @ columns
    columns -= shift
    means = origin + shift
    scales = _spreads(columns, weights, means) if scale else np.ones(len(means))
    if not center:
        columns, means = X.astype(np.float64), np.zeros(len(means))
    columns /= scales
    if not (np.isfinite(columns).all() and np.isfinite(scales).all()):
        raise ValueError(f"X varies more, or less, than {X.dtype} can hold: scale X.")
    return WeightedRows(columns, y, weights, means, scales)


def _spreads(columns, weights, means):
    """Return weighted standard deviations of centred columns; 1 for constant ones."""
    # in units of the largest number, whose square may leave the range of floats
    largest = np.maximum(columns.max(axis=0), -columns.min(axis=0))
    units = np.where(largest > 0, largest, 1.0)
    spreads = units * np.sqrt(weights @ (columns / units) ** 2)
    return np.where(spreads <= 1e-14 * np.abs(means), 1.0, spreads)
