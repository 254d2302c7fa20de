"""What least squares over many tasks needs to know of the data, and nothing more.

Per task: count, means, and centred second moments. They add over shards, so tasks may
be gathered from streams, workers or machines.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache
from threading import current_thread, main_thread

import numpy as np
from sklearn.utils import check_array, check_consistent_length
from threadpoolctl import ThreadpoolController

from minimalml._core.arrays import array_namespace, is_torch_tensor

# Multiplications of a task's product from which BLAS gains by sharing it among threads:
# some milliseconds. Two threads on busy cores made 200 products of 5e6 20 times slower.
WORTH_BLAS_THREADS = 1e8


@dataclass(frozen=True)
class TaskStatistics:
    """Additive second moments of the rows of each task.

    Made by `task_statistics`; ``a + b`` is the statistics of both sets of rows.

    Parameters
    ----------
    tasks : ndarray of shape (n_tasks,)
        Identifiers, rising.
    counts : array of shape (n_tasks,)
        Number of rows.
    means : array of shape (n_tasks, n_features)
        Mean row.
    target_means : array of shape (n_tasks, n_outputs)
        Mean target.
    scatter : array of shape (n_tasks, n_features, n_features)
        Centred sums of squares and products of the inputs.
    cross : array of shape (n_tasks, n_features, n_outputs)
        Centred sums of products of inputs and targets.
    target_scatter : array of shape (n_tasks, n_outputs)
        Centred sums of squares of the targets.
    label_moment : array of shape (n_features, n_features) or None
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
        tasks = np.union1d(self.tasks, other.tasks)
        left, right = self._spread(tasks), other._spread(tasks)
        counts = left.counts + right.counts
        share = right.counts / counts.clip(1)
        shift = right.means - left.means
        target_shift = right.target_means - left.target_means
        moments = self.label_moment, other.label_moment
        # The rank-one term of the pairwise rule for merging centred moments.
        weight = (left.counts * share)[:, None]
        return replace(
            left,
            counts=counts,
            means=left.means + share[:, None] * shift,
            target_means=left.target_means + share[:, None] * target_shift,
            scatter=left.scatter
            + right.scatter
            + (weight * shift)[:, :, None] * shift[:, None, :],
            cross=left.cross
            + right.cross
            + (weight * shift)[:, :, None] * target_shift[:, None, :],
            target_scatter=left.target_scatter
            + right.target_scatter
            + weight * target_shift**2,
            label_moment=None if any(m is None for m in moments) else sum(moments),
        )

    def __radd__(self, other):
        """Let ``sum`` start from 0."""
        return self if other == 0 else NotImplemented

    def _spread(self, tasks):
        """Place these tasks among ``tasks``, empty where they are new."""
        xp, at = array_namespace(self.counts), np.searchsorted(tasks, self.tasks)
        spread = {"tasks": tasks}
        for name in (
            "counts", "means", "target_means", "scatter", "cross", "target_scatter"
        ):  # fmt: skip
            values = getattr(self, name)
            spread[name] = xp.zeros(
                (len(tasks), *values.shape[1:]),
                dtype=values.dtype, device=values.device,
            )  # fmt: skip
            spread[name][at] = values
        return replace(self, **spread)

    def moments(self, center=False, weights=None):
        """Return ``(gram, cross, squares)``, about the means or about zero.

        Parameters
        ----------
        center : bool, default=False
            Whether moments are about the means.

        weights : array of shape (n_tasks,), default=None
            What the moments of each task are multiplied by.
        """
        gram, cross, squares = self.scatter, self.cross, self.target_scatter
        if not center:
            weighted = self.counts[:, None] * self.means  # (n_tasks, n_features)
            cross = cross + weighted[:, :, None] * self.target_means[:, None, :]
            gram = weighted[:, :, None] * self.means[:, None, :]
            gram += self.scatter  # in place: these are the largest arrays of a fit
            squares = squares + self.counts[:, None] * self.target_means**2
        if weights is None:
            return gram, cross, squares
        return (
            weights[:, None, None] * gram,
            weights[:, None, None] * cross,
            weights[:, None] * squares,
        )


