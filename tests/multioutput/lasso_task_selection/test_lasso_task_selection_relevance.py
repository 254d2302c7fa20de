"""Relevance of sources: linear program, least squares, Lasso and its path."""

import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Lasso

from minimalml.multioutput import (
    relevance_l1,
    relevance_l2,
    relevance_lasso,
    relevance_path,
)
from minimalml.multioutput._lasso_task_selection import _relevance
from minimalml.multioutput._lasso_task_selection._relevance import (
    distinct_columns,
    lambda_by_discrepancy,
)

ORACLE_TOLERANCE = 1e-6  # what the interior-point oracle is told to reach
ROUNDING = 1e-9


@st.composite
def head_problems(draw, min_extra=0, max_tasks=26):
    """Random heads with at least as many sources as rows, and a target."""
    k = draw(st.integers(1, 6))
    n_tasks = draw(st.integers(k + min_extra, min(k + 20, max_tasks)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.standard_normal((k, n_tasks)), rng.standard_normal(k)


def l1_oracle(W, w0, weights=1.0, penalty=None):
    """cvxpy: exact for ``penalty=None``, else the Lasso."""
    cvxpy = pytest.importorskip("cvxpy")
    nu = cvxpy.Variable(W.shape[1])
    norm = cvxpy.sum(cvxpy.multiply(weights * np.ones(W.shape[1]), cvxpy.abs(nu)))
    if penalty is None:
        problem = cvxpy.Problem(cvxpy.Minimize(norm), [W @ nu == w0])
    else:
        loss = 0.5 * cvxpy.sum_squares(W @ nu - w0)
        problem = cvxpy.Problem(cvxpy.Minimize(loss + penalty * norm))
    problem.solve(solver="CLARABEL")
    return nu.value, problem.value


def lasso_objective(W, w0, nu, penalty, weights=1.0):
    return 0.5 * np.sum((W @ nu - w0) ** 2) + penalty * np.sum(weights * np.abs(nu))


def test_lasso_with_one_source_is_soft_thresholding():
    nu = relevance_lasso([[2.0]], [3.0], 1.0, relative=False)
    assert nu == pytest.approx((2 * 3 - 1) / 4)


def test_lasso_equals_scikit_learn():
    rng = np.random.default_rng(0)
    W, w0 = rng.standard_normal((8, 30)), rng.standard_normal(8)
    penalty = 0.1 * np.abs(W.T @ w0).max()
    model = Lasso(penalty / 8, fit_intercept=False, tol=1e-12, max_iter=100_000)
    expected = model.fit(W, w0).coef_
    np.testing.assert_allclose(relevance_lasso(W, w0, 0.1), expected, atol=1e-7)


@given(head_problems())
def test_both_norms_are_feasible_and_each_is_smallest_in_its_own(problem):
    W, w0 = problem
    l1, l2 = relevance_l1(W, w0), relevance_l2(W, w0)
    np.testing.assert_allclose(W @ l1, w0, atol=1e-7 * np.linalg.norm(w0))
    np.testing.assert_allclose(W @ l2, w0, atol=1e-7 * np.linalg.norm(w0))
    assert np.abs(l1).sum() <= np.abs(l2).sum() * (1 + ROUNDING)
    assert np.linalg.norm(l2) <= np.linalg.norm(l1) * (1 + ROUNDING)
    assert np.count_nonzero(l1) <= len(w0)


@given(head_problems(), st.floats(0.001, 0.999))
def test_lasso_is_optimal(problem, share):
    W, w0 = problem
    penalty = share * np.abs(W.T @ w0).max()
    nu = relevance_lasso(W, w0, penalty, relative=False)
    gradient = W.T @ (w0 - W @ nu)
    slack = 1e-6 * np.abs(W.T @ w0).max()
    assert np.abs(gradient).max() <= penalty + slack
    used = nu != 0
    np.testing.assert_allclose(gradient[used], penalty * np.sign(nu[used]), atol=slack)


@given(head_problems(), st.floats(1.0, 10.0))
def test_lasso_from_its_largest_penalty_on_is_zero(problem, share):
    assert not relevance_lasso(*problem, share).any()


@given(head_problems(min_extra=2))
def test_lasso_tends_to_the_linear_program(problem):
    W, w0 = problem
    small, exact = relevance_lasso(W, w0, 1e-9), relevance_l1(W, w0)
    assert np.abs(small).sum() == pytest.approx(np.abs(exact).sum(), rel=1e-5)


@given(st.integers(0, 1000), st.integers(2, 6), st.integers(2, 12))
def test_a_target_that_is_a_source_needs_only_that_source(seed, k, n_tasks):
    heads = np.random.default_rng(seed).standard_normal((k, n_tasks))
    heads /= np.linalg.norm(heads, axis=0)
    nu = relevance_l1(heads, heads[:, 1])
    np.testing.assert_allclose(nu, np.eye(n_tasks)[1], atol=1e-8)


def last_of_path(W, w0):
    return relevance_path(W, w0).relevance[:, -1]


@pytest.mark.parametrize("unit", [1e-200, 1e-150, 1e150])
@pytest.mark.parametrize(
    "solve", [relevance_l1, relevance_l2, relevance_lasso, last_of_path]
)
def test_heads_whose_squares_leave_the_range_of_floats(solve, unit):
    rng = np.random.default_rng(0)
    W, w0 = rng.standard_normal((5, 12)), rng.standard_normal(5)
    np.testing.assert_allclose(solve(unit * W, unit * w0), solve(W, w0), atol=1e-9)
    np.testing.assert_allclose(solve(unit * W, w0) * unit, solve(W, w0), atol=1e-9)


@pytest.mark.parametrize("solve", [relevance_l1, relevance_l2, relevance_lasso])
@given(problem=head_problems(min_extra=1), scale=st.floats(0.1, 10.0))
def test_scaling_the_target_scales_and_rotating_all_leaves(solve, problem, scale):
    W, w0 = problem
    nu = solve(W, w0)
    largest = np.abs(nu).max()
    np.testing.assert_allclose(
        solve(W, scale * w0), scale * nu, atol=1e-6 * largest * scale
    )
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((len(W), len(W))))[0]
    np.testing.assert_allclose(solve(turn @ W, turn @ w0), nu, atol=1e-6 * largest)


@given(head_problems(min_extra=1))
def test_path_passes_through_the_lasso(problem):
    W, w0 = problem
    path = relevance_path(W, w0)
    assert path.lambdas[0] == pytest.approx(np.abs(W.T @ w0).max())
    assert np.all(np.diff(path.lambdas) <= 0)
    middle = (path.lambdas[0] + path.lambdas[1]) / 2
    between = path.relevance[:, :2].mean(axis=1)
    atol = 1e-7 * np.abs(path.relevance).max()
    nu = relevance_lasso(W, w0, middle, relative=False)
    np.testing.assert_allclose(nu, between, atol=atol)


def test_several_targets_are_solved_as_one_by_one():
    rng = np.random.default_rng(3)
    W, targets = rng.standard_normal((5, 40)), rng.standard_normal((5, 3))
    for solve in (relevance_l1, relevance_l2, relevance_lasso):
        together = solve(W, targets)
        assert together.shape == (40, 3)
        for column, target in zip(together.T, targets.T, strict=True):
            np.testing.assert_allclose(column, solve(W, target), atol=1e-10)
    paths = relevance_path(W, targets)
    assert [len(path.relevance) for path in paths] == [40] * 3


def test_few_sources_use_the_gram_matrix_and_agree():
    rng = np.random.default_rng(4)
    W, w0 = rng.standard_normal((30, 6)), rng.standard_normal(30)
    expected, _ = l1_oracle(W, w0, penalty=0.05 * np.abs(W.T @ w0).max())
    np.testing.assert_allclose(relevance_lasso(W, w0), expected, atol=1e-5)


def smallest_l1_by_brute_force(W, w0):
    """Best of all basic solutions, basis by basis: the linear program's definition."""
    norms = [
        np.abs(np.linalg.solve(W[:, basis], w0)).sum()
        for basis in map(list, combinations(range(W.shape[1]), len(W)))
    ]
    return min(norms)


@pytest.mark.parametrize("is_path", [True, False])
@given(head_problems(max_tasks=10))
def test_linear_program_agrees_with_brute_force_over_supports(is_path, problem):
    with pytest.MonkeyPatch.context() as patch:
        if not is_path:
            patch.setattr(_relevance, "_end_of_path", lambda rows, value: None)
        norm = np.abs(relevance_l1(*problem)).sum()
    assert norm == pytest.approx(smallest_l1_by_brute_force(*problem), rel=1e-8)


@pytest.mark.parametrize("size", [3, 4])
def test_a_path_that_ends_elsewhere_is_not_taken_for_the_linear_program(
    monkeypatch, size
):
    """Any basis is feasible; only the dual tells that one is not the best."""
    rng = np.random.default_rng(0)
    W, w0 = rng.standard_normal((4, 9)), rng.standard_normal(4)
    wrong = np.zeros(9)
    wrong[:size] = np.linalg.lstsq(W[:, :size], w0, rcond=None)[0]
    monkeypatch.setattr(
        _relevance, "lars_path", lambda *a, **k: (np.ones(1), None, wrong[:, None])
    )
    norm = np.abs(relevance_l1(W, w0)).sum()
    assert norm == pytest.approx(smallest_l1_by_brute_force(W, w0), rel=1e-8)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("has_weights", [False, True])
def test_linear_program_agrees_with_cvxpy(seed, has_weights):
    rng = np.random.default_rng(seed)
    W, w0 = rng.standard_normal((4, 15)), rng.standard_normal(4)
    weights = rng.uniform(0.5, 2, 15) if has_weights else np.ones(15)
    nu = relevance_l1(W, w0, weights=weights)
    expected, norm = l1_oracle(W, w0, weights)
    assert weights @ np.abs(nu) == pytest.approx(norm, rel=ORACLE_TOLERANCE)
    np.testing.assert_allclose(nu, expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("has_weights", [False, True])
@pytest.mark.parametrize("is_lars", [True, False])
def test_lasso_agrees_with_cvxpy(seed, has_weights, is_lars, monkeypatch):
    if not is_lars:
        monkeypatch.setattr(_relevance, "LARS_MAX_RANK", 0)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    rng = np.random.default_rng(seed)
    W, w0 = rng.standard_normal((4, 15)), rng.standard_normal(4)
    weights = rng.uniform(0.5, 2, 15) if has_weights else np.ones(15)
    nu = relevance_lasso(W, w0, 0.1, False, weights)
    _, smallest = l1_oracle(W, w0, weights, penalty=0.1)
    found = lasso_objective(W, w0, nu, 0.1, weights)
    assert found == pytest.approx(smallest, rel=ORACLE_TOLERANCE)


@pytest.mark.slow  # numba compiles
def test_skglm_reaches_the_same_objective(monkeypatch):
    pytest.importorskip("skglm")
    rng = np.random.default_rng(0)
    W, w0 = rng.standard_normal((20, 50)), rng.standard_normal(20)
    penalty = 0.05 * np.abs(W.T @ w0).max()
    expected = lasso_objective(W, w0, relevance_lasso(W, w0), penalty)
    monkeypatch.setattr(_relevance, "LARS_MAX_RANK", 0)
    found = lasso_objective(W, w0, relevance_lasso(W, w0), penalty)
    assert found == pytest.approx(expected, rel=ORACLE_TOLERANCE)


def test_nearly_equal_sources_still_give_the_optimum():
    rng = np.random.default_rng(1)
    half, w0 = rng.standard_normal((6, 20)), rng.standard_normal(6)
    W = np.hstack([half, half + 1e-9 * rng.standard_normal(half.shape)])
    penalty = 0.05 * np.abs(W.T @ w0).max()
    nu = relevance_lasso(W, w0)
    _, smallest = l1_oracle(W, w0, penalty=penalty)
    assert lasso_objective(W, w0, nu, penalty) == pytest.approx(smallest, rel=1e-5)


def test_path_falls_back_where_sources_nearly_coincide(monkeypatch):
    rng = np.random.default_rng(1)
    W, w0 = rng.standard_normal((6, 20)), rng.standard_normal(6)
    monkeypatch.setattr(_relevance, "OPTIMALITY_TOLERANCE", -1)
    path = relevance_path(W, w0)
    assert len(path.lambdas) == 100
    atol = 1e-4 * np.abs(path.relevance).max()
    nu = relevance_lasso(W, w0, path.lambdas[50], relative=False)
    np.testing.assert_allclose(path.relevance[:, 50], nu, atol=atol)


def test_of_equal_sources_the_first_is_used_and_the_total_kept():
    rng = np.random.default_rng(2)
    W, w0 = rng.standard_normal((3, 8)), rng.standard_normal(3)
    doubled = np.hstack([W, W, -W])
    assert len(distinct_columns(doubled)) == 8
    for solve in (relevance_l1, relevance_lasso):
        nu = solve(doubled, w0)
        np.testing.assert_allclose(nu[:8], solve(W, w0), atol=1e-10)
        assert not nu[8:].any()


def test_refit_takes_back_the_shrinkage():
    rng = np.random.default_rng(5)
    W = rng.standard_normal((6, 12))
    truth = np.zeros(12)
    truth[[2, 7]] = 1.0, -0.5
    nu = relevance_lasso(W, W @ truth, 0.2, refit=True)
    used = np.flatnonzero(nu)
    fitted = np.linalg.lstsq(W[:, used], W @ truth, rcond=None)[0]
    np.testing.assert_allclose(nu[used], fitted, atol=1e-10)


@given(head_problems(min_extra=1), st.floats(0.05, 0.95))
def test_discrepancy_meets_the_residual_it_is_given(problem, share):
    W, w0 = problem
    length = share * np.linalg.norm(w0)
    lambda_ = lambda_by_discrepancy(relevance_path(W, w0), W, w0, length)
    nu = relevance_lasso(W, w0, lambda_, relative=False)
    assert np.linalg.norm(W @ nu - w0) == pytest.approx(length, rel=1e-5)


def test_discrepancy_takes_the_ends_of_the_path():
    W, w0 = np.eye(2), np.array([0.8, 0.6])
    path = relevance_path(W, w0)
    assert lambda_by_discrepancy(path, W, w0, 2.0) == path.lambdas[0]
    outside = path._replace(relevance=0.5 * path.relevance)
    assert lambda_by_discrepancy(outside, W, w0, 0.1) == path.lambdas[-1]


@pytest.mark.parametrize("solve", [relevance_l1, relevance_l2, relevance_lasso])
def test_a_zero_target_is_warned_of_and_needs_nothing(solve):
    with pytest.warns(UserWarning, match="w0 is zero"):
        assert not solve(np.eye(3), np.zeros(3)).any()


def test_a_target_outside_the_span_is_projected_with_the_ratio():
    W = np.array([[1.0, 2.0], [0.0, 0.0]])
    with pytest.warns(UserWarning, match="outside the span.*0.8 of its length"):
        nu = relevance_l1(W, [0.6, 0.8])
    np.testing.assert_allclose(nu, [0, 0.3], atol=1e-9)


@pytest.mark.parametrize(
    "solve", [relevance_l1, relevance_l2, relevance_lasso, relevance_path]
)
def test_bad_heads_are_named(solve):
    with pytest.raises(ValueError, match="W must be 2-dimensional"):
        solve(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match=r"as many rows as W, 3, got shape \(2,\)"):
        solve(np.eye(3), np.ones(2))
    with pytest.raises(ValueError, match="W contains NaN"):
        solve(np.full((2, 2), np.nan), np.ones(2))
    with pytest.raises(ValueError, match="w0 contains NaN"):
        solve(np.eye(2), [np.nan, 1.0])


def test_bad_parameters_are_named():
    for weights in ([1.0, -1.0], [1.0, np.nan], [0.0, 1.0]):
        with pytest.raises(ValueError, match="weights must be positive"):
            relevance_l1(np.eye(2), np.ones(2), weights=weights)
    with pytest.raises(ValueError, match="one number for each of 2 tasks"):
        relevance_path(np.eye(2), np.ones(2), weights=[1.0])
    for lambda_ in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="lambda_ must be a number at least 0"):
            relevance_lasso(np.eye(2), np.ones(2), lambda_)


def test_float32_stays_and_read_only_input_works():
    rng = np.random.default_rng(0)
    W, w0 = rng.standard_normal((4, 9)), rng.standard_normal(4)
    for array in (W, w0):
        array.setflags(write=False)
    for solve in (relevance_l1, relevance_l2, relevance_lasso):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            single = solve(W.astype(np.float32), w0.astype(np.float32))
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, solve(W, w0), atol=1e-4)
