"""The ordering programme by cvxpy and CLARABEL, for those who want a third party."""

import numpy as np

from minimalml._core.optional import import_optional
from minimalml.inspection._quad_attack._gram import multiply
from minimalml.inspection._quad_attack._targets import ordering_pairs
from minimalml.inspection._quad_attack._working_sets import (
    direction_of,
    kkt_residual,
    row_index,
)

# Smaller eigenvalues are rounding; their roots would make everything feasible.
RANK_TOLERANCE = 1e-12
TIGHT = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-12)


def ordered_qp(logits, targets, gram, margin, max_iter):
    """Solve the programme of each row; an infeasible one gets no certificate, but NaN."""
    (n, n_classes), multiplier = logits.shape, np.zeros_like(logits)
    status, n_iter = np.full(n, 2, dtype=np.int8), np.zeros(n, dtype=np.intp)
    all_high, all_low = ordering_pairs(targets, n_classes)
    values, vectors = np.linalg.eigh(multiply(np.eye(n_classes), gram))
    is_real = values > RANK_TOLERANCE * values.max()
    root = vectors[:, is_real] * np.sqrt(values[is_real])
    for i, (high, low) in enumerate(zip(all_high, all_low, strict=True)):
        rows = np.eye(n_classes)[high] - np.eye(n_classes)[low]
        status[i], n_iter[i], dual = solve_one(rows, logits[i], root, margin, max_iter)
        multiplier[i, low] = dual.clip(0.0)
    direction = direction_of(multiplier, targets, np)
    lift = multiply(direction, gram)
    residual = kkt_residual(logits, targets, multiplier, lift, margin, np)
    distance, impossible = (direction * lift).sum(axis=1), status == 1
    dual = multiplier[row_index(targets, np), all_low]
    distance[impossible] = residual[impossible] = np.inf
    dual[impossible] = np.nan
    return direction, distance, dual, residual, status, n_iter


def solve_one(rows, logits, root, margin, max_iter):
    """Return status code, iterations and multipliers of one sample."""
    cvxpy = import_optional("cvxpy", who="solver='cvxpy'", extra="test")
    move = cvxpy.Variable(root.shape[1])
    demand = rows @ root @ move >= margin - rows @ logits
    problem = cvxpy.Problem(cvxpy.Minimize(0.5 * cvxpy.sum_squares(move)), [demand])
    limit = {} if max_iter is None else {"max_iter": max_iter}
    for options in (TIGHT, {}):
        try:
            problem.solve(solver=cvxpy.CLARABEL, **limit, **options)
        except cvxpy.error.SolverError:  # it stalled before the tolerance
            continue
        if problem.status == "optimal":
            return 0, problem.solver_stats.num_iters, demand.dual_value
        if problem.status == "infeasible":
            return 1, problem.solver_stats.num_iters, np.zeros(len(rows))
    return 2, 0, np.zeros(len(rows))
