"""Rows that settings are chosen on, and the loss that decides."""

import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import train_test_split

from minimalml._core.array_checks import encode_labels, unique_labels
from minimalml.ensemble._member_probabilities import logarithms, of_class


def hold_out(y, fraction, seed, has_classes):
    """Return rows to train on and to validate on, by class where each has room for all."""
    if len(y) < 2:
        raise ValueError(
            f"n_samples={len(y)} can't be held out in part: give more rows."
        )
    codes = unique_labels(y)[1] if has_classes else np.zeros(len(y), dtype=int)
    counts, n_held_out = np.bincount(codes), int(np.ceil(fraction * len(y)))
    has_room = min(n_held_out, len(y) - n_held_out) >= len(counts) and counts.min() > 1
    train, held_out = train_test_split(
        np.arange(len(y)), test_size=fraction, random_state=seed,
        stratify=codes if has_room else None,
    )  # fmt: skip
    # a class is better missed in validation than in training
    is_unseen = ~np.isin(codes[held_out], codes[train])
    if is_unseen.all():
        raise ValueError(
            f"validation_fraction={fraction} leaves no row to validate of {len(y)}: give "
            "more rows, or numbers for weight_decay and max_epochs."
        )
    return np.r_[train, held_out[is_unseen]], held_out[~is_unseen]


def held_out_score(model, X, y, sample_weight=None):
    """Return minus the weighted loss: log loss over all classes, or squared error."""
    if is_classifier(model):
        logs, _ = logarithms(model.predict_proba(X).astype(np.float64))
        losses = -of_class(logs, encode_labels(y, model.classes_))
    else:
        losses = (model.predict(X).astype(np.float64) - y) ** 2
    return -np.average(losses, weights=sample_weight)
