"""Gradient boosting: each stage adds means of what earlier ones left of every target."""

import numpy as np
from scipy.sparse import issparse
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.utils import check_array, gen_batches
from sklearn.utils.validation import _num_samples

from minimalml.inspection._forest_smoothers._leaves import Leaves
from minimalml.inspection._forest_smoothers._smoother import (
    Smoother,
    known_smoother,
    smoother_of,
    squared_lengths,
)

# What weights of training rows and leaves may take: 20,000 rows, 5,000 leaves.
MOST_BYTES = 4e9
BLOCK_ROWS = 1024


class BoostedLeaves(Smoother):
    """Boosting of squared errors.

    With S the weights of the training rows before a stage and A the means of its leaves,
    the stage adds ``learning_rate * A @ (I - S)``, one row for each leaf. Those rows are
    kept: n_train numbers for each leaf. O(n_train^2) time a stage.

    Parameters
    ----------
    model : GradientBoostingRegressor
        Fitted.

    training : TrainingData
        What it was fitted on.

    Attributes
    ----------
    added : list of ndarray of shape (n_leaves, n_train)
        What each stage adds to weights in each of its leaves.
    """

    has_stages = True

    def __init__(self, model, training):
        super().__init__(training)
        trees, row_weights = model.estimators_[:, 0], training.weights_or_ones()
        n_leaves = sum(tree.tree_.n_leaves for tree in trees)
        refuse_too_large(training.n_rows, n_leaves)
        self.apply = model.apply
        self.leaves = Leaves(trees, model.apply(training.X), [row_weights] * len(trees))
        self._initial = initial_smoother(model, training)
        weights, self.added = self._initial_weights(None), []
        for stage, codes in enumerate(self._codes(self.leaves.of_train)):
            means = self.leaves.shares[slice(*self.leaves.starts[stage : stage + 2])]
            self.added.append(model.learning_rate * (means.toarray() - means @ weights))
            add_rows(weights, self.added[-1], codes)

    def weights(self, X=None, oob=False):
        """Return an ndarray of weights, which may be negative."""
        self._refuse(oob)
        *_, weights = self._staged_weights(X)
        return weights

    def _norms_of_block(self, X, staged):
        norms = [squared_lengths(weights) for weights in self._staged_weights(X)]
        return np.stack(norms, axis=1) if staged else norms[-1]

    def _staged_weights(self, X):
        """Yield the weights after each stage, in one array."""
        leaves = self.leaves.of_train
        if X is not None:
            leaves = self.leaves.number(self.apply(X))
        weights = self._initial_weights(X)
        for added, codes in zip(self.added, self._codes(leaves), strict=True):
            add_rows(weights, added, codes)
            yield weights

    def _codes(self, leaves):
        """Return the leaves of each stage, counted from its first: a stage a row."""
        return (leaves - self.leaves.starts[:-1]).T

    def _initial_weights(self, X):
        if self._initial is None:
            X = self.training.X if X is None else X
            return np.zeros((_num_samples(X), self.training.n_rows))
        # Trees see float32, and so does what comes before them
        X = X if X is None else check_array(X, dtype=np.float32, accept_sparse="csr")
        weights = self._initial.weights(X)
        return weights.toarray() if issparse(weights) else weights


def add_rows(weights, added, codes):
    """Add to each row of weights what its leaf adds, without a copy of all."""
    for rows in gen_batches(len(weights), BLOCK_ROWS):
        weights[rows] += added[codes[rows]]


def initial_smoother(model, training):
    """Return the smoother that boosting starts from, None for nothing."""
    if isinstance(model.init_, str):  # "zero"
        return None
    X = check_array(training.X, dtype=np.float32, accept_sparse="csr")
    return smoother_of(model.init_, training._replace(X=X))


def refuse_too_large(n_rows, n_leaves):
    """Raise if the weights won't fit into memory."""
    needed = 8 * n_rows * (n_rows + n_leaves)
    if needed > MOST_BYTES:
        raise ValueError(
            f"Weights of boosting on {n_rows} rows with {n_leaves} leaves would take "
            f"{needed / 1e9:.1f} GB, more than {MOST_BYTES / 1e9:.0f}: fit it on fewer "
            "rows."
        )


def refuse_other_than_linear(model):
    """Raise where stages aren't means of residuals over known rows."""
    if model.loss != "squared_error":
        raise ValueError(
            f"loss={model.loss!r} makes boosting no weighted sum of y_train: only "
            "'squared_error' does not."
        )
    if model.subsample < 1:
        raise ValueError(
            f"subsample must be 1, got {model.subsample}: the rows that each stage was "
            "fitted on aren't stored."
        )
    if model.n_iter_no_change is not None:
        raise ValueError(
            f"n_iter_no_change must be None, got {model.n_iter_no_change}: the rows that "
            "were held out to stop early aren't stored."
        )


@known_smoother.register(GradientBoostingRegressor)
def _(model, training):
    refuse_other_than_linear(model)
    return BoostedLeaves(model, training)


@known_smoother.register(GradientBoostingClassifier)
def _(model, training):
    raise ValueError(
        "GradientBoostingClassifier is no weighted sum of y_train: its leaves hold steps "
        "of Newton's method. GradientBoostingRegressor with squared errors is one."
    )
