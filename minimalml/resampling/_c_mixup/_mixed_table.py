"""Mix the rows of a table: arrays, CSR matrices and data frames with categories.

Numbers are mixed; a category is taken whole from the row with the larger share.
"""

import numpy as np
from scipy import sparse
from sklearn.utils import check_X_y

from minimalml._core.validation import validate_data
from minimalml.resampling._c_mixup._mixing import mix_arrays


def is_frame(X):
    """Whether ``X`` is a pandas data frame or series, without importing pandas."""
    return hasattr(X, "iloc")


def check_table(estimator, X, y, categorical_features):
    """Return X as it came, its numeric columns, y and a mask of the categories."""
    X, y = validate_data(estimator, X, y, skip_check_array=True)
    if sparse.issparse(X) and categorical_features is not None:
        raise ValueError(
            "categorical_features needs a dense X, got a sparse one: call X.toarray()."
        )
    if not (sparse.issparse(X) or is_frame(X)):
        X = np.asarray(X)
    is_category = np.zeros(X.shape[1] if X.ndim == 2 else 1, dtype=bool)
    if categorical_features is not None and X.ndim == 2:
        is_category = category_mask(X, categorical_features)
    numbers, y = check_X_y(
        X if sparse.issparse(X) else _numbers(X, is_category),
        y,
        accept_sparse="csr",
        dtype=[np.float64, np.float32],
        ensure_all_finite="allow-nan",
        ensure_min_features=0 if is_category.any() else 1,
        multi_output=True,
        y_numeric=True,
        estimator=estimator,
    )
    # numbers that came as text
    return X, numbers, y.astype(float) if y.dtype.kind == "U" else y, is_category


def category_mask(X, categorical_features):
    """Turn a mask, indices, names or "from_dtype" into a mask of the columns."""
    n_features = X.shape[1]
    if isinstance(categorical_features, str):
        if categorical_features != "from_dtype" or not is_frame(X):
            raise ValueError(
                "categorical_features must be a mask, indices, names or, with a data "
                f"frame, 'from_dtype', got {categorical_features!r} with "
                f"{type(X).__name__}."
            )
        return ~np.array([_is_numeric(X.iloc[:, j]) for j in range(n_features)])
    chosen = np.asarray(categorical_features)
    if chosen.dtype == bool and chosen.shape == (n_features,):
        return chosen
    if chosen.size and chosen.dtype.kind in "UO" and is_frame(X):
        unknown = [name for name in categorical_features if name not in X.columns]
        if unknown:
            raise ValueError(f"categorical_features has no columns in X: {unknown}.")
        return np.asarray(X.columns.isin(list(categorical_features)))
    if chosen.size and (chosen.dtype.kind not in "iu" or chosen.ndim != 1):
        raise ValueError(
            f"categorical_features must be a mask of length {n_features}, indices or "
            f"column names of a data frame, got {categorical_features!r}."
        )
    if chosen.size and (chosen.min() < 0 or chosen.max() >= n_features):
        raise ValueError(
            f"categorical_features must be in 0 to {n_features - 1}, got {chosen}."
        )
    return np.isin(np.arange(n_features), chosen)


def _is_numeric(column):
    return getattr(column.dtype, "kind", "O") in "biufc"


def _holds_numbers(column):
    """Whether a column is numeric, or of objects that are numbers."""
    is_plain = isinstance(column, np.ndarray) or column.dtype == object
    if _is_numeric(column) or not is_plain:
        return _is_numeric(column)
    try:
        np.asarray(column).astype(np.float64)
    except ValueError:
        return False
    return True


def _numbers(X, is_category):
    """Return the columns that are mixed, dense; refuse those that hold no numbers."""
    if X.ndim != 2:
        return X
    columns = X.iloc if is_frame(X) else X
    if is_frame(X) or X.dtype.kind in "OUS":
        names = X.columns if is_frame(X) else range(X.shape[1])
        mixed = np.flatnonzero(~is_category)
        texts = [names[j] for j in mixed if not _holds_numbers(columns[:, j])]
        if texts:
            raise TypeError(
                f"Columns {texts} of X are not numeric: declare them in "
                "categorical_features, or encode them."
            )
    numbers = columns[:, ~is_category]
    return _without_sparse_columns(numbers) if is_frame(X) else numbers


def _without_sparse_columns(frame):
    # left as they are, a frame of nothing else would become a sparse matrix
    dense = frame.copy(deep=False)
    for j, dtype in enumerate(frame.dtypes):
        if hasattr(dtype, "fill_value"):
            dense.isetitem(j, frame.iloc[:, j].sparse.to_dense())
    return dense


def mix_table(X, numbers, is_category, kept, sources, partners, mixing):
    """Return the rows ``kept`` of a checked table, and below them the mixed pairs."""
    numbers = stack_mixed(numbers, kept, sources, partners, mixing)
    if not (is_frame(X) or is_category.any()):
        return numbers
    rows = np.concatenate([kept, np.where(mixing >= 0.5, sources, partners)])
    if not is_frame(X):
        table = X[rows].astype(np.result_type(X.dtype, numbers.dtype))
        table[:, ~is_category] = numbers
        return table
    table = X.iloc[rows].reset_index(drop=True)
    for column, j in zip(numbers.T, np.flatnonzero(~is_category), strict=True):
        dtype = _mixed_dtype(X.dtypes.iloc[j])
        table.isetitem(j, type(X.iloc[:, j])(column, dtype=dtype))
    return table


def _mixed_dtype(dtype):
    """Dtype of a mixed column: floats keep theirs, others become floats of their kind."""
    if dtype.kind == "f":
        return dtype
    if hasattr(dtype, "fill_value"):  # sparse
        return type(dtype)(np.float64, float(dtype.fill_value))
    return "Float64" if hasattr(dtype, "na_value") else np.float64


def stack_mixed(values, kept, sources, partners, mixing):
    """Rows ``kept`` of an array or CSR matrix, and below them the mixed pairs."""
    mixed = mix_arrays(values, sources, partners, mixing)
    if sparse.issparse(values):
        return type(values)(sparse.vstack([values[kept], mixed]))
    return np.concatenate([values[kept].astype(mixed.dtype), mixed])
