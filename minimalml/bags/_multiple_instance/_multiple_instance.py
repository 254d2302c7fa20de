"""Find the row that makes a bag positive, with any classifier of rows inside.

Positive bags are represented by their largest row, or their rows get labels, and the
classifier is fitted again until nothing changes. MI-SVM and mi-SVM: Andrews,
Tsochantaridis, Hofmann, "Support Vector Machines for Multiple-Instance Learning", 2002.
"""

import warnings
from itertools import count

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC
from sklearn.utils.metaestimators import available_if

from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.groups import GroupIndex
from minimalml._core.validation import (
    HasMethods,
    Integral,
    Interval,
    StrOptions,
    _fit_context,
    validate_data,
)
from minimalml.bags._bag_estimator import encode_two_classes
from minimalml.bags._multiple_instance._bag_classifier import FLOATS, BagClassifierMixin


def row_scores(estimator, X):
    """Return a number above 0 for each row that a fitted classifier calls positive."""
    if hasattr(estimator, "decision_function"):
        scores = estimator.decision_function(X)
    else:
        scores = estimator.predict_proba(X)[:, 1] - 0.5
    if np.isnan(scores).any():
        raise ValueError(
            f"estimator ({type(estimator).__name__}) decides about row "
            f"{np.isnan(scores).argmax()} by NaN, which says nothing."
        )
    return scores


def _estimator_has_probabilities(self):
    return hasattr(getattr(self, "estimator_", self._template()), "predict_proba")


