"""Laziness of networks, their tangent kernel, and what it is worth for a target."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import linear_kernel, rbf_kernel
from sklearn.model_selection import GridSearchCV, validation_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.training_dynamics import (
    LazyRichRegressor,
    detect_grokking,
    empirical_ntk,
    kernel_target_alignment,
)

seeds = st.integers(0, 10**6)


class Committee(torch.nn.Module):
    """The paper's model."""

    def __init__(self, W, alpha=1.0, epsilon=0.25):
        super().__init__()
        self.W = torch.nn.Parameter(torch.as_tensor(W))
        self.alpha, self.epsilon = alpha, epsilon

    def forward(self, X):
        h = X @ self.W.T
        return self.alpha * (h + self.epsilon / 2 * h**2).mean(1)


def task(seed=0, n_samples=40, n_features=4):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    return X, X[:, 0] * X[:, 1] + 0.5 * X[:, 2] + 3


def small(alpha=1.0, **parameters):
    options = dict(
        hidden_layer_sizes=(16,), max_epochs=40, kernel_rows=12, random_state=0
    )
    return LazyRichRegressor(alpha, **options | parameters)


# --- tangent kernel ---


@settings(max_examples=10)
@given(seed=seeds, n_rows=st.integers(1, 6), n_others=st.integers(1, 6))
def test_kernel_of_the_papers_model_is_its_formula(seed, n_rows, n_others):
    rng = np.random.default_rng(seed)
    W, X, X2 = (rng.normal(size=(n, 3)) for n in (5, n_rows, n_others))
    w, M = W.mean(axis=0), W.T @ W / 5
    sums = (X @ w)[:, None] + X2 @ w
    expected = (X @ X2.T) * (1 + 0.25 * sums + 0.0625 * X @ M @ X2.T) * 4 / 5
    network = Committee(W, alpha=2.0)
    np.testing.assert_allclose(empirical_ntk(network, X, X2), expected, atol=1e-10)


@pytest.mark.parametrize("chunk_numbers", [1, 200, 1 << 24])
def test_kernel_is_the_product_of_gradients_in_any_chunks(chunk_numbers, monkeypatch):
    room = "minimalml.training_dynamics._grokking._tangent_kernel"
    monkeypatch.setattr(f"{room}.CHUNK_NUMBERS", chunk_numbers)
    hidden, head = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)
    network = torch.nn.Sequential(hidden, torch.nn.Tanh(), torch.nn.Dropout(), head)
    network.double()
    head.bias.requires_grad_(False)
    X, X2 = torch.randn(5, 3).double(), torch.randn(7, 3).double()
    trained = [p for p in network.parameters() if p.requires_grad]
    network.eval()
    grad = torch.autograd.grad

    def gradients(X):
        rows = [[grad(f, trained, retain_graph=True) for f in network(x)] for x in X]
        return torch.stack([torch.cat([g.ravel() for f in r for g in f]) for r in rows])

    J, J2 = gradients(X), gradients(X2)
    network.train()
    torch.testing.assert_close(empirical_ntk(network, X, X2), J @ J2.T)
    torch.testing.assert_close(empirical_ntk(network, X), J @ J.T)
    single = empirical_ntk(network, X.numpy().astype(np.float32))
    assert single.dtype == np.float32 and network.training


def test_what_is_no_network_has_no_kernel():
    with pytest.raises(TypeError, match=r"module must be a torch\.nn\.Module, got str"):
        empirical_ntk("network", [[1.0]])
    with pytest.raises(ValueError, match="Identity has no weights to train"):
        empirical_ntk(torch.nn.Identity(), [[1.0]])
    with pytest.raises(ValueError, match="X2 contains NaN"):
        empirical_ntk(torch.nn.Linear(1, 1), [[1.0]], [[np.nan]])


# --- alignment ---


@given(seed=seeds, scale=st.floats(1e-150, 1e150), n_outputs=st.integers(1, 3))
def test_alignment_is_bounded_and_knows_neither_scale_nor_order(seed, scale, n_outputs):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(8, 2)), rng.normal(size=(8, n_outputs))
    K, order = rbf_kernel(X), rng.permutation(8)
    value = kernel_target_alignment(K, y)
    assert -1 <= value <= 1
    assert kernel_target_alignment(scale * K, y / scale) == pytest.approx(value)
    assert kernel_target_alignment(K[order][:, order], y[order]) == pytest.approx(value)
    centred = y - y.mean(axis=0)
    if n_outputs == 1:
        assert kernel_target_alignment(centred @ centred.T, y) == pytest.approx(1)
        assert kernel_target_alignment(-centred @ centred.T, y) == pytest.approx(-1)


