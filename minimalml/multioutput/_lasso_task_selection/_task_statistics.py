"""What least squares over many tasks needs to know of the data, and nothing more.

Per task: count, means, and centred second moments. They add over shards, so tasks may
be gathered from streams, workers or machines.
"""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils._missing import is_pandas_na

from minimalml._core.array_checks import check_rows, check_targets
from minimalml._core.arrays import to_numpy
from minimalml.multioutput._lasso_task_selection._task_moments import (
    TaskMoments,
    few_blas_threads,
)

ADDITIVE = "counts", "means", "target_means", "scatter", "cross", "target_scatter"


@dataclass(frozen=True)
class TaskStatistics:
    """Additive second moments of the rows of each task.

    Made by `task_statistics`; ``a + b`` is the statistics of both sets of rows.

    Parameters
    ----------
    tasks : ndarray of shape (n_tasks,)
        Identifiers, rising.
    counts : ndarray of shape (n_tasks,)
        Number of rows.
    means : ndarray of shape (n_tasks, n_features)
        Mean row.
    target_means : ndarray of shape (n_tasks, n_outputs)
        Mean target.
    scatter : ndarray of shape (n_tasks, n_features, n_features)
        Centred sums of squares and products of the inputs.
    cross : ndarray of shape (n_tasks, n_features, n_outputs)
        Centred sums of products of inputs and targets.
    target_scatter : ndarray of shape (n_tasks, n_outputs)
        Centred sums of squares of the targets.
    label_moment : ndarray of shape (n_features, n_features) or None
        ``sum of y**2 * outer(x, x)`` over all rows, uncentred, where it was asked for.
    single_output : bool
        Whether the targets were one-dimensional.
    """

    tasks: np.ndarray
    counts: np.ndarray
    means: np.ndarray
    target_means: np.ndarray
    scatter: np.ndarray
    cross: np.ndarray
    target_scatter: np.ndarray
    label_moment: np.ndarray | None
    single_output: bool = True

    def __add__(self, other):
        """Merge with the statistics of other rows."""
        if not isinstance(other, TaskStatistics):
            return NotImplemented
        if self.cross.shape[1:] != other.cross.shape[1:]:
            raise ValueError(
                "Statistics to add must agree in features and outputs, got "
                f"{self.cross.shape[1:]} and {other.cross.shape[1:]}."
            )
        check_same_kind(self.tasks, other.tasks)
        tasks = np.union1d(self.tasks, other.tasks)
        left, right = self._spread(tasks), other._spread(tasks)
        counts = left.counts + right.counts
        share = (right.counts / counts.clip(1))[:, None]
        shift = right.means - left.means
        target_shift = right.target_means - left.target_means
        # The rank-one term of the pairwise rule for merging centred moments.
        weighted = left.counts[:, None] * share * shift
        moments = self.label_moment, other.label_moment
        return TaskStatistics(
            tasks,
            counts,
            left.means + share * shift,
            left.target_means + share * target_shift,
            left.scatter + right.scatter + weighted[:, :, None] * shift[:, None, :],
            left.cross + right.cross + weighted[:, :, None] * target_shift[:, None, :],
            left.target_scatter
            + right.target_scatter
            + left.counts[:, None] * share * target_shift**2,
            None if any(m is None for m in moments) else sum(moments),
            self.single_output,
        )

    def __radd__(self, other):
        """Let ``sum`` start from 0."""
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def _spread(self, tasks):
        """Place these tasks among ``tasks``, empty where they are new."""
        places = np.searchsorted(tasks, self.tasks)
        spread = {"tasks": tasks}
        for name in ADDITIVE:
            values = getattr(self, name)
            spread[name] = np.zeros((len(tasks), *values.shape[1:]))
            spread[name][places] = values
        return replace(self, **spread)

    def moments(self, center=False):
        """Return `TaskMoments` about the means or about zero."""
        gram, cross, squares = self.scatter, self.cross, self.target_scatter
        if not center:
            weighted = self.counts[:, None] * self.means  # (n_tasks, n_features)
            cross = cross + weighted[:, :, None] * self.target_means[:, None, :]
            gram = weighted[:, :, None] * self.means[:, None, :]
            gram += self.scatter  # in place: these are the largest arrays of a fit
            squares = squares + self.counts[:, None] * self.target_means**2
        return TaskMoments(gram, cross, squares)


