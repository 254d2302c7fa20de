import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minimalml.linear_model import _penalised_loss as losses
from minimalml.linear_model import (
    accelerated_proximal_gradient,
    proximal_conjugate_gradient,
)
from minimalml.linear_model._penalised_loss import (
    LogisticLoss,
    SquaredLoss,
    largest_eigenvalue,
    minimise,
)
from minimalml.linear_model._penalties import make_penalty
from minimalml.linear_model._proximal import _conjugate_direction, soft_threshold
from tests.linear_model.nonconvex.problems import (
    SLOPES,
    VALUES,
    correlated_table,
    share_of_largest_alpha,
    standardised,
    violation,
)

SOLVERS = ["accelerated", "conjugate_gradient"]
alphas = st.floats(0.01, 10)
coefs = st.floats(-100, 100)


# --- penalties ---


@given(alpha=alphas, coef=arrays(float, 3, elements=coefs))
@pytest.mark.parametrize("name", VALUES)
def test_penalties_are_those_of_the_papers(name, alpha, coef):
    expected = sum(VALUES[name](t, alpha) for t in coef)
    assert make_penalty(name, alpha).value(coef) == pytest.approx(expected, abs=1e-9)


@given(alpha=alphas, t=coefs)
@pytest.mark.parametrize("name", VALUES)
def test_slope_is_that_of_l1_plus_the_concave_part(name, alpha, t):
    penalty = make_penalty(name, alpha)
    slope = alpha * np.sign(t) + penalty.concave_gradient(np.array([t]))[0]
    expected = np.sign(t) * SLOPES[name](abs(t), alpha)
    assert slope == pytest.approx(expected, abs=1e-9)


@given(alpha=alphas, t=st.floats(0, 10))
@pytest.mark.parametrize("name", ["scad", "mcp"])
def test_a_large_concavity_is_l1(name, alpha, t):
    far = make_penalty(name, alpha, concavity=1e12)
    assert far.value(np.array([t])) == pytest.approx(alpha * t, rel=1e-6, abs=1e-9)


@given(alpha=alphas, a=coefs, b=coefs)
@pytest.mark.parametrize("name", ["scad", "mcp"])
def test_the_concave_part_keeps_its_bound_on_the_curvature(name, alpha, a, b):
    penalty = make_penalty(name, alpha)
    first, second = penalty.concave_gradient(np.array([a, b]))
    assert abs(first - second) <= penalty.curvature * abs(a - b) + 1e-9
    rise = penalty.concave_gradient(penalty.cap) - penalty.concave_gradient(
        penalty.start
    )
    assert -rise == pytest.approx(penalty.curvature * (penalty.cap - penalty.start))


@pytest.mark.parametrize("name", VALUES)
def test_a_coefficient_of_strength_zero_is_free(name):
    penalty = make_penalty(name, np.array([1.0, 0.0]))
    assert penalty.value(np.array([0.0, 7.0])) == 0
    assert penalty.concave_gradient(np.array([0.0, 7.0])).tolist() == [0, 0]


@given(x=arrays(float, 4, elements=coefs), threshold=st.floats(0, 50))
def test_soft_threshold_moves_towards_zero(x, threshold):
    expected = np.sign(x) * np.maximum(np.abs(x) - threshold, 0)
    np.testing.assert_allclose(soft_threshold(x, threshold), expected, atol=1e-12)


# --- losses ---


@pytest.mark.parametrize("shape", [(30, 4), (6, 4)])
def test_squared_loss_is_the_sum_of_squares_however_many_rows(shape, rng):
    A, b, coef = rng.normal(size=shape), rng.normal(size=shape[0]), rng.normal(size=4)
    loss, residual = SquaredLoss(A, b), b - A @ coef
    assert loss.value(coef) == pytest.approx(residual @ residual / 2)
    np.testing.assert_allclose(loss.gradient(coef), -A.T @ residual, atol=1e-12)
    assert loss.curvature() == pytest.approx(np.linalg.norm(A, 2) ** 2)


def test_logistic_loss_has_the_gradient_of_its_value(rng):
    A, y, weights = (
        rng.normal(size=(9, 3)),
        np.arange(9) % 2.0,
        rng.dirichlet(np.ones(9)),
    )
    loss, coef = LogisticLoss(A, y, weights), rng.normal(size=3)
    logits = A @ coef
    expected = weights @ (np.log1p(np.exp(logits)) - y * logits)
    assert loss.value(coef) == pytest.approx(expected)
    step = 1e-6 * np.eye(3)
    slope = [(loss.value(coef + e) - loss.value(coef - e)) / 2e-6 for e in step]
    np.testing.assert_allclose(loss.gradient(coef), slope, atol=1e-8)


