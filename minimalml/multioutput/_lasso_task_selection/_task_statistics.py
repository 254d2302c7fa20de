"""What least squares over many tasks needs to know of the data, and nothing more.

Per task: count, means, and centred second moments. They add over shards, so tasks may
be gathered from streams, workers or machines. The linear systems stand on them.
"""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils._missing import is_pandas_na

from minimalml._core.array_checks import check_rows, check_targets
from minimalml._core.arrays import to_numpy
from minimalml._core.threads import few_blas_threads
from minimalml.multioutput._lasso_task_selection._relevance import units

# A proximal term, relative to the mean diagonal: the step never increases the loss, and
# directions that no task sees stay where they were.
PROXIMAL = 1e-10
# Up to this many unknowns one Cholesky beats conjugate gradients (0.6 ms at 400).
DIRECT_UNKNOWNS = 400
CG_STEPS = 20
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
    X, tasks = check_rows(to_numpy(X)), check_tasks(tasks)
    y = check_targets(y, X)
    check_consistent_length(X, tasks)
    return gather(X, y, tasks, with_label_moment)


def gather(X, y, tasks, with_label_moment=False):
    """Gather the statistics of checked rows."""
    check_squares(X, y, 4 if with_label_moment else 2)
    # Sums of squares lose half of float32's digits.
    X, y = X.astype(np.float64, copy=False), y.astype(np.float64, copy=False)
    columns = y.reshape(len(y), -1)
    names, codes, counts = np.unique(tasks, return_inverse=True, return_counts=True)
    blocks = np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])
    with few_blas_threads(X.shape[0] * X.shape[1] ** 2 / len(names)):
        parts = [_block_moments(X[rows], columns[rows]) for rows in blocks]
    sums = map(np.stack, zip(*parts, strict=True))
    moment = None
    if with_label_moment:
        moment = (X * np.sum(columns**2, axis=1)[:, None]).T @ X
    return TaskStatistics(names, counts.astype(float), *sums, moment, y.ndim == 1)


def _block_moments(X, y):
    """Moments of one task's rows; BLAS takes the product as symmetric."""
    mean, target_mean = X.mean(0), y.mean(0)
    centred, target = X - mean, y - target_mean
    scatter, cross = centred.T @ centred, centred.T @ target
    return mean, target_mean, scatter, cross, (target**2).sum(0)


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
    """Check that sums of products of ``power`` of the largest values are floats."""
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


