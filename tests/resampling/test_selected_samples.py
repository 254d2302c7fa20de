"""Any estimator on the rows that a selector picks, a user's own selector included."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from minimalml.resampling._sample_selector import (
    BUDGET_CONSTRAINT,
    SampleSelectorMixin,
    number_to_select,
    pool_and_target,
)
from minimalml.resampling._selected_samples import SelectedSamplesEstimator


class NearestToTarget(SampleSelectorMixin, BaseEstimator):
    """Rows of the pool nearest to the target's mean: small, and no method of ours."""

    _parameter_constraints = {"n_samples_to_select": BUDGET_CONSTRAINT}

    def __init__(self, n_samples_to_select=0.5):
        self.n_samples_to_select = n_samples_to_select

    def fit(self, X, y=None, *, X_target=None, sample_domain=None):
        self._validate_params()
        X, pool, target = pool_and_target(self, X, X_target, sample_domain)
        distances = np.linalg.norm(X[pool] - target.mean(axis=0), axis=1)
        n_selected = number_to_select(self.n_samples_to_select, len(pool))
        self.sample_indices_ = pool[np.argsort(distances, kind="stable")[:n_selected]]
        return self


@pytest.fixture(scope="module")
def data():
    X, y = load_digits(return_X_y=True)
    return X[:300] / 16, y[:300]


def test_a_selector_of_ten_lines_passes_the_checks_of_scikit_learn():
    check_estimator(NearestToTarget())


@pytest.mark.parametrize("estimator", [LogisticRegression(), Ridge(), KMeans(3, n_init=1, random_state=0)])  # fmt: skip
def test_it_is_the_estimator_fitted_on_the_selected_rows(estimator, data):
    X, y = data
    model = SelectedSamplesEstimator(estimator, NearestToTarget(0.9)).fit(X, y)
    rows = model.sample_indices_
    np.testing.assert_array_equal(rows, NearestToTarget(0.9).fit(X).sample_indices_)
    expected = estimator.fit(X[rows], y[rows]).predict(X)
    np.testing.assert_array_equal(model.predict(X), expected)
    assert hasattr(model, "predict_proba") == hasattr(estimator, "predict_proba")
    assert model.n_features_in_ == 64


def test_target_rows_are_not_fitted_on_and_their_labels_not_read(data):
    X, y = data
    domain = np.where(np.arange(300) < 200, 1, -1)
    hidden = np.where(domain > 0, y, np.nan)
    model = SelectedSamplesEstimator(LinearRegression(), NearestToTarget(50))
    by_domain = model.fit(X, hidden, sample_domain=domain).sample_indices_
    assert by_domain.max() < 200
    by_target = model.fit(X[:200], y[:200], X_target=X[200:]).sample_indices_
    np.testing.assert_array_equal(by_domain, by_target)
    labels = np.where(domain > 0, y, 77)
    classifier = SelectedSamplesEstimator(LogisticRegression(), NearestToTarget(50))
    assert 77 not in classifier.fit(X, labels, sample_domain=domain).classes_


def test_a_lost_class_gets_its_first_row(data):
    X, y = data
    y = np.array([f"digit {label}" for label in y])
    rows = NearestToTarget(12).fit(X).sample_indices_
    lost = np.setdiff1d(y, y[rows])
    assert len(lost)
    model = SelectedSamplesEstimator(LogisticRegression(), NearestToTarget(12))
    for labels in (y, y[:, None]):
        added = model.fit(X, labels).sample_indices_[len(rows) :]
        assert added.tolist() == sorted(np.flatnonzero(y == k)[0] for k in lost)
        assert model.classes_.tolist() == sorted(set(y))
    # labels of rows that are no candidates are no classes
    SelectedSamplesEstimator(Ridge(), NearestToTarget(12)).fit(X, y == lost[0])


def test_weights_are_cut_to_the_selection(data):
    X, y = data
    weights = np.linspace(0, 1, len(X))
    model = SelectedSamplesEstimator(Ridge(), NearestToTarget(0.5))
    model.fit(X, y, sample_weight=weights)
    rows = model.sample_indices_
    expected = Ridge().fit(X[rows], y[rows], sample_weight=weights[rows])
    np.testing.assert_array_equal(model.estimator_.coef_, expected.coef_)
    with pytest.raises(TypeError, match="unknown"):
        model.fit(X, y, unknown=1)


def test_search_in_a_pipeline_with_a_routed_domain(data):
    X, y = data
    domain = np.where(np.arange(300) % 3, 1, -1)
    with config_context(enable_metadata_routing=True):
        model = SelectedSamplesEstimator(
            LogisticRegression(), NearestToTarget().set_fit_request(sample_domain=True)
        )
        pipeline = Pipeline([("scale", StandardScaler()), ("model", model)])
        search = GridSearchCV(
            pipeline, {"model__selector__n_samples_to_select": [0.1, 0.9]}, cv=3
        )
        search.fit(X, y, sample_domain=domain)
    assert search.best_params_ == {"model__selector__n_samples_to_select": 0.9}
    assert search.score(X, y) > 0.8
    assert (domain[search.best_estimator_[-1].sample_indices_] > 0).all()


def test_frames_keep_index_and_names(data):
    X, y = data
    frame = pd.DataFrame(X, index=np.arange(300) + 1000).add_prefix("pixel ")
    target = pd.Series(y, index=frame.index, name="digit")
    selector = NearestToTarget(7)
    X_selected, y_selected = selector.fit_resample(frame, target)
    assert X_selected.index.tolist() == (1000 + selector.sample_indices_).tolist()
    assert y_selected.index.equals(X_selected.index) and y_selected.name == "digit"
    assert selector.support_.sum() == len(selector.get_support(indices=True)) == 7
    model = SelectedSamplesEstimator(Ridge(), selector).fit(frame, target)
    assert model.feature_names_in_.tolist() == frame.columns.tolist()
    with pytest.raises(ValueError, match="feature names should match"):
        selector.fit(frame, X_target=frame[frame.columns[::-1]])


def test_pools_and_budgets_that_make_no_sense_are_refused(data):
    X, _ = data
    with pytest.raises(ValueError, match="X_target and sample_domain both"):
        NearestToTarget().fit(X, X_target=X, sample_domain=np.ones(300))
    with pytest.raises(ValueError, match="X_target has 63 features, but X has 64"):
        NearestToTarget().fit(X, X_target=X[:, 1:])
    with pytest.raises(ValueError, match="X_target contains NaN"):
        NearestToTarget().fit(X, X_target=X * np.nan)
    with pytest.raises(ValueError, match="X_target"):
        NearestToTarget().fit(X, X_target=X[:0])
    for budget in (0, 0.0, 1.5, -1, "all"):
        with pytest.raises(ValueError, match="n_samples_to_select"):
            NearestToTarget(budget).fit(X)
    with pytest.warns(UserWarning, match="301 is more than the 300 rows"):
        assert NearestToTarget(301).fit(X).support_.all()
    assert number_to_select(0.1, 30) == 3 and number_to_select(1e-9, 5) == 1
    with pytest.raises(AttributeError, match="after fit"):
        NearestToTarget().support_  # noqa: B018
    assert not hasattr(make_pipeline(NearestToTarget()), "transform")
