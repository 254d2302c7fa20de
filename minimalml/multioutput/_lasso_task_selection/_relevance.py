"""How a target's head is written with the heads of source tasks.

Each function solves ``W @ relevance = w0`` in its own sense: smallest L1 norm (a
linear program), smallest L2 norm, or approximately with an L1 penalty (Lasso). See
Wang, Chen, Jamieson and Du (2023), arXiv 2306.02556.
"""

import importlib.util
import warnings
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from scipy.linalg import svd
from scipy.optimize import linprog
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, lars_path, lasso_path
from sklearn.utils import check_array

from minimalml.multioutput._lasso_task_selection._documentation import document

# Where LARS, which recomputes its path, loses to coordinate descent: beyond these
# sizes of the heads and numbers of sources.
LARS_MAX_RANK = 200
LARS_MAX_TASKS = 20_000
# Largest violation of the optimality conditions, relative to the largest penalty,
# that passes as a solution; LARS is exact to 1e-12 unless sources nearly coincide.
OPTIMALITY_TOLERANCE = 1e-7
# By how much rounding may raise the dual's largest price, of one, at a vertex.
PRICE_TOLERANCE = 1e-9
# Points of the grid that stands in for the breakpoints where LARS fails.
N_GRID_PENALTIES = 100


class RelevancePath(NamedTuple):
    """Relevance of the sources for every penalty.

    Attributes
    ----------
    lambdas : ndarray of shape (n_breakpoints,)
        Penalties, falling; between two of them the relevance is linear.
    relevance : ndarray of shape (n_tasks, n_breakpoints)
        Relevance at each penalty.
    """

    lambdas: np.ndarray
    relevance: np.ndarray


@document
def relevance_l1(W, w0, *, weights=None):
    """Write the target head with the smallest L1 norm of source weights.

    Solves ``min sum(weights * |nu|)  subject to  W @ nu = w0`` as a linear program.
    The solution is basic: at most ``k`` sources are used. Take it where the heads are
    known well; with noisy heads `relevance_lasso` is steadier.

    Parameters
    ----------
    {heads}
    {weights}

    Returns
    -------
    {relevance}

    Raises
    ------
    ValueError
        If shapes disagree, or something is not finite or not positive.

    Notes
    -----
    A target outside the span of the sources is projected onto it, with a warning.
    Of sources that are equal up to sign only the first is used. The end of the Lasso's
    path, where its dual proves that optimal; else dual simplex of HiGHS.

    Examples
    --------
    >>> from minimalml.multioutput import relevance_l1
    >>> relevance_l1([[1.0, 0.0, 0.8], [0.0, 1.0, 0.6]], [0.8, 0.6])
    array([0., 0., 1.])
    """
    problem = HeadProblem(W, w0, weights)
    sources, targets = problem.sources, problem.targets
    span, values, _ = svd(sources, full_matrices=False)
    span = span[:, values > values.max(initial=0.0) * max(sources.shape) * 1e-15]
    _warn_outside_span(targets, span)
    rows = span.T @ sources
    return problem.relevance([_basic_solution(rows, v) for v in (span.T @ targets).T])


@document
def relevance_l2(W, w0):
    """Write the target head with the smallest L2 norm of source weights.

    ``pinv(W) @ w0``: dense, every source gets a share. This is the relevance of the
    method of 2022, which `relevance_l1` improves on.

    Parameters
    ----------
    {heads}

    Returns
    -------
    {relevance}

    Raises
    ------
    ValueError
        If shapes disagree or something is not finite.

    Examples
    --------
    >>> from minimalml.multioutput import relevance_l2
    >>> relevance_l2([[1.0, 0.0, 0.8], [0.0, 1.0, 0.6]], [0.8, 0.6]).round(2)
    array([0.4, 0.3, 0.5])
    """
    problem = HeadProblem(W, w0, distinct=False)
    return problem.relevance(
        np.linalg.lstsq(problem.sources, problem.targets, rcond=None)[0].T
    )