class TaskMoments:
    """Least squares of all tasks on ``basis`` (d, k) with ``heads`` (T, k, m)."""

    def __init__(self, gram, cross, squares):
        # Heads of inputs and targets of very different sizes would be no floats: heads
        # found are in ``head_unit``, losses in ``loss_unit``.
        unit = units(np.sqrt(np.einsum("tdd->t", gram)))
        target_unit = units(np.sqrt(squares))
        self.gram, self.squares = gram / unit**2, squares / target_unit**2
        self.cross = cross / unit / target_unit
        self.head_unit, self.loss_unit = target_unit / unit, target_unit**2

    def fit_heads(self, basis, ridge):
        """Fit all heads on a fixed basis; return them and the sum of squared errors."""
        # COST O(T (d^2 k + k^3))
        projected, right = basis.T @ (self.gram @ basis), basis.T @ self.cross
        level = _or_one(ridge * np.einsum("tkk->t", projected) / basis.shape[1])
        systems = projected + level[:, None, None] * np.eye(basis.shape[1])
        heads = np.linalg.solve(systems, right)
        loss = self.squares.sum() + np.sum(heads * (projected @ heads - 2 * right))
        return heads, float(loss)

    def basis_improver(self, solver, n_unknowns):
        """Return the function of heads and basis that improves the basis."""
        if solver == "alternating":
            is_small = n_unknowns <= DIRECT_UNKNOWNS
            return self.solve_basis if is_small else self.conjugate_gradients
        largest = np.linalg.eigvalsh(self.gram)[:, -1].max()  # COST O(T d^3), once
        return lambda heads, basis: self.descend(heads, basis, largest)

    def solve_basis(self, heads, basis):
        """Fit the basis on fixed heads by one (d k, d k) solve."""
        # COST O(T d^2 k^2 + (d k)^3), memory (d k)^2
        system = np.tensordot(self.gram, heads @ heads.mT, ([0], [0]))  # (d, d, k, k)
        system = system.swapaxes(1, 2).reshape(basis.size, basis.size)
        level = _or_one(PROXIMAL * np.trace(system) / basis.size)
        right = _back(self.cross, heads) + level * basis
        system += level * np.eye(basis.size)
        return np.linalg.solve(system, right.ravel()).reshape(basis.shape)

    def conjugate_gradients(self, heads, basis, n_steps=CG_STEPS):
        """Improve the basis on fixed heads by conjugate gradients, warm started."""
        # COST O(n_steps T d^2 m); each step lowers the loss, so stopping early is safe
        precondition = self._preconditioner(heads)
        residual = _back(self.cross, heads) - self._normal(heads, basis)
        direction = step = residual @ precondition
        slope = np.sum(residual * step)
        enough = np.finfo(float).eps * slope
        for _ in range(n_steps):
            if not slope > enough:
                break
            image = self._normal(heads, direction)
            rate = slope / np.sum(direction * image)
            basis = basis + rate * direction
            residual = residual - rate * image
            step = residual @ precondition
            slope, previous = np.sum(residual * step), slope
            direction = step + slope / previous * direction
        return basis

    def descend(self, heads, basis, largest):
        """Improve the basis by a gradient step; ``largest`` eigenvalue of any task."""
        # COST O(T d^2 m)
        gradient = 2 * (self._normal(heads, basis) - _back(self.cross, heads))
        wide = heads.swapaxes(0, 1).reshape(basis.shape[1], -1)  # (k, T m)
        curvature = largest * np.linalg.norm(wide, 2) ** 2
        return basis - 0.5 / (curvature or np.inf) * gradient

    def _normal(self, heads, basis):
        """Return ``sum_t gram_t @ basis @ heads_t @ heads_t.T``, (d, k)."""
        return _back(self.gram @ (basis @ heads), heads)

    def _preconditioner(self, heads):
        """Inverse of the heads' second moment, weighted by the tasks' size."""
        traces = np.einsum("tdd->t", self.gram) / self.gram.shape[1]
        moment = _back(traces[:, None, None] * heads, heads)
        level = _or_one(1e-6 * np.trace(moment) / len(moment))
        return np.linalg.inv(moment + level * np.eye(len(moment)))


def task_moments(statistics, center=False, weights=1.0):
    """Return `TaskMoments` about the means or about zero, each task's times its weight."""
    gram, cross = statistics.scatter, statistics.cross
    squares = statistics.target_scatter
    if not center:
        means, target_means = statistics.means, statistics.target_means
        weighted = statistics.counts[:, None] * means  # (n_tasks, n_features)
        cross = cross + weighted[:, :, None] * target_means[:, None, :]
        gram = weighted[:, :, None] * means[:, None, :]
        gram += statistics.scatter  # in place: these are the largest arrays of a fit
        squares = squares + statistics.counts[:, None] * target_means**2
    column = np.reshape(weights, (-1, 1))
    return TaskMoments(
        column[..., None] * gram, column[..., None] * cross, column * squares
    )


def orthonormalise(basis):
    """Return an orthonormal basis of the same span; R's diagonal is positive."""
    q, r = np.linalg.qr(basis)
    return q * np.copysign(1.0, np.diag(r))


def leading_directions(matrix, k):
    """Left singular vectors of the ``k`` largest nonzero singular values."""
    vectors, values, _ = np.linalg.svd(matrix, full_matrices=False)
    floor = values[0] * np.finfo(float).eps * max(matrix.shape)
    return vectors[:, :k][:, values[:k] > floor]


def _or_one(level):
    """Make a ridge of zero, of tasks without rows, one: they get zero heads."""
    return np.where(level > 0, level, 1.0)


def _back(images, heads):
    """Return ``sum_t images_t @ heads_t.T`` as one product, (d, k)."""
    return np.tensordot(images, heads, ([0, 2], [0, 2]))
