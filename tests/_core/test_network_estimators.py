import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpydoc.docscrape import ClassDoc
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_iris, make_blobs
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch.nn.utils import prune

from minimalml._core.training.modules import ACTIVATIONS, MLP
from minimalml._core.training.network import ACTIVATIONS as ACTIVATION_NAMES
from minimalml.neural_network import Training
from tests._core.networks import TinyClassifier, TinyRegressor

# the checks compare predictions to 1e-7, below a float32's rounding
EXACT = {"learning_rate": 0.05, "training": Training(dtype="float64"), "device": "cpu"}
LABELS = np.array(["left", "middle", "right"])


@pytest.fixture
def rows(rng):
    X = rng.standard_normal((60, 4))
    return X, X @ rng.standard_normal(4)


@pytest.fixture
def blobs():
    X, y = make_blobs(90, centers=3, cluster_std=0.5, random_state=0)
    return scale(X), LABELS[y]


def classifier(**options):
    defaults = {"max_epochs": 20, "learning_rate": 0.05, "random_state": 0}
    return TinyClassifier((8,), **{**defaults, "device": "cpu", **options})


@parametrize_with_checks(
    [
        TinyRegressor((32,), batch_size="auto", max_epochs=60, **EXACT),
        TinyClassifier((16,), max_epochs=60, random_state=0, **EXACT),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("cls", [TinyClassifier, TinyRegressor])
def test_shared_parameters_and_attributes_are_documented(cls):
    doc = ClassDoc(cls)
    assert [p.name for p in doc["Parameters"]] == list(
        inspect.signature(cls).parameters
    )
    fitted = cls(max_epochs=1).fit([[0.0], [1.0], [2.0]], [0, 1, 1])
    attributes = {name for name in vars(fitted) if name.endswith("_")}
    assert attributes <= {a.name for a in doc["Attributes"]}


def test_activations_have_one_set_of_names():
    assert set(ACTIVATIONS) == ACTIVATION_NAMES


# --- regression ---


def test_it_regresses_as_well_as_scikit_learn():
    X, y = load_diabetes(return_X_y=True)
    X = scale(X)
    options = {"hidden_layer_sizes": (16,), "batch_size": 32, "random_state": 0}
    ours = TinyRegressor(max_epochs=30, **options).fit(X[:300], y[:300])
    peer = MLPRegressor(
        learning_rate_init=1e-2, max_iter=30, n_iter_no_change=99, alpha=0, tol=0,
        **options,
    )  # fmt: skip
    target = scale(y)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        peer.fit(X[:300], target[:300])
    gap = ours.score(X[300:], y[300:]) - peer.score(X[300:], target[300:])
    assert abs(gap) < 0.1  # seeds of either scatter by about 0.03


@pytest.mark.parametrize("factor, shift", [(1000.0, 5e4), (1e-200, 0.0), (1e200, 0.0)])
def test_predictions_follow_the_unit_of_the_target(rows, factor, shift):
    X, y = rows
    base = TinyRegressor(**EXACT).fit(X, y)
    moved = TinyRegressor(**EXACT).fit(X, factor * y + shift)
    expected = factor * base.predict(X) + shift
    np.testing.assert_allclose(moved.predict(X), expected, rtol=1e-6)


def test_each_of_several_targets_is_learnt_in_its_own_unit(rows):
    X, y = rows
    Y = np.c_[y, 1e6 * X[:, 0]]
    model = TinyRegressor(max_epochs=60).fit(X, Y)
    assert model.predict(X).shape == (60, 2) and model.n_outputs_ == 2
    assert model.score(X, Y) > 0.9


def test_a_constant_target_is_predicted():
    X = np.arange(20.0).reshape(10, 2) / 10
    prediction = TinyRegressor().fit(X, np.full(10, 1e9)).predict(X)
    np.testing.assert_allclose(prediction, 1e9, rtol=1e-6)


def test_columns_of_targets_keep_their_shape(rows):
    X, y = rows
    flat = TinyRegressor().fit(X, y).predict(X)
    for column in (y[:, None], pd.DataFrame({"y": y})):
        np.testing.assert_array_equal(
            TinyRegressor().fit(X, column).predict(X)[:, 0], flat
        )


# --- classification ---


@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_learns_classes(blobs, n_classes):
    X, y = (part[np.isin(blobs[1], LABELS[:n_classes])] for part in blobs)
    model = classifier().fit(X, y)
    assert model.score(X, y) > 0.9
    np.testing.assert_array_equal(model.classes_, LABELS[:n_classes])
    proba = model.predict_proba(X)
    assert proba.shape == (len(X), n_classes)
    np.testing.assert_array_equal(model.predict(X), LABELS[proba.argmax(1)])


def test_labels_keep_their_meaning_when_some_are_absent(blobs):
    X, y = blobs
    model = classifier(warm_start=True).fit(X, y)
    without = y != "middle"
    model.fit(X[without], y[without])
    assert model.score(X[without], y[without]) > 0.9
    assert model.classes_.tolist() == LABELS.tolist()
    model.partial_fit(X[y == "right"], y[y == "right"])
    assert (model.predict(X[y == "right"]) == "right").mean() > 0.9


def test_partial_fit_is_one_epoch(blobs):
    X, y = blobs
    streamed = classifier()
    for _ in range(4):
        streamed.partial_fit(X, y, classes=LABELS)
    whole = classifier(max_epochs=4).fit(X, y)
    np.testing.assert_array_equal(streamed.predict_proba(X), whole.predict_proba(X))


def test_a_stream_may_lack_classes_at_first(blobs):
    X, y = blobs
    model = classifier().partial_fit(X[y == "left"], y[y == "left"], classes=LABELS)
    assert model.predict_proba(X).shape == (90, 3)


def test_validation_rows_have_each_class(blobs, monkeypatch):
    seen, score = [], TinyClassifier._validation_score

    def watch(self, columns, state):
        seen.append(columns["y"])
        return score(self, columns, state)

    monkeypatch.setattr(TinyClassifier, "_validation_score", watch)
    model = classifier(early_stopping=True, max_epochs=3).fit(*blobs)
    assert torch.bincount(seen[0]).tolist() == [3, 3, 3]
    assert len(model.validation_scores_) == 3 and max(model.validation_scores_) <= 1.0


def test_weights_count_for_the_score_and_the_loss(blobs):
    X, y = blobs
    weight = np.where(y == "left", 0.0, 1.0)
    model = classifier(max_epochs=60, early_stopping=True)
    model.fit(X, y, sample_weight=weight)
    assert model.score(X, y, sample_weight=weight) > 0.9
    assert model.predict_proba(X)[:, 0].mean() < 0.3


def test_probabilities_can_be_calibrated():
    X, y = load_iris(return_X_y=True)
    model = CalibratedClassifierCV(classifier(), cv=2).fit(scale(X), y)
    assert model.score(scale(X), y) > 0.8


# --- the user's network ---


class Linear(torch.nn.Linear):
    """A network that is asked for by its sizes, importable for pickling."""

    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs)


def test_a_network_of_ones_own_is_copied_and_trained(blobs):
    module = torch.nn.Linear(2, 3)
    before = module.weight.detach().clone()
    model = classifier(module=module).fit(*blobs)
    assert torch.equal(module.weight, before)
    assert not torch.equal(model.module_.weight, before)
    assert model.score(*blobs) > 0.9


def test_a_class_of_networks_is_told_the_sizes(rows):
    model = TinyRegressor(module=Linear).fit(rows[0], np.c_[rows[1], rows[1]])
    assert model.module_.weight.shape == (2, 4)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(rows[0]), model.predict(rows[0]))


