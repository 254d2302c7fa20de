import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.callback import ScoringMonitor
from sklearn.datasets import load_diabetes
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import scale

from minimalml._core.training.modules import MLP
from minimalml.neural_network import Training
from minimalml.resampling import CMixupMLPRegressor, TargetKernelSampler, mix
from minimalml.resampling._c_mixup._network_mixing import EpochMixer, HiddenMixer

DOUBLE = Training(dtype="float64")


@pytest.fixture
def rows(rng):
    X = rng.standard_normal((60, 4))
    return X, X @ rng.standard_normal(4) + 0.1 * rng.standard_normal(60)


def network(**options):
    defaults = {"max_epochs": 3, "random_state": 0, "device": "cpu"}
    return CMixupMLPRegressor((8, 6), **{**defaults, **options})


def predictions(rows, **options):
    return network(**options).fit(*rows).predict(rows[0])


class Blocks(torch.nn.Module):
    """A user's network, importable for pickling."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.blocks = torch.nn.ModuleList([torch.nn.Linear(n_features, 5)])
        self.out = torch.nn.Linear(5, n_outputs)

    def forward(self, X):
        return self.out(self.blocks[0](X).relu())


class Wide(Blocks):
    """Runs its block twice, which mixing can't follow."""

    def forward(self, X):
        return self.out(torch.cat([self.blocks[0](X), self.blocks[0](X)]))


# --- reduces to what is known ---


def test_without_mixing_it_learns_as_well_as_scikit_learn():
    X, y = load_diabetes(return_X_y=True)
    X = scale(X)
    options = {"hidden_layer_sizes": (16,), "batch_size": 32, "random_state": 0}
    ours = CMixupMLPRegressor(
        mixup=None, activation="relu", learning_rate=1e-2, max_epochs=30, **options
    ).fit(X[:300], y[:300])
    peer = MLPRegressor(
        learning_rate_init=1e-2, max_iter=30, n_iter_no_change=99, alpha=0, **options
    )
    target = scale(y)
    peer.fit(X[:300], target[:300])
    gap = ours.score(X[300:], y[300:]) - peer.score(X[300:], target[300:])
    assert abs(gap) < 0.1  # seeds of either scatter by about 0.03


@pytest.mark.parametrize("batch_partners", [False, True])
def test_a_tiny_bandwidth_is_no_mixing(rows, batch_partners):
    mixed = predictions(rows, bandwidth=1e-9, training=DOUBLE,
                        batch_partners=batch_partners)  # fmt: skip
    np.testing.assert_allclose(mixed, predictions(rows, mixup=None, training=DOUBLE))


def test_an_infinite_bandwidth_is_mixup(rows):
    plain = predictions(rows, mixup="mixup")
    np.testing.assert_array_equal(predictions(rows, bandwidth=np.inf), plain)
    assert not np.array_equal(predictions(rows), plain)


def test_mixing_after_no_block_is_mixing_inputs(rows, monkeypatch):
    monkeypatch.setattr(CMixupMLPRegressor, "_draw_layer", lambda self: 0)
    hidden = predictions(rows, mix_layer="random")
    np.testing.assert_array_equal(hidden, predictions(rows, mix_layer=0))


@pytest.mark.parametrize("n_lambdas", [1, 7])
def test_hidden_mixing_is_the_network_in_two_parts(rng, n_lambdas):
    module = MLP(3, [5, 4], 2, "tanh").double()
    X, partner_X = torch.as_tensor(rng.random((2, 7, 3)))
    mixing = torch.as_tensor(rng.random((n_lambdas, 1))).expand(7, 1)
    batch = SimpleNamespace(X=X, partner_X=partner_X, mixing=mixing)
    mixer = HiddenMixer(module)
    ours = mixer.forward(module, batch, 1)
    first = module.blocks[0]
    mixer.remove()
    hidden = mixing * first(X) + (1 - mixing) * first(partner_X)
    expected = module.head(module.blocks[1](hidden))
    torch.testing.assert_close(ours, expected)
    assert torch.equal(module(X), module.head(module.features(X)))


