"""Hidden layers beside plain forward passes, and what is made of several of them."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import parallel_config
from scipy import sparse
from scipy.special import expit, softmax
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler, scale

from minimalml.ensemble import ConcatenatedRepresentation, hidden_representation

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
EXACT = 1e-10  # rounding of two orders of the same sums
HEAD = 1e-6
NETWORK = MLPClassifier((8, 5), max_iter=15)
ACTIVATIONS = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "logistic": expit,
    "identity": lambda z: z,
}


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return scale(X), y


@pytest.fixture(scope="module")
def fitted(iris):
    return ConcatenatedRepresentation(NETWORK, 3, random_state=0).fit(*iris)


@settings(max_examples=8)
@given(
    seed=st.integers(0, 10**6),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    is_classifier=st.booleans(),
)
def test_layers_are_those_of_a_plain_forward_pass(seed, activation, is_classifier):
    X, y = make_classification(60, 6, n_classes=2, random_state=seed)
    kind = MLPClassifier if is_classifier else MLPRegressor
    network = kind(
        hidden_layer_sizes=(7, 4), activation=activation, max_iter=3, random_state=seed
    ).fit(X, y)
    hidden = X
    for layer in range(2):
        z = hidden @ network.coefs_[layer] + network.intercepts_[layer]
        hidden = ACTIVATIONS[activation](z)
        for index in (layer, layer - 2):
            ours = hidden_representation(network, X, layer=index)
            np.testing.assert_allclose(ours, hidden, rtol=EXACT, atol=EXACT)
    output = (hidden @ network.coefs_[2] + network.intercepts_[2])[:, 0]
    if is_classifier:
        theirs = network.predict_proba(X)[:, 1]
        np.testing.assert_allclose(expit(output), theirs, rtol=EXACT)
    else:
        np.testing.assert_allclose(output, network.predict(X), rtol=EXACT)


def test_holders_are_looked_into(iris):
    X, y = iris
    network = clone(NETWORK).set_params(random_state=0)
    pipeline = make_pipeline(StandardScaler(), network).fit(X + 3, y)
    expected = hidden_representation(pipeline[-1], X)
    for holder in (pipeline, FrozenEstimator(pipeline)):
        found = hidden_representation(holder, X + 3)
        np.testing.assert_allclose(found, expected, atol=EXACT)
    search = GridSearchCV(network, {"alpha": [1e-4]}, cv=2).fit(X, y)
    np.testing.assert_array_equal(
        hidden_representation(search, X),
        hidden_representation(search.best_estimator_, X),
    )
    with pytest.raises(NotFittedError):
        hidden_representation(GridSearchCV(network, {}), X)


def test_transform_is_the_stack_of_networks_as_of_a_feature_union(iris, fitted):
    X, _ = iris
    stacked = [hidden_representation(e, X) for e in fitted.estimators_]
    np.testing.assert_array_equal(fitted.transform(X), np.hstack(stacked))
    union = FeatureUnion(
        [
            (
                f"n{i}",
                FunctionTransformer(lambda rows, e=e: hidden_representation(e, rows)),
            )
            for i, e in enumerate(fitted.estimators_)
        ]
    )
    np.testing.assert_array_equal(fitted.transform(X), union.fit_transform(X))
    np.testing.assert_array_equal(fitted.widths_, [5, 5, 5])
    assert fitted.get_feature_names_out()[[0, -1]].tolist() == [
        "network0_unit0", "network2_unit4",
    ]  # fmt: skip


def test_first_networks_are_those_of_a_smaller_number(iris, fitted):
    X, y = iris
    two = ConcatenatedRepresentation(NETWORK, 2, random_state=0, n_jobs=2)
    with parallel_config("threading"):
        two.fit(X, y)
    np.testing.assert_array_equal(two.seeds_, fitted.seeds_[:2])
    np.testing.assert_array_equal(two.transform(X), fitted.transform(X)[:, :10])
    assert len(set(fitted.seeds_)) == 3
    assert not np.array_equal(two.transform(X)[:, :5], two.transform(X)[:, 5:])


def test_order_of_a_list_permutes_blocks(iris):
    X, y = iris
    frozen = [
        FrozenEstimator(clone(NETWORK).set_params(random_state=seed).fit(X, y))
        for seed in range(2)
    ]
    one = ConcatenatedRepresentation(frozen).fit(X)
    other = clone(ConcatenatedRepresentation(frozen[::-1])).fit(X)
    assert one.estimators_[0] is frozen[0] is other.estimators_[1]
    np.testing.assert_array_equal(
        one.transform(X), np.roll(other.transform(X), 5, axis=1)
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_averaged_head_gives_the_mean_of_logits(n_classes):
    X, y = make_classification(
        90, 6, n_informative=4, n_classes=n_classes, random_state=0
    )
    model = ConcatenatedRepresentation(NETWORK, 3, random_state=0).fit(X, y)
    coef, intercept = model.averaged_head()
    assert coef.shape == (1 if n_classes == 2 else 3, 15)
    logits = model.transform(X) @ coef.T + intercept
    each = [e.predict_proba(X) for e in model.estimators_]
    # logits of softmax are known up to a number a row
    mean = np.mean(np.log(each), axis=0)
    if n_classes == 2:
        difference = mean[:, 1] - mean[:, 0]
        np.testing.assert_allclose(logits[:, 0], difference, atol=HEAD)
    else:
        np.testing.assert_allclose(softmax(logits, 1), softmax(mean, 1), atol=HEAD)


def test_averaged_head_of_regressors_and_of_networks_that_differ(iris):
    X, y = iris
    targets = np.column_stack([X[:, 0], X[:, 1] ** 2])
    model = ConcatenatedRepresentation(
        MLPRegressor(hidden_layer_sizes=(4,), max_iter=5), 2, random_state=0
    ).fit(X, targets)
    coef, intercept = model.averaged_head()
    mean = np.mean([e.predict(X) for e in model.estimators_], axis=0)
    np.testing.assert_allclose(model.transform(X) @ coef.T + intercept, mean, atol=HEAD)
    assert not hasattr(model, "classes_")
    others = [FrozenEstimator(clone(NETWORK).fit(X[y < 2], y[y < 2])),
              FrozenEstimator(clone(NETWORK).fit(X, y))]  # fmt: skip
    mixed = ConcatenatedRepresentation(others).fit(X)
    assert not hasattr(mixed, "classes_")
    with pytest.raises(ValueError, match="same classes_"):
        mixed.averaged_head()
    first = ConcatenatedRepresentation(NETWORK, 1, layer=0).fit(X, y)
    with pytest.raises(ValueError, match="layer=-1, got 0"):
        first.averaged_head()


def test_more_features_fit_the_training_rows_at_least_as_well(iris, fitted):
    X, y = iris
    features, onehot = fitted.transform(X), np.eye(3)[y]

    def least_squares(Z):
        Z = np.column_stack([Z, np.ones(len(Z))])
        return np.sum((Z @ np.linalg.lstsq(Z, onehot)[0] - onehot) ** 2)

    assert least_squares(features) <= least_squares(features[:, :5]) + EXACT


def test_fine_tuning_starts_from_the_hidden_layers_and_leaves_them_alone(iris, fitted):
    X, y = iris
    before = fitted.transform(X)
    labels = np.where(y == 0, "small", "large")
    slow = copy.deepcopy(fitted)
    for estimator in slow.estimators_:
        estimator.set_params(learning_rate_init=1e-9)
    near = slow.fine_tune(X, labels, max_epochs=1)
    np.testing.assert_allclose(near.transform(X), before, atol=1e-3)
    tuned = fitted.fine_tune(X, labels, max_epochs=20)
    np.testing.assert_array_equal(fitted.transform(X), before)
    assert tuned.classes_.tolist() == ["large", "small"]
    assert tuned.estimators_[0].max_iter == 15 and not tuned.estimators_[0].warm_start
    assert np.abs(tuned.transform(X) - before).max() > 0.01
    again = clone(tuned).fit(X)
    np.testing.assert_array_equal(again.transform(X), tuned.transform(X))
    same = fitted.fine_tune(X, labels, max_epochs=20)
    np.testing.assert_array_equal(same.transform(X), tuned.transform(X))


def test_fine_tuning_a_pipeline_keeps_its_steps(iris):
    X, y = iris
    pipeline = make_pipeline(StandardScaler(), NETWORK)
    model = ConcatenatedRepresentation(pipeline, 2, random_state=0).fit(X, y)
    tuned = model.fine_tune(X + 1, y, max_epochs=2)
    np.testing.assert_allclose(tuned.estimators_[0][0].mean_, 0, atol=EXACT)


def test_fine_tuning_refuses(iris, fitted):
    X, y = iris
    with pytest.raises(NotFittedError):
        ConcatenatedRepresentation().fine_tune(X, y)
    with pytest.raises(ValueError, match="max_epochs"):
        fitted.fine_tune(X, y, max_epochs=0)
    with pytest.raises(ValueError, match="expecting 4 features"):
        fitted.fine_tune(X[:, :3], y)


def test_default_network_follows_y(iris):
    X, y = iris
    X, y = X[:40], y[:40] + (np.arange(40) % 2)
    for target, kind in ((y, MLPClassifier), (X[:, 0], MLPRegressor)):
        model = ConcatenatedRepresentation(n_networks=1).fit(X, target)
        assert type(model.estimators_[0]) is kind


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (ConcatenatedRepresentation([]), ValueError, "at least 1 network"),
        (ConcatenatedRepresentation(NETWORK, 0), ValueError, "n_networks"),
        (ConcatenatedRepresentation(NETWORK, 1, layer=2), ValueError, "2 hidden layers"),
        (ConcatenatedRepresentation(NETWORK, 1, layer=-3), ValueError, "out of range"),
        (ConcatenatedRepresentation(KNeighborsClassifier(), 2), ValueError, "the same"),
        (ConcatenatedRepresentation(LogisticRegression(), 1), TypeError, "MLPClassifier"),
        (ConcatenatedRepresentation(RandomForestClassifier(3), 1), TypeError, "layer"),
        (ConcatenatedRepresentation([NETWORK, 3]), TypeError, r"estimator\[1\]"),
        (ConcatenatedRepresentation([FrozenEstimator(NETWORK)]), NotFittedError, r"\[0\]"),
        (ConcatenatedRepresentation(FrozenEstimator(NETWORK), 2), NotFittedError, "not"),
    ],
)  # fmt: skip
def test_bad_parameters_are_named(iris, model, error, words):
    with pytest.raises(error, match=words):
        model.fit(*iris)


def test_bad_rows_are_refused(iris, fitted):
    X, _ = iris
    with pytest.raises(ValueError, match="requires y"):
        ConcatenatedRepresentation(NETWORK).fit(X)
    frozen = [FrozenEstimator(fitted.estimators_[0])]
    with pytest.raises(ValueError, match="expecting 4 features"):
        ConcatenatedRepresentation(frozen).fit(X[:, :2])
    same = ConcatenatedRepresentation(FrozenEstimator(fitted.estimators_[0]), 3)
    with pytest.raises(ValueError, match="all networks would be the same"):
        same.fit(X)
    with pytest.raises(ValueError, match="NaN"):
        fitted.transform(np.where(X > 2, np.nan, X))


def test_seeds_reach_every_step_but_frozen_ones(iris):
    X, y = iris
    held = FrozenEstimator(StandardScaler().fit(X))
    pipeline = make_pipeline(held, clone(NETWORK))
    model = ConcatenatedRepresentation(pipeline, 2, random_state=3).fit(X, y)
    assert [e[-1].random_state for e in model.estimators_] == model.seeds_.tolist()
    own = [clone(NETWORK).set_params(random_state=7), NETWORK]
    model = ConcatenatedRepresentation(own, random_state=3).fit(X, y)
    assert [e.random_state for e in model.estimators_] == [7, model.seeds_[1]]


def test_every_container_gives_the_same(iris, fitted):
    pd = pytest.importorskip("pandas")
    X, y = iris
    expected = fitted.transform(X)
    for rows in (X.tolist(), np.asfortranarray(X), X[::-1][::-1], sparse.csc_array(X)):
        np.testing.assert_allclose(fitted.transform(rows), expected, atol=EXACT)
    few = fitted.transform(X.astype(np.float32))
    assert few.dtype == np.float32
    frame = pd.DataFrame(X, columns=list("abcd"))
    named = clone(fitted).set_output(transform="pandas").fit(frame, pd.DataFrame(y)[0])
    out = named.transform(frame)
    np.testing.assert_array_equal(out, expected)
    assert list(out.columns) == list(fitted.get_feature_names_out())
    with config_context(transform_output="pandas"):
        scaled = ConcatenatedRepresentation(make_pipeline(StandardScaler(), NETWORK), 2)
        assert scaled.fit(frame, y).transform(frame).shape == (150, 10)
    as_rows = ConcatenatedRepresentation(NETWORK, 2, random_state=0)
    as_rows.fit(sparse.coo_array(X), y)
    assert as_rows.transform(sparse.coo_array(X)).shape == (150, 10)


def test_weights_are_routed(iris):
    X, y = iris
    weights = np.where(y == 0, 5.0, 1.0)
    expected = ConcatenatedRepresentation(NETWORK, 2, random_state=0)
    expected.fit(X, y, sample_weight=weights)
    plain = clone(expected).fit(X, y)
    assert not np.array_equal(expected.transform(X), plain.transform(X))
    with config_context(enable_metadata_routing=True):
        asking = clone(NETWORK).set_fit_request(sample_weight=True)
        routed = ConcatenatedRepresentation(asking, 2, random_state=0)
        routed.fit(X, y, sample_weight=weights)
        several = ConcatenatedRepresentation([asking, NETWORK], random_state=0)
        several.fit(X, y)
    np.testing.assert_array_equal(routed.transform(X), expected.transform(X))


def test_a_search_in_a_pipeline_and_pickles(iris, fitted):
    X, y = iris
    pipeline = make_pipeline(
        ConcatenatedRepresentation(NETWORK, random_state=0),
        StandardScaler(),
        RidgeClassifier(),
    )
    grid = {"concatenatedrepresentation__n_networks": [1, 3],
            "concatenatedrepresentation__estimator__alpha": [1e-4, 1e-2]}  # fmt: skip
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert search.best_score_ > 0.8
    changed = copy.copy(fitted).set_params(layer=0)
    np.testing.assert_array_equal(changed.transform(X), fitted.transform(X))
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))
    frozen = make_pipeline(FrozenEstimator(fitted), StandardScaler(), RidgeClassifier())
    assert clone(frozen).fit(X, y).score(X, y) > 0.8
