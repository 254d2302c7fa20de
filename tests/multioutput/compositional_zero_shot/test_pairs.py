"""Labels, splits, the over-sampler and the attack."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chisquare

from minimalml.datasets import make_compositions
from minimalml.multioutput import (
    ObjectSimilarityOverSampler,
    PairHoldoutSplit,
    primitive_attack,
    smoothed_pair_targets,
)
from minimalml.multioutput._compositional_zero_shot._pairs import (
    PairLabels,
    candidate_codes,
)

LETTERS = [["a", 1], ["b", 2], ["a", 2]]


def random_pairs(seed, n=60):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.integers(0, 4, n), rng.integers(0, 5, n)])


@given(seed=st.integers(0, 10**6))
def test_holdout_keeps_every_primitive_and_parts_the_rows(seed):
    y = random_pairs(seed)
    split = PairHoldoutSplit(2, unseen_fraction=0.15, random_state=seed)
    for train, test in split.split(y, y):
        assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(y)))
        for column in (0, 1):
            assert set(y[train, column]) == set(y[:, column])
        seen, tested = ({tuple(p) for p in y[part]} for part in (train, test))
        n_pairs = len(np.unique(y, axis=0))
        assert len(tested - seen) == max(1, round(0.15 * n_pairs))
        assert tested & seen


def test_holdout_repeats_and_counts():
    y = random_pairs(0)
    split = PairHoldoutSplit(3, random_state=1)
    assert split.get_n_splits() == 3
    for (a, b), (c, d) in zip(split.split(y, y), split.split(y, y), strict=True):
        assert_array_equal(a, c)
        assert_array_equal(b, d)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_splits": 0}, r"'n_splits' .* \[1, inf\). Got 0 instead"),
        ({"n_splits": 2.5}, r"'n_splits' .* must be an int .* Got 2.5 instead"),
        ({"unseen_fraction": 1.0}, r"'unseen_fraction' .* \(0.0, 1.0\). Got 1.0"),
        ({"unseen_fraction": -0.1}, r"'unseen_fraction' .* Got -0.1 instead"),
        ({"unseen_fraction": 0.9}, "each other pair is the last of its attribute"),
    ],
)
def test_impossible_holdouts_are_named(parameters, message):
    y = random_pairs(0)
    with pytest.raises(ValueError, match=message):
        list(PairHoldoutSplit(**parameters).split(y, y))


@given(seed=st.integers(0, 10**6), smoothing=st.just(0.0) | st.floats(1e-9, 0.99))
def test_smoothed_targets_are_shares_over_relatives(seed, smoothing):
    pairs = np.unique(random_pairs(seed, 12), axis=0)
    targets = smoothed_pair_targets(pairs, smoothing)
    assert_allclose(targets.sum(axis=1), 1)
    assert_array_equal(targets > 0, (targets > 0).T)
    for p, q in np.argwhere(targets > 0):
        assert p == q or (pairs[p] == pairs[q]).any()


def test_no_smoothing_gives_one_hot_targets():
    assert_array_equal(smoothed_pair_targets([[0, 0], [0, 1], [1, 1]], 0), np.eye(3))


def softmax_over(similarities):
    weights = np.exp(similarities)
    return weights / weights.sum()


def test_sampler_follows_its_law():
    rng = np.random.default_rng(0)
    y = random_pairs(1, 200)
    embeddings = rng.normal(size=(5, 3))
    sampler = ObjectSimilarityOverSampler(similarity_temperature=0.5)
    sampler.fit(y, embeddings)
    weights = rng.random(len(sampler.pairs_))
    drawn = sampler.sample(40_000, weights, random_state=0)
    counts = np.bincount(drawn.pair, minlength=len(weights))
    assert chisquare(counts, weights / weights.sum() * 40_000).pvalue > 1e-4
    pair = counts.argmax()
    attribute, obj = sampler.pairs_[pair]
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    partners = np.unique(y[y[:, 0] == attribute, 1])
    expected = softmax_over(unit[partners] @ unit[obj] / 0.5)
    lent = y[drawn.attribute_rows[drawn.pair == pair], 1]
    counts = (lent[:, None] == partners).sum(axis=0)
    assert chisquare(counts, expected * counts.sum()).pvalue > 1e-4


@given(seed=st.integers(0, 10**6))
def test_sampled_rows_carry_what_was_asked(seed):
    y = random_pairs(seed, 30)
    embeddings = np.random.default_rng(seed).normal(size=(len(np.unique(y[:, 1])), 2))
    sampler = ObjectSimilarityOverSampler().fit(y, embeddings)
    drawn = sampler.sample(50, random_state=seed)
    asked = sampler.pairs_[drawn.pair]
    assert_array_equal(y[drawn.attribute_rows, 0], sampler.attributes_[asked[:, 0]])
    assert_array_equal(y[drawn.object_rows, 1], sampler.objects_[asked[:, 1]])


def letters_sampler():
    return ObjectSimilarityOverSampler().fit(LETTERS, np.eye(2))


def test_a_pair_of_probability_zero_is_never_drawn():
    assert set(letters_sampler().sample(100, [0, 1, 0], random_state=0).pair) == {1}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ObjectSimilarityOverSampler(similarity_temperature=0),
            "similarity_temperature must be > 0, got 0",
        ),
        (
            lambda: ObjectSimilarityOverSampler().fit(LETTERS, [[1.0]]),
            "object_embeddings must have 2 rows",
        ),
        (
            lambda: letters_sampler().sample(1, [1.0]),
            r"pair_probabilities must have shape \(3,\)",
        ),
        (
            lambda: letters_sampler().sample(1, [1, -1, 1]),
            "pair_probabilities must not be negative",
        ),
        (
            lambda: smoothed_pair_targets([[0, 1]], 1.0),
            r"smoothing must be in \[0, 1\)",
        ),
        (lambda: smoothed_pair_targets([0, 1]), r"pairs must have shape \(P, 2\)"),
        (lambda: primitive_attack([[1.0]], [[1.0]], -1), "epsilon must be at least 0"),
        (
            lambda: primitive_attack([[1.0]], [[1.0]], 1, -1),
            "noise_scale must be at least 0",
        ),
        (lambda: primitive_attack([[1.0]], [[1.0, 2.0]], 1), "the same shape"),
        (lambda: PairLabels.read([["a", None]]), "y has a missing label"),
        (lambda: PairLabels.read([["a", 1, 2]]), "y must have 2 columns"),
        (
            lambda: candidate_codes(PairLabels.read(LETTERS), [["c", 1]]),
            "unseen_pairs uses the attribute 'c', which does not occur in training",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_unseen_pairs_that_are_seen_are_warned_of():
    labels = PairLabels.read(LETTERS)
    with pytest.warns(UserWarning, match="1 of unseen_pairs are seen in training"):
        pairs = candidate_codes(labels, [["a", 2], ["b", 1]])
    assert_array_equal(pairs, [[0, 0], [0, 1], [1, 1], [1, 0]])


@given(seed=st.integers(0, 10**6), epsilon=st.floats(0, 2), noise=st.floats(0, 1))
def test_attack_stays_in_its_ball(seed, epsilon, noise):
    rng = np.random.default_rng(seed)
    features, gradient = rng.normal(size=(2, 5, 3))
    moved = primitive_attack(features, gradient, epsilon, noise, random_state=seed)
    assert np.abs(moved - features).max() <= noise + epsilon + 1e-12
    still = primitive_attack(features, gradient, 0.0, 0.0)
    assert_array_equal(still, features)


def test_attack_raises_the_loss_to_first_order(rng):
    features, target = rng.normal(size=(2, 6, 4))

    def loss(f):
        return np.logaddexp.reduce(f * target, axis=1).sum()

    weights = np.exp(features * target)
    gradient = target * weights / weights.sum(axis=1, keepdims=True)
    moved = primitive_attack(features, gradient, 1e-4, 0.0)
    assert loss(moved) > loss(features)


def test_attack_on_tensors_keeps_dtype_and_drops_the_graph():
    torch = pytest.importorskip("torch")
    features = torch.ones(2, 3, dtype=torch.float32, requires_grad=True)
    gradient = torch.tensor([[1.0, -1.0, 0.0]] * 2)
    moved = primitive_attack(features, gradient, 0.5, 0.0)
    assert moved.dtype == torch.float32
    assert not moved.requires_grad
    assert_array_equal(moved, [[1.5, 0.5, 1.0]] * 2)
    noise = primitive_attack(features, gradient, 0, 0.1, random_state=0) - 1
    assert 0 <= noise.min() < noise.max() <= 0.1


def test_generator_shows_every_primitive_and_keeps_unseen_pairs_apart():
    data = make_compositions(random_state=0)
    trained = np.unique(data.y_train, axis=0)
    assert_array_equal(np.unique(data.y_train[:, 0]), np.arange(10))
    assert_array_equal(np.unique(data.y_train[:, 1]), np.arange(14))
    unseen = {tuple(pair) for pair in data.unseen_pairs}
    assert not unseen & {tuple(pair) for pair in trained}
    assert unseen < {tuple(pair) for pair in data.y_test}