@pytest.mark.parametrize("lambda_per", ["batch", "pair"])
def test_hidden_rows_of_shorter_floats_are_mixed(rows, lambda_per):
    exact = network(mix_layer=1, lambda_per=lambda_per).fit(*rows)
    short = network(
        mix_layer=1, lambda_per=lambda_per, training=Training(amp=True)
    ).fit(*rows)
    np.testing.assert_allclose(short.loss_curve_, exact.loss_curve_, rtol=0.05)


def test_a_random_layer_visits_them_all(rows, monkeypatch):
    seen, forward = set(), HiddenMixer.forward

    def watch(self, network, batch, layer):
        seen.add(layer)
        return forward(self, network, batch, layer)

    monkeypatch.setattr(HiddenMixer, "forward", watch)
    network(mix_layer="random", max_epochs=10).fit(*rows)
    assert seen == {0, 1, 2}


# --- what steps see ---


def watch_batches(monkeypatch):
    batches, loss = [], CMixupMLPRegressor._training_loss

    def watch(self, batch, state):
        batches.append((batch, state.data.columns, batch.indices.numpy()))
        return loss(self, batch, state)

    monkeypatch.setattr(CMixupMLPRegressor, "_training_loss", watch)
    return batches


def find_rows(rows, among):
    return (rows[:, None] == among).all(2).double().argmax(1)


def test_rows_are_mixed_with_rows_of_close_labels(rows, monkeypatch):
    batches = watch_batches(monkeypatch)
    network(kernel="tophat", bandwidth=0.3, mix_layer=1).fit(*rows)
    for batch, columns, indices in batches:
        assert torch.equal(batch.X, columns["X"][indices])
        partners = find_rows(batch.partner_X, columns["X"])
        y, partner_y = columns["y"][indices], columns["y"][partners]
        assert ((y - partner_y).abs() <= 0.3 + 1e-6).all()
        expected = batch.mixing * y + (1 - batch.mixing) * partner_y
        torch.testing.assert_close(batch.y, expected)


@pytest.mark.parametrize("lambda_per, n_lambdas", [("batch", 1), ("pair", 16)])
def test_lambdas_are_drawn_for_batches_or_pairs(
    rows, monkeypatch, lambda_per, n_lambdas
):
    batches = watch_batches(monkeypatch)
    network(lambda_per=lambda_per, mix_layer=1).fit(*rows)
    counts = [len(batch.mixing.unique()) for batch, _, _ in batches]
    assert counts[0] == n_lambdas
    assert len({float(batch.mixing[0, 0]) for batch, _, _ in batches}) == len(batches)


def test_partners_of_a_batch_lie_in_two_batches(rng):
    labels, n = rng.random((64, 1)), 64
    mixer = EpochMixer(
        labels, None, None, sampler=TargetKernelSampler(kernel="uniform"),
        alpha=2.0, lambda_per="batch", mixes_input=True, batch_partners=True,
        random_state=np.random.RandomState(0),
    )  # fmt: skip
    order = rng.permutation(n)
    partners = mixer.draw_partners(order, 8)
    second = np.random.RandomState(0).permutation(n)
    for start in range(0, n, 8):
        batch = slice(start, start + 8)
        assert set(partners[batch]) <= {*order[batch], *second[batch]}
    assert not np.isin(partners, order[:8]).all()


@pytest.mark.parametrize("batch_partners", [False, True])
def test_groups_never_mix(rows, monkeypatch, batch_partners):
    batches = watch_batches(monkeypatch)
    groups = np.where(np.arange(60) % 3 == 0, "a", "b")
    model = network(mix_layer=1, bandwidth=np.inf, batch_partners=batch_partners)
    model.fit(*rows, groups=groups)
    for batch, columns, indices in batches:
        partners = find_rows(batch.partner_X, columns["X"])
        assert (groups[partners.numpy()] == groups[indices]).all()


