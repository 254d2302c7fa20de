"""Experts as stacks of arrays: alignment, groups, merges, decompositions."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import svd
from sklearn.metrics.pairwise import cosine_similarity

from minimalml.compression import (
    ExpertWeights,
    align_experts,
    allocate_groups,
    decompose_weight,
    expert_similarity,
    group_experts,
    merge_experts,
    row_masks,
    stable_rank,
)

ROUNDING = 1e-10  # of sums of some dozens of numbers about 1
frequencies = arrays(float, 6, elements=st.floats(0, 1))
matrices = arrays(float, (5, 4), elements=st.floats(-10, 10).map(lambda x: round(x, 3)))


def experts_of(rng, n_experts=3, n_hidden=6, n_in=4, dtype=float):
    """Draw experts with biases, as those of the library's mixture."""

    def draw(*shape):
        return rng.normal(size=(n_experts, *shape)).astype(dtype)

    inputs = (draw(n_hidden, n_in), draw(n_hidden))
    return ExpertWeights(inputs, (draw(n_in, n_hidden),), (draw(n_in),))


def permuted(experts, orders):
    """Reorder the hidden units of each expert."""
    w_in, b_in = (
        np.stack([one[list(order)] for one, order in zip(stack, orders, strict=True)])
        for stack in experts.hidden_in
    )
    pairs = zip(experts.hidden_out[0], orders, strict=True)
    w_out = np.stack([one[:, list(order)] for one, order in pairs])
    return ExpertWeights((w_in, b_in), (w_out,), experts.shared)


def repeated(experts, n_experts, noise=0.0, rng=None):
    """Repeat the first expert, with noise on all but the first copy."""

    def repeat(stack, axis):
        copies = np.repeat(stack[:1], n_experts, axis=0)
        if noise:
            copies[1:] += noise * rng.normal(size=copies[1:].shape)
        return copies

    return experts._map(repeat)


def output(experts, expert, z):
    """Compute one expert by its formula."""
    (w_in, b_in), (w_out,) = experts.hidden_in, experts.hidden_out
    hidden = np.maximum(z @ w_in[expert].T + b_in[expert], 0)
    return hidden @ w_out[expert].T + experts.shared[0][expert]


def assert_equal_stacks(first, second, **options):
    for kind in ("hidden_in", "hidden_out", "shared"):
        pairs = zip(getattr(first, kind), getattr(second, kind), strict=True)
        for a, b in pairs:
            np.testing.assert_allclose(a, b, **options)


# --- alignment ---


def distance(experts, first, second):
    stacks = (*experts.hidden_in, *experts.hidden_out)
    return sum(((stack[first] - stack[second]) ** 2).sum() for stack in stacks)


@given(seed=st.integers(0, 999))
def test_no_order_of_units_is_closer_than_the_alignment(seed):
    experts = experts_of(np.random.default_rng(seed), n_experts=2)
    aligned, orders = align_experts(experts)
    best = min(
        distance(permuted(experts, [range(6), order]), 0, 1)
        for order in permutations(range(6))
    )
    assert distance(aligned, 0, 1) == pytest.approx(best)
    assert_equal_stacks(aligned, permuted(experts, orders))


def test_a_planted_order_of_forty_units_is_undone(rng):
    copies = repeated(experts_of(rng, n_hidden=40, n_in=8), 4, noise=0.05, rng=rng)
    orders = [rng.permutation(40) for _ in range(4)]
    found = align_experts(permuted(copies, orders), reference=2)[1]
    for order, undone in zip(orders, found, strict=True):
        np.testing.assert_array_equal(order[undone], orders[2])


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [
        (np.float64, 1e-200),
        (np.float64, 1e200),
        (np.float32, 1e-30),
        (np.float32, 1e30),
    ],
)
def test_units_of_any_size_are_aligned_alike(rng, dtype, scale):
    experts = experts_of(rng, n_hidden=10, dtype=dtype)
    scaled = experts._map(lambda stack, axis: stack * dtype(scale))
    np.testing.assert_array_equal(align_experts(scaled)[1], align_experts(experts)[1])
    assert np.isfinite(merge_experts(scaled, [0, 0, 0]).hidden_in[0]).all()


def test_alignment_changes_no_function(rng):
    experts, z = experts_of(rng), rng.normal(size=(20, 4))
    aligned = align_experts(experts, reference=[1, 2, 0])[0]
    for expert in range(3):
        expected = output(experts, expert, z)
        np.testing.assert_allclose(output(aligned, expert, z), expected, atol=ROUNDING)


