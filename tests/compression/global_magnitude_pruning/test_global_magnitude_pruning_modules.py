"""Torch modules: pruning in place, own training loops, fine-tuning, reports."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier

from minimalml._core.models.weights import model_weights
from minimalml._core.training.network import NetworkRegressor
from minimalml.compression import (
    GlobalMagnitudePruner,
    finalize,
    flops_report,
    global_magnitude_mask,
    prune_module,
    sparsity_report,
    to_sparse,
)
from minimalml.compression._global_magnitude_pruning._fine_tuning import make_trainer

torch = pytest.importorskip("torch")
nn = torch.nn


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(36, 10),
    )  # fmt: skip


def images():
    X, y = load_digits(return_X_y=True)
    return (X[:200].reshape(-1, 1, 8, 8) / 16).astype(np.float32), y[:200]


def train(module, X, y, steps=5, optimizer=None):
    if optimizer is None:
        optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(X), y).backward()
        optimizer.step()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_module_is_pruned_in_place_as_the_function_says(dtype):
    module = network().to(getattr(torch, dtype))
    weights = {n: module.get_parameter(n).clone() for n in ("0.weight", "4.weight")}
    expected = global_magnitude_mask(weights, 0.7)
    bias = module[4].bias.clone()
    masks = prune_module(module, 0.7)
    for name, mask in masks.items():
        assert torch.equal(mask, expected[name])
        kept = torch.where(mask, weights[name], 0)
        assert torch.equal(module.get_parameter(name), kept)
    assert torch.equal(module[4].bias, bias)


def test_weights_of_other_layouts_are_pruned_too():
    layer, other = nn.Linear(6, 9), nn.Linear(6, 9)
    other.weight.data = layer.weight.detach().T.contiguous().T
    prune_module(layer, 0.8)
    prune_module(other, 0.8)
    assert torch.equal(layer.weight, other.weight)
    assert not other.weight.is_contiguous()


def test_a_mask_holds_in_a_training_loop_of_ones_own():
    module, (X, y) = network(), map(torch.from_numpy, images())
    keys = set(module.state_dict())
    masks = prune_module(module, 0.8, parametrize=True)
    before = module[4].weight.detach().clone()
    train(module, X, y)
    assert not module[4].weight[~masks["4.weight"]].any()
    assert not torch.equal(module[4].weight, before)
    output = module.eval()(X)
    assert finalize(module) is module and set(module.state_dict()) == keys
    assert torch.equal(module(X), output)
    assert not module[4].weight[~masks["4.weight"]].any()


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_optimisers_made_before_go_on_behind_the_mask(kind):
    module, (X, y) = network(), map(torch.from_numpy, images())
    options = {"momentum": 0.9} if kind == "SGD" else {}
    optimizer = getattr(torch.optim, kind)(module.parameters(), lr=0.05, **options)
    train(module, X, y, optimizer=optimizer)
    masks = prune_module(module, 0.8, parametrize=True)
    before = module[4].weight.detach().clone()
    train(module, X, y, optimizer=optimizer)
    kept = masks["4.weight"]
    assert not torch.equal(module[4].weight[kept], before[kept])
    finalize(module)
    assert not module[4].weight[~kept].any()


def test_tied_weights_are_masked_wherever_they_are_used():
    module = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    module[1].weight = module[0].weight
    masks = prune_module(module, 0.5, parametrize=True)
    assert list(masks) == ["0.weight"] and int(masks["0.weight"].sum()) == 18
    train(module, torch.randn(8, 6), torch.arange(8) % 6)
    finalize(module)
    for layer in module:
        assert int((layer.weight != 0).sum()) == 18


def test_masks_can_not_be_registered_twice_or_removed_without():
    module = network()
    with pytest.raises(ValueError, match="has no masks to finalize"):
        finalize(module)
    prune_module(module, 0.5, parametrize=True)
    with pytest.raises(ValueError, match=r"prune_module, finalize"):
        prune_module(module, 0.6)
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, got Ridge"):
        prune_module(Ridge(), 0.6)
    with pytest.raises(TypeError, match="no weight matrices; supported"):
        prune_module(nn.BatchNorm1d(3), 0.6)


@pytest.mark.parametrize("mask_every_batch", [True, False])
@pytest.mark.parametrize("schedule", ["one-shot", "cubic"])
def test_fine_tuning_a_module_keeps_the_zeros(schedule, mask_every_batch):
    X, y = images()
    module = network()
    pruner = GlobalMagnitudePruner(
        module, sparsity=0.7, schedule=schedule, n_steps=2, fine_tune_epochs=10,
        batch_size=20,
        learning_rate=0.01, random_state=0, mask_every_batch=mask_every_batch,
    ).fit(X, y)  # fmt: skip
    for name, mask in pruner.masks_.items():
        pruned = pruner.estimator_.get_parameter(name)
        assert not pruned[~mask].any()
        assert module.get_parameter(name).all()
    scores = pruner.estimator_.eval()(torch.from_numpy(X))
    assert (scores.argmax(1).numpy() == y).mean() > 0.6
    assert pruner.history_[-1]["loss"] < 2
    assert pruner.sparsity_ == pytest.approx(1 - pruner.n_nonzero_ / 396)


def test_moments_of_a_module_are_zero_where_weights_are():
    X, y = images()
    module = network()
    masks = prune_module(module, 0.7)
    trainer = trainer_of(module, X, y)
    trainer.run(2, masks)
    (optimizer,) = trainer.state.optimizers
    for name, mask in masks.items():
        state = optimizer.state[module.get_parameter(name)]
        for moment in (state["exp_avg"], state["exp_avg_sq"]):
            assert not moment[~mask].any() and moment[mask].any()


class NanAtFourthCall(nn.Linear):
    n_calls = 0

    def forward(self, X):
        self.n_calls += 1
        return super().forward(X) * (float("nan") if self.n_calls == 4 else 1.0)


def test_a_diverged_run_goes_back_to_a_masked_state():
    X, y = images()
    module = NanAtFourthCall(64, 10)
    masks = prune_module(module, 0.7)
    trainer = trainer_of(module, X.reshape(-1, 64), y, mask_every_batch=False)
    with pytest.warns(ConvergenceWarning, match="weights of epoch 2 are used"):
        trainer.run(5, masks)
    assert not module.weight[~masks["weight"]].any() and module.weight.any()


def trainer_of(module, X, y, mask_every_batch=True):
    return make_trainer(
        module, X, y, None, batch_size=len(X), learning_rate=0.01,
        mask_every_batch=mask_every_batch, generator=np.random.default_rng(0),
    )  # fmt: skip


def test_fine_tuning_a_module_on_numbers():
    X, y = images()
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    pruner = GlobalMagnitudePruner(module, sparsity=0.5, fine_tune_epochs=20)
    pruner.set_params(learning_rate=0.02, batch_size=20).fit(X, y + 0.5)
    output = pruner.estimator_(torch.from_numpy(X)).detach().numpy()[:, 0]
    assert np.mean((output - y - 0.5) ** 2) < np.mean((y - y.mean()) ** 2)


def test_a_module_that_can_not_be_copied_says_what_helps():
    module = nn.Sequential(nn.Linear(4, 2))
    torch.nn.utils.prune.l1_unstructured(module[0], "weight", 0.3)
    module(torch.ones(2, 4)).sum().backward()
    with pytest.raises(TypeError, match=r"estimator \(Seq.* torch\.no_grad\(\), or"):
        GlobalMagnitudePruner(module, sparsity=0.5).fit(None)


def test_a_module_is_pruned_without_data():
    pruner = GlobalMagnitudePruner(network(), sparsity=0.5).fit(None)
    assert pruner.n_nonzero_ == 198
    assert not hasattr(pruner, "predict")


def tune(module, rows, targets, **options):
    options = {"sparsity": 0.0, "fine_tune_epochs": 3, "random_state": 0} | options
    return GlobalMagnitudePruner(module, **options).fit(rows, targets)


def test_frozen_layers_stay_frozen_in_fine_tuning():
    X, y = images()
    module = network().train()
    module[1].eval()
    pruned = tune(module, X, y).estimator_
    assert [m.training for m in pruned] == [True, False, True, True, True]
    assert torch.equal(pruned[1].running_mean, module[1].running_mean)
    pruned = tune(module.eval(), X, y).estimator_
    assert not any(layer.training for layer in pruned.modules())
    assert not torch.equal(pruned[1].running_mean, module[1].running_mean)


def blobs():
    y = np.arange(300) % 3
    X = np.random.default_rng(0).normal(size=(300, 3)) + 4 * np.eye(3)[y]
    return X.astype(np.float32), y


def test_rows_that_lack_a_class_do_not_renumber_the_others():
    X, y = blobs()
    module = nn.Linear(3, 3)
    with torch.no_grad():
        module.weight.copy_(2 * torch.eye(3))
        module.bias.fill_(-3.0)
    some = y != 1
    tuned = tune(module, X[some], y[some], fine_tune_epochs=30, learning_rate=0.05)
    rows = torch.from_numpy(X[y == 2])
    assert (tuned.estimator_(rows).argmax(1) == 2).float().mean() > 0.95


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            blobs()[1] + 1,
            "the label 3, but the module's 3 outputs .* for labels 0 to 2",
        ),
        (blobs()[1] - 1, "the label -1, but"),
        (np.array(list("abc"))[blobs()[1]], "y must hold integers, .* got dtype <U1"),
        (blobs()[1] + 0.5, r"shape \(300,\) does not fit .* \(300, 3\): pass integers"),
        (blobs()[1][:20], "y has 20 rows but X has 300"),
        (np.full(300, np.nan), "Input y contains NaN"),
    ],
)
def test_targets_that_do_not_fit_the_outputs_are_refused(targets, message):
    with pytest.raises(ValueError, match=message):
        tune(nn.Linear(3, 3), blobs()[0], targets)


def test_a_single_output_knows_two_classes():
    X, y = blobs()
    module = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0))
    is_two = (y == 2).astype(int)
    tuned = tune(module, X, is_two, fine_tune_epochs=60, learning_rate=0.05)
    assert np.mean((tuned.estimator_(torch.from_numpy(X)) > 0).numpy() == is_two) > 0.9
    with pytest.raises(ValueError, match="the label 2, but the module's 1 outputs"):
        tune(module, X, y)


class TwoOutputs(nn.Linear):
    def forward(self, X):
        return super().forward(X), X


def test_modules_that_return_several_tensors_are_refused():
    with pytest.raises(TypeError, match="must return one tensor a batch, got a tuple"):
        tune(TwoOutputs(3, 3), *blobs())


class HoldsModule(BaseEstimator):
    """A fitted classifier that keeps a network and can't be trained further."""

    def fit(self, X, y):
        self.module_, self.classes_ = nn.Linear(3, 3), np.array(["a", "b", "c"])
        return self


