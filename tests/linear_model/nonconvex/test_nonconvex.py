import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.linear_model import NonconvexClassifier, NonconvexRegressor
from tests.linear_model.nonconvex.problems import (
    VALUES,
    correlated_table,
    share_of_largest_alpha,
    standardised,
    violation,
)

SOLVERS = ["accelerated", "conjugate_gradient"]


@pytest.fixture
def table(rng):
    """Rows in unlike units, and a target of few of them."""
    X = rng.normal(size=(60, 12)) * np.logspace(-2, 2, 12) + np.arange(12)
    return X, StandardScaler().fit_transform(X)[:, :3] @ [3.0, -2.0, 1.0] + 1


@pytest.fixture
def labelled(table, rng):
    """The same rows with two classes that overlap."""
    X, y = table
    return X, y + 2 * rng.normal(size=len(y)) > 1


# --- what is known ---


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(("tol", "atol"), [(1e-9, 1e-6), (1e-6, 2e-5)])
def test_l1_is_the_lasso(table, solver, fit_intercept, tol, atol):
    X, y = StandardScaler().fit_transform(table[0]), table[1]
    weights = np.linspace(0.5, 2, len(y))
    options = {"alpha": 0.2, "fit_intercept": fit_intercept}
    expected = Lasso(tol=1e-14, max_iter=100_000, **options).fit(X, y, weights)
    model = NonconvexRegressor(
        "l1", solver=solver, standardize=False, tol=tol, **options
    ).fit(X, y, weights)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=atol)
    assert model.intercept_ == pytest.approx(expected.intercept_, abs=10 * atol)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_l1_of_classes_is_logistic_regression(labelled, solver, fit_intercept):
    X, y = StandardScaler().fit_transform(labelled[0]), labelled[1]
    options = {"fit_intercept": fit_intercept, "tol": 1e-9}
    expected = LogisticRegression(
        l1_ratio=1, C=1 / (0.02 * len(y)), solver="saga", max_iter=100_000, **options
    ).fit(X, y)
    model = NonconvexClassifier("l1", 0.02, solver=solver, standardize=False, **options)
    model.fit(X, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-6)
    np.testing.assert_allclose(model.intercept_, expected.intercept_, atol=1e-6)
    np.testing.assert_allclose(
        model.predict_proba(X), expected.predict_proba(X), atol=1e-6
    )


def scad_of_one(z, alpha, a=3.7):
    """Fan and Li's minimum of (t - z)² / 2 plus the penalty of t."""
    if abs(z) <= 2 * alpha:
        return np.sign(z) * max(abs(z) - alpha, 0)
    if abs(z) <= a * alpha:
        return ((a - 1) * z - np.sign(z) * a * alpha) / (a - 2)
    return z


def mcp_of_one(z, alpha, gamma=3.0):
    soft = np.sign(z) * max(abs(z) - alpha, 0)
    return soft / (1 - 1 / gamma) if abs(z) <= gamma * alpha else z


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("name", "formula"), [("scad", scad_of_one), ("mcp", mcp_of_one)]
)
def test_orthogonal_columns_are_thresholded_one_by_one(name, formula, solver):
    z = np.array([0.3, -0.9, 1.5, 2.2, -3.0, 5.0, 9.0, 0.0])
    X = 4 * np.linalg.qr(np.random.default_rng(0).normal(size=(16, 8)))[0]
    model = NonconvexRegressor(
        name, 1.0, solver=solver, fit_intercept=False, standardize=False, tol=1e-9
    ).fit(X, X @ z)
    np.testing.assert_allclose(model.coef_, [formula(v, 1.0) for v in z], atol=1e-7)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", VALUES)
def test_a_strong_penalty_leaves_the_mean(table, name, solver):
    X, y = table
    alpha = share_of_largest_alpha(X, y, share=1 + 1e-9)
    model = NonconvexRegressor(name, alpha, solver=solver).fit(X, y)
    assert not model.coef_.any() and model.n_iter_ == 1
    assert model.intercept_ == pytest.approx(y.mean())
    weaker = NonconvexRegressor(name, 0.9 * alpha, solver=solver).fit(X, y)
    assert np.count_nonzero(weaker.coef_) == 1


