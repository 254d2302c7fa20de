import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.datasets import make_compositions
from minimalml.multioutput import (
    CompositionalZeroShotClassifier,
    CZSLCurveDisplay,
    IndependentPrimitives,
    PairHoldoutSplit,
    czsl_curve,
    make_czsl_scorer,
)
from minimalml.neural_network import Training

torch = pytest.importorskip("torch")
from minimalml.multioutput._compositional_zero_shot import _composition_torch

FLOAT32_TOLERANCE = 1e-5  # a few hundred roundings of 6e-8
DATA = make_compositions(4, 5, n_features=12, n_per_pair=6, random_state=0)
SMALL = {
    "hidden_sizes": (16,),
    "embedding_dim": 8,
    "max_epochs": 4,
    "batch_size": 16,
    "random_state": 0,
}


def small_model(**parameters):
    return CompositionalZeroShotClassifier(**(SMALL | parameters))


@pytest.fixture(scope="module")
def fitted():
    return small_model(unseen_pairs=DATA.unseen_pairs).fit(DATA.X_train, DATA.y_train)


def weights_of(model):
    return [p.detach().numpy() for p in model.module_.parameters()]


def test_one_column_is_an_ordinary_classifier():
    X, y = load_iris(return_X_y=True)
    # half of a narrow layer dropped learns slowly: wide enough, in few large steps
    wide = {"hidden_sizes": (64,), "embedding_dim": 32}
    network = small_model(**wide, learning_rate=0.01, max_epochs=12)
    model = make_pipeline(StandardScaler(), network).fit(X[::2], y[::2])
    assert model.score(X[1::2], y[1::2]) > 0.9
    assert_array_equal(model[-1].classes_, [0, 1, 2])
    assert_array_equal(model[-1].attributes_, [0])
    assert not any(model[-1].history_["attribute"])
    assert_array_equal(model.predict(X[:4]), [0] * 4)


def test_both_parts_off_is_the_baseline_bit_for_bit(monkeypatch):
    """The attack draws from a generator of its own, so that its settings don't matter."""
    baseline = small_model(adversarial_weight=0, oversampling=False)
    expected = weights_of(baseline.fit(DATA.X_train, DATA.y_train))
    monkeypatch.setattr(_composition_torch, "EPSILONS", (3.0,))
    monkeypatch.setattr(_composition_torch, "NOISE_SCALE", 1.0)
    found = weights_of(clone(baseline).fit(DATA.X_train, DATA.y_train))
    for a, b in zip(found, expected, strict=True):
        assert_array_equal(a, b)


def test_training_is_the_baseline_until_rows_are_recomposed():
    baseline = small_model(adversarial_weight=0, oversampling=False, max_epochs=6)
    late = clone(baseline).set_params(oversampling=True)
    expected, found = (
        model.fit(DATA.X_train, DATA.y_train).history_["pair"]
        for model in (baseline, late)
    )
    assert_array_equal(found[:2], expected[:2])
    assert found[3:] != expected[3:]


@pytest.mark.parametrize("part", [{"oversampling": False}, {"adversarial_weight": 0}])
def test_each_part_changes_training(part):
    baseline = small_model(adversarial_weight=0, oversampling=False)
    expected = weights_of(baseline.fit(DATA.X_train, DATA.y_train))
    found = weights_of(small_model(**part).fit(DATA.X_train, DATA.y_train))
    assert any((a != b).any() for a, b in zip(found, expected, strict=True))


def decision_by_hand(model, X):
    """The sum of four cosines in NumPy, from the network's parts."""
    network = model.module_
    X = torch.as_tensor(X, dtype=torch.float32)
    codes = torch.as_tensor(model._pair_codes)

    def unit(t):
        t = t.detach().numpy().astype(np.float64)
        return t / np.maximum(np.linalg.norm(t, axis=1, keepdims=True), 1e-12)

    attribute, objects = network.encode(X)
    pairs = unit(network.embed_pairs(codes))
    parts = [
        unit(network.pair_branch(X)) @ pairs.T,
        unit(network.compose(attribute, objects)) @ pairs.T,
        (unit(network.attribute_head(attribute)) @ unit(network.embed_attributes()).T)[
            :, codes[:, 0]
        ],
        (unit(network.object_head(objects)) @ unit(network.embed_objects()).T)[
            :, codes[:, 1]
        ],
    ]
    for part in parts:
        assert np.abs(part).max() <= 1 + FLOAT32_TOLERANCE
    return sum(parts)