def test_gated_experts_are_aligned_by_all_that_leads_in_and_out(rng):
    gates, inputs, outputs = rng.normal(size=(3, 2, 7, 7))
    order = rng.permutation(7)
    for stack in (gates, inputs):
        stack[1] = stack[0][order]
    outputs[1] = outputs[0][:, order]
    merged = merge_experts(ExpertWeights((gates, inputs), (outputs,)), [0, 0])
    for found, stack in zip(
        (*merged.hidden_in, *merged.hidden_out), (gates, inputs, outputs), strict=True
    ):
        np.testing.assert_allclose(found[0], stack[0])


# --- merging ---


def test_experts_that_differ_in_order_merge_into_one_of_them(rng):
    copies = repeated(experts_of(rng, n_hidden=12), 5)
    shuffled = permuted(copies, [rng.permutation(12) for _ in range(5)])
    merged = merge_experts(shuffled, [0, 1, 0, 1, 0], frequency=[3, 1, 2, 1, 0])
    z = rng.normal(size=(20, 4))
    for group in range(2):
        expected = output(copies, 0, z)
        np.testing.assert_allclose(output(merged, group, z), expected, atol=ROUNDING)


def test_without_alignment_a_merge_is_the_weighted_mean(rng):
    experts = experts_of(rng, n_experts=4)
    labels, weights = np.array([1, 0, 1, 1]), np.array([0.1, 0.7, 0.3, 0.6])
    equal = np.ones(4)
    for frequency, shares in ((None, equal), (weights, weights), (0 * weights, equal)):

        def mean(stack, axis, shares=shares):
            groups = [labels == group for group in range(2)]
            return np.stack([np.average(stack[g], 0, shares[g]) for g in groups])

        merged = merge_experts(experts, labels, frequency=frequency, align=False)
        assert_equal_stacks(merged, experts._map(mean), atol=ROUNDING)


def test_members_are_aligned_to_the_dominant_expert_of_their_group(rng):
    experts = experts_of(rng, n_experts=3)
    by_frequency = merge_experts(experts, [0, 0, 0], frequency=[1, 3, 2])
    named = merge_experts(experts, [0, 0, 0], frequency=[1, 3, 2], dominant=[1])
    other = merge_experts(experts, [0, 0, 0], frequency=[1, 3, 2], dominant=[0])
    assert_equal_stacks(by_frequency, named)
    aligned = align_experts(experts, reference=1)[0]
    expected = np.average(aligned.hidden_in[0], axis=0, weights=[1, 3, 2])
    np.testing.assert_allclose(named.hidden_in[0][0], expected)
    assert not np.allclose(other.hidden_in[0], named.hidden_in[0])


def test_float32_stays_and_inputs_are_left_alone(rng):
    experts = experts_of(rng, dtype=np.float32)
    before = [stack.copy() for stack in experts.hidden_in]
    for result in (merge_experts(experts, [0, 1, 0]), align_experts(experts)[0]):
        assert {s.dtype.name for s in (*result.hidden_in, *result.shared)} == {
            "float32"
        }
    alone = merge_experts(experts, [0, 1, 0]).hidden_in[0][1]
    np.testing.assert_array_equal(alone, experts.hidden_in[0][1])
    np.testing.assert_array_equal(before[0], experts.hidden_in[0])
    assert decompose_weight(before[0][0], 1, 0.5).sparse_rows.dtype == np.float32


# --- groups ---


def test_similarity_is_that_of_cosines(rng):
    logits = rng.normal(size=(30, 5)) + 1
    expected = (1 + cosine_similarity(logits.T)) / 2
    np.testing.assert_allclose(expert_similarity(logits), expected, atol=ROUNDING)
    scaled = logits * [1e-200, 1, 1e200, 1e-300, 5]
    np.testing.assert_allclose(expert_similarity(scaled), expected, atol=ROUNDING)
    logits[:, 2] = 0
    similarity = expert_similarity(logits)
    assert similarity[2, 2] == 1 and (similarity[2, [0, 1, 3, 4]] == 0.5).all()


@given(frequency=frequencies, seed=st.integers(0, 99), n_groups=st.integers(1, 6))
def test_groups_are_those_of_a_loop(frequency, seed, n_groups):
    similarity = expert_similarity(np.random.default_rng(seed).normal(size=(9, 6)))
    labels, dominant = group_experts(frequency, similarity, n_groups)
    ranked = sorted(range(6), key=lambda e: (-frequency[e], e))
    assert dominant.tolist() == ranked[:n_groups]
    for expert in range(6):
        nearest = max(
            range(n_groups), key=lambda g: (similarity[expert, ranked[g]], -g)
        )
        is_dominant = expert in ranked[:n_groups]
        assert labels[expert] == (ranked.index(expert) if is_dominant else nearest)


