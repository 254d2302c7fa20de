"""The ordering programme by cvxpy and CLARABEL, for those who want a third party."""

import numpy as np

from minimalml._core.optional import import_optional
from minimalml.inspection._quad_attack._gram import multiply
from minimalml.inspection._quad_attack._targets import ordering_pairs

# Smaller eigenvalues are rounding; their roots would make everything feasible.
RANK_TOLERANCE = 1e-12
TIGHT = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-12)


def ordered_qp(logits, targets, gram, margin, max_iter):
    """Solve the ordering programme of each row of ``logits``.

    Results are those of the compiled kernel, but that an infeasible sample gets no
    certificate: its ``dual`` is NaN.
    """
    n, n_classes = logits.shape
    u, dual = np.zeros((n, n_classes)), np.full((n, n_classes - 1), np.nan)
    distance, residual = np.full(n, np.inf), np.full(n, np.inf)
    status, n_iter = np.full(n, 2, dtype=np.int8), np.zeros(n, dtype=np.intp)
    gram = multiply(np.eye(n_classes), gram)
    values, vectors = np.linalg.eigh(gram)
    is_real = values > RANK_TOLERANCE * values.max()
    root = vectors[:, is_real] * np.sqrt(values[is_real])
    for i in range(n):
        high, low = ordering_pairs(targets[i : i + 1], n_classes)
        rows = np.eye(n_classes)[high[0]] - np.eye(n_classes)[low[0]]
        status[i], n_iter[i], found = solve_one(rows, logits[i], root, margin, max_iter)
        if status[i] == 1:
            continue
        dual[i] = found.clip(0.0)
        u[i] = dual[i] @ rows
        distance[i] = u[i] @ gram @ u[i]
        gap = margin - rows @ (logits[i] + gram @ u[i])
        scale = 1.0 + np.abs(logits[i]).max()
        slack = np.abs(dual[i] * gap).max() / (scale + distance[i])
        residual[i] = max(gap.max() / scale, slack)
    return u, distance, dual, residual, status, n_iter


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
            return 1, problem.solver_stats.num_iters, None
    return 2, 0, np.zeros(len(rows))
