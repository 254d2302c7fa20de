"""The theory beside closed forms and simulations, and private means."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minimalml.bags import (
    AggregateRidge,
    aggregate_by_bag,
    aggregate_risk,
    optimal_bag_size,
    private_aggregate,
)
from minimalml.bags._aggregate_responses._aggregate_risk import _traces
from minimalml.datasets import make_aggregate_regression

ratios, sizes = st.floats(1.05, 20), st.integers(2, 16)
variances, rhos = st.floats(0.01, 10), st.floats(1e-3, 5)


@given(ratios, sizes, variances, variances)
def test_the_instance_level_has_a_closed_form(ratio, size, signal, noise):
    expected = signal * ((size - 1) / size) ** 2
    expected += (signal * (size - 1) / size + noise) / (size * (ratio - 1))
    found = aggregate_risk(ratio, size, 1, signal=signal, noise=noise)
    assert found == pytest.approx(expected, rel=1e-12)


@given(sizes, st.floats(0.01, 0.8), st.floats(0.01, 10))
def test_the_bag_level_is_least_squares_and_the_limit_of_small_weights(
    size, load, noise
):
    found = aggregate_risk(size / load, size, 0, noise=noise)
    assert found == pytest.approx(noise * load / (1 - load), rel=1e-12)
    near = aggregate_risk(size / load, size, 1e-10, noise=noise)
    assert near == pytest.approx(found, rel=1e-6)


@given(st.floats(0.05, 0.9), sizes, st.floats(0.1, 5), st.floats(0.01, 5))
def test_fewer_rows_than_features_are_the_limit_of_small_penalties(
    ratio, size, rho, noise
):
    exact = aggregate_risk(ratio, size, rho, noise=noise)
    for alpha, tolerance in ((1e-9, 1e-5), (1e-5, 0.05)):
        near = aggregate_risk(ratio, size, rho, noise=noise, alpha=alpha)
        assert near == pytest.approx(exact, rel=tolerance)


@given(ratios, sizes, rhos, variances, st.floats(0, 2))
def test_noise_hurts_and_the_equation_is_solved(ratio, size, rho, noise, alpha):
    risks = aggregate_risk(ratio, size, rho, noise=[noise, 2 * noise], alpha=alpha)
    assert 0 < risks[0] < risks[1]
    plain = aggregate_risk(ratio, size, rho, noise=0, alpha=alpha)
    assert 2 * risks[0] - risks[1] == pytest.approx(plain, abs=1e-9 * risks[1])


def test_the_solution_leaves_no_residual():
    from minimalml.bags._aggregate_responses import _aggregate_risk

    found = []
    original, _aggregate_risk._traces = _traces, lambda c, *rest: (found.append(c), _traces(c, *rest))[1]  # fmt: skip
    try:
        aggregate_risk([1.1, 6, 20], [2, 4, 16], [1e-6, 0.3, 20])
    finally:
        _aggregate_risk._traces = original
    ratio, size = np.array([1.1, 6, 20]), np.array([2, 4, 16])
    h1, _ = _traces(found[-1], ratio, size, np.array([1e-6, 0.3, 20]), np.zeros(3))
    np.testing.assert_allclose(found[-1] * (1 + h1 / ratio) * size, 1, atol=1e-12)


@pytest.mark.parametrize(
    ("n_features", "size", "rho", "noise", "alpha"),
    [
        (100, 4, 0.3, 1.0, 0.0),
        (100, 4, 0.0, 1.0, 0.0),
        (100, 20, 0.0, 0.5, 0.0),  # of the smallest norm
        (100, 2, 1.5, 0.25, 0.05),
        (100, 4, 0.0, 1.0, 0.1),
        (100, 1, 0.5, 1.0, 0.2),
        (900, 4, 0.5, 1.0, 0.0),  # fewer rows than features
    ],
)
def test_simulations_come_out_as_said(n_features, size, rho, noise, alpha):
    errors = []
    for seed in range(60 if n_features < 600 else 12):
        X, y, bags, coef = make_aggregate_regression(
            600, n_features, bag_size=size, noise=noise, random_state=seed
        )
        options = {"interpolation": rho, "fit_intercept": False}
        model = AggregateRidge(600 * alpha, **options).fit(X, y, bags)
        errors.append(((model.coef_ - coef) ** 2).sum())
    expected = aggregate_risk(600 / n_features, size, rho, noise=noise, alpha=alpha)
    assert np.mean(errors) == pytest.approx(expected, rel=0.04)


def test_shapes_and_singular_cases():
    assert isinstance(aggregate_risk(6, 4, 0.3), float)
    assert aggregate_risk([[2.0], [3.0]], 2.5, [0, 0.1, 1]).shape == (2, 3)
    assert aggregate_risk(4, 4, 0) == aggregate_risk(1, 4, 0.5) == np.inf
    assert aggregate_risk(6, 8, 0) == pytest.approx(3.25)
    assert aggregate_risk(6, 8, 1e-9) == pytest.approx(3.4375, rel=1e-6)


# --- the size of bags ---


@pytest.mark.parametrize("ratio", [6, 12])
@pytest.mark.parametrize("epsilon", [0.05, 0.1, 0.5])
def test_the_best_size_jumps_with_the_interpolation(ratio, epsilon):
    options = {"epsilon": epsilon, "response_range": 10, "max_bag_size": 5}
    found = [
        optimal_bag_size(ratio, interpolation=rho, **options) for rho in (0.02, 0.03)
    ]
    assert [result.bag_size for result in found] == [1, 5]


@settings(max_examples=10)
@given(st.floats(1.1, 20), st.floats(0.1, 10), variances)
def test_the_best_of_both_is_that_of_a_grid(ratio, epsilon, noise):
    options = {"epsilon": epsilon, "response_range": 2.0, "noise": noise}
    best = optimal_bag_size(ratio, max_bag_size=6, **options)
    k = np.arange(1, 7)
    total = noise + 2 * (2.0 / epsilon) ** 2 / k
    grid = aggregate_risk(ratio, k, np.geomspace(1e-6, 20, 400)[:, None], noise=total)
    assert (best.risks <= grid.min(axis=0) * (1 + 1e-9)).all()
    np.testing.assert_allclose(best.risks, grid.min(axis=0), rtol=2e-3)
    assert best.risk == best.risks.min() == best.risks[best.bag_size - 1]


def test_without_noise_or_weight_the_smallest_size_is_best():
    found = optimal_bag_size(6, epsilon=np.inf, response_range=1.0, max_bag_size=3)
    assert (found.bag_size, found.interpolation) == (1, 1.0)
    assert found.risk == aggregate_risk(6, 1, 1)
    few = optimal_bag_size(0.5, epsilon=1, response_range=1.0, max_bag_size=3)
    assert few.interpolation == 1.0


# --- private means ---


def test_private_means_have_noise_of_the_right_scale():
    rng = np.random.default_rng(0)
    y, bags = rng.normal(size=60_000), np.arange(60_000) // 3
    bags[:20_000] = np.arange(20_000) // 2 + 100_000
    options = {"bounds": (-1, 3), "random_state": 0}
    exact = private_aggregate(y, bags, epsilon=np.inf, **options)
    _, means = aggregate_by_bag(y.clip(-1, 3), bags)
    np.testing.assert_allclose(aggregate_by_bag(exact, bags, how="first")[1], means)
    noisy = private_aggregate(y, bags, epsilon=0.5, **options)
    np.testing.assert_array_equal(
        noisy, private_aggregate(y, bags, epsilon=0.5, **options)
    )
    _, noise = aggregate_by_bag(noisy - exact, bags, how="first")
    is_pair = np.unique(bags) >= 100_000
    for chosen, size in ((is_pair, 2), (~is_pair, 3)):
        scale = 4 / (size * 0.5)  # the mean distance of Laplace noise
        assert np.abs(noise[chosen]).mean() == pytest.approx(scale, rel=0.05)


def test_the_risk_of_private_means_is_that_of_more_noise():
    errors = []
    for seed in range(40):
        X, _, bags, coef = make_aggregate_regression(600, 50, random_state=seed)
        rng = np.random.default_rng(seed)
        responses = X @ coef + rng.normal(size=600)
        y = private_aggregate(
            responses, bags, epsilon=2, bounds=(-5, 5), random_state=seed
        )
        model = AggregateRidge(interpolation=0.5, fit_intercept=False).fit(X, y, bags)
        errors.append(((model.coef_ - coef) ** 2).sum())
    found = optimal_bag_size(12, epsilon=2, response_range=10, interpolation=0.5)
    assert np.mean(errors) == pytest.approx(found.risks[3], rel=0.06)


# --- bad input ---


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample_ratio", 0), ("sample_ratio", np.nan), ("bag_size", 0.5), ("signal", -1),
        ("interpolation", -0.1), ("interpolation", np.inf), ("noise", [1.0, -1.0]),
        ("alpha", "much"),
    ],
)  # fmt: skip
def test_risks_of_what_cannot_be_are_refused(name, value):
    options = {"sample_ratio": 6, "bag_size": 4, "interpolation": 0.3} | {name: value}
    with pytest.raises(ValueError, match=f"{name} must be a number"):
        aggregate_risk(**options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epsilon", 0), ("epsilon", np.nan), ("response_range", 0), ("noise", -1),
        ("signal", -1), ("interpolation", "best"), ("interpolation", -1),
        ("sample_ratio", -6), ("max_bag_size", 0), ("max_bag_size", 2.5),
    ],
)  # fmt: skip
def test_sizes_for_what_cannot_be_are_refused(name, value):
    options = {"sample_ratio": 6, "epsilon": 1, "response_range": 2} | {name: value}
    with pytest.raises(ValueError, match=f"{name} must be"):
        optimal_bag_size(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 0}, "epsilon must be a number above 0, got 0"),
        ({"epsilon": -np.inf}, "epsilon must be a number above 0, got -inf"),
        ({"bounds": (1, 1)}, "bounds must be two finite numbers, the smaller first"),
        ({"bounds": (0, np.inf)}, "bounds must be two finite numbers"),
        ({"bounds": (0, 1, 2)}, "bounds must be two finite numbers"),
        ({"y": [1.0, np.nan]}, "Input y contains NaN"),
        ({"bags": [1]}, "bags has 1 ids but X has 2 rows"),
    ],
)
def test_what_cannot_be_made_private_is_named(options, message):
    options = {
        "y": [1.0, 2.0],
        "bags": [0, 0],
        "epsilon": 1,
        "bounds": (0, 3),
    } | options
    with pytest.raises(ValueError, match=message):
        private_aggregate(**options)
