"""A binary tree of rows as arrays: members are a slice of one order, a cut is a walk."""

from heapq import heappop, heappush
from itertools import count

import numpy as np

RULES = ("breadth", "distance", "size", "errors")


class DendroTree:
    """Hold a linkage matrix as arrays by node, without recursion.

    Nodes below ``n_leaves`` are the rows; those above merge two others, in the order of the
    linkage; the last is the root. O(n) memory in all.

    Parameters
    ----------
    linkage : ndarray of shape (n_leaves - 1, 4)
        A linkage matrix of SciPy.

    Attributes
    ----------
    left, right, parent : ndarray of shape (2 n_leaves - 1,)
        The two nodes of a node, and the one above it; -1 where there is none.

    height : ndarray of shape (2 n_leaves - 1,)
        Distance of the two, 0 of rows.

    size : ndarray of shape (2 n_leaves - 1,)
        Number of rows.

    start : ndarray of shape (2 n_leaves - 1,)
        Where the rows of a node begin in ``leaf_order``.

    leaf_order : ndarray of shape (n_leaves,)
        All rows, so that those of any node stand together.

    n_errors : ndarray of shape (2 n_leaves - 1,) or None
        Rows that a model is wrong about, if `count_errors` was called.

    Examples
    --------
    >>> from minimalml.inspection import DendroTree, ward_linkage
    >>> tree = DendroTree(ward_linkage([[0.0], [9.0], [1.0], [8.0]]))
    >>> tree.cut(2), tree.members(5)
    (array([4, 5]), array([1, 3]))
    """

    def __init__(self, linkage):
        n = len(linkage) + 1
        children = np.full((2 * n - 1, 2), -1)
        children[n:] = linkage[:, :2]
        self.left, self.right = children.T.copy()
        self.parent = np.full(2 * n - 1, -1)
        self.parent[children[n:]] = np.arange(n, 2 * n - 1)[:, None]
        self.height = np.concatenate([np.zeros(n), linkage[:, 2]])
        sizes, starts = [1] * n, [0] * (2 * n - 1)
        left, right = self.left.tolist(), self.right.tolist()
        for node in range(n, 2 * n - 1):  # those below have smaller numbers
            sizes.append(sizes[left[node]] + sizes[right[node]])
        for node in range(2 * n - 2, n - 1, -1):
            starts[left[node]] = starts[node]
            starts[right[node]] = starts[node] + sizes[left[node]]
        self.size, self.start = np.array(sizes), np.array(starts)
        self.leaf_order = np.empty(n, dtype=np.intp)
        self.leaf_order[self.start[:n]] = np.arange(n)
        self.n_errors = None

    @property
    def n_leaves(self):
        """Number of rows."""
        return len(self.leaf_order)

    def members(self, node):
        """Return the rows of a node, in the order of the leaves.

        Parameters
        ----------
        node : int
            From 0 to 2 n_leaves - 2.

        Returns
        -------
        ndarray of shape (size[node],)
        """
        node = self._check_node(node)
        return self.leaf_order[self.start[node] : self.start[node] + self.size[node]]

    def cut(self, k, rule="distance", node=None):
        """Split a node until k are left, or as many as it has rows.

        Parameters
        ----------
        k : int
            How many.

        rule : {"breadth", "distance", "size", "errors"}, default="distance"
            Which is split next: the first of a queue, the one that is highest, has the most
            rows, or the most errors. Of equals the higher, then that of the larger number.

        node : int, default=None
            Where to begin; None is the root.

        Returns
        -------
        ndarray of shape (min(k, size[node]),)
            Nodes, in the order of the leaves. O(k log k) time.

        Raises
        ------
        ValueError
            If a parameter is out of range, or errors are not known.
        """
        left, right = self.left, self.right

        def split(node):
            return (left[node], right[node]) if left[node] >= 0 else None

        shown, _ = self._split_until(k, rule, self._check_node(node), split)
        return np.array(sorted(shown, key=self.start.__getitem__), dtype=np.intp)

    def _split_until(self, k, rule, node, split):
        """Return nodes that stay, and those split in turn; ``split(node)`` may refuse by None."""
        if not isinstance(k, int | np.integer) or k < 1:
            raise ValueError(f"k must be an integer of at least 1, got {k!r}.")
        key = self._key(rule)
        waiting, stay, is_split = [(key(node), node)], [], []
        while waiting and len(waiting) + len(stay) < k:
            _, node = heappop(waiting)
            if children := split(node):
                is_split.append(node)
                for child in children:
                    heappush(waiting, (key(child), child))
            else:
                stay.append(node)
        return stay + [node for _, node in waiting], is_split

    def count_errors(self, is_wrong):
        """Count the errors of each node, for ``rule="errors"``.

        Parameters
        ----------
        is_wrong : array-like of bool of shape (n_leaves,)
            Whether a model is wrong about a row.
        """
        before = np.concatenate([[0], np.cumsum(np.asarray(is_wrong)[self.leaf_order])])
        self.n_errors = before[self.start + self.size] - before[self.start]

    def _check_node(self, node):
        """Return the number of a node, the root's for None."""
        n_nodes = len(self.size)
        if node is None:
            return n_nodes - 1
        if not isinstance(node, int | np.integer) or not 0 <= node < n_nodes:
            raise ValueError(
                f"node must be an integer from 0 to {n_nodes - 1}, got {node!r}."
            )
        return int(node)

    def _key(self, rule):
        """Return what is least of the node to be split next."""
        if rule not in RULES:
            raise ValueError(f"rule must be one of {RULES}, got {rule!r}.")
        if rule == "breadth":
            places = count()
            return lambda node: next(places)
        if rule == "errors" and self.n_errors is None:
            raise ValueError(
                "rule='errors' needs y and y_pred, which were not given to fit."
            )
        first = {"distance": self.height, "size": self.size, "errors": self.n_errors}
        return lambda node: (-first[rule][node], -self.height[node], -node)
