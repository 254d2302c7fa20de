"""The smallest learners that stand on the family's floor, to test it by."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import Ridge
from sklearn.metrics import accuracy_score
from sklearn.utils import _safe_indexing, column_or_1d
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from minimalml._core.validation import validate_data
from minimalml.bags._aggregates import weighted_index
from minimalml.bags._bag_estimator import (
    AggregateRegressorMixin,
    BagsMixin,
    ProportionClassifierMixin,
    encode_proportions,
)

FLOATS = [np.float64, np.float32]


class MeanRidge(AggregateRegressorMixin, BaseEstimator):
    """Ridge regression of the means of bags on the means of their rows."""

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def fit(self, X, y, bags=None, sample_weight=None):
        X, y = validate_data(self, X, y, dtype=FLOATS, y_numeric=True)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, X, ensure_non_negative=True
            )
        kept, index, weight = weighted_index(bags, len(X), sample_weight)
        sizes = index.sizes if weight is None else index.sum(weight)
        means = index.mean(X[kept], weight)
        self.ridge_ = Ridge(self.alpha).fit(means, index.constant(y[kept]), sizes)
        return self

    def predict(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        return self.ridge_.predict(X)


class ShareRidge(ProportionClassifierMixin, BaseEstimator):
    """Call positive what a ridge regression of shares on means puts above a half."""

    def fit(self, X, y, bags=None):
        X, y = validate_data(self, X, y, dtype=FLOATS)
        _, index, _ = weighted_index(bags, len(X))
        self.classes_, shares = encode_proportions(y, bags, index)
        self.ridge_ = Ridge(1e-3).fit(index.mean(X), shares, index.sizes)
        return self

    def predict(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        return self.classes_[(self.ridge_.predict(X) > 0.5).astype(int)]


class MaxOfBag(BagsMixin, ClassifierMixin, BaseEstimator):
    """Ridge regression of the labels of bags on the maxima of their rows."""

    def fit(self, X, y, bags=None):
        X, y = validate_data(self, X, y, dtype=FLOATS)
        _, index, _ = weighted_index(bags, len(X))
        self.classes_, codes = encode_proportions(index.constant(y), None, index)
        self.ridge_ = Ridge(1e-3).fit(index.max(X), 2 * codes - 1)
        return self

    def decision_function(self, X, bags=None):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        _, index, _ = weighted_index(bags, len(X))
        return index.expand(self.ridge_.predict(index.max(X)))

    def predict(self, X, bags=None):
        is_positive = self.decision_function(X, bags) > 0
        return self.classes_[is_positive.astype(int)]

    def score(self, X, y, bags=None, sample_weight=None):
        kept, index, weight = weighted_index(bags, len(y), sample_weight)
        found = index.first(self.predict(_safe_indexing(X, kept), index.codes))
        truth = index.constant(column_or_1d(y)[kept])
        weight = None if weight is None else index.mean(weight)
        return accuracy_score(truth, found, sample_weight=weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


LEARNERS = [MeanRidge(), ShareRidge(), MaxOfBag()]