@pytest.mark.parametrize("shape", [(40, 30), (30, 40)])
def test_power_iteration_is_a_bound_on_the_eigenvalue(shape, rng, monkeypatch):
    A = rng.normal(size=shape)
    exact = largest_eigenvalue(A)
    monkeypatch.setattr(losses, "LARGEST_EXACT", 10)
    assert exact <= largest_eigenvalue(A) <= 1.06 * exact
    assert largest_eigenvalue(np.zeros(shape)) == 0


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_bound_that_is_none_is_doubled_until_the_objective_falls(solver, rng):
    A, b = rng.normal(size=(20, 5)), rng.normal(size=20)
    loss, penalty = SquaredLoss(A, b), make_penalty("mcp", 0.1, 50.0)
    with np.errstate(all="ignore"):  # it overflows before that
        result, objective = minimise(
            loss, penalty, np.zeros(5), solver=solver, curvature=0.5
        )
    assert result.converged and objective < loss.value(np.zeros(5))


# --- solvers ---


def by_solver(name, gradient, objective, start, **options):
    if name == "accelerated":
        return accelerated_proximal_gradient(gradient, start, **options)
    return proximal_conjugate_gradient(gradient, objective, start, **options)


def regression(correlation, seed, name="scad"):
    """Return loss, penalty and curvature of a table that is hard for its correlation."""
    X, y, _ = correlated_table(200, 500, correlation, seed)
    alpha = share_of_largest_alpha(X, y)
    X, y = standardised(X, y)
    loss = SquaredLoss(X / np.sqrt(200), y / np.sqrt(200))
    return loss, make_penalty(name, alpha), loss.curvature()


def count_plain_iterations(loss, penalty, curvature):
    """Proximal gradient without acceleration, to the same tolerance."""
    step, x = 0.99 / curvature, np.zeros(loss.design.shape[1])
    for n_iter in range(1, 10_000):
        slope = loss.gradient(x) + penalty.concave_gradient(x)
        new = soft_threshold(x - step * slope, step * penalty.threshold)
        if np.abs(new - x).max() < 1e-6 * step:
            return n_iter
        x = new


@pytest.mark.parametrize("name", ["scad", "mcp"])
def test_acceleration_halves_the_iterations_where_columns_are_correlated(name):
    for seed in range(3):
        loss, penalty, curvature = regression(0.9, seed, name)
        result, _ = minimise(loss, penalty, np.zeros(500), curvature=curvature)
        plain = count_plain_iterations(loss, penalty, curvature)
        assert result.converged and result.n_iter <= plain / 2


def test_conjugate_directions_save_iterations_where_columns_are_correlated():
    loss, penalty, curvature = regression(0.9, 0)
    counts = [
        minimise(loss, penalty, np.zeros(500), solver=solver, curvature=curvature)[0]
        for solver in SOLVERS
    ]
    assert counts[1].n_iter <= 0.6 * counts[0].n_iter


@given(vectors=arrays(float, (3, 4), elements=st.floats(-9, 9)))
def test_conjugate_directions_descend_as_hager_and_zhang_prove(vectors):
    shift, new, direction = vectors
    assume(shift.any() and abs(direction @ (new - shift)) > 1e-3)
    found = _conjugate_direction(shift, new, direction)
    assert found @ new <= -7 / 8 * (new @ new) + 1e-6


def test_accelerated_steps_are_those_of_the_formulas():
    loss, penalty, curvature = regression(0.5, 0)
    step, x, mean, middle = 0.99 / curvature, *(np.zeros(500) for _ in range(3))
    damping, since, norms = 1.0, 1, [0.0]
    for _ in range(40):
        last, middle = middle, (1 - damping) * mean + damping * x
        slope = loss.gradient(middle) + penalty.concave_gradient(middle)
        x = x - step / damping * slope
        x = np.sign(x) * np.maximum(np.abs(x) - step / damping * penalty.threshold, 0)
        mean = middle - step * slope
        mean = np.sign(mean) * np.maximum(np.abs(mean) - step * penalty.threshold, 0)
        norms.append(np.sqrt(((middle - last) ** 2).sum()))
        restart = since >= 3 and norms[-1] < norms[-2]
        damping = 1.0 if restart else 2 / (1 + np.sqrt(1 + 4 / damping**2))
        since = 1 if restart else since + 1
    result, _ = minimise(
        loss, penalty, np.zeros(500), curvature=curvature, max_iter=40, tol=0
    )
    np.testing.assert_allclose(result.x, mean, atol=1e-10)


