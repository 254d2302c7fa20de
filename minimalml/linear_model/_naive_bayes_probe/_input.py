"""Rows and labels at the public edge: NumPy, CSR and torch, checked alike."""

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from minimalml._core.arrays import is_dask_array, is_torch_tensor, to_numpy
from minimalml._core.validation import check_sample_weight, validate_data

FLOATING = [np.float64, np.float32]


def check_training_rows(estimator, X, y, *, reset):
    """Return X and y, checked; X is not searched for NaN, `class_moments` does that."""
    if not is_torch_tensor(X):
        refuse_dask(X)
        return validate_data(
            estimator,
            X,
            y,
            reset=reset,
            accept_sparse="csr",
            dtype=FLOATING,
            ensure_all_finite=False,
        )
    check_tensor(estimator, X, reset=reset)
    y = y if is_torch_tensor(y) else np.asarray(y)
    if tuple(y.shape) != (len(X),):
        raise ValueError(
            f"y must have shape ({len(X)},) beside X of shape {tuple(X.shape)}, got "
            f"{tuple(y.shape)}."
        )
    return X, y


def check_rows(estimator, X):
    """Return X, checked for prediction."""
    if is_torch_tensor(X):
        check_tensor(estimator, X, reset=False)
        refuse_not_finite(X)
        return X
    refuse_dask(X)
    return validate_data(estimator, X, reset=False, accept_sparse="csr", dtype=FLOATING)


def check_weights(sample_weight, X):
    """Return non-negative weights, or None."""
    if sample_weight is None:
        return None
    if is_torch_tensor(sample_weight):
        sample_weight = to_numpy(sample_weight)
    rows = X if not is_torch_tensor(X) else np.empty((len(X), 0))
    return check_sample_weight(
        sample_weight,
        rows,
        dtype=np.float64,
        ensure_non_negative=True,
        allow_all_zero_weights=True,
    )


def check_tensor(estimator, X, *, reset):
    if X.ndim != 2 or not X.is_floating_point() or not len(X):
        raise ValueError(
            "X must be a floating-point tensor of shape (n_samples, n_features) with "
            f"at least one row, got {X.dtype} of shape {tuple(X.shape)}."
        )
    if reset:
        estimator.n_features_in_ = X.shape[1]
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
            "X is a Dask array: pass dask_class_moments(X, y, classes) to "
            "NaiveBayesProbe.from_statistics, or compute() it first."
        )


def unique_labels(y):
    """Return the sorted labels as an ndarray and the code of each row."""
    if is_torch_tensor(y):
        classes, codes = y.unique(return_inverse=True)
        classes = to_numpy(classes)
    else:
        classes, codes = sorted_values(y)
    # repeated, or one sample for each class would draw a warning
    check_classification_targets(np.tile(classes, 4))
    return classes, codes


def sorted_values(y):
    """Return ``np.unique(y, return_inverse=True)``; integers close together unsorted."""
    if len(y) and y.dtype.kind == "i":
        lowest = int(y.min())
        if int(y.max()) - lowest < len(y):  # sorting them took as long as reading X
            places = y.astype(np.intp) - lowest
            is_present = np.bincount(places) > 0
            values = (np.flatnonzero(is_present) + lowest).astype(y.dtype)
            return values, (np.cumsum(is_present) - 1)[places]
    return np.unique(y, return_inverse=True)


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
