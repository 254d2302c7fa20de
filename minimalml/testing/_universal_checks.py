"""Checks of what is true of every estimator, whatever it computes."""

import copy
import pickle
import tempfile
import warnings
from pathlib import Path

import joblib
import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples
from threadpoolctl import threadpool_limits

from minimalml._core.validation import has_fit_parameter
from minimalml.testing._applicability import deterministic
from minimalml.testing._comparison import (
    METHODS,
    assert_same_values,
    fit_after,
    fit_quietly,
    fitted_clone,
    learnt_from,
    outputs_of,
    refusing_nothing,
    said_about,
    with_fixed_random_state,
)
from minimalml.testing._data_sets import permutation_of, take_rows
from minimalml.testing._property_check import property_check
from minimalml.testing._strategies import as_layout

# Large enough that kernels share the work: below about a millisecond they do not.
LARGE = {"n_samples": 1000, "n_features": 20}


@property_check(examples=10)
def check_input_not_modified(estimator, X, y, reference):
    """Check that fit and every output method leave their input as it was.

    X, y and ``sample_weight`` are compared bit for bit after each call; arrays are
    passed a second time as read-only, which is how joblib hands them to its workers.
    True of every estimator but those asked to work in place (``copy=False``).

    Parameters
    ----------
    estimator, X, y, data, examples
        As in :func:`check_row_permutation`, and so are the errors raised.

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> from minimalml.testing import check_input_not_modified
    >>> check_input_not_modified(StandardScaler())
    """
    _assert_input_kept(estimator, X, y, "as it came")
    if isinstance(X, np.ndarray) and X.flags.writeable:
        y = None if y is None else as_layout(np.asarray(y), "read_only")
        _assert_input_kept(estimator, as_layout(X, "read_only"), y, "read-only")


@property_check(deterministic, examples=0)
def check_layout_invariance(estimator, X, y, reference):
    """Check that the order of numbers in memory does not matter.

    X and y are passed Fortran-ordered, and as views that run backwards through memory,
    such as ``X[::-1]`` of rows with the newest first, which some libraries refuse. True
    of every estimator, equal to rounding: sums may be taken in another order.

    Parameters
    ----------
    estimator, X, y, rtol, atol, data, examples
        As in :func:`check_row_permutation`, and so are the errors raised.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from minimalml.testing import check_layout_invariance
    >>> check_layout_invariance(Ridge())
    """
    changes = {
        "fortran": "X and y were Fortran-ordered",
        "reversed": "X and y were views with negative strides",
    }
    for layout, change in changes.items():
        rows = as_layout(np.asarray(X), layout)
        targets = None if y is None else as_layout(np.asarray(y), layout)
        after = fit_after(change, estimator, rows, targets, rows)
        yield change, reference.outputs, after.outputs


@property_check(deterministic, examples=3)
def check_fit_is_repeatable(estimator, X, y, reference):
    """Check that two fits on the same data, random state fixed, are the same.

    For a second clone, and for the same object fitted to other data in between (unless
    ``warm_start``). True of every estimator, equal to rounding: BLAS may sum otherwise
    where an array lies otherwise in memory.

    Parameters
    ----------
    estimator, X, y, rtol, atol, data, examples
        As in :func:`check_row_permutation`, and so are the errors raised.

    Examples
    --------
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from minimalml.testing import check_fit_is_repeatable
    >>> check_fit_is_repeatable(DecisionTreeClassifier(max_features=1))
    """
    change = "a clone was fitted again to the same data"
    again = fit_after(change, estimator, X, y, X)
    yield change, reference.outputs, again.outputs
    if getattr(estimator, "warm_start", False):
        return
    order = permutation_of(_num_samples(X))  # of rows, which get other targets so
    model = fitted_clone(estimator, take_rows(X, order), take_rows(y, order[::-1]))
    after = outputs_of(fit_quietly(model, X, y), X, y)
    yield "it had been fitted to other data before", reference.outputs, after


