"""What layers cost: positions, multiply-adds and bytes, against counting by hand."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml._core.models.flops import layer_bytes, multiply_adds, weight_positions

X, y = load_iris(return_X_y=True)


def network():
    nn = pytest.importorskip("torch").nn
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, groups=1), nn.BatchNorm2d(4), nn.Flatten(),
        nn.Linear(36, 10),
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bytes_of_a_matrix_and_a_vector(dtype):
    matrix = np.array([[0, 1, 0], [2, 0, 3]], dtype=dtype)
    item = matrix.itemsize
    assert layer_bytes(matrix) == (6 * item, 3 * (item + 4) + 3 * 4, 1 + 3 * item)
    assert layer_bytes(matrix[1]) == (3 * item, 2 * (item + 4) + 2 * 4, 1 + 2 * item)
    torch = pytest.importorskip("torch")
    assert layer_bytes(torch.from_numpy(matrix)) == layer_bytes(matrix)
    assert layer_bytes(torch.ones(9).bfloat16()).dense == 18


def test_zeros_are_skipped():
    weights = {"a": np.array([[1.0, 0.0], [0.0, 2.0]]), "b": np.ones(3)}
    assert multiply_adds(weights, {"a": 5}) == {"a": (20, 10)}


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        MLPClassifier((5,), max_iter=300, tol=0.1),
    ],
)
def test_weights_of_scikit_learn_models_are_applied_once(model):
    assert set(weight_positions(model.fit(X, y)).values()) == {1}


def test_positions_of_layers():
    torch = pytest.importorskip("torch")
    nn = torch.nn
    positions = weight_positions(network(), torch.zeros(3, 1, 8, 8))
    assert positions == {"0.weight": 9, "3.weight": 1}
    transposed = nn.Sequential(nn.ConvTranspose1d(2, 3, 4))
    assert weight_positions(transposed, torch.zeros(5, 2, 7)) == {"0.weight": 7}
    on_sequences = nn.Sequential(nn.Linear(6, 2))
    assert weight_positions(on_sequences, torch.zeros(5, 7, 6)) == {"0.weight": 7}


def test_layers_that_are_used_twice_or_tied_add_up():
    torch = pytest.importorskip("torch")
    layer, other = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    other.weight = layer.weight
    twice = torch.nn.Sequential(layer, layer, other)
    assert weight_positions(twice, torch.zeros(2, 3)) == {"0.weight": 3}
    prune = torch.nn.utils.prune
    prune.l1_unstructured(prune_me := torch.nn.Linear(3, 3), "weight", 0.5)
    assert weight_positions(prune_me, torch.zeros(2, 3)) == {"weight": 1}
    torch.nn.utils.parametrizations.weight_norm(one := torch.nn.Linear(3, 3))
    assert weight_positions(one, torch.zeros(2, 3)) == {"weight": 1}


def test_the_forward_pass_leaves_the_module_as_it_was():
    torch = pytest.importorskip("torch")
    module = network().train()
    module[1].eval()  # frozen statistics
    before = {name: value.clone() for name, value in module.state_dict().items()}
    weight_positions(module, torch.randn(3, 1, 8, 8))
    assert [layer.training for layer in module] == [True, False, True, True]
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert not any(layer._forward_hooks for layer in module)


@pytest.mark.parametrize("kind", ["reversed", "list", "float64", "read-only"])
def test_rows_of_any_kind_do(kind):
    pytest.importorskip("torch")
    rows = np.arange(3 * 64, dtype=np.float32).reshape(3, 1, 8, 8)
    if kind == "read-only":
        rows.flags.writeable = False
    rows = {
        "reversed": rows[::-1, :, ::-1], "list": rows.tolist(),
        "float64": rows.astype(float), "read-only": rows,
    }[kind]  # fmt: skip
    assert weight_positions(network(), rows) == {"0.weight": 9, "3.weight": 1}


@pytest.mark.parametrize(("rows", "got"), [(None, "None"), ([], "no rows")])
def test_modules_need_rows_and_arrays_are_no_models(rows, got):
    with pytest.raises(ValueError, match=f"X must hold rows .* got {got}"):
        weight_positions(network(), rows)
    with pytest.raises(TypeError, match="an estimator or a torch module, got arrays"):
        weight_positions([np.ones(3)])
