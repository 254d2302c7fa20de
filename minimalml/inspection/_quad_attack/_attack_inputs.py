"""What an attack is told, checked and put in indices: labels, targets, bounds."""

import numpy as np

from minimalml.inspection._quad_attack._targets import (
    check_ordered_targets,
    sample_ordered_targets,
)

# The official step, 2.2e-3, is for inputs of 3 x 224 x 224; a pixel's share of a given
# length grows as there are fewer of them.
OFFICIAL_RATE, OFFICIAL_SIZE = 2.2e-3, 3 * 224 * 224
LARGEST_RATE = 0.05  # of the range of the inputs


def encode_labels(labels, classes, name):
    """Return labels as indices into ``classes``, or say which row is unknown."""
    labels = np.asarray(labels)
    order = np.argsort(classes)
    place = np.searchsorted(classes, labels, sorter=order).clip(max=len(classes) - 1)
    index = order[place]
    unknown = classes[index] != labels
    if unknown.any():
        row = np.argwhere(unknown)[0]
        raise ValueError(
            f"{name} row {row[0]} holds the unknown label {labels[tuple(row)]!r}; the "
            f"model's classes are {classes.tolist()}."
        )
    return index


def choose_targets(targets, k, classes, true_classes, logits, random_state):
    """Return target indices (n, k) from labels, "random", or None for the least likely.

    Labels may be one list of k for all rows, or, if k is 1, one a row.
    """
    n, n_classes = len(true_classes), len(classes)
    if isinstance(targets, str) and targets == "random":
        return sample_ordered_targets(true_classes, n_classes, k, random_state)
    if targets is None:
        scores = np.where(np.arange(n_classes) == true_classes[:, None], np.inf, logits)
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
    index = encode_labels(labels, classes, "targets")
    return check_ordered_targets(index, n, n_classes, true_classes)


def bounds_of(clip_values, X):
    """Return lower and upper bound of inputs from ``clip_values``."""
    if clip_values is None:
        return -np.inf, np.inf
    if isinstance(clip_values, str):
        return X.min(axis=0), X.max(axis=0)
    lower, upper = clip_values
    if not lower < upper:
        raise ValueError(
            f"clip_values must be (low, high) with low < high, got {clip_values}."
        )
    return lower, upper


def check_within(X, bounds):
    """Refuse inputs outside the bounds."""
    if (X < bounds[0]).any() or (X > bounds[1]).any():
        raise ValueError(
            f"X must lie within clip_values, got values from {X.min():.6g} to "
            f"{X.max():.6g}: scale it, or set clip_values to its range, 'data' or None."
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
