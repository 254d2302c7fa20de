"""Transport plans with at most k non-zeros in each column.

Quadratic regularisation whose support is limited makes the dual in the potentials of the
rows cheap: each column is a projection of its k best entries onto a simplex. Liu,
Puigcerver, Blondel: "Sparsity-Constrained Optimal Transport", ICLR 2023.
"""

import warnings
from dataclasses import dataclass
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from scipy.sparse import csc_array
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array

from minimalml._core.validation import Interval, validate_params
from minimalml.transport._sparse_transport._dual import SemiDual, maximize

BAD_ROWS = 1e-2  # share of the mass that rows may be off without a warning

PROBLEM_CONSTRAINTS = {
    "a": ["array-like", None],
    "b": ["array-like", None],
    "cost": ["array-like"],
    "max_nonzeros": [Interval(Integral, 1, None, closed="left")],
    "reg": [Real],
}
SOLVER_CONSTRAINTS = {
    "tol": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
}


class TransportResult(NamedTuple):
    """A plan, the potentials that it comes from, and how far its rows are off.

    Attributes
    ----------
    plan : scipy.sparse.csc_array of shape (m, n)
        Columns sum to b.

    alpha, beta : ndarray of shape (m,) and (n,)
        Potentials: the plan is ``max(alpha_i + beta_j - cost_ij, 0) / reg`` on the
        ``max_nonzeros`` largest entries of each column.

    value : float
        Value of the dual, a lower bound of the primal.

    transport_cost : float
        Sum of plan times cost.

    row_violation : float
        Sum of ``|row sum - a|`` as a share of the mass.

    n_iter : int
        Iterations of L-BFGS.

    converged : bool
        Whether no row is off by more than ``tol * max(a)``.
    """

    plan: csc_array
    alpha: np.ndarray
    beta: np.ndarray
    value: float
    transport_cost: float
    row_violation: float
    n_iter: int
    converged: bool


@validate_params(
    {**PROBLEM_CONSTRAINTS, **SOLVER_CONSTRAINTS}, prefer_skip_nested_validation=True
)
def sparse_transport(a, b, cost, *, max_nonzeros, reg=1.0, tol=1e-6, max_iter=1000):
    """Move mass from rows to columns, each column served by few rows.

    For a target (a cluster, an expert, a warehouse) that may have at most k partners.
    Small ``max_nonzeros`` comes near to unregularised transport, large to quadratic
    transport, which is sparse but gives no say in how sparse. For equal masses, as many
    rows as columns and one partner take ``scipy.optimize.linear_sum_assignment``.

    Parameters
    ----------
    a : array-like of shape (m,) or None
        Mass of the rows, at least 0; None: equal masses that sum to that of ``b``.

    b : array-like of shape (n,) or None
        Mass of the columns, as much as ``a`` has in all (``a`` is scaled to it where
        they differ in rounding); None: equal masses. Both None: mass 1.

    cost : array-like of shape (m, n)
        Cost of a unit of mass, at least 0; float32 stays float32.

    max_nonzeros : int
        Non-zeros that a column may have, from 1 to m. For a limit a row transpose the
        problem.

    reg : float, default=1.0
        Weight of half the sum of squares of the plan. It multiplies squares of masses:
        for mass 1 and n columns its natural scale is n times that of the costs.

    tol : float, default=1e-6
        Stops where no row is off by more than ``tol * max(a)``.

    max_iter : int, default=1000
        Iterations of L-BFGS.

    Returns
    -------
    TransportResult
        With the fields ``plan, alpha, beta, value, transport_cost, row_violation,
        n_iter, converged``.

    Raises
    ------
    ValueError
        If masses or costs are negative or not finite, masses don't match, shapes don't,
        or ``max_nonzeros`` is out of range or too few to reach all rows.

    Warns
    -----
    ConvergenceWarning
        If rows are off by more than 1 % of the mass. Where ``max_nonzeros`` binds they
        stay off: entries that are equal at the optimum compete for the last place.

    Notes
    -----
    Maximises the concave dual ``<alpha, a> - sum_j h_j(alpha - c_j)``, where h_j is the
    best of ``<s, t> - reg / 2 |t|²`` over columns t >= 0 of sum b_j with at most k
    non-zeros. Its value is that of a convex relaxation of the problem. O(m n) time an
    iteration; memory: one copy of the costs.

    References
    ----------
    .. [1] T. Liu, J. Puigcerver, M. Blondel, "Sparsity-Constrained Optimal Transport",
       ICLR 2023. arXiv:2209.15466

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.transport import sparse_transport
    >>> cost = np.abs(np.arange(6)[:, None] - np.array([1, 4]))  # six towns, two depots
    >>> result = sparse_transport(None, None, cost, max_nonzeros=3)
    >>> result.plan.toarray().round(2).T
    array([[0.17, 0.17, 0.17, 0.  , 0.  , 0.  ],
           [0.  , 0.  , 0.  , 0.17, 0.17, 0.17]])
    """
    problem = Problem(*check_problem(a, b, cost, max_nonzeros, reg), max_nonzeros, reg)
    return solve(problem, tol, max_iter)


