"""Permutations of bits by ensembles: closed forms, certified sizes, finite networks."""

import pickle
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV

from minimalml.training_dynamics import (
    PermutationEnsemble,
    ntk_ensemble_moments,
    permutation_ensemble_size,
    permutation_moments,
    relu_kernels,
)

# Networks for all inputs of k bits at delta=0.05, by the exact tails.
SIZES = {10: 888, 20: 1589, 30: 2338, 50: 3951, 100: 8411, 200: 18363, 400: 40432}


def all_inputs(k):
    return np.array(list(product([0, 1], repeat=k))[1:])


def permuted(B, permutation):
    Y = np.empty_like(B)
    Y[:, permutation] = B
    return Y


def fitted(permutation, **parameters):
    units = np.eye(len(permutation))
    return PermutationEnsemble(**parameters).fit(units, permuted(units, permutation))


@pytest.mark.parametrize("k", range(2, 13))
def test_closed_forms_are_those_of_the_kernels(k):
    X, Z = np.eye(k), np.tril(np.ones((k, k)))
    Z /= np.linalg.norm(Z, axis=1, keepdims=True)
    (nngp, ntk), (nngp_cross, ntk_cross) = (
        relu_kernels(*rows, sigma_w=1.0) for rows in ((X,), (Z, X))
    )
    mean, covariance = ntk_ensemble_moments(
        ntk, nngp, ntk_cross, nngp_cross, relu_kernels(Z, sigma_w=1.0)[0], X
    )
    mean_in, mean_out, variance = permutation_moments(k, np.arange(1, k + 1))
    expected = np.where(Z > 0, mean_in[:, None], mean_out[:, None])
    np.testing.assert_allclose(mean, expected, atol=1e-12)
    np.testing.assert_allclose(np.diag(covariance), variance, atol=1e-12)


def test_values_and_signs_of_the_closed_forms():
    found = [permutation_moments(5, m) for m in (2, 3, 5)]
    expected = [(0.56063, -0.01464, 0.013235), (0.41108, -0.03202, 0.019086),
                (0.26393, np.nan, 0.027597)]  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert [float(value) for value in permutation_moments(7, 1)] == [1, 0, 0]
    for k in range(2, 201):
        mean_in, mean_out, variance = permutation_moments(k, np.arange(2, k + 1))
        assert (
            (mean_in > 0).all() and (mean_out[:-1] < 0).all() and (variance > 0).all()
        )


def brute_force_size(k, delta, weight, rounding):
    def failure(n):
        total = 0.0
        for m in range(2, k + 1) if weight == "all" else [weight]:
            mean_in, mean_out, variance = permutation_moments(k, m)
            threshold = 0.0
            if rounding == "midpoint" and m < k:
                threshold = (mean_in + mean_out) / 2
            scale = np.sqrt(n / variance)
            wrong = m * ndtr(-scale * (mean_in - threshold))
            if m < k:
                wrong += (k - m) * ndtr(scale * (mean_out - threshold))
            inputs = np.prod(range(k - m + 1, k + 1)) / np.prod(range(1, m + 1))
            total += wrong * (inputs if weight == "all" else 1)
        return total

    n = 1
    while failure(n) > delta:
        n += 1
    return n


@pytest.mark.parametrize("rounding", ["sign", "midpoint"])
@pytest.mark.parametrize("weight", ["all", 2, 5])
def test_sizes_are_the_smallest_that_will_do(weight, rounding):
    for k, delta in ((5, 0.05), (6, 0.3)):
        found = permutation_ensemble_size(k, delta, weight=weight, rounding=rounding)
        assert found == brute_force_size(k, delta, weight, rounding)


def test_sizes_grow_as_k_log_k_and_not_as_its_square():
    found = {k: permutation_ensemble_size(k) for k in SIZES}
    assert found == SIZES
    k, sizes = np.array([*SIZES]), np.array([*SIZES.values()])
    assert (np.diff(sizes / k**2) < 0).all()
    assert np.ptp((sizes / (k * np.log(k)))[-3:]) < 1.5
    assert permutation_ensemble_size(1500) > 0  # binomials beyond floats
    assert permutation_ensemble_size(1) == 1
    assert permutation_ensemble_size(9, weight=1) == 1


