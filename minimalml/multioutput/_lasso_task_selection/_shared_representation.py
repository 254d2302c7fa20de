"""One linear representation for many regression tasks.

Every task's weights are ``basis @ head``: a basis (d, k) that all share and a small
head of its own. Both are least squares when the other is fixed, so they alternate.
See Thekumparampil et al. (2021), arXiv 2105.08306 and, for altgdmin, Nayer and
Vaswani (2021), arXiv 2102.10217.
"""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from minimalml._core.threads import few_blas_threads
from minimalml.multioutput._lasso_task_selection._documentation import document
from minimalml.multioutput._lasso_task_selection._task_statistics import (
    TaskStatistics,
    leading_directions,
    orthonormalise,
    task_moments,
)

SOLVERS = ("alternating", "altgdmin")
STARTS = ("spectral", "moments", "random")


class SharedRepresentation(NamedTuple):
    """A fitted shared representation.

    Attributes
    ----------
    basis : ndarray of shape (n_features, k)
        Orthonormal columns.
    heads : ndarray of shape (k, n_tasks) or (k, n_tasks, n_outputs)
        Head of each task.
    intercepts : ndarray of shape (n_tasks,) or (n_tasks, n_outputs)
        Zero unless centred.
    reliable : ndarray of bool of shape (n_tasks,)
        Whether a task has the rows that its head needs.
    losses : list of float
        Sum of squared residuals after each alternation, never rising.
    """

    basis: np.ndarray
    heads: np.ndarray
    intercepts: np.ndarray
    reliable: np.ndarray
    losses: list


@document
def fit_shared_representation(
    statistics,
    k,
    *,
    solver="alternating",
    init="spectral",
    whiten=False,
    center=False,
    task_weights=None,
    ridge=1e-8,
    max_iter=100,
    tol=1e-6,
    min_task_samples=None,
    random_state=None,
    callback=None,
):
    """Fit one basis and a head per task to all tasks at once.

    Minimises ``sum_t task_weights_t * ||X_t basis w_t - y_t||^2`` over an orthonormal
    basis and heads: a task counts by its rows. An alternation costs ``O(T d^2 k)``, whatever the number of
    rows, and ``O(T d^2)`` memory.

    Parameters
    ----------
    statistics : TaskStatistics
        From `task_statistics`.
    k : int
        Dimension of the representation, at most the number of features.
    {solver}
    init : {"spectral", "moments", "random"} or array of shape (n_features, k), \
            default="spectral"
        First basis. "spectral" takes singular vectors of the tasks' input-target
        products, "moments" eigenvectors of ``sum y^2 x x^T`` (for inputs of mean zero
        and equal variance), "random" any.
    whiten : bool, default=False
        Whether "spectral" first removes the pooled covariance of the inputs.
    center : bool, default=False
        Whether each task has an intercept.
    task_weights : array-like of shape (n_tasks,), default=None
        Weight of each task's squared error, at least 0; None counts every row once.
    {stopping}
    min_task_samples : int, default=None
        Rows below which a head is flagged as unreliable; None takes ``k``.
    callback : callable, default=None
        ``callback(basis, heads, loss)`` is called after each alternation, with heads
        (n_tasks, k, n_outputs); returning True stops.

    Returns
    -------
    SharedRepresentation
        ``basis``, ``heads``, ``intercepts``, ``reliable`` and ``losses``.

    Raises
    ------
    ValueError
        If ``k`` exceeds the number of features, or a parameter is out of range.
    TypeError
        If ``statistics`` are something else.

    Notes
    -----
    The basis is only determined up to rotation. R's diagonal is positive in every QR
    decomposition, which makes the result repeatable.

    References
    ----------
    {paper}

    Examples
    --------
    >>> from minimalml.multioutput import (fit_shared_representation,
    ...                                  make_low_rank_tasks, task_statistics)
    >>> X, y, tasks, truth = make_low_rank_tasks(n_tasks=8, n_features=6, rank=2,
    ...     n_relevant=2, noise=0.1, n_samples=50, random_state=0)
    >>> shared = fit_shared_representation(task_statistics(X, y, tasks), 2)
    >>> shared.basis.shape, shared.heads.shape
    ((6, 2), (2, 9))
    >>> float(abs(shared.basis @ shared.basis.T - truth.basis @ truth.basis.T).max()
    ...       ) < 0.05
    True
    """
    if not isinstance(statistics, TaskStatistics):
        raise TypeError(
            "statistics must come from task_statistics, got "
            f"{type(statistics).__name__}."
        )
    n_features = statistics.means.shape[1]
    _check_parameters(k, statistics, solver, init, ridge, max_iter, tol)
    weights = _check_task_weights(task_weights, len(statistics.tasks))
    moments = task_moments(statistics, center, weights)
    random = check_random_state(random_state).standard_normal((n_features, k))
    with few_blas_threads(n_features**2 * k):
        basis = _first_basis(statistics, moments, k, init, whiten, random)
        basis, heads, losses = _alternate(
            moments, basis, solver, ridge, max_iter, tol, callback
        )
    intercepts = compute_intercepts(statistics, basis, heads, center)
    heads = heads.swapaxes(0, 1)  # (k, T, m)
    if statistics.single_output:
        heads, intercepts = heads[:, :, 0], intercepts[:, 0]
    reliable = statistics.counts >= (
        k if min_task_samples is None else min_task_samples
    )
    return SharedRepresentation(basis, heads, intercepts, reliable, losses)


