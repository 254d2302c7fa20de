"""Quantised models: bias, targets, files, modules, pruned and searched ones."""

import io
import json
import pickle
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.compression import (
    EncodedWeight,
    GlobalMagnitudePruner,
    UniformCodec,
    WeightCodec,
    WeightQuantizer,
    load_weights,
    relative_output_error,
)
from minimalml.compression._layer_inputs import layer_inputs

ROUNDING = 1e-8  # of sums over rows


class WithoutFeedback(UniformCodec):
    """Plain rounding: what error feedback is held to."""

    def encode(self, weight, hessian=None):
        encoded = super().encode(weight)
        return EncodedWeight(
            "UniformCodec", encoded.shape, encoded.arrays, encoded.meta
        )


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, test_size=0.5, random_state=0)


@pytest.fixture(scope="module")
def network(digits):
    X, _, y, _ = digits
    network = MLPClassifier(hidden_layer_sizes=(64, 64), max_iter=40, random_state=0)
    return network.fit(X, y)


def test_biases_take_up_the_mean_error_of_every_layer(digits, network):
    X = digits[0]
    for calibration in ("sequential", "parallel"):
        quantizer = WeightQuantizer(network, UniformCodec(2), calibration=calibration)
        small = quantizer.fit(X).estimator_
        names = ["coefs_.0", "coefs_.1", "coefs_.2"]
        wanted = layer_inputs(network, names, X)
        found = layer_inputs(
            small if calibration == "sequential" else network, names, X
        )
        for number, name in enumerate(names):
            error = (
                found[name][0] @ small.coefs_[number] + small.intercepts_[number]
                - wanted[name][0] @ network.coefs_[number] - network.intercepts_[number]
            )  # fmt: skip
            assert np.abs(error.mean(axis=0)).max() < ROUNDING


def test_feedback_and_sequence_lower_the_error_of_the_second_layer(digits, network):
    X, X_test = digits[:2]
    wanted = layer_inputs(network, ["coefs_.1"], X_test)["coefs_.1"][0]
    wanted = wanted @ network.coefs_[1] + network.intercepts_[1]

    def error(codec, **options):
        model = WeightQuantizer(network, codec, exclude="coefs_.2", **options)
        small = model.fit(X).estimator_
        rows = layer_inputs(small, ["coefs_.1"], X_test)["coefs_.1"][0]
        outputs = rows @ small.coefs_[1] + small.intercepts_[1]
        return np.mean((outputs - wanted) ** 2) / wanted.var()

    ours = error(UniformCodec(2))
    assert error(WithoutFeedback(2)) >= 3 * ours
    assert error(UniformCodec(2), calibration="parallel") > ours


def test_the_estimator_stays_and_attributes_tell_sizes(digits, network):
    X, X_test, _, y_test = digits
    before = pickle.dumps(network)
    quantizer = WeightQuantizer(network, UniformCodec(4), exclude=["coefs_.2"]).fit(X)
    assert pickle.dumps(network) == before
    assert quantizer.skipped_ == {"coefs_.2": "excluded"}
    assert list(quantizer.encoded_) == ["coefs_.0", "coefs_.1"]
    for number, name in enumerate(quantizer.encoded_):
        encoded = quantizer.encoded_[name]
        assert encoded.shape == network.coefs_[number].T.shape
        np.testing.assert_array_equal(
            encoded.decode().T, quantizer.estimator_.coefs_[number]
        )
        assert quantizer.layer_bits_per_weight_[name] == pytest.approx(
            4 + 32 / encoded.shape[1] + 32 / np.prod(encoded.shape)
        )
    sizes = [w.nbytes for w in quantizer.encoded_.values()]
    others = [network.coefs_[2], *network.intercepts_]
    assert quantizer.size_bytes_ == sum(sizes) + sum(array.nbytes for array in others)
    dense = sum(array.nbytes for array in [*network.coefs_, *network.intercepts_])
    assert quantizer.compression_ratio_ == dense / quantizer.size_bytes_
    weight, first = network.coefs_[0].T, quantizer.encoded_["coefs_.0"]
    hessian = np.cov(X.T, bias=True)
    hessian[np.diag_indices(64)] += 0.01 * np.trace(hessian) / 64
    assert quantizer.layer_error_["coefs_.0"] == pytest.approx(
        relative_output_error(weight, first.decode(), hessian)
    )
    assert quantizer.score(X_test, y_test) > network.score(X_test, y_test) - 0.02