@validate_params(
    {"alpha": ["array-like"], **PROBLEM_CONSTRAINTS}, prefer_skip_nested_validation=True
)
def semi_dual_objective(alpha, a, b, cost, *, max_nonzeros, reg=1.0):
    """Compute the dual of k-sparse transport, and its gradient, at given potentials.

    Parameters
    ----------
    alpha : array-like of shape (m,)
        Potentials of the rows.

    a, b, cost, max_nonzeros, reg
        As in `sparse_transport`.

    Returns
    -------
    value : float
        At most the cost, with its regularisation, of any plan that is allowed.

    gradient : ndarray of shape (m,)
        What each row has left: ``a`` less the row sums of the plan at ``alpha``.

    Raises
    ------
    ValueError
        As `sparse_transport` does.

    Examples
    --------
    >>> from minimalml.transport import semi_dual_objective
    >>> value, gradient = semi_dual_objective(
    ...     [0.0, 0.0], None, None, [[0, 1], [2, 3]], max_nonzeros=1)
    >>> value, gradient
    (0.75, array([-0.5,  0.5]))
    """
    a, b, cost = check_problem(a, b, cost, max_nonzeros, reg)
    alpha = _check_vector(alpha, "alpha", len(a))
    return SemiDual(np.array(cost.T, order="C"), a, b, reg, max_nonzeros)(alpha)


def check_problem(a, b, cost, max_nonzeros, reg):
    """Return masses as float64 and costs as floats, or say what is wrong with them."""
    cost = check_array(
        cost,
        dtype=[np.float64, np.float32],
        ensure_non_negative=True,
        input_name="cost",
    )
    if not 0 < reg < np.inf:
        raise ValueError(
            f"reg must be above 0 and finite, got {reg}: use ot.emd for unregularised "
            "transport."
        )
    if max_nonzeros > len(cost):
        raise ValueError(
            f"max_nonzeros={max_nonzeros} but cost has {len(cost)} rows: a column can "
            "have at most so many non-zeros."
        )
    masses = []
    for name, mass, size in zip("ab", (a, b), cost.shape, strict=True):
        if mass is not None:
            mass = _check_vector(mass, name, size, ensure_non_negative=True)
        masses.append(mass)
    total = next((mass.sum() for mass in masses if mass is not None), 1.0)
    a, b = (
        np.full(size, total / size) if mass is None else mass
        for mass, size in zip(masses, cost.shape, strict=True)
    )
    if not 0 < b.sum() < np.inf or abs(a.sum() - b.sum()) > 1e-8 * b.sum():
        raise ValueError(
            f"a and b must have the same mass, above 0: a sums to {a.sum():.10g} and b "
            f"to {b.sum():.10g}."
        )
    return a * (b.sum() / a.sum()), b, cost


def _check_vector(values, name, size, **options):
    values = check_array(
        values, dtype=np.float64, ensure_2d=False, input_name=name, **options
    )
    if values.shape not in ((size,), (size, 1)):
        raise ValueError(
            f"{name} has shape {values.shape} but cost asks for {size} entries."
        )
    return values.reshape(size)


