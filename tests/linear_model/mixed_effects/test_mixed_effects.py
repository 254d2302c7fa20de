import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_t
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml._core.groups import GroupIndex
from minimalml.linear_model import (
    NonconvexRegressor,
    QGaussianMixedRegressor,
    q_gaussian_logpdf,
)
from minimalml.linear_model._mixed_effects._ecm import GroupedRows, ecm_steps
from minimalml.linear_model._penalties import make_penalty

COEF = np.array([1.0, -2.0, 0.5])
DFS = ["estimate", 4.0, np.inf]
CONVERGED = 1e-4  # relative error of what is estimated, at the default tolerance


def grouped_table(seed, n_groups=30, size=4, bad_share=0.1, n_features=3):
    """Draw groups with levels, some of them eight times as noisy, in mixed order."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(n_groups), size))
    X = rng.normal(size=(len(groups), n_features))
    noise = rng.normal(size=n_groups)[groups] + rng.normal(size=len(groups))
    bad = np.arange(n_groups) < bad_share * n_groups
    return X, X[:, :3] @ COEF + 0.5 + np.where(bad, 8, 1)[groups] * noise, groups


@pytest.fixture
def table():
    return grouped_table(0)


def scale_matrix(model, n):
    return model.scale_ * np.eye(n) + model.random_effect_variance_


def log_likelihood(model, X, y, groups):
    """Add up scipy's densities of groups."""
    residual = y - model.intercept_ - X @ model.coef_
    return sum(
        multivariate_t.logpdf(r, shape=scale_matrix(model, len(r)), df=model.degrees_of_freedom_)
        for r in (residual[groups == group] for group in np.unique(groups))
    )  # fmt: skip


def parameters(model):
    return np.array([*model.coef_, model.intercept_, model.scale_, model.random_effect_variance_])  # fmt: skip


# --- what is known ---


@pytest.mark.parametrize("df", DFS)
@pytest.mark.parametrize("random_effects", ["intercept", None])
def test_it_is_the_direct_maximum_of_the_likelihood(table, df, random_effects):
    X, y, groups = table
    model = QGaussianMixedRegressor(random_effects, degrees_of_freedom=df)
    model.fit(X, y, groups)
    assert model.n_iter_ < 30  # without parameter expansion, up to 50
    order = np.argsort(groups, kind="stable")
    rows, targets = X[order].reshape(30, 4, 3), y[order].reshape(30, 4)

    def loss(values, has_effect=random_effects is not None):
        *theta, log_scale, log_variance, log_df = values
        matrix = np.exp(log_scale) * np.eye(4) + has_effect * np.exp(log_variance)
        df_now = np.exp(log_df) if df == "estimate" else df
        residuals = targets - rows @ theta[:3] - theta[3]
        return -q_gaussian_logpdf(residuals, 0.0, matrix, df=df_now).sum()

    start = [*LinearRegression().fit(X, y).coef_, y.mean(), 0, 0, 1]
    best = minimize(loss, start, method="BFGS", options={"gtol": 1e-6})
    assert model.log_likelihood_ == pytest.approx(-best.fun, rel=1e-9, abs=1e-6)
    assert model.log_likelihood_ == pytest.approx(log_likelihood(model, X, y, groups))
    expected = [*best.x[:4], *np.exp(best.x[4:6])]
    if random_effects is None:
        expected[-1] = 0
    np.testing.assert_allclose(parameters(model), expected, rtol=CONVERGED, atol=1e-5)
    if df == "estimate":
        assert model.degrees_of_freedom_ == pytest.approx(np.exp(best.x[6]), rel=CONVERGED)  # fmt: skip