def test_alignment_of_linear_kernels_is_that_of_features():
    X, y = task()
    Xc, yc = X - X.mean(axis=0), y - y.mean()
    expected = np.sum((Xc.T @ yc) ** 2) / (np.linalg.norm(Xc.T @ Xc) * (yc @ yc))
    assert kernel_target_alignment(linear_kernel(X), y) == pytest.approx(expected)
    expected = np.sum((X.T @ y) ** 2) / (np.linalg.norm(X.T @ X) * (y @ y))
    uncentred = kernel_target_alignment(linear_kernel(X), y, centered=False)
    assert uncentred == pytest.approx(expected)


@pytest.mark.filterwarnings("error")
def test_alignment_of_nothing_is_nan():
    K, y = np.eye(7), np.arange(7.0)
    for pair in (
        (0 * K, y),
        (np.full((7, 7), 0.1), y),
        (K, np.full(7, 0.1)),
        (K, 0 * y),
    ):
        assert np.isnan(kernel_target_alignment(*pair))


@pytest.mark.parametrize(
    ("K", "y", "message"),
    [
        (np.triu(np.ones((3, 3))), np.ones(3), "K must be symmetric"),
        (np.ones((3, 2)), np.ones(3), r"K must be symmetric, got .* \(3, 2\)"),
        (np.eye(3), np.ones(2), "y must have one row for each of the 3 rows of K"),
        (np.full((2, 2), np.nan), np.ones(2), "K contains NaN"),
    ],
)
def test_bad_kernels_are_refused(K, y, message):
    with pytest.raises(ValueError, match=message):
        kernel_target_alignment(K, y)


# --- the regressor ---


@pytest.mark.parametrize(
    ("optimizer", "alpha", "center"),
    [("sgd", 3.0, True), ("sgd", 0.5, False), ("adamw", 3.0, True)],
)
def test_training_is_descent_at_the_scaled_rate(optimizer, alpha, center):
    X, y = task()
    W = np.random.default_rng(0).normal(size=(6, 4))
    model = LazyRichRegressor(
        alpha, module=Committee(W), init_scale=0.5, optimizer=optimizer, center=center,
        max_epochs=20, learning_rate=0.1, weight_decay=0.01,
    ).fit(X, y)  # fmt: skip
    network, start = Committee(W / 2), Committee(W / 2)
    kinds = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}
    rate = 0.1 / (alpha**2 if optimizer == "sgd" else alpha)
    descent = kinds[optimizer](network.parameters(), lr=rate, weight_decay=0.01)
    rows, targets = torch.tensor(X), torch.tensor((y - y.mean()) / y.std())

    def outputs():
        return alpha * (network(rows) - (start(rows).detach() if center else 0))

    losses = []
    for _ in range(21):
        descent.zero_grad()
        loss = (outputs() - targets).square().mean()
        losses.append(float(loss.detach()))
        expected = outputs().detach().numpy() * y.std() + y.mean()
        loss.backward()
        descent.step()
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-6)
    np.testing.assert_allclose(model.loss_curve_, losses[:20], rtol=1e-6)
    np.testing.assert_allclose(model.history_["train_loss"], losses, rtol=1e-6)


def test_records_are_what_they_say():
    X, y = task()
    X_val, y_val = task(1, 30)
    model = small(2.0).fit(X, y, X_val, y_val)
    history, network, start = model.history_, model.module_.network, model.module_.start
    assert history["epoch"][[0, 1, -1]].tolist() == [0, 1, 40]
    first, last = (
        empirical_ntk(module.requires_grad_(), X[:12]) for module in (start, network)
    )
    drift = np.linalg.norm(last - first) / np.linalg.norm(first)
    assert history["kernel_drift"][-1] == pytest.approx(drift)
    found = kernel_target_alignment(last, y[:12])
    assert history["kernel_alignment"][-1] == pytest.approx(found)
    w, w_0 = (torch.cat([p.ravel() for p in m.parameters()]) for m in (network, start))
    distance = ((w - w_0).norm() / w_0.norm()).item()
    assert history["parameter_distance"][-1] == pytest.approx(distance)
    error = np.mean((model.predict(X_val) - y_val) ** 2) / y.var()
    assert history["test_loss"][-1] == pytest.approx(error)
    curves = (history[name] for name in ("epoch", "train_loss", "test_loss"))
    assert str(model.grokking_) == str(detect_grokking(*curves, scale=1))
    for name in ("kernel_drift", "parameter_distance"):
        assert history[name][0] == 0
    assert history["train_loss"][0] == pytest.approx(1)  # the mean is predicted