@dataclass
class Problem:
    """A checked problem, and its dual in units and rows that suit a solver.

    Rows without mass are left out. Units are powers of two: they change no digit, and so
    no tie.
    """

    a: np.ndarray
    b: np.ndarray
    cost: np.ndarray
    max_nonzeros: int
    reg: float

    def __post_init__(self):
        self.has_mass = self.a > 0
        _check_coverage(
            self.max_nonzeros, self.has_mass.sum(), np.count_nonzero(self.b)
        )
        cost = self.cost if self.has_mass.all() else self.cost[self.has_mass]
        costs, cost_range = np.array(cost.T, order="C"), np.ptp(cost)
        self.cost_unit, self.mass_unit = _exponent(cost_range), _exponent(self.b.sum())
        with np.errstate(over="ignore"):
            reg = np.ldexp(float(self.reg), self.mass_unit - self.cost_unit)
        if not 0 < reg < np.inf:
            raise ValueError(
                f"reg={self.reg} is out of all proportion to costs that range over "
                f"{cost_range:.3g}."
            )
        self.dual = SemiDual(
            np.ldexp(costs, -self.cost_unit, out=costs),
            np.ldexp(self.a[self.has_mass], -self.mass_unit),
            np.ldexp(self.b, -self.mass_unit),
            reg,
            min(self.max_nonzeros, costs.shape[1]),
        )

    def result(self, alpha, n_iter, tol):
        """Return what potentials of the dual say, in the user's units and rows."""
        value, gradient = self.dual(alpha)
        plan, beta = self.dual.plan(alpha)
        plan = csc_array(
            (
                np.ldexp(plan.data, self.mass_unit).astype(self.cost.dtype, copy=False),
                np.flatnonzero(self.has_mass)[plan.indices],
                plan.indptr,
            ),
            shape=self.cost.shape,
        )
        potentials, beta = np.empty(len(self.a)), np.ldexp(beta, self.cost_unit)
        potentials[self.has_mass] = np.ldexp(alpha, self.cost_unit)
        # as high as no column takes notice of
        idle = self.cost[~self.has_mass]
        potentials[~self.has_mass] = (idle - beta).min(axis=1)
        return TransportResult(
            plan,
            potentials,
            beta,
            value=float(np.ldexp(value, self.cost_unit + self.mass_unit)),
            transport_cost=float(plan.multiply(self.cost).sum(dtype=np.float64)),
            row_violation=float(np.abs(gradient).sum() / self.dual.b.sum()),
            n_iter=n_iter,
            converged=bool(np.abs(gradient).max() <= tol * self.dual.a.max()),
        )


def _check_coverage(max_nonzeros, n_rows, n_columns):
    if max_nonzeros * n_columns < n_rows:
        raise ValueError(
            f"max_nonzeros={max_nonzeros} lets {n_columns} columns reach at most "
            f"{max_nonzeros * n_columns} of the {n_rows} rows that have mass: give at "
            f"least {-(-n_rows // n_columns)}."
        )


def _exponent(size):
    """Return the exponent of the least power of two that is at least ``size``."""
    fraction, exponent = np.frexp(np.float64(size))
    return int(exponent) - int(fraction == 0.5)


def solve(problem, tol, max_iter, goes_on=lambda alpha, n_iter: True):
    """Maximise the dual; ``goes_on`` is asked after each iteration."""
    alpha, n_iter = maximize(problem.dual, tol, max_iter, goes_on)
    result = problem.result(alpha, n_iter, tol)
    if result.row_violation > BAD_ROWS:
        _warn_of_rows(result, problem.dual, max_iter)
    return result


def _warn_of_rows(result, dual, max_iter):
    n_full = np.count_nonzero(np.diff(result.plan.indptr) == dual.max_nonzeros)
    if n_full and dual.max_nonzeros < len(dual.a):
        reason = (
            f"max_nonzeros={dual.max_nonzeros} binds in {n_full} columns, where equal "
            "entries compete for the last place. Raise max_nonzeros, or lower reg."
        )
    else:
        reason = (
            f"L-BFGS ended after {result.n_iter} iterations (max_iter={max_iter}). "
            "Raise max_iter, or reg."
        )
    warnings.warn(
        f"Rows are off by {result.row_violation:.2g} of the mass: {reason}",
        ConvergenceWarning,
        stacklevel=5,
    )
