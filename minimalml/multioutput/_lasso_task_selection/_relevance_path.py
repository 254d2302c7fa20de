"""How a target's head is written with ever more source heads: the Lasso path.

See Wang, Chen, Jamieson and Du (2023), arXiv 2306.02556.
"""

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import lars_path, lasso_path

from minimalml.multioutput._lasso_task_selection._heads import (
    OPTIMALITY_TOLERANCE,
    HeadProblem,
    units,
    without_convergence_warnings,
)

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


def relevance_path(W, w0, *, weights=None):
    """Follow the Lasso from no source to the smallest L1 norm.

    Parameters
    ----------
    W : array-like of shape (k, n_tasks)
        Source heads, one a column.

    w0 : array-like of shape (k,) or (k, n_targets)
        Target head, or several.

    weights : array-like of shape (n_tasks,), default=None
        Positive price of each source's weight; None takes ones.

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
    paths = [
        RelevancePath(*problem.relevance_along(*_path(problem.sources, target), number))
        for number, target in enumerate(problem.targets.T)
    ]
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
    # The residual is linear in between: one root of a quadratic.
    roots = np.roots(
        [change @ change, 2 * start @ change, start @ start - residual_norm**2]
    ).real
    step = min((r for r in roots if 0 <= r <= 1), default=1.0)
    return float((1 - step) * path.lambdas[end - 1] + step * path.lambdas[end])


def _path(sources, target):
    """Follow one path; penalties and solutions at its breakpoints."""
    largest = np.abs(sources.T @ target).max(initial=0.0)
    with without_convergence_warnings():
        alphas, _, coefficients = lars_path(
            sources, target, method="lasso", max_iter=10 * len(target) + 100
        )
    penalties = alphas * len(target)
    violations = np.abs(sources.T @ (target[:, None] - sources @ coefficients))
    if np.any(violations.max(axis=0) > penalties + OPTIMALITY_TOLERANCE * largest):
        penalties = np.geomspace(1.0, 1e-4, N_GRID_PENALTIES) * largest
        _, coefficients, _ = lasso_path(
            sources, target, alphas=penalties / len(target), tol=1e-10, max_iter=50_000
        )
    return penalties, coefficients