@given(
    st.integers(2, 30), st.floats(0.001, 0.4), st.floats(1.1, 2), st.data(),
    st.sampled_from(["sign", "midpoint"]),
)  # fmt: skip
def test_sizes_fall_with_the_allowed_failure_and_are_below_the_bound(
    k, delta, factor, data, rounding
):
    weight = data.draw(st.integers(2, k))
    size = permutation_ensemble_size(k, delta, weight=weight, rounding=rounding)
    looser = permutation_ensemble_size(
        k, delta * factor, weight=weight, rounding=rounding
    )
    assert looser <= size
    mean_in, mean_out, variance = permutation_moments(k, weight)
    margin = mean_in if weight == k else min(mean_in, -mean_out)
    if rounding == "midpoint" and weight < k:
        margin = (mean_in - mean_out) / 2
    assert size <= np.ceil(2 * variance / margin**2 * np.log(k / delta))


@pytest.mark.parametrize("rounding", ["sign", "midpoint"])
def test_the_limit_permutes_every_input(rounding):
    for k in range(1, 5):
        B = all_inputs(k)
        for permutation in permutations(range(k)):
            model = fitted(list(permutation), rounding=rounding)
            np.testing.assert_array_equal(model.predict(B), permuted(B, permutation))
            np.testing.assert_array_equal(model.permutation_, permutation)
    for k in range(5, 13):
        permutation, B = np.random.default_rng(k).permutation(k), all_inputs(k)
        model = fitted(permutation, rounding=rounding)
        np.testing.assert_array_equal(model.predict(B), permuted(B, permutation))
        assert model.n_networks_ == np.inf
        assert model.certified_size_ == permutation_ensemble_size(k, rounding=rounding)


def test_examples_may_come_in_any_order_and_length(rng):
    permutation, order = rng.permutation(6), rng.permutation(6)
    X, Y = np.diag(rng.uniform(0.1, 5, 6)), permuted(np.eye(6), permutation)
    model = PermutationEnsemble().fit(X[order], Y[order])
    np.testing.assert_array_equal(model.permutation_, permutation)


def test_draws_fail_as_rarely_as_certified():
    k, delta, n_draws = 5, 0.2, 300
    B, permutation = all_inputs(k), [2, 0, 1, 4, 3]
    failures = sum(
        (model.predict(B) != permuted(B, permutation)).any()
        for model in (
            fitted(permutation, mode="gaussian", delta=delta, random_state=seed)
            for seed in range(n_draws)
        )
    )
    deviation = np.sqrt(delta * (1 - delta) / n_draws)
    assert 0 < failures / n_draws <= delta + 3 * deviation


def test_draws_have_the_variance_of_the_limit_over_n():
    B = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 0]])
    draws = [
        fitted(range(4), mode="gaussian", n_networks=7, random_state=seed)
        .decision_function(B)
        for seed in range(400)
    ]  # fmt: skip
    mean_in, mean_out, variance = permutation_moments(4, [2, 3, 2])
    expected = np.where(B == 1, mean_in[:, None], mean_out[:, None])
    np.testing.assert_allclose(np.mean(draws, axis=0), expected, atol=0.012)
    np.testing.assert_allclose(
        np.var(draws, axis=0).mean(axis=1), variance / 7, rtol=0.12
    )
    np.testing.assert_allclose(draws[0][0], draws[0][2], atol=1e-7)


def test_networks_come_near_the_limit():
    pytest.importorskip("torch")
    B, permutation = all_inputs(3), [1, 2, 0]
    model = fitted(
        permutation, mode="networks", n_networks=40, width=512, max_epochs=60,
        random_state=0,
    )  # fmt: skip
    limit = fitted(permutation).decision_function(B)
    np.testing.assert_allclose(model.decision_function(B), limit, atol=0.06)
    hidden, _ = clone(model).set_params(n_networks=2).fit(
        np.eye(3), permuted(np.eye(3), permutation)
    )._weights  # fmt: skip
    np.testing.assert_allclose(hidden, model._weights[0][:2], atol=1e-5)