def test_labels_are_those_of_the_estimator_that_holds_the_module():
    X, y = blobs()
    labels = np.array(["a", "b", "c"])[y]
    some = y != 1
    model = HoldsModule().fit(X, y)
    tuned = tune(model, X[some], labels[some], fine_tune_epochs=60, learning_rate=0.05)
    scores = tuned.estimator_.module_(torch.from_numpy(X[some])).detach().numpy()
    assert np.mean(model.classes_[scores.argmax(1)] == labels[some]) > 0.9
    with pytest.raises(
        ValueError, match=r"labels \['d'\] that are not among the classes"
    ):
        tune(model, X, np.where(y == 1, "d", labels))


def test_networks_with_scaled_targets_are_trained_by_their_own_steps():
    X, _ = blobs()
    targets = 1000 + 100 * X[:, 0]
    model = NetworkRegressor((8,), max_epochs=30, learning_rate=0.02, random_state=0)
    model.fit(X, targets)
    tuned = tune(model, X, targets, sparsity=0.5, fine_tune_epochs=10)
    assert tuned.score(X, targets) > 0.8
    weights = model_weights(tuned)
    for name, mask in tuned.masks_.items():
        assert not weights[name][~mask].any()


@pytest.mark.parametrize(
    "given", ["reversed", "list", "read-only", "column", "frame", "tensor", "float64"]
)
def test_rows_and_labels_of_any_kind_train_a_module(given):
    pandas = pytest.importorskip("pandas")
    X, y = blobs()
    X_read_only = X.copy()
    X_read_only.flags.writeable = False
    rows, targets = {
        "reversed": (X[:, ::-1][:, ::-1], y[::-1][::-1]),
        "list": (X.tolist(), y.tolist()),
        "read-only": (X_read_only, y),
        "column": (X, y[:, None]),
        "frame": (pandas.DataFrame(X), pandas.DataFrame({"kind": y})),
        "tensor": (torch.from_numpy(X), torch.from_numpy(y)),
        "float64": (X.astype(float), y),
    }[given]
    module = nn.Linear(3, 3)
    ours, expected = (tune(module, *data) for data in ((rows, targets), (X, y)))
    assert torch.equal(ours.estimator_.weight, expected.estimator_.weight)


