"""Trees and means over trees: weights are shares in the leaves that a row falls into."""

import warnings

import numpy as np
from scipy.sparse import csr_array
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import _num_samples

from minimalml._core.threads import effective_n_threads, for_each_chunk
from minimalml.inspection._forest_smoothers._leaves import Leaves
from minimalml.inspection._forest_smoothers._smoother import (
    OTHER_DATA,
    Smoother,
    known_smoother,
)
from minimalml.inspection._forest_smoothers._weight_norms import squared_norms

# One member of a leaf read and added on one thread; leaves lie all over the memory.
SECONDS_PER_MEMBER = 2e-8
# Rows of a chunk, which clears n_train sums of its own: worth some ms.
CHUNK_ROWS = 512


class LeafAverages(Smoother):
    """Mean over trees of the means of leaves; for ``row_weights`` see `Leaves`."""

    def __init__(self, model, training, row_weights):
        super().__init__(training)
        self.model = model
        trees = getattr(model, "estimators_", [model])
        self.has_bags, self.has_stages = (
            getattr(model, "bootstrap", False),
            len(trees) > 1,
        )
        self.leaves = Leaves(trees, self._nodes(training.X), row_weights)

    def _nodes(self, X):
        """Return the node of each row in each tree, (n_rows, n_trees)."""
        return self.model.apply(X).reshape(_num_samples(X), -1)

    def weights(self, X=None, oob=False):
        """Return a CSR array of weights; NaN where no tree is out of bag."""
        leaves, shares = self._leaves_to_average(X, oob), self.leaves.shares
        is_counted = leaves >= 0
        n_counted = is_counted.sum(axis=1)
        # in the integers of shares, which the product would otherwise copy
        index_type = shares.indices.dtype
        ends = np.cumsum([0, *n_counted], dtype=index_type)
        chosen = leaves[is_counted].astype(index_type)
        shape = (len(leaves), shares.shape[0])
        weights = csr_array((np.ones(len(chosen)), chosen, ends), shape=shape) @ shares
        weights.data /= np.repeat(n_counted, np.diff(weights.indptr))
        if (n_counted == 0).any():
            weights = weights + nan_rows(n_counted == 0, weights.shape)
        return weights

    def row_norms(self, X=None, *, oob=False, staged=False):
        """Return squared lengths of rows of weights, without the weights."""
        leaves, shares = self._leaves_to_average(X, oob, staged), self.leaves.shares
        n_rows, n_trees = leaves.shape
        norms = np.empty((n_rows, n_trees if staged else 1))

        def work(start, stop):
            squared_norms(
                leaves, shares.indptr, shares.indices, shares.data,
                np.zeros(self.training.n_rows), norms, start, stop,
            )  # fmt: skip

        n_members = n_rows * n_trees * shares.nnz / shares.shape[0]
        n_threads = effective_n_threads(n_members, SECONDS_PER_MEMBER)
        for_each_chunk(work, n_rows, chunk_size=CHUNK_ROWS, n_threads=n_threads)
        return norms if staged else norms[:, 0]

    def _leaves_to_average(self, X, oob, staged=False):
        """Return leaves with -1 where a tree does not count."""
        self._refuse(oob and not self.has_bags, staged and not self.has_stages)
        if X is not None:
            return self.leaves.number(self._nodes(X))
        if not oob:
            return self.leaves.of_train
        leaves = self.leaves.of_train.copy()
        for tree, rows in enumerate(self.model.estimators_samples_):
            leaves[rows, tree] = -1
        n_never = (leaves < 0).all(axis=1).sum()
        if n_never:
            warnings.warn(
                f"{n_never} training rows are out of bag in no tree and get NaN: more "
                "trees leave fewer.",
                UserWarning,
                stacklevel=6,
            )
        return leaves


def nan_rows(is_nan, shape):
    """Return a CSR array that is NaN in some rows, and empty in others."""
    ends = np.cumsum([0, *(shape[1] * is_nan)])
    columns = np.tile(np.arange(shape[1]), is_nan.sum())
    return csr_array((np.full(len(columns), np.nan), columns, ends), shape=shape)


def tree_weights(tree, training):
    """Return the weights of the training rows in the fit of a tree."""
    class_weight = getattr(tree, "class_weight", None)
    return training.weights_or_ones() * class_weights(class_weight, training)


def forest_weights(forest, training):
    """Yield the weights of the training rows in the fit of each tree of a forest."""
    class_weight = getattr(forest, "class_weight", None)
    if forest.bootstrap:
        # Sample and class weights are in the odds of being drawn, but for those by draw
        is_by_draw = class_weight == "balanced_subsample"
        for rows in draws_of(forest, training):
            counts = np.bincount(rows, minlength=training.n_rows)
            if is_by_draw:
                counts = counts * class_weights(class_weight, training, rows)
            yield counts
        return
    weights = training.weights_or_ones() * class_weights(class_weight, training)
    if class_weight in ("balanced", "balanced_subsample"):
        weights *= balance_of_weights(training)
    yield from [weights] * len(forest.estimators_)


def draws_of(ensemble, training):
    """Return the rows that each member of an ensemble was fitted on.

    Rows that were never drawn leave no trace but in a private attribute.
    """
    n_rows = getattr(ensemble, "_n_samples", training.n_rows)
    if n_rows != training.n_rows:
        raise ValueError(
            f"{OTHER_DATA}: it has {training.n_rows} rows instead of {n_rows}."
        )
    return ensemble.estimators_samples_


def class_weights(class_weight, training, rows=None):
    """Return what a class weight makes of each training row, 1 for None."""
    if class_weight is None:
        return 1.0
    if training.y is None:
        raise ValueError(
            f"y_train must be given: class_weight={class_weight!r} weighs rows by class."
        )
    if class_weight == "balanced_subsample":
        class_weight = "balanced"  # within the rows of a draw, if there is one
    return compute_sample_weight(class_weight, training.y, indices=rows)


def balance_of_weights(training):
    """Return what evens out sample weights where class weights even out numbers."""
    factor = np.ones(training.n_rows)
    if training.sample_weight is None:
        return factor
    for labels in training.y.reshape(training.n_rows, -1).T:
        _, codes = np.unique(labels, return_inverse=True)
        means = np.bincount(codes, training.sample_weight) / np.bincount(codes)
        factor *= training.sample_weight.mean() / means[codes]
    return factor


@known_smoother.register(DecisionTreeRegressor)
@known_smoother.register(DecisionTreeClassifier)
def _(model, training):
    return LeafAverages(model, training, [tree_weights(model, training)])


@known_smoother.register(RandomForestRegressor)
@known_smoother.register(RandomForestClassifier)
@known_smoother.register(ExtraTreesRegressor)
@known_smoother.register(ExtraTreesClassifier)
def _(model, training):
    return LeafAverages(model, training, forest_weights(model, training))
