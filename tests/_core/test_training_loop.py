import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from minimalml._core.training.estimator import weighted_mean
from minimalml._core.training.loop import train
from minimalml._core.training.modules import MLP

FLOAT64_TOLERANCE = 1e-10  # sums in another order
AGREEMENT = 1e-5  # scikit-learn and torch round differently


def make_rows(n=40, d=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return {"X": X, "y": X @ rng.standard_normal(d) + 0.1 * rng.standard_normal(n)}


def make_module(d=3, width=6, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MLP(d, [width], 1, **options).double()


def squared_error(batch, state):
    errors = state.network(batch.X)[:, 0] - batch.y
    return weighted_mean(errors**2, batch.weight)


def run(columns, module=None, step=squared_error, **options):
    """Train in float64 on the CPU; return the module's flat weights and the state."""
    module = make_module() if module is None else module
    defaults = {"dtype": "float64", "device": "cpu", "batch_size": 16, "max_epochs": 3}
    state = train(step, module, columns, **{**defaults, **options})
    return flat(module), state


def flat(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


# --- reduces to what is known ---


def test_plain_descent_is_that_of_scikit_learn():
    rows, module = make_rows(50), make_module()
    peer = MLPRegressor(
        hidden_layer_sizes=(6,), solver="sgd", momentum=0, nesterovs_momentum=False, shuffle=False,
        alpha=0, learning_rate_init=0.01, batch_size=10, max_iter=1,
    ).fit(rows["X"], rows["y"])  # fmt: skip
    linears = [module.blocks[0][0], module.head]
    peer.coefs_ = [layer.weight.detach().numpy().T.copy() for layer in linears]
    peer.intercepts_ = [layer.bias.detach().numpy().copy() for layer in linears]
    peer.set_params(warm_start=True, max_iter=5)
    peer.fit(rows["X"], rows["y"])
    run(
        rows, module, lambda b, s: 0.5 * squared_error(b, s), optimizer="sgd",
        momentum=0.0, sampler="sequential", learning_rate=0.01, batch_size=10,
        max_epochs=5,
    )  # fmt: skip
    ours = module(torch.as_tensor(rows["X"]))[:, 0].detach().numpy()
    np.testing.assert_allclose(ours, peer.predict(rows["X"]), atol=AGREEMENT)


def test_line_search_on_a_linear_model_finds_least_squares():
    rows = make_rows()
    module = torch.nn.Sequential(torch.nn.Linear(3, 1)).double()
    run(rows, module, optimizer="lbfgs", learning_rate=1.0, batch_size="auto",
        max_epochs=30)  # fmt: skip
    design = np.c_[rows["X"], np.ones(40)]
    solution = np.linalg.lstsq(design, rows["y"])[0]
    np.testing.assert_allclose(flat(module), solution, atol=1e-6)


def test_a_hand_written_loop_gives_the_same_bits():
    rows, module, peer = make_rows(), make_module(), make_module()
    weights, state = run(rows, module, order_seed=5)
    X, y = torch.as_tensor(rows["X"]), torch.as_tensor(rows["y"])
    optimizer = torch.optim.Adam(peer.parameters(), fused=True)
    generator = torch.Generator().manual_seed(5)
    for _ in range(3):
        for indices in torch.randperm(40, generator=generator).split(16):
            optimizer.zero_grad()
            ((peer(X[indices])[:, 0] - y[indices]) ** 2).mean().backward()
            optimizer.step()
    assert torch.equal(weights, flat(peer))
    assert state.n_steps == 9


# --- invariants ---


def test_integer_weights_equal_repeated_rows():
    rows = make_rows()
    repeats = np.random.default_rng(1).integers(0, 3, 40)
    repeated = {name: np.repeat(values, repeats, 0) for name, values in rows.items()}
    weighted = {**rows, "weight": repeats.astype(float)}
    ours, _ = run(weighted, batch_size="auto", optimizer="sgd")
    peer, _ = run(repeated, batch_size="auto", optimizer="sgd")
    torch.testing.assert_close(ours, peer, atol=FLOAT64_TOLERANCE, rtol=0)


def test_uniform_weights_equal_none():
    rows = make_rows(37)  # the last batch is smaller
    weighted, _ = run({**rows, "weight": np.full(37, 3.0)})
    torch.testing.assert_close(weighted, run(rows)[0], atol=FLOAT64_TOLERANCE, rtol=0)


def test_rows_kept_on_disk_give_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr("minimalml._core.training.data.CHUNK_BYTES", 600)
    rows = make_rows(100)
    on_disk = {}
    for name, values in rows.items():
        np.save(tmp_path / f"{name}.npy", values)
        on_disk[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    ours, _ = run(on_disk, in_memory_limit=0)
    assert torch.equal(ours, run(rows)[0])


def test_a_subset_of_rows_equals_these_rows_alone():
    rows, subset = make_rows(), np.arange(3, 33)
    alone = {name: values[subset] for name, values in rows.items()}
    for limit in (0, 10**9):
        ours, _ = run(rows, rows=subset, in_memory_limit=limit)
        assert torch.equal(ours, run(alone)[0])


@pytest.mark.parametrize("n, d, batch_size", [(1, 3, 16), (5, 3, 16), (20, 1, 7)])
def test_odd_sizes_train(n, d, batch_size):
    _, state = run(make_rows(n, d), make_module(d), batch_size=batch_size)
    assert len(state.loss_curve) == 3 and np.isfinite(state.loss_curve).all()


def test_a_last_batch_of_one_row_is_left_out_with_batch_norm():
    module = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1)
    )
    _, state = run(make_rows(33), module.double())
    assert state.n_steps == 2 * 3


# --- random numbers ---


def test_the_global_generator_is_left_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    run(make_rows(), make_module(dropout=0.5))
    assert torch.equal(torch.rand(3), expected)


def test_the_global_generator_has_no_influence():
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        results.append(run(make_rows(), make_module(dropout=0.5))[0])
    assert torch.equal(*results)


def test_seeds_matter():
    rows = make_rows()
    plain = run(rows, make_module(dropout=0.5))[0]
    for name in ("order_seed", "noise_seed"):
        assert not torch.equal(
            plain, run(rows, make_module(dropout=0.5), **{name: 9})[0]
        )


def test_nothing_waits_for_the_device_inside_an_epoch(monkeypatch):
    fetched = []

    def count(name):
        original = getattr(torch.Tensor, name)

        def counted(self, *args, **kwargs):
            fetched.append(name)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, counted)

    for name in ("item", "tolist", "__float__", "__bool__", "__int__", "numpy"):
        count(name)
    _, state = run(make_rows(), gradient_clip=1.0, weight_average="ema",
                   schedule="cosine", max_epochs=4)  # fmt: skip
    assert state.n_steps == 12
    assert fetched == ["tolist"] * 4


# --- optimisers ---


def test_optimisers_take_turns():
    module = torch.nn.ModuleDict(
        {"low": torch.nn.Linear(3, 1), "high": torch.nn.Linear(3, 1)}
    )

    def step(batch, state):
        return [
            (0, lambda: ((module["low"](batch.X)[:, 0] - 1.0) ** 2).mean()),
            (1, lambda: -(module["high"](batch.X) * module["low"](batch.X)).mean()),
        ]

    optimizers = [
        {"parameters": module["low"].parameters(), "learning_rate": 0.1},
        {"parameters": module["high"].parameters(), "learning_rate": 0.0},
    ]
    before = flat(module["high"])
    _, state = run(make_rows(), module, step, optimizers=optimizers, max_epochs=60)
    assert torch.equal(flat(module["high"]).float(), before)
    assert state.losses["loss_0"][-1] < 1e-3
    assert set(state.losses) == {"loss_0", "loss_1"}


def test_named_losses_are_summed_and_kept():
    def step(batch, state):
        return {"fit": squared_error(batch, state), "pull": 0.1 * flat_norm(state)}

    def flat_norm(state):
        return sum((p**2).sum() for p in state.module.parameters())

    _, state = run(make_rows(), step=step)
    total = np.add(state.losses["fit"], state.losses["pull"])
    np.testing.assert_allclose(state.loss_curve, total, rtol=1e-12)


def test_clipped_gradients_bound_a_step():
    module = make_module()
    before = flat(module).clone()
    run(make_rows(), module, optimizer="sgd", momentum=0.0, learning_rate=1.0,
        gradient_clip=1e-3, batch_size="auto", max_epochs=1)  # fmt: skip
    assert (flat(module) - before).norm() == pytest.approx(1e-3, rel=1e-3)


def test_hooks_run_after_each_step_and_epoch():
    steps, epochs = [], []
    run(
        make_rows(),
        after_step=lambda state: steps.append(state.n_steps),
        on_epoch_end=lambda state: epochs.append(state.epoch) or state.epoch == 2,
    )
    assert steps == [1, 2, 3, 4, 5, 6]
    assert epochs == [1, 2]


def test_columns_made_once_an_epoch_stay_beside_their_rows():
    calls = []

    def extend(indices, columns, state):
        calls.append(len(indices))
        assert torch.equal(columns["y"], state.data.columns["y"][indices])
        return {"twice": 2 * columns["y"]}

    def step(batch, state):
        assert torch.equal(batch.twice, 2 * batch.y)
        return squared_error(batch, state)

    run(make_rows(), step=step, extend=extend)
    assert calls == [40, 40, 40]


# --- early stopping, divergence ---


def scores(values):
    """Return a validation that gives these scores in turn."""
    iterator = iter(values)
    return lambda state: torch.tensor(next(iterator))


def test_the_best_epoch_is_restored():
    rows = make_rows()
    options = {"early_stopping": True, "n_iter_no_change": 2, "max_epochs": 9}
    ours, state = run(rows, validate=scores([1.0, 3.0, 2.0, 2.5, 9.0]), **options)
    assert state.validation_scores == [1.0, 3.0, 2.0, 2.5]
    assert (state.best_epoch, state.epoch) == (2, 4)
    assert torch.equal(ours, run(rows, max_epochs=2)[0])


def test_without_early_stopping_all_epochs_run():
    _, state = run(make_rows(), validate=scores([3.0, 2.0, 1.0]), n_iter_no_change=1)
    assert (state.best_epoch, state.epoch) == (3, 3)


def spoil(epoch):
    def step(batch, state):
        factor = float("nan") if state.epoch == epoch else 1.0
        return factor * squared_error(batch, state)

    return step


def test_divergence_restores_the_best_state():
    rows = make_rows()
    with pytest.warns(
        ConvergenceWarning, match="after epoch 3: the weights of epoch 2"
    ):
        ours, state = run(rows, step=spoil(2), max_epochs=9)
    assert torch.equal(ours, run(rows, max_epochs=2)[0])
    assert len(state.loss_curve) == state.epoch == state.best_epoch == 2


def test_divergence_in_the_first_epoch_is_an_error():
    with pytest.raises(ValueError, match="not finite after the first epoch: lower"):
        run(make_rows(), step=spoil(0))


def test_weights_that_overflow_after_a_finite_loss_are_noticed():
    def overflow(state):
        if state.n_steps == 6:
            next(state.module.parameters()).data.fill_(float("inf"))

    with pytest.warns(ConvergenceWarning, match="after epoch 2"):
        ours, _ = run(make_rows(), after_step=overflow)
    assert torch.equal(ours, run(make_rows(), max_epochs=1)[0])


# --- going on ---

CONTINUED = {
    "weight_average": "ema", "schedule": "cosine", "early_stopping": True,
    "validate": lambda state: -state.module.head.weight.square().sum(),
}  # fmt: skip


class Interrupt(Exception):
    pass


def interrupt_after(epoch):
    def hook(state):
        if state.epoch == epoch:
            raise Interrupt

    return hook


@pytest.mark.parametrize("options", [{}, CONTINUED], ids=["plain", "everything"])
def test_a_resumed_run_has_the_bits_of_an_unbroken_one(tmp_path, options):
    rows, path = make_rows(), tmp_path / "run.pt"
    options = {**options, "max_epochs": 6}
    whole, whole_state = run(rows, make_module(dropout=0.5), **options)
    with pytest.raises(Interrupt):
        run(rows, make_module(dropout=0.5), checkpoint=path,
            on_epoch_begin=interrupt_after(4), **options)  # fmt: skip
    ours, state = run(rows, make_module(dropout=0.5), checkpoint=path, **options)
    assert torch.equal(ours, whole)
    assert state.loss_curve == whole_state.loss_curve
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def test_a_finished_checkpoint_gives_its_result(tmp_path):
    path = tmp_path / "run.pt"
    first, _ = run(make_rows(), checkpoint=path, **CONTINUED)
    again, state = run(make_rows(), checkpoint=path, **CONTINUED)
    assert torch.equal(first, again) and state.epoch == 3


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    run(make_rows(), checkpoint=path)
    with pytest.raises(ValueError, match=r"n_rows was 40 and is 30.*another path"):
        run(make_rows(30), checkpoint=path)
    with pytest.raises(ValueError, match=r"run\.pt is of another run: rows was"):
        run(make_rows(seed=1), checkpoint=path)
    with pytest.raises(ValueError, match="another run: network was MLP"):
        run(make_rows(), make_module(dropout=0.5), checkpoint=path)
    with pytest.raises(ValueError, match="another run: batch_size was 16 and is 8"):
        run(make_rows(), batch_size=8, checkpoint=path)
    with pytest.raises(ValueError, match="alpha was None and is 3"):
        run(make_rows(), description={"alpha": 3}, checkpoint=path)


def test_a_state_continues_the_run():
    rows, module = make_rows(), make_module(dropout=0.5)
    _, state = run(rows, module, max_epochs=2)
    ours, state = run(rows, module, max_epochs=4, state=state)
    assert torch.equal(ours, run(rows, make_module(dropout=0.5), max_epochs=6)[0])
    assert state.epoch == 6


# --- bad input ---


@pytest.mark.parametrize(
    "options, message",
    [
        ({"optimizer": "lbfgs"}, "takes all rows at once, got batch_size=16"),
        ({"optimizer": "lbfgs", "batch_size": "auto", "weight_decay": 0.1},
         "has no weight decay"),
        ({"amp": "float16"}, "amp='float16' needs a cuda device, got cpu"),
    ],
)  # fmt: skip
def test_what_cannot_be_combined_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        run(make_rows(), **options)
