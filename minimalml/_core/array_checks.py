"""Rows, targets, weights and labels of plain functions, as NumPy arrays or tensors.

Each is checked once, at the public door; what comes back lives where the rows are.
"""

import numpy as np
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from minimalml._core.arrays import is_torch_tensor, to_numpy
from minimalml._core.groups import unique_codes
from minimalml._core.validation import check_sample_weight


def as_tensor(values, *, dtype=None, device=None):
    """Return ``values`` as a tensor, and copy only the arrays that torch can't share.

    Those are read-only, of a foreign byte order, or have strides that torch has not.
    """
    import torch

    if isinstance(values, np.ndarray):
        size = values.dtype.itemsize
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        has_odd_strides = any(s < 0 or s % size for s in values.strides)
        if has_odd_strides or not values.flags.writeable:
            values = np.array(values)
    return torch.as_tensor(values, dtype=dtype, device=device)


def check_rows(X, *, name="X"):
    """Return finite floats of shape (n_rows, n_features), float32 as they are."""
    if not is_torch_tensor(X):
        return check_array(X, dtype=[np.float64, np.float32], input_name=name)
    if X.ndim != 2 or not X.is_floating_point() or not X.numel():
        raise ValueError(
            f"{name} must be a floating-point tensor of shape (n_samples, n_features) "
            f"with at least one row and feature, got {X.dtype} of shape "
            f"{tuple(X.shape)}."
        )
    refuse_not_finite(X, name)
    return X


def check_targets(y, X, *, name="y"):
    """Return finite numbers of shape (n_rows,) or (n_rows, n_targets) beside ``X``."""
    if is_torch_tensor(X):
        y = as_tensor(y, device=X.device).to(X.dtype)
        refuse_not_finite(y, name)
    else:
        dtypes = [np.float64, np.float32]
        y = check_array(to_numpy(y), ensure_2d=False, dtype=dtypes, input_name=name)
    if y.ndim > 2:
        raise ValueError(
            f"{name} must have shape (n_samples,) or (n_samples, n_targets), got "
            f"{tuple(y.shape)}."
        )
    _check_length(y, X, name)
    return y


def check_weights(sample_weight, X):
    """Return finite weights of at least 0 beside ``X``, one of them above, or None."""
    if sample_weight is None:
        return None
    if not is_torch_tensor(X):
        return check_sample_weight(
            to_numpy(sample_weight), X, dtype=X.dtype, ensure_non_negative=True
        )
    weights = as_tensor(sample_weight, dtype=X.dtype, device=X.device)
    valid = weights.isfinite().all() & (weights >= 0).all() & (weights > 0).any()
    if weights.ndim != 1 or not bool(valid):
        raise ValueError(
            "sample_weight must be one-dimensional, finite and non-negative, with at "
            f"least one positive weight, got shape {tuple(weights.shape)}."
        )
    _check_length(weights, X, "sample_weight")
    return weights


def refuse_not_finite(tensor, name):
    """Raise for a tensor with NaN or infinity, in scikit-learn's words."""
    # a sum reads it once and copies nothing; where it overflows, each number is looked at
    if not bool(tensor.sum().isfinite()) and not bool(tensor.isfinite().all()):
        raise ValueError(f"Input {name} contains NaN or infinity.")


def unique_labels(y, *, name="y"):
    """Return the sorted classes as an ndarray, and the number of each row's class."""
    if is_torch_tensor(y):
        y = _flat(y, name)
        classes, codes = y.unique(return_inverse=True)
        classes = to_numpy(classes)
    else:
        classes, codes = unique_codes(column_or_1d(y, warn=True), name)
    # repeated, or one row for each class would draw a warning
    check_classification_targets(np.tile(classes, 4))
    return classes, codes


def encode_labels(y, classes, *, name="y"):
    """Return the place of each row's label in ``classes``, which must hold them all."""
    classes = np.asarray(classes)
    found, codes = unique_labels(y, name=name)
    order = np.argsort(classes, kind="stable")
    places = np.searchsorted(classes, found, sorter=order).clip(max=len(classes) - 1)
    places = order[places]
    unknown = found[classes[places] != found]
    if len(unknown):
        raise ValueError(
            f"{name} has labels {unknown.tolist()} that are not among the classes "
            f"{classes.tolist()}."
        )
    if is_torch_tensor(codes):
        places = as_tensor(places, device=codes.device)
    return places[codes]


def _flat(y, name):
    """Return a tensor of one column as a vector."""
    if y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1):
        return y.reshape(-1)
    raise ValueError(f"{name} must be one-dimensional, got shape {tuple(y.shape)}.")


def _check_length(values, X, name):
    if len(values) != len(X):
        raise ValueError(f"{name} has {len(values)} rows but X has {len(X)}.")
