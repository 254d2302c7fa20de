"""Batches of whole bags, beside the rows that they should hold, and trained on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, RegressorMixin

from minimalml._core.arrays import resolve_device
from minimalml._core.callbacks import with_callbacks
from minimalml._core.groups import GroupIndex
from minimalml._core.training.estimator import (
    TorchEstimatorMixin,
    coefficient_of_determination,
    weighted_mean,
)
from minimalml.datasets import make_aggregate_regression

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.kernel

from minimalml._core.training.group_batches import GroupBatches
from minimalml._core.training.loop import train


def batches_of(ids, n_columns=2):
    X = np.random.default_rng(0).normal(size=(len(ids), n_columns))
    index = GroupIndex(ids, len(ids))
    return GroupBatches(index, X, torch.device("cpu"), torch.float64), index, X


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=30),
    st.lists(st.integers(0, 5), min_size=1, max_size=8),
)
def test_gathered_rows_are_those_of_the_bags_in_turn(ids, numbers):
    batches, index, X = batches_of(ids)
    numbers = np.array([number % len(index) for number in numbers], dtype=int)
    rows, local = batches.gather(numbers)
    expected, offsets = index.rows(numbers)
    np.testing.assert_array_equal(rows, X[expected])
    np.testing.assert_array_equal(local.offsets, offsets)
    np.testing.assert_array_equal(numbers[local.codes], index.codes[expected])
    np.testing.assert_array_equal(local.sizes, index.sizes[numbers])
    np.testing.assert_allclose(local.mean(rows), index.mean(X)[numbers], atol=1e-12)


def test_a_function_of_bags_is_mapped_over_all_in_evaluation_mode(monkeypatch):
    batches, index, X = batches_of(np.random.default_rng(1).integers(20, size=300))
    monkeypatch.setattr("minimalml._core.training.group_batches.BATCH_SIZE_PREDICT", 64)
    module, calls = torch.nn.Dropout(0.5).train(), []

    def means(rows, local):
        calls.append(len(rows))
        return local.mean(module(rows))

    found = batches.map(means, module)
    np.testing.assert_allclose(found, index.mean(X), atol=1e-12)
    assert len(calls) > 3 and module.training and not found.requires_grad


def test_automatic_batches_hold_about_256_rows():
    assert batches_of(np.arange(1000) // 8)[0].batch_size() == 32
    assert batches_of(np.arange(1000) // 500)[0].batch_size() == 1
    assert batches_of(np.arange(1000))[0].batch_size() == 256
    assert batches_of(np.arange(1000))[0].batch_size(7) == 7


def test_an_epoch_visits_each_training_bag_once_with_its_rows():
    batches, index, X = batches_of(np.random.default_rng(1).integers(30, size=200))
    network, seen = torch.nn.Linear(2, 1), []

    def step(batch, state):
        rows, local = batch.rows
        assert len(local) == len(batch.bag)
        expected = index.rows(batch.bag.numpy())[0]
        np.testing.assert_array_equal(rows, X[expected])
        seen.extend(batch.bag.tolist())
        return local.mean(state.network(rows)).square().mean()

    training_bags = np.flatnonzero(np.arange(30) % 3)
    columns = {"bag": np.arange(30)}
    train(
        step, network, columns, rows=training_bags, extend=batches.extend,
        batch_size=7, max_epochs=2, dtype="float64", device="cpu",
    )  # fmt: skip
    assert sorted(seen[:20]) == sorted(seen[20:]) == training_bags.tolist()
    assert seen[:20] != seen[20:]


class BagMeanNetwork(RegressorMixin, TorchEstimatorMixin, BaseEstimator):
    """A linear network of rows, trained on the means of bags."""

    def __init__(
        self, max_epochs=60, batch_size="auto", learning_rate=0.02, weight_decay=0.0,
        early_stopping=False, device="cpu", warm_start=False, random_state=0, verbose=0,
        training=None,
    ):  # fmt: skip
        for name, value in locals().items():
            if name != "self":
                setattr(self, name, value)

    @with_callbacks
    def fit(self, X, y, bags):
        index, self.n_features_in_ = GroupIndex(bags, len(X)), X.shape[1]
        dtype = getattr(torch, self._training_settings.dtype)
        self._batches = GroupBatches(index, X, resolve_device(self.device), dtype)
        columns = {
            "bag": np.arange(len(index)),
            "target": index.constant(y),
            "weight": index.sizes.astype(float),
        }
        return self._fit_network(
            columns, X, y, extend=self._batches.extend,
            batch_size=self._batches.batch_size(self.batch_size),
        )  # fmt: skip

    def _build_network(self):
        return torch.nn.Linear(self.n_features_in_, 1)

    def _training_loss(self, batch, state):
        rows, index = batch.rows
        errors = index.mean(state.network(rows)[:, 0]) - batch.target
        return weighted_mean(errors**2, batch.weight)

    def _validation_score(self, columns, state):
        rows, index = self._batches.gather(columns["bag"])
        means = index.mean(self.module_(rows)[:, 0])
        return coefficient_of_determination(columns["target"], means, columns["weight"])


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_network_of_bags_learns_and_holds_out_whole_bags(early_stopping):
    X, y, bags, coef = make_aggregate_regression(
        1200, 4, bag_size=(1, 6), noise=0.1, random_state=0
    )
    model = BagMeanNetwork(early_stopping=early_stopping).fit(X, y, bags)
    np.testing.assert_allclose(model.module_.weight[0].detach(), coef, atol=0.1)
    if early_stopping:
        assert max(model.validation_scores_) > 0.8
