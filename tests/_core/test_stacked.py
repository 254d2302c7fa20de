"""Networks that are trained together beside the same networks trained one by one."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn.functional import cross_entropy

from minimalml._core.torch_random import isolated_noise
from minimalml._core.training.loop import train
from minimalml._core.training.modules import MLP
from minimalml._core.training.stacked import (
    MemberOrders,
    MemberSteps,
    StackedMLP,
    make_stacked_mlp,
    member_first,
)

SIZES = dict(n_features=5, hidden_layer_sizes=(7, 6), n_outputs=3)
SEEDS = (3, 1, 4)
CPU = torch.device("cpu")
OPTIONS = dict(max_epochs=3, batch_size=8, device="cpu", dtype="float64")


@pytest.fixture
def rows(rng):
    return {"X": rng.normal(size=(30, 5)), "y": rng.integers(0, 3, 30)}


def alone(seed, **sizes):
    with isolated_noise(CPU, seed):
        return MLP(**{**SIZES, **sizes}).double()


def single_step(batch, state):
    return cross_entropy(state.network(batch.X), batch.y)


def joint_step(batch, state):
    """Add up the members' mean losses."""
    outputs = state.network(batch.X)  # (n_members, n, n_outputs)
    n_members = len(outputs)
    labels = batch.y.repeat(n_members)
    return n_members * cross_entropy(outputs.flatten(0, 1), labels)


def joint_step_in_own_order(batch, state):
    outputs = state.network(member_first(batch.X))
    labels = member_first(batch.y)
    return len(outputs) * cross_entropy(outputs.flatten(0, 1), labels.flatten())


def assert_same(stacked, networks):
    for number, network in enumerate(networks):
        member = stacked.member(number).state_dict()
        for name, values in network.state_dict().items():
            np.testing.assert_allclose(member[name], values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("hidden", [(), (4,), (7, 6)])
def test_members_are_networks_of_their_seeds(rng, hidden):
    sizes = {**SIZES, "hidden_layer_sizes": hidden}
    stacked = make_stacked_mlp(SEEDS, **sizes).double()
    networks = [alone(seed, hidden_layer_sizes=hidden) for seed in SEEDS]
    assert_same(stacked, networks)
    X = torch.tensor(rng.normal(size=(9, 5)))
    expected = torch.stack([network(X) for network in networks])
    torch.testing.assert_close(stacked(X), expected)
    own_rows = torch.tensor(rng.normal(size=(3, 9, 5)))
    expected = [network(part) for network, part in zip(networks, own_rows, strict=True)]
    torch.testing.assert_close(stacked(own_rows), torch.stack(expected))
    torch.testing.assert_close(stacked.features(X)[1], networks[1].features(X))
    assert all(p.requires_grad for p in stacked.member(0).parameters())


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_training_together_is_training_apart(rows, optimizer):
    options = dict(OPTIONS, optimizer=optimizer, weight_decay=0.1, schedule="cosine")
    stacked = make_stacked_mlp(SEEDS, **SIZES)
    train(joint_step, stacked, rows, **options)
    networks = [alone(seed) for seed in SEEDS]
    for network in networks:
        train(single_step, network, rows, **options)
    assert_same(stacked, networks)
    again = make_stacked_mlp(SEEDS, **SIZES)
    train(joint_step, again, rows, **options)
    for one, other in zip(stacked.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_each_member_may_have_its_own_rate_and_decay(rows):
    rates, decays = torch.tensor([1.0, 3.0, 0.0]), torch.tensor([0.0, 0.5, 2.0])
    stacked = make_stacked_mlp(SEEDS, **SIZES).double()
    steps = MemberSteps(stacked, rates.double(), decays.double())
    train(joint_step, stacked, rows, **OPTIONS, learning_rate=0.01, after_step=steps)
    networks = [alone(seed) for seed in SEEDS]
    for network, rate, decay in zip(networks, rates, decays, strict=True):
        train(
            single_step, network, rows, **OPTIONS, optimizer="adamw",
            learning_rate=0.01 * float(rate), weight_decay=float(decay),
        )  # fmt: skip
    assert_same(stacked, networks)


def test_each_member_may_see_rows_in_its_own_order(rows):
    stacked = make_stacked_mlp(SEEDS, **SIZES)
    train(
        joint_step_in_own_order, stacked, rows, **OPTIONS,
        sampler="sequential", extend=MemberOrders(SEEDS),
    )  # fmt: skip
    networks = [alone(seed) for seed in SEEDS]
    for network, seed in zip(networks, SEEDS, strict=True):
        train(single_step, network, rows, **OPTIONS, order_seed=seed)
    assert_same(stacked, networks)


def test_networks_of_other_shapes_are_refused():
    for sizes in (dict(n_features=6), dict(hidden_layer_sizes=(7,))):
        with pytest.raises(ValueError, match="must have layers of one shape"):
            StackedMLP([alone(0), alone(0, **sizes)])
