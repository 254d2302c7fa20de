"""Models that hold others: their weights are sums of those of their members."""

import numpy as np
from scipy.sparse import csr_array
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.tree import BaseDecisionTree
from sklearn.utils import check_array

from minimalml._core.validation import has_fit_parameter
from minimalml.inspection._forest_smoothers._leaf_averages import (
    LeafAverages,
    draws_of,
    tree_weights,
)
from minimalml.inspection._forest_smoothers._smoother import (
    Smoother,
    known_smoother,
    smoother_of,
)


class WeightedSum(Smoother):
    """A sum of smoothers, each times a coefficient."""

    def __init__(self, training, smoothers, coefficients):
        super().__init__(training)
        self.smoothers, self.coefficients = smoothers, coefficients

    def _weights(self, X):
        pairs = zip(self.smoothers, self.coefficients, strict=True)
        return sum(coefficient * member.weights(X) for member, coefficient in pairs)


class TransformedRows(Smoother):
    """A smoother of rows that fitted steps have transformed."""

    def __init__(self, training, smoother, transform):
        super().__init__(training)
        self.smoother, self.transform = smoother, transform

    def weights(self, X=None, oob=False):
        """Return the weights of transformed rows."""
        return self.smoother.weights(X if X is None else self.transform(X), oob)

    def row_norms(self, X=None, **options):
        """Return the squared lengths of weights of transformed rows."""
        X = X if X is None else self.transform(X)
        return self.smoother.row_norms(X, **options)


class BagMember(Smoother):
    """A member of bagging, which sees some columns, and rows as they were drawn."""

    def __init__(self, model, training, columns, rows):
        super().__init__(training)
        self.columns, X, y = columns, training.X[:, columns], training.y
        self._spread = None
        if has_fit_parameter(model, "sample_weight"):
            counts = np.bincount(rows, minlength=training.n_rows).astype(np.float64)
            training = training._replace(X=X, sample_weight=counts)
        else:
            y = None if y is None else y[rows]
            training = training._replace(X=X[rows], y=y, sample_weight=None)
            shape = (len(rows), self.training.n_rows)
            ends = np.arange(len(rows) + 1)
            self._spread = csr_array((np.ones(len(rows)), rows, ends), shape=shape)
        self.smoother = smoother_of(model, training)

    def _weights(self, X):
        weights = self.smoother.weights(as_bagging_sees(X)[:, self.columns])
        return weights if self._spread is None else weights @ self._spread


def as_bagging_sees(X):
    """Return rows as bagging hands them to its members, as an array."""
    return check_array(X, accept_sparse="csr", dtype=None, ensure_all_finite=False)


class BaggedTrees(LeafAverages):
    """Bagging of trees, each of which sees some columns."""

    def _nodes(self, X):
        X = as_bagging_sees(X)
        pairs = zip(
            self.model.estimators_, self.model.estimators_features_, strict=True
        )
        return np.column_stack([tree.apply(X[:, columns]) for tree, columns in pairs])


@known_smoother.register(BaggingRegressor)
@known_smoother.register(BaggingClassifier)
def _(model, training):
    training = with_class_numbers(model, training)
    training = training._replace(X=as_bagging_sees(training.X), sample_weight=None)
    members, draws = model.estimators_, draws_of(model, training)
    if all(isinstance(member, BaseDecisionTree) for member in members):
        row_weights = (
            np.bincount(rows, minlength=training.n_rows) * tree_weights(tree, training)
            for tree, rows in zip(members, draws, strict=True)
        )
        return BaggedTrees(model, training, row_weights)
    parts = zip(members, model.estimators_features_, draws, strict=True)
    smoothers = [BagMember(m, training, columns, rows) for m, columns, rows in parts]
    return WeightedSum(training, smoothers, np.full(len(members), 1 / len(members)))


def with_class_numbers(model, training):
    """Return training data as classifiers hand them to their members."""
    if training.y is None or not hasattr(model, "classes_"):
        return training
    return training._replace(y=np.searchsorted(model.classes_, training.y))


@known_smoother.register(VotingRegressor)
@known_smoother.register(VotingClassifier)
def _(model, training):
    if getattr(model, "voting", "soft") != "soft":
        raise ValueError(
            f"voting={model.voting!r} counts votes, which are no weighted sums of "
            "y_train: it must be 'soft'."
        )
    coefficients = np.ones(len(model.estimators_))
    if model.weights is not None:
        kept = zip(model.estimators, model.weights, strict=True)
        coefficients = np.array([w for (_, member), w in kept if member != "drop"])
    training = with_class_numbers(model, training)
    smoothers = [smoother_of(member, training) for member in model.estimators_]
    return WeightedSum(training, smoothers, coefficients / coefficients.sum())


@known_smoother.register(StackingRegressor)
def _(model, training):
    if model.passthrough:
        raise ValueError(
            "passthrough must be False: what a stack makes of X itself has coefficients "
            "that are no weighted sums of y_train."
        )
    final, n_members = model.final_estimator_, len(model.estimators_)
    coefficients = np.ravel(getattr(final, "coef_", np.nan))
    # The intercept hangs on predictions of models that cross-validation threw away
    if len(coefficients) != n_members or not np.allclose(
        final.predict(np.eye(n_members)), coefficients
    ):
        raise ValueError(
            "A stack is a weighted sum of y_train only if its final_estimator is linear "
            "and without an intercept, as LinearRegression(fit_intercept=False, "
            f"positive=True); got {final}."
        )
    smoothers = [smoother_of(member, training) for member in model.estimators_]
    return WeightedSum(training, smoothers, coefficients)


@known_smoother.register(Pipeline)
def _(model, training):
    if len(model) == 1:
        return smoother_of(model[-1], training)
    transform = model[:-1].transform
    inner = smoother_of(model[-1], training._replace(X=transform(training.X)))
    return TransformedRows(training, inner, transform)


@known_smoother.register(FrozenEstimator)
def _(model, training):
    return smoother_of(model.estimator, training)


@known_smoother.register(GridSearchCV)
@known_smoother.register(RandomizedSearchCV)
def _(model, training):
    return smoother_of(model.best_estimator_, training)
