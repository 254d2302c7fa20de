"""NaiveBayesProbe against closed forms, other estimators and the likelihood itself."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import log_softmax, logsumexp
from scipy.stats import norm
from sklearn.datasets import load_digits, load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import NearestCentroid

from minimalml.linear_model import NaiveBayesProbe

SEEDS = st.integers(0, 2**32 - 1)
VARIANTS = st.sampled_from(["shared", "per_class", "spherical"])


def toy(seed, n_samples=40, n_features=4, n_classes=3):
    """Rows of classes that overlap; every class has at least two."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_samples) % n_classes
    X = rng.normal(size=(n_samples, n_features)) * rng.uniform(0.5, 3, n_features)
    return X + y[:, None] * rng.normal(size=n_features), y


def log_likelihood(X, y, theta, var, prior):
    densities = norm.logpdf(X, theta[y], np.sqrt(var)).sum(axis=1)
    return (densities + np.log(prior[y])).sum()


def test_per_class_is_gaussian_naive_bayes():
    X, y = load_digits(return_X_y=True)
    probe = NaiveBayesProbe(variance="per_class").fit(X, y)
    peer = GaussianNB().fit(X, y)
    np.testing.assert_allclose(probe.theta_, peer.theta_, rtol=1e-12)
    np.testing.assert_allclose(probe.var_, peer.var_, rtol=1e-10)
    assert not hasattr(probe, "coef_")


def test_per_class_probabilities_are_those_of_gaussian_naive_bayes():
    X, y = load_iris(return_X_y=True)
    np.testing.assert_allclose(
        NaiveBayesProbe(variance="per_class").fit(X, y).predict_proba(X),
        GaussianNB().fit(X, y).predict_proba(X),
        rtol=1e-10,
    )


def test_one_feature_is_linear_discriminant_analysis():
    X, y = load_iris(return_X_y=True)
    peer = LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True)
    peer.fit(X[:, :1], y)
    probe = NaiveBayesProbe(var_smoothing=0).fit(X[:, :1], y)
    np.testing.assert_allclose(
        probe.predict_proba(X[:, :1]), peer.predict_proba(X[:, :1]), rtol=1e-9
    )


def test_spherical_with_equal_priors_is_the_nearest_class_mean():
    X, y = toy(0)
    probe = NaiveBayesProbe(variance="spherical", priors="uniform").fit(X, y)
    np.testing.assert_array_equal(
        probe.predict(X), NearestCentroid().fit(X, y).predict(X)
    )
    assert np.ptp(probe.var_) == 0


@given(SEEDS)
def test_full_shrinkage_is_the_nearest_weighted_mean_with_one_pooled_variance(seed):
    X, y = toy(seed)
    weights = np.random.default_rng(seed).uniform(0.1, 2, size=40)
    options = {"var_smoothing": 0}
    shrunk = NaiveBayesProbe(shrinkage=1.0, **options).fit(X, y, weights)
    spherical = NaiveBayesProbe(variance="spherical", **options).fit(X, y, weights)
    means = np.array(
        [np.average(X[y == k], axis=0, weights=weights[y == k]) for k in range(3)]
    )
    variance = np.average(((X - means[y]) ** 2).mean(axis=1), weights=weights)
    prior = np.bincount(y, weights) / weights.sum()
    distances = ((X[:, None] - means) ** 2).sum(axis=2)
    expected = log_softmax(np.log(prior) - distances / (2 * variance), axis=1)
    for probe in (shrunk, spherical):
        np.testing.assert_allclose(probe.var_, variance, rtol=1e-10)
        np.testing.assert_allclose(
            probe.predict_log_proba(X), expected, rtol=1e-8, atol=1e-9
        )


def test_one_sample_a_class_is_the_nearest_mean_in_an_isotropic_metric():
    X, y = np.array([[0.0, 5.0], [1.0, -5.0], [9.0, 0.0]]), np.arange(3)
    probe = NaiveBayesProbe().fit(X, y)
    assert probe.var_.tolist() == [probe.epsilon_] * 2
    assert probe.epsilon_ == pytest.approx(1e-9 * X.var(axis=0).max())
    assert probe.predict([[0.6, 4.0], [8.0, 3.0]]).tolist() == [0, 2]