def test_rows_without_weight_leave_no_trace(rows, monkeypatch):
    X, y = rows
    weight = np.r_[np.zeros(20), np.full(40, 2.0)]
    spoilt = X.copy()
    spoilt[:20] = 1e6
    ours = network().fit(spoilt, np.r_[np.full(20, 1e9), y[20:]], sample_weight=weight)
    np.testing.assert_allclose(
        ours.predict(X), network().fit(X[20:], y[20:]).predict(X), rtol=1e-4, atol=1e-5
    )


def test_validation_rows_are_clean_and_unseen(rows, monkeypatch):
    batches = watch_batches(monkeypatch)
    validated, score = [], CMixupMLPRegressor._validation_score

    def watch(self, columns, state):
        validated.append(columns["X"].numpy())
        return score(self, columns, state)

    monkeypatch.setattr(CMixupMLPRegressor, "_validation_score", watch)
    model = network(
        early_stopping=True, training=Training(validation_fraction=0.25)
    ).fit(*rows)
    original = {tuple(row) for row in rows[0].astype(np.float32)}
    held_out = {tuple(row) for row in validated[0]}
    trained = {tuple(row) for row in batches[0][1]["X"].numpy()}
    assert len(held_out) == 15 and held_out <= original
    assert trained == original - held_out
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.t_ == 45 * 3


# --- targets ---


def test_predictions_follow_the_unit_of_the_target(rows):
    X, y = rows
    base = predictions(rows, training=DOUBLE)
    moved = network(training=DOUBLE).fit(X, 1000 * y + 5e4)
    np.testing.assert_allclose(moved.predict(X), 1000 * base + 5e4, rtol=1e-8)
    np.testing.assert_allclose(moved.target_scale_, [1000 * y.std()])


def test_several_targets(rows):
    X, y = rows
    both = np.c_[y, -3 * y, np.full(60, 7.0)]
    model = network(max_epochs=60).fit(X, both)
    assert model.n_outputs_ == 3 and model.target_scale_[2] == 1
    assert model.score(X, both[:, :3]) > 0.5
    np.testing.assert_allclose(model.predict(X)[:, 2], 7, atol=0.3)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_scales_of_targets_and_weights_do_not_matter(rows, scale):
    X, y = rows
    model = network(training=DOUBLE).fit(X, scale * y, sample_weight=np.full(60, scale))
    expected = network(training=DOUBLE).fit(X, y, sample_weight=np.ones(60)).predict(X)
    np.testing.assert_allclose(model.predict(X) / scale, expected, rtol=1e-6)


def test_views_with_negative_strides_are_taken(rows):
    X, y = rows
    views = network().fit(X[::-1, ::-1], y[::-1]).predict(X[::-1, ::-1])
    X, y = X[::-1, ::-1].copy(), y[::-1].copy()
    np.testing.assert_array_equal(views, network().fit(X, y).predict(X))


def test_a_fitted_network_does_not_ask_its_parameters(rows):
    model = network().fit(*rows)
    before, layers = model.predict(rows[0]), model.coefs_
    model.set_params(module=Blocks, hidden_layer_sizes=(3,), mix_layer=9)
    np.testing.assert_array_equal(model.predict(rows[0]), before)
    assert [w.shape for w in model.coefs_] == [w.shape for w in layers]


# --- networks ---


def test_a_user_network_trains_mixed_and_pickles(rows):
    model = network(module=Blocks, mix_layer=1).fit(*rows)
    assert isinstance(model.module_, Blocks)
    assert not model.module_.blocks[0]._forward_hooks
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(rows[0]), model.predict(rows[0]))


def test_a_user_network_may_be_given_as_an_instance(rows):
    module = Blocks(4, 1)
    before = module.out.weight.detach().clone()
    network(module=module, mix_layer="random").fit(*rows)
    assert torch.equal(module.out.weight, before)


def test_layers_are_told_as_by_scikit_learn(rows):
    model = network().fit(*rows)
    assert [w.shape for w in model.coefs_] == [(4, 8), (8, 6), (6, 1)]
    assert [b.shape for b in model.intercepts_] == [(8,), (6,), (1,)]
    assert (model.n_layers_, model.out_activation_) == (4, "identity")
    assert model.loss_ == model.loss_curve_[-1] >= model.best_loss_


