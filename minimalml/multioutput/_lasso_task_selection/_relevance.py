"""How a target's head is written with the heads of source tasks.

Each function solves ``W @ relevance = w0`` in its own sense: smallest L1 norm (a
linear program), smallest L2 norm, or approximately with an L1 penalty (Lasso). See
Wang, Chen, Jamieson and Du (2023), arXiv 2306.02556.
"""

import importlib.util
import warnings
from itertools import repeat

import numpy as np
from scipy.linalg import svd
from scipy.optimize import linprog
from sklearn.linear_model import Lasso, lars_path
from sklearn.utils.parallel import Parallel, delayed

from minimalml.multioutput._lasso_task_selection._heads import (
    OPTIMALITY_TOLERANCE,
    HeadProblem,
    check_heads,
    without_convergence_warnings,
)

# Where LARS, which recomputes its path, loses to coordinate descent: beyond these
# sizes of the heads and numbers of sources.
LARS_MAX_RANK = 200
LARS_MAX_TASKS = 20_000
# By how much rounding may raise the dual's largest price, of one, at a vertex.
PRICE_TOLERANCE = 1e-9


def relevance_l1(W, w0, *, weights=None):
    """Write the target head with the smallest L1 norm of source weights.

    Solves ``min sum(weights * |nu|)  subject to  W @ nu = w0`` as a linear program.
    The solution is basic: at most ``k`` sources are used. Take it where the heads are
    known well; with noisy heads `relevance_lasso` is steadier.

    Parameters
    ----------
    W : array-like of shape (k, n_tasks)
        Source heads, one a column.

    w0 : array-like of shape (k,) or (k, n_targets)
        Target head, or several.

    weights : array-like of shape (n_tasks,), default=None
        Positive price of each source's weight; None takes ones. With prices
        ``c`` per sample, ``sqrt(c)`` gives the cheapest design.

    Returns
    -------
    ndarray of shape (n_tasks,) or (n_tasks, n_targets)
        The relevance of each source.

    Raises
    ------
    ValueError
        If shapes disagree, or something is not finite or not positive.

    Notes
    -----
    A target outside the span of the sources is projected onto it, with a warning.
    Of sources that are equal up to sign only the first is used. The end of the Lasso's
    path, where its dual proves that optimal; else dual simplex of HiGHS.

    References
    ----------
    Wang, Chen, Jamieson, Du. Improved Active Multi-Task Representation Learning via
    Lasso. ICML 2023.

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


def relevance_l2(W, w0):
    """Write the target head with the smallest L2 norm of source weights.

    ``pinv(W) @ w0``: dense, every source gets a share. This is the relevance of the
    method of 2022, which `relevance_l1` improves on.

    Parameters
    ----------
    W : array-like of shape (k, n_tasks)
        Source heads, one a column.

    w0 : array-like of shape (k,) or (k, n_targets)
        Target head, or several.

    Returns
    -------
    ndarray of shape (n_tasks,) or (n_tasks, n_targets)
        The relevance of each source.

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
    W, targets, give_back = check_heads(W, w0)
    return give_back(np.linalg.lstsq(W, targets, rcond=None)[0])


def relevance_lasso(
    W, w0, lambda_=0.05, relative=True, weights=None, *, refit=False, n_jobs=None
):
    """Write the target head approximately with few source heads.

    Minimises ``0.5 * ||W @ nu - w0||^2 + lambda_ * sum(weights * |nu|)``. A step of
    LARS costs ``O(k n_tasks)``, and there are about ``k`` of them.

    Parameters
    ----------
    W : array-like of shape (k, n_tasks)
        Source heads, one a column. They are not normalised: a source with a small
        head is less informative.

    w0 : array-like of shape (k,) or (k, n_targets)
        Target head, or several.

    lambda_ : float, default=0.05
        Penalty, not negative; raising it uses fewer sources.

    relative : bool, default=True
        Whether ``lambda_`` counts in units of the smallest penalty that gives zero,
        ``max(|W.T @ w0| / weights)``, of each target.

    weights : array-like of shape (n_tasks,), default=None
        Positive price of each source's weight; None takes ones.

    refit : bool, default=False
        Whether to refit the sources in use by least squares where they are linearly
        independent, which takes back the penalty's shrinkage.

    n_jobs : int, default=None
        Threads over targets, as in joblib.

    Returns
    -------
    ndarray of shape (n_tasks,) or (n_tasks, n_targets)
        The relevance of each source.

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
    largest = np.abs(products).max(axis=0, initial=0.0)
    penalties = lambda_ * largest if relative else problem.scaled_penalties(lambda_)
    # A Gram matrix helps only where sources are few; else it is the larger of the two.
    gram = sources.T @ sources if sources.shape[1] < len(sources) else None
    with without_convergence_warnings():  # LARS warns of what is checked and mended
        columns = Parallel(n_jobs=n_jobs, prefer="threads")(
            delayed(_lasso)(sources, target, product, penalty, gram)
            for target, product, penalty in zip(
                targets.T, products.T, penalties, strict=True
            )
        )
    if refit:
        columns = map(refit_on_support, repeat(sources), targets.T, columns)
    return problem.relevance(list(columns))


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
    """Follow the Lasso to no penalty; None unless the dual proves that optimal.

    The proof needs a full basis. A tenth of the linear program's time.
    """
    n_rows, n_columns = rows.shape
    with without_convergence_warnings():
        ended = lars_path(
            rows, value, max_iter=10 * n_rows + 100, method="lasso", return_path=False
        )[2]
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
        coefficients = lars_path(
            sources, target, Xy=product, Gram=gram, alpha_min=penalty / n_rows,
            max_iter=10 * n_rows + 100, method="lasso", return_path=False,
        )[2]  # fmt: skip
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