def test_linear_models_of_all_shapes_and_rows_of_all_kinds(rng):
    X, y = rng.normal(size=(80, 40)), rng.normal(size=(80, 2))
    for target in (y, y[:, 0], y[:, :1]):
        model = LinearRegression().fit(X, target)
        small = WeightQuantizer(model, UniformCodec(8)).fit(X).estimator_
        assert np.shape(small.coef_) == np.shape(model.coef_)
        assert np.shape(small.intercept_) == np.shape(model.intercept_)
        np.testing.assert_allclose(small.predict(X).mean(0), model.predict(X).mean(0))
        for rows in (csr_array(X), X.tolist(), pd.DataFrame(X)):
            other = WeightQuantizer(model, UniformCodec(8)).fit(rows).estimator_
            np.testing.assert_array_equal(other.coef_, small.coef_)
    plain = LinearRegression(fit_intercept=False).fit(X, y)
    small = WeightQuantizer(plain, UniformCodec(2)).fit(X).estimator_
    assert small.intercept_ == 0


def test_weights_count_rows(rng):
    X, y = rng.normal(size=(60, 4)), rng.normal(size=60)
    weights = rng.integers(0, 3, size=60)
    X, y = np.column_stack([X] * 9), y + X.sum(axis=1)  # so that a row of codes pays
    quantizer = WeightQuantizer(Ridge(), UniformCodec(3), prefit=False)
    weighted = quantizer.fit(X, y, sample_weight=weights).layer_error_["coef_"]
    repeated = np.repeat(np.arange(60), weights)
    other = quantizer.fit(X[repeated], y[repeated]).layer_error_["coef_"]
    assert weighted == pytest.approx(other)


def test_without_rows_matrices_are_rounded_by_themselves(network):
    quantizer = WeightQuantizer(network, UniformCodec(3)).fit(None)
    expected = UniformCodec(3).encode(network.coefs_[1].T).decode().T
    np.testing.assert_array_equal(quantizer.estimator_.coefs_[1], expected)
    assert quantizer.layer_error_ == {}
    np.testing.assert_array_equal(
        quantizer.estimator_.intercepts_[1], network.intercepts_[1]
    )
    with pytest.raises(ValueError, match="X=None needs a fitted estimator"):
        WeightQuantizer(clone(network)).fit(None)


