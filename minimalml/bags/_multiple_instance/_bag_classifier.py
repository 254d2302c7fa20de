"""What classifiers of whole bags share: predictions on the rows of a bag, and a score."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import _safe_indexing, column_or_1d

from minimalml._core.groups import GroupIndex
from minimalml._core.validation import check_is_fitted, validate_data
from minimalml.bags._aggregates import weighted_index
from minimalml.bags._bag_estimator import BagsMixin

FLOATS = [np.float64, np.float32]


class BagClassifierMixin(BagsMixin, ClassifierMixin):
    """Decide about bags by ``_decide(X, index)``, which gives a number above 0 or not."""

    def decision_function(self, X, bags=None):
        """Compute how much speaks for ``classes_[1]``, the positive class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag. None decides about single rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            The decision of its bag on each row; above 0 it is positive.
        """
        return self._on_rows(self._decide, X, bags)

    def predict(self, X, bags=None):
        """Predict the class of bags.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag. None predicts single rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            The label of its bag on each row, among ``classes_``.
        """
        is_positive = self.decision_function(X, bags) > 0
        return self.classes_[is_positive.astype(np.intp)]

    def score(self, X, y, bags=None, sample_weight=None):
        """Return the share of bags that are right.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,)
            The label of its bag on each row.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag. None scores single rows: accuracy.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows; a bag weighs their mean, and rows of weight 0 are dropped.

        Returns
        -------
        float
            1 at best, 0 at worst.
        """
        y = column_or_1d(y)
        kept, index, weight = weighted_index(bags, len(y), sample_weight)
        weight = None if weight is None else index.mean(weight)
        predicted = index.first(self.predict(_safe_indexing(X, kept), index.codes))
        return accuracy_score(index.constant(y[kept]), predicted, sample_weight=weight)

    def _on_rows(self, function, X, bags):
        """Check rows, and give each what ``function(X, index)`` says of its bag."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        index = GroupIndex(bags, len(X))
        return index.expand(function(X, index))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