@given(seed=st.integers(0, 999), n_groups=st.integers(1, 6))
def test_other_numbers_for_experts_give_the_same_groups(seed, n_groups):
    rng = np.random.default_rng(seed)
    logits, frequency, order = (
        rng.normal(size=(9, 6)),
        rng.random(6),
        rng.permutation(6),
    )
    similarity = expert_similarity(logits)
    np.testing.assert_allclose(
        expert_similarity(logits[:, order]), similarity[np.ix_(order, order)]
    )
    labels, dominant = group_experts(frequency, similarity, n_groups)
    moved = group_experts(frequency[order], similarity[np.ix_(order, order)], n_groups)
    np.testing.assert_array_equal(moved[0], labels[order])
    np.testing.assert_array_equal(order[moved[1]], dominant)


@given(layers=st.lists(frequencies, min_size=1, max_size=4), data=st.data())
def test_groups_are_shared_out_in_full_and_monotonely(layers, data):
    n_groups = data.draw(st.integers(len(layers), 6 * len(layers) - 1))
    fewer, more = (allocate_groups(layers, n) for n in (n_groups, n_groups + 1))
    assert fewer.sum() == n_groups and (fewer >= 1).all() and (fewer <= 6).all()
    assert (more >= fewer).all()
    cut = [np.sort(f)[::-1][n - 1] for f, n in zip(layers, fewer, strict=True) if n > 1]
    left = [np.sort(f)[::-1][n] for f, n in zip(layers, fewer, strict=True) if n < 6]
    assert not cut or max(left) <= min(cut)


# --- decomposition ---


@given(weight=matrices, rank=st.integers(1, 4), keep=st.floats(0, 1))
@pytest.mark.filterwarnings("ignore:rank=")
def test_a_decomposition_is_low_rank_and_the_worst_rows(weight, rank, keep):
    left, right, rows, sparse_rows = decompose_weight(weight, rank, keep)
    U, s, Vt = svd(weight, full_matrices=False)
    low_rank = (U[:, :rank] * s[:rank]) @ Vt[:rank]
    np.testing.assert_allclose(left @ right, low_rank, atol=1e-8)
    np.testing.assert_allclose(left.T @ left, right @ right.T, atol=1e-8)
    assert len(rows) == np.ceil(keep * 5 - 1e-9) and (np.diff(rows) > 0).all()
    rest = np.abs(weight - left @ right).mean(axis=1)
    others = np.setdiff1d(np.arange(5), rows)
    assert not len(rows) or rest[others].max(initial=0) <= rest[rows].min()
    np.testing.assert_allclose((left @ right)[rows] + sparse_rows, weight[rows], atol=ROUNDING)  # fmt: skip


def test_all_rows_give_the_matrix_back_and_none_its_low_rank(rng):
    weight = rng.normal(size=(32, 32))
    left, right, rows, sparse_rows = decompose_weight(weight, 4, 1.0)
    assert rows.tolist() == list(range(32))
    np.testing.assert_allclose(left @ right + sparse_rows, weight, atol=ROUNDING)
    assert decompose_weight(weight, 4).sparse_rows.shape == (0, 32)
    zeros = decompose_weight(np.zeros((4, 6)), 1, 0.5)
    assert not zeros.left.any() and not zeros.right.any()


