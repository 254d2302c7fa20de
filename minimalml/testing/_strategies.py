"""Hypothesis strategies for the data that estimators meet, nasty corners included.

Values are drawn one by one and corners last, so that a failing example shrinks to few
rows, few columns, small whole numbers and no corner that it does not need.
"""

import importlib.util
from typing import NamedTuple

import numpy as np

from minimalml._core.optional import import_optional

VALUE_CORNERS = (
    "constant_column",
    "duplicated_column",
    "ties",
    "huge_scale",
    "tiny_scale",
)
LAYOUT_CORNERS = ("read_only", "fortran", "strided", "reversed", "data_frame")
DTYPES = (np.float64, np.float32)
CORNERS = (*VALUE_CORNERS, "one_row", *LAYOUT_CORNERS)

# Far from 1, while sums of squares still fit into float32.
SCALES = {"huge_scale": 1e10, "tiny_scale": 1e-10}

# Hypothesis draws whole numbers up to this, which stand for thousandths...
LARGEST_DRAW = 10_000
# ... but for small ones, which stand for themselves: shrunk examples read well.
SMALLEST_FRACTION = 100


class _Shape(NamedTuple):
    """What the user chose, checked."""

    n_samples: tuple
    n_features: tuple
    dtypes: tuple
    corners: tuple


def feature_matrices(
    *, n_samples=(1, 30), n_features=(1, 5), dtypes=DTYPES, corners="all"
):
    """Draw feature matrices with the corners that break estimators.

    Entries are finite, up to 100 in size, and no two are equal, unless by a corner.

    Parameters
    ----------
    n_samples : int or tuple of (int, int), default=(1, 30)
        Number of rows, or its smallest and largest value.

    n_features : int or tuple of (int, int), default=(1, 5)
        Number of columns, or its smallest and largest value.

    dtypes : sequence of dtype, default=(numpy.float64, numpy.float32)
        Floating-point types to choose from; failures shrink towards the first.

    corners : "all" or sequence of str, default="all"
        Corners that may occur; an empty sequence gives plain C-ordered arrays.
        One of the first six and one of the others can meet in one matrix.

        - "constant_column", "duplicated_column": the last one, of one value or as the
          first;
        - "ties": entries are -1, 0 or 1;
        - "huge_scale", "tiny_scale": a column is multiplied by 1e10 or 1e-10;
        - "one_row": a single row, whatever ``n_samples`` says;
        - "read_only": writing raises, as in a memory-mapped file;
        - "fortran", "strided": not C-contiguous; "reversed": of negative strides;
        - "data_frame": a pandas DataFrame with string column names and an index that
          is not 0, 1, 2...; "all" has it where pandas is installed.

    Returns
    -------
    hypothesis.strategies.SearchStrategy
        Of arrays or DataFrames of shape (n_samples, n_features).

    Raises
    ------
    ValueError
        If a range is empty or a corner unknown.
    ImportError
        If hypothesis is not installed.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from minimalml.testing import feature_matrices
    >>> @settings(max_examples=10)
    ... @given(feature_matrices(n_features=2, corners=["strided"]))
    ... def has_two_columns(X):
    ...     assert X.shape[1] == 2
    >>> has_two_columns()
    """
    st = _import_hypothesis("feature_matrices").strategies
    shape = _check_shape(n_samples, n_features, dtypes, corners, CORNERS)
    return st.composite(_draw_features)(shape)


def regression_data(
    *, n_samples=(1, 30), n_features=(1, 5), dtypes=DTYPES, corners="all"
):
    """Draw pairs of a feature matrix and a real target.

    The target has the layout of the matrix: a DataFrame comes with a Series of the
    same index, a read-only matrix with a read-only target.

    Parameters
    ----------
    n_samples, n_features, dtypes, corners
        As in :func:`feature_matrices`, and so are the errors raised.

    Returns
    -------
    hypothesis.strategies.SearchStrategy
        Of tuples (X, y): shapes (n_samples, n_features) and (n_samples,).

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from sklearn.linear_model import Ridge
    >>> from minimalml.testing import regression_data
    >>> @settings(max_examples=10)
    ... @given(regression_data(n_samples=(5, 20), corners=["ties", "strided"]))
    ... def ridge_predicts_a_number_a_row(data):
    ...     X, y = data
    ...     assert Ridge().fit(X, y).predict(X).shape == y.shape
    >>> ridge_predicts_a_number_a_row()
    """
    st = _import_hypothesis("regression_data").strategies
    shape = _check_shape(n_samples, n_features, dtypes, corners, CORNERS)
    return st.composite(_draw_regression)(shape)


