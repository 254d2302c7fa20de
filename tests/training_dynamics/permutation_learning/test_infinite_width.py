"""Infinitely wide networks: their kernels, and what they learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import LinAlgError
from scipy.stats import ortho_group
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.training_dynamics import (
    InfiniteWidthRegressor,
    ntk_ensemble_moments,
    relu_kernels,
)


def rows(seed, n, d):
    return np.random.default_rng(seed).normal(size=(n, d))


@given(st.integers(0, 99), st.integers(1, 4), st.sampled_from([0.0, 0.3]))
def test_kernels_are_positive_and_turn_with_the_rows(seed, depth, sigma_b):
    X, turn = rows(seed, 12, 3), ortho_group.rvs(3, random_state=seed)
    nngp, ntk = relu_kernels(X, depth=depth, sigma_b=sigma_b)
    for kernel in (nngp, ntk, ntk - nngp):
        np.testing.assert_array_equal(kernel, kernel.T)
        assert np.linalg.eigvalsh(kernel)[0] > -1e-10
    turned = relu_kernels(X @ turn, depth=depth, sigma_b=sigma_b)
    np.testing.assert_allclose(turned, (nngp, ntk), atol=1e-10)
    crossed = relu_kernels(X[:5], X, depth=depth, sigma_b=sigma_b)
    np.testing.assert_allclose(crossed, (nngp[:5], ntk[:5]), atol=1e-7)
    if sigma_b == 0:
        longer = relu_kernels(3 * X, X, depth=depth)
        np.testing.assert_allclose(longer, (3 * nngp, 3 * ntk), rtol=1e-6)


def test_one_hidden_layer_has_the_closed_form():
    X, Z = rows(0, 6, 4), rows(1, 5, 4)
    lengths = np.outer(np.linalg.norm(X, axis=1), np.linalg.norm(Z, axis=1))
    angles = np.arccos(X @ Z.T / lengths)
    nngp = np.sin(angles) + (np.pi - angles) * np.cos(angles)
    nngp *= lengths / (2 * np.pi * 4)
    ntk = nngp + X @ Z.T / 4 * (np.pi - angles) / (2 * np.pi)
    found = relu_kernels(X, Z, sigma_w=1.0)
    np.testing.assert_allclose(found, (nngp, ntk), atol=1e-12)


def test_kernels_are_those_of_random_networks():
    """A second layer of many units, drawn, and its gradient."""
    X, width, sigma_w, sigma_b = rows(0, 3, 2), 200_000, 1.3, 0.4
    rng = np.random.default_rng(0)
    U, bias = rng.normal(size=(width, 2)), rng.normal(size=width)
    before = sigma_w / np.sqrt(2) * X @ U.T + sigma_b * bias
    after, slopes = np.maximum(before, 0), before > 0
    nngp = sigma_b**2 + sigma_w**2 * after @ after.T / width
    first = sigma_b**2 + sigma_w**2 * X @ X.T / 2
    ntk = nngp + first * sigma_w**2 * (slopes @ slopes.T.astype(float)) / width
    found = relu_kernels(X, sigma_w=sigma_w, sigma_b=sigma_b)
    np.testing.assert_allclose(found, (nngp, ntk), rtol=0.02)


def test_small_angles_keep_their_digits():
    """Of parallel rows a cosine's rounding would cost half the digits of the angle."""
    for angle in (1e-3, 1e-6, 1e-9):
        X, Z = np.array([[3.0, 0.0]]), np.array([[np.cos(angle), np.sin(angle)]])
        _, ntk = relu_kernels(X, Z, sigma_w=1.0)
        # both kernels to first order: 3 / 2 less 3 angle / (2 pi), over d = 2
        assert abs(ntk[0, 0] - (1.5 - 3 * angle / (4 * np.pi))) < 2 * angle**2 + 1e-15