@given(
    importances=st.lists(matrices, min_size=1, max_size=3),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_row_masks_are_nested_and_within_their_share(importances, shares):
    few, many = (np.concatenate(row_masks(importances, s)) for s in sorted(shares))
    assert not (few & ~many).any()
    scores = np.concatenate([m.mean(axis=1) for m in importances])
    for kept, share in ((few, min(shares)), (many, max(shares))):
        assert 4 * kept.sum() <= share * 4 * len(scores) + 1e-6
        assert 4 * (kept.sum() + 1) > share * 4 * len(scores)
        assert (
            not kept.any() or scores[~kept].max(initial=-np.inf) <= scores[kept].min()
        )


def test_rows_of_several_lengths_are_cut_by_entries():
    masks = row_masks([[[9.0] * 6, [7.0] * 6], [[8.0] * 3, [1.0] * 3]], 0.5)
    assert [mask.tolist() for mask in masks] == [[True, False], [True, False]]
    assert sum(map(np.sum, row_masks([np.ones((100, 1))], 0.29))) == 29


def test_stable_rank_is_that_of_singular_values(rng):
    weight = rng.normal(size=(6, 4))
    s = np.linalg.svd(weight)[1]
    for scale in (1e-250, 1.0, 1e250):
        assert stable_rank(weight * scale) == pytest.approx((s**2).sum() / s[0] ** 2)
    assert stable_rank(np.zeros((3, 2))) == 0
    assert stable_rank(np.outer([1, 2], [3, 4, 5])) == pytest.approx(1)


# --- what is refused ---

ONES = np.ones((2, 3, 4))
TWO = ExpertWeights((ONES,), ())


@pytest.mark.parametrize(
    ("stacks", "error", "words"),
    [
        (((), ()), ValueError, "empty: give at least one"),
        (((ONES, np.ones((3, 3))), ()), ValueError, "has 3 experts of 3 hidden units"),
        (((ONES,), (np.ones((2, 4, 5)),)), ValueError, r"hidden_out\[0\] has 2 .* of 5"),
        (((ONES,), (), (np.ones(5),)), ValueError, r"shared\[0\] has 5 experts"),
        (((np.ones(2),), ()), ValueError, "at least 2 axes"),
        (((np.ones((2, 0)),), ()), ValueError, "none empty"),
        (((ONES * np.nan,), ()), ValueError, "NaN or infinity"),
        (((ONES.astype(int),), ()), TypeError, "floats, got int64"),
        (((ONES.tolist(),), ()), TypeError, "NumPy array of floats, got list"),
    ],
)  # fmt: skip
def test_stacks_that_do_not_fit_are_refused(stacks, error, words):
    with pytest.raises(error, match=words):
        ExpertWeights(*stacks)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: align_experts(ONES), TypeError, "experts must be ExpertWeights"),
        (lambda: align_experts(TWO, reference=2), ValueError, "from 0 to 1, .* got 2"),
        (lambda: align_experts(TWO, reference=[0]), ValueError, r"each of the 2, got \[0\]"),
        (lambda: align_experts(TWO, reference=0.5), ValueError, "got 0.5"),
        (lambda: merge_experts(TWO, [0, 2]), ValueError, r"without gaps, got \[0, 2\]"),
        (lambda: merge_experts(TWO, [0]), ValueError, "labels must be 2 integers"),
        (lambda: merge_experts(TWO, [0, 0], frequency=[1, -1]), ValueError, "not negative"),
        (lambda: merge_experts(TWO, [0, 0], frequency=[1, np.inf]), ValueError, "finite"),
        (lambda: merge_experts(TWO, [0, 0], frequency=[1]), ValueError, r"shape \(2,\)"),
        (lambda: merge_experts(TWO, [0, 1], dominant=[1, 1]), ValueError, r"of the 2 groups .* got \[1, 1\]"),
        (lambda: merge_experts(TWO, [0, 1], dominant=[0, 7]), ValueError, r"got \[0, 7\]"),
        (lambda: merge_experts(TWO, [0, 1], dominant=[0]), ValueError, r"got \[0\]"),
        (lambda: expert_similarity([[np.nan]]), ValueError, "logits contains NaN"),
        (lambda: group_experts([1, 2], np.eye(2), 3), ValueError, "between 1 and 2, got 3"),
        (lambda: group_experts([1, 2], np.eye(2), 1.5), TypeError, "n_groups must be an int"),
        (lambda: group_experts([1], np.eye(2), 1), ValueError, r"frequency must have shape \(2,\)"),
        (lambda: group_experts([1, 2], np.ones((2, 3)), 1), ValueError, "must be square"),
        (lambda: allocate_groups([[1, 2], [1]], 1), ValueError, "between 2 and 3, got 1"),
        (lambda: allocate_groups([[1, 2], [-1]], 2), ValueError, r"frequencies\[1\] .* negative"),
        (lambda: allocate_groups([], 2), ValueError, "at least one layer"),
        (lambda: decompose_weight(np.eye(3), 4), ValueError, "between 1 and 3, .* got 4"),
        (lambda: decompose_weight(np.eye(3), 0), ValueError, "between 1 and 3, .* got 0"),
        (lambda: decompose_weight(np.eye(9), 1, 1.2), ValueError, r"in \[0, 1\], got 1.2"),
        (lambda: decompose_weight(np.full((9, 9), np.inf), 1), ValueError, "weight contains inf"),
        (lambda: row_masks([np.eye(2)], -0.1), ValueError, r"in \[0, 1\], got -0.1"),
        (lambda: row_masks([], 0.5), ValueError, "at least one matrix"),
        (lambda: row_masks([[[np.nan]]], 0.5), ValueError, r"importances\[0\] contains NaN"),
        (lambda: stable_rank([1.0]), ValueError, "Expected 2D array"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_rank_that_saves_nothing_draws_a_warning():
    with pytest.warns(UserWarning, match="rank=2 saves nothing: .* 16 numbers, .* 16"):
        decompose_weight(np.eye(4), 2)
