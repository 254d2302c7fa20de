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
    the stage adds ``learning_rate * A @ (I - S)``, one row for each leaf, which are kept
    in ``added``. O(n_train^2) time a stage.
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
        weights, self.added = self._initial_weights(training.X), []
        for stage, codes in enumerate(self._codes(self.leaves.of_train)):
            means = self.leaves.shares[slice(*self.leaves.starts[stage : stage + 2])]
            self.added.append(model.learning_rate * (means.toarray() - means @ weights))
            add_rows(weights, self.added[-1], codes)

    def _weights(self, X):
        *_, weights = self._staged_weights(X)
        return weights

    def _norms_of_block(self, X, staged):
        norms = [squared_lengths(weights) for weights in self._staged_weights(X)]
        return np.stack(norms, axis=1) if staged else norms[-1]

    def _staged_weights(self, X):
        """Yield the weights after each stage, in one array."""
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
            return np.zeros((_num_samples(X), self.training.n_rows))
        # Trees see float32, and so does what comes before them
        X = check_array(X, dtype=np.float32, accept_sparse="csr")
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
            f"{needed / 1e9:.1f} GB: the most is {MOST_BYTES / 1e9:.0f}."
        )


@known_smoother.register(GradientBoostingRegressor)
def _(model, training):
    needed = {"loss": "squared_error", "subsample": 1, "n_iter_no_change": None}
    for name, value in needed.items():
        given = getattr(model, name)
        if given != value:
            reason = (
                "other losses make boosting no weighted sum of y_train"
                if name == "loss"
                else "the rows that its stages were fitted on aren't stored"
            )
            raise ValueError(f"{name} must be {value!r}, got {given!r}: {reason}.")
    return BoostedLeaves(model, training)


@known_smoother.register(GradientBoostingClassifier)
def _(model, training):
    raise ValueError(
        "GradientBoostingClassifier is no weighted sum of y_train: its leaves hold steps "
        "of Newton's method. GradientBoostingRegressor with squared errors is one."
    )