def fit_heads(statistics, basis, *, center=False, ridge=1e-8):
    """Fit a head per task on a fixed basis, (T, k, m)."""
    moments = task_moments(statistics, center)
    return moments.head_unit * moments.fit_heads(basis, ridge)[0]


def check_rank(k, n_features, name="n_components"):
    """Check the dimension of a representation, called ``name`` by the user."""
    if not 1 <= k <= n_features:
        raise ValueError(
            f"{name} must be between 1 and the number of features, {n_features}, "
            f"got {k}."
        )


def _check_parameters(k, statistics, solver, init, ridge, max_iter, tol):
    n_tasks, n_features, n_outputs = statistics.cross.shape
    check_rank(k, n_features, "k")
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {SOLVERS}, got {solver!r}.")
    if isinstance(init, str) and init not in STARTS:
        raise ValueError(f"init must be one of {STARTS} or an array, got {init!r}.")
    for name, value in (("ridge", ridge), ("tol", tol), ("max_iter", max_iter)):
        if not value >= 0:
            raise ValueError(f"{name} must be at least 0, got {value}.")
    if k > n_tasks * n_outputs:
        warnings.warn(
            f"k={k} exceeds the number of task heads, {n_tasks * n_outputs}: the representation is "
            "not identifiable.",
            stacklevel=3,
        )


def _check_task_weights(task_weights, n_tasks):
    if task_weights is None:
        return 1.0
    weights = np.asarray(task_weights, dtype=np.float64)
    if weights.shape != (n_tasks,) or not (weights >= 0).all():
        raise ValueError(
            f"task_weights must hold one number at least 0 for each of {n_tasks} tasks, "
            f"got {weights}."
        )
    return weights


def _first_basis(statistics, moments, k, init, whiten, random):
    """Return an orthonormal start, completed at random where it is short."""
    if not isinstance(init, str):
        if np.shape(init) != random.shape:
            raise ValueError(
                f"init must have shape {random.shape}, got {np.shape(init)}."
            )
        return orthonormalise(np.asarray(init, dtype=np.float64))
    if init == "random":
        return orthonormalise(random)
    if init == "moments":
        if statistics.label_moment is None:
            raise ValueError(
                "init='moments' needs statistics gathered with_label_moment=True."
            )
        matrix = statistics.label_moment
    else:
        counts = statistics.counts
        roots = np.sqrt(counts.clip(1.0))
        products = moments.cross / roots[:, None, None]  # sqrt(n_t) times the mean
        matrix = products.swapaxes(0, 1).reshape(len(random), -1)
        if whiten:
            pooled = moments.gram.sum(axis=0)
            level = 1e-8 * np.trace(pooled) / len(pooled) or 1.0
            matrix = np.linalg.solve(pooled + level * np.eye(len(pooled)), matrix)
    found = leading_directions(matrix, k)
    return orthonormalise(np.hstack([found, random])[:, :k])


def _alternate(moments, basis, solver, ridge, max_iter, tol, callback):
    """Alternate heads and basis until the loss stands still."""
    improve = moments.basis_improver(solver, basis.size)
    heads, loss = moments.fit_heads(basis, ridge)
    losses = [moments.loss_unit * loss]
    exact = moments.loss_unit * moments.squares.sum() * 1e-15
    for _ in range(max_iter):
        basis = orthonormalise(improve(heads, basis))
        heads, loss = moments.fit_heads(basis, ridge)
        losses.append(moments.loss_unit * loss)
        is_stopped = callback is not None and callback(
            basis, moments.head_unit * heads, losses[-1]
        )
        if is_stopped or losses[-2] - losses[-1] <= max(tol * losses[-2], exact):
            return basis, moments.head_unit * heads, losses
    if max_iter:
        change = (losses[-2] - losses[-1]) / losses[-2]
        warnings.warn(
            f"The shared representation did not converge in {max_iter} alternations: "
            f"the last lowered the loss by {change:.2g} of it; raise max_iter or tol.",
            ConvergenceWarning,
            stacklevel=4,
        )
    return basis, moments.head_unit * heads, losses


def compute_intercepts(statistics, basis, heads, center):
    """Intercept of each task and output, (T, m)."""
    if not center:
        return 0 * statistics.target_means
    images = (statistics.means @ basis)[:, None, :] @ heads  # (T, 1, m)
    return statistics.target_means - images[:, 0]