def test_without_other_rows_there_is_no_verdict():
    X, y = task()
    model = small(max_epochs=2).fit(X, y)
    assert np.isnan(model.history_["test_loss"]).all() and model.grokking_ is None
    assert small(max_epochs=1, validation_fraction=0.2).fit(X, y).grokking_ is None
    held_out = small(validation_fraction=0.25).fit(X, y)
    assert np.isfinite(held_out.history_["test_loss"]).all()
    assert held_out.grokking_["t_train"] == np.inf
    again = small(validation_fraction=0.25).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), held_out.predict(X))
    assert not hasattr(model, "partial_fit")


def test_an_untrained_network_predicts_the_mean():
    X, y = task()
    untrained = small(learning_rate=1e-300, max_epochs=1).fit(X, y)
    np.testing.assert_allclose(untrained.predict(X), y.mean())
    constant = small().fit(X, np.full(40, 7.0))
    np.testing.assert_allclose(constant.predict(X), 7.0)


def test_the_lazier_the_less_the_kernel_moves():
    X, y = task(n_samples=60)
    options = dict(hidden_layer_sizes=(200,), max_epochs=100)
    drifts = [
        small(alpha, **options).fit(X, y).history_["kernel_drift"][-1]
        for alpha in (0.5, 2.0, 20.0)
    ]
    assert drifts[0] > drifts[1] > drifts[2] and drifts[2] < 0.3 * drifts[0]


def test_classes_in_columns_and_batches_are_learnt():
    X, y = task(n_samples=80)
    Y = np.eye(2)[(y > 3).astype(int)]
    model = small(0.5, batch_size=20, optimizer="adam", max_epochs=60).fit(X, Y)
    assert model.predict(X).shape == (80, 2)
    hits = model.predict(X).argmax(axis=1) == Y.argmax(axis=1)
    assert hits.mean() > 0.9
    assert len(model.history_["epoch"]) == len(set(model.history_["epoch"])) <= 61


def test_a_search_over_laziness_in_a_pipeline():
    X, y = task(n_samples=60)
    pipeline = make_pipeline(StandardScaler(), small())
    grid = {"lazyrichregressor__alpha": [0.5, 20.0]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert search.best_params_ == {"lazyrichregressor__alpha": 0.5}
    train, test = validation_curve(
        small(max_epochs=5), X, y, param_name="alpha", param_range=[1.0, 5.0], cv=2
    )
    assert train.shape == test.shape == (2, 2)


def test_divergence_is_told_and_leaves_finite_records():
    X, y = task()
    with pytest.warns(ConvergenceWarning, match="Lower learning_rate"):
        model = small(0.5, learning_rate=3.0, max_epochs=200).fit(X, y)
    assert model.history_["epoch"][-1] <= model.n_iter_ < 200
    assert np.isfinite(model.history_["kernel_drift"]).all()
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize(
    ("parameters", "validation", "message"),
    [
        (dict(alpha=0), {}, "'alpha' parameter of LazyRichRegressor must be"),
        (dict(alpha=np.inf), {}, "'alpha' parameter"),
        (dict(init_scale=0), {}, "'init_scale' parameter"),
        (dict(kernel_rows=0), {}, "'kernel_rows' parameter"),
        (dict(optimizer="lbfgs"), {}, "'optimizer' parameter"),
        (dict(validation_fraction=1.0), {}, "'validation_fraction' parameter"),
        (dict(hidden_layer_sizes=(0,)), {}, "hidden_layer_sizes must be integers"),
        ({}, dict(X_val=np.ones((2, 4))), "must be given together"),
        ({}, dict(X_val=np.ones((2, 3)), y_val=[1.0, 2.0]), "expecting 4 features"),
        (
            {},
            dict(X_val=np.ones((2, 4)), y_val=[1.0]),
            "y_val must be 2 rows of targets",
        ),
        ({}, dict(X_val=np.ones((2, 4)), y_val=np.ones((2, 2))), r"got shape \(2, 2\)"),
    ],
)
def test_bad_input_of_the_regressor_is_refused(parameters, validation, message):
    X, y = task()
    with pytest.raises(ValueError, match=message):
        small(**parameters).fit(X, y, **validation)
