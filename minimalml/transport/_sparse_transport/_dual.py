"""The dual of k-sparse transport, and its maximum by L-BFGS."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csc_array

from minimalml._core.threads import (
    effective_n_threads,
    few_blas_threads,
    for_each_chunk,
)
from minimalml.transport._sparse_transport._semi_dual import semi_dual

# A cost, on one thread: python -m benchmarks sparse_transport
SECONDS_PER_COST = 1e-9
COSTS_PER_CHUNK = 100_000
MEMORY = 20  # steps that L-BFGS keeps
# The dual has kinks where k binds, at which a line search may stall: from a little
# beside the best point it goes on (largest relative gap of 21 small problems: 1e-3
# without restarts, 8e-6 with them).
N_RESTARTS = 5
NUDGE = 1e-3
GOOD_ROWS = 1e-4  # share of the mass that rows may be off without a restart


@dataclass
class SemiDual:
    """The dual as a function of the potentials of the rows."""

    costs: np.ndarray  # (n, m) C-contiguous: a column of the plan in each row
    a: np.ndarray
    b: np.ndarray
    reg: float
    max_nonzeros: int

    def __call__(self, alpha):
        """Return value and gradient."""
        _, values, row_sums = self._solve_columns(alpha)
        return float(alpha @ self.a - values.sum()), self.a - row_sums

    def plan(self, alpha):
        """Return the plan as a CSC array, and the potentials of the columns."""
        parts = {}

        def keep(start, entries, rows, sizes):
            is_kept = (np.arange(entries.shape[1]) < sizes[:, None]) & (entries > 0)
            parts[start] = entries[is_kept], rows[is_kept], is_kept.sum(axis=1)

        thetas, *_ = self._solve_columns(alpha, keep)
        entries, rows, sizes = (
            np.concatenate(part)
            for part in zip(*(parts[start] for start in sorted(parts)), strict=True)
        )
        starts = np.concatenate([[0], sizes.cumsum()])
        plan = csc_array((entries, rows, starts), shape=self.costs.shape[::-1])
        plan.sort_indices()
        return plan, -thetas

    def _solve_columns(self, alpha, keep=None):
        """Return thresholds and values of the columns, and what rows give in all."""
        n, m = self.costs.shape
        chunk_size = max(1, COSTS_PER_CHUNK // m)
        thetas, values, sizes = np.empty(n), np.empty(n), np.empty(n, np.intp)
        row_sums = np.zeros((-(-n // chunk_size), m))

        def work(start, stop):
            shape = 1 if keep is None else stop - start, self.max_nonzeros
            entries, rows = np.empty(shape), np.empty(shape, np.intp)
            semi_dual(
                self.costs, alpha, self.b, self.reg, thetas, values, sizes,
                row_sums[start // chunk_size], entries, rows, start, stop,
            )  # fmt: skip
            if keep is not None:
                keep(start, entries, rows, sizes[start:stop])

        n_threads = effective_n_threads(n * m, SECONDS_PER_COST)
        for_each_chunk(work, n, chunk_size=chunk_size, n_threads=n_threads)
        return thetas, values, row_sums.sum(axis=0)


def maximize(dual, tol, max_iter, goes_on):
    """Return the best potentials that were found, and the number of iterations."""
    start, best, n_iter, is_stopped = np.zeros(len(dual.a)), None, 0, False
    rng = np.random.default_rng(0)

    def negated(alpha):
        value, gradient = dual(alpha)
        return -value, -gradient

    def after_iteration(intermediate_result):
        nonlocal n_iter, is_stopped
        n_iter += 1
        is_stopped = not goes_on(intermediate_result.x, n_iter)
        if is_stopped:
            raise StopIteration

    for _ in range(1 + N_RESTARTS):
        options = {
            "maxcor": MEMORY,
            "ftol": 0.0,
            "gtol": tol * dual.a.max(),
            "maxiter": max_iter - n_iter,
            "maxfun": 20 * max_iter,
        }
        with few_blas_threads((2 * MEMORY) ** 3):
            found = minimize(
                negated, start, jac=True, method="L-BFGS-B", options=options,
                callback=after_iteration,
            )  # fmt: skip
        if best is None or found.fun < best.fun:
            best = found
        has_good_rows = np.abs(best.jac).sum() <= GOOD_ROWS * dual.b.sum()
        if has_good_rows or is_stopped or n_iter >= max_iter:
            break
        start = best.x + NUDGE * rng.standard_normal(len(start))
    return best.x, n_iter
