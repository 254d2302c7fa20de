"""What an attack is told, checked and put in indices: labels, targets, bounds."""

import numpy as np

from minimalml._core.array_checks import encode_labels
from minimalml.inspection._quad_attack._targets import (
    check_ordered_targets,
    sample_ordered_targets,
)

# The official step, 2.2e-3, is for inputs of 3 x 224 x 224; a pixel's share of a given
# length grows as there are fewer of them.
OFFICIAL_RATE, OFFICIAL_SIZE = 2.2e-3, 3 * 224 * 224
LARGEST_RATE = 0.05  # of the range of the inputs


def true_classes(y, classes, predicted):
    """Return true classes as indices, the predicted ones where ``y`` is None."""
    if y is None:
        return predicted
    true = encode_labels(y, classes, name="y")
    if len(true) != len(predicted):
        raise ValueError(f"y has {len(true)} labels but X has {len(predicted)} rows.")
    return true


def choose_targets(targets, k, classes, true, logits, random_state):
    """Return target indices (n, k) from labels, "random", or None for the least likely.

    Labels may be one list of k for all rows, or, if k is 1, one a row.
    """
    n, n_classes = len(true), len(classes)
    if isinstance(targets, str) and targets == "random":
        return sample_ordered_targets(true, n_classes, k, random_state)
    if targets is None:
        scores = np.where(np.arange(n_classes) == true[:, None], np.inf, logits)
        return np.argsort(scores, axis=1, kind="stable")[:, :k]
    labels = np.asarray(targets)
    if labels.ndim == 1 and k == 1 and len(labels) == n:
        labels = labels[:, None]
    elif labels.shape == (k,):
        labels = np.broadcast_to(labels, (n, k))
    if labels.shape != (n, k):
        raise ValueError(
            f"targets must have shape ({n}, {k}) for {n} rows and k={k}, got "
            f"{labels.shape}."
        )
    for row, label in zip(*np.nonzero(~np.isin(labels, classes)), strict=True):
        raise ValueError(
            f"targets row {row} holds the unknown label {labels[row, label]!r}; the "
            f"model's classes are {classes.tolist()}."
        )
    index = encode_labels(labels.ravel(), classes, name="targets").reshape(n, k)
    return check_ordered_targets(index, n, n_classes, true)


def bounds_of(clip_values, X):
    """Return the lower and the upper bound of each feature."""
    if isinstance(clip_values, str):
        return X.min(axis=0), X.max(axis=0)
    if clip_values is None:
        clip_values = None, None
    if len(clip_values) != 2:
        raise ValueError(
            "clip_values must be a pair (low, high) of numbers or of arrays with one "
            f"value a feature, got {len(clip_values)} values."
        )
    lower, upper = (
        _one_bound(bound, name, outer, X.shape[1])
        for bound, name, outer in zip(
            clip_values, ("low", "high"), (-np.inf, np.inf), strict=True
        )
    )
    if not (lower <= upper).all() or (lower == upper).all():
        feature = np.flatnonzero(lower >= upper)[0]
        raise ValueError(
            "clip_values must be (low, high) with low < high, got "
            f"({lower[feature]:g}, {upper[feature]:g}) for feature {feature}."
        )
    return lower, upper


def _one_bound(bound, name, outer, n_features):
    values = np.asarray(outer if bound is None else bound, dtype=np.float64)
    if values.ndim and values.size != n_features:
        raise ValueError(
            f"clip_values must have one {name} value, or one for each of the "
            f"{n_features} features, got shape {values.shape}."
        )
    if np.isnan(values).any():
        raise ValueError(f"clip_values must be numbers, got NaN in {name}.")
    return np.full(n_features, values.ravel())


def check_within(X, bounds):
    """Refuse inputs outside the bounds."""
    outside = (X < bounds[0]) | (X > bounds[1])
    if outside.any():
        raise ValueError(
            f"X must lie within clip_values, got values from {X.min():.6g} to "
            f"{X.max():.6g}: scale it, "
            "or set clip_values to its range, 'data' or None."
        )


def learning_rate_for(learning_rate, X, bounds):
    """Return the step size; "auto" scales the official one to the input's size."""
    if learning_rate != "auto":
        return learning_rate
    span = np.max(np.subtract(bounds[1], bounds[0]))
    if not np.isfinite(span):
        span = np.max(np.ptp(X, axis=0))
    rate = OFFICIAL_RATE * np.sqrt(OFFICIAL_SIZE / X.shape[1])
    return float(max(2e-3, min(rate, LARGEST_RATE * span)))
