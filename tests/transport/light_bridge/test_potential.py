"""The plan and the process of a potential, against integrals and densities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from minimalml.transport import gaussian_entropic_map, light_bridge_loss
from minimalml.transport._light_bridge._adam import (
    _pack,
    _unpack,
    adam,
    loss_and_gradient,
)
from minimalml.transport._light_bridge._potential import Potential
from tests.transport.light_bridge.bridges import (
    TYPES,
    known_bridge,
    matrices,
    parameters,
    two_samples,
)


def grid(n_features, n_points=401, width=14.0):
    """Points on a regular grid, and the volume around each."""
    axis = np.linspace(-width, width, n_points)
    points = np.stack(np.meshgrid(*[axis] * n_features), axis=-1)
    return points.reshape(-1, n_features), (axis[1] - axis[0]) ** n_features


# --- the closed form ---


@pytest.mark.parametrize("epsilon", [1e-3, 1.0, 1e3])
def test_the_gaussian_map_solves_its_equation(rng, epsilon):
    A, B = rng.normal(size=(2, 4, 4))
    C0, C1, m0, m1 = A @ A.T, B @ B.T, A[0], B[0]
    S, r = gaussian_entropic_map(m0, C0, m1, C1, epsilon)
    np.testing.assert_allclose(S @ C0 @ S + epsilon * S, C1, atol=1e-8)
    np.testing.assert_array_equal(S, S.T)
    assert (np.linalg.eigvalsh(S) > 0).all()
    np.testing.assert_allclose(S @ m0 + r, m1, atol=1e-8)


def test_a_gaussian_without_spread_goes_to_the_mean_and_back():
    S, r = gaussian_entropic_map([1.0, 2], np.zeros((2, 2)), [5.0, 6], np.eye(2), 0.5)
    np.testing.assert_allclose(S, 2 * np.eye(2))  # epsilon S is all the spread there is
    S, r = gaussian_entropic_map([1.0, 2], np.eye(2), [5.0, 6], np.zeros((2, 2)), 0.5)
    assert not S.any() and r.tolist() == [5.0, 6.0]


# --- integrals ---


@pytest.mark.parametrize(("kind", "d"), [("diag", 1), ("diag", 2), ("full", 2)])
def test_normalizer_and_moments_are_integrals_of_the_plan(kind, d):
    bridge = known_bridge(kind, n_features=d)
    X0 = np.random.default_rng(1).normal(size=(5, d))
    X1, volume = grid(d)
    plan = np.exp(X0 @ X1.T / bridge.epsilon_ + bridge.log_potential(X1)) * volume
    np.testing.assert_allclose(np.log(plan.sum(axis=1)), bridge.log_normalizer(X0))
    plan /= plan.sum(axis=1, keepdims=True)
    mean, covariance = bridge.conditional_moments(X0)
    np.testing.assert_allclose(mean, plan @ X1, atol=1e-6)
    np.testing.assert_allclose(bridge.transform(X0), mean, atol=1e-12)
    for x0, found in enumerate(covariance):
        expected = np.cov(X1.T, aweights=plan[x0], bias=True)
        np.testing.assert_allclose(found, expected.reshape(d, d), atol=1e-6)


@pytest.mark.parametrize(("kind", "d"), [("diag", 1), ("diag", 2), ("full", 2)])
@pytest.mark.parametrize("t", [0.0, 0.3, 0.7])
def test_drift_is_the_slope_of_the_log_of_what_is_ahead(kind, d, t):
    bridge = known_bridge(kind, n_features=d)
    epsilon = bridge.epsilon_
    X1, volume = grid(d)
    end = bridge.log_potential(X1) + (X1**2).sum(axis=1) / (2 * epsilon)

    def log_ahead(x):
        distance = ((X1 - x) ** 2).sum(axis=1) / (2 * epsilon * (1 - t))
        return np.log(np.exp(end - distance).sum() * volume)

    h = 1e-4
    for x in np.random.default_rng(2).normal(size=(4, d)):
        steps = h * np.eye(d)
        slope = [(log_ahead(x + e) - log_ahead(x - e)) / (2 * h) for e in steps]
        expected = epsilon * np.array(slope)
        np.testing.assert_allclose(bridge.drift([x], t)[0], expected, atol=1e-5)


@pytest.mark.parametrize("kind", TYPES)
def test_drift_starts_at_the_mean_and_takes_a_time_for_each_row(kind, rng):
    bridge, X = known_bridge(kind), rng.normal(size=(6, 2))
    np.testing.assert_allclose(bridge.drift(X, 0), bridge.transform(X) - X, atol=1e-12)
    times = np.linspace(0, 0.999, 6)
    alone = [bridge.drift(X[[i]], t)[0] for i, t in enumerate(times)]
    np.testing.assert_allclose(bridge.drift(X, times), alone, atol=1e-12)


@pytest.mark.parametrize("kind", TYPES)
def test_the_plan_is_a_mixture_of_gaussians(kind, rng):
    bridge, X0, X1 = known_bridge(kind), *rng.normal(size=(2, 5, 2))
    epsilon, S = bridge.epsilon_, matrices(bridge.covariances_)
    found = (X0 * X1).sum(1) / epsilon + bridge.log_potential(X1) - bridge.log_normalizer(X0)  # fmt: skip
    for x0, x1, logarithm in zip(X0, X1, found, strict=True):
        weights = np.exp(
            bridge.log_weights_ + (x0 @ S @ x0 + 2 * bridge.means_ @ x0) / (2 * epsilon)
        )
        densities = [
            multivariate_normal(r + s @ x0, epsilon * s).pdf(x1)
            for r, s in zip(bridge.means_, S, strict=True)
        ]
        expected = np.log(weights / weights.sum() @ densities)
        assert logarithm == pytest.approx(expected, abs=1e-10)


# --- draws ---

N_DRAWS = 40_000
DRAWN = 0.05  # about five standard errors of moments near 1


@pytest.mark.parametrize("kind", TYPES)
def test_paths_have_the_exact_moments(kind):
    bridge, x0, times = known_bridge(kind), np.array([0.4, -0.3]), [0.0, 0.2, 0.7, 1.0]
    X = np.tile(x0, (N_DRAWS, 1))
    path = bridge.sample_path(X, times, random_state=0)
    np.testing.assert_array_equal(path[:, 0], X)
    mean, covariance = (part[0] for part in bridge.conditional_moments([x0]))
    ends = bridge.sample_conditional([x0], N_DRAWS, random_state=1)[0]
    for drawn in (path[:, -1], ends):
        np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=DRAWN)
        np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=2 * DRAWN)
    for i, s in enumerate(times):
        for j, t in enumerate(times[i:], start=i):
            first, second = path[:, i] - path[:, i].mean(0), path[:, j]
            expected = s * t * covariance + bridge.epsilon_ * s * (1 - t) * np.eye(2)
            found = first.T @ second / N_DRAWS
            np.testing.assert_allclose(found, expected, atol=2 * DRAWN)


def test_steps_along_the_drift_reach_the_target(rng):
    bridge, n_steps = known_bridge("full"), 200
    X0 = rng.normal(size=(10_000, 2))
    X = X0.copy()
    for t in np.arange(n_steps) / n_steps:
        noise = np.sqrt(bridge.epsilon_ / n_steps) * rng.normal(size=X.shape)
        X += bridge.drift(X, t) / n_steps + noise
    exact = bridge.sample_conditional(X0, random_state=0)[:, 0]
    np.testing.assert_allclose(X.mean(axis=0), exact.mean(axis=0), atol=2 * DRAWN)
    np.testing.assert_allclose(np.cov(X.T), np.cov(exact.T), atol=4 * DRAWN)


# --- the loss ---


@pytest.mark.parametrize("kind", TYPES)
@given(constant=st.floats(-50, 50), seed=st.integers(0, 100))
def test_what_does_not_change_the_loss(kind, constant, seed):
    X0, X1 = two_samples(30, seed)
    log_weights, *rest = parameters(kind, seed=seed)
    before = light_bridge_loss(X0, X1, log_weights, *rest, 0.7)
    for after in (
        light_bridge_loss(X0, X1, log_weights + constant, *rest, 0.7),
        light_bridge_loss(X0[::-1], np.tile(X1, (2, 1)), log_weights, *rest, 0.7),
    ):
        assert after == pytest.approx(before, rel=1e-10, abs=1e-9)


@pytest.mark.parametrize("kind", TYPES)
def test_no_other_potential_has_a_lower_loss(kind, rng):
    truth, X0 = known_bridge(kind), rng.normal(size=(20_000, 2))
    X1 = truth.sample_conditional(rng.normal(size=X0.shape), random_state=0)[:, 0]
    known = parameters(kind)
    best = light_bridge_loss(X0, X1, *known, 0.8)
    for factor in (0.8, 1.25):
        for i in range(3):
            changed = [p * (factor if i == j else 1) for j, p in enumerate(known)]
            assert light_bridge_loss(X0, X1, *changed, 0.8) > best


def test_slopes_are_those_of_finite_differences():
    X0, X1 = two_samples(40)
    packed, h = _pack(Potential(*parameters("diag"), 0.7)), 1e-5
    _, found = loss_and_gradient(X0, X1, _unpack(packed, 0.7))
    for place in np.ndindex(packed.shape):
        losses = []
        for change in (h, -h):
            moved = packed.copy()
            moved[place] += change
            losses.append(light_bridge_loss(X0, X1, *_unpack(moved, 0.7)))
        assert found[place] == pytest.approx(np.subtract(*losses) / (2 * h), abs=1e-6)


def test_steps_of_adam_are_those_of_torch(torch):
    X0, X1 = two_samples(50)
    start = Potential(*parameters("diag"), 0.7)
    options = {"learning_rate": 0.05, "batch_size": 16}
    steps = adam(X0, X1, start, **options, random_state=np.random.RandomState(0))
    packed = torch.tensor(_pack(start), requires_grad=True)
    optimizer = torch.optim.Adam([packed], lr=0.05)
    rng = np.random.RandomState(0)
    for _ in range(10):
        potential, loss, _ = next(steps)
        batches = [torch.tensor(X[rng.randint(len(X), size=16)]) for X in (X0, X1)]
        expected = torch_loss(torch, *batches, packed, 0.7)
        optimizer.zero_grad()
        expected.backward()
        optimizer.step()
        assert loss == pytest.approx(expected.item(), abs=1e-10)
    np.testing.assert_allclose(_pack(potential), packed.detach().numpy(), atol=1e-8)


def torch_loss(torch, X0, X1, packed, epsilon):
    log_weights, (r, S) = packed[:, 0] / epsilon, packed[:, 1:].chunk(2, dim=1)
    S = S.exp()
    exponent = ((X0[:, None] ** 2 * S + 2 * r * X0[:, None]) / (2 * epsilon)).sum(-1)
    density = torch.distributions.Normal(r, (epsilon * S).sqrt())
    v = log_weights + density.log_prob(X1[:, None]).sum(-1)
    return (log_weights + exponent).logsumexp(1).mean() - v.logsumexp(1).mean()
