"""The leaves of all trees of an ensemble, and the training rows in them."""

import numpy as np
from scipy.sparse import coo_array

from minimalml.inspection._forest_smoothers._smoother import OTHER_DATA


class Leaves:
    """The leaves, numbered over all trees, and the share of each row in its leaf.

    ``nodes`` (n_train, n_trees) are what ``apply`` tells of the training rows;
    ``row_weights`` gives their weights in the fit of each tree, 0 out of bag.

    Attributes
    ----------
    of_train : ndarray of int of shape (n_train, n_trees)
        Leaves of the training rows.

    starts : ndarray of int of shape (n_trees + 1,)
        Leaves ``starts[t] : starts[t + 1]`` are those of tree ``t``.

    shares : csr_array of shape (n_leaves, n_train)
        Shares of training rows in the mean of each leaf; they add up to 1.
    """

    def __init__(self, trees, nodes, row_weights):
        for tree in trees:
            refuse_other_than_means(tree)
        is_leaf = [tree.tree_.children_left < 0 for tree in trees]
        self._first_node = np.cumsum([0, *map(len, is_leaf[:-1])])
        self._number = np.cumsum(np.concatenate(is_leaf)) - 1
        self.starts = np.cumsum([0, *map(np.sum, is_leaf)])
        self.of_train = self.number(nodes)
        self.shares = self._weights_in_leaves(row_weights)
        totals = self.shares.sum(axis=1)
        refuse_other_weights(totals, trees, is_leaf)
        self.shares.data /= np.repeat(totals, np.diff(self.shares.indptr))

    def number(self, nodes):
        """Return leaves for nodes, (n_rows, n_trees)."""
        # the leaves of a row side by side, as the walk through them goes
        nodes = np.ascontiguousarray(nodes, dtype=np.intp)
        return self._number[nodes + self._first_node]

    def _weights_in_leaves(self, row_weights):
        parts = []
        for of_train, weights in zip(self.of_train.T, row_weights, strict=True):
            rows = np.flatnonzero(weights).astype(np.int32)
            parts.append((of_train[rows].astype(np.int32), rows, weights[rows]))
        leaves, rows, weights = map(np.concatenate, zip(*parts, strict=True))
        shape = (self.starts[-1], len(self.of_train))
        return coo_array((weights.astype(float), (leaves, rows)), shape=shape).tocsr()


def refuse_other_than_means(tree):
    """Raise for trees whose leaves aren't means of targets."""
    if tree.criterion == "absolute_error":
        raise ValueError(
            "criterion='absolute_error' makes leaves medians, which are no weighted sums "
            "of y_train: use 'squared_error' or 'poisson'."
        )
    if tree.monotonic_cst is not None:
        raise ValueError(
            "monotonic_cst must be None: it clips values of leaves, which are then no "
            "weighted sums of y_train."
        )


def refuse_other_weights(totals, trees, is_leaf):
    """Raise if leaves don't hold the weights of the fit, which trees note down."""
    noted = [
        tree.tree_.weighted_n_node_samples[leaves]
        for tree, leaves in zip(trees, is_leaf, strict=True)
    ]
    if not np.allclose(totals, np.concatenate(noted), rtol=1e-6, atol=0):
        raise ValueError(
            f"{OTHER_DATA}, or y_train and sample_weight are not: the model's leaves held "
            "other weights in its fit."
        )