def classification_data(
    *,
    n_samples=(2, 30),
    n_features=(1, 5),
    n_classes=(2, 3),
    labels=("int", "str"),
    dtypes=DTYPES,
    corners="all",
):
    """Draw pairs of a feature matrix and class labels, each class present.

    Parameters
    ----------
    n_samples, n_features, dtypes, corners
        As in :func:`feature_matrices`, and so are the errors raised; the corner
        "one_row" does not exist here, since a classifier needs two classes.

    n_classes : int or tuple of (int, int), default=(2, 3)
        Number of classes, or its smallest and largest value; never more than rows.

    labels : sequence of {"int", "str", "sparse_int"}, default=("int", "str")
        How classes are called: 0, 1, 2; "a", "b", "c"; or whole numbers with gaps and
        a negative one.

    Returns
    -------
    hypothesis.strategies.SearchStrategy
        Of tuples (X, y): shapes (n_samples, n_features) and (n_samples,).

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from minimalml.testing import classification_data
    >>> @settings(max_examples=10)
    ... @given(classification_data(corners=[]))
    ... def classes_are_those_of_y(data):
    ...     X, y = data
    ...     assert set(GaussianNB().fit(X, y).classes_) == set(y)
    >>> classes_are_those_of_y()
    """
    st = _import_hypothesis("classification_data").strategies
    allowed = tuple(corner for corner in CORNERS if corner != "one_row")
    shape = _check_shape(n_samples, n_features, dtypes, corners, allowed)
    n_classes = _check_range("n_classes", n_classes, smallest=2)
    if shape.n_samples[0] < n_classes[0]:
        raise ValueError(
            f"n_samples must be at least n_classes={n_classes[0]}, got "
            f"{shape.n_samples[0]}."
        )
    unknown = sorted(set(labels) - set(_CLASS_NAMES))
    if unknown or not labels:
        raise ValueError(
            f"labels must be among {list(_CLASS_NAMES)}, got {list(labels)!r}."
        )
    return st.composite(_draw_classification)(shape, n_classes, tuple(labels))


def bag_data(
    *,
    target="mean",
    n_samples=(1, 30),
    n_features=(1, 5),
    dtypes=DTYPES,
    corners="all",
):
    """Draw a feature matrix, a target that each bag's rows share, and ids of bags.

    Bags have any sizes, one bag and bags of one row among them; their rows need not
    stand together, and ids are whole numbers, with gaps or without, or text.

    Parameters
    ----------
    target : {"mean", "proportion", "label"}, default="mean"
        What y holds: any number; a share of the bag's rows, such as 2 of 3; or 0 or 1,
        both of which occur where there are two bags.

    n_samples, n_features, dtypes, corners
        As in :func:`feature_matrices`, and so are the errors raised.

    Returns
    -------
    hypothesis.strategies.SearchStrategy
        Of tuples (X, y, bags): shapes (n_samples, n_features), (n_samples,) and
        (n_samples,).

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from minimalml.bags import aggregate_targets
    >>> from minimalml.testing import bag_data
    >>> @settings(max_examples=10)
    ... @given(bag_data(target="proportion", corners=[]))
    ... def y_is_its_own_mean(data):
    ...     X, y, bags = data
    ...     assert abs(aggregate_targets(y, bags) - y).max() < 1e-12
    >>> y_is_its_own_mean()
    """
    st = _import_hypothesis("bag_data").strategies
    if target not in _BAG_TARGETS:
        raise ValueError(f"target must be among {list(_BAG_TARGETS)}, got {target!r}.")
    shape = _check_shape(n_samples, n_features, dtypes, corners, CORNERS)
    return st.composite(_draw_bags)(shape, _BAG_TARGETS[target])


_CLASS_NAMES = {
    "int": lambda codes: codes,
    "str": lambda codes: np.array([f"{chr(97 + code)}" for code in codes]),
    "sparse_int": lambda codes: 7 * codes - 3,
}


def _draw_features(draw, shape):
    X, layout = _draw_plain(draw, shape)
    return as_layout(X, layout)


def _draw_regression(draw, shape):
    X, layout = _draw_plain(draw, shape)
    y = _draw_numbers(draw, len(X)).astype(X.dtype)
    return as_layout(X, layout), as_layout(y, layout)


def _draw_classification(draw, shape, n_classes, labels):
    from hypothesis import strategies as st

    X, layout = _draw_plain(draw, shape)
    most = min(n_classes[1], len(X))
    k = draw(st.integers(min(n_classes[0], most), most))
    # Each class once, then any: present by construction, nothing is filtered.
    size = len(X) - k
    rest = draw(st.lists(st.integers(0, k - 1), min_size=size, max_size=size))
    y = _CLASS_NAMES[draw(st.sampled_from(labels))](np.array([*range(k), *rest]))
    return as_layout(X, layout), as_layout(y, layout)


def _draw_bags(draw, shape, draw_target):
    from hypothesis import strategies as st

    X, layout = _draw_plain(draw, shape)
    largest = st.sampled_from([0, 3, len(X) - 1])
    number = st.integers(0, min(draw(largest), len(X) - 1))
    numbers = draw(st.lists(number, min_size=len(X), max_size=len(X)))
    if draw(st.booleans()):
        numbers = draw(st.permutations(range(len(X))))
    _, codes, sizes = np.unique(numbers, return_inverse=True, return_counts=True)
    y = draw_target(draw, sizes).astype(X.dtype)[codes]
    bags = _BAG_IDS[draw(st.sampled_from(sorted(_BAG_IDS)))](codes)
    return as_layout(X, layout), as_layout(y, layout), as_layout(bags, layout)


