"""What a fitted estimator says, compared before and after a change.

A difference becomes an AssertionError in plain words: which output changed, by how
much, where, and after which change.
"""

import contextlib
import pickle
import warnings
from numbers import Integral
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, clone, is_clusterer

SCORES = ("predict_proba", "decision_function")
METHODS = ("predict", *SCORES, "score_samples", "transform")
# Learnt from the training rows: for estimators that cannot be asked about others.
ROW_ATTRIBUTES = ("labels_", "embedding_", "negative_outlier_factor_")

FLOAT64_RTOL = 1e-6  # room for sums in another order, amplified by a solve
FLOAT32_RTOL = 1e-3

EARLY_STOP = " Perhaps a solver stops early: lower its tol, or raise rtol here."

# What an estimator may raise on data that it cannot handle.
ESTIMATOR_ERRORS = (
    *(ArithmeticError, AttributeError, LookupError, RuntimeError),
    *(TypeError, ValueError, pickle.PickleError),
)


class Fitted(NamedTuple):
    """A fitted estimator and what it says: name -> array."""

    model: BaseEstimator
    outputs: dict


def with_fixed_random_state(estimator):
    """Clone ``estimator``, with 0 for each ``random_state`` that is no number."""
    estimator = clone(estimator)
    states = {
        name: 0
        for name, value in estimator.get_params(deep=True).items()
        if name.rpartition("__")[2] == "random_state"
        and not isinstance(value, Integral)
    }
    return estimator.set_params(**states)


def fit_quietly(estimator, X, y, **metadata):
    """Fit ``estimator`` in place; the properties are about results, not warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X, y, **metadata)


def fitted_clone(estimator, X, y, **metadata):
    """Fit a clone whose random state is fixed."""
    return fit_quietly(with_fixed_random_state(estimator), X, y, **metadata)


def outputs_of(model, X, y, X_asked=None):
    """Return all that ``model``, fitted to X and y, says of ``X_asked`` or of X."""
    asked = X if X_asked is None else X_asked
    outputs = said_about(model, asked) | learnt_from(model, X, y)
    if not outputs:
        raise TypeError(
            f"{type(model).__name__} has nothing to compare: it needs one of "
            f"{', '.join((*METHODS, *ROW_ATTRIBUTES))}, sample_indices_, get_support, "
            "fit_resample."
        )
    return outputs


def said_about(model, X):
    """Call each output method of ``model``: name -> array."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            method: _as_array(getattr(model, method)(X))
            for method in METHODS
            if hasattr(model, method)
        }


def learnt_from(model, X, y):
    """Collect what ``model`` learnt about rows and columns, or made of them."""
    names = (*ROW_ATTRIBUTES, "sample_indices_")
    found = {name: getattr(model, name) for name in names if hasattr(model, name)}
    # others may call other things so, such as a transformer embedding_
    learnt = {name: _as_array(v) for name, v in found.items() if np.ndim(v)}
    if hasattr(model, "get_support"):
        learnt["get_support"] = _as_array(model.get_support())
    if hasattr(model, "fit_resample"):
        new_X, new_y, *_ = clone(model).fit_resample(X, y)
        learnt["fit_resample(X)"] = _as_array(new_X)
        learnt["fit_resample(y)"] = _as_array(new_y)
    return learnt


def _as_array(output):
    if sparse.issparse(output):
        return output.toarray()
    if isinstance(output, list) and np.ndim(output) == 3:
        return np.hstack(output)  # predict_proba of several targets
    return np.array(output)


def fit_after(change, estimator, X, y, X_asked, **metadata):
    """Fit a clone on changed data and ask it about ``X_asked``."""
    with refusing_nothing(estimator, change):
        model = fitted_clone(estimator, X, y, **metadata)
        return Fitted(model, outputs_of(model, X, y, X_asked))


@contextlib.contextmanager
def refusing_nothing(estimator, change):
    """Raise an AssertionError where what worked before fails after ``change``."""
    try:
        yield
    except ESTIMATOR_ERRORS as error:
        raise AssertionError(
            f"{type(estimator).__name__} raised {type(error).__name__} when {change}: "
            f"{error}"
        ) from error


