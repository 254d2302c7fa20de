"""A network of rows: poolings against loops, and which of them are monotone."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, softmax
from sklearn import config_context
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml._core.groups import GroupIndex
from minimalml.bags import MultipleInstanceMLPClassifier, aggregate_targets
from minimalml.datasets import make_mil_unit_test
from minimalml.neural_network import Training

torch = pytest.importorskip("torch")
from minimalml.bags._multiple_instance._bag_network_torch import POOLINGS

MONOTONE = ["max", "noisy_or", "concepts"]
ROUNDING = 1e-6  # of float32 sums of a few numbers about 10
N_OUTPUTS = {"max": 1, "noisy_or": 1, "concepts": 3, "attention": 3, "embedding_max": 3}


def a_pooling(name, seed=0, bag_size=1):
    """Return an untrained pooling in float64."""
    torch.manual_seed(seed)
    return POOLINGS[name](N_OUTPUTS[name], bag_size).double()


def pooled(pooling, outputs, bags):
    index = GroupIndex(bags, len(outputs)).to("cpu")
    with torch.no_grad():
        return pooling(torch.as_tensor(outputs), index).numpy()


def network(**options):
    shared = {"max_epochs": 20, "learning_rate": 1e-2, "device": "cpu"}
    return MultipleInstanceMLPClassifier((16,), random_state=0, **(shared | options))


def unit_test(kind="single_concept", n_bags=100, **options):
    X, y, bags = make_mil_unit_test(kind, n_bags, random_state=0, **options)
    return StandardScaler().fit_transform(X), y, bags


outputs_of_rows = arrays(float, (7, 3), elements=st.floats(-20, 20, width=32))
bags_of_rows = arrays(int, 7, elements=st.integers(0, 3))
each_pooling = pytest.mark.parametrize("name", N_OUTPUTS)


# --- oracles ---


def pooled_bag(pooling, name, rows):
    """Pool the outputs of one bag by the formula."""
    weights = {k: v.detach().numpy() for k, v in pooling.state_dict().items()}
    if name == "max":
        return rows[:, 0].max()
    if name == "noisy_or":
        chances = 1 / (1 + np.exp(rows[:, 0].astype(np.longdouble) + weights["bias"]))
        return np.log((1 - chances.prod()) / chances.prod())
    if name == "concepts":
        heights = np.log1p(np.exp(weights["weight"]))
        return weights["bias"] + heights @ expit(rows.max(axis=0))
    features = np.where(rows > 0, rows, 0.1 * rows)
    if name == "attention":
        hidden = np.tanh(features @ weights["hidden.weight"].T + weights["hidden.bias"])
        embedding = softmax(hidden @ weights["score.weight"][0]) @ features
    else:
        embedding = features.max(axis=0)
    return weights["head.weight"][0] @ embedding + weights["head.bias"][0]


@pytest.mark.kernel
@each_pooling
@given(outputs=outputs_of_rows, bags=bags_of_rows)
def test_bags_of_any_sizes_are_pooled_as_one_by_one(name, outputs, bags):
    outputs, pooling = outputs[:, : N_OUTPUTS[name]] / 4, a_pooling(name, bag_size=4)
    expected = [pooled_bag(pooling, name, outputs[bags == bag]) for bag in np.unique(bags)]  # fmt: skip
    found = pooled(pooling, outputs, bags)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.kernel
@each_pooling
def test_gradients_are_those_of_differences(name, rng):
    outputs = torch.as_tensor(rng.normal(size=(7, N_OUTPUTS[name]))).requires_grad_()
    index = GroupIndex([0, 1, 0, 2, 1, 1, 0], 7).to("cpu")
    pooling = a_pooling(name)
    assert torch.autograd.gradcheck(lambda rows: pooling(rows, index), outputs)


# --- invariants of poolings ---


@pytest.mark.parametrize("name", MONOTONE)
@given(outputs=outputs_of_rows, bags=bags_of_rows, seed=st.integers(0, 99))
def test_a_row_more_never_lowers_a_monotone_pooling(name, outputs, bags, seed):
    outputs, pooling = outputs[:, : N_OUTPUTS[name]], a_pooling(name, seed)
    for n_rows in range(1, len(outputs)):
        some, more = slice(0, n_rows), slice(0, n_rows + 1)
        before = pooled(pooling, outputs[some], bags[some])
        after = pooled(pooling, outputs[more], bags[more])
        kept = np.isin(np.unique(bags[more]), bags[some])
        assert (after[kept] >= before - 1e-12).all()


@pytest.mark.parametrize("name", ["attention", "embedding_max"])
def test_a_row_more_often_lowers_the_counter_examples(name, rng):
    falls = []
    for seed in range(300):
        pooling, outputs = a_pooling(name, seed), rng.normal(size=(3, 3))
        before = pooled(pooling, outputs[:2], [0] * 2)
        falls.append(pooled(pooling, outputs, [0] * 3) < before)
    assert np.mean(falls) >= 0.2


@given(outputs=outputs_of_rows, bags=bags_of_rows)
def test_a_concept_found_never_counts_against_a_bag(outputs, bags):
    rows = torch.as_tensor(outputs).requires_grad_()
    index = GroupIndex(bags, 7).to("cpu")
    a_pooling("concepts")(rows, index).sum().backward()
    assert (rows.grad >= 0).all()


@given(outputs=outputs_of_rows, bags=bags_of_rows)
def test_a_noisy_or_is_above_the_largest_row_and_bounded(outputs, bags):
    index = GroupIndex(bags, 7)
    largest = pooled(a_pooling("max"), outputs, bags)
    either = pooled(a_pooling("noisy_or"), outputs, bags)
    assert (either >= largest - 1e-9).all()
    none = -index.sizes * np.logaddexp(0, largest)  # log probability; all rows like it
    every = np.log(-np.expm1(none)) - none
    is_exact = np.abs(largest) < 8
    assert (either <= every + 1e-6)[is_exact].all()


@each_pooling
@given(outputs=outputs_of_rows, bags=bags_of_rows)
def test_rows_given_twice_change_nothing_or_raise_a_noisy_or(name, outputs, bags):
    outputs, pooling = outputs[:, : N_OUTPUTS[name]], a_pooling(name)
    before = pooled(pooling, outputs, bags)
    after = pooled(pooling, np.repeat(outputs, 2, axis=0), np.repeat(bags, 2))
    if name == "noisy_or":
        assert (after >= before - 1e-12).all()
    else:
        np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9)


# --- the estimator ---


def test_a_bag_is_its_largest_row_to_the_bit():
    X, y, bags = unit_test()
    rows = np.random.default_rng(0).permutation(len(X))
    X, y, bags = X[rows], y[rows], bags[rows]
    model = network(max_epochs=60).fit(X, y, bags)
    by_row, by_bag = model.decision_function(X), model.decision_function(X, bags)
    np.testing.assert_array_equal(by_bag, aggregate_targets(by_row, bags, how="max"))
    assert model.score(X, y, bags) > 0.9
    assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]


@each_pooling
def test_a_decision_is_the_pooling_of_the_rows_of_its_bag(name):
    X, y, bags = unit_test(n_bags=20)
    model = network(pooling=name, n_concepts=3, max_epochs=2).fit(X, y, bags)
    decision = model.decision_function(X, bags)
    for bag in np.unique(bags):
        alone = model.decision_function(X[bags == bag], [0] * (bags == bag).sum())
        np.testing.assert_allclose(alone, decision[bags == bag], atol=ROUNDING)
    proba = model.predict_proba(X, bags)
    np.testing.assert_allclose(proba[:, 1], expit(decision), atol=ROUNDING)
    np.testing.assert_array_equal(model.predict(X, bags), (decision > 0).astype(int))


def test_a_noisy_or_starts_from_bags_at_about_even_chances():
    X, y, bags = unit_test(n_bags=300, min_bag_size=45)
    model = network(pooling="noisy_or", max_epochs=1, learning_rate=1e-12)
    chances = model.fit(X, y, bags).predict_proba(X, bags)[:, 1]
    assert 0.4 < np.median(chances) < 0.8
    options = {"max_epochs": 30, "device": "cpu", "random_state": 0}
    model = MultipleInstanceMLPClassifier(pooling="noisy_or", **options)
    assert model.fit(X, y, bags).score(X, y, bags) > 0.95


def test_labels_are_of_any_kind_and_the_second_is_positive():
    X, y, bags = unit_test()
    names = np.array(["sound", "unsound"])[y]
    model, other = network().fit(X, y, bags), network().fit(X, names, bags)
    np.testing.assert_array_equal(
        model.decision_function(X), other.decision_function(X)
    )
    assert other.classes_.tolist() == ["sound", "unsound"]
    assert set(other.predict(X, bags)) <= set(names)


def test_early_stopping_holds_out_bags():
    X, y, bags = unit_test(n_bags=60)
    seen = []

    class Watched(MultipleInstanceMLPClassifier):
        def _training_loss(self, batch, state):
            seen.append(batch.rows.X)
            return super()._training_loss(batch, state)

    settings = Training(n_iter_no_change=2, validation_fraction=0.2)
    options = {"early_stopping": True, "training": settings, "batch_size": 8}
    model = Watched((16,), device="cpu", random_state=0, **options).fit(X, y, bags)
    assert model.n_iter_ < 60 and len(model.validation_scores_) == model.n_iter_
    assert set(np.round(np.multiply(model.validation_scores_, 12), 6)) <= set(range(13))
    rows = {tuple(row) for row in torch.cat(seen).numpy()}
    is_seen = np.array([tuple(row) in rows for row in X.astype(np.float32)])
    shares = aggregate_targets(is_seen, bags)
    assert set(shares) == {0.0, 1.0}  # whole bags, 12 of 60 kept apart
    assert len(np.unique(bags[shares == 0])) == 12


def test_a_warm_start_goes_on():
    X, y, bags = unit_test(n_bags=40)
    model = network(warm_start=True, max_epochs=3).fit(X, y, bags)
    assert model.fit(X, y, bags).n_iter_ == 6
    with pytest.raises(
        ValueError, match=r"labels \[2\] that are not among the classes"
    ):
        model.fit(X, y + 1, bags)


def test_batches_hold_bags():
    X, y, bags = unit_test(n_bags=40)
    sizes = []

    class Watched(MultipleInstanceMLPClassifier):
        def _training_loss(self, batch, state):
            sizes.append(len(batch.target))
            return super()._training_loss(batch, state)

    for batch_size in (16, np.int64(16)):
        Watched((4,), batch_size=batch_size, max_epochs=1, device="cpu").fit(X, y, bags)
        assert sizes == [16, 16, 8]
        sizes.clear()
    Watched((4,), batch_size="auto", max_epochs=1, device="cpu").fit(X, y, bags)
    assert len(sizes) == -(-40 // round(256 * 40 / len(X)))


class LinearRows(torch.nn.Linear):
    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs)


@each_pooling
def test_a_network_of_your_own_gives_the_outputs_of_rows(name):
    X, y, bags = unit_test(n_bags=20)
    own = network(module=LinearRows, pooling=name, n_concepts=5, max_epochs=2)
    model = own.fit(X, y, bags)
    n_outputs = {"concepts": 5, "attention": 16, "embedding_max": 16}.get(name, 1)
    assert model.module_.body.out_features == n_outputs
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X, bags), model.predict_proba(X, bags))  # fmt: skip


def test_parameters_changed_after_fit_change_nothing():
    X, y, bags = unit_test(n_bags=20)
    model = network(max_epochs=2).fit(X, y, bags)
    before = model.decision_function(X, bags)
    model.set_params(pooling="concepts", n_concepts=2, hidden_layer_sizes=(3,))
    np.testing.assert_array_equal(model.decision_function(X, bags), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "mean"}, "'pooling' parameter .* 'mean'"),
        ({"n_concepts": 0}, "'n_concepts' parameter"),
        ({"hidden_layer_sizes": (4, 0)}, r"hidden_layer_sizes .* got \(4, 0\)"),
        ({"hidden_layer_sizes": (), "pooling": "attention"}, "pools the last of hidden"),
        ({"module": torch.nn.Linear(3, 2)}, "n_outputs=1 numbers a row, got shape"),
        ({"module": len}, "len"),
        ({"training": Training(optimizer="none")}, "training.optimizer"),
    ],
)  # fmt: skip
def test_parameters_that_are_none_are_named(options, message):
    X, y = np.zeros((4, 3)), [0, 0, 1, 1]
    with pytest.raises((ValueError, TypeError), match=message):
        MultipleInstanceMLPClassifier(**options).fit(X, y)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": [0, 1, 1, 1]}, "bag 5 has 0 and 1.*aggregate_targets"),
        ({"y": [1, 1, 1, 1]}, "got 1 class: 1"),
        ({"bags": None, "y": [0, 1, 2, 2]}, "Only binary classification"),
        ({"bags": [5, 5, 7]}, "bags has 3 ids but X has 4 rows"),
        ({"bags": [5, 5, 7, np.nan]}, "row 3 is missing"),
        ({"X": [[np.inf], [0], [1], [1]]}, "contains infinity"),
    ],
)
def test_what_cannot_be_fitted_is_named(changes, message):
    data = {"X": [[0.0], [1], [2], [3]], "y": [0, 0, 1, 1], "bags": [5, 5, 7, 7]}
    with pytest.raises(ValueError, match=message):
        network(max_epochs=1).fit(**(data | changes))
    model = network(max_epochs=1).fit(**data)
    with pytest.raises(ValueError, match="outputs that are not finite"):
        model.predict([[1e60]])


@settings(max_examples=5)
@given(seed=st.integers(0, 99))
def test_rows_in_another_order_or_backward_fit_alike(seed):
    X, y, bags = unit_test(n_bags=20)
    rows = np.random.default_rng(seed).permutation(len(X))
    settings = Training(optimizer="adamw", dtype="float64")
    model = network(max_epochs=3, training=settings)
    before = model.fit(X, y, bags).decision_function(X, bags)
    moved = model.fit(X[rows][::-1], y[rows][::-1], bags[rows][::-1])
    after = moved.decision_function(X, bags)
    np.testing.assert_allclose(after, before, atol=1e-7)


def test_a_search_by_bags_in_a_pipeline():
    X, y, bags = make_mil_unit_test("multi_concept", 120, random_state=0)
    ids = np.array([f"bag {bag}" for bag in bags])
    model = make_pipeline(
        StandardScaler(), network(pooling="noisy_or", training=Training())
    )
    grid = {
        "multipleinstancemlpclassifier__training__optimizer": ["adamw"],
        "multipleinstancemlpclassifier__learning_rate": [1e-6, 1e-2],
    }
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(model, grid, cv=GroupKFold(3), error_score="raise")
        search.fit(X, y, bags=ids, groups=ids)
        assert search.score(X, y, bags=ids) > 0.9
    best = search.best_params_["multipleinstancemlpclassifier__learning_rate"]
    assert best == 1e-2
