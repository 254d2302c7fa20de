"""QuadAttack: bounds, labels, models and rows of every shape that users have."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.inspection import QuadAttack


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:300] / 16, y[:300]


@pytest.fixture(scope="module")
def linear(digits):
    return LogisticRegression(C=0.1).fit(*digits)


def network(dtype=torch.float64):
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(64, 16), torch.nn.Tanh(), torch.nn.Linear(16, 10)
    )
    with torch.no_grad():  # sharp scores, as of a trained network
        for parameter in module.parameters():
            parameter *= 4.0
    return module.to(dtype)


@pytest.mark.parametrize("flip", [np.s_[::-1], np.s_[:, ::-1]])
@pytest.mark.parametrize("kind", ["scikit-learn", "torch"])
def test_rows_and_columns_can_run_backwards(linear, digits, kind, flip):
    model = linear if kind == "scikit-learn" else network()
    X = digits[0][:6][flip]
    options = {"max_iter": 5, "random_state": 0}
    ours = QuadAttack(model, **options).fit(X).attack(X)
    plain = QuadAttack(model, **options).fit(X.copy()).attack(X.copy())
    np.testing.assert_array_equal(ours.X_adversarial, plain.X_adversarial)


def test_labels_can_be_a_column_or_a_frame(linear, digits):
    X, y = digits[0][:20], digits[1][:20]
    attacker = QuadAttack(linear).fit(X)
    expected = attacker.attack(X, y)
    for labels in (y[:, None], pd.DataFrame({"digit": y}), pd.Series(y)):
        warns = pytest.warns(DataConversionWarning)
        with warns if labels.ndim == 2 else np.errstate():
            result, score = attacker.attack(X, labels), attacker.score(X, labels)
        np.testing.assert_array_equal(result.X_adversarial, expected.X_adversarial)
        assert score == attacker.score(X, y)
    with pytest.raises(ValueError, match="y should be a 1d array"):
        attacker.attack(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        attacker.score(X, y[:7])


def test_labels_that_the_model_does_not_know_count_as_misclassified(linear, digits):
    X, y = digits[0][:20], digits[1][:20].copy()
    attacker = QuadAttack(linear, margin=50.0).fit(X)
    y[:5] = 77
    assert attacker.score(X, y) == attacker.score(X[5:], y[5:])


def test_bounds_can_differ_between_features_and_be_left_open(linear, digits):
    X, y = digits[0][:8], digits[1][:8]
    everywhere = QuadAttack(linear, clip_values=(0, 1)).fit(X).attack(X, y)
    zeros, ones = np.zeros(64), np.ones(64)
    for pair in ((zeros, ones), (list(zeros), 1), [0.0, ones], np.array([0.0, 1.0])):
        same = QuadAttack(linear, clip_values=pair).fit(X).attack(X, y)
        np.testing.assert_array_equal(same.X_adversarial, everywhere.X_adversarial)
    high = np.where(np.arange(64) % 2, X.max(axis=0), 5.0)
    for method in ("exact", "gradient"):
        options = {"method": method, "random_state": 0}
        moved = QuadAttack(linear, clip_values=(None, high), **options)
        moved = moved.fit(X).attack(X, y).X_adversarial
        assert (moved <= high).all() and moved.min() < 0.0


def test_features_with_equal_bounds_stay_as_they_are(linear, digits):
    X, y = digits[0][:8], digits[1][:8]
    low, high = np.zeros(64), np.ones(64)
    low[10:20] = high[10:20] = X[0, 10:20]
    X = np.where((low == high), X[0], X)
    result = QuadAttack(linear, clip_values=(low, high)).fit(X).attack(X, y)
    assert result.success.all() and not result.perturbation[:, 10:20].any()


@pytest.mark.parametrize(
    ("clip_values", "message"),
    [
        ((1, 0), r"low < high, got \(1, 0\) for feature 0"),
        ((0, 0), r"low < high, got \(0, 0\) for feature 0"),
        (
            (np.zeros(64), np.r_[np.ones(63), -1]),
            r"low < high, got \(0, -1\) for feature 63",
        ),
        ((0, 1, 2), r"must be a pair \(low, high\).*got 3 values"),
        (
            (np.zeros(64), np.ones(63)),
            r"one high value.*64 features, got shape \(63,\)",
        ),
        ((0, np.nan), "must be numbers, got NaN in high"),
        ((None, 0.5), "X must lie within clip_values, got values from 0 to 1"),
    ],
)
def test_bad_bounds_are_refused_with_the_feature(linear, digits, clip_values, message):
    with pytest.raises(ValueError, match=message):
        QuadAttack(linear, clip_values=clip_values).fit(digits[0])


def test_parameters_set_after_fit_are_looked_at_again(linear, digits):
    X, y = digits[0][:5], digits[1][:5]
    attacker = QuadAttack(linear, random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"k must be between 1 and 9.*got 10"):
        attacker.set_params(k=10).attack(X, y)
    by_steps = attacker.set_params(k=1, loss="cw").attack(X, y)
    assert np.isnan(by_steps.distance_bound).all()
    attacker.set_params(loss="quad", method="gradient", targets="random")
    assert np.isfinite(attacker.attack(X, y).coefficient).all()
    with pytest.raises(ValueError, match="'margin' parameter"):
        attacker.set_params(margin=-1.0).attack(X, y)


def test_a_pipeline_is_fitted_as_a_whole_or_not_at_all(digits):
    X, y = digits
    last = RidgeClassifier().fit(X, y)
    half = make_pipeline(StandardScaler(), last)
    attacker = QuadAttack(half).fit(X, y)
    assert attacker.estimator_ is not half
    assert attacker.attack(X[:5], y[:5]).success.all()
    with pytest.raises(NotFittedError, match=r"step .standardscaler' of estimator"):
        QuadAttack(half, prefit=True).fit(X, y)
    whole = make_pipeline(StandardScaler(), RidgeClassifier()).fit(X, y)
    assert QuadAttack(whole, prefit=True).fit(X).estimator_ is whole


def test_a_pipeline_inside_another_meta_estimator_is_attacked(digits):
    from minimalml.compression import GlobalMagnitudePruner

    X, y = digits
    inner = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(X, y)
    pruner = GlobalMagnitudePruner(inner, sparsity=0.5).fit(X, y)
    attacker = QuadAttack(pruner).fit(X)
    result = attacker.attack(X[:10], y[:10])
    won = result.success
    assert attacker.method_ == "exact" and won.mean() > 0.8
    np.testing.assert_array_equal(
        pruner.predict(result.X_adversarial[won]), result.targets[won, 0]
    )


@pytest.mark.parametrize("unit", [1e-160, 1e-80, 1e150])
@pytest.mark.parametrize("clip_values", [None, "data"])
def test_exact_attacks_take_features_of_any_scale(digits, unit, clip_values):
    X, y = digits
    model = RidgeClassifier().fit(X, y)
    X, options = X[:30], {"clip_values": clip_values, "margin": 0.05}
    expected = QuadAttack(model, **options).fit(X).attack(X, y[:30])
    model.coef_ = model.coef_ / unit
    result = QuadAttack(model, **options).fit(X * unit).attack(X * unit, y[:30])
    np.testing.assert_array_equal(result.success, expected.success)
    assert result.success.any()
    for name in ("l2", "linf", "distance_bound"):
        np.testing.assert_allclose(result[name] / unit, expected[name], rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", ["quad", "cw", "distillation"])
def test_networks_of_half_precision_are_attacked(digits, dtype, loss):
    X = digits[0][:20].astype(np.float32)
    options = {"k": 2, "loss": loss, "random_state": 0}
    result = QuadAttack(network(dtype), **options).fit(X).attack(X)
    exact = QuadAttack(network(), **options).fit(X).attack(X)
    assert exact.success.mean() > 0.5 and np.isfinite(result.X_adversarial).all()
    assert abs(result.success.mean() - exact.success.mean()) <= 0.15


@pytest.mark.filterwarnings("ignore:One of rtol or atol", "ignore:Stochastic Opt")
def test_heads_without_finite_weights_are_refused(digits):
    X, y = digits
    model = RidgeClassifier().fit(X, y)
    model.coef_[3, 5] = np.inf
    with pytest.raises(ValueError, match="RidgeClassifier has a head whose weights"):
        QuadAttack(model).fit(X)
    for factor in (np.nan, 1e200):
        model = MLPClassifier((4,), max_iter=2, random_state=0).fit(X, y)
        model.coefs_[-1] *= factor
        with pytest.raises(ValueError, match="MLPClassifier has a head whose weights"):
            QuadAttack(model).fit(X)