def test_scores_are_the_sum_of_four_cosines(fitted):
    assert_allclose(
        fitted.decision_function(DATA.X_test),
        decision_by_hand(fitted, DATA.X_test),
        atol=FLOAT32_TOLERANCE,
    )


def losses_of(model, n=12):
    """The losses object of a model as fit makes it, its network, and a batch."""
    captured = {}

    class Spy(CompositionalZeroShotClassifier):
        def _training_loss(self, batch, state):
            captured.update(losses=self._losses, batch=batch, state=state)
            return super()._training_loss(batch, state)

    Spy(**model.get_params()).fit(DATA.X_train[:n], DATA.y_train[:n])
    return captured["losses"], captured["batch"], captured["state"]


def test_adversarial_gradient_never_reaches_the_encoders():
    losses, batch, state = losses_of(small_model(), n=30)
    network = state.module.train()
    network.zero_grad()
    pairs = network.embed_pairs(losses.seen_pairs)
    clean = torch.zeros(len(batch.X), len(pairs))
    losses._adversarial_loss(network, batch, clean, pairs).backward()
    for name, parameter in network.named_parameters():
        if "pair_branch" in name or "encoder" in name:
            assert parameter.grad is None, name
    assert network.attribute_head[0].weight.grad.any()
    assert network.composer[0].weight.grad.any()


def test_moved_features_raise_the_primitive_losses(monkeypatch):
    monkeypatch.setattr(_composition_torch, "EPSILONS", (1e-3,))
    monkeypatch.setattr(_composition_torch, "NOISE_SCALE", 0.0)
    losses, batch, state = losses_of(small_model(), n=30)
    network = state.module.eval()
    clean = losses._primitive_losses(network, *network.encode(batch.X), batch)
    features = losses._moved_features(network, batch)
    moved = losses._primitive_losses(network, *features, batch)
    assert moved[0] > clean[0]
    assert moved[1] > clean[1]


def test_recomposed_rows_train_the_encoders():
    losses, batch, state = losses_of(small_model(), n=30)
    network = state.module.train()
    network.zero_grad()
    state.data = type("Rows", (), {"take": lambda self, i: {"X": batch.X[: len(i)]}})()
    pairs = network.embed_pairs(losses.seen_pairs)
    losses._recomposed_loss(network, batch, state, pairs).backward()
    for encoder in (network.attribute_encoder, network.object_encoder):
        assert encoder[0].head.weight.grad.any()


def test_adding_the_bias_moves_answers_to_unseen_pairs(fitted):
    model = pickle.loads(pickle.dumps(fitted))
    for bias, is_unseen in ((-100.0, False), (100.0, True)):
        model.seen_bias_ = bias
        answers = {tuple(pair) for pair in model.predict(DATA.X_test)}
        unseen = {tuple(pair) for pair in DATA.unseen_pairs}
        assert (answers <= unseen) == is_unseen
        most_likely = model.predict_pair_proba(DATA.X_test).argmax(axis=1)
        assert_array_equal(model.predict(DATA.X_test), model.pairs_[most_likely])


def test_automatic_bias_and_early_stopping_hold_out_pairs():
    model = small_model(
        bias="auto", early_stopping=True, training=Training(validation_fraction=0.2)
    )
    model.fit(DATA.X_train, DATA.y_train)
    assert np.isfinite(model.seen_bias_)
    assert len(model.validation_scores_) == model.n_iter_
    assert (~model.seen_mask_).sum() == max(1, round(0.2 * len(DATA.seen_pairs)))
    assert len(model.pair_accuracy_) == model.seen_mask_.sum()


def test_open_world_has_every_combination():
    model = small_model(unseen_pairs="all").fit(DATA.X_train, DATA.y_train)
    assert len(model.pairs_) == 20
    assert model.seen_mask_.sum() == len(DATA.seen_pairs)
    assert_array_equal(model.seen_mask_, np.sort(model.seen_mask_)[::-1])