def test_descent_is_that_of_autograd():
    torch = pytest.importorskip("torch")
    from minimalml.training_dynamics._permutation_learning._networks_torch import (
        train_networks,
    )

    k, width, n_steps = 3, 8, 5
    (start, first), _ = train_networks([2, 0, 1], 2, width, 1, 1e-30, 0, "cpu")
    (found, last), _ = train_networks([2, 0, 1], 2, width, n_steps, 0.5, 0, "cpu")
    U, V = (torch.tensor(w, requires_grad=True) for w in (start, first))
    targets = torch.eye(k)[:, [2, 0, 1]]
    for _ in range(n_steps):
        outputs = V @ (U / k**0.5).relu() / width**0.5
        ((outputs - targets) ** 2).sum().div(2).backward()
        for weight in (U, V):
            weight.data -= 0.5 * weight.grad
            weight.grad = None
    np.testing.assert_allclose(found, U.detach(), atol=1e-5)
    np.testing.assert_allclose(last, V.detach(), atol=1e-5)


def test_networks_that_have_not_learnt_are_told():
    pytest.importorskip("torch")
    with pytest.warns(ConvergenceWarning, match="max_epochs=2"):
        fitted(range(3), mode="networks", n_networks=2, width=64, max_epochs=2)


def test_it_is_an_estimator():
    model = clone(PermutationEnsemble(mode="gaussian", n_networks=9, random_state=3))
    with pytest.raises(NotFittedError):
        model.predict([[1, 0]])
    units = np.eye(5, dtype=np.float32)
    model.fit(units, units[::-1])
    copy, B = pickle.loads(pickle.dumps(model)), all_inputs(5).astype(np.float32)
    np.testing.assert_array_equal(copy.decision_function(B), model.decision_function(B))
    assert model.decision_function(B).dtype == np.float32
    search = GridSearchCV(
        PermutationEnsemble(mode="gaussian", random_state=0), {"n_networks": [1, 500]},
        cv=[(np.arange(5), np.arange(5))],
    )  # fmt: skip
    assert search.fit(units, units).score(B, B.astype(int)) <= 1


@pytest.mark.parametrize(
    ("X", "Y", "message"),
    [
        (np.eye(3)[:2], np.eye(3)[:2], r"X must hold each of k unit vectors.*\(2, 3\)"),
        ([[1, 0], [1, 1]], np.eye(2), r"rows of X must be unit.*\[1.*1.*\] in row 1"),
        ([[1, 0], [0, -1]], np.eye(2), "rows of X must be unit.*in row 1"),
        ([[1, 0], [2, 0]], np.eye(2), "X must hold.*rows 0 and 1 both.*column 0"),
        (np.eye(2), [[0, 1], [0, 1]], "Y must hold.*rows 0 and 1 both.*column 1"),
        (np.eye(2), [[0, 1], [1, 1]], "rows of Y must be unit vectors"),
        (np.eye(2), np.eye(2, 3), r"Y must hold.*\(2, 3\)"),
    ],
)
def test_what_is_no_permutation_is_refused(X, Y, message):
    with pytest.raises(ValueError, match=message):
        PermutationEnsemble().fit(X, Y)


@pytest.mark.parametrize(
    ("B", "message"),
    [
        ([[1, 0, 2]], "must be 0 or 1, got 2 in row 0, column 2"),
        ([[1, 0, 0], [0, 0, 0]], "none in row 1: the zero vector has no direction"),
        ([[1, 0]], "2 features"),
    ],
)
def test_what_is_no_input_is_refused(B, message):
    with pytest.raises(ValueError, match=message):
        fitted(range(3)).predict(B)


def test_bad_parameters_are_refused():
    with pytest.raises(
        ValueError, match="4000 rows at once, got 4001: take mode='limit'"
    ):
        fitted(range(3), mode="gaussian").predict(np.ones((4001, 3)))
    with pytest.raises(ValueError, match=r"n_networks=100000 of width 2048.*4.9 GB"):
        fitted(range(3), mode="networks", n_networks=100_000)
    for call, message in (
        (lambda: fitted(range(3), delta=1.0), "'delta' parameter"),
        (lambda: permutation_ensemble_size(3, 0.0), "'delta' parameter"),
        (lambda: permutation_ensemble_size(3, weight=4), "from 1 to k=3, got 4"),
        (lambda: permutation_moments(3, 4), "from 1 to k=3, got 4"),
        (lambda: permutation_moments(3, [1.5]), r"integers from 1 to k=3, got \[1.5\]"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