# Reports


def test_masks_of_a_parametrization_are_reported_and_exported():
    module, rows = nn.Linear(10, 10), torch.randn(64, 10)
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)

    def step():
        optimizer.zero_grad()
        (module(rows) - rows).pow(2).mean().backward()
        optimizer.step()

    step()
    prune_module(module, 0.8, parametrize=True)
    step()  # momentum moves what lies behind the mask
    assert sparsity_report(module).layers == {"weight": (100, 20, 0.8)}
    assert flops_report(module, rows).layers == {"weight": (100, 20)}
    assert int((to_sparse(module)["weight"].to_dense() != 0).sum()) == 20
    with pytest.raises(ValueError, match=r"'weight' is computed .* finalize"):
        GlobalMagnitudePruner(module, sparsity=0.5).fit(None)


def test_multiply_adds_of_a_network_by_hand():
    module = network()
    report = flops_report(module, images()[0][:3])
    assert report.layers == {
        "0.weight": (36 * 9, 36 * 9), "4.weight": (360, 360)
    }  # fmt: skip
    masks = prune_module(module, 0.5)
    kept = {name: int(mask.sum()) for name, mask in masks.items()}
    report = flops_report(module, images()[0][:3])
    assert report.sparse == 9 * kept["0.weight"] + kept["4.weight"]
    assert report.ratio == report.sparse / (36 * 9 + 360)
    assert module.training
    transposed = nn.Sequential(nn.ConvTranspose1d(2, 3, 4))
    assert flops_report(transposed, torch.zeros(5, 2, 7)).dense == 2 * 3 * 4 * 7
    on_sequences = nn.Sequential(nn.Linear(6, 2))
    assert flops_report(on_sequences, torch.zeros(5, 7, 6)).dense == 12 * 7
    with pytest.raises(ValueError, match="X must hold rows"):
        flops_report(module)


