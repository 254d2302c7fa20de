"""Group coresets beside brute force over subsets, exchanges and potentials."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml._core.transport_plan import transport_plan
from minimalml.resampling import (
    SelectedSamplesEstimator,
    TransportCoresetSelector,
    gradient_norms,
    greedy_facility_location,
    marginal_improvement,
)
from minimalml.resampling._transport_coreset._budgets import class_budgets
from minimalml.resampling._transport_coreset._exchange import Exchange, greedy_start

ROUNDING = 1e-9
seeds = st.integers(0, 10**6)


def transport_value(cost, rows, weights):
    masses = np.full(len(rows), 1 / len(rows))
    return transport_plan(masses, weights, cost[list(rows)], who="test").value


def random_problem(seed, n_rows=9, n_target=7):
    rng = np.random.default_rng(seed)
    cost = rng.uniform(size=(n_rows, n_target)) - 0.3 * rng.uniform(size=(n_rows, 1))
    weights = rng.uniform(0.1, 1, n_target) if seed % 2 else np.ones(n_target)
    return cost, weights / weights.sum()


@given(seed=seeds, n_selected=st.integers(1, 4))
def test_no_exchange_improves_the_end_and_no_subset_is_better_than_the_best(
    seed, n_selected
):
    cost, weights = random_problem(seed)
    state = Exchange(cost, weights, n_selected, n_candidates=len(cost))
    values = [state.value]
    while state.step():
        values.append(state.value)
    assert (np.diff(values) < 0).all()
    subsets = {
        rows: transport_value(cost, rows, weights)
        for rows in combinations(range(len(cost)), n_selected)
    }
    ours = tuple(sorted(state.selected))
    assert state.value == pytest.approx(subsets[ours], abs=ROUNDING)
    assert state.value >= min(subsets.values()) - ROUNDING
    neighbours = [r for r in subsets if len(set(r) & set(ours)) == n_selected - 1]
    assert state.value <= min(subsets[rows] for rows in neighbours) + ROUNDING


@given(seed=seeds, n_selected=st.integers(2, 5))
def test_scores_maximise_the_dual_and_bounds_hold(seed, n_selected):
    cost, weights = random_problem(seed)
    state = Exchange(cost, weights, n_selected, n_candidates=len(cost))
    u = state.solution.u
    scores = marginal_improvement(cost, u, state.selected, target_weight=weights)
    for row, score in enumerate(scores):
        others = [k for k, other in enumerate(state.selected) if other != row]
        lowest = (cost[state.selected[others]] - u[others][:, None]).min(axis=0)
        d = cost[row] - lowest
        duals = [t / n_selected + weights @ np.minimum(d - t, 0) for t in d]
        assert score == pytest.approx(max(duals), abs=ROUNDING)
    from minimalml.resampling._transport_coreset._exchange import _LowestCosts

    lowest = _LowestCosts(cost, state.selected, u)
    places, outsiders = state._candidates(lowest)
    bounds = state._bounds(lowest, places, outsiders)
    for place, of_place in zip(places, bounds, strict=True):
        for entering, bound in zip(outsiders, of_place, strict=True):
            rows = state.selected.copy()
            rows[place] = entering
            assert bound <= transport_value(cost, rows, weights) + ROUNDING


@given(seed=seeds)
def test_start_keeps_rows_that_a_target_row_is_nearest_to(seed):
    rng = np.random.default_rng(seed)
    cost = rng.uniform(size=(30, 12))
    weights = np.full(12, 1 / 12)
    n_possible = len(np.unique(cost.argmin(axis=0)))
    for n_selected in (2, 4, 11):
        start = greedy_start(cost, weights, n_selected)
        assert len(set(start)) == n_selected
        plain = greedy_facility_location(-cost, n_selected)
        useful = len(np.unique(start[cost[start].argmin(axis=0)]))
        if n_possible <= n_selected:
            assert start.tolist() == plain.tolist()
        else:
            assert useful == n_selected or start.tolist() == plain.tolist()


@given(seed=seeds, shift=st.floats(-3, 3))
def test_moving_a_column_or_scaling_costs_changes_no_choice(seed, shift):
    rng = np.random.default_rng(seed)
    cost, weights = random_problem(seed)
    first = Exchange(cost, weights, 3, 9)
    gaps = np.abs(np.subtract.outer(cost, cost))
    assume(gaps[~np.eye(cost.size, dtype=bool).reshape(gaps.shape)].min() > 1e-6)
    for other in (cost * 4, cost + shift * rng.uniform(size=cost.shape[1])):
        state = Exchange(other, weights, 3, 9)
        assert state.selected.tolist() == first.selected.tolist()


def test_attributes_say_what_was_selected(rng):
    pool, target = rng.normal(size=(50, 2)), rng.normal(1, 1, size=(20, 2))
    norms = rng.uniform(size=50)
    fitted = TransportCoresetSelector(6, trade_off=0.1, metric="cityblock").fit(
        pool, X_target=target, gradient_norm=norms, target_weight=np.arange(20)
    )
    rows, weights = fitted.sample_indices_, np.arange(20) / np.arange(20).sum()
    distances = pairwise_distances(pool, target, metric="cityblock")
    plan = fitted.plan_.toarray()
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 6)
    np.testing.assert_allclose(plan.sum(axis=0), weights, atol=ROUNDING)
    moved = (plan * distances[rows]).sum()
    assert fitted.transport_distance_ == pytest.approx(moved)
    gain = 0.1 * norms[rows].mean() / norms.max()
    assert fitted.objective_ == pytest.approx(moved / distances.max() - gain)
    path = fitted.objective_path_
    assert path[0] == fitted.initial_objective_
    assert path[-1] == pytest.approx(fitted.objective_)
    assert len(path) == fitted.n_exchanges_ + 1 > 1 and (np.diff(path) < 0).all()
    assert fitted.n_transport_solves_ >= fitted.n_exchanges_ + 2


def test_target_within_the_pool_is_found_and_a_large_trade_off_takes_top_norms(rng):
    pool, norms = rng.normal(size=(40, 3)), rng.permutation(40).astype(float)
    found = TransportCoresetSelector(8).fit(pool, X_target=pool[10:18])
    assert sorted(found.sample_indices_) == list(range(10, 18))
    assert found.transport_distance_ == pytest.approx(0, abs=1e-7)
    largest = TransportCoresetSelector(7, trade_off=1e6).fit(
        pool, gradient_norm=norms, X_target=pool[:5]
    )
    assert set(norms[largest.sample_indices_]) == set(range(33, 40))
    sparse = TransportCoresetSelector(8).fit(csr_array(pool), X_target=pool[10:18])
    assert sparse.sample_indices_.tolist() == found.sample_indices_.tolist()
    same = TransportCoresetSelector(3).fit(np.ones((9, 2)))
    assert same.sample_indices_.tolist() == [0, 1, 2]
    assert same.transport_distance_ == 0


def test_classes_get_their_share_of_the_target():
    X, y = load_iris(return_X_y=True)
    domain = np.where(np.arange(150) % 5 == 0, -1, 1)
    domain[(y == 2) & (np.arange(150) % 10 == 0)] = 1  # half as many targets of class 2
    fitted = TransportCoresetSelector(10, stratify=True).fit(X, y, sample_domain=domain)
    assert np.bincount(y[fitted.sample_indices_]).tolist() == [4, 4, 2]
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    by_target = TransportCoresetSelector(10, stratify=True).fit(
        X[domain > 0], names[domain > 0],
        X_target=X[domain < 0], y_target=names[domain < 0],
    )  # fmt: skip
    expected = np.flatnonzero(domain > 0)[by_target.sample_indices_]
    assert fitted.sample_indices_.tolist() == expected.tolist()
    assert fitted.objective_path_[0] == fitted.initial_objective_


@given(
    total=st.integers(4, 60),
    shares=st.lists(st.integers(1, 20), min_size=4, max_size=4),
    available=st.lists(st.integers(1, 30), min_size=4, max_size=4),
)
def test_budgets_of_classes(total, shares, available):
    shares, available = np.array(shares) / sum(shares), np.array(available)
    if (total * shares + 1 > available).any():
        with np.testing.suppress_warnings() as quiet:
            quiet.filter(UserWarning)
            budgets = class_budgets(total, shares, available)
    else:
        budgets = class_budgets(total, shares, available)
        assert (budgets >= np.floor(total * shares) - 3).all()
    assert budgets.sum() == min(total, available.sum())
    assert (1 <= budgets).all() and (budgets <= available).all()


def test_classes_that_the_pool_lacks_are_told():
    with pytest.warns(UserWarning, match="too few rows of some classes"):
        assert class_budgets(6, np.full(3, 1 / 3), np.array([0, 1, 9])).tolist() == [
            0, 1, 5,
        ]  # fmt: skip
    assert class_budgets(3, np.array([0.98, 0.01, 0.01]), np.full(3, 9)).tolist() == [
        1, 1, 1,
    ]  # fmt: skip
    with pytest.raises(
        ValueError, match="n_samples_to_select=2 is below the 3 classes"
    ):
        class_budgets(2, np.full(3, 1 / 3), np.full(3, 9))


@pytest.mark.parametrize("model", [
    LogisticRegression(max_iter=500),
    make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    MLPClassifier((6,), max_iter=300, random_state=0),
])  # fmt: skip
@pytest.mark.parametrize("n_classes", [2, 3])
def test_gradient_norms_are_those_of_finite_differences(model, n_classes):
    X, y = load_iris(return_X_y=True)
    X, y = X[y < n_classes] / 3, np.array(["a", "b", "c"])[y[y < n_classes]]
    norms = gradient_norms(model.fit(X, y), X, y)
    last = model[-1] if hasattr(model, "steps") else model
    features = model[0].transform(X) if hasattr(model, "steps") else X
    if hasattr(model, "coefs_"):
        features = np.maximum(X @ model.coefs_[0] + model.intercepts_[0], 0)
    elif hasattr(model, "steps"):  # the scaler belongs to the affine layer
        features = X
    residuals = model.predict_proba(X) - (y[:, None] == last.classes_)
    expected = np.linalg.norm(residuals, axis=1) * np.sqrt(
        1 + (features**2).sum(axis=1)
    )
    np.testing.assert_allclose(norms, expected, rtol=1e-6, atol=1e-12)


def test_search_in_a_pipeline_over_budget_and_trade_off():
    X, y = load_digits(return_X_y=True)
    X, y = X[:300], y[:300]
    domain = np.where(np.arange(300) % 4 == 0, -1, 1)
    with config_context(enable_metadata_routing=True):
        selector = TransportCoresetSelector(max_exchanges=2)
        model = SelectedSamplesEstimator(
            LogisticRegression(max_iter=300),
            selector.set_fit_request(sample_domain=True, gradient_norm=True),
        )
        pipeline = Pipeline([("scale", StandardScaler()), ("model", model)])
        search = GridSearchCV(
            pipeline,
            {"model__selector__n_samples_to_select": [10, 80],
             "model__selector__trade_off": [0.0, 0.1]},
            cv=2,
        )  # fmt: skip
        search.fit(X, y, sample_domain=domain, gradient_norm=np.ones(300))
    assert search.best_params_["model__selector__n_samples_to_select"] == 80
    best = search.best_estimator_[-1]
    assert (domain[best.sample_indices_] > 0).all()
    assert search.predict(X).shape == (300,)


@pytest.mark.parametrize(
    ("parameters", "fit_parameters", "message"),
    [
        (dict(trade_off=-1), {}, "'trade_off' parameter"),
        (dict(n_samples_to_select=1.5), {}, "'n_samples_to_select' parameter"),
        (dict(metric="precomputed"), {}, "'metric' parameter"),
        (dict(trade_off=1.0), {}, "trade_off=1.0 weighs gradient_norm, which was not"),
        ({}, dict(gradient_norm=[-1.0] * 20), "gradient_norm must be at least 0, got -1"),
        ({}, dict(gradient_norm=[1.0] * 3), "gradient_norm has 3 values, but X has 20"),
        ({}, dict(gradient_norm=[np.nan] * 20), "gradient_norm contains NaN"),
        ({}, dict(target_weight=[1.0] * 3), "target_weight must have one number for each"),
        ({}, dict(y_target=[1] * 20), "y_target goes with X_target"),
        (dict(stratify=True), {}, "stratify=True needs y, which was not given"),
        (dict(stratify=True), dict(y=[0] * 20, X_target=np.ones((3, 2))), "needs y_target"),
        (dict(stratify=True), dict(y=[0] * 3), "y has 3 labels, but X has 20"),
        (dict(stratify=True), dict(y=[0] * 20, X_target=np.ones((3, 2)), y_target=[1]),
         "y_target has 1 labels, but X_target has 3 rows"),
        (dict(stratify=True), dict(y=[0] * 20, X_target=np.ones((1, 2)), y_target=[1]),
         "the pool has none"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(rng, parameters, fit_parameters, message):
    with pytest.raises(ValueError, match=message):
        TransportCoresetSelector(**parameters).fit(
            rng.normal(size=(20, 2)), **fit_parameters
        )


def test_distances_out_of_range_are_refused(rng):
    X = rng.normal(size=(20, 2))
    with pytest.raises(ValueError, match="distances that are not finite: scale X"):
        TransportCoresetSelector(4).fit(X * 1e200)
    with pytest.raises(ValueError, match="a distance of 0 to all pairs of rows"):
        TransportCoresetSelector(4).fit(X * 1e-200)
    sparse = csr_array(np.ones((6, 2)))
    assert TransportCoresetSelector(2).fit(sparse).sample_indices_.tolist() == [0, 1]


def test_norms_that_are_all_zero_are_told(rng):
    X = rng.normal(size=(20, 2))
    plain = TransportCoresetSelector(4).fit(X)
    with pytest.warns(UserWarning, match="gradient_norm is 0 in all rows"):
        zero = TransportCoresetSelector(4, trade_off=1.0).fit(
            X, gradient_norm=np.zeros(20)
        )
    assert zero.sample_indices_.tolist() == plain.sample_indices_.tolist()


@pytest.mark.parametrize(
    ("selected", "message"),
    [([0], "at least two"), ([0, 9], "from 0 to 2, got 0 to 9"), ([0, 1, 2], "shapes")],
)
def test_selections_without_scores_are_refused(selected, message):
    with pytest.raises(ValueError, match=message):
        marginal_improvement(np.ones((3, 2)), [0.0] * min(2, len(selected)), selected)
