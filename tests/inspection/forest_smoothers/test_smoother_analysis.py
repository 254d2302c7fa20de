"""The estimator, the mechanisms of error, and what is refused."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin, is_classifier
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Lasso, LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from minimalml.datasets import make_mars
from minimalml.inspection import (
    SmootherAnalysis,
    effective_parameters,
    effective_parameters_by_offset,
    error_mechanisms,
    smoother_weights,
    smoothness_scorer,
)
from minimalml.inspection._forest_smoothers import _boosted_leaves, _forest_smoothers
from tests.inspection.forest_smoothers.models import FEW, MEMBERS

X, Y = make_mars(60, random_state=0)
X_NEW = make_mars(20, random_state=1)[0]
CLASSES = np.where(Y > 7, "high", "low")


class KernelSmoother(RegressorMixin, BaseEstimator):
    """A user's smoother: fit keeps rows, weights come from distances."""

    def fit(self, X, y):
        self.X_, self.y_ = X, y
        return self

    def predict(self, X):
        return self.smoother_weights(X, self.X_) @ self.y_

    def smoother_weights(self, X_eval, X_train):
        distances = ((X_eval[:, None] - X_train) ** 2).sum(axis=2)
        kernel = np.exp(-5 * distances)
        return kernel / kernel.sum(axis=1, keepdims=True)


def test_analysis_predicts_as_its_estimator_and_knows_its_rows():
    analysis = SmootherAnalysis(ExtraTreesRegressor(**FEW)).fit(X, Y)
    assert_allclose(analysis.weights(X_NEW) @ Y, analysis.predict(X_NEW))
    assert analysis.p0_train_ == pytest.approx(60)
    forest = analysis.estimator_
    for options in ({}, {"per_row": True}, {"staged": True}):
        found = analysis.effective_parameters(X_NEW, **options)
        expected = effective_parameters(forest, X_NEW, X_train=X, **options)
        assert_array_equal(found, expected)
    indices, weights = analysis.nearest_training_rows(X[:3], k=2)
    assert_array_equal(indices[:, 0], [0, 1, 2])
    assert_allclose(weights[:, 0], 1.0)
    indices, weights = analysis.nearest_training_rows(X_NEW, k=60)
    assert (np.diff(weights, axis=1) <= 0).all()
    assert_allclose(weights.sum(axis=1), 1.0)


def test_analysis_is_pickled_and_taken_as_its_estimator():
    model = make_pipeline(StandardScaler(), RandomForestRegressor(**FEW))
    analysis = SmootherAnalysis(model).fit(X, Y)
    again = pickle.loads(pickle.dumps(analysis))
    assert_array_equal(again.weights(X_NEW), analysis.weights(X_NEW))
    assert_array_equal(smoother_weights(again, X_NEW, X_train=X), again.weights(X_NEW))


def test_analysis_hands_on_seed_jobs_and_weights():
    weight = np.random.default_rng(0).integers(0, 3, 60).astype(float)
    model = make_pipeline(StandardScaler(), ExtraTreesRegressor(5))
    first = SmootherAnalysis(model, random_state=3, n_jobs=2).fit(X, Y, weight)
    second = SmootherAnalysis(model, random_state=3).fit(X, Y, sample_weight=weight)
    assert_array_equal(first.weights(X_NEW), second.weights(X_NEW))
    assert first.estimator_[-1].n_jobs == 2 and second.estimator_[-1].n_jobs is None
    assert (first.weights()[:, weight == 0] == 0).all()
    assert_allclose(first.weights(X_NEW) @ Y, first.predict(X_NEW))


def test_search_for_the_smoothest_forest_in_a_pipeline():
    forest = RandomForestRegressor(10, bootstrap=False, random_state=0)
    pipeline = make_pipeline(StandardScaler(), SmootherAnalysis(forest))
    grid = {"smootheranalysis__estimator__min_samples_leaf": [1, 10]}
    search = GridSearchCV(pipeline, grid, scoring=smoothness_scorer, cv=2).fit(X, Y)
    assert search.best_params_ == {next(iter(grid)): 10}
    alone = GridSearchCV(SmootherAnalysis(forest), {"estimator__max_depth": [1, None]},
                         scoring=smoothness_scorer, cv=2).fit(X, Y)  # fmt: skip
    assert alone.best_params_ == {"estimator__max_depth": 1}