@document
def relevance_lasso(W, w0, lambda_=0.05, relative=True, weights=None, *, refit=False):
    """Write the target head approximately with few source heads.

    Minimises ``0.5 * ||W @ nu - w0||^2 + lambda_ * sum(weights * |nu|)``. A step of
    LARS costs ``O(k n_tasks)``, and there are about ``k`` of them.

    Parameters
    ----------
    {heads}
    lambda_ : float, default=0.05
        Penalty, not negative; raising it uses fewer sources.
    relative : bool, default=True
        Whether ``lambda_`` counts in units of the smallest penalty that gives zero,
        ``max(|W.T @ w0| / weights)``, of each target.
    {weights}
    refit : bool, default=False
        Whether to refit the sources in use by least squares where they are linearly
        independent, which takes back the penalty's shrinkage.

    Returns
    -------
    {relevance}

    Raises
    ------
    ValueError
        If shapes disagree, or something is not finite or negative.

    Notes
    -----
    Solved by LARS, which is exact; by coordinate descent where sources nearly coincide,
    and, in skglm if it is installed, for more than 200 rows or 20,000 sources.

    Examples
    --------
    >>> from minimalml.multioutput import relevance_lasso
    >>> W = [[1.0, 0.0, 0.8], [0.0, 1.0, 0.6]]
    >>> relevance_lasso(W, [0.8, 0.6], lambda_=0.1).round(2)
    array([0. , 0. , 0.9])
    """
    if not (np.isscalar(lambda_) and 0 <= lambda_ < np.inf):
        raise ValueError(f"lambda_ must be a number at least 0, got {lambda_!r}.")
    problem = HeadProblem(W, w0, weights)
    sources, targets = problem.sources, problem.targets
    products = sources.T @ targets  # (n_distinct, n_targets), one product for all
    if relative:
        penalties = lambda_ * np.abs(products).max(axis=0, initial=0.0)
    else:
        penalties = lambda_ / problem.unit / problem.target_units
    # A Gram matrix helps only where sources are few; else it is the larger of the two.
    gram = sources.T @ sources if sources.shape[1] < len(sources) else None
    with without_convergence_warnings():  # LARS warns of what is checked and mended
        columns = [
            _lasso(sources, *column, gram)
            for column in zip(targets.T, products.T, penalties, strict=True)
        ]
    if refit:
        pairs = zip(targets.T, columns, strict=True)
        columns = [refit_on_support(sources, *pair) for pair in pairs]
    return problem.relevance(columns)


@document
def relevance_path(W, w0, *, weights=None):
    """Follow the Lasso from no source to the smallest L1 norm.

    Parameters
    ----------
    {heads}
    {weights}

    Returns
    -------
    RelevancePath or list of RelevancePath
        ``lambdas`` (n_breakpoints,) and ``relevance`` (n_tasks, n_breakpoints); one
        for each target if ``w0`` has several.

    Raises
    ------
    ValueError
        If shapes disagree, or something is not finite or not positive.

    Notes
    -----
    Every breakpoint, by LARS; where sources nearly coincide, 100 penalties by
    coordinate descent.

    Examples
    --------
    >>> from minimalml.multioutput import relevance_path
    >>> path = relevance_path([[1.0, 0.0], [0.0, 1.0]], [0.8, 0.6])
    >>> path.lambdas
    array([0.8, 0.6, 0. ])
    >>> path.relevance
    array([[0. , 0.2, 0.8],
           [0. , 0. , 0.6]])
    """
    problem = HeadProblem(W, w0, weights)
    paths = []
    for target, target_unit in zip(
        problem.targets.T, problem.target_units, strict=True
    ):
        penalties, coefficients = _path(problem.sources, target)
        relevance = problem.spread(coefficients, target_unit)
        paths.append(RelevancePath(penalties * problem.unit * target_unit, relevance))
    return paths if np.ndim(w0) == 2 else paths[0]


def lambda_by_discrepancy(path, W, w0, residual_norm):
    """Find the largest penalty on a path of ``W`` whose residual is no longer."""
    unit = units(w0)
    residual_norm = residual_norm / unit
    residuals = (w0[:, None] - W @ path.relevance) / unit  # (k, n_breakpoints)
    norms = np.linalg.norm(residuals, axis=0)
    if norms[0] <= residual_norm:
        return float(path.lambdas[0])
    if norms[-1] > residual_norm:
        return float(path.lambdas[-1])
    end = int(np.argmax(norms <= residual_norm))
    start, change = residuals[:, end - 1], residuals[:, end] - residuals[:, end - 1]
    # The residual is linear in between: the first root of a quadratic.
    a, b, c = change @ change, start @ change, start @ start - residual_norm**2
    step = np.clip((-b - np.sqrt(max(b * b - a * c, 0.0))) / a, 0.0, 1.0)
    return float((1 - step) * path.lambdas[end - 1] + step * path.lambdas[end])


