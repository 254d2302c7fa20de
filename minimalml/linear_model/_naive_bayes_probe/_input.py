"""Rows, labels and weights at the public edge: NumPy, CSR and torch, checked alike."""

import numpy as np
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from minimalml._core.arrays import is_dask_array, is_torch_tensor, to_numpy
from minimalml._core.groups import unique_codes
from minimalml._core.validation import validate_data

ROWS = {"accept_sparse": "csr", "dtype": [np.float64, np.float32]}


def check_training_rows(estimator, X, y, *, reset):
    """Return X and y, checked; X is not searched for NaN, `class_moments` does that."""
    if not is_torch_tensor(X):
        refuse_dask(X)
        return validate_data(
            estimator, X, y, reset=reset, ensure_all_finite=False, **ROWS
        )
    check_tensor(estimator, X, reset=reset)
    if not is_torch_tensor(y):
        y = column_or_1d(y, warn=True)
    elif y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    check_length("y", y, X)
    return X, y


def check_rows(estimator, X):
    """Return X, checked for prediction."""
    if is_torch_tensor(X):
        check_tensor(estimator, X, reset=False)
        refuse_not_finite(X)
        return X
    refuse_dask(X)
    return validate_data(estimator, X, reset=False, **ROWS)


def check_tensor(estimator, X, *, reset):
    if X.ndim != 2 or not X.is_floating_point() or not X.numel():
        raise ValueError(
            "X must be a floating-point tensor of shape (n_samples, n_features) with "
            f"at least one row, got {X.dtype} of shape {tuple(X.shape)}."
        )
    if reset:
        estimator.n_features_in_ = X.shape[1]
        vars(estimator).pop("feature_names_in_", None)
    elif X.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"X has {X.shape[1]} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )


def refuse_not_finite(X):
    """Raise for a tensor with NaN or infinity, in scikit-learn's words."""
    # a sum reads X once and copies nothing; where it overflows, each number is looked at
    if not bool(X.sum().isfinite()) and not bool(X.isfinite().all()):
        raise ValueError("Input X contains NaN or infinity.")


def refuse_dask(X):
    if is_dask_array(X):
        raise TypeError(
            "X is a Dask array: compute() it, or give each block to partial_fit of a "
            "probe of its own, add their sufficient_statistics() and pass the sum to "
            "NaiveBayesProbe.from_statistics."
        )


def check_codes(y_codes, n_classes, X):
    """Return the class of each row as a contiguous array of indices."""
    codes = np.asarray(y_codes)
    if codes.size and codes.dtype.kind not in "iub":
        raise ValueError(f"y_codes must be integers, got dtype {codes.dtype}.")
    codes = np.ascontiguousarray(codes, dtype=np.intp)
    check_length("y_codes", codes, X)
    if len(codes) and not (0 <= codes.min() and codes.max() < n_classes):
        raise ValueError(
            f"y_codes must be in range({n_classes}), got values from {codes.min()} "
            f"to {codes.max()}."
        )
    return codes


def check_length(name, array, X):
    if X.ndim != 2 or tuple(array.shape) != (X.shape[0],):
        raise ValueError(
            f"X of shape {tuple(X.shape)} needs {name} of one dimension and the same "
            f"length, got shape {tuple(array.shape)}."
        )


def check_weights(sample_weight, X):
    """Return a weight for each row, all 1 for None."""
    if sample_weight is None:
        return np.broadcast_to(np.float64(1.0), X.shape[:1])
    weights = np.asarray(sample_weight, dtype=np.float64)
    check_length("sample_weight", weights, X)
    assert_all_finite(weights, input_name="sample_weight")
    if (weights < 0).any():
        raise ValueError(f"sample_weight must not be negative, got {weights.min():g}.")
    return weights


def unique_labels(y):
    """Return the sorted labels as an ndarray and the code of each row."""
    if is_torch_tensor(y):
        classes, codes = y.unique(return_inverse=True)
        classes = to_numpy(classes)
    else:
        classes, codes = unique_codes(y)
    # repeated, or one sample for each class would draw a warning
    check_classification_targets(np.tile(classes, 4))
    return classes, codes


def encode_labels(y, classes):
    """Return the code of each row's label among sorted ``classes``."""
    found, codes = unique_labels(y)
    unknown = np.setdiff1d(found, classes)
    if len(unknown):
        raise ValueError(f"y has labels {unknown} that are not in classes={classes}.")
    places = np.searchsorted(classes, found)
    if is_torch_tensor(codes):
        import torch

        places = torch.as_tensor(places, device=codes.device)
    return places[codes]