def test_a_constant_target_has_no_coefficients(table):
    model = NonconvexRegressor(alpha=0).fit(table[0], np.full(60, 0.1))
    assert not model.coef_.any() and model.intercept_ == 0.1


def test_a_column_constant_but_for_rounding_has_no_coefficient():
    X = 1e8 * (1 + np.finfo(float).eps * np.tile([[0.0], [1.0]], (10, 1)))
    model = NonconvexRegressor().fit(X, np.tile([-3.0, 3.0], 10))
    assert np.ptp(X) > 0 and not model.coef_.any()


# --- stationary points ---


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", VALUES)
def test_the_fit_is_stationary_for_the_standardised_columns(table, name, solver):
    X, y = table
    model = NonconvexRegressor(name, 0.3, solver=solver).fit(X, y)
    Z, centred = standardised(X, y)
    coef = model.coef_ * X.std(axis=0)
    residual = centred - Z @ coef
    found = violation(-Z.T @ residual / len(y), coef, name, 0.3)
    assert found == pytest.approx(model.stationarity_, abs=1e-9) and found < 1e-6
    value = residual @ residual / 2 / len(y) + sum(VALUES[name](t, 0.3) for t in coef)
    assert model.objective_ == pytest.approx(value)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", VALUES)
def test_the_fit_of_classes_is_stationary(labelled, name, solver):
    X, y = labelled
    weights = np.linspace(1, 3, len(y))
    weights /= weights.sum()
    model = NonconvexClassifier(
        name, 0.05, solver=solver, standardize=False, fit_intercept=False
    ).fit(X / X.std(axis=0), y, 7 * weights)
    coef = model.coef_[0]
    errors = expit(X / X.std(axis=0) @ coef) - y
    slope = (weights * errors) @ (X / X.std(axis=0))
    assert violation(slope, coef, name, 0.05) < 1e-6
    assert 0 < np.count_nonzero(coef) < 12


def coordinate_descent(X, y, alpha):
    """Minimise over one coefficient after another, until none changes."""
    Z, residual = standardised(X, y)
    coef, largest = np.zeros(Z.shape[1]), 1.0
    while largest > 1e-9:
        largest = 0.0
        for j, column in enumerate(Z.T):
            new = scad_of_one(coef[j] + column @ residual / len(y), alpha)
            if new != coef[j]:
                residual = residual - (new - coef[j]) * column
                largest, coef[j] = max(largest, abs(new - coef[j])), new
    return coef


def objective(X, y, coef, alpha):
    Z, centred = standardised(X, y)
    penalty = sum(VALUES["scad"](t, alpha) for t in coef)
    return ((centred - Z @ coef) ** 2).mean() / 2 + penalty


def test_where_columns_are_correlated_it_ends_no_higher_than_coordinate_descent():
    for seed in range(3):  # no theorem: benchmarks/nonconvex/claims.py counts how often
        X, y, _ = correlated_table(200, 500, 0.9, seed)
        alpha = share_of_largest_alpha(X, y)
        peer = coordinate_descent(X, y, alpha)
        model = NonconvexRegressor(alpha=alpha).fit(X, y)
        assert model.objective_ <= objective(X, y, peer, alpha) + 1e-8


@pytest.mark.parametrize("solver", SOLVERS)
def test_started_where_coordinate_descent_ended_it_stays(solver):
    X, y, _ = correlated_table(100, 150, 0.9, 0)
    alpha = share_of_largest_alpha(X, y)
    peer = coordinate_descent(X, y, alpha)
    model = NonconvexRegressor(alpha=alpha, solver=solver, warm_start=True)
    model.coef_, model.intercept_ = peer / X.std(axis=0), 0.0
    model.fit(X, y)
    assert model.objective_ == pytest.approx(objective(X, y, peer, alpha), abs=1e-8)