@given(SEEDS, VARIANTS, st.sampled_from([2, 3]))
def test_decision_is_the_joint_log_likelihood_but_for_a_term_of_the_row(
    seed, variance, n_classes
):
    X, y = toy(seed, n_classes=n_classes)
    probe = NaiveBayesProbe(variance=variance).fit(X, y)
    joint = probe.joint_log_likelihood(X)
    posterior = joint - logsumexp(joint, axis=1, keepdims=True)
    np.testing.assert_allclose(
        probe.predict_log_proba(X), posterior, rtol=1e-8, atol=1e-8
    )
    if n_classes == 3 and variance != "per_class":
        rest = probe.decision_function(X) - joint
        np.testing.assert_allclose(rest, rest[:, :1].repeat(3, 1), rtol=1e-8, atol=1e-8)


@given(SEEDS, VARIANTS)
def test_joint_log_likelihood_is_the_sum_of_normal_densities(seed, variance):
    X, y = toy(seed)
    probe = NaiveBayesProbe(variance=variance).fit(X, y)
    var = np.broadcast_to(probe.var_, probe.theta_.shape)
    expected = np.log(probe.class_prior_) + np.stack(
        [
            norm.logpdf(X, probe.theta_[k], np.sqrt(var[k])).sum(axis=1)
            for k in range(3)
        ],
        axis=1,
    )
    np.testing.assert_allclose(probe.joint_log_likelihood(X), expected, rtol=1e-9)


@given(SEEDS, st.sampled_from(["shared", "per_class"]))
def test_scaling_and_shifting_features_changes_nothing(seed, variance):
    X, y = toy(seed)
    rng = np.random.default_rng(seed)
    scale = rng.choice([-1, 1], 4) * 10 ** rng.uniform(-3, 3, 4)
    moved = X * scale + rng.normal(scale=100, size=4) * scale
    probe = NaiveBayesProbe(variance=variance, var_smoothing=0)
    expected = probe.fit(X, y).predict_proba(X)
    np.testing.assert_allclose(
        probe.fit(moved, y).predict_proba(moved), expected, rtol=1e-8, atol=1e-8
    )


@given(SEEDS, st.lists(st.integers(0, 40), max_size=8), st.sampled_from([0.0, 1e8]))
def test_any_batches_in_any_order_give_the_fit_of_all(seed, cuts, offset):
    X, y = toy(seed)
    rng = np.random.default_rng(seed)
    X, order = X + offset, rng.permutation(40)
    batches = [part for part in np.split(order, sorted(cuts)) if len(part)]
    probe = NaiveBayesProbe()
    for batch in batches:
        probe.partial_fit(X[batch], y[batch], classes=[0, 1, 2])
    whole = NaiveBayesProbe().fit(X, y)
    np.testing.assert_allclose(probe.theta_, whole.theta_, rtol=1e-10)
    np.testing.assert_allclose(
        probe.sufficient_statistics().scatter,
        whole.sufficient_statistics().scatter,
        rtol=1e-9,
    )
    np.testing.assert_allclose(probe.coef_, whole.coef_, rtol=1e-7, atol=1e-9)
    assert probe.n_samples_seen_ == 40


@given(SEEDS, VARIANTS)
def test_integer_weights_repeat_rows_and_zero_removes_them(seed, variance):
    X, y = toy(seed)
    weights = np.random.default_rng(seed).integers(0, 3, size=40)
    assume(all(weights[y == k].sum() >= 2 for k in range(3)))
    weighted = NaiveBayesProbe(variance=variance).fit(X, y, sample_weight=weights)
    repeated = NaiveBayesProbe(variance=variance).fit(
        X.repeat(weights, axis=0), y.repeat(weights)
    )
    np.testing.assert_allclose(weighted.var_, repeated.var_, rtol=1e-9)
    np.testing.assert_allclose(
        weighted.predict_log_proba(X),
        repeated.predict_log_proba(X),
        rtol=1e-7,
        atol=1e-9,
    )


