"""Rows to train on and rows to compare candidates and soups by, and the comparison."""

from inspect import signature
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring, log_loss, make_scorer
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing, column_or_1d, indexable

from minimalml._core.array_checks import encode_labels, unique_labels
from minimalml._core.validation import check_sample_weight, check_y

# From so many validation rows on, accuracy is fine enough to compare soups by.
ROWS_FOR_ACCURACY = 2_000


class Rows(NamedTuple):
    """Rows to train on and rows to validate on; weights may be None."""

    X: Any
    y: np.ndarray
    weight: np.ndarray
    X_val: Any
    y_val: np.ndarray
    weight_val: np.ndarray

    def fit(self, model):
        """Fit a model to the training rows."""
        weight = {} if self.weight is None else {"sample_weight": self.weight}
        return model.fit(self.X, self.y, **weight)

    def score(self, scorer, model):
        """Score a model on the validation rows, by their weights if the scorer can."""
        weight = {}
        takes_weights = "sample_weight" in signature(scorer).parameters
        if self.weight_val is not None and takes_weights:
            weight["sample_weight"] = self.weight_val
        return float(scorer(model, self.X_val, self.y_val, **weight))


def split_rows(X, y, X_val, y_val, sample_weight, kind, fraction, random_state):
    """Return `Rows`, held out of X where no others are given.

    ``kind`` is "classifier", whose rows are held out by class, or "regressor".
    """
    if y is None:
        raise ValueError(
            f"this {kind} requires y to be passed, but the target y is None."
        )
    X, y = indexable(X, y)
    y = _check_target(y, kind)
    if sample_weight is not None:
        sample_weight = check_sample_weight(sample_weight, X, ensure_non_negative=True)
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val must be given together, got one of them.")
    if X_val is not None:
        X_val, y_val = indexable(X_val, y_val)
        if kind == "classifier":
            encode_labels(y_val, np.unique(y), name="y_val")
            y_val = column_or_1d(y_val)
        else:
            y_val = _check_target(y_val, kind)
        return Rows(X, y, sample_weight, X_val, y_val, None)
    parts = train_test_split(
        np.arange(len(y)),
        test_size=fraction,
        stratify=y if kind == "classifier" else None,
        random_state=random_state,
    )
    train, validation = (
        (
            _safe_indexing(X, p),
            y[p],
            None if sample_weight is None else sample_weight[p],
        )
        for p in parts
    )
    return Rows(*train, *validation)


def _check_target(y, kind):
    if kind == "classifier":
        classes, _ = unique_labels(y)
        if len(classes) < 2:
            raise ValueError(
                f"y must have at least 2 classes, got 1 class: {classes.tolist()}."
            )
        return column_or_1d(y)
    y = check_y(y, multi_output=True, y_numeric=True)
    return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y


def choose_scorer(scoring, model, n_rows):
    """Return a scorer; the default is fine enough to tell soups apart on ``n_rows``."""
    if not is_classifier(model):
        return check_scoring(model, scoring or "neg_mean_squared_error")
    if scoring is None:
        is_coarse = n_rows < ROWS_FOR_ACCURACY and hasattr(model, "predict_proba")
        scoring = "neg_log_loss" if is_coarse else "accuracy"
    if scoring != "neg_log_loss":
        return check_scoring(model, scoring)
    return make_scorer(
        log_loss,
        greater_is_better=False,
        response_method="predict_proba",
        labels=model.classes_,  # some of which the rows may lack
    )