def refit_on_support(sources, target, relevance):
    """Refit nonzeros by least squares where their heads are independent."""
    support = np.flatnonzero(relevance)
    fitted, _, rank, _ = np.linalg.lstsq(sources[:, support], target, rcond=None)
    if rank < len(support):
        return relevance
    refitted = np.zeros_like(relevance)
    refitted[support] = fitted
    return refitted


def _warn_outside_span(targets, span):
    outside = np.linalg.norm(targets - span @ (span.T @ targets), axis=0)
    lengths = np.linalg.norm(targets, axis=0)
    ratio = (outside / np.where(lengths > 0, lengths, 1.0)).max()
    if ratio > 1e-8:
        warnings.warn(
            "w0 lies outside the span of the source heads: the part outside, "
            f"{ratio:.3g} of its length, is left out.",
            stacklevel=3,
        )


def _basic_solution(rows, value):
    """Solve ``min ||nu||_1, rows @ nu = value`` at a vertex."""
    n_columns, scale = rows.shape[1], np.linalg.norm(value)
    if scale == 0:
        return np.zeros(n_columns)
    solution = _end_of_path(rows, value)
    if solution is not None:
        return solution
    result = linprog(
        np.ones(2 * n_columns),
        A_eq=np.hstack([rows, -rows]),
        b_eq=value / scale,
        method="highs-ds",
    )
    if result.x is None:
        raise RuntimeError(f"The linear program failed: {result.message}")
    solution = scale * (result.x[:n_columns] - result.x[n_columns:])
    # HiGHS keeps the constraints to 1e-7; its support gives them to rounding.
    refitted = refit_on_support(rows, value, solution)
    return refitted if np.all(refitted * solution >= 0) else solution


def _end_of_path(rows, value):
    """Follow the Lasso to no penalty; None unless the dual of a full basis proves it.

    A tenth of the linear program's time.
    """
    n_rows, n_columns = rows.shape
    with without_convergence_warnings():
        ended = _lars(rows, value)[1][:, -1]
    support = np.flatnonzero(ended)
    basis, signs = rows[:, support], np.sign(ended[support])
    if len(support) != n_rows or np.linalg.cond(basis) > 1 / OPTIMALITY_TOLERANCE:
        return None
    prices = np.abs(np.linalg.solve(basis.T, signs) @ rows)
    solution = np.zeros(n_columns)
    solution[support] = np.linalg.solve(basis, value)
    is_optimal = prices.max() <= 1 + PRICE_TOLERANCE and np.all(
        solution[support] * signs >= 0
    )
    return solution if is_optimal else None


def _lasso(sources, target, product, penalty, gram):
    """Solve one Lasso, by coordinate descent where LARS is not optimal."""
    n_rows, n_sources = sources.shape
    largest = np.abs(product).max(initial=0.0)
    if penalty >= largest:
        return np.zeros(n_sources)
    is_small = n_rows <= LARS_MAX_RANK and n_sources <= LARS_MAX_TASKS
    if is_small:
        _, path = _lars(
            sources, target, Xy=product, Gram=gram, alpha_min=penalty / n_rows
        )
        coefficients = path[:, -1]
        violation = np.abs(sources.T @ (target - sources @ coefficients)).max()
        if violation <= penalty + OPTIMALITY_TOLERANCE * largest:
            return coefficients
    settings = {"alpha": penalty / n_rows, "fit_intercept": False}
    if not is_small and importlib.util.find_spec("skglm"):
        import skglm

        model = skglm.Lasso(**settings, tol=1e-10 * np.abs(target).max())
    else:
        precompute = False if gram is None else gram
        model = Lasso(**settings, tol=1e-12, max_iter=50_000, precompute=precompute)
    return model.fit(sources, target).coef_


def _lars(sources, target, **options):
    """Follow the Lasso's path; return penalties and solutions at its breakpoints."""
    n_steps = 10 * len(target) + 100
    alphas, _, path = lars_path(
        sources, target, method="lasso", max_iter=n_steps, **options
    )
    return alphas * len(target), path


