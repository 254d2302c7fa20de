import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import UndefinedMetricWarning

from minimalml.multioutput import (
    curve_from_gaps,
    czsl_auc_score,
    czsl_curve,
    czsl_gaps,
)
from minimalml.multioutput._compositional_zero_shot import _czsl_gaps as gaps_module
from minimalml.multioutput._compositional_zero_shot._czsl_gaps import TopPairs


def random_problem(seed, n=30, n_pairs=9, grid=4, dtype=np.float64):
    """Scores with both kinds of rows and at least one pair of either group.

    They are multiples of 1/grid: quarters stay exact when a bias is added, so that ties
    are real ties.
    """
    rng = np.random.default_rng(seed)
    seen_mask = np.arange(n_pairs) < rng.integers(1, n_pairs)
    rng.shuffle(seen_mask)
    scores = (np.round(rng.normal(size=(n, n_pairs)) * grid) / grid).astype(dtype)
    pair_index = rng.integers(0, n_pairs, n)
    pair_index[:2] = np.flatnonzero(seen_mask)[0], np.flatnonzero(~seen_mask)[0]
    scores[np.arange(n), pair_index] += np.round(rng.random(n) * grid) / grid
    return scores, pair_index, seen_mask


def accuracies_at(bias, scores, pair_index, seen_mask, top_k=1):
    """Brute force: add the bias, rank (seen first in a tie), and look."""
    biased = scores + np.where(seen_mask, 0, bias)
    order = np.lexsort(
        (np.arange(len(seen_mask)) + 0 * biased, ~seen_mask + 0 * biased, -biased)
    )
    right = (order[:, :top_k] == pair_index[:, None]).any(axis=1)
    is_seen = seen_mask[pair_index]
    return right[is_seen].mean(), right[~is_seen].mean()


@pytest.mark.kernel
@pytest.mark.parametrize("top_k", [1, 2, 3, 5])
@given(seed=st.integers(0, 10**6))
def test_curve_equals_brute_force_at_every_bias(top_k, seed):
    scores, pair_index, seen_mask = random_problem(seed)
    curve = czsl_curve(scores, pair_index, seen_mask, top_k=top_k)
    expected = [
        accuracies_at(bias, scores, pair_index, seen_mask, top_k)
        for bias in curve.biases
    ]
    found = np.column_stack([curve.seen_accuracy, curve.unseen_accuracy])
    assert_allclose(found, expected)


@given(seed=st.integers(0, 10**6))
def test_no_bias_gives_a_point_off_the_curve(seed):
    scores, pair_index, seen_mask = random_problem(seed)
    curve = czsl_curve(scores, pair_index, seen_mask)
    points = set(zip(curve.seen_accuracy, curve.unseen_accuracy, strict=True))
    for bias in np.arange(-8, 8, 0.125):  # on the gaps and between them
        assert accuracies_at(bias, scores, pair_index, seen_mask) in points


@given(seed=st.integers(0, 10**6))
def test_curve_is_monotone_and_its_area_bounded(seed):
    curve = czsl_curve(*random_problem(seed))
    assert np.all(np.diff(curve.seen_accuracy) <= 0)
    assert np.all(np.diff(curve.unseen_accuracy) >= 0)
    assert curve.unseen_accuracy[0] == 0
    assert 0 <= curve.auc <= curve.best_seen * curve.best_unseen + 1e-12


@given(seed=st.integers(0, 10**6))
def test_row_constants_and_the_order_of_pairs_do_not_matter(seed):
    scores, pair_index, seen_mask = random_problem(seed, grid=1e12)
    rng = np.random.default_rng(seed)
    expected = czsl_curve(scores, pair_index, seen_mask)
    order = rng.permutation(len(seen_mask))
    shifted = scores[:, order] + rng.integers(-3, 3, size=(len(scores), 1))
    found = czsl_curve(shifted, np.argsort(order)[pair_index], seen_mask[order])
    assert_allclose(found.auc, expected.auc)
    assert_allclose(found.best_harmonic_mean, expected.best_harmonic_mean)


@given(seed=st.integers(0, 10**6), shift=st.floats(-5, 5))
def test_shifting_all_unseen_scores_leaves_area_and_harmonic_mean(seed, shift):
    scores, pair_index, seen_mask = random_problem(seed, grid=1e12)
    expected = czsl_curve(scores, pair_index, seen_mask)
    found = czsl_curve(scores + shift * ~seen_mask, pair_index, seen_mask)
    assert_allclose(found.auc, expected.auc)
    assert_allclose(found.best_harmonic_mean, expected.best_harmonic_mean)