@pytest.mark.parametrize("sigma_b", [0.0, 0.1])
@pytest.mark.parametrize("depth", [1, 3])
def test_training_to_the_end_interpolates_and_none_leaves_the_start(depth, sigma_b):
    X, Z, y = rows(0, 30, 5), rows(1, 8, 5), rows(2, 30, 2)
    kernel = dict(depth=depth, sigma_b=sigma_b)
    ended = InfiniteWidthRegressor(**kernel).fit(X, y)
    mean, deviation = ended.predict(X, return_std=True)
    np.testing.assert_allclose(mean, y, atol=1e-6)
    assert deviation.max() < 1e-6 and deviation.shape == y.shape
    fresh = InfiniteWidthRegressor(training_time=0.0, **kernel).fit(X, y)
    mean, covariance = fresh.predict(Z, return_cov=True)
    assert not mean.any()
    np.testing.assert_allclose(covariance[..., 1], relu_kernels(Z, **kernel)[0])


def test_time_brings_the_targets_nearer():
    X, y = rows(0, 20, 3), rows(1, 20, 1)[:, 0]
    Z, errors = rows(2, 10, 3), []
    for time in (0.0, 0.3, 3.0, 30.0, np.inf):
        model = InfiniteWidthRegressor(training_time=time / 2, learning_rate=2.0)
        model.fit(X, y)
        errors.append(np.linalg.norm(model.predict(X) - y))
        _, covariance = model.predict(Z, return_cov=True)
        assert np.linalg.eigvalsh(covariance)[0] > -1e-10
    assert (np.diff(errors) < 0).all()


def test_moments_are_those_of_their_definition():
    X, Z, Y, t, ridge = rows(0, 9, 3), rows(1, 4, 3), rows(2, 9, 2), 0.7, 0.2
    (nngp, ntk), (nngp_cross, ntk_cross) = relu_kernels(X), relu_kernels(Z, X)
    nngp_test, _ = relu_kernels(Z)
    values, vectors = np.linalg.eigh(ntk + ridge * np.eye(9))
    learnt = vectors @ np.diag((1 - np.exp(-t * values)) / values) @ vectors.T
    reach = ntk_cross @ learnt
    covariance = (
        nngp_test + reach @ nngp @ reach.T - reach @ nngp_cross.T
        - nngp_cross @ reach.T
    )  # fmt: skip
    kept = ntk.copy()
    found = ntk_ensemble_moments(
        ntk, nngp, ntk_cross, nngp_cross, nngp_test, Y, t, ridge
    )
    np.testing.assert_allclose(found[0], reach @ Y, atol=1e-12)
    np.testing.assert_allclose(found[1], covariance, atol=1e-12)
    np.testing.assert_array_equal(ntk, kept)
    model = InfiniteWidthRegressor(sigma_b=0.0, training_time=t, alpha=ridge).fit(X, Y)
    np.testing.assert_allclose(model.predict(Z), reach @ Y, atol=1e-10)
    _, deviation = model.set_params(n_ensemble=4).predict(Z, return_std=True)
    expected = np.sqrt(np.diag(covariance)) / 2
    np.testing.assert_allclose(deviation[:, 0], expected, atol=1e-10)


def test_rows_of_any_length_are_only_scaled():
    X, Z, y = rows(0, 9, 3), rows(1, 4, 3), rows(2, 9, 1)[:, 0]
    expected = InfiniteWidthRegressor(sigma_b=0.0).fit(X, y).predict(Z)
    for scale in (1e-140, 1e150):
        model = InfiniteWidthRegressor(sigma_b=0.0).fit(scale * X, y)
        np.testing.assert_allclose(model.predict(scale * Z), expected, rtol=1e-9)


def test_a_large_ridge_leaves_a_kernel_smoother():
    X, Z, y = rows(0, 15, 3), rows(1, 5, 3), rows(2, 15, 1)[:, 0]
    model = InfiniteWidthRegressor(alpha=1e9, sigma_b=0.0).fit(X, y)
    np.testing.assert_allclose(
        model.predict(Z) * 1e9, relu_kernels(Z, X)[1] @ y, rtol=1e-6
    )