def test_labels_of_any_type_are_answered_as_given():
    names = np.array(["red", "green", "blue", "grey"], object)
    y = np.column_stack([names[DATA.y_train[:, 0]], DATA.y_train[:, 1].astype(object)])
    model = small_model().fit(DATA.X_train, y)
    predicted = model.predict(DATA.X_test[:3])
    assert isinstance(predicted[0, 0], str)
    assert predicted[0, 1] in range(5)
    assert set(model.predict_attribute(DATA.X_test)) <= set(names)
    assert set(model.predict_object(DATA.X_test)) <= set(range(5))


def described(table):
    return dict(enumerate(table))


def test_labels_known_by_embeddings_only_are_warned_of():
    is_kept = DATA.y_train[:, 0] != 3
    X, y = DATA.X_train[is_kept], DATA.y_train[is_kept]
    model = small_model(
        unseen_pairs=[[3, 0]],
        label_embeddings=(
            described(DATA.attribute_embeddings),
            described(DATA.object_embeddings),
        ),
    )
    with pytest.warns(UserWarning, match=r"labels \['3'\] do not occur in training"):
        model.fit(X, y)
    assert_array_equal(model.attributes_, np.arange(4))
    assert [3, 0] in model.pairs_.tolist()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"label_embeddings": (np.ones((3, 2)), None)}, "must have 4 rows"),
        (
            {"label_embeddings": (None, {0: [1.0]})},
            "label_embeddings of objects have no vector for 1",
        ),
        ({"label_embeddings": [np.ones((4, 2))]}, "must be a pair of tables"),
        ({"label_embeddings": {0: [1.0]}}, "'label_embeddings' parameter"),
        ({"hidden_sizes": ()}, "hidden_sizes must be a sequence of at least one"),
        ({"hidden_sizes": (8, 0)}, r"integer > 0, got \(8, 0\)"),
        ({"hidden_sizes": (8.5,)}, r"integer > 0, got \(8.5,\)"),
        ({"unseen_pairs": [[9, 0]]}, "uses the attribute 9, which does not occur"),
        ({"adversarial_weight": -1}, "adversarial_weight"),
        ({"batch_size": 1}, "batch_size"),
        (
            {"bias": "auto", "training": Training(validation_fraction=0.05)},
            "holds out no row of the pairs",
        ),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        small_model(**parameters).fit(DATA.X_train, DATA.y_train)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros((6, 3)), "y must have 2 columns"),
        (np.zeros((6, 2), int), "at least 2 different pairs"),
        (np.array([["a", None]] * 6, object), "y has a missing label"),
        (np.zeros((5, 2), int), "inconsistent numbers of samples"),
    ],
)
def test_bad_labels_are_named(y, message):
    with pytest.raises(ValueError, match=message):
        small_model().fit(DATA.X_train[:6], y)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda X: np.where(X == X[0, 0], np.nan, X), ValueError, "contains NaN"),
        (csr_array, TypeError, "Sparse data was passed"),
        (lambda X: X[:1], ValueError, "minimum of 2 is required"),
    ],
)
def test_bad_features_are_named(change, error, message):
    X = change(DATA.X_train)
    with pytest.raises(error, match=message):
        small_model().fit(X, DATA.y_train[: X.shape[0]])


def test_a_last_batch_of_one_row_is_left_out():
    model = small_model(max_epochs=1).fit(DATA.X_train[:33], DATA.y_train[:33])
    assert model.n_iter_ == 1


def test_rows_of_mixed_labels_are_scored_as_given():
    names = ["red", "green", "blue", "grey"]
    y = [[names[a], int(o)] for a, o in DATA.y_train]
    model = small_model(max_epochs=20, learning_rate=0.01).fit(DATA.X_train, y)
    expected = (model.predict(DATA.X_train) == np.array(y, object)).all(axis=1).mean()
    assert model.score(DATA.X_train, y) == expected > 0.3