def test_reports_of_scikit_learn_models():
    X, y = load_digits(return_X_y=True)
    pruner = GlobalMagnitudePruner(LogisticRegression(tol=0.01), sparsity=0.8)
    pruner.fit(X / 16, y)
    report = sparsity_report(pruner)
    assert report.n_nonzero == pruner.n_nonzero_ == 128
    assert report.sparsity == pytest.approx(0.8)
    assert report.parameter_sparsity == pytest.approx(512 / 650)
    assert (report.dense_bytes, report.bitmask_bytes) == (5120, 80 + 8 * 128)
    assert report.csr_bytes == 128 * 12 + 4 * 11
    assert (flops_report(pruner).dense, flops_report(pruner).sparse) == (640, 128)


def test_sparse_matrices_compute_the_same():
    X, y = load_digits(return_X_y=True)
    pruner = GlobalMagnitudePruner(LogisticRegression(tol=0.01), sparsity=0.8)
    pruner.fit(X / 16, y)
    dense = pruner.predict_proba(X / 16)
    matrix = to_sparse(pruner)["coef_"]
    assert matrix.format == "csr" and matrix.nnz == 128
    np.testing.assert_array_equal(matrix.toarray(), pruner.estimator_.coef_)
    pruner.estimator_.coef_ = matrix
    np.testing.assert_allclose(pruner.predict_proba(X / 16), dense)
    module = network()
    prune_module(module, 0.8)
    for name, matrix in to_sparse(module).items():
        assert matrix.layout == torch.sparse_csr
        dense = module.get_parameter(name)
        assert torch.equal(matrix.to_dense(), dense.reshape(len(dense), -1))


def test_pruned_modules_pickle_and_copy():
    pruner = GlobalMagnitudePruner(network(), sparsity=0.5).fit(None)
    for other in (pickle.loads(pickle.dumps(pruner)), copy.deepcopy(pruner)):
        assert torch.equal(other.estimator_[4].weight, pruner.estimator_[4].weight)


def test_estimators_that_hold_a_module_are_pruned():
    model = MLPClassifier((4,), max_iter=2, random_state=0)
    model.module_ = network()
    model.classes_ = np.arange(10)
    pruner = GlobalMagnitudePruner(model, sparsity=0.5, prefit=True).fit(None)
    assert pruner.n_nonzero_ == 198 and model.module_[4].weight.all()