def test_draws_have_the_moments():
    X, y, Z = rows(0, 10, 2), rows(1, 10, 2), rows(2, 3, 2)
    model = InfiniteWidthRegressor(n_ensemble=3).fit(X, y)
    mean, covariance = model.predict(Z, return_cov=True)
    draws = model.sample_y(Z, 20_000)
    assert draws.shape == (3, 2, 20_000)
    scale = np.sqrt(covariance.max())
    np.testing.assert_allclose(draws.mean(axis=2), mean, atol=0.04 * scale)
    np.testing.assert_allclose(
        np.cov(draws[:, 1]), covariance[..., 1], atol=0.04 * scale**2
    )
    np.testing.assert_array_equal(draws, model.sample_y(Z, 20_000))
    assert InfiniteWidthRegressor().fit(X, y[:, 0]).sample_y(Z).shape == (3, 1)


def test_search_in_a_pipeline_and_classes_by_one_hot_targets():
    X, y = load_diabetes(return_X_y=True)
    model = make_pipeline(StandardScaler(), InfiniteWidthRegressor())
    grid = {"infinitewidthregressor__alpha": [0.0, 3.0]}
    search = GridSearchCV(model, grid, cv=3).fit(X, y - y.mean())
    assert search.best_params_["infinitewidthregressor__alpha"] == 3.0
    assert search.best_score_ > 0.4
    X, y = load_iris(return_X_y=True)
    model = InfiniteWidthRegressor(alpha=0.1).fit(X[::2], np.eye(3)[y[::2]])
    assert (model.predict(X[1::2]).argmax(axis=1) == y[1::2]).mean() > 0.9


def test_equal_rows_need_a_little_on_the_diagonal():
    X, y = rows(0, 6, 2), rows(1, 6, 1)[:, 0]
    X[3] = X[0]
    with pytest.warns(ConvergenceWarning, match="singular.*Raise alpha"):
        model = InfiniteWidthRegressor().fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    with pytest.raises(LinAlgError, match=r"no Cholesky factor.*raise alpha"):
        kernel = np.diag([1.0, -1.0])
        ntk_ensemble_moments(kernel, kernel, kernel, kernel, kernel, [1.0, 2.0])


def test_rows_of_zeros_have_no_direction():
    X, y = np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([1.0, 2.0])
    with (
        pytest.warns(UserWarning, match="row 0 of X is all zeros"),
        pytest.warns(ConvergenceWarning, match="singular"),
    ):
        model = InfiniteWidthRegressor(sigma_b=0.0).fit(X, y)
    np.testing.assert_allclose(model.predict(X), [0.0, 2.0], atol=1e-8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda X: relu_kernels(X, depth=0), "'depth' parameter"),
        (lambda X: relu_kernels(X, sigma_w=0), "'sigma_w' parameter"),
        (lambda X: relu_kernels(X, X[:, 1:]), "Z has 1 features but X has 2"),
        (lambda X: relu_kernels([[np.nan]]), "X contains NaN"),
        (lambda X: relu_kernels(X, 1e160 * X), "Z must hold numbers up to .* scale it"),
        (lambda X: InfiniteWidthRegressor(training_time=-1).fit(X, X), "training_time"),
        (
            lambda X: InfiniteWidthRegressor().fit(X, X).predict(X, True, True),
            "return_std and return_cov can't both be True",
        ),
        (
            lambda X: ntk_ensemble_moments(X, X, X, X, X[:1], X),
            r"nngp_test must have shape \(2, 2\) beside ntk_cross, got \(1, 2\)",
        ),
        (
            lambda X: ntk_ensemble_moments(X, X, X, X, X, X, t=-1.0),
            "t must be at least 0, got -1.0",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.eye(2))
