"""What a meta-estimator hands on: methods, tags, metadata, and rows of the last step."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import (
    BaseEstimator,
    MetaEstimatorMixin,
    clone,
    is_classifier,
    is_regressor,
)
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, SGDRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from minimalml._core.models.delegation import (
    DelegatingMixin,
    RoutingMixin,
    inner_model,
    last_step,
    rows_of_last_step,
    sample_weight_of_last_step,
)

X = np.random.default_rng(0).normal(size=(40, 3))
y = np.arange(40) % 2
WEIGHT = np.linspace(0.01, 1, 40)


class Wrapper(DelegatingMixin, MetaEstimatorMixin, BaseEstimator):
    """The least that a meta-estimator is."""

    def __init__(self, estimator=None):
        self.estimator = estimator

    def _estimator(self):
        return Ridge() if self.estimator is None else self.estimator

    def fit(self, X, y=None, **params):
        self.estimator_ = clone(self._estimator())
        self.estimator_.fit(X, y, **self._route("fit", params))
        self._take_feature_names()
        return self


class Reader(RoutingMixin, MetaEstimatorMixin, BaseEstimator):
    """A meta-estimator that predicts nothing."""

    def __init__(self, estimator):
        self.estimator = estimator


METHODS = [
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform",
    "score",
]  # fmt: skip


@pytest.mark.parametrize("model", [LogisticRegression(), Ridge(), PCA(2), None])
def test_methods_are_those_of_the_estimator_before_and_after_the_fit(model):
    wrapper, inner = Wrapper(model), Ridge() if model is None else model
    for method in METHODS:
        assert hasattr(wrapper, method) == hasattr(inner, method)
    wrapper.fit(X, y)
    inner = clone(inner).fit(X, y)
    for method in filter(lambda name: hasattr(inner, name), METHODS):
        data = (X, y) if method == "score" else (X,)
        expected = getattr(inner, method)(*data)
        np.testing.assert_array_equal(getattr(wrapper, method)(*data), expected)
    assert hasattr(wrapper, "classes_") == hasattr(inner, "classes_")
    assert wrapper.n_features_in_ == 3


def test_methods_need_a_fit_and_say_what_they_do():
    with pytest.raises(NotFittedError, match="Wrapper"):
        Wrapper().predict(X)
    assert Wrapper.predict.__doc__.startswith("Predict with the fitted estimator.")
    assert Wrapper.predict.__name__ == "predict"


def test_tags_are_those_of_the_estimator():
    assert is_classifier(Wrapper(LogisticRegression())) and is_regressor(Wrapper())
    for model in (LogisticRegression(), PCA(), KNeighborsClassifier()):
        ours, inner = get_tags(Wrapper(model)), get_tags(model)
        assert ours.input_tags.sparse == inner.input_tags.sparse
        assert ours.target_tags == inner.target_tags
        assert ours.transformer_tags == inner.transformer_tags


def test_layers_of_a_module_are_no_methods():
    module = pytest.importorskip("torch").nn.Module()
    module.score = module.predict = len
    wrapper = Wrapper(module)
    assert not hasattr(wrapper, "score") and not hasattr(wrapper, "predict")
    assert get_tags(wrapper).estimator_type is None


def test_names_of_an_earlier_fit_are_forgotten():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    wrapper = Wrapper().fit(frame, y)
    assert list(wrapper.feature_names_in_) == ["a", "b", "c"]
    assert not hasattr(wrapper.fit(X, y), "feature_names_in_")


def test_metadata_is_routed_to_fit_and_score():
    direct = Ridge().fit(X, y, sample_weight=WEIGHT)
    assert (
        Wrapper().fit(X, y, sample_weight=WEIGHT).predict(X) == direct.predict(X)
    ).all()
    with config_context(enable_metadata_routing=True):
        inner = Ridge().set_fit_request(sample_weight=True)
        inner.set_score_request(sample_weight=True)
        wrapper = Wrapper(inner).fit(X, y, sample_weight=WEIGHT)
        np.testing.assert_array_equal(wrapper.predict(X), direct.predict(X))
        ours = wrapper.score(X, y, sample_weight=WEIGHT)
        assert ours == direct.score(X, y, sample_weight=WEIGHT)
        params = {"sample_weight": WEIGHT}
        scores = cross_val_score(Wrapper(inner), X, y, params=params)
        np.testing.assert_array_equal(
            scores, cross_val_score(inner, X, y, params=params)
        )
        reader = Reader(inner)
        assert reader._route("fit", params) == params


@pytest.mark.parametrize("request_of_inner", [True, False, None])
def test_a_pipeline_may_score_without_weights(request_of_inner):
    with config_context(enable_metadata_routing=True):
        inner = Ridge().set_score_request(sample_weight=request_of_inner)
        pipeline = make_pipeline(Wrapper(inner)).fit(X, y)
        plain = Ridge().fit(X, y)
        assert pipeline.score(X, y) == plain.score(X, y)
        if request_of_inner is not None:
            weight = WEIGHT if request_of_inner else None
            ours = pipeline.score(X, y, sample_weight=WEIGHT)
            assert ours == plain.score(X, y, weight)


def test_a_wrapper_may_check_the_rows_of_each_method():
    class Doubling(Wrapper):
        def _rows_for_estimator(self, X):
            return 2 * X

    wrapper, inner = Doubling().fit(X, y), Ridge().fit(X, y)
    np.testing.assert_array_equal(wrapper.predict(X), inner.predict(2 * X))
    assert wrapper.score(X, y) == inner.score(2 * X, y)


# The last step


def wrapped(model):
    """Return all that may stand around a model, fitted."""
    inner = clone(model).fit(X, y)
    return {
        "itself": inner,
        "pipeline": make_pipeline(StandardScaler(), clone(model)).fit(X, y),
        "frozen pipeline": FrozenEstimator(
            make_pipeline(StandardScaler(), clone(model)).fit(X, y)
        ),
        "search": GridSearchCV(
            make_pipeline(StandardScaler(), clone(model)), {}, cv=2
        ).fit(X, y),
        "pipeline in a meta-estimator": Wrapper(
            make_pipeline(StandardScaler(), clone(model))
        ).fit(X, y),
        "meta-estimator in a pipeline": make_pipeline(
            StandardScaler(), Wrapper(make_pipeline(PCA(2), clone(model)))
        ).fit(X, y),
        "feature elimination": RFE(clone(model), n_features_to_select=2).fit(X, y),
        "one step": make_pipeline(clone(model)).fit(X, y),
    }


@pytest.mark.parametrize("kind", list(wrapped(Ridge())))
def test_the_last_step_sees_its_rows(kind):
    model = wrapped(Ridge())[kind]
    last = last_step(model)
    assert type(last) is Ridge and inner_model(last) is None
    rows = rows_of_last_step(model, X)
    np.testing.assert_allclose(last.predict(rows), model.predict(X))


def test_ensembles_have_no_single_model_inside():
    ensemble = BaggingRegressor(Ridge().fit(X, y), n_estimators=2).fit(X, y)
    assert inner_model(ensemble) is None and last_step(ensemble) is ensemble
    assert inner_model(3) is None


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (SGDRegressor(), "sample_weight"),
        (make_pipeline(PCA(), SGDRegressor()), "sgdregressor__sample_weight"),
        (make_pipeline(PCA(), SGDRegressor()), "sample_weight"),  # where it is routed
        (
            Pipeline([("a", PCA()), ("b", make_pipeline(SGDRegressor()))]),
            "b__sgdregressor__sample_weight",
        ),
        (GridSearchCV(Pipeline([("s", Ridge())]), {}, cv=2), "s__sample_weight"),
        (Wrapper(Pipeline([("s", Ridge())])), "s__sample_weight"),
        (FrozenEstimator(Pipeline([("s", Ridge())]).fit(X, y)), "s__sample_weight"),
    ],
)
def test_sample_weights_of_the_last_step_are_found(model, name):
    model.fit(X, y)
    assert sample_weight_of_last_step(model, {name: WEIGHT}) is WEIGHT
    assert sample_weight_of_last_step(model, {"other__sample_weight": WEIGHT}) is None
