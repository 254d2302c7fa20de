"""What the estimators of bags share: routing, what y is, and scores by bag."""

from inspect import signature

import numpy as np
from scipy.special import expit
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from minimalml._core.validation import SIMPLE_METHODS
from minimalml.bags._aggregates import weighted_index


class BagsMixin:
    """Request ``bags`` for each method that takes them, so that nobody has to."""

    def __init_subclass__(cls, **kwargs):
        """Set the default requests before scikit-learn reads them."""
        for name in SIMPLE_METHODS:
            method = getattr(cls, name, None)
            if callable(method) and "bags" in signature(method).parameters:
                setattr(cls, f"__metadata_request__{name}", {"bags": True})
        super().__init_subclass__(**kwargs)


class AggregateRegressorMixin(BagsMixin, RegressorMixin):
    """Predicts rows, learns from means of bags, and is scored by them."""

    def score(self, X, y, bags=None, sample_weight=None):
        """Return R² of the means of bags, each of the weight of its rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,)
            The mean response of its bag on each row.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag. None scores single rows.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows; rows of weight 0 are dropped.

        Returns
        -------
        float
            R², 1 at best.
        """
        y, predictions = column_or_1d(y), self.predict(X)
        kept, index, weight = weighted_index(bags, len(y), sample_weight)
        means = index.mean(predictions[kept], weight)
        sizes = index.sizes if weight is None else index.sum(weight)
        return r2_score(index.constant(y[kept]), means, sample_weight=sizes)


class ProportionClassifierMixin(BagsMixin, ClassifierMixin):
    """Predicts rows, learns from shares of the positive class, and is scored by them."""

    def score(self, X, y, bags=None, sample_weight=None):
        """Return 1 minus the mean error of the predicted share of the positive class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,)
            The share of ``classes_[1]`` in its bag on each row. Without bags, labels.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag. None scores single rows: with labels, accuracy.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows; rows of weight 0 are dropped.

        Returns
        -------
        float
            1 at best, 0 at worst.
        """
        y, is_positive = column_or_1d(y), self.predict(X) == self.classes_[1]
        kept, index, weight = weighted_index(bags, len(y), sample_weight)
        y = y[kept]
        if bags is None and np.isin(y, self.classes_).all():
            y = y == self.classes_[1]
        errors = index.mean(is_positive[kept], weight) - check_proportions(y, index)
        sizes = index.sizes if weight is None else index.sum(weight)
        return float(1.0 - np.average(np.abs(errors), weights=sizes))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


class LogOddsMixin:
    """Classes and probabilities of rows, from the one output of a network."""

    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, scaled as those of `fit`.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            Probabilities in the order of ``classes_``.
        """
        log_odds = self._predict_outputs(X)
        return expit(np.hstack([-log_odds, log_odds]))

    def predict(self, X):
        """Predict the class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, scaled as those of `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels among ``classes_``.
        """
        is_positive = self._predict_outputs(X)[:, 0] > 0
        return self.classes_[is_positive.astype(np.intp)]


def encode_proportions(y, bags, index):
    """Return the two classes, and the share of the second in each bag.

    Without ``bags``, y holds labels of two classes, or shares that are no whole numbers.
    """
    is_share = type_of_target(y) == "continuous" and y.min() >= 0 and y.max() <= 1
    if bags is not None or is_share:
        return np.array([0, 1]), check_proportions(y, index)
    classes, codes = encode_two_classes(y)
    return classes, codes.astype(np.float64)


def encode_two_classes(y):
    """Return the two classes, and for each label whether it is the second: 0 or 1."""
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) > 2:
        raise ValueError(
            "Only binary classification is supported. The type of the target is "
            f"{type_of_target(y)}: {len(classes)} classes."
        )
    if len(classes) < 2:
        raise ValueError(f"y must have 2 classes, got 1 class: {classes[0]!s}.")
    return classes, codes


def check_proportions(y, index):
    """Return the share of each bag, a number from 0 to 1 that its rows agree on."""
    is_number = y.dtype.kind in "biuf"
    wrong = ~((y >= 0) & (y <= 1)) if is_number else np.ones(len(y), dtype=bool)
    if wrong.any():
        raise ValueError(
            "y must be the share of the positive class in each row's bag, a number in "
            f"[0, 1], got {y[wrong.argmax()]!s}: y=aggregate_targets(y == positive, bags) "
            "makes shares of labels."
        )
    return index.constant(y.astype(np.float64))