def _draw_shares(draw, sizes):
    from hypothesis import strategies as st

    return np.array([draw(st.integers(0, size)) for size in sizes.tolist()]) / sizes


def _draw_labels(draw, sizes):
    from hypothesis import strategies as st

    size = max(0, len(sizes) - 2)
    rest = draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))
    return np.array([0, 1, *rest])[: len(sizes)]


_BAG_TARGETS = {
    "mean": lambda draw, sizes: _draw_numbers(draw, len(sizes)),
    "proportion": _draw_shares,
    "label": _draw_labels,
}
_BAG_IDS = {
    "consecutive": lambda codes: codes,
    "gaps": lambda codes: 7 * codes - 3,
    "text": lambda codes: np.array([f"bag {code}" for code in codes]),
}


def _draw_plain(draw, shape):
    """Draw a C-ordered matrix, one corner of values in it or none, and its layout."""
    from hypothesis import strategies as st

    layouts = [corner for corner in shape.corners if corner in LAYOUT_CORNERS]
    values = [corner for corner in shape.corners if corner not in LAYOUT_CORNERS]
    value = draw(st.sampled_from([None, *values]))
    layout = draw(st.sampled_from([None, *layouts]))
    n_samples = 1 if value == "one_row" else draw(st.integers(*shape.n_samples))
    n_features = draw(st.integers(*shape.n_features))
    X = _draw_numbers(draw, (n_samples, n_features), unique=True)
    if value == "constant_column":
        X[:, -1] = X[0, -1]
    elif value == "duplicated_column":
        X[:, -1] = X[:, 0]
    elif value == "ties":
        X = np.sign(np.round(X / 10)) + 0.0  # no negative zero
    X[:, 0] *= SCALES.get(value, 1.0)
    return X.astype(draw(st.sampled_from(shape.dtypes))), layout


def _draw_numbers(draw, shape, unique=False):
    from hypothesis import strategies as st
    from hypothesis.extra.numpy import arrays

    whole = st.integers(-LARGEST_DRAW, LARGEST_DRAW)
    drawn = draw(
        arrays(np.int64, shape, elements=whole, fill=st.nothing(), unique=unique)
    )
    # The half keeps fractions apart from whole numbers.
    return np.where(np.abs(drawn) < SMALLEST_FRACTION, drawn, (drawn + 0.5) / 1000)


def as_layout(array, layout):
    """Return ``array``, one- or two-dimensional, in a layout of ``LAYOUT_CORNERS``."""
    if layout == "fortran":
        return np.asfortranarray(array)
    if layout == "strided":
        return array.repeat(2, axis=-1)[..., ::2]
    if layout == "reversed":
        backwards = (slice(None, None, -1),) * array.ndim
        return np.ascontiguousarray(array[backwards])[backwards]
    if layout == "read_only":
        array = array.copy()
        array.flags.writeable = False
    return _as_pandas(array) if layout == "data_frame" else array


def _as_pandas(array):
    pandas = import_optional("pandas", who="The corner 'data_frame'", extra="test")
    index = [f"row {i}" for i in range(len(array))]
    if array.ndim == 1:
        return pandas.Series(array, index=index, name="target")
    columns = [f"feature {j}" for j in range(array.shape[1])]
    return pandas.DataFrame(array, index=index, columns=columns)


def _import_hypothesis(who):
    import_optional("hypothesis.extra.numpy", who=who, extra="test")
    return import_optional("hypothesis", who=who, extra="test")


def _check_shape(n_samples, n_features, dtypes, corners, allowed):
    dtypes = tuple(np.dtype(dtype) for dtype in dtypes)
    if not dtypes or any(dtype.kind != "f" for dtype in dtypes):
        raise ValueError(
            f"dtypes must be floating-point types, got {[d.name for d in dtypes]}."
        )
    if isinstance(corners, str) and corners == "all":
        has_pandas = importlib.util.find_spec("pandas") is not None
        corners = [c for c in allowed if has_pandas or c != "data_frame"]
    elif isinstance(corners, str) or set(corners) - set(allowed):
        raise ValueError(
            f"corners must be 'all' or among {list(allowed)}, got {corners!r}."
        )
    return _Shape(
        _check_range("n_samples", n_samples, smallest=1),
        _check_range("n_features", n_features, smallest=1),
        dtypes,
        tuple(corners),
    )


def _check_range(name, value, *, smallest):
    low, high = (value, value) if isinstance(value, int) else value
    if not smallest <= low <= high:
        raise ValueError(
            f"{name} must be a number or a range from {smallest} upwards, got "
            f"{value!r}."
        )
    return low, high