@given(SEEDS)
def test_relabelling_and_reordering_features_permute_the_result(seed):
    X, y = toy(seed)
    rng = np.random.default_rng(seed)
    label, feature = rng.permutation(3), rng.permutation(4)
    plain = NaiveBayesProbe().fit(X, y)
    moved = NaiveBayesProbe().fit(X[:, feature], label[y])
    np.testing.assert_allclose(
        moved.coef_[label], plain.coef_[:, feature], rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(
        moved.predict_proba(X[:, feature])[:, label], plain.predict_proba(X), rtol=1e-8
    )


@given(SEEDS, st.floats(-0.1, 0.1), st.floats(-0.1, 0.1))
def test_no_other_parameters_make_the_data_more_likely(seed, move_mean, move_var):
    X, y = toy(seed)
    probe = NaiveBayesProbe(var_smoothing=0).fit(X, y)
    rng = np.random.default_rng(seed)
    theta = probe.theta_ + move_mean * rng.normal(size=probe.theta_.shape)
    var = probe.var_ * np.exp(move_var * rng.normal(size=4))
    best = log_likelihood(X, y, probe.theta_, probe.var_, probe.class_prior_)
    assert log_likelihood(X, y, theta, var, probe.class_prior_) <= best + 1e-9


def test_automatic_shrinkage_follows_its_formula():
    X, y = toy(3, n_features=6)
    probe = NaiveBayesProbe(shrinkage="auto", var_smoothing=0).fit(X, y)
    v = sum(((X[y == k] - X[y == k].mean(0)) ** 2).sum(0) for k in range(3)) / 40
    share = min(1, (2 * v**2 / 37).sum() / ((v - v.mean()) ** 2).sum())
    assert 0 < share < 1
    np.testing.assert_allclose(probe.var_, (1 - share) * v + share * v.mean())


def test_automatic_shrinkage_is_full_where_variances_are_equal_or_unknown():
    X, y = np.array([[0.0, 0.0], [2.0, 2.0], [5.0, 5.0], [7.0, 7.0]]), [0, 0, 1, 1]
    equal = NaiveBayesProbe(shrinkage="auto", var_smoothing=0).fit(X, y)
    assert equal.var_.tolist() == [1.0, 1.0]
    single = NaiveBayesProbe(shrinkage="auto").fit(X[:2], [0, 1])
    assert single.var_.tolist() == [single.epsilon_] * 2


@pytest.mark.parametrize(("variance", "divisor"), [("shared", 37), ("per_class", None)])
def test_pooled_divides_by_what_is_left_after_the_means(variance, divisor):
    X, y = toy(4)
    ml, pooled = (
        NaiveBayesProbe(variance=variance, ddof=d, var_smoothing=0).fit(X, y).var_
        for d in ("ml", "pooled")
    )
    counts = np.bincount(y)[:, None]
    ratio = 40 / divisor if divisor else counts / (counts - 1)
    np.testing.assert_allclose(pooled, ml * ratio)


def test_smoothing_is_added_once_relative_or_as_it_is():
    X, y = toy(5)
    bare = NaiveBayesProbe(var_smoothing=0).fit(X, y)
    absolute = NaiveBayesProbe(var_smoothing=0.5, smoothing="absolute").fit(X, y)
    relative = NaiveBayesProbe(var_smoothing=0.5)
    for half in (slice(0, 20), slice(20, 40)):
        relative.partial_fit(X[half], y[half], classes=[0, 1, 2])
    np.testing.assert_allclose(absolute.var_, bare.var_ + 0.5)
    np.testing.assert_allclose(relative.var_, bare.var_ + 0.5 * X.var(axis=0).max())


def test_priors_move_the_intercepts_alone():
    X, y = toy(6)
    given_priors = NaiveBayesProbe(priors=[0.2, 0.3, 0.5]).fit(X, y)
    uniform = NaiveBayesProbe(priors="uniform").fit(X, y)
    difference = given_priors.predict_log_proba(X) - uniform.predict_log_proba(X)
    difference -= difference[:, :1]
    np.testing.assert_allclose(
        difference, np.log([[1.0, 1.5, 2.5]]).repeat(40, 0), atol=1e-9
    )
    np.testing.assert_allclose(given_priors.class_prior_, [0.2, 0.3, 0.5])


@pytest.mark.parametrize("variance", ["shared", "per_class", "spherical"])
@pytest.mark.parametrize("priors", [None, "uniform", [0.2, 0.3, 0.5]])
def test_a_class_not_seen_yet_has_probability_zero_and_no_nan(variance, priors):
    X, y = toy(7)
    rows = y < 2
    probe = NaiveBayesProbe(variance=variance, priors=priors)
    probe.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    proba = probe.predict_proba(X)
    assert (proba[:, 2] == 0).all() and np.isfinite(proba).all()
    assert (probe.predict_log_proba(X)[:, 2] == -np.inf).all()
    assert (probe.joint_log_likelihood(X)[:, 2] == -np.inf).all()
    assert probe.class_prior_[2] == 0 and 2 not in probe.predict(X)
    if variance != "per_class":
        assert probe.intercept_[2] == -np.inf and not np.isnan(probe.coef_).any()
    probe.partial_fit(X[~rows], y[~rows])
    whole = NaiveBayesProbe(variance=variance, priors=priors).fit(X, y)
    np.testing.assert_allclose(probe.predict_proba(X), whole.predict_proba(X), 1e-8)


@pytest.mark.parametrize("seen", ["no", "yes"])
@pytest.mark.parametrize("variance", ["shared", "per_class"])
def test_one_class_of_two_seen_so_far_is_certain(seen, variance):
    X, _ = toy(8)
    probe = NaiveBayesProbe(variance=variance)
    probe.partial_fit(X, [seen] * 40, classes=["no", "yes"])
    assert set(probe.predict(X)) == {seen}
    np.testing.assert_array_equal(
        probe.predict_proba(X), [[seen == "no", seen == "yes"]] * 40
    )


def test_a_class_whose_weights_are_zero_is_never_predicted():
    X, y = toy(9)
    probe = NaiveBayesProbe().fit(X, y, sample_weight=(y != 1).astype(float))
    assert probe.class_count_[1] == 0 and 1 not in probe.predict(X)


def test_two_classes_follow_scikit_learns_convention():
    X, y = toy(10, n_classes=2)
    probe = NaiveBayesProbe().fit(X, y)
    assert probe.coef_.shape == (1, 4) and probe.intercept_.shape == (1,)
    odds = probe.decision_function(X)
    np.testing.assert_allclose(odds, X @ probe.coef_[0] + probe.intercept_[0])
    np.testing.assert_allclose(probe.predict_proba(X)[:, 1], 1 / (1 + np.exp(-odds)))


def test_the_first_class_wins_a_tie():
    X = np.array([[-1.0], [1.0], [-3.0], [3.0]])
    assert NaiveBayesProbe().fit(X[[0, 1]], ["b", "a"]).predict([[0.0]]) == ["a"]


@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_float32_rows_with_an_offset_keep_their_digits(offset):
    X, y = toy(11)
    X = (X + offset).astype(np.float32)
    probe = NaiveBayesProbe().fit(X, y)
    expected = probe.predict_proba(X.astype(np.float64))
    proba = probe.predict_proba(X)
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba, expected, atol=5e-6)