def test_gaussian_it_is_the_mixed_model_of_statsmodels():
    mixed_linear_model = pytest.importorskip(
        "statsmodels.regression.mixed_linear_model"
    )
    X, y, groups = grouped_table(1, n_groups=40, size=5, bad_share=0)
    X, y, groups = X[:190], y[:190], groups[:190]  # of unequal sizes
    peer = mixed_linear_model.MixedLM(y, np.column_stack([X, np.ones(190)]), groups)
    peer = peer.fit(reml=False)
    model = QGaussianMixedRegressor(degrees_of_freedom=np.inf).fit(X, y, groups)
    expected = [*peer.fe_params, peer.scale, peer.cov_re[0, 0]]
    np.testing.assert_allclose(parameters(model), expected, rtol=CONVERGED)
    assert model.log_likelihood_ == pytest.approx(peer.llf, abs=1e-6)
    levels = [peer.random_effects[group].iloc[0] for group in model.groups_]
    np.testing.assert_allclose(model.random_effects_, levels, atol=1e-3)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_gaussian_without_groups_it_is_least_squares(table, fit_intercept):
    X, y, _ = table
    expected = LinearRegression(fit_intercept=fit_intercept).fit(X, y)
    model = QGaussianMixedRegressor(
        degrees_of_freedom=np.inf, fit_intercept=fit_intercept
    ).fit(X, y)
    np.testing.assert_allclose(model.coef_, expected.coef_)
    assert model.intercept_ == pytest.approx(expected.intercept_)
    assert model.scale_ == pytest.approx(((y - expected.predict(X)) ** 2).mean())
    assert (model.group_weights_ == 1).all() and not model.random_effects_.any()


@pytest.mark.parametrize("penalty", ["l1", "scad", "mcp"])
def test_gaussian_without_groups_a_penalty_is_that_of_nonconvex_regressor(penalty):
    X, y, _ = grouped_table(2, n_features=40)
    options = {"penalty": penalty, "alpha": 0.4}
    expected = NonconvexRegressor(standardize=False, tol=1e-9, **options).fit(X, y)
    model = QGaussianMixedRegressor(degrees_of_freedom=np.inf, **options).fit(X, y)
    assert 0 < np.count_nonzero(model.coef_) < 40
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-6)
    assert model.intercept_ == pytest.approx(expected.intercept_, abs=1e-6)


@pytest.mark.parametrize("penalty", ["l1", "scad", "mcp"])
def test_penalised_coefficients_are_stationary_for_the_weights(penalty):
    X, y, groups = grouped_table(3, n_groups=20, n_features=100)
    model = QGaussianMixedRegressor(penalty=penalty, alpha=0.3).fit(X, y, groups)
    assert 0 < np.count_nonzero(model.coef_) < 40
    residual = y - model.intercept_ - X @ model.coef_
    slope = np.zeros(101)
    for group, weight in zip(model.groups_, model.group_weights_, strict=True):
        rows = np.column_stack([X, np.ones(len(X))])[groups == group]
        inverse = model.scale_ * np.linalg.inv(scale_matrix(model, len(rows)))
        slope -= weight * rows.T @ inverse @ residual[groups == group] / len(y)
    part = make_penalty(penalty, 0.3)
    slope[:100] += part.concave_gradient(model.coef_)
    kept = model.coef_ != 0
    np.testing.assert_allclose(slope[:100][kept], -0.3 * np.sign(model.coef_[kept]), atol=1e-5)  # fmt: skip
    assert np.abs(slope[:100][~kept]).max() < 0.3 + 1e-5 and abs(slope[100]) < 1e-5


def test_groups_weights_and_levels_are_those_of_the_formulas(table):
    X, y, groups = table
    model = QGaussianMixedRegressor().fit(X, y, groups)
    residual = y - model.intercept_ - X @ model.coef_
    m = model.degrees_of_freedom_
    for place, group in enumerate(model.groups_):
        r = residual[groups == group]
        solved = np.linalg.solve(scale_matrix(model, len(r)), r)
        weight = (m + len(r)) / (m + r @ solved)
        assert model.group_weights_[place] == pytest.approx(weight, rel=1e-9)
        level = model.random_effect_variance_ * solved.sum()
        assert model.random_effects_[place] == pytest.approx(level, rel=1e-9)
    assert model.group_weights_.mean() == pytest.approx(1, abs=1e-3)


# --- invariants ---


@pytest.mark.parametrize("df", [None, 0.5, 4.0, np.inf])
@given(
    seed=st.integers(0, 1000), bad_share=st.sampled_from([0, 0.2]), size=st.integers(1, 4)
)  # fmt: skip
def test_no_iteration_lowers_the_likelihood(df, seed, bad_share, size):
    X, y, groups = grouped_table(seed, 15, size, bad_share)
    rows = GroupedRows(X, y, GroupIndex(groups, len(X)))
    steps = ecm_steps(rows, None, 1e-300, df=df, has_random_effect=size > 1)
    values = np.array([next(steps).log_likelihood for _ in range(30)])
    assert (np.diff(values) >= -1e-11 * np.abs(values[1:])).all()


