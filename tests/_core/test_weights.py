"""The weights view: names, live arrays, round trips, refusals."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import (
    Lasso,
    LinearRegression,
    LogisticRegression,
    Ridge,
    SGDClassifier,
)
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from minimalml._core.models.weights import (
    model_buffers,
    model_weights,
    set_model_weights,
    weight_kinds,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.default_rng(0).normal(size=(60, 4))
LABELS = np.arange(60) % 3

LINEAR = [
    LinearRegression(),
    Ridge(),
    Lasso(alpha=0.01),
    LogisticRegression(),
    LogisticRegression(fit_intercept=False),
    SGDClassifier(random_state=0),
]
NETWORKS = [
    MLPClassifier((5, 3), max_iter=2, random_state=0),
    MLPRegressor(hidden_layer_sizes=(5,), max_iter=2, random_state=0),
]
name_of = str


def fitted(model):
    return copy.deepcopy(model).fit(X, LABELS)


def network():
    torch = pytest.importorskip("torch")
    nn = torch.nn
    return nn.Sequential(
        nn.Embedding(7, 4), nn.Conv1d(4, 4, 1), nn.BatchNorm1d(4), nn.Linear(4, 2),
        nn.GRU(2, 3),
    )  # fmt: skip


@pytest.mark.parametrize("model", LINEAR + NETWORKS, ids=name_of)
def test_round_trip_is_the_identity(model):
    model = fitted(model)
    before = pickle.dumps(model)
    set_model_weights(model, model_weights(model))
    set_model_weights(model, {k: v.copy() for k, v in model_weights(model).items()})
    assert pickle.dumps(model) == before


@pytest.mark.parametrize("model", LINEAR + NETWORKS, ids=name_of)
def test_predictions_follow_weights_that_are_written(model):
    model, other = fitted(model), fitted(model)
    zeros = {name: np.zeros(w.shape) for name, w in model_weights(model).items()}
    set_model_weights(model, zeros)
    assert not np.any([np.any(w) for w in model_weights(model).values()])
    set_model_weights(model, model_weights(other))
    np.testing.assert_array_equal(model.predict(X), other.predict(X))


def test_names_and_live_arrays_of_an_mlp():
    model = fitted(NETWORKS[0])
    weights = model_weights(model)
    assert list(weights) == [
        *("coefs_.0", "coefs_.1", "coefs_.2"),
        *("intercepts_.0", "intercepts_.1", "intercepts_.2"),
    ]
    assert weights["coefs_.1"] is model.coefs_[1]
    assert weight_kinds(model)["intercepts_.2"] == "bias"
    assert weight_kinds(model)["coefs_.2"] == "weight"


def test_scalar_intercept_stays_a_scalar():
    model = Ridge().fit(X, X[:, 0])
    set_model_weights(model, {"intercept_": np.array(2.5)})
    assert model.intercept_ == 2.5 and np.ndim(model.intercept_) == 0
    assert weight_kinds(model) == {"coef_": "weight", "intercept_": "bias"}


def test_read_only_weights_are_replaced_not_written():
    model = fitted(Ridge())
    model.coef_.flags.writeable = False
    original = model.coef_
    set_model_weights(model, {"coef_": np.zeros(4)})
    assert not model.coef_.any() and original.any()


@pytest.mark.parametrize("wrap", ["pipeline", "search", "frozen"])
def test_wrapped_models_give_the_innermost_weights(wrap):
    inner = Ridge()
    model = {
        "pipeline": make_pipeline(StandardScaler(), inner),
        "search": GridSearchCV(make_pipeline(StandardScaler(), inner), {}, cv=2),
        "frozen": FrozenEstimator(fitted(inner)),
    }[wrap].fit(X, LABELS)
    assert list(model_weights(model)) == ["coef_", "intercept_"]
    set_model_weights(model, {"coef_": np.zeros(4)})
    assert np.ptp(model.predict(X)) == 0


@pytest.mark.parametrize(
    "model",
    [
        RandomForestRegressor(2),
        AdaBoostRegressor(Ridge(), n_estimators=2),
        BaggingRegressor(Ridge().fit(X, LABELS), n_estimators=2),
        make_pipeline(StandardScaler(), VotingRegressor([("a", Ridge())])),
    ],
    ids=name_of,
)
def test_the_template_of_an_ensemble_is_not_its_model(model):
    with pytest.raises(TypeError, match=r"is an ensemble, .* one by one; supported"):
        model_weights(fitted(model))


def test_torch_names_kinds_and_memory():
    module = network()
    weights = model_weights(module)
    assert list(weights) == [name for name, _ in module.named_parameters()]
    weights["3.weight"].zero_()
    assert not module[3].weight.any() and not weights["3.weight"].requires_grad
    kinds = weight_kinds(module)
    expected = {
        "0.weight": "embedding",
        "1.weight": "weight",
        "1.bias": "bias",
        "2.weight": "norm",
        "2.bias": "norm",
        "3.weight": "weight",
        "4.weight_hh_l0": "weight",
        "4.bias_hh_l0": "bias",
    }
    assert {name: kinds[name] for name in expected} == expected
    assert "2.running_mean" in model_buffers(module)
    assert model_buffers(fitted(Ridge())) == {}


def test_tied_tensors_are_counted_once():
    torch = pytest.importorskip("torch")
    module = network()
    module.append(type(module[3])(4, 2))
    module[5].weight = module[3].weight
    assert "5.weight" not in model_weights(module)
    same = torch.nn.Identity()
    for layer in (module[3], module[5]):
        torch.nn.utils.parametrize.register_parametrization(layer, "weight", same)
    assert "3.weight" in model_weights(module)
    assert "5.weight" not in model_weights(module)


def test_torch_round_trip_keeps_dtype_layout_and_gradients():
    torch = pytest.importorskip("torch")
    module = network().to(torch.bfloat16)
    module[1].weight.data = module[1].weight.data.transpose(0, 1)
    before = {k: v.clone() for k, v in model_weights(module).items()}
    strides = module[1].weight.stride()
    as_numpy = {k: v.float().numpy() for k, v in before.items()}
    set_model_weights(module, as_numpy)
    after = model_weights(module)
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert module[1].weight.stride() == strides and module[1].weight.requires_grad


@pytest.mark.parametrize(
    "kind", ["orthogonal", "spectral_norm", "weight_norm", "prune"]
)
def test_computed_weights_are_read_as_the_module_uses_them(kind):
    torch = pytest.importorskip("torch")
    from torch.nn.utils import prune

    module = network().train()
    if kind == "prune":
        prune.l1_unstructured(module[3], "weight", 0.5)
    else:
        getattr(torch.nn.utils.parametrizations, kind)(module[3])
    before = copy.deepcopy(module.state_dict())
    ours = model_weights(module)["3.weight"]
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert module[3].training and not ours.requires_grad
    module.eval()
    expected = module[3](torch.eye(4)) - module[3].bias
    torch.testing.assert_close(ours.T, expected)
    assert weight_kinds(module)["3.weight"] == "weight"
    assert not any("parametrizations" in name for name in model_weights(module))
    with pytest.raises(ValueError, match=r"'3\.weight' is computed .* plain first, by"):
        set_model_weights(module, {"3.weight": torch.zeros(2, 4)})


def test_an_estimator_that_keeps_a_module_gives_its_weights():
    model = Ridge()
    model.module_ = network()
    assert "3.weight" in model_weights(model)


@given(
    st.lists(
        hnp.arrays(
            st.sampled_from([np.float32, np.float64]),
            hnp.array_shapes(max_dims=3, max_side=4, min_side=0),
            elements=st.floats(-5, 5, width=32),
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_containers_round_trip(arrays, as_mapping):
    model = dict(zip("abcd", arrays, strict=False)) if as_mapping else arrays
    weights = model_weights(model)
    copies = {name: array.copy() for name, array in weights.items()}
    for array in weights.values():
        array[...] = 0
    set_model_weights(model, copies)
    for name, array in model_weights(model).items():
        assert array is weights[name]
        np.testing.assert_array_equal(array, copies[name])


def test_wrong_name_or_shape_changes_nothing():
    model = fitted(Ridge())
    before = model.coef_.copy()
    with pytest.raises(ValueError, match=r"no weight named 'coefs_', it has \['coef_'"):
        set_model_weights(model, {"coef_": np.zeros(4), "coefs_": np.zeros(4)})
    with pytest.raises(ValueError, match=r"'coef_' has shape \(4,\), got \(1, 4\)"):
        set_model_weights(model, {"coef_": np.zeros((1, 4))})
    np.testing.assert_array_equal(model.coef_, before)


def test_complex_values_are_refused():
    with pytest.raises(TypeError):
        set_model_weights(fitted(Ridge()), {"coef_": np.zeros(4, complex)})
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"can't hold values of torch\.complex64"):
        set_model_weights(network(), {"3.bias": torch.zeros(2, dtype=torch.complex64)})


@pytest.mark.parametrize(
    "model",
    [DecisionTreeClassifier(), SVC(kernel="rbf"), SVC(kernel="linear")],
    ids=name_of,
)
def test_unsupported_models_are_refused_with_the_list(model):
    with pytest.raises(TypeError, match=rf"{type(model).__name__}.*MLPClassifier"):
        model_weights(fitted(model))


@pytest.mark.parametrize("model", [3, "coef_", None, Ridge], ids=name_of)
def test_things_that_are_no_models_are_refused(model):
    with pytest.raises(TypeError, match="supported are fitted linear models"):
        model_weights(model)


def test_arrays_must_be_arrays():
    with pytest.raises(TypeError, match=r"weight 1 must be a NumPy array .* got list"):
        model_weights([np.ones(2), [1.0, 2.0]])


def test_sparse_coefficients_ask_for_densify():
    model = fitted(SGDClassifier(penalty="l1", random_state=0)).sparsify()
    with pytest.raises(TypeError, match=r"sparse matrix: call densify\(\)"):
        model_weights(model)


@pytest.mark.parametrize(
    "model", [Ridge(), make_pipeline(StandardScaler(), Ridge()), *NETWORKS], ids=name_of
)
def test_unfitted_models_are_refused(model):
    with pytest.raises(NotFittedError):
        model_weights(model)
