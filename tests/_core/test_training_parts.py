import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR
from torch.optim.swa_utils import AveragedModel, update_bn

from minimalml._core.training.estimator import coefficient_of_determination
from minimalml._core.training.loop import train
from minimalml._core.training.modules import MLP, build_module, copy_module
from minimalml._core.training.optimizers import make_optimizer
from minimalml._core.training.samplers import (
    ImportanceSampler,
)
from minimalml._core.training.schedules import SCHEDULES, rate_factor
from tests._core.test_training_loop import flat, make_module, make_rows, run

# --- samplers ---


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_rows_are_drawn_in_proportion_to_reported_values():
    sampler = ImportanceSampler(4, uniform_fraction=0.2)
    sampler.update(torch.arange(4), torch.tensor([0.0, 1.0, 2.0, 5.0]))
    draws = Counter()
    for seed in range(2000):
        draws.update(sampler.epoch(generator(seed)).tolist())
    expected = 0.2 / 4 + 0.8 * np.array([0, 1, 2, 5]) / 8
    np.testing.assert_allclose(sampler.probabilities, expected, rtol=1e-6)
    observed = np.array([draws[i] for i in range(4)]) / 8000
    np.testing.assert_allclose(observed, expected, atol=0.02)  # 4 standard errors


def test_importance_without_any_value_is_uniform():
    sampler = ImportanceSampler(3)
    sampler.update(torch.arange(3), torch.zeros(3))
    sampler.epoch(generator())
    np.testing.assert_allclose(sampler.probabilities, 1 / 3)


def test_steps_feed_the_sampler():
    seen = []

    def step(batch, state):
        errors = (state.network(batch.X)[:, 0] - batch.y) ** 2
        state.sampler.update(batch.indices, errors)
        seen.append(batch.indices.clone())
        return errors.mean()

    sampler = ImportanceSampler(40)
    run(make_rows(), step=step, sampler=sampler, max_epochs=1)
    drawn = torch.cat(seen).unique()
    assert (sampler.values[drawn] != 1).all()


# --- schedules ---


