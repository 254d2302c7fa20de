"""The rows themselves, where the moments of all tasks would not fit.

Above ``MAX_MOMENT_BYTES`` of moments, a fit multiplies through the rows instead, behind
the interface of `TaskStatistics`.
"""

from functools import cached_property

import numpy as np

from minimalml.multioutput._lasso_task_selection._task_statistics import (
    label_moment,
    task_statistics,
)

# Above this the moments of all tasks take more memory than most machines' rows do.
MAX_MOMENT_BYTES = 1e9


def gather_tasks(X, y, tasks, with_label_moment=False):
    """Return `TaskStatistics`, or `TaskRows` where those would pass 1 GB."""
    n_moments = len(np.unique(tasks)) * X.shape[1] ** 2
    if n_moments * np.dtype(np.float64).itemsize > MAX_MOMENT_BYTES:
        return TaskRows(X, y, tasks)
    return task_statistics(X, y, tasks, with_label_moment=with_label_moment)


class TaskRows:
    """Rows sorted by task, where the moments of all tasks would not fit.

    Attributes
    ----------
    tasks, counts, means, target_means, label_moment, single_output
        As in `TaskStatistics`.
    X : ndarray of shape (n_rows, n_features)
        Rows, sorted by task.
    y : ndarray of shape (n_rows, n_outputs)
        Targets.
    """

    def __init__(self, X, y, tasks):
        self.single_output = y.ndim == 1
        self.tasks, codes = np.unique(tasks, return_inverse=True)
        order = np.argsort(codes, kind="stable")
        X, y = X.astype(np.float64, copy=False), y.astype(np.float64, copy=False)
        self.X, self.y = X[order], y.reshape(len(y), -1)[order]
        self.row_tasks = np.asarray(tasks)[order]
        self.counts = np.bincount(codes, minlength=len(self.tasks)).astype(X.dtype)
        self.starts = np.concatenate([[0], np.cumsum(self.counts)]).astype(np.intp)
        self.means = self._sums(self.X) / self.counts[:, None]
        self.target_means = self._sums(self.y) / self.counts[:, None]

    def __add__(self, other):
        """Merge with other rows."""
        if not isinstance(other, TaskRows):
            return NotImplemented
        y = np.vstack([self.y, other.y])
        return TaskRows(
            np.vstack([self.X, other.X]),
            y[:, 0] if self.single_output else y,
            np.concatenate([self.row_tasks, other.row_tasks]),
        )

    def _sums(self, values):
        return np.add.reduceat(values, self.starts[:-1], axis=0)

    @cached_property
    def label_moment(self):
        """``sum of y**2 * outer(x, x)`` over all rows."""
        return label_moment(self.X, self.y)

    def moments(self, center=False, weights=None):
        """Return ``(gram, cross, squares)``; the first multiplies without existing."""
        X, y = self.X, self.y
        codes = np.repeat(np.arange(len(self.tasks)), np.diff(self.starts))
        if center:
            X, y = X - self.means[codes], y - self.target_means[codes]
        if weights is not None:
            roots = np.sqrt(weights)[codes, None]
            X, y = roots * X, roots * y
        gram = RowGram(X, self.starts)
        cross = gram.multiply_rows(y)
        return gram, cross, self._sums(y**2)


class RowGram:
    """``X_t.T @ X_t`` of all tasks, as far as multiplying with it goes."""

    def __init__(self, X, starts):
        self.X, self.starts = X, starts
        self.shape = (len(starts) - 1, X.shape[1], X.shape[1])
        self.dtype = X.dtype

    def _blocks(self, values):
        ends = zip(self.starts[:-1], self.starts[1:], strict=True)
        return (values[a:b] for a, b in ends)

    def multiply_rows(self, values):
        """Return ``X_t.T @ values_t`` of each task, (n_tasks, d, m)."""
        pairs = zip(self._blocks(self.X), self._blocks(values), strict=True)
        return np.stack([rows.T @ value for rows, value in pairs])

    def __matmul__(self, matrices):
        """Multiply each task's Gram matrix with its own matrix, (n_tasks, d, m)."""
        pairs = zip(self._blocks(self.X), matrices, strict=True)
        return np.stack([rows.T @ (rows @ matrix) for rows, matrix in pairs])

    def project(self, basis):
        """Return ``basis.T @ gram_t @ basis`` of each task, (n_tasks, k, k)."""
        rows = self.X @ basis  # (n_rows, k)
        return np.stack([block.T @ block for block in self._blocks(rows)])

    def traces(self):
        """Trace of each task's Gram matrix."""
        return np.add.reduceat((self.X**2).sum(axis=1), self.starts[:-1])

    def largest_eigenvalue(self):
        """Largest eigenvalue of any task's Gram matrix."""
        return max(np.linalg.norm(rows, 2) ** 2 for rows in self._blocks(self.X))

    def pooled(self):
        """Sum over tasks, (d, d)."""
        return self.X.T @ self.X
