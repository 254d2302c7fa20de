"""A mixture of experts, and the two meta-estimators that make it smaller."""

import copy
import pickle

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.compression import (
    ExpertCompressor,
    ExpertMerger,
    GlobalMagnitudePruner,
    MixtureOfExpertsClassifier,
    WeightQuantizer,
    expert_similarity,
    expert_weights,
    routing_statistics,
    row_masks,
)
from minimalml.datasets import make_expert_families
from minimalml.neural_network import Training
from tests.conventions import Recorder

torch = pytest.importorskip("torch")
from minimalml.compression._expert_merging._distillation_torch import (
    RowRemoval,
    replace_experts,
    share_of_rows,
)
from minimalml.compression._expert_merging._mixture_torch import (
    MixtureNetwork,
    Routing,
    balance_loss,
)

ROUNDING = 1e-6  # of float32 outputs about 1
X, y = make_expert_families(600, random_state=0)


def mixture(n_experts=6, **options):
    shared = {"max_epochs": 15, "batch_size": 64, "device": "cpu", "random_state": 0}
    return MixtureOfExpertsClassifier(n_experts, **(shared | options))


@pytest.fixture(scope="module")
def fitted():
    return mixture().fit(X, y)


@pytest.fixture(scope="module")
def two_layers():
    return mixture(4, n_layers=2).fit(X, y)


def copies_of_one(model, rng):
    """Return a model whose experts compute the same, with units in other orders."""
    model = copy.deepcopy(model)
    for layer, experts in zip(model.module_.layers, expert_weights(model), strict=True):
        orders = [rng.permutation(experts.n_hidden) for _ in range(experts.n_experts)]

        def shuffle(stack, axis, orders=orders):
            if axis is None:
                return np.repeat(stack[:1], len(stack), axis=0)
            return np.stack([stack[0].take(order, axis=axis) for order in orders])

        replace_experts(layer, experts._map(shuffle), np.arange(experts.n_experts))
    return model


def probabilities_of(model):
    return model.predict_proba(X)


# --- the network ---


def row_by_row(network, X):
    """Compute the network a row at a time."""
    weights = {k: v.numpy() for k, v in network.state_dict().items()}

    def linear(name, x):
        return weights[f"{name}.weight"] @ x + weights.get(f"{name}.bias", 0)

    def norm(name, x):
        z = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        return z * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    outputs = []
    for row in X:
        x = linear("stem", row)
        for i, layer in enumerate(network.layers):
            z = norm(f"layers.{i}.norm", x)
            p = softmax(linear(f"layers.{i}.router", z))
            chosen = np.argsort(-p)[: layer.n_active]
            total = 1 if layer.n_active == 1 else p[chosen].sum()
            for e in chosen:
                expert = f"layers.{i}.experts.{int(layer.expert_of[e])}"
                hidden = np.maximum(linear(f"{expert}.w_in", z), 0)
                x = x + p[e] / total * linear(f"{expert}.w_out", hidden)
        outputs.append(linear("head", norm("norm", x)))
    return np.array(outputs)


@pytest.mark.kernel
@pytest.mark.parametrize("n_active", [1, 2, 4])
def test_outputs_are_those_of_a_loop_over_rows(n_active, rng):
    torch.manual_seed(0)
    network = MixtureNetwork(5, 3, 2, 8, 6, 4, n_active).double()
    network.layers[1].expert_of = torch.tensor([0, 2, 2, 0])  # experts 1, 3 are idle
    rows = rng.normal(size=(30, 5))
    with torch.no_grad():
        outputs, routings = network.routed(torch.as_tensor(rows))
    np.testing.assert_allclose(outputs, row_by_row(network, rows), atol=1e-10)
    assert routings[0].chosen.shape == (30, n_active)


@pytest.mark.parametrize("n_active", [1, 3])
def test_the_balance_loss_is_one_where_experts_are_used_alike(n_active):
    for seed in range(20):
        torch.manual_seed(seed)
        logits = 1e9 * torch.randn(40, 5, dtype=torch.double)  # so that F = P for one
        chosen = logits.topk(n_active).indices
        if n_active == 1:
            counts = torch.bincount(chosen[:, 0], minlength=5) / 40
            loss = balance_loss(Routing(logits, chosen)).item()
            assert loss == pytest.approx(5 * (counts**2).sum().item(), abs=1e-6)
            assert loss >= 1
    uniform = Routing(torch.zeros(5, 5), torch.arange(5)[:, None])
    assert balance_loss(uniform).item() == pytest.approx(1)
    weight = torch.tensor([1.0, 0, 0, 0, 0])
    assert balance_loss(uniform, weight).item() == pytest.approx(1)