def _path(sources, target):
    """Follow one path; penalties and solutions at its breakpoints."""
    largest = np.abs(sources.T @ target).max(initial=0.0)
    with without_convergence_warnings():
        penalties, coefficients = _lars(sources, target)
    violations = np.abs(sources.T @ (target[:, None] - sources @ coefficients))
    if np.any(violations.max(axis=0) > penalties + OPTIMALITY_TOLERANCE * largest):
        penalties = np.geomspace(1.0, 1e-4, N_GRID_PENALTIES) * largest
        _, coefficients, _ = lasso_path(
            sources, target, alphas=penalties / len(target), tol=1e-10, max_iter=50_000
        )
    return penalties, coefficients


class HeadProblem:
    """Heads over their weights, scaled near 1, ``distinct`` up to sign, and the way back."""

    def __init__(self, W, w0, weights=None, *, distinct=True):
        W, w0 = _check_heads(W, w0)
        self._shape, self._dtype = (W.shape[1], *w0.shape[1:]), np.result_type(W, w0)
        self._weights = check_per_task(weights, W.shape[1], "weights", is_positive=True)
        W, targets = W / self._weights, w0.reshape(len(w0), -1).astype(np.float64)
        self.unit, self.target_units = units(W), units(targets, axis=0)
        W, self.targets = W / self.unit, targets / self.target_units
        self._kept = distinct_columns(W) if distinct else np.arange(W.shape[1])
        self.sources = np.asfortranarray(W[:, self._kept])

    def relevance(self, columns):
        """Place one solution a target among all tasks, in the caller's units."""
        spread = self.spread(np.array(columns).T, self.target_units)
        return spread.astype(self._dtype, copy=False).reshape(self._shape)

    def spread(self, coefficients, target_units):
        """Place solutions (n_sources, n_solutions) among all tasks."""
        spread = np.zeros((len(self._weights), coefficients.shape[1]))
        spread[self._kept] = coefficients
        return spread * (target_units / self.unit) / self._weights[:, None]


def _check_heads(W, w0):
    if np.ndim(W) != 2:
        raise ValueError(
            f"W must be 2-dimensional, (k, n_tasks), got {np.ndim(W)} dimensions."
        )
    kind = [np.float64, np.float32]
    W = check_array(W, dtype=kind, input_name="W")
    w0 = check_array(w0, dtype=kind, ensure_2d=False, input_name="w0")
    if w0.ndim not in (1, 2) or len(w0) != len(W):
        raise ValueError(
            f"w0 must have as many rows as W, {len(W)}, got shape {w0.shape}."
        )
    if not np.all(np.any(w0 != 0, axis=0)):
        warnings.warn("w0 is zero: no source is relevant to it.", stacklevel=4)
    return W, w0


def check_per_task(values, n_tasks, name, *, default=1.0, is_positive=False):
    """Check numbers at least 0 (or above), one a task or the same for all."""
    values = np.asarray(default if values is None else values, dtype=np.float64)
    if values.ndim and values.shape != (n_tasks,):
        raise ValueError(
            f"{name} must be a number or hold one number for each of {n_tasks} tasks, "
            f"got shape {values.shape}."
        )
    is_valid = values > 0 if is_positive else values >= 0
    if not np.all(is_valid & np.isfinite(values)):
        kind = "positive and finite" if is_positive else "at least 0 and finite"
        raise ValueError(f"{name} must be {kind}, got {values.min()}.")
    return np.broadcast_to(values, (n_tasks,))


def units(values, axis=None):
    """Return a power of two near the largest size: products over it stay in range."""
    return np.ldexp(1.0, np.frexp(np.abs(values).max(axis, initial=0.0))[1] - 1)


def distinct_columns(W):
    """Index the first of all columns that are equal up to sign."""
    leading = np.argmax(W != 0, axis=0)
    signs = np.where(W[leading, np.arange(W.shape[1])] < 0, -1.0, 1.0)
    return np.sort(np.unique((W * signs).T, axis=0, return_index=True)[1])


@contextmanager
def without_convergence_warnings():
    """Leave out warnings of solvers whose result is checked or goes on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
