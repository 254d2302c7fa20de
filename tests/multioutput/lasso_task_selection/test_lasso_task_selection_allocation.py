"""Allocation of samples, the bound it minimises, and the choice of tasks."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minimalml.multioutput import (
    allocate_samples,
    excess_risk_bound,
    relevance_l1,
    select_tasks,
)
from minimalml.multioutput._lasso_task_selection import _task_selector as task_choice

ROUNDING = 1e-12


@st.composite
def bounded_budgets(draw):
    """Relevance, floors, pools and a budget that fits."""
    n_tasks = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    nu = rng.standard_normal(n_tasks) * (rng.random(n_tasks) < 0.8)
    floors = rng.integers(0, 6, n_tasks)
    caps = floors + rng.integers(0, 40, n_tasks)
    assume(nu.any() and caps.sum() > 0)
    total = draw(st.integers(max(int(floors.sum()), 1), int(caps.sum())))
    return nu, total, floors, caps


def test_shares_are_proportional():
    np.testing.assert_array_equal(allocate_samples([3, -1, 0], 400), [300, 100, 0])
    np.testing.assert_array_equal(
        allocate_samples([3, -1, 0], 400, exponent=2), [360, 40, 0]
    )


def test_price_enters_by_its_root():
    counts = allocate_samples([1.0, 1.0], 300.0, sample_cost=[1.0, 4.0])
    np.testing.assert_array_equal(counts, [100, 50])


@given(bounded_budgets())
def test_budget_floors_and_pools_hold_exactly(problem):
    nu, total, floors, caps = problem
    counts = allocate_samples(nu, total, floors, max_samples=caps)
    assert counts.sum() == total
    assert np.all(counts >= floors)
    assert np.all(counts <= caps)


@given(bounded_budgets())
def test_order_of_tasks_does_not_matter(problem):
    nu, total, floors, caps = problem
    assume(len(np.unique(np.abs(nu))) == len(nu))
    counts = allocate_samples(nu, total, floors, max_samples=caps)
    order = np.random.default_rng(0).permutation(len(nu))
    permuted = allocate_samples(
        nu[order], total, floors[order], max_samples=caps[order]
    )
    np.testing.assert_array_equal(permuted, counts[order])


@given(
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=15, unique_by=abs),
    st.integers(1, 500),
    st.sampled_from([0.5, 1, 2]),
)
def test_more_relevant_sources_get_no_fewer(nu, total, exponent):
    assume(any(nu))
    counts = allocate_samples(nu, total, exponent=exponent)
    ranked = counts[np.argsort(np.abs(nu))]
    assert np.all(np.diff(ranked) >= 0)


@given(bounded_budgets(), st.integers(0, 1000))
def test_water_filling_is_the_optimum_within_bounds(problem, seed):
    """Moving any sample between two relevant sources does not lower the bound much."""
    nu, total, floors, caps = problem
    counts = allocate_samples(nu, total, floors, max_samples=caps).astype(float)
    filled = task_fill(nu, total, floors, caps)
    assert np.all(np.abs(counts - filled) <= 1 + 1e-6)
    level = filled[nu != 0] / np.abs(nu[nu != 0])
    low, high = (bound[nu != 0] for bound in (floors, caps))
    free = (filled[nu != 0] > low + 1e-6) & (filled[nu != 0] < high - 1e-6)
    if free.any():
        np.testing.assert_allclose(level[free], level[free][0], rtol=1e-6)


def task_fill(nu, total, floors, caps):
    """Bisection on the level: the specification of water-filling."""
    shares = np.abs(nu)
    if np.clip(1e9 * shares, floors, caps).sum() < total:
        filled = np.where(shares > 0, caps, floors).astype(float)
        shares = (shares == 0).astype(float)
        base = filled * (shares == 0)
        floors = floors * (shares > 0)
        caps = caps * (shares > 0)
    else:
        base = np.zeros(len(nu))
    low, high = 0.0, 1e9
    for _ in range(200):
        middle = (low + high) / 2
        spent = (base + np.clip(middle * shares, floors, caps)).sum()
        low, high = (middle, high) if spent < total else (low, middle)
    return base + np.clip(high * shares, floors, caps)


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_proportional_sharing_minimises_the_bound(seed, n_tasks):
    rng = np.random.default_rng(seed)
    nu = rng.standard_normal(n_tasks)
    best = excess_risk_bound(nu, 100 * np.abs(nu) / np.abs(nu).sum())
    assert best == pytest.approx(np.abs(nu).sum() ** 2 / 100)
    others = 100 * rng.dirichlet(np.ones(n_tasks), 20)
    assert min(excess_risk_bound(nu, n) for n in others) >= best * (1 - ROUNDING)


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_proportional_sharing_over_root_prices_minimises_with_costs(seed, n_tasks):
    rng = np.random.default_rng(seed)
    nu, prices = rng.standard_normal(n_tasks), rng.uniform(0.2, 5, n_tasks)
    n = np.abs(nu) / np.sqrt(prices)
    n *= 100 / (prices @ n)
    best = excess_risk_bound(nu, n)
    assert best == pytest.approx((np.sqrt(prices) @ np.abs(nu)) ** 2 / 100)
    others = 100 * rng.dirichlet(np.ones(n_tasks), 20) / prices
    assert min(excess_risk_bound(nu, n) for n in others) >= best * (1 - ROUNDING)
    counts = allocate_samples(nu, 1e6, sample_cost=prices)
    np.testing.assert_allclose(counts / 1e4, n, atol=2e-4)


@given(st.integers(0, 10_000), st.integers(1, 10))
def test_money_is_never_overspent_and_hardly_left(seed, n_tasks):
    rng = np.random.default_rng(seed)
    prices = rng.uniform(0.2, 5, n_tasks)
    counts = allocate_samples(rng.standard_normal(n_tasks), 50.0, sample_cost=prices)
    assert 50 - prices.max() <= prices @ counts <= 50 * (1 + ROUNDING)


def test_relevant_pools_that_run_dry_leave_the_rest_to_others():
    counts = allocate_samples([5.0, 1.0, 0.0, 0.0], 20, max_samples=[4, 4, 30, 30])
    np.testing.assert_array_equal(counts, [4, 4, 6, 6])


def test_a_task_without_rows_gets_none():
    np.testing.assert_array_equal(
        allocate_samples([9.0, 1.0], 10, max_samples=[0, 50]), [0, 10]
    )


def test_ties_go_to_the_lower_index():
    np.testing.assert_array_equal(allocate_samples([1, 1, 1], 4), [2, 1, 1])


def test_zero_relevance_shares_equally_with_a_warning():
    with pytest.warns(UserWarning, match="nu is all zero"):
        np.testing.assert_array_equal(allocate_samples(np.zeros(4), 8), [2] * 4)


def test_equal_sources_share_what_one_would_get():
    rng = np.random.default_rng(0)
    W, w0 = rng.standard_normal((3, 6)), rng.standard_normal(3)
    doubled = np.hstack([W, W])
    once = allocate_samples(relevance_l1(W, w0), 1000)
    twice = allocate_samples(relevance_l1(doubled, w0), 1000)
    np.testing.assert_array_equal(twice[:6] + twice[6:], once)


def test_a_relevant_source_without_samples_has_no_bound():
    assert excess_risk_bound([0.5, 0.0], [10, 0]) == pytest.approx(0.025)
    assert excess_risk_bound([0.5], [0]) == np.inf


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], 0), "n_total must be a positive whole number, got 0"),
        (([1.0], -3), "n_total must be a positive whole number, got -3"),
        (([1.0], 2.5), "n_total must be a positive whole number, got 2.5"),
        (([1.0, 1.0], 3, 2), "n_total must be at least 4, the sum of min_samples"),
        (([1.0], 3, 0, 1, 2), "n_total must be at most 2, the sum of max_samples"),
        (([1.0], 3, 4, 1, 3), "min_samples must not exceed max_samples, got 4 and 3"),
        (
            ([1.0], 3, [1, 2]),
            "min_samples must be a number or hold one number for each of 1",
        ),
        (([1.0], 3, 0, 1, np.nan), "max_samples must be at least 0"),
        (([1.0], 3, -1), "min_samples must be at least 0"),
        (([1.0], 3, 0.5), "min_samples must hold whole numbers at least 0"),
        (([1.0], 3, 0, 0), "exponent must be positive, got 0"),
        (([1.0], 3, 0, 1, None, [-1.0]), "sample_cost must be positive"),
        (([1.0], 3, 0, 1, None, [np.nan]), "sample_cost must be positive"),
        (([1.0], -2.0, 0, 1, None, [1.0]), "the money, must be a positive number"),
        (([np.nan], 3), "nu contains NaN"),
        (([[1.0]], 3), "nu must be 1-dimensional"),
    ],
)
def test_bad_budgets_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        allocate_samples(*arguments)


def test_bad_bounds_are_named():
    with pytest.raises(ValueError, match="nu and n must match"):
        excess_risk_bound([1.0], [1, 2])
    with pytest.raises(ValueError, match="no negative number"):
        excess_risk_bound([1.0], [-1])


def brute_force_choice(W, w0, budget, prices, openings, max_tasks):
    """All supports, with the smallest weighted L1 norm on each: the specification."""
    best = np.inf
    for size in range(1, max_tasks + 1):
        for support in map(list, combinations(range(W.shape[1]), size)):
            money = budget - openings[support].sum()
            if money <= 0:
                continue
            nu = np.linalg.pinv(W[:, support]) @ w0
            if np.linalg.norm(W[:, support] @ nu - w0) > 1e-8 * np.linalg.norm(w0):
                continue
            nu = relevance_l1(W[:, support], w0, weights=np.sqrt(prices[support]))
            norm = np.sqrt(prices[support]) @ np.abs(nu)
            best = min(best, norm**2 / money)
    return best


@pytest.mark.filterwarnings("ignore:w0 lies outside")
@given(st.integers(0, 10_000), st.integers(2, 3), st.integers(3, 6))
def test_choice_agrees_with_brute_force_over_supports(seed, k, n_tasks):
    rng = np.random.default_rng(seed)
    W, w0 = rng.standard_normal((k, n_tasks)), rng.standard_normal(k)
    prices, openings = rng.uniform(0.5, 2, n_tasks), rng.uniform(0, 20, n_tasks)
    found = select_tasks(
        W, w0, 100, sample_cost=prices, task_cost=openings, tolerance=1e-8
    )
    expected = brute_force_choice(W, w0, 100, prices, openings, n_tasks)
    assert found.bound == pytest.approx(expected, rel=1e-6)
    assert found.residual <= 1e-8


def test_path_choice_is_near_the_exhaustive_one(monkeypatch):
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(20):
        W, w0 = rng.standard_normal((3, 10)), rng.standard_normal(3)
        exact = select_tasks(W, w0, 100, task_cost=10, tolerance=1e-8).bound
        monkeypatch.setattr(task_choice, "EXHAUSTIVE_TASKS", 0)
        ratios.append(
            select_tasks(W, w0, 100, task_cost=10, tolerance=1e-8).bound / exact
        )
        monkeypatch.undo()
    assert min(ratios) >= 1 - 1e-9
    assert np.median(ratios) <= 1.05


def test_without_opening_prices_the_choice_is_the_linear_program():
    rng = np.random.default_rng(1)
    for n_tasks in (8, 40):
        W, w0 = rng.standard_normal((3, n_tasks)), rng.standard_normal(3)
        choice = select_tasks(W, w0, tolerance=1e-8)
        np.testing.assert_allclose(choice.relevance, relevance_l1(W, w0), atol=1e-7)


@pytest.mark.parametrize("n_tasks", [8, 40])
def test_number_of_tasks_is_bounded(n_tasks):
    rng = np.random.default_rng(2)
    W, w0 = rng.standard_normal((4, n_tasks)), rng.standard_normal(4)
    with pytest.warns(UserWarning, match="No affordable choice of tasks expresses w0"):
        choice = select_tasks(W, w0, max_tasks=2, tolerance=1e-8)
    assert len(choice.support) == np.count_nonzero(choice.relevance) == 2


@pytest.mark.parametrize("residual", [0.0, 1.0])
@pytest.mark.filterwarnings("ignore:w0 is zero")
def test_a_target_of_which_nothing_can_be_expressed_opens_nothing(residual):
    W = np.array([[1.0, 2.0], [0.0, 0.0]])
    choice = select_tasks(W, [0.0, residual], 10)
    assert len(choice.support) == 0
    assert not choice.relevance.any()
    assert choice.residual == residual


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task_cost": -1.0}, "task_cost must be at least 0"),
        ({"task_cost": np.nan}, "task_cost must be at least 0"),
        ({"task_cost": [1.0]}, "hold one number for each of 2 tasks"),
        ({"task_cost": 1.0, "budget": None}, "task_cost needs a budget"),
        ({"task_cost": 50.0}, "budget must exceed the cheapest task_cost, 50"),
        ({"budget": 0}, "budget must be positive, got 0"),
        ({"sample_cost": [1.0, -1.0]}, "sample_cost must be positive"),
        ({"max_tasks": 0}, "max_tasks must be at least 1, got 0"),
    ],
)
def test_bad_prices_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        select_tasks(np.eye(2), np.ones(2), **({"budget": 10} | settings))
    with pytest.raises(ValueError, match="w0 must be 1-dimensional"):
        select_tasks(np.eye(2), np.ones((2, 2)), 10)
