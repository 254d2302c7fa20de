"""The linear model beside scikit-learn's, least squares and searches by hand."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import GridSearchCV, GroupKFold, GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError

from minimalml.bags import (
    AggregateRidge,
    aggregate_by_bag,
    aggregate_targets,
    make_bag_scorer,
)
from minimalml.bags._aggregate_responses import _aggregate_statistics
from minimalml.datasets import make_aggregate_regression, make_bags
from minimalml.testing import bag_data

EQUAL = {"rtol": 1e-9, "atol": 1e-9}  # of solutions by other routes
seeds, rhos = st.integers(0, 10_000), st.sampled_from([0.0, 0.03, 0.5, 1.0, 2.5])
alphas, booleans = st.sampled_from([0.0, 1e-3, 2.0]), st.booleans()


def problem(seed, n_features=4, n_samples=120, bag_size=(1, 5)):
    options = {"bag_size": bag_size, "noise": 0.3, "random_state": seed}
    X, y, bags, coef = make_aggregate_regression(n_samples, n_features, **options)
    return X + 1.5, y - 2.0, bags, coef


def linear(model):
    return np.append(model.coef_, model.intercept_)


@given(seeds, alphas, st.one_of(rhos, st.just("auto")), booleans, booleans)
def test_without_bags_it_is_ridge(seed, alpha, rho, fit_intercept, is_weighted):
    X, y, _, _ = problem(seed, bag_size=1)
    weight = np.random.default_rng(seed).random(len(X)) if is_weighted else None
    ours = AggregateRidge(alpha, interpolation=rho, fit_intercept=fit_intercept)
    theirs = Ridge(alpha, fit_intercept=fit_intercept, solver="svd")
    expected = linear(theirs.fit(X, y, weight))
    np.testing.assert_allclose(linear(ours.fit(X, y, None, weight)), expected, **EQUAL)


@given(seeds, alphas, booleans, booleans)
def test_both_ends_are_ridge(seed, alpha, fit_intercept, is_weighted):
    X, y, bags, _ = problem(seed)
    weight = np.random.default_rng(seed).random(len(X)) if is_weighted else None
    options = {"fit_intercept": fit_intercept}
    rows = Ridge(alpha, solver="svd", **options).fit(X, y, weight)
    ours = AggregateRidge(alpha, interpolation=1, **options).fit(X, y, bags, weight)
    np.testing.assert_allclose(linear(ours), linear(rows), **EQUAL)
    means, sizes = (
        aggregate_by_bag(X, bags, how=how, sample_weight=weight)[1]
        for how in ("mean", "size")
    )
    y_means = aggregate_by_bag(y, bags, how="first")[1]
    by_bag = Ridge(alpha, solver="svd", **options).fit(means, y_means, sizes)
    ours = AggregateRidge(alpha, interpolation=0, **options).fit(X, y, bags, weight)
    np.testing.assert_allclose(linear(ours), linear(by_bag), **EQUAL)


def stacked_solution(X, y, bags, rho, alpha):
    """Least squares of the smallest norm on means of bags, spreads, and penalty."""
    _, means = aggregate_by_bag(X, bags)
    _, targets = aggregate_by_bag(y, bags, how="first")
    root = np.sqrt(aggregate_by_bag(X, bags, how="size")[1])
    codes = np.unique(bags, return_inverse=True)[1]
    centre = np.average(means, axis=0, weights=root**2)
    targets = targets - np.average(targets, weights=root**2)
    design = [
        (means - centre) * root[:, None],
        np.sqrt(rho) * (X - means[codes]),
        np.sqrt(alpha) * np.eye(X.shape[1]),
    ]
    right = np.zeros(sum(map(len, design)))
    right[: len(root)] = root * targets
    return np.linalg.lstsq(np.vstack(design), right, rcond=1e-10)[0]


@given(seeds, rhos, alphas, st.sampled_from([3, 40, 150]))
def test_it_solves_stacked_least_squares_of_any_shape(seed, rho, alpha, n_features):
    X, y, bags, _ = problem(seed, n_features)
    expected = stacked_solution(X, y, bags, rho, alpha)
    found = AggregateRidge(alpha, interpolation=rho).fit(X, y, bags).coef_
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * abs(expected).max())


@given(bag_data(corners=[]), booleans, seeds)
def test_statistics_of_any_parts_add_up(data, fit_intercept, seed):
    X, y, bags = data
    parts = np.random.default_rng(seed).integers(3, size=len(bags))
    part = parts[np.unique(bags, return_inverse=True)[1]]
    model = AggregateRidge(interpolation=0.5, fit_intercept=fit_intercept)
    whole, stream = clone(model).partial_fit(X, y, bags), model
    for k in np.unique(part):
        stream.partial_fit(X[part == k], y[part == k], bags[part == k])
    scale = 1e-9 * len(X) * max(1, abs(X).max()) ** 2 * max(1, abs(y).max()) ** 2
    for name, expected in vars(whole.statistics_).items():
        found = getattr(stream.statistics_, name)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=scale)


def test_blocks_change_nothing(monkeypatch):
    X, y, bags, _ = problem(0, n_samples=500)
    weight = np.random.default_rng(0).random(500)
    expected = linear(AggregateRidge(interpolation=0.3).fit(X, y, bags, weight))
    for rows in (1, 7, 60):
        monkeypatch.setattr(_aggregate_statistics, "BLOCK_ROWS", rows)
        found = linear(AggregateRidge(interpolation=0.3).fit(X, y, bags, weight))
        np.testing.assert_allclose(found, expected, **EQUAL)


@given(seeds, rhos, st.floats(0.01, 100), st.floats(-100, 100))
def test_it_follows_shifts_scales_and_linear_maps(seed, rho, factor, shift):
    X, y, bags, _ = problem(seed)
    model = AggregateRidge(interpolation=rho)
    before = model.fit(X, y, bags).predict(X)
    change = np.random.default_rng(seed).normal(size=(4, 4))
    assume(np.linalg.cond(change) < 1e3)
    X_changed, y_changed = X @ change + shift, factor * y + shift
    after = model.fit(X_changed, y_changed, bags).predict(X_changed)
    size = 1 + abs(factor) + abs(shift)
    np.testing.assert_allclose(after, factor * before + shift, rtol=0, atol=1e-6 * size)


@given(seeds, alphas)
def test_more_weight_means_less_spread_and_a_worse_fit(seed, alpha):
    X, y, bags, _ = problem(seed, n_features=20)
    spreads, errors = [], []
    for rho in (0, 0.01, 0.1, 0.5, 1, 3):
        model = AggregateRidge(alpha, interpolation=rho).fit(X, y, bags)
        f, s = model.predict(X), aggregate_targets
        spreads.append(((f - s(f, bags)) ** 2).sum())
        errors.append(((s(f, bags) - y) ** 2).sum() + alpha * (model.coef_**2).sum())
    assert (np.diff(spreads) <= 1e-9 * spreads[0]).all()
    assert (np.diff(errors) >= -1e-9 * errors[-1]).all()


@pytest.mark.parametrize("n_features", [1, 30])
def test_features_of_any_scale_count_and_constant_ones_do_not(n_features):
    X, y, bags, _ = problem(0, n_features)
    plain = AggregateRidge(interpolation=0.3).fit(X, y, bags)
    scales = np.logspace(-100, 100, n_features)
    scaled = AggregateRidge(interpolation=0.3).fit(X * scales, y, bags)
    np.testing.assert_allclose(scaled.coef_ * scales, plain.coef_, rtol=1e-9)
    wide = np.column_stack([np.full(len(X), 0.1), X, np.full(len(X), 1e9)])
    found = AggregateRidge(interpolation=0.3).fit(wide, y, bags).coef_
    np.testing.assert_allclose(found, [0, *plain.coef_, 0], rtol=1e-9)
    X32 = (X + 1000).astype(np.float32)  # sums are made in double all the same
    expected = AggregateRidge(interpolation=0.3).fit(X32.astype(float), y, bags).coef_
    found = AggregateRidge(interpolation=0.3).fit(X32, y, bags).coef_
    np.testing.assert_array_equal(found, expected.astype(np.float32), strict=True)


# --- the choice of the interpolation ---


def test_the_chosen_interpolation_beats_both_ends():
    wins = 0
    for seed in range(10):
        X, y, bags, coef = make_aggregate_regression(600, 100, random_state=seed)
        error = {
            rho: ((AggregateRidge(interpolation=rho, random_state=0).fit(X, y, bags).coef_ - coef) ** 2).sum()
            for rho in (0, 1, "auto")
        }  # fmt: skip
        wins += error["auto"] < min(error[0], error[1])
    assert wins >= 7


def test_it_chooses_on_real_data():
    X, labels = load_diabetes(return_X_y=True)
    scores = {0: [], 1: [], "auto": []}
    for seed in range(20):
        rows = np.random.default_rng(seed).permutation(len(X))
        train, test = rows[:300], rows[300:]
        bags = make_bags(300, 8, random_state=seed)
        y = aggregate_targets(labels[train], bags)
        for rho, found in scores.items():
            model = AggregateRidge(interpolation=rho, random_state=0)
            model.fit(X[train], y, bags)
            found.append(model.score(X[test], labels[test]))
    mean = {rho: np.mean(found) for rho, found in scores.items()}
    assert mean["auto"] >= mean[0] + 0.01 and mean["auto"] >= mean[1] + 0.15


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_scores_are_errors_of_held_out_bags(is_weighted, fit_intercept):
    X, y, bags, _ = problem(0)
    weight = np.random.default_rng(0).random(len(X)) if is_weighted else None
    cv = GroupKFold(4, shuffle=True, random_state=5)
    options = {"alpha": 0.1, "fit_intercept": fit_intercept}
    model = AggregateRidge(**options, cv=4, random_state=5).fit(X, y, bags, weight)
    by_split = AggregateRidge(**options, cv=cv).fit(X, y, bags, weight)
    found = model.interpolation_scores_
    np.testing.assert_allclose(by_split.interpolation_scores_, found, rtol=1e-9)
    for place in (0, 4, 12):
        rho, errors, sizes = model.interpolation_grid_[place], [], []
        for train, test in cv.split(X, y, bags):
            w = (None, None) if weight is None else (weight[train], weight[test])
            one = AggregateRidge(interpolation=rho, **options)
            one.fit(X[train], y[train], bags[train], w[0])
            _, means = aggregate_by_bag(
                one.predict(X[test]), bags[test], sample_weight=w[1]
            )
            _, size = aggregate_by_bag(
                y[test], bags[test], how="size", sample_weight=w[1]
            )
            _, truth = aggregate_by_bag(y[test], bags[test], how="first")
            errors.append(size @ (truth - means) ** 2)
            sizes.append(size.sum())
        assert found[place] == pytest.approx(sum(errors) / sum(sizes), rel=1e-9)
    assert model.interpolation_ == model.interpolation_grid_[found.argmin()]


def test_where_nothing_can_be_chosen_the_rows_decide():
    X, y, bags, _ = problem(0, bag_size=2)
    few = np.isin(bags, range(9))
    for rows, ids in ((few, bags[few]), (slice(None), None)):
        model = AggregateRidge(cv=5).fit(X[rows], y[rows], ids)
        assert model.interpolation_ == 1.0
        assert np.isnan(model.interpolation_scores_).all()
    constant = AggregateRidge(random_state=0).fit(X, np.ones(len(X)), bags)
    assert constant.interpolation_ == 3.0  # of equal errors the largest weight
    np.testing.assert_allclose(constant.coef_, 0, atol=1e-12)


def test_a_stream_of_bags_keeps_folds():
    X, y, bags, _ = problem(0, n_samples=300, bag_size=3)
    stream = AggregateRidge(cv=3, random_state=0)
    for first in range(0, 100, 2):  # less bags than folds: they go to folds in turn
        rows = bags // 2 == first // 2
        stream.partial_fit(X[rows], y[rows], bags[rows])
    fold = bags % 3
    cv = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    whole = AggregateRidge(cv=cv).fit(X, y, bags)
    expected = whole.interpolation_scores_
    np.testing.assert_allclose(stream.interpolation_scores_, expected, rtol=1e-9)
    np.testing.assert_allclose(linear(stream), linear(whole), **EQUAL)
    fresh = AggregateRidge(random_state=0).fit(X, y, bags)
    once = AggregateRidge(random_state=0).partial_fit(X, y, bags)
    np.testing.assert_array_equal(fresh.coef_, once.coef_)


def test_a_search_in_a_pipeline_by_bags_with_names():
    X, y, bags, _ = problem(0, n_features=30, n_samples=200, bag_size=4)
    names = np.array([f"town {bag}" for bag in bags])
    model = make_pipeline(StandardScaler(), AggregateRidge())
    grid = {"aggregateridge__interpolation": [0.0, 0.1, 100.0]}
    scorer = make_bag_scorer(mean_squared_error, greater_is_better=False)
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            model, grid, cv=GroupKFold(5), scoring=scorer, error_score="raise"
        ).fit(X, y, bags=names, groups=names)
    assert search.best_params_ == {"aggregateridge__interpolation": 0.1}


# --- bad input ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, "'alpha' parameter"),
        ({"alpha": np.nan}, "'alpha' parameter"),
        ({"interpolation": -0.1}, "'interpolation' parameter"),
        ({"interpolation": np.nan}, "'interpolation' parameter"),
        ({"interpolation": "best"}, "'interpolation' parameter"),
        ({"cv": 1.5}, "'cv' parameter"),
    ],
)
def test_parameters_out_of_range_are_named(options, message):
    X, y, bags, _ = problem(0)
    with pytest.raises(InvalidParameterError, match=message):
        AggregateRidge(**options).fit(X, y, bags)


def test_a_split_must_keep_bags_whole():
    X, y, bags, _ = problem(0, bag_size=4)
    bags = bags + 100
    split = np.flatnonzero(bags != 107)[:-1]
    cut = [(split, np.flatnonzero(bags == 107))]
    with pytest.raises(ValueError, match=f"cv cuts bag {bags[-1]}: 3 of its 4 rows"):
        AggregateRidge(cv=cut).fit(X, y, bags)
    whole = np.flatnonzero(bags != 107)
    with pytest.raises(ValueError, match="cv has a split without rows"):
        AggregateRidge(cv=[(whole, [])]).fit(X, y, bags)
    splitter = GroupShuffleSplit(3, random_state=0)
    assert AggregateRidge(cv=splitter).fit(X, y, bags).interpolation_ < 3


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        ({}, {"cv": 4}, "cv=4 must go on with as many folds, .* kept 5"),
        ({"interpolation": 1}, {"interpolation": "auto"}, "kept 0"),
        ({}, {"cv": GroupKFold(3)}, "cv must be a number of folds for partial_fit"),
        ({}, {"fit_intercept": False}, "fit_intercept must be the same"),
        ({}, {"n_features": 3}, "3 features, but AggregateRidge is expecting 4"),
    ],
)
def test_a_stream_cannot_change_in_the_middle(first, then, message):
    X, y, bags, _ = problem(0)
    model = AggregateRidge(**first).partial_fit(X, y, bags)
    before = model.statistics_
    X = X[:, : then.pop("n_features", 4)]
    with pytest.raises(ValueError, match=message):
        model.set_params(**then).partial_fit(X, y, bags)
    assert model.statistics_ is before
    if X.shape[1] == 3:
        other = AggregateRidge().fit(X, y, bags).statistics_
        with pytest.raises(ValueError, match=r"of 4 features .* those of 3"):
            before + other


def test_one_bag_has_no_slope():
    X, y, _, _ = problem(0)
    y, bags = np.full(len(X), 2.0), np.zeros(len(X))
    with pytest.warns(UserWarning, match="bags has one bag only"):
        model = AggregateRidge().fit(X, y, bags)
    np.testing.assert_array_equal(linear(model), [0, 0, 0, 0, 2.0])
    through_zero = AggregateRidge(interpolation=0, fit_intercept=False).fit(X, y, bags)
    assert through_zero.predict(X).mean() == pytest.approx(2.0)


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e150, 1e200, 1e307])
@pytest.mark.parametrize("name", ["X", "y"])
def test_what_cannot_be_squared_is_refused(scale, name):
    X, y, bags, _ = problem(0)
    data = {"X": X, "y": y}
    data[name] = data[name] * scale
    with pytest.raises(ValueError, match=f"{name} .* to be squared: scale {name}"):
        AggregateRidge().fit(**data, bags=bags)