def torch_rates(make, n_steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_cosine_is_that_of_torch():
    expected = torch_rates(lambda o: CosineAnnealingLR(o, 20), 20)
    ours = [rate_factor("cosine", s, 20, 0) for s in range(20)]
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_onecycle_is_that_of_torch():
    n_steps = 1000  # torch counts steps from 0 to n - 1, we from 0 to n
    expected = torch_rates(lambda o: OneCycleLR(o, 1.0, n_steps), n_steps)
    ours = [rate_factor("onecycle", s, n_steps, 0) for s in range(n_steps)]
    np.testing.assert_allclose(ours, expected, atol=0.01)


def test_step_divides_twice():
    ours = [rate_factor("step", s, 8, 0) for s in range(8)]
    np.testing.assert_allclose(ours, [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("schedule", [*SCHEDULES, lambda progress: 1 - progress**2])
def test_warm_up_rises_in_proportion_to_the_step(schedule):
    ours = [rate_factor(schedule, s, 20, 4) for s in range(4)]
    np.testing.assert_allclose(ours, [0.25, 0.5, 0.75, 1.0])
    assert 0 <= rate_factor(schedule, 19, 20, 4) <= 1


def test_the_loop_follows_the_schedule():
    rates = []
    run(
        make_rows(), schedule="linear", warmup_epochs=1, max_epochs=2, learning_rate=2.0,
        after_step=lambda s: rates.append(s.optimizers[0].param_groups[0]["lr"]),
    )  # fmt: skip
    np.testing.assert_allclose(rates, [2 / 3, 4 / 3, 2, 2, 4 / 3, 2 / 3])


# --- optimisers ---


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimisers_are_fused(name):
    optimizer = make_optimizer(
        make_module().parameters(), name, 0.1,
        weight_decay=0.0, momentum=0.9,
    )  # fmt: skip
    assert optimizer.param_groups[0]["fused"]


def test_a_callable_makes_the_optimiser():
    ours, _ = run(make_rows(), optimizer=lambda p, lr: torch.optim.Adagrad(p, lr=lr))
    assert not torch.equal(ours, run(make_rows())[0])


def test_groups_keep_rates_of_their_own():
    module = make_module()
    groups = [
        {"params": module.blocks.parameters(), "lr": 0.0},
        {"params": module.head.parameters()},
    ]
    before = flat(module.blocks).clone()
    run(make_rows(), module, optimizers=[{"parameters": groups}])
    assert torch.equal(flat(module.blocks), before)


# --- averages of weights ---


def weights_after_each(kind, **options):
    """Return the weights after each step or epoch, and the averaged result."""
    history = []

    def note(state):
        history.append(flat(state.module).clone())
        return False

    module = make_module()
    hook = {"after_step": note} if kind == "step" else {}
    result, _ = run(make_rows(), module, **hook, **options)
    return history, result


def test_the_exponential_average_is_that_of_torch():
    initial = flat(make_module())
    history, ours = weights_after_each("step", weight_average=0.3, max_epochs=2)
    average = initial
    for t, weights in enumerate(history):
        decay = min(0.3, (1 + t) / (10 + t))
        average = decay * average + (1 - decay) * weights
    torch.testing.assert_close(ours, average)


def test_the_plain_average_is_over_the_last_quarter():
    history, ours = weights_after_each("step", weight_average="swa", max_epochs=8)
    expected = torch.stack([history[3 * 7 - 1], history[3 * 8 - 1]]).mean(0)
    torch.testing.assert_close(ours, expected)


def test_batch_statistics_of_averaged_weights_are_those_of_torch():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1)
    ).double()
    rows = make_rows(48)
    run(rows, module, weight_average="ema", sampler="sequential")
    peer = AveragedModel(module)
    update_bn(torch.as_tensor(rows["X"]).split(16), peer)
    for ours, theirs in zip(module.buffers(), peer.module.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert module[1].momentum == 0.1


# --- modules ---


def test_activations_and_options_reach_the_network():
    module = MLP(3, [5, 4], 2, "leaky_relu", layer_norm=True, dropout=0.3)
    assert [len(block) for block in module.blocks] == [4, 4]
    assert module.blocks[0][2].negative_slope == 0.1
    assert module(torch.zeros(7, 3)).shape == (7, 2)
    assert MLP(3, [], 1).features(torch.ones(2, 3)).shape == (2, 3)


def test_a_user_module_is_copied():
    module = torch.nn.Linear(3, 1)
    built = build_module(module, None)
    assert built is not module and torch.equal(built.weight, module.weight)


def test_a_module_class_gets_the_sizes():
    built = build_module(
        lambda n_features, n_outputs: torch.nn.Linear(n_features, n_outputs),
        None, n_features=3, n_outputs=2,
    )  # fmt: skip
    assert built.weight.shape == (2, 3)
    with pytest.raises(TypeError, match=r"module must be a torch\.nn\.Module.*got int"):
        build_module(lambda: 3, None)


def test_pickled_copies_keep_ties_buffers_and_narrow_types():
    module = torch.nn.Sequential(
        torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 3)
    ).bfloat16()
    module[2].weight = module[0].weight
    module[1].running_mean.fill_(2.0)
    module.register_buffer("passing", torch.arange(3), persistent=False)
    unpacked = pickle.loads(pickle.dumps(copy_module(module)))
    assert unpacked[2].weight is unpacked[0].weight
    assert torch.equal(unpacked.passing, module.passing)
    for name, value in module.state_dict().items():
        assert torch.equal(unpacked.state_dict()[name], value)


# --- scores, compilation ---


def test_determination_is_that_of_scikit_learn(rng):
    from sklearn.metrics import r2_score

    y, predictions, weight = rng.random((9, 2)), rng.random((9, 2)), rng.random(9)
    ours = coefficient_of_determination(
        *(torch.as_tensor(a) for a in (y, predictions, weight))
    )
    assert ours == pytest.approx(r2_score(y, predictions, sample_weight=weight))


def broken_backend(graph, inputs):
    raise RuntimeError("no compiler here")


def compile_with(backend, monkeypatch):
    original = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda m, **options: original(m, backend=backend, **options)
    )


def test_failing_compilation_falls_back_with_one_warning(monkeypatch):
    compile_with(broken_backend, monkeypatch)
    with pytest.warns(RuntimeWarning, match="compile=True failed.*no compiler") as seen:
        ours, _ = run(make_rows(), compile=True)
    assert len(seen) == 1
    assert torch.equal(ours, run(make_rows())[0])


def test_compiled_training_stores_the_plain_module(monkeypatch):
    compile_with("eager", monkeypatch)
    module = make_module()
    ours, state = run(make_rows(), module, compile=True)
    torch.testing.assert_close(ours, run(make_rows())[0])
    assert state.network is module


@pytest.mark.slow
def test_a_thousand_epochs_leak_no_memory():
    import resource

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes on Linux

    def step(batch, state):
        return ((state.network(batch.X)[:, 0] - batch.y) ** 2).mean()

    rows, module = make_rows(100), make_module()
    options = {"dtype": "float64", "device": "cpu", "batch_size": 10}
    train(step, module, rows, max_epochs=100, **options)
    before = peak()
    train(step, module, rows, max_epochs=1000, **options)
    assert peak() - before < 3000  # a leak of 300 bytes a step would show