def test_sparse_rows_give_the_dense_result():
    X, y = load_digits(return_X_y=True)
    for variance in ("shared", "per_class"):
        dense = NaiveBayesProbe(variance=variance, var_smoothing=1e-3).fit(X, y)
        csr = NaiveBayesProbe(variance=variance, var_smoothing=1e-3)
        csr.fit(sparse.csr_array(X), y)
        np.testing.assert_allclose(
            csr.joint_log_likelihood(sparse.csc_array(X)), dense.joint_log_likelihood(X)
        )
        np.testing.assert_allclose(
            csr.predict_proba(sparse.csr_array(X)), dense.predict_proba(X), atol=1e-9
        )


def test_models_are_merged_by_adding_their_statistics():
    X, y = toy(12)
    halves = [NaiveBayesProbe().fit(X[i::2], y[i::2]) for i in (0, 1)]
    stats = sum(half.sufficient_statistics() for half in halves)
    merged = NaiveBayesProbe.from_statistics(stats, shrinkage=0.3)
    whole = NaiveBayesProbe(shrinkage=0.3).fit(X, y)
    np.testing.assert_allclose(merged.coef_, whole.coef_, rtol=1e-9, atol=1e-12)
    assert merged.n_samples_seen_ == 40 and merged.n_features_in_ == 4
    again = NaiveBayesProbe.from_statistics(stats.to_dict()).partial_fit(X, y)
    assert again.n_samples_seen_ == 80


def test_statistics_of_each_class_serve_every_variant():
    X, y = toy(13)
    stats = NaiveBayesProbe(variance="per_class").fit(X, y).sufficient_statistics()
    shared = NaiveBayesProbe.from_statistics(stats)
    np.testing.assert_allclose(shared.var_, NaiveBayesProbe().fit(X, y).var_)
