"""k-sparse transport: what it reduces to, its invariants, oracles, kernel, bad input."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import check_grad, linear_sum_assignment
from sklearn.exceptions import ConvergenceWarning

from minimalml.transport import (
    project_sparse_simplex,
    semi_dual_objective,
    sparse_transport,
)
from minimalml.transport._sparse_transport import _dual
from minimalml.transport._sparse_transport._projection import project_largest

# Values of the dual where rows are exact, and where k binds and a line search may stall
EXACT, STALLED = 1e-7, 2e-4

pytestmark = pytest.mark.filterwarnings("ignore:Rows are off")


def problem(seed, m=7, n=6):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.5, 1.5, m), rng.uniform(0.5, 1.5, n)
    return a / a.sum(), b / b.sum(), rng.uniform(size=(m, n))


def objective(alpha, a, b, cost, k, reg):
    return semi_dual_objective(alpha, a, b, cost, max_nonzeros=k, reg=reg)[0]


def k_support_programme(a, b, cost, k, reg):
    """Solve the convex relaxation by an interior-point method."""
    cp = pytest.importorskip("cvxpy")
    m, n = cost.shape
    plan, share = cp.Variable((m, n), nonneg=True), cp.Variable((m, n), nonneg=True)
    squares = [
        cp.quad_over_lin(plan[i, j], share[i, j]) for i in range(m) for j in range(n)
    ]
    value = cp.sum(cp.multiply(cost, plan)) + reg / 2 * sum(squares)
    rules = [cp.sum(plan, 1) == a, cp.sum(plan, 0) == b, share <= 1]
    solved = cp.Problem(cp.Minimize(value), [*rules, cp.sum(share, 0) <= k])
    tight = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-11)
    solved.solve(solver="CLARABEL", **tight)
    return solved.value, plan.value


# What it reduces to


def test_all_rows_allowed_is_quadratic_transport():
    for seed, reg in itertools.product(range(3), (0.3, 3.0)):
        a, b, cost = problem(seed)
        result = sparse_transport(a, b, cost, max_nonzeros=7, reg=reg, tol=1e-9)
        _, plan = k_support_programme(a, b, cost, 7, reg)
        np.testing.assert_allclose(result.plan.toarray(), plan, atol=1e-6)
        potentials = result.alpha[:, None] + result.beta - cost
        by_potentials = np.maximum(potentials, 0) / reg
        np.testing.assert_allclose(result.plan.toarray(), by_potentials, atol=1e-12)
        np.testing.assert_allclose(result.plan.sum(axis=1), a, atol=1e-9)


def test_one_partner_is_unregularised_transport():
    ot = pytest.importorskip("ot")
    for seed in range(5):
        a, b, cost = problem(seed)
        value, log = ot.emd2(a, b, cost, log=True)
        ours = objective(log["u"], a, b, cost, 1, 0.7)
        assert ours == pytest.approx(value + 0.35 * (b**2).sum(), abs=1e-9)


def test_one_partner_and_equal_masses_is_an_assignment():
    cost = problem(3, 6, 6)[2]
    plan = sparse_transport(None, None, cost, max_nonzeros=1, reg=0.01).plan.toarray()
    np.testing.assert_array_equal(plan.argmax(axis=0)[linear_sum_assignment(cost)[1]], range(6))  # fmt: skip


# Oracles


def test_the_optimum_is_that_of_the_k_support_programme():
    n_binding = 0
    for seed, k in itertools.product(range(5), (2, 3)):
        a, b, cost = problem(seed)
        reg = (0.3, 3.0, 10.0)[seed % 3]
        result = sparse_transport(a, b, cost, max_nonzeros=k, reg=reg)
        value, _ = k_support_programme(a, b, cost, k, reg)
        bound = EXACT if result.converged else STALLED
        assert value - bound * value <= result.value <= value + EXACT * value
        n_binding += not result.converged
    assert n_binding > 3  # the hard case was among them


def test_no_potentials_exceed_the_relaxed_value(rng):
    a, b, cost = problem(1)
    value, _ = k_support_programme(a, b, cost, 3, 2.0)
    for _ in range(50):
        alpha = rng.normal(scale=0.3, size=7)
        assert objective(alpha, a, b, cost, 3, 2.0) <= value + 1e-9


def test_objective_is_that_of_pot_and_the_solution_no_worse(rng):
    smooth = pytest.importorskip("ot").smooth
    for seed in range(3):
        a, b, cost = problem(seed, 20, 30)
        alpha = rng.normal(size=20)
        regularization = smooth.SparsityConstrained(4, 2.0)
        theirs = smooth.semi_dual_obj_grad(alpha, a, b, cost, regularization)
        ours = semi_dual_objective(alpha, a, b, cost, max_nonzeros=4, reg=2.0)
        np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-9)
        np.testing.assert_allclose(ours[1], theirs[1], atol=1e-9)
        _, found = smooth.solve_semi_dual(a, b, cost, regularization, tol=1e-9)
        result = sparse_transport(a, b, cost, max_nonzeros=4, reg=2.0)
        assert result.value >= -found.fun - STALLED * abs(found.fun)


def test_projection_is_the_best_of_all_supports():
    @given(st.lists(st.integers(-6, 6), min_size=1, max_size=6), st.data())
    def check(values, data):
        v = np.array(values) / 3
        k = data.draw(st.integers(1, len(v)))
        total = data.draw(st.sampled_from([0.0, 0.5, 1.0, 7.0]))
        found = project_sparse_simplex(v, k, total=total)
        assert (found >= 0).all() and np.count_nonzero(found) <= k
        assert found.sum() == pytest.approx(total, abs=1e-12)
        again = project_sparse_simplex(found, k, total=total)
        np.testing.assert_allclose(again, found, atol=1e-12)
        best = min(
            distance_to_face(v, list(support), total)
            for r in range(1, k + 1)
            for support in itertools.combinations(range(len(v)), r)
        )
        assert ((v - found) ** 2).sum() == pytest.approx(best, abs=1e-9)

    def distance_to_face(v, support, total):
        point = np.zeros_like(v)
        point[support] = v[support] + (total - v[support].sum()) / len(support)
        return ((v - point) ** 2).sum() if (point >= 0).all() else np.inf

    check()


# Invariants


@given(st.integers(0, 10_000), st.integers(1, 6), st.sampled_from([1e-3, 1.0, 30.0]))
def test_columns_are_exact_and_sparse(seed, k, reg):
    a, b, cost = problem(seed, 5 + seed % 2, 6)
    k = min(k, len(a))
    result = sparse_transport(a, b, cost, max_nonzeros=k, reg=reg, max_iter=30)
    plan = result.plan.toarray()
    assert (plan >= 0).all() and (plan > 0).sum(axis=0).max() <= k
    assert (np.abs(plan.sum(axis=0) - b) <= 1e-12 * b).all()
    rows = np.abs(plan.sum(axis=1) - a).sum()
    assert result.row_violation == pytest.approx(rows, abs=1e-12)
    assert result.transport_cost == pytest.approx((plan * cost).sum())
    value, gradient = semi_dual_objective(
        result.alpha, a, b, cost, max_nonzeros=k, reg=reg
    )
    assert result.value == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(a - plan.sum(axis=1), gradient, atol=1e-12)


@given(st.integers(0, 10_000))
def test_the_dual_is_concave_and_falls_in_k_and_rises_in_reg(seed):
    a, b, cost = problem(seed)
    one, other = np.random.default_rng(seed).normal(size=(2, 7))
    for k, reg in itertools.product((1, 3, 7), (0.1, 2.0)):
        value = objective(one, a, b, cost, k, reg)
        chord = (value + objective(other, a, b, cost, k, reg)) / 2
        assert objective((one + other) / 2, a, b, cost, k, reg) >= chord - 1e-12
        assert objective(one, a, b, cost, k, 2 * reg) >= value - 1e-12
        if k < 7:
            assert objective(one, a, b, cost, k + 1, reg) <= value + 1e-12


def test_order_of_rows_and_columns_and_constants_do_not_matter(rng):
    a, b, cost = problem(5)
    rows, columns = rng.permutation(7), rng.permutation(6)
    result = sparse_transport(a, b, cost, max_nonzeros=4)
    other = sparse_transport(
        a[rows], b[columns], cost[rows][:, columns], max_nonzeros=4
    )
    np.testing.assert_allclose(
        other.plan.toarray(), result.plan.toarray()[rows][:, columns], atol=1e-6
    )
    alpha, of_rows, of_columns = rng.uniform(size=7), rng.uniform(size=7), rng.uniform(size=6)  # fmt: skip
    value, gradient = semi_dual_objective(alpha, a, b, cost, max_nonzeros=3)
    shifted = objective(alpha + 3.0, a, b, cost, 3, 1.0)
    assert shifted == pytest.approx(value)
    moved_cost = cost + of_rows[:, None] + of_columns
    moved = semi_dual_objective(alpha + of_rows, a, b, moved_cost, max_nonzeros=3)
    assert moved[0] == pytest.approx(value + of_rows @ a + of_columns @ b)
    np.testing.assert_allclose(moved[1], gradient, atol=1e-12)


def test_gradient_is_that_of_differences(rng):
    a, b, cost = problem(2)
    alpha = rng.normal(size=7)
    error = check_grad(
        lambda x: objective(x, a, b, cost, 3, 2.0),
        lambda x: semi_dual_objective(x, a, b, cost, max_nonzeros=3, reg=2.0)[1],
        alpha,
    )
    assert error < 1e-6


@pytest.mark.parametrize("unit", [2.0**-60, 1e-200, 1e150])
@pytest.mark.parametrize("mass", [1.0, 1e-100, 1e9])
def test_units_of_cost_and_mass_do_not_matter(unit, mass):
    a, b, cost = problem(4)
    result = sparse_transport(a, b, cost, max_nonzeros=3)
    scaled = sparse_transport(
        mass * a, mass * b, unit * cost, max_nonzeros=3, reg=unit / mass
    )
    assert scaled.value / mass / unit == pytest.approx(result.value, rel=1e-6)
    np.testing.assert_allclose(scaled.plan.sum(axis=0), mass * b, rtol=1e-12)


def test_rows_and_columns_without_mass_change_nothing():
    a, b, cost = problem(6)
    padded = np.pad(cost, ((2, 0), (0, 1)), constant_values=0.01)
    result = sparse_transport(a, b, cost, max_nonzeros=3)
    other = sparse_transport(
        np.r_[0, 0, a], np.r_[b, 0], padded, max_nonzeros=3
    )  # fmt: skip
    np.testing.assert_allclose(
        other.plan.toarray()[2:, :-1], result.plan.toarray(), atol=1e-12
    )
    assert other.value == pytest.approx(result.value, rel=1e-12)
    assert other.beta[-1] == pytest.approx((0.01 - result.alpha).min())
    at_potentials = objective(other.alpha, np.r_[0, 0, a], np.r_[b, 0], padded, 3, 1.0)
    assert at_potentials == pytest.approx(result.value, rel=1e-12)


def test_more_partners_are_easier_to_solve():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((2, 100, 2))
    cost = ((X[:, None] - Y) ** 2).sum(axis=-1)
    by_k = {
        k: sparse_transport(None, None, cost, max_nonzeros=k, reg=10.0)
        for k in (2, 10, 100)
    }
    assert by_k[2].n_iter == 1000 and not by_k[2].converged
    assert by_k[10].n_iter == by_k[100].n_iter < 100 and by_k[10].converged
    assert np.abs(by_k[10].plan - by_k[100].plan).max() < 1e-8


# Kernel


def column_by_brute_force(scores, b, k, reg):
    """Return h, theta and the column of the plan, over whole sorted arrays."""
    order = np.lexsort((np.arange(len(scores)), -scores))[:k]
    largest = scores[order]
    thetas = (largest.cumsum() - reg * b) / np.arange(1, k + 1)
    column = np.zeros(len(scores))
    column[order] = np.maximum(largest - thetas.max(), 0) / reg
    return scores @ column - reg / 2 * (column**2).sum(), thetas.max(), column


@pytest.mark.kernel
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 2, 5, 17])
@pytest.mark.parametrize("tied", [False, True])
def test_kernel_does_what_brute_force_does(rng, dtype, k, tied):
    costs = rng.uniform(size=(40, 17))  # (n, m)
    costs = (costs * 4).round() / 4 if tied else costs
    costs, alpha, b = costs.astype(dtype), rng.integers(3, size=17) / 4, rng.uniform(size=40)  # fmt: skip
    b[:2] = 0, 1e-30
    costs.flags.writeable = alpha.flags.writeable = b.flags.writeable = False
    reg = 0.7
    dual = _dual.SemiDual(costs, np.full(17, b.sum() / 17), b, reg, k)
    value, gradient = dual(alpha)
    plan, beta = dual.plan(alpha)
    expected = [
        column_by_brute_force(alpha - row, mass, k, reg)
        for row, mass in zip(costs.astype(float), b, strict=True)
    ]
    h, theta, columns = (np.array(part) for part in zip(*expected, strict=True))
    assert value == pytest.approx(alpha @ dual.a - h.sum())
    np.testing.assert_allclose(beta, -theta, atol=1e-12)
    np.testing.assert_allclose(plan.toarray(), columns.T, atol=1e-12)
    np.testing.assert_allclose(dual.a - gradient, columns.sum(axis=0), atol=1e-12)
    twin = project_largest((alpha - costs[2:3].astype(float)) / reg, k, b[2])
    np.testing.assert_allclose(twin[0], columns[2], atol=1e-12)


@pytest.mark.kernel
def test_threads_and_chunks_change_no_bit(rng, monkeypatch):
    dual = _dual.SemiDual(rng.uniform(size=(90, 50)), np.ones(50), np.ones(90), 3.0, 5)
    monkeypatch.setattr(_dual, "COSTS_PER_CHUNK", 500)
    alpha, found = rng.normal(size=50), []
    for n_threads in (1, 3):
        monkeypatch.setattr(_dual, "effective_n_threads", lambda *_, n=n_threads: n)
        plan, beta = dual.plan(alpha)
        found.append([dual(alpha)[1], plan.toarray(), beta])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


# Input


def test_float32_costs_give_a_float32_plan():
    a, b, cost = problem(6)  # where no equal entries compete, of which rounding chooses
    plan = sparse_transport(a, b, cost.astype(np.float32), max_nonzeros=3).plan
    assert plan.dtype == np.float32
    exact = sparse_transport(a, b, cost, max_nonzeros=3).plan
    np.testing.assert_allclose(plan.toarray(), exact.toarray(), atol=1e-3)


def test_warnings_say_what_is_in_the_way():
    with pytest.warns(ConvergenceWarning, match=r"max_nonzeros=2 binds in \d+ columns"):
        sparse_transport(None, None, np.ones((6, 6)), max_nonzeros=2)
    a, b, cost = problem(0)
    with pytest.warns(ConvergenceWarning, match=r"after 1 iterations \(max_iter=1\)"):
        sparse_transport(a, b, cost, max_nonzeros=7, reg=0.1, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sparse_transport([1.0], [1.0], [[2]], max_nonzeros=1)  # a single row and column


COST = np.ones((3, 2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a": [1, -1, 1]}, "Negative values.*a"),
        ({"b": [np.nan, 1]}, "Input b contains NaN"),
        ({"cost": -COST}, "Negative values.*cost"),
        ({"cost": COST * np.inf}, "Input cost contains infinity"),
        ({"cost": [1, 2]}, "Expected 2D array"),
        ({"cost": np.empty((3, 0))}, r"0 feature\(s\)"),
        ({"a": [1, 1, 1], "b": [1, 1]}, "a sums to 3 and b to 2"),
        ({"a": [0, 0, 0]}, "same mass, above 0"),
        ({"a": [1, 1]}, r"a has shape \(2,\) but cost asks for 3 entries"),
        ({"b": np.ones((2, 2))}, r"b has shape \(2, 2\)"),
        ({"max_nonzeros": 0}, r"'max_nonzeros'.*\[1, inf\). Got 0"),
        ({"max_nonzeros": 1.5}, "'max_nonzeros'.*Got 1.5"),
        ({"max_nonzeros": 4}, "max_nonzeros=4 but cost has 3 rows"),
        ({"max_nonzeros": 1}, "max_nonzeros=1 lets 2 columns reach at most 2 of the 3"),
        ({"max_nonzeros": 2, "b": [3, 0]}, "give at least 3"),
        ({"reg": 0}, "use ot.emd for unregularised"),
        ({"reg": np.inf}, "reg must be above 0 and finite"),
        ({"reg": 1e-300, "cost": COST * [1e100, 0]}, "out of all proportion"),
        ({"tol": -1}, "'tol'"),
        ({"max_iter": 0}, "'max_iter'"),
    ],
)
def test_bad_problems_are_refused(changes, message):
    given = {"a": None, "b": None, "cost": COST, "max_nonzeros": 3} | changes
    with pytest.raises(ValueError, match=message):
        sparse_transport(**given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], 2), "max_nonzeros=2 but vectors have 1 entries"),
        (([1.0, np.nan], 1), "Input v contains NaN"),
        (([1.0], 0), "'max_nonzeros'"),
    ],
)
def test_bad_vectors_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        project_sparse_simplex(*arguments)
    with pytest.raises(ValueError, match="'total'"):
        project_sparse_simplex([1.0], 1, total=-1)
    with pytest.raises(ValueError, match="axis=1 but v has 1 dim"):
        project_sparse_simplex([1.0], 1, axis=1)