def cloning_curve(scores, pair_index, seen_mask, n_biases):
    """The common approximation: clone the score matrix for each of some biases."""
    is_seen = seen_mask[pair_index]
    unseen_pick = np.where(seen_mask, -np.inf, scores).argmax(axis=1)
    right = ~is_seen & (unseen_pick == pair_index)
    best_seen = np.where(seen_mask, scores, -np.inf).max(axis=1)
    gaps = np.sort((best_seen - scores[np.arange(len(scores)), pair_index])[right])
    biases = np.append(gaps[:: max(len(gaps) // n_biases, 1)] - 1e-4, 1e3)
    points = [accuracies_at(b, scores, pair_index, seen_mask) for b in biases]
    seen, unseen = np.array(points).T
    return np.trapezoid(seen, unseen)


@pytest.mark.parametrize("seed", range(5))
def test_n_biases_reproduces_the_common_approximation(seed):
    scores, pair_index, seen_mask = random_problem(seed, n=200, grid=1e12)
    found = czsl_auc_score(scores, pair_index, seen_mask, n_biases=20)
    assert_allclose(found, cloning_curve(scores, pair_index, seen_mask, 20))


def test_ties_go_to_the_lowest_pair_index():
    curve = czsl_curve([[1.0, 1.0, 0.0]] * 2, [1, 2], [True, True, False], top_k=2)
    assert curve.best_seen == 1
    curve = czsl_curve([[1.0, 1.0, 0.0]] * 2, [1, 2], [True, True, False])
    assert curve.best_seen == 0


@pytest.mark.kernel
def test_blocks_of_columns_and_rows_give_the_same():
    scores, pair_index, seen_mask = random_problem(3, n=40)
    group = seen_mask.astype(np.uint8)
    tops = TopPairs(40, k=2)
    for block in (slice(0, 4), slice(4, 5), slice(5, 9)):
        tops.update(np.ascontiguousarray(scores[:, block]), group[block])
    expected = czsl_gaps(scores, pair_index, seen_mask, top_k=2)
    for found, part in zip(tops.gaps(pair_index, seen_mask), expected, strict=True):
        assert_array_equal(found, part)
    halves = [
        czsl_gaps(scores[rows], pair_index[rows], seen_mask, top_k=2)
        for rows in (slice(0, 13), slice(13, 40))
    ]
    assert curve_from_gaps(halves).auc == curve_from_gaps([expected]).auc


def test_a_masked_pair_is_no_candidate():
    scores, pair_index, seen_mask = random_problem(5)
    mask = np.ones(9, bool)
    mask[np.flatnonzero(seen_mask)[-1]] = False
    worse = np.where(mask, scores, -1e9)
    assert_allclose(
        czsl_auc_score(scores, pair_index, seen_mask, pair_mask=mask),
        czsl_auc_score(worse, pair_index, seen_mask),
    )


@pytest.mark.kernel
def test_threads_and_dtype_do_not_matter(monkeypatch):
    monkeypatch.setattr(gaps_module, "SCORES_A_CHUNK", 70)  # seven rows
    scores, pair_index, seen_mask = random_problem(6, n=300, dtype=np.float32)
    scores.flags.writeable = False
    one = czsl_gaps(scores, pair_index, seen_mask, n_threads=1)
    wide = czsl_gaps(scores.astype(np.float64), pair_index, seen_mask)
    assert_array_equal(one.gap, wide.gap)
    for n_threads in (2, 5):
        more = czsl_gaps(scores, pair_index, seen_mask, n_threads=n_threads)
        assert_array_equal(one.gap, more.gap)
        assert_array_equal(one.is_seen, more.is_seen)


@pytest.mark.parametrize(("index", "missing"), [(0, "unseen"), (2, "seen")])
def test_only_one_kind_of_rows_is_warned_of(index, missing):
    with pytest.warns(UndefinedMetricWarning, match=f"no row has an? {missing} pair"):
        curve = czsl_curve([[3.0, 1.0, 5.0]] * 2, [index] * 2, [True, True, False])
    assert np.isnan(curve.auc)
    assert (curve.best_seen if index == 0 else curve.best_unseen) == 1


def test_a_row_whose_pair_is_no_candidate_is_never_right():
    curve = czsl_curve([[3.0, 1.0, 5.0]] * 2, [0, -1], [True, True, False])
    assert curve.best_unseen == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": [[np.nan, 0, 1]]}, "NaN"),
        ({"pair_index": [3]}, "pair_index must be in -1..2"),
        ({"pair_index": [0, 1]}, "inconsistent numbers of samples"),
        ({"seen_mask": [True, False]}, "seen_mask must be a boolean array of length 3"),
        ({"seen_mask": [1, 0, 1]}, "seen_mask must be a boolean array"),
        ({"pair_mask": [True]}, "pair_mask must be a boolean array of length 3"),
        ({"top_k": 0}, "top_k must be in 1..3, got 0"),
        ({"n_biases": 0}, "n_biases must be None or at least 1, got 0"),
    ],
)
def test_bad_input_is_named(change, message):
    good = {
        "scores": [[1.0, 0, 2]],
        "pair_index": [0],
        "seen_mask": [True, True, False],
    }
    with pytest.raises(ValueError, match=message):
        czsl_curve(**(good | change))