@pytest.mark.parametrize("penalty", [None, "scad"])
@given(log_scale=st.integers(-100, 100))
def test_units_of_y_change_nothing(penalty, log_scale):
    X, y, groups = grouped_table(4)
    factor = 10.0**log_scale
    model = partial(QGaussianMixedRegressor, penalty=penalty)
    expected = model(alpha=0.3).fit(X, y, groups)
    scaled = model(alpha=0.3 * factor).fit(X, y * factor, groups)
    np.testing.assert_allclose(scaled.coef_ / factor, expected.coef_, rtol=1e-6, atol=1e-9)  # fmt: skip
    np.testing.assert_allclose(scaled.scale_ / factor**2, expected.scale_, rtol=1e-6)
    assert abs(scaled.n_iter_ - expected.n_iter_) <= 5
    lost = len(y) * np.log(factor)
    assert scaled.log_likelihood_ + lost == pytest.approx(expected.log_likelihood_, rel=1e-9, abs=1e-9 * abs(lost))  # fmt: skip


@given(log_scale=st.integers(-200, 200), shift=st.floats(-1e4, 1e4))
def test_units_of_columns_change_nothing(log_scale, shift):
    X, y, groups = grouped_table(5)
    expected = QGaussianMixedRegressor().fit(X, y, groups).predict(X, groups)
    scale = np.array([10.0**log_scale, 1.0, 1.0])
    moved = (X + shift) * scale
    found = QGaussianMixedRegressor().fit(moved, y, groups).predict(moved, groups)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_every_group_twice_leaves_the_estimates(table):
    X, y, groups = table
    once = QGaussianMixedRegressor().fit(X, y, groups)
    twice = QGaussianMixedRegressor().fit(
        np.vstack([X, X]), np.hstack([y, y]), np.hstack([groups, groups + 30])
    )
    np.testing.assert_allclose(parameters(twice), parameters(once), rtol=1e-6)
    assert twice.log_likelihood_ == pytest.approx(2 * once.log_likelihood_)


def test_order_of_rows_and_names_of_groups_mean_nothing(table):
    X, y, groups = table
    order = np.random.default_rng(1).permutation(len(y))
    names = np.array([f"clinic {9 * k % 31}" for k in groups])
    model = QGaussianMixedRegressor().fit(X, y, groups)
    other = QGaussianMixedRegressor().fit(X[order], y[order], names[order])
    np.testing.assert_allclose(parameters(other), parameters(model), rtol=1e-7)
    np.testing.assert_allclose(other.predict(X, names), model.predict(X, groups))


# --- bad groups ---


def mean_errors(bad_share, n_seeds=10):
    """Mean squared errors of coefficients with heavy and with Gaussian tails."""
    tables = [grouped_table(seed, 60, 5, bad_share) for seed in range(n_seeds)]
    return [
        np.mean([
            (QGaussianMixedRegressor(degrees_of_freedom=df).fit(*t).coef_ - COEF) ** 2
            for t in tables
        ])
        for df in ("estimate", np.inf)
    ]  # fmt: skip


def test_bad_groups_do_not_pull_it_away_and_good_ones_cost_nothing():
    ours, gaussian = mean_errors(bad_share=0.1)
    assert ours < 0.4 * gaussian
    ours, gaussian = mean_errors(bad_share=0)
    assert 0.95 < ours / gaussian < 1.1


def test_bad_groups_have_the_smallest_weights(table):
    model = QGaussianMixedRegressor().fit(*table)
    assert set(np.argsort(model.group_weights_)[:3]) == {0, 1, 2}


@pytest.mark.parametrize("size", [1e3, 1e6, 1e9])
@pytest.mark.parametrize("penalty", [None, "scad"])
def test_an_outlier_may_be_of_any_size(table, size, penalty):
    X, y, groups = table
    kept = groups != 5
    model = QGaussianMixedRegressor(penalty=penalty)
    expected = model.fit(X[kept], y[kept], groups[kept]).coef_
    y[~kept] += size
    model.fit(X, y, groups)
    np.testing.assert_allclose(model.coef_, expected, atol=0.05)
    assert 0.3 < model.scale_ < 2