def test_warm_start_needs_the_same_pairs():
    model = small_model(warm_start=True).fit(DATA.X_train, DATA.y_train)
    model.fit(DATA.X_train, DATA.y_train)
    assert model.n_iter_ == 8
    with pytest.raises(ValueError, match="warm_start=True goes on with the labels"):
        model.fit(DATA.X_train[:20], DATA.y_train[:20])


def test_pair_accuracy_is_that_of_the_last_epoch():
    model = small_model(max_epochs=30, adversarial_weight=0, learning_rate=0.01)
    model.fit(DATA.X_train, DATA.y_train)
    assert model.pair_accuracy_.shape == (len(DATA.seen_pairs),)
    assert 0.5 < model.pair_accuracy_.mean() <= 1
    assert set(model.history_) >= {"pair", "attribute", "object", "composed"}


def test_search_over_held_out_pairs_and_pickle(fitted):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), small_model(max_epochs=2)),
        {"compositionalzeroshotclassifier__adversarial_weight": [0, 1.0]},
        scoring=make_czsl_scorer("harmonic_mean"),
        cv=PairHoldoutSplit(2, random_state=0),
    )
    search.fit(DATA.X_train, DATA.y_train)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.predict(DATA.X_test), fitted.predict(DATA.X_test))


def test_a_monitor_sees_the_model_of_each_epoch():
    monitor = ScoringMonitor(scoring="accuracy")
    model = small_model(max_epochs=3).set_callbacks(monitor, StopAfterTwo())
    model.fit(DATA.X_train, DATA.y_train[:, 1])
    logged = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(logged) == model.n_iter_ == 2
    assert logged[-1]["accuracy"] == model.score(DATA.X_train, DATA.y_train[:, 1])


class StopAfterTwo:
    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context):
        return context.task_name == "epoch" and context.task_id == 1


def test_transform_gives_attribute_then_object_features(fitted):
    features = fitted.transform(DATA.X_test)
    attribute, _ = fitted.module_.encode(
        torch.as_tensor(DATA.X_test, dtype=torch.float32)
    )
    assert features.shape == (len(DATA.X_test), 24)
    assert_allclose(features[:, :12], attribute.detach(), atol=FLOAT32_TOLERANCE)
    assert len(fitted.get_feature_names_out()) == 24


def test_a_users_network_takes_part():
    class Wide(_composition_torch.CompositionNetwork):
        def __init__(self, **sizes):
            super().__init__(**sizes, hidden_sizes=(7,), embedding_dim=3)

    model = small_model(module=Wide).fit(DATA.X_train, DATA.y_train)
    assert model.module_.pair_branch[0].blocks[0][0].out_features == 7


def test_a_network_that_lacks_parts_is_refused():
    with pytest.raises(TypeError, match="Linear lacks encode, attribute_encoder"):
        small_model(module=torch.nn.Linear(12, 2)).fit(DATA.X_train, DATA.y_train)


@pytest.mark.parametrize(
    "model", [IndependentPrimitives(unseen_pairs="all"), small_model()]
)
def test_curve_equals_the_plain_function_over_all_pairs(model):
    model.fit(DATA.X_train, DATA.y_train)
    curve = model.czsl_curve(DATA.X_test, DATA.y_test)
    assert 0 <= curve.auc <= curve.best_seen * curve.best_unseen + 1e-12
    display = CZSLCurveDisplay.from_estimator(model, DATA.X_test, DATA.y_test)
    x, y = display.line_.get_data()
    assert_array_equal(x, curve.unseen_accuracy)
    assert_array_equal(y, curve.seen_accuracy)


def test_a_longer_curve_on_the_same_axes_is_not_cut_off():
    short = czsl_curve([[1.0, 0.0, 2.0]] * 2, [0, 1], [True, False, False])
    long = czsl_curve([[1.0, 0.0, 2.0]] * 2, [0, 2], [True, False, False])
    display = CZSLCurveDisplay(short).plot()
    CZSLCurveDisplay(long).plot(ax=display.ax_)
    assert display.ax_.get_xlim()[0] == 0
    assert display.ax_.get_xlim()[1] > 1


def test_scorer_refuses_an_unknown_metric():
    with pytest.raises(ValueError, match="metric must be one of"):
        make_czsl_scorer("accuracy")
