"""Fits of the light bridge."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import softmax
from scipy.stats import special_ortho_group
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.transport import (
    LightSchrodingerBridge,
    TransportedEstimator,
    gaussian_entropic_map,
    light_bridge_loss,
)
from minimalml.transport._light_bridge._start import balance
from tests.transport.light_bridge.bridges import (
    TYPES,
    known_bridge,
    parameters,
    two_samples,
)

QUIET = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:epsilon=:UserWarning"
)


def bridge_of(*samples, n_components=3, **options):
    options = {"random_state": 0} | options
    return LightSchrodingerBridge(n_components, **options).fit_samples(*samples)


def learnt(bridge):
    """Weights, means and matrices, as `light_bridge_loss` takes them."""
    return bridge.log_weights_, bridge.means_, bridge.covariances_


def stacked(X0, X1):
    return np.vstack([X0, X1]), np.repeat([1, -1], [len(X0), len(X1)])


# --- reduces to known things ---


@pytest.mark.parametrize("init", ["gmm", "samples"])
def test_one_full_component_is_the_gaussian_map(rng, init):
    X0, X1 = (rng.normal(size=(90, 3)) @ rng.normal(size=(3, 3)) + a for a in (4, -2))
    model = bridge_of(X0, X1, n_components=1, covariance_type="full", epsilon=0.7,
                      init=init, reg_covar=1e-12)  # fmt: skip
    m0, C0, m1, C1 = (
        moment for X in (X0, X1) for moment in (X.mean(0), np.cov(X.T, bias=True))
    )
    S, r = gaussian_entropic_map(m0, C0, m1, C1, 0.7)
    np.testing.assert_allclose(model.covariances_[0], S, atol=1e-8)
    np.testing.assert_allclose(model.means_[0], r, atol=1e-8)
    np.testing.assert_allclose(model.transform(X0), X0 @ S + r, atol=1e-8)


@pytest.mark.parametrize("kind", TYPES)
def test_much_entropy_forgets_the_source(kind):
    X0, X1 = two_samples()
    mapped = bridge_of(X0, X1, epsilon=1e4, covariance_type=kind).transform(X0)
    np.testing.assert_allclose(
        mapped, np.tile(X1.mean(axis=0), (len(X0), 1)), atol=0.02
    )


@QUIET
def test_little_entropy_leaves_equal_samples_where_they_are(rng):
    X0, X1 = rng.normal(size=(2, 3000, 2))
    model = bridge_of(X0, X1, n_components=2, epsilon=0.01, covariance_type="full")
    distance = np.linalg.norm(model.transform(X0) - X0, axis=1)
    assert distance.mean() < 0.1


@QUIET
def test_the_map_is_that_of_sinkhorn():
    pot = pytest.importorskip("ot")  # codespell:ignore ot
    X0, X1 = two_samples(400)
    cost = pot.dist(X0, X1) / 2
    plan = pot.sinkhorn(np.full(len(X0), 1 / len(X0)), np.full(400, 1 / 400), cost, 1.0)
    expected = plan @ X1 / plan.sum(axis=1, keepdims=True)
    for kind in TYPES:
        mapped = bridge_of(X0, X1, n_components=8, covariance_type=kind).transform(X0)
        assert np.abs(mapped - expected).mean() < 0.05 * np.ptp(X1, axis=0).min()


# --- the solver ---


def slopes(X0, X1, bridge, h=1e-6):
    """Central differences of the loss by every number of the potential."""
    parts = learnt(bridge)
    for i, part in enumerate(parts):
        for place in np.ndindex(part.shape):
            losses = []
            for change in (h, -h):
                moved = [np.array(p) for p in parts]
                moved[i][place] += change
                if part.ndim == 3:  # matrices stay symmetric
                    k, row, column = place
                    moved[i][k, column, row] = moved[i][place]
                losses.append(light_bridge_loss(X0, X1, *moved, bridge.epsilon_))
            yield abs(losses[0] - losses[1]) / (2 * h)


@pytest.mark.parametrize("kind", TYPES)
def test_the_solver_ends_where_the_loss_has_no_slope(kind):
    X0, X1 = two_samples(1000)
    model = bridge_of(X0, X1, n_components=8, covariance_type=kind, max_iter=5000,
                      tol=1e-8, reg_covar=1e-9)  # fmt: skip
    assert model.converged_ and model.n_iter_ < 5000
    assert max(slopes(X0, X1, model)) < 1e-3


@QUIET
@settings(max_examples=15)
@given(
    epsilon=st.sampled_from([0.003, 0.1, 1.0, 30.0]),
    kind=st.sampled_from(TYPES),
    init=st.sampled_from(["gmm", "samples"]),
    seed=st.integers(0, 1000),
)
def test_no_iteration_raises_the_loss(epsilon, kind, init, seed):
    X0, X1 = two_samples(60, seed)
    options = {"epsilon": epsilon, "covariance_type": kind, "init": init}
    model = bridge_of(X0, X1, **options, random_state=seed, max_iter=40)
    curve = model.loss_curve_
    assert (np.diff(curve) <= 1e-12 * np.abs(curve[:-1])).all()
    assert len(curve) == model.n_iter_ and curve[-1] == model.loss_
    loss = light_bridge_loss(X0, X1, *learnt(model), epsilon)
    assert model.loss_ == pytest.approx(loss, rel=1e-9, abs=1e-9)
    assert np.exp(model.log_weights_).sum() == pytest.approx(1)


@QUIET
@pytest.mark.parametrize("kind", TYPES)
def test_the_fit_moves_and_turns_with_the_rows(kind):
    X0, X1 = two_samples()
    turn = special_ortho_group.rvs(2, random_state=0)
    turn = turn if kind == "full" else np.eye(2)[::-1]  # of features
    options = {"covariance_type": kind, "init": "samples", "max_iter": 20}
    before = bridge_of(X0, X1, **options).transform(X0)
    after = bridge_of(X0 @ turn + 7, X1 @ turn + 7, **options).transform(X0 @ turn + 7)
    np.testing.assert_allclose(after, before @ turn + 7, atol=1e-6)


@QUIET
def test_adam_comes_near_the_other_solver():
    X0, X1 = two_samples(1000)
    em, adam = (bridge_of(X0, X1, solver=solver) for solver in ("em", "adam"))
    assert adam.loss_curve_.shape == (2000,) and not adam.converged_
    loss = light_bridge_loss(X0, X1, *learnt(adam), 1.0)
    assert adam.loss_ == pytest.approx(loss) and em.loss_ <= loss < em.loss_ + 0.05
    apart = np.abs(adam.transform(X0) - em.transform(X0)).mean()
    assert apart < 0.05 * np.ptp(X1, axis=0).min()


@QUIET
@pytest.mark.parametrize("epsilon", [0.03, 0.3])
@pytest.mark.parametrize("init", ["gmm", "samples"])
def test_little_entropy_leaves_no_component_without_rows(rng, epsilon, init):
    angle = 4 * rng.random(400)
    X1 = (1 + angle[:, None]) * np.column_stack([np.cos(angle), np.sin(angle)]) / 2
    X0, options = rng.normal(size=X1.shape), {"n_components": 40, "epsilon": epsilon}
    em = bridge_of(X0, X1, init=init, **options)
    adam = bridge_of(X0, X1, init="samples", solver="adam", **options)
    assert em.loss_ < adam.loss_
    ends = em.sample_conditional(X0, random_state=0)[:, 0]
    apart = np.linalg.norm(ends[:, None] - X1, axis=2)
    assert apart.min(axis=0).mean() < 0.1 > apart.min(axis=1).mean()


@QUIET
def test_the_score_prefers_the_truth_on_new_rows(rng):
    truth, X0 = known_bridge("full"), rng.normal(size=(4000, 2))
    X1 = truth.sample_conditional(rng.normal(size=X0.shape), random_state=0)[:, 0]
    X, domain = stacked(X0[2000:], X1[2000:])
    scores = [
        bridge_of(X0[:2000], X1[:2000], n_components=k, covariance_type="full",
                  epsilon=0.8).score(X, sample_domain=domain) for k in (1, 3)
    ]  # fmt: skip
    best = truth.score(X, sample_domain=domain)
    assert scores[0] < scores[1] < best + 0.01
    weight = np.r_[np.zeros(1000), np.ones(2500), np.zeros(500)]
    some = truth.score(X, sample_domain=domain, sample_weight=weight)
    rows = np.flatnonzero(weight)
    assert some == pytest.approx(truth.score(X[rows], sample_domain=domain[rows]))
    assert best == -light_bridge_loss(X0[2000:], X1[2000:], *parameters("full"), 0.8)


def test_a_start_gives_each_component_its_share_of_the_source(rng):
    shares, exponents = np.array([0.6, 0.3, 0.1]), 30 * rng.normal(size=(500, 3))
    terms = exponents + balance(exponents, np.log(shares))
    np.testing.assert_allclose(softmax(terms, axis=1).mean(axis=0), shares, rtol=0.1)


def test_what_stops_the_solver_is_said():
    X0, X1 = two_samples()
    with pytest.warns(ConvergenceWarning, match=r"fell by .* in iteration 3, .*max_iter") as w:  # fmt: skip
        model = bridge_of(X0, X1, max_iter=3)
    assert w[0].filename == __file__ and not model.converged_
    with pytest.warns(UserWarning, match="epsilon=1e-05 is small.*at least 0.00") as w:
        bridge_of(X0, X1, epsilon=1e-5, max_iter=3)
    assert __file__ in {record.filename for record in w}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bridge_of(X0, X1, tol=1.0).converged_
        bridge_of(X0, X1, solver="adam", max_iter=3)


# --- one array or two, and rows of any kind ---


def test_one_array_with_domains_is_two_arrays():
    X0, X1 = two_samples()
    X, domain = stacked(X0, X1)
    order = np.random.default_rng(0).permutation(len(X))
    order = order[np.argsort(domain[order] < 0, kind="stable")]
    two = bridge_of(X[order[: len(X0)]], X[order[len(X0) :]], tol=1e-3)
    one = LightSchrodingerBridge(3, tol=1e-3, random_state=0)
    one.fit(X[order], sample_domain=domain[order] * 5)
    np.testing.assert_array_equal(one.means_, two.means_)
    itself = LightSchrodingerBridge(3, tol=1e-3, random_state=0).fit(X)
    np.testing.assert_array_equal(itself.means_, bridge_of(X, X, tol=1e-3).means_)


def test_outputs_keep_float32_and_names():
    X0, X1 = (X.astype(np.float32) for X in two_samples())
    model = bridge_of(X0, X1, tol=1e-3)
    outputs = [
        model.transform(X0), *model.conditional_moments(X0), model.drift(X0, 0.5),
        model.sample_conditional(X0, 2), model.sample_path(X0, [0.5]),
        model.log_potential(X1), model.log_normalizer(X0),
    ]  # fmt: skip
    assert {part.dtype for part in outputs} == {np.dtype("float32")}
    frames = [pd.DataFrame(X, columns=["a", "b"]) for X in (X0, X1)]
    model = bridge_of(*frames, tol=1e-3).set_output(transform="pandas")
    assert model.transform(frames[0]).columns.tolist() == ["a", "b"]


def test_draws_repeat_and_a_known_bridge_keeps_its_parameters():
    model, known = known_bridge("diag"), parameters("diag")
    for kept, part in zip(learnt(model), known, strict=True):
        np.testing.assert_array_equal(kept, part)
    model.set_params(epsilon=99.0, covariance_type="full", n_components=7)
    X = two_samples(5000)[0]  # more than a block of rows
    draws = [model.sample_path(X, [0.1, 1], random_state=3) for _ in range(2)]
    np.testing.assert_array_equal(*draws)
    assert model.sample_conditional(X, 4).shape == (len(X), 4, 2)
    mean = model.conditional_moments(X)[0]
    np.testing.assert_allclose(model.transform(X), mean, atol=1e-12)


@QUIET
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("init", ["gmm", "samples"])
@pytest.mark.parametrize(
    "change",
    [
        lambda X0, X1: (X0 * [1, 0], X1),
        lambda X0, X1: (X0, X1 * [1, 0]),
        lambda X0, X1: (X0 * 0, X1 * 0),
        lambda X0, X1: (X0[[0] * 40], X1[[0, 1, 2] * 20]),
        lambda X0, X1: (X0 * [1, 0] + X0[:, [0]] * [0, 50], X1[:, [0, 0]]),
        lambda X0, X1: (X0 * 1e-180, X1 * 1e-180),
        lambda X0, X1: (X0 + 1e5, X1 - 1e5),
        lambda X0, X1: (X0 * 1e5, X1[:3] * 1e5),
    ],
)
def test_rows_that_do_not_spread_as_usual_are_mapped(kind, init, change):
    X0, X1 = change(*two_samples(60))
    model = bridge_of(X0, X1, covariance_type=kind, init=init, max_iter=30)
    mapped = model.transform(X0)
    np.testing.assert_allclose(
        mapped.mean(axis=0), X1.mean(axis=0), atol=0.7 * np.ptp(X1, axis=0).max() + 1e-6
    )
    assert np.isfinite(model.drift(X0, 0.5)).all()
    assert np.isfinite(model.sample_path(X0, [0.5, 1])).all()


def test_a_constant_source_goes_to_the_mean_of_the_target():
    _, X1 = two_samples()
    X0 = np.full((50, 2), 4.0)
    mapped = bridge_of(X0, X1, n_components=1).transform(X0)
    np.testing.assert_allclose(mapped, np.tile(X1.mean(axis=0), (50, 1)), atol=1e-5)


# --- bad input ---


@pytest.mark.parametrize(
    ("options", "change", "error", "message"),
    [
        ({"epsilon": 0}, {}, ValueError, "'epsilon' parameter"),
        ({"n_components": 0}, {}, ValueError, "'n_components' parameter"),
        ({"n_components": 5}, {}, ValueError, "n_components=5 is more than the 4 rows"),
        ({"solver": "adam", "covariance_type": "full"}, {}, ValueError, "adam.*'diag' only"),
        ({"covariance_type": "tied"}, {}, ValueError, "'covariance_type' parameter"),
        ({}, {"sample_domain": np.ones(8)}, ValueError, "8 source rows.* 0 target rows"),
        ({}, {"sample_domain": [1] + 7 * [-1]}, ValueError, "2 rows of each.* 1 of the source and 7"),
        ({}, {"sample_domain": 7 * [1] + [-1]}, ValueError, "7 of the source and 1 of the target"),
        ({}, {"sample_domain": [1, -1]}, ValueError, "X has 8 rows"),
        ({}, {"X": np.full((8, 2), np.nan)}, ValueError, "NaN"),
        ({}, {"X": np.arange(16.0).reshape(8, 2) * 1e160}, ValueError, "powers overflow: scale"),
        ({}, {"X": sparse.csr_array(np.eye(8))}, TypeError, "[Ss]parse"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_is_named(options, change, error, message):
    data = {"X": np.arange(16.0).reshape(8, 2) % 7, "sample_domain": [1, -1] * 4}
    with pytest.raises(error, match=message):
        LightSchrodingerBridge(**{"n_components": 2} | options).fit(**data | change)


ONE = np.zeros((1, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b: b.drift(ONE, 1), "use t < 1"),
        (lambda b: b.drift(ONE, [-0.1]), r"t must be in \[0, 1\), got -0.1"),
        (lambda b: b.drift(ONE, [0.1, 0.2]), "one for each of the 1 rows"),
        (lambda b: b.sample_path(ONE, [0.5, 0.5]), r"times must grow within \[0, 1\]"),
        (lambda b: b.sample_path(ONE, [0.5, 1.5]), r"times must grow .*1.5"),
        (lambda b: b.sample_path(ONE, []), "times must grow"),
        (lambda b: b.sample_conditional(ONE, 0), "n_samples == 0"),
        (lambda b: b.transform(ONE[:, :1]), "expecting 2 features"),
        (lambda b: b.log_potential(ONE + 1e200), "X has numbers too large for epsilon"),
        (lambda b: light_bridge_loss(ONE, ONE[:, :1], *learnt(b), 1.0), "X1 has 1 features"),
        (lambda b: b.from_parameters([0.0], ONE, ONE + 1, epsilon=-1), "epsilon must be .* -1"),
        (lambda b: b.from_parameters([0, 0], ONE, ONE + 1, epsilon=1), "log_weights must have shape"),
        (lambda b: b.from_parameters([0], ONE, [[1.0]], epsilon=1), "covariances must have shape"),
        (lambda b: b.from_parameters([0], ONE, ONE, epsilon=1), "covariances must be positive"),
        (lambda b: b.from_parameters([0], ONE, np.eye(2)[None], epsilon=1), "which are 'full'"),
        (lambda b: b.from_parameters([0], ONE, [[[1, 2], [2, 1]]], epsilon=1), "positive definite"),
        (lambda b: b.from_parameters([0], ONE, [[[1, 2], [0, 1]]], epsilon=1), "symmetric"),
        (lambda b: gaussian_entropic_map([0], [[1]], [0, 0], np.eye(2), 1), "m0 and m1"),
        (lambda b: gaussian_entropic_map([0], [[1]], [0], np.eye(2), 1), "C1 must have shape"),
        (lambda b: gaussian_entropic_map([0], [[-1]], [0], [[1]], 1), "C0 must be positive semi"),
        (lambda b: gaussian_entropic_map([0, 0], [[1, 1], [0, 1]], [0, 0], np.eye(2), 1), "symmetric"),
        (lambda b: gaussian_entropic_map([0], [[1]], [0], [[1]], np.nan), "epsilon must be .* nan"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(known_bridge("diag"))


# --- with scikit-learn's tools ---


@QUIET
def test_a_search_splits_both_samples_in_a_pipeline():
    X, domain = stacked(*two_samples(200))
    bridge = LightSchrodingerBridge(random_state=0, max_iter=30)
    with config_context(enable_metadata_routing=True):
        bridge.set_fit_request(sample_domain=True).set_score_request(sample_domain=True)
        search = GridSearchCV(
            make_pipeline(StandardScaler(), bridge),
            {"lightschrodingerbridge__n_components": [1, 3]},
            cv=StratifiedKFold(3), error_score="raise",
        )  # fmt: skip
        search.fit(X, domain, sample_domain=domain)
    assert list(search.best_params_.values()) == [3]
    assert search.best_estimator_.transform(X).shape == X.shape


def test_a_classifier_learns_from_rows_that_a_bridge_moved(rng):
    y, X = np.arange(200) % 2, rng.normal(size=(200, 2))
    X += 4 * y[:, None] * [1, 0]
    shifted, domain = X + [3, -3], np.repeat([1, -1], 200)
    bridge = LightSchrodingerBridge(2, covariance_type="full", random_state=0, tol=1e-3)
    model = TransportedEstimator(LogisticRegression(), mapper=bridge)
    model.fit(np.vstack([X, shifted]), np.r_[y, 0 * y], sample_domain=domain)
    assert model.score(shifted, y) > 0.95