def test_groups_without_levels_have_none(table):
    X, y, groups = table
    y = X @ COEF + GroupIndex(groups, 120).centred(y - X @ COEF)
    model = QGaussianMixedRegressor().fit(X, y, groups)
    assert model.random_effect_variance_ == 0 and not model.random_effects_.any()


# --- exact fits ---


@pytest.mark.parametrize("with_groups", [True, False])
@pytest.mark.parametrize("penalty", [None, "scad"])
def test_a_constant_target_is_the_intercept(table, with_groups, penalty):
    X, _, groups = table
    model = QGaussianMixedRegressor(penalty=penalty)
    model.fit(X, np.full(120, 0.1), groups if with_groups else None)
    assert not model.coef_.any() and model.intercept_ == 0.1
    assert model.scale_ < 1e-30 and not model.random_effects_.any()


@pytest.mark.parametrize("with_groups", [True, False])
@pytest.mark.parametrize("penalty", [None, "scad"])
def test_a_target_without_noise_is_found(table, with_groups, penalty):
    X, _, groups = table
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = QGaussianMixedRegressor(penalty=penalty)
        model.fit(X, X @ COEF, groups if with_groups else None)
    np.testing.assert_allclose(model.coef_, COEF, rtol=1e-12)
    assert model.scale_ < 1e-10


def test_groups_that_fit_exactly_are_named(table):
    X, y, _ = table
    y[np.arange(120) % 3 > 0] = 0
    with pytest.warns(ConvergenceWarning, match=r"no maximum. Give degrees_of_freedom"):
        model = QGaussianMixedRegressor().fit(X, y)
    np.testing.assert_allclose(model.coef_, 0, atol=1e-5)
    assert model.n_iter_ < 500
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        QGaussianMixedRegressor(degrees_of_freedom=4).fit(X, y)


# --- predictions ---


def test_known_groups_have_their_level_and_others_none(table):
    X, y, groups = table
    names = np.array([f"clinic {k:02}" for k in groups])
    model = QGaussianMixedRegressor().fit(X, y, names)
    plain = X @ model.coef_ + model.intercept_
    np.testing.assert_allclose(model.predict(X), plain)
    np.testing.assert_allclose(model.predict(X, names), plain + model.random_effects_[groups])  # fmt: skip
    new = np.where(groups < 5, "unknown", names).astype(object)
    effects = np.where(groups < 5, 0, model.random_effects_[groups])
    np.testing.assert_allclose(model.predict(X, new), plain + effects)
    with pytest.raises(TypeError, match=r"ids of the kind that fit has seen.*'clinic 00'"):  # fmt: skip
        model.predict(X, groups)
    with pytest.raises(ValueError, match="groups has 3 ids but X has 120 rows"):
        model.predict(X, names[:3])


def test_levels_help_to_predict_rows_of_known_groups():
    X, y, groups = grouped_table(6, n_groups=20, size=20, bad_share=0)
    model = QGaussianMixedRegressor().fit(X[::2], y[::2], groups[::2])
    X, y, groups = X[1::2], y[1::2], groups[1::2]
    error = ((y - model.predict(X)) ** 2).mean()
    assert ((y - model.predict(X, groups)) ** 2).mean() < 0.7 * error


# --- bad input and warnings ---


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"degrees_of_freedom": 0}, "'degrees_of_freedom' parameter"),
        ({"degrees_of_freedom": np.nan}, "'degrees_of_freedom' parameter"),
        ({"degrees_of_freedom": "free"}, "'degrees_of_freedom' parameter"),
        ({"random_effects": "slope"}, "'random_effects' parameter"),
        ({"penalty": "l2"}, "'penalty' parameter"),
        ({"alpha": -0.1}, "'alpha' parameter"),
        ({"max_iter": 0}, "'max_iter' parameter"),
    ],
)
def test_bad_parameters_are_refused(table, options, words):
    with pytest.raises(ValueError, match=words):
        QGaussianMixedRegressor(**options).fit(*table)


def test_one_group_cannot_tell_the_degrees_of_freedom(table):
    X, y, _ = table
    with pytest.raises(ValueError, match=r"One group .* number as degrees_of_freedom"):
        QGaussianMixedRegressor().fit(X, y, np.zeros(120))
    model = QGaussianMixedRegressor(degrees_of_freedom=4).fit(X, y, np.zeros(120))
    expected = LinearRegression().fit(X, y)  # a single weight changes nothing
    np.testing.assert_allclose(model.coef_, expected.coef_)