def test_classes_of_users_give_their_weights_themselves():
    analysis = SmootherAnalysis(KernelSmoother()).fit(X, Y)
    assert 1 < analysis.effective_parameters(X_NEW) < 60
    model = KernelSmoother().fit(X, Y)
    model.smoother_weights = lambda X_eval, X_train: np.ones((2, 3))
    with pytest.raises(ValueError, match=r"of shape \(60, 60\), got \(2, 3\)"):
        smoother_weights(model, X_train=X)


def test_mechanisms_are_those_of_the_definition(rng):
    predictions, target = rng.normal(size=(4, 9)), rng.normal(size=9)
    predictions[2] = target + 0.1  # the best
    parts = error_mechanisms(predictions, target)
    errors = [np.mean((row - target) ** 2) for row in predictions]
    best = predictions[np.argmin(errors)]
    assert_allclose(parts["mse"], errors)
    assert parts["representation_bias"] == pytest.approx(min(errors))
    distances = [np.mean((row - best) ** 2) for row in predictions]
    assert parts["model_variability"] == pytest.approx(np.mean(distances))
    assert parts["average_excess"] == pytest.approx(np.mean(errors) - min(errors))


def test_mars_is_the_formula_with_the_same_rows_for_any_noise():
    X, y = make_mars(50, n_features=7, noise=0.0, random_state=3)
    x1, x2, x3, x4, x5, _, _ = X.T
    steps = 4 / (1 + np.exp(-20 * (x2 - 0.5)))
    assert_allclose(y, 0.1 * np.exp(4 * x1) + steps + 3 * x3 + 2 * x4 + x5)
    options = dict(n_features=7, kind="multiplicative", random_state=3)
    X_noisy, noisy = make_mars(50, noise=2.0, center=0.5, **options)
    assert_array_equal(X_noisy, X)
    waves = 10 * np.sin(np.pi * x1 * x2) + 20 * (x3 - 0.5) ** 2
    assert 1 < (noisy - waves - 10 * x4 - 5 * x5).std() < 3
    with pytest.raises(ValueError, match="'n_features' parameter"):
        make_mars(n_features=4)


BOOSTING = dict(n_estimators=3)
REFUSED = [
    (DecisionTreeRegressor(criterion="absolute_error"), "medians"),
    (RandomForestRegressor(3, monotonic_cst=[1, 0, 0, 0, 0]), "monotonic_cst must be"),
    (
        GradientBoostingRegressor(loss="huber", **BOOSTING),
        "loss must be 'squared_error', got 'huber'",
    ),
    (
        GradientBoostingRegressor(subsample=0.5, **BOOSTING),
        "subsample must be 1, got 0.5",
    ),
    (GradientBoostingRegressor(n_iter_no_change=2, **BOOSTING), "n_iter_no_change"),
    (GradientBoostingRegressor(init=Lasso(), **BOOSTING), "got Lasso"),
    (
        LinearRegression(positive=True),
        "positive=True makes LinearRegression no weighted",
    ),
    (Ridge(positive=True), "positive=True makes Ridge no weighted"),
    (Ridge([1.0, 2.0]), "alpha must be one number"),
    (VotingClassifier([("tree", DecisionTreeClassifier())]), "voting='hard' counts"),
    (StackingRegressor([MEMBERS[0]]), "without an intercept"),
    (StackingRegressor([MEMBERS[0]], passthrough=True), "passthrough must be False"),
    (AdaBoostRegressor(n_estimators=2), "weighted medians"),
    (HistGradientBoostingRegressor(max_iter=2), "got HistGradientBoostingRegressor"),
    (Lasso(), "model must be one of: decision trees, random forests.*got Lasso"),
    (BaggingRegressor(Lasso(), n_estimators=2), "got Lasso"),
]


@pytest.mark.parametrize(("model", "message"), REFUSED, ids=lambda v: type(v).__name__)
def test_models_that_are_no_smoothers_are_refused(model, message):
    y = np.c_[Y, Y] if np.size(getattr(model, "alpha", 1)) == 2 else Y
    y = CLASSES if is_classifier(model) else y
    with pytest.raises((ValueError, TypeError), match=message):
        smoother_weights(model.fit(X, y), X_train=X)


