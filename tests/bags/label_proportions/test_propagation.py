"""Beliefs against plain oracles, and what must hold of them whatever the data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning

from minimalml._core.groups import GroupIndex
from minimalml.bags import aggregate_targets, propagate_label_proportions
from minimalml.bags._label_proportions import _propagation
from minimalml.bags._label_proportions._propagation import Propagation
from tests.bags.label_proportions.oracles import (
    bag_messages,
    enumerated_marginals,
    flooded,
    law_of_count,
)

EXACT = {"tol": 1e-12, "max_iter": 5000}


def random_graph(rng, n, density=0.3):
    upper = np.triu(rng.uniform(size=(n, n)) * (rng.uniform(size=(n, n)) < density), 1)
    return upper + upper.T


def problem(seed, n=12, bag_size=4):
    """Rows with noisy priors, in bags that are all mixed."""
    rng = np.random.default_rng(seed)
    bags = np.arange(n) // bag_size
    labels = np.concatenate([rng.permutation([0, 1, *rng.integers(0, 2, bag_size - 2)])
                             for _ in range(n // bag_size)])  # fmt: skip
    prior = 0.5 * rng.normal(size=n)
    return random_graph(rng, n), aggregate_targets(labels, bags), bags, prior


# --- oracles ---


@pytest.mark.kernel
@pytest.mark.parametrize("strength", [np.inf, 0.1, 1.0, 1e4])
@pytest.mark.parametrize("scale", [1.0, 5.0, 30.0])
def test_messages_of_counts_are_those_of_convolution(rng, strength, scale):
    for size in (2, 3, 8, 40):
        odds = (scale * rng.normal(size=size)).clip(-50, 50)
        for count in {1, size // 2, size - 1}:
            expected = odds + bag_messages(odds, count, strength)
            exact = propagate_label_proportions(
                np.zeros((size, size)), [count / size] * size, [0] * size, prior=odds,
                bag_strength=strength, damping=0.0,
            )  # fmt: skip
            np.testing.assert_allclose(exact.log_odds, expected, rtol=0, atol=1e-9)


@pytest.mark.kernel
@pytest.mark.parametrize("count", [1, 20, 500, 999])
@pytest.mark.parametrize("strength", [np.inf, 1.0])
def test_large_bags_and_far_tails(rng, count, strength):
    odds = rng.normal(size=1000) + 1.0
    beliefs = propagate_label_proportions(
        csr_array((1000, 1000)), [count / 1000] * 1000, [0] * 1000, prior=odds,
        bag_strength=strength, damping=0.0,
    )  # fmt: skip
    for row in (0, 500, 999):
        law, s = law_of_count(np.delete(odds, row)), np.arange(1000)
        message = law[count - 1] - law[count]
        if np.isfinite(strength):
            message = logsumexp(law - strength * (s + 1 - count) ** 2)
            message -= logsumexp(law - strength * (s - count) ** 2)
        assert beliefs.log_odds[row] == pytest.approx(odds[row] + message, abs=1e-9)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 9), scale=st.floats(0.1, 20))
def test_forests_are_exact(seed, n, scale):
    rng = np.random.default_rng(seed)
    similarity = np.zeros((n, n))
    for row in range(1, n):
        parent = rng.integers(-1, row)  # -1: a tree of its own
        if parent >= 0:
            similarity[row, parent] = similarity[parent, row] = rng.uniform(0, scale)
    prior = scale * rng.normal(size=n)
    beliefs = propagate_label_proportions(
        similarity, np.full(n, 0.5), prior=prior, bag_strength=0, **EXACT
    )
    expected = enumerated_marginals(similarity, [], None, prior, 1.5, 0.0)
    np.testing.assert_allclose(beliefs.probability, expected, rtol=0, atol=1e-9)


def test_graphs_with_cycles_are_nearly_exact():
    errors = []
    for seed in range(60):
        similarity, y, bags, prior = problem(seed)
        beliefs = propagate_label_proportions(
            similarity, y, bags, prior=prior, similarity_strength=1.0, bag_strength=1.0
        )
        counts = [4 * y[bags == bag][0] for bag in range(3)]
        exact = enumerated_marginals(similarity, counts, bags, prior, 1.0, 1.0)
        errors.append(np.abs(beliefs.probability - exact).mean())
    assert np.mean(errors) <= 0.03


@pytest.mark.kernel
@pytest.mark.parametrize("strength", [np.inf, 0.7])
@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_steps_are_those_of_plain_loops(strength, damping):
    similarity, y, bags, prior = problem(3)
    with pytest.warns(ConvergenceWarning, match="max_iter=7 .* still changes by"):
        beliefs = propagate_label_proportions(
            similarity, y, bags, prior=prior, bag_strength=strength, damping=damping,
            max_iter=7, tol=0.0,
        )  # fmt: skip
    counts = [4 * y[bags == bag][0] for bag in range(3)]
    log_odds, probability, change = flooded(
        similarity, counts, bags, prior, 1.5, strength, damping, n_steps=7
    )
    np.testing.assert_allclose(beliefs.log_odds, log_odds, rtol=0, atol=1e-9)
    np.testing.assert_allclose(beliefs.probability, probability, rtol=0, atol=1e-9)
    assert beliefs.largest_change == pytest.approx(change, abs=1e-9)
    assert (beliefs.n_iter, beliefs.converged) == (7, False)


@pytest.mark.kernel
@pytest.mark.parametrize("strength", [np.inf, 1.0])
def test_threads_and_chunks_change_no_bit(monkeypatch, rng, strength):
    n = 3000
    index = GroupIndex(rng.integers(0, 200, n), n)
    shares = index.mean(rng.uniform(size=n) < 0.3)
    graph = csr_array(random_graph(rng, n, density=0.002))
    results = []
    for n_threads, seconds in [(1, 1.0), (1, 5e-6), (2, 5e-6), (4, 5e-6)]:
        monkeypatch.setattr(_propagation, "CHUNK_SECONDS", seconds)
        monkeypatch.setattr(
            _propagation, "effective_n_threads", lambda *_, n=n_threads: n
        )
        state = Propagation(
            graph, index, shares, similarity_strength=1.5, bag_strength=strength
        )
        changes = [state.step(0.5) for _ in range(5)]
        results.append(np.append(state.log_odds, changes))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


# --- what always holds ---


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20)
def test_converged_beliefs_add_up_to_the_counts(seed):
    similarity, y, bags, prior = problem(seed)
    beliefs = propagate_label_proportions(
        0.3 * similarity, y, bags, prior=prior, tol=1e-8, max_iter=2000
    )
    assert beliefs.converged and beliefs.largest_change < 1e-8
    sums = np.bincount(bags, beliefs.probability)
    np.testing.assert_allclose(sums, np.bincount(bags, y), rtol=0, atol=1e-6)


@given(seed=st.integers(0, 10**6), strength=st.sampled_from([np.inf, 0.5, 3.0]))
@settings(max_examples=20)
def test_flipped_labels_flip_beliefs(seed, strength):
    similarity, y, bags, prior = problem(seed)
    options = {"bag_strength": strength, "similarity_strength": 0.5, "tol": 1e-10}
    one = propagate_label_proportions(similarity, y, bags, prior=prior, **options)
    other = propagate_label_proportions(
        similarity, 1 - y, bags, prior=-prior, **options
    )
    np.testing.assert_allclose(other.log_odds, -one.log_odds, rtol=0, atol=1e-7)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20)
def test_order_of_rows_and_names_of_bags_mean_nothing(seed):
    similarity, y, bags, prior = problem(seed)
    options = {"similarity_strength": 0.5, "tol": 1e-10}
    before = propagate_label_proportions(similarity, y, bags, prior=prior, **options)
    rows = np.random.default_rng(seed).permutation(len(y))
    names = np.array(["zebra", "ant", "mole"])[bags]
    after = propagate_label_proportions(
        similarity[np.ix_(rows, rows)],
        y[rows],
        names[rows],
        prior=prior[rows],
        **options,
    )
    np.testing.assert_allclose(after.log_odds, before.log_odds[rows], rtol=0, atol=1e-7)


def test_bags_that_stand_alone_keep_their_shares():
    similarity, y, bags, _ = problem(0)
    hard = propagate_label_proportions(
        similarity, y, bags, similarity_strength=0.0, tol=1e-8
    )
    np.testing.assert_allclose(hard.probability, y, rtol=0, atol=1e-6)
    soft = propagate_label_proportions(
        similarity, y, bags, similarity_strength=0.0, bag_strength=1.0
    )
    assert np.ptp(soft.probability.reshape(3, 4), axis=1).max() < 1e-12
    assert (np.abs(soft.probability - 0.5) <= np.abs(y - 0.5)).all()


def test_bags_of_one_class_are_known_whatever_else_is_said():
    similarity, y, bags, _ = problem(1)
    y = np.select([bags == 0, bags == 1], [0.0, 1.0], y)
    prior = np.select([bags == 0, bags == 1], [np.inf, -np.inf], 0.0)
    beliefs = propagate_label_proportions(
        similarity, y, bags, prior=prior, similarity_strength=30.0, damping=0.9,
        max_iter=1000,
    )  # fmt: skip
    known = bags < 2
    assert beliefs.log_odds[known].tolist() == [-50.0] * 4 + [50.0] * 4
    np.testing.assert_allclose(beliefs.probability[known], y[known], rtol=0, atol=1e-12)
    alone = propagate_label_proportions(np.zeros((12, 12)), y, bags)
    assert np.abs(beliefs.log_odds - alone.log_odds)[~known].max() > 1.0


def test_known_rows_speak_for_their_bag():
    prior = [np.inf, 0.0, 0.0, -np.inf]
    beliefs = propagate_label_proportions(
        np.zeros((4, 4)), [0.5] * 4, [0] * 4, prior=prior
    )
    np.testing.assert_allclose(beliefs.probability, [1, 0.5, 0.5, 0], atol=1e-3)


@given(seed=st.integers(0, 10**6), strength=st.floats(0, 100))
@settings(max_examples=20)
def test_an_edge_says_no_more_than_its_coupling(seed, strength):
    similarity, y, bags, prior = problem(seed)
    index = GroupIndex(bags, len(bags))
    state = Propagation(
        csr_array(similarity), index, index.first(y), similarity_strength=strength,
        bag_strength=np.inf, prior=10 * prior,
    )  # fmt: skip
    couplings = strength * similarity[state.edges[:, 0], state.edges[:, 1]]
    for _ in range(10):
        state.step(0.0)
        assert (
            np.abs(state.messages) <= couplings[:, None] * (1 + 1e-12) + 1e-15
        ).all()


def test_a_huge_price_is_no_choice():
    similarity, y, bags, prior = problem(5)
    y = np.where(bags == 0, 0.0, y)
    options = {"prior": prior, "similarity_strength": 0.5, "tol": 1e-10}
    hard = propagate_label_proportions(similarity, y, bags, **options)
    soft = propagate_label_proportions(similarity, y, bags, bag_strength=1e4, **options)
    np.testing.assert_allclose(soft.probability, hard.probability, rtol=0, atol=1e-6)
    mixed = bags > 0
    np.testing.assert_allclose(
        soft.log_odds[mixed], hard.log_odds[mixed], rtol=0, atol=1e-6
    )
    assert (soft.log_odds[~mixed] < -9e3).all()
    broken = propagate_label_proportions(
        similarity, np.full(12, 0.6), bags, bag_strength=1e4, **options
    )
    assert np.isfinite(broken.log_odds).all()


def test_damping_does_not_move_where_it_ends():
    similarity, y, bags, prior = problem(7)
    ends = [
        propagate_label_proportions(
            similarity, y, bags, prior=prior, damping=damping, tol=1e-10,
            similarity_strength=0.5, max_iter=5000,
        ).log_odds
        for damping in (0.1, 0.5, 0.9)
    ]  # fmt: skip
    np.testing.assert_allclose(ends[1], ends[0], rtol=0, atol=1e-7)
    np.testing.assert_allclose(ends[2], ends[0], rtol=0, atol=1e-7)


# --- input ---


def test_only_the_upper_triangle_counts_and_read_only_input_works():
    similarity, y, bags, prior = problem(2)
    expected = propagate_label_proportions(similarity, y, bags, prior=prior)
    sparse = csr_array(similarity + np.diag(np.arange(12.0)))
    for array in (sparse.data, y, prior):
        array.flags.writeable = False
    for given_as in (sparse, sparse.tocsc(), sparse.tocoo()):
        found = propagate_label_proportions(given_as, y[:, None], bags, prior=prior)
        np.testing.assert_array_equal(found.log_odds, expected.log_odds)


def test_counts_that_are_no_whole_numbers_are_named_and_rounded():
    bags, y = [7, 7, 7, 9, 9], [0.4, 0.4, 0.4, 0.5, 0.5]
    with pytest.warns(UserWarning, match=r"bag 7 has a count of 1\.2"):
        beliefs = propagate_label_proportions(np.zeros((5, 5)), y, bags, tol=1e-9)
    np.testing.assert_allclose(beliefs.probability, [1 / 3] * 3 + [0.5] * 2, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"similarity": -np.eye(4)[::-1]}, "similarity must be at least 0, got -1"),
        ({"similarity": np.eye(4, k=1)}, "similarity must be symmetric"),
        ({"similarity": np.eye(5)}, r"similarity must have shape \(4, 4\)"),
        ({"similarity": np.zeros((4, 3))}, r"similarity must have shape \(4, 4\)"),
        ({"similarity": np.full((4, 4), np.nan)}, "similarity contains NaN"),
        ({"y": [0.5, 0.5, 1.5, 1.5]}, r"\[0, 1\], got 1.5"),
        ({"y": [0.5, 0.5, 0.5, 1.0]}, "bag 1 has 0.5 and 1.0"),
        ({"y": ["no", "no", "yes", "yes"]}, "y == positive"),
        ({"bags": [0, 0, 1]}, "bags has 3 ids but X has 4 rows"),
        ({"prior": [0.0, 1.0]}, "prior must hold a number for each of 4 rows, got 2"),
        ({"prior": [0.0, 1.0, np.nan, 0]}, "1 of them NaN"),
        ({"similarity_strength": -1.0}, "'similarity_strength' parameter"),
        ({"similarity_strength": np.inf}, "'similarity_strength' parameter"),
        ({"bag_strength": np.nan}, "'bag_strength' parameter"),
        ({"damping": 1.0}, "'damping' parameter"),
        ({"max_iter": 0}, "'max_iter' parameter"),
        ({"tol": -1e-3}, "'tol' parameter"),
    ],
)
def test_what_cannot_be_propagated_is_named(options, message):
    arguments = {"similarity": np.zeros((4, 4)), "y": [0.5] * 4, "bags": [0, 0, 1, 1]}
    with pytest.raises(ValueError, match=message):
        propagate_label_proportions(**arguments | options)