def test_groups_of_one_row_have_no_levels(table):
    X, y, _ = table
    expected = QGaussianMixedRegressor().fit(X, y)
    model = QGaussianMixedRegressor()
    with pytest.warns(UserWarning, match="groups has one row .* left out") as record:
        model.fit(X, y, np.arange(120)[::-1])
    assert record[0].filename == __file__
    np.testing.assert_allclose(model.coef_, expected.coef_)
    assert model.random_effect_variance_ == 0


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_as_many_coefficients_as_rows_need_a_penalty(table, fit_intercept):
    X, y, groups = (values[: 3 + fit_intercept] for values in table)
    model = QGaussianMixedRegressor(fit_intercept=fit_intercept)
    with pytest.raises(ValueError, match=r"coefficients fit n_samples=\d rows exactly: set penalty"):  # fmt: skip
        model.fit(X, y, groups)
    assert model.set_params(penalty="l1").fit(X, y).n_iter_ > 0


@pytest.mark.parametrize(
    ("groups", "error", "words"),
    [
        (np.zeros(7), ValueError, "groups has 7 ids but X has 120 rows"),
        (np.r_[np.nan, np.zeros(119)], ValueError, "that of row 0 is missing"),
        (np.zeros((120, 2)), ValueError, "groups must have one dimension"),
        ([1, "a"] * 60, TypeError, "groups must be values that can be sorted"),
    ],
)
def test_bad_groups_are_named(table, groups, error, words):
    with pytest.raises(error, match=words):
        QGaussianMixedRegressor().fit(*table[:2], np.array(groups, dtype=object))


@pytest.mark.parametrize(
    ("X_factor", "y_factor", "penalty"),
    [(1, 1e200, None), (1, 1e-200, None), (1e160, 1, "l1"), (np.inf, 1, None)],
)
def test_numbers_out_of_range_are_refused(table, X_factor, y_factor, penalty):
    X, y, groups = table
    model = QGaussianMixedRegressor(penalty=penalty)
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"range|infinity"):
        model.fit(X * X_factor, y * y_factor, groups)


def test_an_early_end_is_named(table):
    model = QGaussianMixedRegressor(max_iter=2)
    with pytest.warns(ConvergenceWarning, match="raise max_iter or tol") as record:
        assert model.fit(*table).n_iter_ == 2
    assert record[0].filename == __file__


def test_a_solver_that_does_not_end_is_named(table):
    X, y, groups = table
    X = X * [1e-6, 1e6, 1]
    with pytest.warns(ConvergenceWarning, match="scale the columns of X, or raise"):
        QGaussianMixedRegressor(penalty="l1", alpha=1e-12, tol=1).fit(X, y, groups)


# --- use ---


def test_a_search_over_groups_in_a_pipeline():
    X, y, groups = grouped_table(7, n_groups=40, n_features=60)
    grid = {"qgaussianmixedregressor__alpha": [0.1, 0.3, 3.0]}
    tools = {"cv": GroupKFold(4), "scoring": "neg_median_absolute_error"}
    with config_context(enable_metadata_routing=True):
        model = QGaussianMixedRegressor(penalty="scad").set_fit_request(groups=True)
        model = make_pipeline(StandardScaler(), model)
        search = GridSearchCV(model, grid, **tools).fit(X, y, groups=groups)
    assert search.best_params_ == {"qgaussianmixedregressor__alpha": 0.3}
    found = np.flatnonzero(search.best_estimator_[-1].coef_)
    assert set(found) >= {0, 1} and len(found) < 10


def test_frames_and_float32_are_taken(table):
    pd = pytest.importorskip("pandas")
    X, y, groups = table
    frame = pd.DataFrame(X.astype(np.float32), columns=list("abc"))
    ids = pd.Series(groups).map("ward {}".format).astype("category")
    model = QGaussianMixedRegressor().fit(frame, pd.Series(y), ids)
    assert model.coef_.dtype == model.predict(frame, ids).dtype == np.float32
    expected = QGaussianMixedRegressor().fit(X, y, groups).predict(X, groups)
    np.testing.assert_allclose(model.predict(frame, ids), expected, atol=1e-4)