def task_statistics(X, y, tasks, *, with_label_moment=False):
    """Gather the additive second moments of each task.

    ``O(n d^2)`` time and ``O(n_tasks d^2)`` memory, whatever the number of rows.
    Statistics of shards add up: ``task_statistics(whole)`` equals
    ``task_statistics(a) + task_statistics(b)``.

    Parameters
    ----------
    X : array-like or torch.Tensor of shape (n_rows, n_features)
        Inputs.

    y : array-like or torch.Tensor of shape (n_rows,) or (n_rows, n_outputs)
        Targets.

    tasks : array-like of shape (n_rows,)
        Task of each row, any sortable identifiers.

    with_label_moment : bool, default=False
        Whether to gather what ``init="moments"`` of `fit_shared_representation` needs,
        which takes as long as all the rest.

    Returns
    -------
    TaskStatistics
        Tensors on the device of ``X``, if that is a tensor; else NumPy arrays in double
        precision.

    Raises
    ------
    ValueError
        If lengths disagree, or something is not finite.

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
    X, y, tasks = check_rows(X, y, tasks)
    xp, columns = array_namespace(X), y.reshape(len(y), -1)
    names, codes = np.unique(tasks, return_inverse=True)
    order = xp.asarray(np.argsort(codes, kind="stable"), device=X.device)
    counts = np.bincount(codes, minlength=len(names))
    ends = np.cumsum(counts)
    blocks = [order[a:b] for a, b in zip(ends - counts, ends, strict=True)]
    with few_blas_threads(X.shape[0] * X.shape[1] ** 2 / len(names)):
        parts = [_block_moments(X[rows], columns[rows]) for rows in blocks]
    means, target_means, scatter, cross, target_scatter = map(
        xp.stack, zip(*parts, strict=True)
    )
    return TaskStatistics(
        names, xp.asarray(counts, dtype=means.dtype, device=X.device), means,
        target_means, scatter, cross, target_scatter,
        label_moment(X, columns) if with_label_moment else None, y.ndim == 1,
    )  # fmt: skip


def label_moment(X, y):
    """Return ``sum of |y|**2 * outer(x, x)``."""
    return (X * (y**2).sum(1)[:, None]).T @ X


def check_rows(X, y, tasks):
    """Check rows, targets and task identifiers of equal length."""
    if not is_torch_tensor(X):
        X = check_array(X, dtype=[np.float64, np.float32], input_name="X")
        y = check_array(y, dtype=X.dtype, ensure_2d=False, input_name="y")
        tasks = check_tasks(tasks)
        check_consistent_length(X, y, tasks)
        return X, y, tasks
    y = array_namespace(X).asarray(y, dtype=X.dtype, device=X.device)
    tasks = check_tasks(tasks.cpu() if is_torch_tensor(tasks) else tasks)
    if not len(X) == len(y) == len(tasks):
        raise ValueError(
            "X, y and tasks must have equal lengths, got "
            f"{len(X)}, {len(y)} and {len(tasks)}."
        )
    if not (X.isfinite().all() and y.isfinite().all()):
        raise ValueError("X and y must not hold NaN or infinity.")
    return X, y, tasks


def check_tasks(tasks, name="tasks"):
    """Check identifiers: one-dimensional, none missing."""
    tasks = np.asarray(tasks)
    if tasks.ndim != 1:
        raise ValueError(f"{name} must be 1-dimensional, got shape {tasks.shape}.")
    if np.any((tasks != tasks) | np.equal(tasks, None)):  # NaN is not itself
        raise ValueError(f"{name} contains NaN or None: give each row a task.")
    return tasks


@cache
def _blas():
    return ThreadpoolController().select(user_api="blas")


def few_blas_threads(n_multiplications):
    """Keep BLAS from sharing products that are too small among threads."""
    # The limit is the process's: only its main thread may set and lift it.
    if n_multiplications > WORTH_BLAS_THREADS or current_thread() is not main_thread():
        return nullcontext()
    return _blas().limit(limits=1)


def _block_moments(X, y):
    """Moments of one task's rows; BLAS takes the product as symmetric."""
    if isinstance(X, np.ndarray):  # sums of squares lose half of float32's digits
        X = X.astype(np.float64, copy=False)
        y = y.astype(np.float64, copy=False)
    mean, target_mean = X.mean(0), y.mean(0)
    centred, target = X - mean, y - target_mean
    scatter, cross = centred.T @ centred, centred.T @ target
    return mean, target_mean, scatter, cross, (target**2).sum(0)