@pytest.mark.parametrize("name", ["scad", "mcp"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("correlation", [0.5, 0.9])
def test_results_are_stationary_and_exactly_sparse(solver, name, correlation):
    loss, penalty, _ = regression(correlation, 0, name)
    result, objective = minimise(loss, penalty, np.zeros(500), solver=solver)
    found = violation(loss.gradient(result.x), result.x, name, penalty.threshold)
    assert result.converged and found == pytest.approx(result.stationarity, abs=1e-9)
    assert found < 1e-6 and np.count_nonzero(result.x) < 50
    assert objective <= loss.value(np.zeros(500))


@given(seed=st.integers(0, 1000), start=arrays(float, 8, elements=st.floats(-3, 3)))
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_objective_ends_no_higher_than_it_began(solver, seed, start):
    rng = np.random.default_rng(seed)
    A, b = rng.normal(size=(6, 8)), rng.normal(size=6)
    loss, penalty = SquaredLoss(A, b), make_penalty("scad", 0.5, 2.5)
    result, objective = minimise(loss, penalty, start, solver=solver)
    before = loss.value(start) + penalty.value(start)
    assert objective <= before + 1e-9
    assert result.converged


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_convex_case_is_that_of_a_convex_solver(solver, rng):
    A, b, weights = rng.normal(size=(20, 8)), rng.normal(size=20), np.arange(8) / 2
    cvxpy = pytest.importorskip("cvxpy")
    x = cvxpy.Variable(8)
    cost = cvxpy.sum_squares(A @ x - b) / 2 + weights @ cvxpy.abs(x)
    cvxpy.Problem(cvxpy.Minimize(cost)).solve(
        solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12
    )
    result = by_solver(
        solver,
        lambda x: A.T @ (A @ x - b),
        lambda x: ((A @ x - b) ** 2).sum() / 2 + weights @ np.abs(x),
        np.zeros(8),
        threshold=weights,
        lipschitz=np.linalg.norm(A, 2) ** 2,
        tol=1e-9,
    )
    np.testing.assert_allclose(result.x, x.value, atol=1e-6)
    assert result.converged and result.stationarity < 1e-9


@pytest.mark.parametrize("solver", SOLVERS)
def test_it_stops_after_max_iter(solver):
    scales = np.logspace(-3, 0, 20)
    result = by_solver(
        solver, lambda x: scales * (x - 1), lambda x: scales @ (x - 1) ** 2 / 2,
        np.zeros(20), threshold=0.0, lipschitz=1.0, max_iter=3,
    )  # fmt: skip
    assert result.n_iter == 3 and not result.converged and result.stationarity > 1e-3


def test_conjugate_gradients_mend_a_bound_that_is_too_small():
    result = proximal_conjugate_gradient(
        lambda x: 1e3 * (x**3 - 1), lambda x: 1e3 * (x**4 / 4 - x).sum(), np.zeros(2),
        threshold=0.0, lipschitz=1.0,
    )  # fmt: skip
    assert result.converged
    np.testing.assert_allclose(result.x, 1)


def test_the_accelerated_solver_says_that_it_diverged():
    with np.errstate(all="ignore"):  # it overflows
        result = accelerated_proximal_gradient(
            lambda x: 1e3 * x, np.ones(2), threshold=0.0, lipschitz=1.0
        )
    assert not result.converged and result.n_iter < 5000


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"start": np.ones((2, 2))}, "start must be one-dimensional"),
        ({"start": [1.0, np.nan]}, "start contains NaN"),
        ({"threshold": [1.0, 1.0, 1.0]}, "threshold a number or of its shape"),
        ({"threshold": [-1.0, 1.0]}, "threshold must be at least 0"),
        ({"threshold": -1.0}, "'threshold' parameter"),
        ({"lipschitz": 0.0}, "'lipschitz' parameter"),
        ({"max_iter": 0}, "'max_iter' parameter"),
        ({"tol": -1.0}, "'tol' parameter"),
        ({"gradient": lambda x: x[:1]}, "gradient must return an array of the shape"),
    ],
)
def test_bad_input_of_the_solvers_is_refused(solver, changed, words):
    good = {
        "gradient": lambda x: x, "objective": lambda x: x @ x / 2, "start": np.ones(2),
        "threshold": 0.0, "lipschitz": 1.0,
    }  # fmt: skip
    with pytest.raises(ValueError, match=words):
        by_solver(solver, **(good | changed))