def test_boosted_classes_are_refused_and_unfitted_models():
    model = GradientBoostingClassifier(n_estimators=2).fit(X, CLASSES)
    with pytest.raises(
        ValueError, match="GradientBoostingClassifier is no weighted sum"
    ):
        effective_parameters(model, X_train=X)
    with pytest.raises(NotFittedError):
        smoother_weights(RandomForestRegressor(), X_train=X)
    with pytest.raises(NotFittedError):
        SmootherAnalysis().weights(X)


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (RandomForestRegressor(**FEW), {"X_train": X[:50]}),
        (RandomForestRegressor(**FEW), {"X_train": X[::-1]}),
        (RandomForestRegressor(**FEW), {"X_train": np.r_[X, X_NEW]}),
        (DecisionTreeRegressor(max_depth=3), {"X_train": X, "sample_weight": X[:, 0]}),
        (RandomForestRegressor(**FEW), {"X_train": X, "y_train": Y[::-1]}),
        (GradientBoostingRegressor(**BOOSTING), {"X_train": X[::-1] ** 2}),
        (Ridge(), {"X_train": X[::-1], "y_train": Y}),
        (KNeighborsRegressor(), {"X_train": X[:50]}),
        (
            make_pipeline(TargetEncoder(), DecisionTreeRegressor()),
            {"X_train": X.round(1)},
        ),
    ],
)
def test_data_of_another_fit_are_noticed(model, data):
    model.fit(X.round(1) if hasattr(model, "steps") else X, Y)
    with pytest.raises(
        ValueError, match="X_train is not the data this model was fitted"
    ):
        smoother_weights(model, **data)


FOREST = RandomForestRegressor(**FEW).fit(X, Y)
BALANCED = RandomForestClassifier(class_weight="balanced_subsample", **FEW)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smoother_weights(FOREST, X_NEW, X_train=X, oob=True), "X_eval must be"),
        (lambda: smoother_weights(ExtraTreesRegressor(3).fit(X, Y), X_train=X, oob=True),
         "oob=True needs a forest"),
        (lambda: smoother_weights(Ridge().fit(X, Y), X_train=X, oob=True), "oob=True needs"),
        (lambda: effective_parameters(Ridge().fit(X, Y), X_train=X, staged=True),
         "staged=True needs"),
        (lambda: effective_parameters(FOREST.estimators_[0], X_train=X, staged=True,
                                      sample_weight=np.bincount(
                                          FOREST.estimators_samples_[0], minlength=60)),
         "staged=True needs"),
        (lambda: smoother_weights(FOREST, X_train=X, output="csr"), "'output' parameter"),
        (lambda: smoother_weights(FOREST, X_train=X, y_train=Y[:9]), "y_train has 9 rows"),
        (lambda: smoother_weights(FOREST, X_train=X, sample_weight=-X[:, 0]), "negative|Neg"),
        (lambda: smoother_weights(KNeighborsRegressor().fit(X, Y), X_train=X,
                                  sample_weight=Y), "KNeighborsRegressor takes no weights"),
        (lambda: smoother_weights(BALANCED.fit(X, CLASSES), X_train=X),
         "y_train must be given: class_weight='balanced_subsample'"),
        (lambda: smoother_weights(FOREST, np.full((1, 5), np.inf), X_train=X), "infinity"),
        (lambda: effective_parameters_by_offset(FOREST, X, [-1.0]), "offsets must be"),
        (lambda: effective_parameters_by_offset(FOREST, X, [0.1], n_repeats=0), "n_repeats"),
        (lambda: error_mechanisms([[1.0, 2.0]], [1.0]), "each of the 2 columns"),
        (lambda: error_mechanisms([[1.0, np.nan]], [1.0, 2.0]), "NaN"),
        (lambda: SmootherAnalysis(FOREST).fit(X, Y).nearest_training_rows(X, 61),
         "k must be an integer from 1 to 60, got 61"),
        (lambda: SmootherAnalysis(n_jobs="two").fit(X, Y), "'n_jobs' parameter"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_arrays_that_would_not_fit_are_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr(_forest_smoothers, "MOST_DENSE_BYTES", 1e4)
    with pytest.raises(ValueError, match="60 x 60 weights: use output='sparse'"):
        smoother_weights(FOREST, X_train=X)
    assert smoother_weights(FOREST, X_train=X, output="sparse").shape == (60, 60)
    monkeypatch.setattr(_boosted_leaves, "MOST_BYTES", 1e4)
    model = GradientBoostingRegressor(**BOOSTING).fit(X, Y)
    with pytest.raises(
        ValueError, match="boosting on 60 rows with 24 leaves would take"
    ):
        effective_parameters(model, X_train=X)