class MultipleInstanceClassifier(
    BagClassifierMixin, CallbackSupportMixin, MetaEstimatorMixin, BaseEstimator
):
    """Classify bags that are positive if one of their rows is, by any row classifier.

    For bags with a label of which no row has one. The decision about a bag is that
    about its largest row: another row never makes a bag less positive. Takes a few fits
    of ``estimator``. Not for bags in which several things must come together: see
    `MultipleInstanceMLPClassifier` with ``pooling="concepts"``.

    Parameters
    ----------
    estimator : classifier, default=None
        With ``decision_function`` or ``predict_proba``; a pipeline too. None is
        ``LinearSVC(random_state=0)``, for scaled features.

    update : {"witness", "impute"}, default="witness"
        "witness" (MI-SVM) trains on all rows of negative bags and one row of each
        positive bag: first the mean, then the row of the largest decision. "impute"
        (mi-SVM) trains on all rows, those of positive bags first all positive, then as
        decided, the largest always positive: where many rows of a positive bag are.

    max_iter : int, default=50
        Largest number of fits.

    Attributes
    ----------
    estimator_ : classifier
        The last fit.

    classes_ : ndarray of shape (2,)
        Labels, sorted; a bag of ``classes_[1]`` is a positive one.

    witness_indices_ : ndarray of int of shape (n_positive_bags,)
        The row of largest decision of each positive bag, by the order of their ids.

    n_iter_ : int
        Number of fits.

    n_features_in_ : int
        Number of features seen by `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by `fit`, if all are strings.

    See Also
    --------
    MultipleInstanceMLPClassifier : A network for the same.
    minimalml.testing.check_respects_mil_assumption : Shows whether a model keeps to it.

    Notes
    -----
    A fit on the present rows and a decision about all, until the chosen rows (or their
    labels) are those of the fit before. Where they are those of an earlier one, or after
    ``max_iter`` fits, a ConvergenceWarning is raised and the last fit is kept. Where
    each bag has one row it is the fit of ``estimator`` to X and y.

    References
    ----------
    .. [1] S. Andrews, I. Tsochantaridis, T. Hofmann, "Support Vector Machines for
       Multiple-Instance Learning", NeurIPS 2002.

    .. [2] E. Raff, J. Holt, "Reproducibility in Multiple Instance Learning: A Case For
       Algorithmic Unit Tests", NeurIPS 2023. arXiv:2310.17867

    Examples
    --------
    >>> from minimalml.bags import MultipleInstanceClassifier
    >>> X, bags = [[0.0], [0.2], [0.1], [3.0], [0.1], [2.5]], [0, 0, 1, 1, 2, 2]
    >>> y = ["fine", "fine", "ill", "ill", "ill", "ill"]
    >>> model = MultipleInstanceClassifier().fit(X, y, bags)
    >>> model.witness_indices_.tolist(), model.score(X, y, bags)
    ([3, 5], 1.0)
    >>> model.predict(X).tolist()
    ['fine', 'fine', 'fine', 'ill', 'fine', 'ill']
    """

    _parameter_constraints = {
        "estimator": [HasMethods("fit"), None],
        "update": [StrOptions({"witness", "impute"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, estimator=None, *, update="witness", max_iter=50):
        self.estimator = estimator
        self.update = update
        self.max_iter = max_iter

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, bags=None):
        """Fit the classifier until its choice of rows settles.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,)
            The label of its bag on each row, two labels of any kind.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag. None makes each row a bag.

        Returns
        -------
        self : MultipleInstanceClassifier

        Raises
        ------
        TypeError
            If ``estimator`` has neither ``decision_function`` nor ``predict_proba``.
        ValueError
            If y varies within a bag, or there are no two classes of bags.
        """
        template = self._template()
        methods = "decision_function", "predict_proba"
        if not any(hasattr(template, method) for method in methods):
            raise TypeError(
                f"estimator must have decision_function or predict_proba, which "
                f"{type(template).__name__} has not."
            )
        X, y = validate_data(self, X, y, dtype=FLOATS)
        index = GroupIndex(bags, len(X))
        self.classes_, codes = encode_two_classes(index.constant(y))
        with fit_task(self, X, y, self.max_iter) as task:
            self._fit_until_settled(X, index, codes == 1, task)
        return self

    def _template(self):
        return LinearSVC(random_state=0) if self.estimator is None else self.estimator

    def _fit_until_settled(self, X, index, is_positive, task):
        """Fit, decide, and choose rows again, until the choice is that of before."""
        rows, codes = self._choose(index, is_positive, np.ones(len(X)))
        X_train, present, earlier = X[rows], _key(rows, codes), set()
        if self.update == "witness" and not index.is_singletons:
            X_train[len(rows) - is_positive.sum() :] = index.mean(X)[is_positive]
            present = None  # means are no rows
        for self.n_iter_ in count(1):
            estimator = clone(self._template())
            fitted = {"estimator_": estimator, "classes_": self.classes_}
            with task.step("round", attributes=fitted, inner=estimator):
                self.estimator_ = estimator.fit(X_train, self.classes_[codes])
            scores = row_scores(estimator, X)
            earlier.add(present)
            rows, codes = self._choose(index, is_positive, scores)
            previous, present = present, _key(rows, codes)
            if present == previous or task.is_stopped:
                break
            if present in earlier or self.n_iter_ >= self.max_iter:
                self._warn(present in earlier)
                break
            X_train = X[rows]
        self.witness_indices_ = index.argmax(scores)[is_positive]

    def _choose(self, index, is_positive, scores):
        """Return the rows to train on, and 1 for each that is to be positive."""
        may_be_positive = index.expand(is_positive)
        if index.is_singletons:
            return np.arange(len(scores)), may_be_positive.astype(np.intp)
        witnesses = index.argmax(scores)[is_positive]
        if self.update == "witness":
            rows = np.concatenate([np.flatnonzero(~may_be_positive), witnesses])
            return rows, may_be_positive[rows].astype(np.intp)
        codes = (may_be_positive & (scores > 0)).astype(np.intp)
        codes[witnesses] = 1
        return np.arange(len(scores)), codes

    def _warn(self, is_cycle):
        """Say why the last fit need not be the best."""
        what = "witnesses" if self.update == "witness" else "labels of rows"
        reason = (
            f"came back to those of an earlier fit after {self.n_iter_} fits"
            if is_cycle
            else f"still changed after max_iter={self.max_iter} fits: raise max_iter"
        )
        warnings.warn(
            f"The {what} {reason}. The last fit is kept.",
            ConvergenceWarning,
            stacklevel=6,
        )

    def _decide(self, X, index):
        return index.max(row_scores(self.estimator_, X))

    @available_if(_estimator_has_probabilities)
    def predict_proba(self, X, bags=None):
        """Return the class probabilities of each bag's largest row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag. None gives those of single rows.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            The probabilities of its bag on each row, in the order of ``classes_``.
        """
        positive = self._on_rows(
            lambda X, index: index.max(self.estimator_.predict_proba(X)[:, 1]), X, bags
        )
        return np.column_stack([1 - positive, positive])


def _key(rows, codes):
    """Return what tells one choice of rows from another."""
    return rows.tobytes() + codes.tobytes()