def task_statistics(X, y, tasks, *, with_label_moment=False):
    """Gather the additive second moments of each task.

    ``O(n d^2)`` time and ``O(n_tasks d^2)`` memory, whatever the number of rows.
    Statistics of shards add up: ``task_statistics(whole)`` equals
    ``task_statistics(a) + task_statistics(b)``.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        Inputs.
    y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Targets.
    tasks : array-like of shape (n_rows,)
        Task of each row, any sortable identifiers.
    with_label_moment : bool, default=False
        Whether to gather what ``init="moments"`` of `fit_shared_representation` needs,
        which takes as long as all the rest.

    Returns
    -------
    TaskStatistics
        In double precision.

    Raises
    ------
    ValueError
        If lengths disagree, or something is not finite, or so large or small that its
        squares are not floats.

    Examples
    --------
    >>> from minimalml.multioutput import make_low_rank_tasks, task_statistics
    >>> X, y, tasks, _ = make_low_rank_tasks(n_tasks=3, n_features=5, rank=2,
    ...                                      n_samples=40, random_state=0)
    >>> half = task_statistics(X[::2], y[::2], tasks[::2])
    >>> whole = half + task_statistics(X[1::2], y[1::2], tasks[1::2])
    >>> whole.counts
    array([40., 40., 40., 40.])
    >>> bool(abs(whole.scatter - task_statistics(X, y, tasks).scatter).max() < 1e-9)
    True
    """
    X, y, tasks = _check_rows(X, y, tasks)
    columns = y.reshape(len(y), -1)
    names, codes, counts = np.unique(tasks, return_inverse=True, return_counts=True)
    blocks = np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])
    with few_blas_threads(X.shape[0] * X.shape[1] ** 2 / len(names)):
        parts = [_block_moments(X[rows], columns[rows]) for rows in blocks]
    sums = map(np.stack, zip(*parts, strict=True))
    moment = _label_moment(X, columns) if with_label_moment else None
    return TaskStatistics(names, counts.astype(float), *sums, moment, y.ndim == 1)


def _check_rows(X, y, tasks):
    X, tasks = check_rows(to_numpy(X)), check_tasks(tasks)
    y = check_targets(y, X)
    check_consistent_length(X, tasks)
    check_squares(X, y)
    # Sums of squares lose half of float32's digits.
    return X.astype(np.float64, copy=False), y.astype(np.float64, copy=False), tasks


def _block_moments(X, y):
    """Moments of one task's rows; BLAS takes the product as symmetric."""
    mean, target_mean = X.mean(0), y.mean(0)
    centred, target = X - mean, y - target_mean
    scatter, cross = centred.T @ centred, centred.T @ target
    return mean, target_mean, scatter, cross, (target**2).sum(0)


def _label_moment(X, y):
    check_squares(X, y, power=4)
    return (X * (y**2).sum(1)[:, None]).T @ X


def check_tasks(tasks, name="tasks"):
    """Check identifiers: one-dimensional, sortable, none missing."""
    tasks = to_numpy(tasks)
    if tasks.ndim != 1:
        raise ValueError(f"{name} must be 1-dimensional, got shape {tasks.shape}.")
    if tasks.dtype != object:
        is_missing = np.any(tasks != tasks)  # NaN is not itself
    else:
        is_missing = any(t is None or is_pandas_na(t) or t != t for t in tasks)
    if is_missing:
        raise ValueError(f"{name} contains NaN or None: give each row a task.")
    if tasks.dtype == object:
        check_same_kind(tasks[:1], tasks, name)
    return tasks


def check_same_kind(tasks, others, name="tasks"):
    """Check that identifiers can be sorted together: NumPy would turn 1 into "1"."""
    if len({isinstance(task, str) for task in (*tasks[:1], *others)}) > 1:
        raise TypeError(f"{name} must be all strings or all numbers, got both.")


def check_squares(X, y, power=2):
    """Check that sums of products of ``power`` values are floats.

    Values may differ in size; the largest decides.
    """
    limits = np.finfo(np.float64)
    largest_allowed = (limits.max / X.nbytes) ** (1 / power)
    smallest_allowed = limits.tiny ** (1 / power) / limits.eps
    for name, values in (("X", X), ("y", y)):
        largest = float(max(values.max(), -values.min()))
        if largest and not smallest_allowed <= largest <= largest_allowed:
            raise ValueError(
                f"{name} has values of size {largest:.3g}, whose squares leave the range "
                f"of floats: scale {name} so that its largest is between "
                f"{smallest_allowed:.0e} and {largest_allowed:.0e}."
            )