def test_file_is_small_and_read_without_pickles(digits, network, tmp_path):
    X = digits[0]
    quantizer = WeightQuantizer(network, UniformCodec(3)).fit(X)
    path = tmp_path / "network.npz"
    quantizer.save(path)
    with np.load(path, allow_pickle=False) as file:
        n_arrays = len(file.files)
    assert path.stat().st_size <= quantizer.size_bytes_ + 400 * n_arrays
    again = load_weights(clone(network).fit(X[:60], digits[2][:60]), path)
    for ours, theirs in zip(quantizer.estimator_.coefs_, again.coefs_, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(quantizer.predict_proba(X), again.predict_proba(X))


def test_another_process_predicts_the_same_bits(tmp_path):
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(X, y)
    quantizer = WeightQuantizer(model, UniformCodec(2)).fit(X)
    quantizer.save(tmp_path / "model.npz")
    code = (
        "import sys, json\n"
        "from sklearn.datasets import load_iris\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from minimalml.compression import load_weights\n"
        "X, y = load_iris(return_X_y=True)\n"
        "model = LogisticRegression().fit(X[::3], y[::3])\n"
        "model = load_weights(model, sys.argv[1])\n"
        "print(json.dumps(model.decision_function(X).tolist()))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.npz")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    np.testing.assert_array_equal(json.loads(printed), quantizer.decision_function(X))


def test_files_that_do_not_fit_are_refused(tmp_path, digits, network):
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(X, y)
    file = io.BytesIO()
    WeightQuantizer(model).fit(X).save(file)
    file.seek(0)
    with pytest.raises(ValueError, match="named 'coef_'; the model has"):
        load_weights(network, file)
    file.seek(0)
    with pytest.raises(ValueError, match=r"shape \(1, 4\) in the model and \(3, 4\)"):
        load_weights(LogisticRegression().fit(X[:100], y[:100]), file)
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(ValueError, match="the file has no meta"):
        load_weights(model, tmp_path / "other.npz")
    meta = np.frombuffer(json.dumps({"version": 9}).encode(), dtype=np.uint8)
    np.savez(tmp_path / "newer.npz", meta=meta)
    with pytest.raises(ValueError, match="version 9, this library reads 1"):
        load_weights(model, tmp_path / "newer.npz")
    with pytest.raises(ValueError, match="no codec is called 'Gone': known are"):
        EncodedWeight("Gone", (1, 1), {}, {}).decode()


def test_pruned_then_quantised_in_a_search():
    X, y = load_digits(return_X_y=True)
    inner = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    pruned = GlobalMagnitudePruner(inner, sparsity=0.5)
    search = GridSearchCV(
        WeightQuantizer(pruned, UniformCodec()), {"codec__n_bits": [1, 4]}, cv=2
    )
    search.fit(X[:400], y[:400])
    assert search.best_params_ == {"codec__n_bits": 4}
    assert search.score(X[400:], y[400:]) > 0.8
    frozen = FrozenEstimator(pruned.fit(X[:400], y[:400]))
    fitted = WeightQuantizer(frozen, UniformCodec(6)).fit(X[:400])
    rows = StandardScaler().fit_transform(X[:400])
    assert fitted.layer_error_["coef_"] > 0
    mean = fitted.decision_function(X[:400]) - pruned.decision_function(X[:400])
    assert np.abs(mean.mean(axis=0)).max() < ROUNDING and rows.shape == (400, 64)


class Scaled(WeightCodec):
    """A user's codec: numbers of half precision, drawn a little."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def encode(self, weight, hessian=None):
        rng = np.random.default_rng(self.random_state)
        draws = rng.normal(size=weight.shape).astype(np.float16)
        arrays = {"draws": draws, "scale": np.ones(1, dtype=np.float32)}
        return EncodedWeight("Scaled", weight.shape, arrays, {})

    @classmethod
    def decode_arrays(cls, shape, arrays, meta):
        return arrays["draws"].astype(float)


def test_codecs_that_save_nothing_are_skipped_and_seeds_go_on(network, digits):
    with pytest.warns(
        UserWarning, match=r"nothing was quantised: .* 16.0 bits a weight"
    ):
        quantizer = WeightQuantizer(network, Scaled()).fit(digits[0])
    assert quantizer.encoded_ == {} and quantizer.bits_per_weight_ == 64
    seeds = []

    class Remembers(UniformCodec):
        def __init__(self, n_bits=4, *, group_size=None, random_state=None):
            super().__init__(n_bits, group_size=group_size)
            self.random_state = random_state

        def encode(self, weight, hessian=None):
            seeds.append(self.random_state)
            return WithoutFeedback(self.n_bits).encode(weight)

    WeightQuantizer(network, Remembers(), random_state=0).fit(None)
    draws = np.random.RandomState(0)
    assert seeds == [draws.randint(2**31 - 1) for _ in range(3)]


def test_lines_are_printed_and_pickles_predict(digits, network, capsys):
    X = digits[0]
    quantizer = WeightQuantizer(network, verbose=1).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and "coefs_.0: 4." in lines[0] and "error" in lines[0]
    again = pickle.loads(pickle.dumps(quantizer))
    np.testing.assert_array_equal(again.predict(X), quantizer.predict(X))


@pytest.mark.parametrize(
    ("model", "parameters", "X", "error", "message"),
    [
        (LinearRegression(), dict(exclude="coefs_"), None, ValueError, "exclude names"),
        (LinearRegression(), dict(exclude="coef_"), None, ValueError, "leaves nothing"),
        (LinearRegression(), dict(codec=3), None, ValueError, "'codec' parameter"),
        (LinearRegression(), dict(damping=-1), None, ValueError, "'damping' parameter"),
        (LinearRegression(), {}, np.full((9, 3), np.nan), ValueError, "contains NaN"),
        (LinearRegression(), {}, np.empty((0, 3)), ValueError, "0 sample"),
        (LinearRegression(), dict(damping=0), np.ones((9, 3)), ValueError, "raise damping"),
        (StandardScaler(), {}, None, TypeError, "has no weights"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(rng, model, parameters, X, error, message):
    model = model.fit(rng.normal(size=(9, 3)), rng.normal(size=9))
    with pytest.raises(error, match=message):
        WeightQuantizer(model, **parameters).fit(X)


def test_few_rows_are_told(rng):
    model = LinearRegression().fit(rng.normal(size=(50, 20)), rng.normal(size=50))
    with pytest.warns(
        UserWarning, match="4 rows are few for layers of up to 20 inputs"
    ):
        WeightQuantizer(model).fit(rng.normal(size=(4, 20)))
    model.coef_ = csr_array(model.coef_[None])
    with pytest.raises(TypeError, match="densify"):
        WeightQuantizer(model).fit(None)


torch_tests = pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")


@torch_tests
def test_modules_get_the_codes_of_scikit_learn(digits, network):
    import torch
    from torch import nn

    X = digits[0]
    parts = [
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    ]
    module = nn.Sequential(*parts).double()
    for number, layer in enumerate(module[::2]):
        layer.weight.data = torch.tensor(network.coefs_[number].T.copy())
        layer.bias.data = torch.tensor(network.intercepts_[number])
    ours = WeightQuantizer(network, UniformCodec(3)).fit(X)
    theirs = WeightQuantizer(module, UniformCodec(3)).fit(X)
    for one, other in zip(
        ours.encoded_.values(), theirs.encoded_.values(), strict=True
    ):
        np.testing.assert_array_equal(one.arrays["codes"], other.arrays["codes"])
    assert not any(module[0]._forward_pre_hooks)
    file = io.BytesIO()
    theirs.save(file)
    file.seek(0)
    fresh = load_weights(pickle.loads(pickle.dumps(module)), file)
    rows = torch.tensor(X)
    assert torch.equal(fresh(rows), theirs.estimator_(rows))


@torch_tests
def test_modules_with_other_layers_shared_ones_and_positions(rng):
    import torch
    from torch import nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused, self.last = nn.Linear(3, 3), nn.Linear(6, 2, bias=False)
            self.twice, self.convolution = nn.Linear(6, 6), nn.Conv1d(4, 4, 1)
            self.register_buffer("step", torch.tensor(3))

        def forward(self, X):  # (n, 4, 6): four positions a row
            X = self.convolution(X)
            return self.last(self.twice(self.twice(X).relu())).sum(1)

    torch.manual_seed(0)
    model, X = Model(), rng.normal(size=(40, 4, 6)).astype(np.float32)
    quantizer = WeightQuantizer(model, UniformCodec(4)).fit(X)
    assert list(quantizer.encoded_) == ["twice.weight", "last.weight"]
    assert quantizer.skipped_ == {
        "convolution.weight": "a weight of Conv1d, not of Linear",
        "unused.weight": "no row reaches it",
    }
    assert quantizer.estimator_.twice.weight.dtype == torch.float32
    calls = layer_inputs(model, ["twice.weight"], X)["twice.weight"]
    assert [tuple(call.shape) for call in calls] == [(160, 6), (160, 6)]


@torch_tests
def test_half_precision_goes_through_file_and_back(rng):
    import torch

    X = rng.normal(size=(60, 40)).astype(np.float32)
    for dtype in (torch.bfloat16, torch.float16):
        layer = torch.nn.Sequential(torch.nn.Linear(40, 32), torch.nn.BatchNorm1d(32))
        quantizer = WeightQuantizer(layer.to(dtype), UniformCodec(4)).fit(X)
        assert quantizer.estimator_[0].weight.dtype == dtype
        assert quantizer.compression_ratio_ > 1
        file = io.BytesIO()
        quantizer.save(file)
        file.seek(0)
        again = load_weights(pickle.loads(pickle.dumps(layer)), file)
        for one, other in zip(
            again.state_dict().values(), quantizer.estimator_.state_dict().values(),
            strict=True,
        ):  # fmt: skip
            assert torch.equal(one, other)


@torch_tests
def test_routers_that_send_rows_elsewhere_are_told_by_name(rng):
    import torch

    class Router(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Linear(40, 40), torch.nn.Linear(40, 40)

        def forward(self, X):
            X = self.first(X)
            # the first layer's codes move the outputs: then the second runs once more
            moved = float((X - self.seen).abs().max()) if hasattr(self, "seen") else 0.0
            if not hasattr(self, "seen") and len(X) > 1:
                self.seen = X.detach()
            return self.second(self.second(X)) if moved > 1e-3 else self.second(X)

    module, X = Router(), rng.normal(size=(50, 40)).astype(np.float32)
    module(torch.tensor(X))
    with pytest.raises(ValueError, match=r"layer 'second\.weight' is called 2 times"):
        WeightQuantizer(module, UniformCodec(2)).fit(X)
    WeightQuantizer(module, UniformCodec(2), calibration="parallel").fit(X)


def test_regressors_keep_their_kind(rng):
    X = rng.normal(size=(60, 30))
    y = X[:, 0] + 0.1 * rng.normal(size=60)
    model = MLPRegressor(hidden_layer_sizes=(30,), solver="lbfgs", random_state=0)
    quantizer = WeightQuantizer(model, UniformCodec(8)).fit(X, y)
    assert list(quantizer.encoded_) == ["coefs_.0", "coefs_.1"]
    assert quantizer.score(X, y) > 0.3 and not hasattr(quantizer, "predict_proba")