# --- invariances ---


@given(shift=st.floats(-1e3, 1e3), log_scale=st.integers(-300, 300))
def test_units_of_columns_change_nothing(shift, log_scale):
    X, y, _ = correlated_table(40, 8, 0.5, 0, n_true=3)
    expected = NonconvexRegressor(alpha=0.5).fit(X, y)
    scale = 10.0**log_scale
    moved = NonconvexRegressor(alpha=0.5).fit((X + shift) * scale, y)
    np.testing.assert_allclose(moved.coef_ * scale, expected.coef_, atol=1e-7)


@given(scale=st.floats(1e-3, 1e3))
@pytest.mark.parametrize("name", VALUES)
def test_units_of_y_and_alpha_scale_coefficients(name, scale):
    X, y, _ = correlated_table(40, 8, 0.5, 1, n_true=3)
    expected = NonconvexRegressor(name, 0.5, tol=1e-9).fit(X, y)
    scaled = NonconvexRegressor(name, 0.5 * scale, tol=1e-9 * scale).fit(X, scale * y)
    np.testing.assert_allclose(scaled.coef_ / scale, expected.coef_, atol=1e-6)


def test_standardize_is_a_scaler_before(labelled):
    X, y = labelled
    scaled = make_pipeline(StandardScaler(), NonconvexClassifier(standardize=False))
    expected = scaled.fit(X, y).predict_proba(X)
    found = NonconvexClassifier().fit(X, y).predict_proba(X)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_several_classes_are_one_against_the_rest():
    X, y = load_iris(return_X_y=True)
    names = np.array(["b", "c", "a"])[y]
    model = NonconvexClassifier("l1", 0.05).fit(X, names)
    assert model.classes_.tolist() == ["a", "b", "c"] and model.coef_.shape == (3, 4)
    parts = [NonconvexClassifier("l1", 0.05).fit(X, names == c) for c in model.classes_]
    np.testing.assert_allclose(model.coef_, np.vstack([p.coef_ for p in parts]))
    assert model.objective_ == pytest.approx(sum(p.objective_ for p in parts))
    assert model.n_iter_ == max(p.n_iter_ for p in parts)
    shares = expit(model.decision_function(X))
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X), shares)
    assert model.score(X, names) > 0.8


def test_probabilities_of_a_far_row_are_numbers():
    X, y = load_iris(return_X_y=True)
    model = NonconvexClassifier("l1", 0.05).fit(X, y)
    far = model.predict_proba(np.float32(-1e5) * X.astype(np.float32))
    assert far.dtype == np.float32
    np.testing.assert_allclose(far.sum(axis=1), 1, rtol=1e-6)


# --- warnings and warm starts ---


@pytest.mark.parametrize(
    ("name", "alpha"), [("scad", 0.01), ("mcp", 0.01), ("l1", 0.0)]
)
@pytest.mark.parametrize("tol", [1e-2, 1e-12])
def test_separated_classes_are_named(name, alpha, tol):
    X, y = np.arange(20.0)[:, None], np.arange(20) >= 10
    model = NonconvexClassifier(name, alpha, tol=tol, max_iter=200)
    with pytest.warns(ConvergenceWarning, match="separate the classes") as record:
        model.fit(X, y)
    assert len(record) == 1 and np.isfinite(model.coef_).all()


def test_classes_that_l1_holds_back_are_not_called_separated():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NonconvexClassifier("l1", 0.1).fit(
            np.arange(20.0)[:, None], np.arange(20) >= 10
        )


@pytest.mark.parametrize("model", [NonconvexRegressor, NonconvexClassifier])
def test_an_early_end_is_named(labelled, model):
    with pytest.warns(ConvergenceWarning, match="raise max_iter or tol"):
        assert model("l1", 0.01, max_iter=2).fit(*labelled).n_iter_ == 2


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("model", [NonconvexRegressor, NonconvexClassifier])
def test_a_warm_start_goes_on(labelled, model, solver):
    model = model(alpha=0.2, solver=solver, warm_start=True).fit(*labelled)
    assert model.n_iter_ > 1
    coef, n_iter = model.coef_, model.fit(*labelled).n_iter_
    assert n_iter == 1
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-5)


