"""The data that a check runs on where the user gives none."""

from unittest import SkipTest

import numpy as np
from sklearn.base import is_regressor
from sklearn.utils import _safe_indexing, get_tags

from minimalml.testing._strategies import (
    LAYOUT_CORNERS,
    classification_data,
    regression_data,
)

# Corners on which an estimator that has a symmetry still shows it to rounding: ties,
# equal columns and scales of 1e10 leave the answer to the order of summation.
BENIGN_CORNERS = ("constant_column", *LAYOUT_CORNERS)


def strategy_for(estimator):
    """Draw data that suit the tags of ``estimator``, benign corners included."""
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


def describe(X, y):
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