def test_a_weight_of_balance_keeps_experts_in_use():
    spread = {
        weight: mixture(balance_weight=weight, max_epochs=5).fit(X, y).balance_.std()
        for weight in (0.0, 1.0)
    }
    assert spread[1.0] < 0.5 * spread[0.0]


def test_the_mixture_learns_and_copies_predict_the_same(fitted):
    assert fitted.score(X, y) > 0.75
    assert fitted.balance_.shape == (1, 6)
    assert fitted.balance_.sum() == pytest.approx(1)
    again = clone(fitted).fit(X, y)
    for other in (again, pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(probabilities_of(other), probabilities_of(fitted))


def test_mixed_precision_trains():
    training = Training(amp=True)
    assert mixture(training=training, max_epochs=5).fit(X, y).score(X, y) > 0.3


def test_statistics_are_those_of_the_router(fitted):
    model = make_pipeline(StandardScaler(), clone(fitted)).fit(X, y)
    [(frequency, logits)] = routing_statistics(model, X)
    chosen = np.argsort(-logits, axis=1)[:, :2]
    expected = np.bincount(chosen.ravel(), minlength=6) / chosen.size
    np.testing.assert_allclose(frequency, expected)
    np.testing.assert_allclose(model[-1].balance_, [frequency])


# --- merging ---


def test_copies_in_another_order_merge_without_a_change(two_layers, rng):
    model = copies_of_one(two_layers, rng)
    before = probabilities_of(model)
    for options in ({}, {"scope": "layer"}, {"weighting": "uniform"}):
        merger = ExpertMerger(model, n_experts=1, fine_tune_epochs=0, **options).fit(X)
        np.testing.assert_allclose(probabilities_of(merger), before, atol=ROUNDING)
        assert [len(layer.experts) for layer in merger.estimator_.module_.layers] == [
            1,
            1,
        ]
    blind = ExpertMerger(model, n_experts=1, fine_tune_epochs=0, align=False).fit(X)
    assert np.abs(probabilities_of(blind) - before).max() > 0.01


def test_as_many_experts_as_there_are_change_nothing(two_layers):
    merger = ExpertMerger(two_layers, n_experts=4, fine_tune_epochs=5).fit(X, y)
    expected = probabilities_of(two_layers)
    np.testing.assert_allclose(probabilities_of(merger), expected, atol=ROUNDING)
    assert merger.n_experts_.tolist() == [4, 4]


def test_groups_follow_the_routers_statistics(two_layers):
    merger = ExpertMerger(two_layers, n_experts=2, fine_tune_epochs=0).fit(X)
    assert merger.n_experts_.sum() == 4
    for i, (frequency, logits) in enumerate(routing_statistics(two_layers, X)):
        np.testing.assert_allclose(merger.frequencies_[i], frequency)
        np.testing.assert_allclose(merger.similarities_[i], expert_similarity(logits))
        labels, dominant = merger.labels_[i], merger.dominant_experts_[i]
        np.testing.assert_array_equal(labels[dominant], np.arange(len(dominant)))
        layer = merger.estimator_.module_.layers[i]
        np.testing.assert_array_equal(layer.expert_of, labels)
    assert merger.n_parameters_ < sum(
        p.numel() for p in two_layers.module_.parameters()
    )
    assert set(merger.stable_rank_["after"]) == {"w_in", "w_out"}


def test_the_given_mixture_and_the_routers_stay_as_they_are(fitted):
    before = copy.deepcopy(fitted.module_.state_dict())
    merger = ExpertMerger(fitted, n_experts=2, fine_tune_epochs=3, random_state=0)
    merger.fit(X, y)
    after = fitted.module_.state_dict()
    assert merger.teacher_ is fitted and before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    routers = [m.module_.layers[0].router.weight for m in (fitted, merger.estimator_)]
    assert torch.equal(*routers) and routers[1].requires_grad
    at_once = clone(merger).set_params(fine_tune_epochs=0, estimator=fitted).fit(X, y)
    assert merger.score(X, y) > at_once.score(X, y)
    again = clone(merger).set_params(estimator=fitted).fit(X, y)
    np.testing.assert_array_equal(probabilities_of(again), probabilities_of(merger))


def test_distillation_comes_closer_to_the_teacher(fitted):
    teacher = np.log(probabilities_of(fitted))

    def divergence(weight):
        model = ExpertMerger(
            fitted, n_experts=2, distillation_weight=weight, random_state=0
        )
        log_student = log_softmax(np.log(probabilities_of(model.fit(X, y))), axis=1)
        return (np.exp(teacher) * (teacher - log_student)).sum(axis=1).mean()

    assert divergence(10.0) < divergence(0.0)


def test_a_merged_mixture_is_merged_again_and_trained_further(fitted):
    first = ExpertMerger(fitted, n_experts=4, fine_tune_epochs=0).fit(X)
    second = ExpertMerger(first.estimator_, n_experts=2, fine_tune_epochs=0).fit(X)
    total = np.bincount(first.labels_[0], first.frequencies_[0])
    np.testing.assert_allclose(second.frequencies_[0], total)
    assert second.estimator_.module_.layers[0].expert_of.max() == 1
    before = second.score(X, y)
    second.estimator_.set_params(warm_start=True, max_epochs=10).fit(X, y)
    assert second.score(X, y) > before
    assert len(second.estimator_.module_.layers[0].experts) == 2


def test_rows_of_no_weight_do_not_count(fitted):
    weight = (np.arange(len(X)) % 2).astype(float)
    merger = ExpertMerger(fitted, n_experts=2, fine_tune_epochs=0)
    some = clone(merger).set_params(estimator=fitted).fit(X[1::2])
    merger.fit(X, sample_weight=weight)
    np.testing.assert_allclose(merger.frequencies_, some.frequencies_)
    np.testing.assert_allclose(merger.similarities_, some.similarities_)


# --- compressing ---


def test_all_rows_change_nothing_and_none_leave_low_rank(fitted):
    options = {"rank": 4, "max_epochs": 0}
    whole = ExpertCompressor(fitted, keep_fraction=1.0, **options).fit(None)
    expected = probabilities_of(fitted)
    np.testing.assert_allclose(probabilities_of(whole), expected, atol=1e-5)
    assert whole.size_fraction_ == 1.25
    low = ExpertCompressor(fitted, keep_fraction=0.0, **options).fit(None)
    assert low.size_fraction_ == 0.25
    for experts in expert_weights(low):
        assert {np.linalg.matrix_rank(w) for w in experts.hidden_in[0]} == {4}


@pytest.mark.parametrize("batch_size", ["auto", 32])
def test_numbers_that_are_stored_are_the_size_that_is_told(fitted, batch_size):
    merger = ExpertMerger(fitted, n_experts=3, random_state=0).fit(X, y)
    compressor = ExpertCompressor(
        merger, rank=4, max_epochs=4, batch_size=batch_size, random_state=0
    ).fit(X, y)
    assert compressor.teacher_ is fitted
    assert 0.25 <= compressor.size_fraction_ <= 0.351
    state = compressor.estimator_.module_.state_dict()
    stored = sum(
        w.numel() for k, w in state.items() if "experts" in k and k.endswith("weight")
    )
    assert stored == compressor.size_fraction_ * 3 * 2 * 32 * 32
    other = pickle.loads(pickle.dumps(compressor))
    np.testing.assert_array_equal(probabilities_of(other), probabilities_of(compressor))
    compressor.estimator_.partial_fit(X, y)


def test_rows_go_by_sensitivity_as_the_reference_says(fitted):
    module = ExpertCompressor(fitted, rank=2, keep_fraction=1.0, max_epochs=0).fit(None).estimator_.module_  # fmt: skip
    removal = RowRemoval(module, 0.3, n_steps=10)
    module(torch.as_tensor(X, dtype=torch.float32)).square().sum().backward()
    products = [(w.detach() * w.grad).abs().numpy() for w in removal.weights]
    removal.cut(1.0)  # keeps all
    assert all((w != 0).any(1).all() for w in removal.weights)
    removal(type("State", (), {"n_steps": 10}))
    found = [(w != 0).any(1).numpy() for w in removal.weights]
    for mask, expected in zip(found, row_masks(products, 0.3), strict=True):
        np.testing.assert_array_equal(mask, expected)
    np.testing.assert_allclose(removal.sensitivity[0], 0.15 * products[0], rtol=1e-5)


def test_rows_are_removed_along_a_cubic_curve():
    shares = [share_of_rows(t, 100, 0.1) for t in range(1, 101)]
    assert shares[:5] == [1.0] * 5 and shares[80:] == [0.1] * 20
    assert shares[41] == pytest.approx(0.1 + 0.9 * (1 - 37 / 75) ** 3)
    assert (np.diff(shares) <= 0).all()
    assert share_of_rows(10, 10, 0.1) == pytest.approx(0.1)


def test_a_run_that_is_stopped_still_keeps_to_its_share(fitted):
    compressor = ExpertCompressor(fitted, rank=4, random_state=0)
    compressor.set_callbacks(Recorder(stop_at="epoch")).fit(X, y)
    assert compressor.size_fraction_ <= 0.351


# --- with other tools ---


def test_a_search_in_a_pipeline(fitted):
    frozen = FrozenEstimator(mixture(max_epochs=5).fit(StandardScaler().fit_transform(X), y))  # fmt: skip
    merger = ExpertMerger(frozen, fine_tune_epochs=2, random_state=0)
    model = make_pipeline(StandardScaler(), merger)
    search = GridSearchCV(model, {"expertmerger__n_experts": [1, 6]}, cv=2).fit(X, y)
    assert search.best_params_ == {"expertmerger__n_experts": 6}
    compressed = ExpertCompressor(search, rank=4, max_epochs=0, prefit=True).fit(X)
    assert compressed.score(X, y) > 0.3


def test_pruning_reaches_the_experts(fitted):
    merger = ExpertMerger(fitted, n_experts=2, random_state=0).fit(X, y)
    pruner = GlobalMagnitudePruner(merger, sparsity=0.5).fit(None)
    names = [name for name in pruner.masks_ if "experts" in name]
    assert len(names) == 4
    assert all(0.1 < pruner.layer_sparsity_[name] < 0.9 for name in names)
    stacks = expert_weights(pruner)[0]
    assert 0.3 < np.mean(stacks.hidden_in[0] == 0) < 0.7
    assert pruner.score(X, y) > 0.6 * merger.score(X, y)


def test_quantising_reaches_the_experts(fitted):
    merger = ExpertMerger(fitted, n_experts=2, random_state=0).fit(X, y)
    quantizer = WeightQuantizer(merger, calibration="parallel").fit(X, y)
    assert sum("experts" in name for name in quantizer.encoded_) == 4
    assert quantizer.score(X, y) > merger.score(X, y) - 0.05


# --- what is refused ---


@pytest.mark.parametrize(
    ("options", "rows", "words"),
    [
        ({"n_experts": 7}, (X, y), "n_experts must be at most 6, .* got 7"),
        ({}, (X, None), "y must be given to ExpertMerger with fine_tune_epochs=5"),
        ({}, (None, y), "X must be given to ExpertMerger"),
        ({}, (X, np.where(y == 0, 9, y)), r"labels \[9\] that are not among the classes"),
        ({}, (X, y[1:]), "inconsistent numbers of samples"),
        ({}, (np.where(X > 3, np.nan, X), y), "X contains NaN"),
        ({}, (X[:, 1:], y), "X has 15 features"),
        ({}, (1e30 * X, y), "X gives outputs that are not finite"),
        ({"n_experts": 0}, (X, y), "'n_experts' parameter of ExpertMerger must be"),
    ],
)  # fmt: skip
def test_a_merger_says_what_it_cannot_take(fitted, options, rows, words):
    with pytest.raises(ValueError, match=words):
        ExpertMerger(fitted, **options).fit(*rows)


def test_a_compressor_says_what_it_cannot_take(fitted):
    with pytest.raises(ValueError, match=r"rank must be between 1 and 32, .* got 33"):
        ExpertCompressor(fitted, rank=33).fit(X, y)
    with pytest.raises(ValueError, match="y must be given to ExpertCompressor"):
        ExpertCompressor(fitted).fit(X)
    with pytest.raises(ValueError, match="'keep_fraction' parameter"):
        ExpertCompressor(fitted, keep_fraction=1.5).fit(X, y)
    with pytest.warns(UserWarning, match=r"rank=16 saves nothing") as caught:
        ExpertCompressor(fitted, rank=16, max_epochs=0).fit(X)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("method", [ExpertMerger, ExpertCompressor])
def test_only_mixtures_that_are_not_compressed_are_taken(method, fitted):
    with pytest.raises(TypeError, match=r"got LogisticRegression: .* ExpertWeights"):
        method(LogisticRegression()).fit(X, y)
    with pytest.raises(TypeError, match=r"got Linear: .* ExpertWeights"):
        method(torch.nn.Linear(2, 2)).fit(X, y)
    compressed = ExpertCompressor(fitted, rank=2, max_epochs=0).fit(X)
    with pytest.raises(TypeError, match=r"compressed experts.* ExpertWeights"):
        method(compressed).fit(X, y)


def test_more_active_experts_than_there_are_are_refused():
    with pytest.raises(ValueError, match="n_active must be at most n_experts=2, got 3"):
        mixture(2, n_active=3).fit(X, y)