@property_check(deterministic, examples=0)
def check_pickle_round_trip(estimator, X, y, reference):
    """Check that a fitted estimator says the same after pickling and reloading.

    Through :mod:`pickle`, and through joblib with the arrays memory-mapped read-only,
    which is how several processes share a large model. True of every estimator, equal
    to rounding: sums may round otherwise where an array lies otherwise in memory.

    Parameters
    ----------
    estimator, X, y, rtol, atol, data, examples
        As in :func:`check_row_permutation`, and so are the errors raised.

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> from minimalml.testing import check_pickle_round_trip
    >>> check_pickle_round_trip(SVC())
    """
    routes = {
        "pickled and loaded": lambda model: pickle.loads(pickle.dumps(model)),
        "memory-mapped by joblib": _memory_mapped,
    }
    for what, route in routes.items():
        change = f"the fitted estimator was {what}"
        with refusing_nothing(estimator, change):
            after = outputs_of(route(reference.model), X, y)
        yield change, reference.outputs, after


@property_check(deterministic, examples=0, shape=LARGE, n_threads=1)
def check_thread_count_invariance(estimator, X, y, reference):
    """Check that one thread and two threads give the same result.

    Equal to rounding, which is what BLAS promises; ``rtol=0, atol=0`` asks for the same
    bits. The default data are 1000 rows by 20 columns: a kernel may well keep less to
    one thread. On a machine with one core the check can only pass.

    Parameters
    ----------
    estimator, X, y, rtol, atol, data, examples
        As in :func:`check_row_permutation`, and so are the errors raised.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from minimalml.testing import check_thread_count_invariance
    >>> check_thread_count_invariance(Ridge())
    """
    change = "two threads worked instead of one"
    with threadpool_limits(limits=2):
        two = fit_after(change, estimator, X, y, X)
    yield change, reference.outputs, two.outputs


@property_check(deterministic, examples=0)
def check_pipeline_grid_search(estimator, X, y, reference):
    """Check that a search over a pipeline finds the same model as a plain fit.

    The estimator is the last step of a pipeline in a two-fold ``GridSearchCV`` whose
    grid holds the value that one of its parameters has already; the best pipeline must
    say what a plain fit says, to rounding. True of every estimator: a failure points at
    ``get_params``, ``set_params``, clone, or work done in the constructor.

    Parameters
    ----------
    estimator, X, y, rtol, atol, data, examples
        As in :func:`check_row_permutation`, and so are the errors raised.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from minimalml.testing import check_pipeline_grid_search
    >>> check_pipeline_grid_search(KMeans(3))
    """
    change = "it was the last step of a pipeline in a grid search"
    with refusing_nothing(estimator, change):
        search = fit_quietly(_search(with_fixed_random_state(estimator)), X, y)
        last_step = search.best_estimator_[-1]
        after = said_about(search, X) | learnt_from(last_step, X, y)
    yield change, reference.outputs, after


UNIVERSAL = (
    check_input_not_modified,
    check_layout_invariance,
    check_fit_is_repeatable,
    check_pickle_round_trip,
    check_thread_count_invariance,
    check_pipeline_grid_search,
)


def _assert_input_kept(estimator, X, y, kind):
    name = type(estimator).__name__
    given, weights = {"X": X, "y": y}, {}
    if has_fit_parameter(estimator, "sample_weight"):
        weights["sample_weight"] = np.ones(_num_samples(X))
    kept = copy.deepcopy(given | weights)
    model = with_fixed_random_state(estimator)

    def call(method, *arguments, **keywords):
        change = f"{method} was called with input {kind}"
        with refusing_nothing(estimator, change), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            getattr(model, method)(*arguments, **keywords)
        for argument, values in (given | weights).items():
            where = f"The input {argument} of {name}.{method}"
            assert_same_values(where, kept[argument], values, change)

    call("fit", X, y, **weights)
    for method in METHODS:
        if hasattr(model, method):
            call(method, X)
    for method in ("fit_transform", "fit_predict", "fit_resample", "score"):
        if hasattr(model, method):
            call(method, X, y)


def _memory_mapped(model):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder, "model.joblib")
        joblib.dump(model, path)
        return joblib.load(path, mmap_mode="r")


def _search(estimator):
    own = sorted(estimator.get_params(deep=False))
    grid = {f"last__{own[0]}": [getattr(estimator, own[0])]} if own else {}
    pipeline = Pipeline([("first", "passthrough"), ("last", estimator)])
    return GridSearchCV(pipeline, grid, cv=2, scoring=_score, error_score="raise")


def _score(model, X, y=None):
    return model.score(X, y) if hasattr(model, "score") else 0.0