def test_a_warm_start_with_other_columns_or_classes_is_refused(labelled):
    X, y = labelled
    model = NonconvexClassifier(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"warm_start=True needs .* shape \(1, 5\)"):
        model.fit(X[:, :5], y)
    model = NonconvexClassifier(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="needs the classes of the fit before"):
        model.fit(X, y + 2)


# --- bad input ---


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"concavity": 2}, "concavity must be larger than 2 for penalty='scad', got 2"),
        ({"penalty": "mcp", "concavity": 1}, "'concavity' parameter"),
        ({"concavity": np.inf}, "'concavity' parameter"),
        ({"alpha": -0.1}, "'alpha' parameter"),
        ({"alpha": np.nan}, "'alpha' parameter"),
        ({"penalty": "l2"}, "'penalty' parameter"),
        ({"solver": "newton"}, "'solver' parameter"),
    ],
)
@pytest.mark.parametrize("model", [NonconvexRegressor, NonconvexClassifier])
def test_bad_parameters_are_refused(labelled, model, options, words):
    with pytest.raises(ValueError, match=words):
        model(**options).fit(*labelled)


def test_concavity_means_nothing_to_l1(table):
    a, b = (NonconvexRegressor("l1", concavity=c).fit(*table) for c in (None, 1.5))
    assert (a.coef_ == b.coef_).all()


@pytest.mark.parametrize(
    ("factor", "options", "words"),
    [
        (1e160, {"standardize": False}, "Squares of X or y leave the range"),
        (1e-320, {}, "X varies too little beside y"),
        (1e308, {}, "X varies more, or less, than float64 can hold"),
    ],
)
def test_columns_out_of_range_are_refused(factor, options, words):
    X = np.array([[1.0], [-1.0], [1.5], [-1.5]]) * factor
    model = NonconvexRegressor(**options)
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=words):
        model.fit(X, [3.0, -3.0, 4.0, -4.0])
    with pytest.raises(NotFittedError):
        model.predict(X[:, :1] / factor)


def test_a_target_out_of_range_is_refused(table):
    with pytest.raises(ValueError, match="Squares of X or y leave the range"):
        NonconvexRegressor().fit(table[0], 1e200 * table[1])


def test_one_class_or_a_class_without_weight_is_refused(labelled):
    X, y = labelled
    with pytest.raises(ValueError, match="at least two classes, got one class: 'a'"):
        NonconvexClassifier().fit(X, np.full(len(y), "a"))
    with pytest.raises(ValueError, match=r"sample_weight is 0 .* classes \[True\]"):
        NonconvexClassifier().fit(X, y, sample_weight=~y)


@pytest.mark.parametrize("weights", [np.zeros(60), -np.ones(60), np.ones(3)])
def test_weights_that_are_none_are_refused(table, weights):
    with pytest.raises(ValueError, match=r"(?i)sample.weight"):
        NonconvexRegressor().fit(*table, sample_weight=weights)


# --- use ---


def test_a_search_in_a_pipeline_finds_the_true_columns():
    X, y, coef = correlated_table(120, 60, 0.5, 0, n_true=3)
    model = make_pipeline(StandardScaler(), NonconvexRegressor())
    grid = {"nonconvexregressor__alpha": [0.05, 0.5, 2.0]}
    search = GridSearchCV(model, grid, cv=3).fit(X, y)
    found = search.best_estimator_[-1].coef_
    assert search.best_score_ > 0.8
    assert set(np.flatnonzero(coef)) <= set(np.flatnonzero(found))


def test_coefficients_and_predictions_stay_float32(labelled):
    X, y = labelled[0].astype(np.float32), labelled[1]
    model = NonconvexClassifier().fit(X, y)
    assert model.coef_.dtype == model.predict_proba(X).dtype == np.float32
