"""Networks in a subspace beside networks, least squares and the formulas."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

torch = pytest.importorskip("torch")
from torch import nn

from minimalml._core.training.network import NetworkClassifier
from minimalml.neural_network import Training
from minimalml.training_dynamics import (
    FastfoodProjection,
    SubspaceClassifier,
    subspace_module,
)
from minimalml.training_dynamics._intrinsic_dimension._subspace_module import (
    draw_projections,
)

KINDS = [{}, {"projection": "dense"}, {"structure_aware": True}]


def flat(module):
    return torch.cat([p.detach().ravel() for p in module.parameters()]).numpy()


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()


class Tied(nn.Module):
    """The first matrix is used again as the last; one layer is frozen."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 3, bias=False)
        self.norm = nn.BatchNorm1d(3)
        self.frozen = nn.Linear(3, 4).requires_grad_(False)
        self.last = nn.Linear(4, 3, bias=False)
        self.last.weight = self.first.weight

    def forward(self, X):
        return self.last(self.frozen(self.norm(self.first(X))))


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return scale(X), y


def small(dimension=8, **parameters):
    options = dict(hidden_layer_sizes=(6,), max_epochs=5, random_state=0, device="cpu")
    return SubspaceClassifier(dimension, **options | parameters)


@pytest.mark.parametrize("kind", KINDS)
def test_the_start_is_the_given_network_bit_for_bit(kind):
    start, X = network(), torch.ones(4, 3, dtype=torch.float64)
    module = subspace_module(start, 10, random_state=0, **kind)
    assert torch.equal(module(X), start(X))
    assert set(module.state_dict()) == {n for n, _ in module.named_parameters()}
    assert sum(p.numel() for p in module.parameters()) == 10
    with torch.no_grad():
        module.theta_sub += 0.3
    merged = module.to_module()
    assert torch.equal(merged(X), module(X)) and not torch.equal(merged(X), start(X))
    assert [n for n, _ in merged.named_parameters()] == [
        n for n, _ in start.named_parameters()
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_weights_projected(kind, rng):
    start, X = network(), torch.from_numpy(rng.normal(size=(6, 3)))
    module = subspace_module(start, 10, random_state=3, **kind)
    module(X).square().sum().backward()
    start(X).square().sum().backward()
    gradient = np.concatenate([p.grad.numpy().ravel() for p in start.parameters()])
    kinds = kind.get("projection", "fastfood"), 10, [20, 12], "structure_aware" in kind
    maps = draw_projections(*kinds, 3)
    if "projection" in kind:
        np.testing.assert_allclose(np.linalg.norm(maps[0], axis=0), 1, atol=1e-12)
    parts = np.split(gradient, [20]) if len(maps) == 2 else [gradient]
    expected = sum(m.T @ part for m, part in zip(maps, parts, strict=True))
    np.testing.assert_allclose(module.theta_sub.grad, expected, atol=1e-10)
    with torch.no_grad():
        module.theta_sub += torch.from_numpy(rng.normal(size=module.theta_sub.shape))

    def outputs(*values):
        names = [name for name, _ in module.named_parameters()]
        return torch.func.functional_call(
            module, dict(zip(names, values, strict=True)), X
        )

    values = [p.detach().clone().requires_grad_() for p in module.parameters()]
    assert torch.autograd.gradcheck(outputs, values)
    assert torch.autograd.gradgradcheck(outputs, values)


@settings(max_examples=5)
@given(seed=st.integers(0, 10**6))
def test_the_best_place_is_that_of_least_squares(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(30, 10)), rng.normal(size=30)
    start = nn.Linear(10, 1, bias=False).double()
    module = subspace_module(start, 4, random_state=seed)
    P = FastfoodProjection(4, 10, seed).to_dense()
    options = dict(max_iter=200, tolerance_grad=1e-10, tolerance_change=1e-14)
    optimizer = torch.optim.LBFGS(
        module.parameters(), line_search_fn="strong_wolfe", **options
    )
    rows, targets = torch.from_numpy(X), torch.from_numpy(y)

    def closure():
        optimizer.zero_grad()
        loss = (module(rows)[:, 0] - targets).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    expected = np.linalg.lstsq(X @ P, y - X @ flat(start), rcond=None)[0]
    np.testing.assert_allclose(module.theta_sub.detach(), expected, atol=1e-6)


def test_by_layers_one_layer_is_the_whole():
    start, X = nn.Linear(6, 2), torch.ones(1, 6)
    one = subspace_module(start, 5, structure_aware=True, random_state=2)
    whole = subspace_module(start, 4, random_state=2)
    with torch.no_grad():
        for module in (one, whole):
            module.theta_sub += torch.arange(4.0)
        assert torch.equal(one(X), whole(X))
        one.layer_scale *= 2
        moved = flat(one.to_module()) - flat(start)
    expected = 2 * (flat(whole.to_module()) - flat(start))
    np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_tied_weights_count_once_and_frozen_ones_stay():
    start = Tied()
    module = subspace_module(start, 18, random_state=0)
    assert module.theta_0.numel() == 12 + 6
    module(torch.randn(8, 4)).sum().backward()
    assert not torch.equal(module.network.norm.running_mean, start.norm.running_mean)
    with torch.no_grad():
        module.theta_sub += 1
    merged = module.to_module()
    assert merged.last.weight is merged.first.weight
    assert torch.equal(merged.frozen.weight, start.frozen.weight)
    assert not merged.frozen.weight.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_fits_of_one_seed_differ_by_the_projected_difference(iris, kind):
    few, more = (small(10, max_epochs=n, **kind).fit(*iris) for n in (1, 30))
    moved = flat(more.to_module()) - flat(few.to_module())
    if not kind.get("structure_aware"):
        expected = more.projection_ @ (more.theta_sub_ - few.theta_sub_)
    else:
        first, second = (
            np.concatenate([s * (P @ m.theta_sub_) for s, P in
                            zip(m.layer_scale_, m.projection_, strict=True)])
            for m in (few, more)
        )  # fmt: skip
        expected = second - first
        assert len(more.layer_scale_) == 2 and len(more.theta_sub_) == 8
    np.testing.assert_allclose(moved, expected, atol=1e-5 * np.abs(moved).max())
    assert more.compression_ratio_ == more.n_full_parameters_ / 10 == 5.1


def test_without_a_dimension_it_is_the_network_alone(iris):
    X, y = iris
    direct = small(None, learning_rate=0.01).fit(X, y)
    options = dict(max_epochs=5, learning_rate=0.01, random_state=0, device="cpu")
    plain = NetworkClassifier((6,), **options).fit(X, y)
    np.testing.assert_array_equal(direct.predict_proba(X), plain.predict_proba(X))
    assert direct.compression_ratio_ == 1 and not hasattr(direct, "theta_sub_")
    np.testing.assert_array_equal(flat(direct.to_module()), flat(plain.module_))
    with pytest.raises(ValueError, match="no subspace"):
        direct.quantize()


def test_weight_decay_is_that_of_all_weights(iris):
    X, y = iris
    step = dict(
        max_epochs=1, batch_size=len(X), learning_rate=1e-3,
        training=Training(optimizer=lambda p, rate: torch.optim.SGD(p, rate), dtype="float64"),
    )  # fmt: skip
    plain, decayed = (small(weight_decay=w, **step).fit(X, y) for w in (0.0, 3.0))
    start = small(**step | {"learning_rate": 1e-300}).fit(X, y)
    pulled = (plain.theta_sub_ - decayed.theta_sub_) / 1e-3
    expected = 3.0 * (start.projection_.T @ flat(start.to_module()))
    np.testing.assert_allclose(pulled, expected, atol=1e-6)


@given(bits=st.integers(2, 16))
@settings(max_examples=5)
def test_quantised_models_predict_by_their_codes(bits):
    X, y = load_iris(return_X_y=True)
    X = scale(X)
    model = small(structure_aware=True, max_epochs=20).fit(X, y)
    before = model.theta_sub_.copy()
    rounded = model.quantize(bits)
    values = rounded.codes_ * rounded.scale_
    np.testing.assert_array_equal(rounded.theta_sub_, values[:6])
    np.testing.assert_array_equal(rounded.layer_scale_, values[6:])
    assert np.abs(rounded.codes_).max() == 2 ** (bits - 1) - 1
    assert np.abs(values[:6] - before).max() <= 0.501 * rounded.scale_
    np.testing.assert_array_equal(model.theta_sub_, before)
    loaded = pickle.loads(pickle.dumps(rounded))
    np.testing.assert_array_equal(loaded.predict_proba(X), rounded.predict_proba(X))


def test_pretrained_weights_are_the_start(iris):
    X, y = iris
    trained = MLPClassifier((6,), tol=1e-2, random_state=0).fit(X, y)
    frozen = dict(learning_rate=1e-300, max_epochs=1)
    same = small(initial_weights=trained, **frozen).fit(X, y)
    np.testing.assert_allclose(
        same.predict_proba(X), trained.predict_proba(X), atol=1e-5
    )
    task = small(initial_weights=FrozenEstimator(trained), **frozen)
    other = clone(task).fit(X, y == 0)
    hidden = other.module_.to_module().blocks[0][0]
    np.testing.assert_allclose(hidden.weight.detach().T, trained.coefs_[0], rtol=1e-6)
    own = {"head.bias": np.array([5.0, 0, 0])}
    assert (small(initial_weights=own, **frozen).fit(X, y).predict(X) == 0).all()


def test_search_in_a_pipeline(iris):
    pipeline = make_pipeline(StandardScaler(), small(max_epochs=40))
    grid = {"subspaceclassifier__dimension": [2, 40]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(*iris)
    assert search.best_params_ == {"subspaceclassifier__dimension": 40}
    assert search.best_score_ > 0.85


def test_more_dimensions_than_weights_are_cut_with_a_warning(iris):
    with pytest.warns(UserWarning, match="dimension=60 is more than the 51 parameters"):
        model = small(60).fit(*iris)
    assert model.theta_sub_.shape == (51,)


def perceptron():
    X, y = load_iris(return_X_y=True)
    return MLPClassifier((4,), activation="tanh", tol=1.0, n_iter_no_change=1).fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (dict(dimension=0), "'dimension' parameter"),
        (dict(dimension=2.5), "'dimension' parameter"),
        (dict(dimension=True), "dimension must be an integer.* got True"),
        (dict(projection="sparse"), "'projection' parameter"),
        (dict(structure_aware=True, dimension=2), "more than the 2 layers.* got 2"),
        (dict(structure_aware=True, projection="dense"), "needs 'fastfood', got 'dense'"),
        (dict(initial_weights={"tail": np.ones(1)}), "no weight named 'tail'"),
        (dict(initial_weights={"head.bias": np.ones(1)}), r"'head.bias' has shape \(3,\)"),
        (dict(initial_weights={"head.bias": np.full(3, np.nan)}), "bias'.* contains NaN"),
        (dict(initial_weights=MLPClassifier()), "FrozenEstimator"),
        (dict(initial_weights=perceptron()), r"=\[4\] and activation='tanh' as it has"),
        (dict(initial_weights=perceptron(), activation="tanh"), r"got module=None, \[6\]"),
        (dict(module=nn.Linear(4, 3).requires_grad_(False)), "no weights to train"),
    ],
)  # fmt: skip
def test_bad_parameters_are_refused(iris, parameters, message):
    with pytest.raises((ValueError, NotFittedError), match=message):
        small(**parameters).fit(*iris)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((network(), 0), ValueError, "dimension must be an integer.* got 0"),
        ((network(), True), ValueError, "dimension must be an integer.* got True"),
        ((network(), 33), ValueError, "dimension must be at most 32, got 33"),
        ((network().requires_grad_(False), 2), ValueError, "no parameters that need"),
        (({}, 2), TypeError, r"torch\.nn\.Module, got dict"),
        ((nn.Linear(10**6, 1), 10**3, "dense"), ValueError, r"8\.0 GB.* take 'fastfood'"),
        ((network(), 2, "sparse"), ValueError, "projection must be one of .*'sparse'"),
    ],
)  # fmt: skip
def test_modules_that_have_no_subspace_are_refused(arguments, error, message):
    module, dimension, *projection = arguments
    with pytest.raises(error, match=message):
        subspace_module(module, dimension, projection=(*projection, "fastfood")[0])
