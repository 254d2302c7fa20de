"""Run the body of a check on the user's data, or on default and generated data."""

import copy
import math
import time
from typing import NamedTuple
from unittest import SkipTest

import numpy as np
from sklearn.base import is_regressor
from sklearn.utils import _safe_indexing, get_tags

from minimalml._core.optional import import_optional
from minimalml.testing._comparison import (
    ESTIMATOR_ERRORS,
    Fitted,
    fitted_clone,
    outputs_of,
)
from minimalml.testing._strategies import classification_data, regression_data

# A failure of a slow estimator is to come in time rather than on the fewest rows.
SHRINKING_SECONDS = 20

# Corners on which an estimator that has a symmetry still shows it to rounding: ties,
# equal columns and scales of 1e10 leave the answer to the order of summation.
BENIGN_CORNERS = (
    "constant_column",
    "read_only",
    "fortran",
    "strided",
    "reversed",
    "data_frame",
)


def run_on_data(body, estimator, X, y, *, data, examples, default=None):
    """Call ``body(X, y, reference)`` on each data set that the user asked for.

    On X and y alone where given; else on the fixed data set, made by ``default``, and
    on generated ones. ``reference`` is fitted to a copy of each.
    """
    if X is not None:
        body(X, y, _reference(estimator, X, y))
        return
    fewest, where = (0, "") if data is None else (1, " where data is given")
    if isinstance(examples, int) and examples < fewest:
        raise ValueError(f"examples must be at least {fewest}{where}, got {examples}.")
    if data is None:
        X, y = (default or default_data)(estimator)
        body(X, y, _reference(estimator, X, y))
    if examples != 0:
        _run_on_generated_data(body, estimator, data, examples)


def _reference(estimator, X, y):
    # On copies: an estimator that writes into its input must not spoil the check.
    X, y = copy.deepcopy(X), copy.deepcopy(y)
    model = fitted_clone(estimator, X, y)
    return Fitted(model, outputs_of(model, X, y))


def _run_on_generated_data(body, estimator, data, examples):
    hypothesis = import_optional(
        "hypothesis", who="Generated data (examples > 0)", extra="test"
    )
    refusals, accepted, failures = [], [], []
    patience = SHRINKING_SECONDS if isinstance(examples, int) else math.inf

    @_settings(hypothesis, examples)
    @hypothesis.given(_strategy(estimator) if data is None else data)
    def holds(drawn):
        if failures and time.monotonic() > failures[0].time + patience:
            raise _SmallEnough
        X, y = drawn
        try:
            reference = _reference(estimator, X, y)
        except ESTIMATOR_ERRORS as error:
            refusals.append(error)
            return
        accepted.append(True)
        try:
            body(X, y, reference)
        except AssertionError as error:
            message = f"{error}\n{_describe(X, y)}"
            failures.append(_Failure(time.monotonic(), np.size(X), message))
            raise AssertionError(message) from None

    try:
        holds()
    except _SmallEnough:
        smallest = min(reversed(failures), key=lambda failure: failure.size)
        raise AssertionError(smallest.message) from None
    if not accepted:
        raise AssertionError(
            f"{type(estimator).__name__} refused each generated data set, the last "
            f"with: {refusals[-1]} Pass a strategy of data that it accepts as data=."
        ) from refusals[-1]


class _Failure(NamedTuple):
    """When a property failed, on how many numbers, and the message."""

    time: float
    size: int
    message: str


class _SmallEnough(BaseException):  # not an Exception: hypothesis lets it through
    """The time for a smaller counterexample is over."""


def _settings(hypothesis, examples):
    if isinstance(examples, hypothesis.settings):
        return examples
    return hypothesis.settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        verbosity=hypothesis.Verbosity.quiet,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def _strategy(estimator):
    sizes = dict(
        n_samples=(5, 25),
        n_features=(2, 4),  # one constant column alone would tie all rows
        dtypes=[np.float64],
        corners=BENIGN_CORNERS,
    )
    if is_regressor(estimator):
        drawn = regression_data(**sizes)
    else:
        most = 3 if _takes_three_classes(estimator) else 2
        drawn = classification_data(n_classes=(2, most), labels=["int"], **sizes)
    return drawn.map(lambda data: suit_to_tags(estimator, *data))


def default_data(estimator, *, n_samples=40, n_features=4):
    """Make the fixed data set of ``estimator``: three blobs, or a linear target."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, n_features))
    if is_regressor(estimator):
        y = X @ np.arange(1.0, n_features + 1) + 3 + rng.normal(size=n_samples)
    else:
        y = np.arange(n_samples) % (3 if _takes_three_classes(estimator) else 2)
        X[:, 0] += 2 * y
    return suit_to_tags(estimator, X, y)


def _takes_three_classes(estimator):
    tags = get_tags(estimator).classifier_tags
    return tags is None or tags.multi_class


def suit_to_tags(estimator, X, y):
    """Change data to what the estimator's tags say that it accepts."""
    tags = get_tags(estimator)
    inputs, targets = tags.input_tags, tags.target_tags
    if not inputs.two_d_array or inputs.pairwise:
        raise SkipTest(
            f"{type(estimator).__name__} does not take a matrix of features: pass X "
            "and y."
        )
    if inputs.categorical:
        X = np.abs(X).astype(np.int64)
    elif inputs.positive_only:
        X = np.abs(X)
    if targets.positive_only:
        y = np.abs(y) + 1
    if targets.multi_output and not targets.single_output:
        y = np.column_stack([y, y[::-1]])
    return X, y


def _describe(X, y):
    """Write a data set as the code that makes it."""
    lines = ["The smallest data set found that shows it:"]
    for name, values in (("X", X), ("y", y)):
        array = np.asarray(values)
        layout = _layout(values)
        code = np.array2string(array, separator=", ", prefix=f"{name} = np.array(")
        dtype = f", dtype=np.{array.dtype.name}" if array.dtype == np.float32 else ""
        comment = f"  # {layout}" if layout else ""
        lines.append(f"{name} = np.array({code}{dtype}){comment}")
    return "\n".join(lines)


def _layout(values):
    if not isinstance(values, np.ndarray):
        return f"as a pandas {type(values).__name__}"
    if not values.flags.writeable:
        return "read-only"
    if values.flags.c_contiguous:
        return ""
    if values.flags.f_contiguous:
        return "Fortran-ordered"
    return "backwards" if values.strides[0] < 0 else "strided"


def permutation_of(n):
    """Return a fixed permutation that moves something where n is at least 2."""
    order = np.random.default_rng(0).permutation(n)
    return order[::-1] if np.array_equal(order, np.arange(n)) else order


def take_rows(values, index):
    """Return the given rows of an array or data frame; None stays None."""
    return None if values is None else _safe_indexing(values, index)