def test_outputs_of_one_number_may_be_flat(rows):
    module = torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.Flatten(0))
    assert TinyRegressor(module=module).fit(*rows).predict(rows[0]).shape == (60,)


def test_a_masked_network_in_training_is_taken(blobs):
    module = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Linear(4, 3))
    prune.l1_unstructured(module[0], "weight", 0.5)
    module(torch.ones(2, 2)).sum().backward()
    model = classifier(module=module).fit(*blobs)
    assert int((model.module_[0].weight == 0).sum()) == 4
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(blobs[0]), model.predict(blobs[0]))


@pytest.mark.parametrize(
    "module, error, message",
    [
        (
            torch.nn.Linear(2, 5),
            ValueError,
            r"n_outputs=3 .* got shape \(90, 5\) for 90",
        ),
        (torch.nn.Flatten(), ValueError, "module Flatten has no weights to train"),
        (lambda n_features, n_outputs: "no", TypeError, "module must be.*got str"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(blobs, module, error, message):
    with pytest.raises(error, match=message):
        classifier(module=module).fit(*blobs)


# --- bad input ---


@pytest.mark.parametrize(
    "options, message",
    [
        ({"hidden_layer_sizes": (8, 0)}, r"hidden_layer_sizes must be.*got \(8, 0\)"),
        ({"hidden_layer_sizes": [1.5]}, r"hidden_layer_sizes must be.*got \[1.5\]"),
        ({"activation": "swish"}, "'activation' parameter of TinyRegressor"),
        ({"learning_rate": 0.0}, "'learning_rate' parameter"),
        ({"warm_start": True, "training": Training(checkpoint="run.pt")},
         r"warm_start=True .* training.checkpoint='run.pt'"),
    ],
)  # fmt: skip
def test_bad_parameters_are_named(rows, options, message):
    with pytest.raises(ValueError, match=message):
        TinyRegressor().set_params(**options).fit(*rows)


@pytest.mark.parametrize("model", [TinyRegressor(), classifier()])
def test_bad_rows_are_refused(model):
    X, y = np.eye(6), np.arange(6) % 2
    for wrong in (y[:5], np.r_[y, 0]):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            model.fit(X, wrong)
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(X, y, sample_weight=np.ones(5))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        model.fit(X, y, sample_weight=-np.ones(6))
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.where(X > 0, np.nan, X), y)


def test_numbers_that_overflow_are_refused(rows):
    X, y = rows
    with pytest.raises(ValueError, match="not finite after the first epoch"):
        TinyRegressor().fit(1e300 * X, y)
    with pytest.raises(ValueError, match="X gives outputs that are not finite"):
        TinyRegressor().fit(X, y).predict(1e300 * X)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", [1]])
def test_an_unknown_device_is_named(rows, device):
    with pytest.raises(ValueError, match=r"device must be 'auto' or a device of torch"):
        TinyRegressor(device=device).fit(*rows)


def test_rows_without_weight_can_neither_train_nor_validate(rows):
    split_seed = np.random.RandomState(0).randint(2**31 - 1, size=4)[1]
    parts = train_test_split(np.arange(60), test_size=0.1, random_state=split_seed)
    model = TinyRegressor(early_stopping=True, random_state=0)
    for weightless, use in zip(parts, ["to train", "among"], strict=True):
        weight = np.ones(60)
        weight[weightless] = 0.0
        with pytest.raises(ValueError, match=f"sample_weight has no row above 0 {use}"):
            model.fit(*rows, sample_weight=weight)


def test_a_score_that_is_not_finite_is_refused(rows, monkeypatch):
    monkeypatch.setattr(
        TinyRegressor, "_validation_score", lambda self, *_: torch.tensor(torch.nan)
    )
    with pytest.raises(ValueError, match="validation score are not finite"):
        TinyRegressor(early_stopping=True).fit(*rows)


def test_labels_that_do_not_go_on_are_refused(blobs):
    X, y = blobs
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        classifier().partial_fit(X, y)
    model = classifier(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"y has labels .*up.* not among the classes"):
        model.fit(X, np.where(y == "left", "up", y))
    with pytest.raises(ValueError, match=r"at least 2 classes, got 1 class: .'left'"):
        classifier().fit(X, np.full(90, "left"))
    with pytest.raises(ValueError, match="Unknown label type"):
        classifier().fit(X, X[:, 0])


def test_other_targets_do_not_go_on(rows):
    X, y = rows
    with pytest.raises(ValueError, match="y has 2 targets, but the network was made"):
        TinyRegressor().partial_fit(X, y).partial_fit(X, np.c_[y, y])


def test_a_column_of_labels_warns_and_counts_as_flat(blobs):
    X, y = blobs
    with pytest.warns(DataConversionWarning, match="column-vector"):
        model = classifier().fit(X, y[:, None])
    np.testing.assert_array_equal(model.predict(X), classifier().fit(X, y).predict(X))


# --- integration ---


def test_parameters_set_after_fit_leave_predictions_alone(blobs):
    model = classifier().fit(*blobs)
    before = model.predict_proba(blobs[0])
    model.set_params(
        hidden_layer_sizes=(3,), module=MLP, training=Training(dtype="float64")
    )
    np.testing.assert_array_equal(model.predict_proba(blobs[0]), before)


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_data_frames_pass_through_a_pipeline(blobs, output):
    pytest.importorskip(output)
    frame = pd.DataFrame(blobs[0], columns=["height", "width"])
    with config_context(transform_output=output):
        model = make_pipeline(StandardScaler(), classifier()).fit(frame, blobs[1])
        assert model.score(frame, blobs[1]) > 0.9


def test_a_search_routes_weights(rows):
    with config_context(enable_metadata_routing=True):
        model = TinyRegressor(training=Training()).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        grid = {"training__schedule": ["constant", "cosine"]}
        search = GridSearchCV(model, grid, cv=2).fit(*rows, sample_weight=np.ones(60))
    assert search.best_params_.keys() == grid.keys()


def test_float32_stays(blobs, rows):
    for model, (X, y) in ((classifier(), blobs), (TinyRegressor(), rows)):
        model.fit(X.astype(np.float32), y)
    assert model.predict(X.astype(np.float32)).dtype == np.float32
    proba = clone(classifier()).fit(*blobs).predict_proba(blobs[0].astype(np.float32))
    assert proba.dtype == np.float32
