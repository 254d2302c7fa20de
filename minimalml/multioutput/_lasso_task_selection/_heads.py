"""Heads of source tasks and of targets, checked and scaled for a solver."""

import warnings
from contextlib import contextmanager

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array

# Largest violation of the optimality conditions, relative to the largest penalty,
# that passes as a solution; LARS is exact to 1e-12 unless sources nearly coincide.
OPTIMALITY_TOLERANCE = 1e-7


class HeadProblem:
    """Distinct source heads and targets near size 1, and the way back.

    Attributes
    ----------
    sources : ndarray of shape (k, n_distinct)
        Heads over their weights; of those that are equal up to sign the first.
    targets : ndarray of shape (k, n_targets)
        Target heads.
    """

    def __init__(self, W, w0, weights=None):
        W, targets, self._give_back = check_heads(W, w0, stacklevel=4)
        self._weights = check_weights(weights, W.shape[1])
        W = W / self._weights
        self._unit, self._target_units = units(W), units(targets, axis=0)
        W = W / self._unit
        self._kept = distinct_columns(W)
        self.sources = np.asfortranarray(W[:, self._kept])
        self.targets = targets / self._target_units

    def scaled_penalties(self, penalty):
        """Turn a penalty of the caller's heads into one of these, for each target."""
        return penalty / self._unit / self._target_units

    def relevance(self, columns):
        """Place one solution a target among all tasks."""
        return self._give_back(self._spread(np.array(columns).T, self._target_units))

    def relevance_along(self, penalties, path, target):
        """Give back the penalties, and solutions (n_distinct, n_penalties), of one."""
        target_unit = self._target_units[target]
        return penalties * self._unit * target_unit, self._spread(path, target_unit)

    def _spread(self, coefficients, target_units):
        spread = np.zeros((len(self._weights), coefficients.shape[1]))
        spread[self._kept] = coefficients
        return spread * (target_units / self._unit) / self._weights[:, None]


def check_heads(W, w0, stacklevel=3):
    """Check heads; return them in float64 and what undoes the change of shape."""
    if np.ndim(W) != 2:
        raise ValueError(
            f"W must be 2-dimensional, (k, n_tasks), got {np.ndim(W)} dimensions."
        )
    kind = [np.float64, np.float32]
    W = check_array(W, dtype=kind, input_name="W")
    w0 = check_array(w0, dtype=kind, ensure_2d=False, input_name="w0")
    if w0.ndim not in (1, 2) or len(w0) != len(W):
        raise ValueError(
            f"w0 must have as many rows as W, {len(W)}, got shape {w0.shape}."
        )
    if not np.all(np.any(w0 != 0, axis=0)):
        message = "w0 is zero: no source is relevant to it."
        warnings.warn(message, stacklevel=stacklevel)
    dtype = np.result_type(W, w0)

    def give_back(relevance):
        relevance = relevance.astype(dtype, copy=False)
        return relevance[:, 0] if w0.ndim == 1 else relevance

    targets = w0.reshape(len(w0), -1).astype(np.float64, copy=False)
    return W.astype(np.float64, copy=False), targets, give_back


def check_weights(weights, n_tasks, name="weights"):
    """Check one positive number a task; None becomes ones."""
    if weights is None:
        return np.ones(n_tasks)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (n_tasks,):
        raise ValueError(
            f"{name} must hold one number for each of {n_tasks} tasks, "
            f"got shape {weights.shape}."
        )
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError(f"{name} must be positive and finite, got {weights.min()}.")
    return weights


def units(values, axis=None):
    """Return a power of two near the largest magnitude: to divide by it is exact.

    Products of very small or very large numbers would leave the range of floats.
    """
    return np.ldexp(1.0, np.frexp(np.abs(values).max(axis, initial=0.0))[1] - 1)


def distinct_columns(W):
    """Index the first of all columns that are equal up to sign."""
    leading = np.argmax(W != 0, axis=0)
    signs = np.where(W[leading, np.arange(W.shape[1])] < 0, -1.0, 1.0)
    return np.sort(np.unique((W * signs).T, axis=0, return_index=True)[1])


@contextmanager
def without_convergence_warnings():
    """Leave out warnings of solvers whose result is checked or goes on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