# --- going on ---


@pytest.mark.parametrize("options", [{}, {"mix_layer": "random", "lambda_per": "pair"}])
def test_warm_and_partial_fits_equal_one_long_fit(rows, options):
    whole = predictions(rows, max_epochs=4, **options)
    warm = network(max_epochs=2, warm_start=True, **options).fit(*rows).fit(*rows)
    partial = network(**options)
    for _ in range(4):
        partial.partial_fit(*rows)
    np.testing.assert_array_equal(warm.predict(rows[0]), whole)
    np.testing.assert_array_equal(partial.predict(rows[0]), whole)
    assert warm.n_iter_ == partial.n_iter_ == 4
    assert warm.t_ == partial.t_ == 240


def test_a_pickled_warm_start_goes_on_alike(rows):
    model = network(warm_start=True).fit(*rows)
    loaded = pickle.loads(pickle.dumps(model)).fit(*rows)
    np.testing.assert_array_equal(
        loaded.predict(rows[0]), model.fit(*rows).predict(rows[0])
    )


# --- bad input ---


@pytest.mark.parametrize(
    "options, message",
    [
        ({"mix_layer": 3}, "mix_layer must be at most 2, the number of blocks.*got 3"),
        ({"mix_layer": 1, "module": torch.nn.Linear(4, 1)}, "needs a module with `blo"),
        ({"mix_layer": 1, "module": Wide}, "forward must run each of its blocks once"),
        ({"mix_layer": -1}, "'mix_layer' parameter"),
        ({"bandwidth": 0.0}, "'bandwidth' parameter"),
        ({"bandwidth": np.nan}, "'bandwidth' parameter"),
        ({"alpha": 0.0}, "'alpha' parameter"),
        ({"hidden_layer_sizes": (8, 0)}, r"hidden_layer_sizes must be.*got \(8, 0\)"),
        ({"hidden_layer_sizes": [1.5]}, r"hidden_layer_sizes must be.*got \[1.5\]"),
    ],
)
def test_bad_parameters_are_named(rows, options, message):
    with pytest.raises(ValueError, match=message):
        network().set_params(**options).fit(*rows)


def test_bad_rows_are_named(rows):
    X, y = rows
    with pytest.raises(ValueError, match="groups must be one-dimensional"):
        network().fit(X, y, groups=np.ones((60, 1)))
    with pytest.raises(ValueError, match="Input groups contains NaN"):
        network().fit(X, y, groups=np.full(60, np.nan))
    with pytest.raises(ValueError, match="NaN"):
        network().fit(X, np.where(y > 1, np.nan, y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        network().fit(X, y, groups=[1, 2])
    with pytest.raises(ValueError, match="y has 2 targets, but the network was made"):
        network().partial_fit(X, y).partial_fit(X, np.c_[y, y])


# --- integration ---


def test_callbacks_see_each_epoch(rows):
    monitor = ScoringMonitor(scoring="r2")
    model = network().set_callbacks(monitor).fit(*rows)
    scores = [r["r2"] for r in monitor.get_logs().data if r["task_name"] == "epoch"]
    assert len(scores) == 3 and scores[-1] == model.score(*rows)


def test_input_mixing_is_that_of_the_plain_function(rows, monkeypatch):
    batches = watch_batches(monkeypatch)
    draws, sample = [], EpochMixer.draw_shares
    monkeypatch.setattr(
        EpochMixer, "draw_shares",
        lambda self, *a: draws.append(sample(self, *a)) or draws[-1],
    )  # fmt: skip
    network(kernel="tophat", bandwidth=1e-9, batch_size="auto", max_epochs=1,
            training=DOUBLE).fit(*rows)  # fmt: skip
    batch, columns, indices = batches[0]
    X, y = (columns[name].numpy() for name in ("X", "y"))
    X_mixed, y_mixed = mix(X, y, indices, draws[0], indices=indices)
    np.testing.assert_allclose(batch.X, X_mixed)
    np.testing.assert_allclose(batch.y, y_mixed)