def assert_unchanged(estimator, before, after, change, *, X=None, rtol=0.0, atol=0.0):
    """Raise an AssertionError where ``after`` differs from ``before``.

    ``change`` ends a sentence that begins with "when". ``rtol`` is in units of an
    output's largest absolute value; None means 1e-6, and 1e-3 for float32.
    """
    name = type(estimator).__name__
    if before.keys() != after.keys():
        raise AssertionError(
            f"{name} had the outputs {sorted(before)} and has {sorted(after)} when "
            f"{change}."
        )
    rows = _rows_that_are_not_ties(before, after, X, rtol, atol)
    for output, old in before.items():
        new = after[output]
        where = f"{name}.{output}"
        _assert_same_shape(where, old, new, change)
        if is_clusterer(estimator) and output in ("predict", "labels_"):
            old, new = _numbered_by_appearance(old), _numbered_by_appearance(new)
        if old.dtype.kind == "f" and new.dtype.kind == "f":
            tolerance = _tolerance(old, X, rtol, atol)
            _assert_numbers_unchanged(where, old, new, change, tolerance)
        else:
            checked = rows if output == "predict" else slice(None)
            _assert_labels_unchanged(where, old, new, change, checked)


def assert_same_values(where, old, new, change):
    """Raise an AssertionError unless two inputs are equal bit for bit."""
    if old is None:
        return
    axes = zip(getattr(old, "axes", ()), getattr(new, "axes", ()), strict=True)
    if not all(before.equals(after) for before, after in axes):
        raise AssertionError(f"{where} got another index or columns when {change}.")
    old, new = _as_array(old), _as_array(new)
    _assert_same_shape(where, old, new, change)
    is_float = old.dtype.kind == new.dtype.kind == "f"
    compare = _assert_numbers_unchanged if is_float else _assert_labels_unchanged
    compare(where, old, new, change)


def _assert_same_shape(where, old, new, change):
    if old.shape != new.shape:
        raise AssertionError(
            f"{where} changed shape from {old.shape} to {new.shape} when {change}."
        )


def _tolerance(old, X, rtol, atol):
    if rtol is None:
        single = np.float32 in (old.dtype, _dtype_of(X))
        rtol = FLOAT32_RTOL if single else FLOAT64_RTOL
    return atol + rtol * _largest(old)


def _largest(numbers):
    return np.abs(numbers[np.isfinite(numbers)]).max(initial=0.0)


def _dtype_of(X):
    dtypes = getattr(X, "dtypes", None)  # of a DataFrame
    return getattr(X, "dtype", None) if dtypes is None else np.result_type(*dtypes)


def _assert_numbers_unchanged(where, old, new, change, tolerance=0.0):
    same = (old == new) | (np.isnan(old) & np.isnan(new))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(old.astype(float) - new))
    difference[np.isnan(difference)] = np.inf
    if difference.max(initial=0.0) <= tolerance:
        return
    worst = np.unravel_index(np.argmax(difference), difference.shape)
    position = list(map(int, worst))
    digits = 6 if f"{old[worst]:.6g}" != f"{new[worst]:.6g}" else 17
    raise AssertionError(
        f"{where} changed by up to {difference[worst]:.3g} (tolerance "
        f"{tolerance:.2g}) when {change}: at {position} it was "
        f"{old[worst]:.{digits}g} and is {new[worst]:.{digits}g}."
        + (EARLY_STOP if difference[worst] < 1e-3 * _largest(old) and tolerance else "")
    )


def _assert_labels_unchanged(where, old, new, change, rows=slice(None)):
    differ = old[rows] != new[rows]
    if not np.any(differ):
        return
    first = tuple(np.argwhere(differ)[0])
    position = [int(np.arange(len(old))[rows][first[0]]), *map(int, first[1:])]
    raise AssertionError(
        f"{where} changed in {np.count_nonzero(differ)} of {differ.size} places when "
        f"{change}: at {position} it was {plain(old[rows][first])!r} and "
        f"is {plain(new[rows][first])!r}."
    )


def plain(value):
    """Return a NumPy scalar as Python's, which prints as the user wrote it."""
    return value.item() if isinstance(value, np.generic) else value


def _rows_that_are_not_ties(before, after, X, rtol, atol):
    """Rows where a classifier's best class leads by more than the tolerance.

    On the others rounding alone may turn the predicted class; that the scores agree
    is asserted on all rows.
    """
    if rtol == atol == 0:
        return slice(None)
    for output in SCORES:
        scores = before.get(output)
        if scores is None or after[output].shape != scores.shape:
            continue
        if scores.ndim == 1:
            scores = np.column_stack([scores, np.zeros_like(scores)])
        if scores.shape[1] == 1:
            break
        second, best = np.sort(scores, axis=1)[:, -2:].T
        return best - second > 2 * _tolerance(scores, X, rtol, atol)
    return slice(None)


def _numbered_by_appearance(labels):
    """Renumber clusters in the order of their first rows; noise (-1) stays."""
    clusters, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[codes]
    return np.where(labels < 0, labels, rank) if clusters.size else labels


def shorten(numbers, most=8):
    """Write the first few of ``numbers`` as a list."""
    shown = ", ".join(map(str, numbers[:most]))
    return f"[{shown}{', ...' if len(numbers) > most else ''}]"
