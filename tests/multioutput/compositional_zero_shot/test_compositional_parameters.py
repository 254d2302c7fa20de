"""What each parameter of the classifier changes."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from minimalml.datasets import make_compositions
from minimalml.multioutput import CompositionalZeroShotClassifier
from minimalml.multioutput._compositional_zero_shot import _composition_torch

FLOAT32_TOLERANCE = 1e-5  # a few hundred roundings of 6e-8
DATA = make_compositions(4, 5, n_features=12, n_per_pair=6, random_state=0)


class Watched(CompositionalZeroShotClassifier):
    """Keeps its losses object and the state of training."""

    def _conclude(self):
        self.kept_losses_, self.kept_state_ = self._losses, self._training_state
        super()._conclude()


def fit(X=DATA.X_train, y=DATA.y_train, **parameters):
    defaults = {
        "hidden_sizes": (16,),
        "embedding_dim": 8,
        "max_epochs": 3,
        "device": "cpu",
        "random_state": 0,
    }
    return Watched(**(defaults | parameters)).fit(X, y)


@pytest.mark.parametrize(("n_epochs", "n_composed"), [(1, 1), (2, 2), (3, 2), (6, 4)])
def test_recomposition_starts_after_a_third_of_the_epochs(n_epochs, n_composed):
    model = fit(max_epochs=n_epochs)
    assert len(model.history_.get("recomposed", [])) == n_composed
    assert len(model.history_["pair"]) == n_epochs
    without = fit(max_epochs=n_epochs, oversampling=False)
    assert "recomposed" not in without.history_


def test_noise_is_drawn_above_zero(monkeypatch):
    monkeypatch.setattr(_composition_torch, "EPSILONS", (0.0,))
    monkeypatch.setattr(_composition_torch, "NOISE_SCALE", 0.5)
    model = fit()
    losses, module = model.kept_losses_, model.module_
    X = torch.as_tensor(DATA.X_train[:20], dtype=torch.float32)
    codes = torch.as_tensor(DATA.y_train[:20])
    batch = type("Batch", (), {"X": X, "codes": codes})
    for moved, still in zip(
        losses._moved_features(module, batch), module.encode(X), strict=True
    ):
        shift = moved - still.detach()
        assert 0.45 < shift.max() <= 0.5 + FLOAT32_TOLERANCE
        assert shift.min() >= -FLOAT32_TOLERANCE


@pytest.mark.parametrize(
    ("n_features", "given", "rate"),
    [(511, "auto", 1e-3), (512, "auto", 2e-5), (512, 0.1, 0.1)],
)
def test_wide_features_train_with_the_small_rate(n_features, given, rate):
    X = np.random.default_rng(0).normal(size=(20, n_features))
    model = fit(X, DATA.y_train[:20], learning_rate=given, max_epochs=1)
    (optimizer,) = model.kept_state_.optimizers
    assert optimizer.param_groups[0]["lr"] == rate


@pytest.mark.parametrize("as_table", [np.asarray, lambda t: dict(enumerate(t))])
def test_label_vectors_are_where_training_starts(as_table):
    model = fit(
        label_embeddings=(
            as_table(DATA.attribute_embeddings),
            as_table(DATA.object_embeddings),
        ),
        learning_rate=1e-9,
    )
    for kind in ("attribute", "object"):
        found = getattr(model.module_, f"{kind}_embeddings").detach()
        expected = DATA[f"{kind}_embeddings"]
        assert_allclose(found, expected, atol=FLOAT32_TOLERANCE)
    assert fit().module_.attribute_embeddings.shape == (4, 64)


def test_candidates_are_the_seen_pairs_and_those_named():
    unseen = DATA.unseen_pairs[:2]
    model = fit(unseen_pairs=unseen)
    candidates = {tuple(pair) for pair in np.concatenate([DATA.seen_pairs, unseen])}
    assert {tuple(pair) for pair in model.pairs_} == candidates
    assert {tuple(pair) for pair in model.predict(DATA.X_test)} <= candidates


def test_a_constant_attribute_costs_nothing_and_is_answered():
    y = DATA.y_train.copy()
    y[:, 0] = 7
    model = fit(y=y)
    assert model.history_["attribute"] == [0.0] * 3
    assert_array_equal(model.predict(DATA.X_test)[:, 0], 7)


def test_labels_of_a_data_frame_keep_the_types_of_their_columns():
    frame = pd.DataFrame({"colour": DATA.y_train[:, 0], "thing": DATA.y_train[:, 1]})
    frame["colour"] = frame["colour"].map(dict(enumerate("abcd")))
    model = fit(y=frame)
    assert model.attributes_.tolist() == list("abcd")
    assert model.objects_.dtype.kind == "i"
    assert_array_equal(model.predict(DATA.X_test), fit_names().predict(DATA.X_test))


def fit_names():
    y = DATA.y_train.astype(object)
    y[:, 0] = np.array(list("abcd"))[DATA.y_train[:, 0]]
    return fit(y=y)


def test_features_on_disk_give_the_same(tmp_path):
    np.save(tmp_path / "X.npy", DATA.X_train)
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    expected = fit().decision_function(DATA.X_test)
    assert_array_equal(fit(X).decision_function(DATA.X_test), expected)


def test_attack_and_split_have_seeds_of_their_own():
    """Drawn from the network's seed, the first noise would be its first weights."""
    losses = fit(oversampling=False).kept_losses_
    network_seed = np.random.RandomState(0).randint(2**31 - 1)
    assert losses.noise.initial_seed() != network_seed
