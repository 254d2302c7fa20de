"""The ordering programme by cvxpy and CLARABEL, for those who want a third party."""

import numpy as np

from minimalml._core.optional import import_optional
from minimalml.inspection._quad_attack._factored_gram import FactoredGram
from minimalml.inspection._quad_attack._targets import ordering_pairs

# Smaller eigenvalues are rounding; their roots would make everything feasible.
RANK_TOLERANCE = 1e-12
TIGHT = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-12)


def ordered_qp(logits, targets, gram, margin, warm_start, tol, max_iter, *others):
    """Solve the ordering programme of each row of ``logits``.

    Arguments and results are those of the CPU kernel, for a single solve; there is no
    warm start, and an infeasible sample gets no certificate: its ``dual`` is NaN.
    """
    n, n_classes = logits.shape
    u, dual = np.zeros((n, n_classes)), np.full((n, n_classes - 1), np.nan)
    distance, residual = np.full(n, np.inf), np.full(n, np.inf)
    status, n_iter = np.full(n, 2, dtype=np.int8), np.zeros(n, dtype=np.intp)
    if isinstance(gram, FactoredGram):
        gram = gram.multiply(np.eye(n_classes))
    values, vectors = np.linalg.eigh(gram)
    is_real = values > RANK_TOLERANCE * values.max()
    root = vectors[:, is_real] * np.sqrt(values[is_real])
    for i in range(n):
        rows = difference_rows(targets[i], n_classes)
        found = solve_one(rows, logits[i], root, margin, max_iter)
        status[i], n_iter[i] = found[0], found[1]
        if status[i] == 1:
            continue
        dual[i] = found[2].clip(0.0)
        u[i] = dual[i] @ rows
        distance[i] = u[i] @ gram @ u[i]
        gap = margin - rows @ (logits[i] + gram @ u[i])
        scale = 1.0 + np.abs(logits[i]).max()
        slack = np.abs(dual[i] * gap).max() / (scale + distance[i])
        residual[i] = max(gap.max() / scale, slack)
    return u, distance, dual, residual, status, n_iter, None


def difference_rows(targets, n_classes):
    """Return the matrix D, one row a class but the first target."""
    high, low = ordering_pairs(targets[None, :], n_classes)
    rows, index = np.zeros((n_classes - 1, n_classes)), np.arange(n_classes - 1)
    rows[index, high[0]], rows[index, low[0]] = 1.0, -1.0
    return rows


def solve_one(rows, logits, root, margin, max_iter):
    """Return status code, iterations and multipliers of one sample."""
    cvxpy = import_optional("cvxpy", who="solver='cvxpy'", extra="test")
    move = cvxpy.Variable(root.shape[1])
    demand = rows @ root @ move >= margin - rows @ logits
    problem = cvxpy.Problem(cvxpy.Minimize(0.5 * cvxpy.sum_squares(move)), [demand])
    for options in (TIGHT, {}):
        try:
            problem.solve(solver=cvxpy.CLARABEL, max_iter=max_iter, **options)
        except cvxpy.error.SolverError:  # it stalled before the tolerance
            continue
        if problem.status == "optimal":
            return 0, problem.solver_stats.num_iters, demand.dual_value
        if problem.status == "infeasible":
            return 1, problem.solver_stats.num_iters, None
    return 2, max_iter, np.zeros(len(rows))
