"""A model of moved rows: whose labels it reads, where metadata goes, searches."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.cluster import KMeans
from sklearn.datasets import make_moons
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, PredefinedSplit, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.transport import SparseTransportMapper, TransportedEstimator


class Shift(TransformerMixin, BaseEstimator):
    """The simplest mapper: from one mean to the other."""

    def fit(self, X, y=None, sample_domain=None):
        is_target = np.asarray(sample_domain) < 0
        self.shift_ = X[is_target].mean(axis=0) - X[~is_target].mean(axis=0)
        return self

    def transform(self, X):
        return X + self.shift_


@pytest.fixture
def moons():
    X, y = make_moons(160, noise=0.05, random_state=0)
    domain = np.where(np.arange(160) % 4 == 3, -1, 1)
    X[domain < 0] += [2.0, 2.0]
    return X, y, domain


def test_it_learns_from_moved_sources_and_predicts_targets_as_they_are(moons):
    X, y, domain = moons
    for mapper in (None, Shift(), SparseTransportMapper(3, reg=0.1)):
        model = TransportedEstimator(KNeighborsClassifier(1), mapper)
        model.fit(X, y, sample_domain=domain)
        fitted = clone(mapper or SparseTransportMapper()).fit(X, sample_domain=domain)
        moved = fitted.transform(X[domain > 0])
        alone = KNeighborsClassifier(1).fit(moved, y[domain > 0])
        np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))
        unmoved = KNeighborsClassifier(1).fit(X[domain > 0], y[domain > 0])
        targets = X[domain < 0], y[domain < 0]
        assert model.score(*targets) > unmoved.score(*targets)


@pytest.mark.parametrize("kind", [float, str, object])
def test_labels_of_targets_are_not_read(moons, kind):
    X, y, domain = moons
    y = y.astype(str if kind is object else kind)
    hidden = np.where(domain < 0, None if kind is object else kind("nan"), y)
    fitted = [
        TransportedEstimator(KNeighborsClassifier(), Shift()).fit(
            X, labels, sample_domain=domain
        )
        for labels in (y, hidden)
    ]
    np.testing.assert_array_equal(*(model.predict(X) for model in fitted))
    np.testing.assert_array_equal(fitted[0].classes_, fitted[1].classes_)


def test_weights_of_source_rows_reach_the_estimator_by_routing_or_without(moons):
    X, y, domain = moons
    weight = np.linspace(0.1, 3, len(X))
    moved = Shift().fit(X, sample_domain=domain).transform(X[domain > 0])
    expected = Ridge().fit(moved, y[domain > 0], weight[domain > 0]).predict(X)
    plain = TransportedEstimator(Ridge(), Shift())
    plain.fit(X, y, sample_domain=domain, sample_weight=weight)
    np.testing.assert_array_equal(plain.predict(X), expected)
    with config_context(enable_metadata_routing=True):
        inner = Ridge().set_fit_request(sample_weight=True)
        inner.set_score_request(sample_weight=False)
        model = TransportedEstimator(inner, Shift()).set_fit_request(sample_domain=True)
        given = {"sample_domain": domain, "sample_weight": weight}
        pipeline = make_pipeline("passthrough", model).fit(X, y, **given)
        np.testing.assert_array_equal(pipeline.predict(X), expected)
        assert pipeline.score(X, y) == plain.score(X, y)
        scores = cross_val_score(model, X, y, params=given, error_score="raise")
        assert np.isfinite(scores).all()


def test_scores_take_weights_and_none(moons):
    X, y, domain = moons
    model = TransportedEstimator(Ridge(), Shift()).fit(X, y, sample_domain=domain)
    assert model.score(X, y, sample_weight=None) == model.score(X, y)
    weight = np.linspace(0.1, 3, len(X))
    expected = model.estimator_.score(X, y, weight)
    assert model.score(X, y, sample_weight=weight) == expected
    with config_context(enable_metadata_routing=True):
        inner = Ridge().set_score_request(sample_weight=True)
        model = TransportedEstimator(inner, Shift()).set_fit_request(sample_domain=True)
        pipeline = make_pipeline(model).fit(X, y, sample_domain=domain)
        assert pipeline.score(X, y, sample_weight=weight) == expected
        assert pipeline.score(X, y, sample_weight=None) == pipeline.score(X, y)


def test_a_search_in_a_pipeline_splits_the_domains_too(moons):
    X, y, domain = moons
    fold = np.where(domain < 0, np.arange(160) // 4 % 2, -1)  # only targets are tested
    with config_context(enable_metadata_routing=True):
        mapper = SparseTransportMapper().set_fit_request(sample_domain=True)
        model = TransportedEstimator(KNeighborsClassifier(1), mapper)
        pipeline = make_pipeline(StandardScaler(), model.set_fit_request(sample_domain=True))  # fmt: skip
        grid = {"transportedestimator__mapper__max_nonzeros": [6, 20, 100]}
        search = GridSearchCV(pipeline, grid, cv=PredefinedSplit(fold), error_score="raise")  # fmt: skip
        search.fit(X, y, sample_domain=domain)
        assert search.predict(X[domain < 0]).shape == (40,)
    assert search.best_score_ > 0.5


def test_estimators_without_y_and_of_several_targets(moons):
    X, y, domain = moons
    clusters = TransportedEstimator(KMeans(2, n_init=1), Shift())
    assert clusters.fit(X, sample_domain=domain).predict(X).shape == (160,)
    targets = np.column_stack([y, 1 - y]).astype(float)
    targets[domain < 0] = np.nan
    model = TransportedEstimator(Ridge(), Shift())
    assert model.fit(X, targets, sample_domain=domain).predict(X).shape == (160, 2)


def test_bad_input_is_refused(moons):
    X, y, domain = moons
    model = TransportedEstimator(LogisticRegression())
    with pytest.raises(ValueError, match=r"160 source rows.*0 target rows"):
        model.fit(X, y, sample_domain=np.ones(160))
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples"):
        model.fit(X, y[:20], sample_domain=domain)
    y = y.astype(float)
    y[0] = np.nan  # a source
    with pytest.raises(ValueError, match="Input y contains NaN"):
        model.fit(X, y, sample_domain=domain)
    with pytest.raises(ValueError, match="'mapper'"):
        TransportedEstimator(Ridge(), Ridge()).fit(X, y, sample_domain=domain)
