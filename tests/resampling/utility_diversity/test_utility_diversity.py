"""Batches selected by utility and diversity, beside a loop that keeps lists."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.base import clone

from minimalml.resampling import UtilityDiversitySelector
from minimalml.resampling._utility_diversity._projection import LogitProjection

ROUNDING = 1e-6  # of a distance by way of squares, relative to the lengths
FLOAT32 = 1e-5

batches = arrays(
    np.float64, array_shapes(min_dims=3, max_dims=3, max_side=12),
    elements=st.floats(-50, 50).map(lambda v: round(v, 3)),
)  # fmt: skip


def stream(rng, n_batches=8, shape=(8, 12, 20), dtype=np.float64):
    return [rng.normal(size=shape).astype(dtype) for _ in range(n_batches)]


def hartley(n):
    dft = np.fft.fft(np.eye(n))
    return (dft.real - dft.imag) / np.sqrt(n)


def drawn(n, n_components, rng):
    """The subsampled transform as a product of dense matrices."""
    if n_components >= n:
        return np.eye(n)
    signs, rows = rng.choice([-1.0, 1.0], n), rng.permutation(n)[:n_components]
    return np.sqrt(n / n_components) * hartley(n)[rows] @ np.diag(signs)


def reference(batches, *, n_kept, weight=0.1, size=(8, 128), buffer_size=1024, seed=0):
    """Select by lists, singular values and dense transforms."""
    rng, n_positions, n_classes = np.random.RandomState(seed), *batches[0].shape[1:]
    classes, positions = (
        drawn(n_classes, size[1], rng),
        drawn(n_positions, size[0], rng),
    )
    utilities, diversities, kept_z, results = [], [], [], []
    for logits in batches:
        utility = [np.linalg.svd(L, compute_uv=False).sum() for L in logits]
        z = [(positions @ L @ classes.T).ravel() for L in logits]
        diversity = [
            np.mean([np.linalg.norm(a - b) for b in kept_z]) if kept_z else 0.0
            for a in z
        ]
        utilities += utility
        diversities += diversity if kept_z else []
        ratio = np.std(utilities) / np.std(diversities) if diversities else 1
        scores = np.add(utility, weight * ratio * np.array(diversity))
        kept = np.argsort(-scores, kind="stable")[:n_kept]
        kept_z = [*kept_z, *(z[i] for i in kept)][-buffer_size:]
        results.append((kept, scores))
    return results, np.array(kept_z)


SETTINGS = [
    dict(n_kept=2),
    dict(n_kept=3, weight=2.0, size=(3, 5), buffer_size=7),
    dict(n_kept=8, size=(12, 4), buffer_size=3),  # more kept than remembered
]


def selector_of(n_kept, weight=0.1, size=(8, 128), buffer_size=1024):
    return UtilityDiversitySelector(
        n_kept, diversity_weight=weight, n_components=size, buffer_size=buffer_size,
        random_state=0,
    )  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS)
def test_scores_picks_and_buffer_are_those_of_a_plain_loop(rng, settings):
    batches = stream(rng)
    expected, buffer = reference(batches, **settings)
    selector = selector_of(**settings)
    for logits, (kept, scores) in zip(batches, expected, strict=True):
        batch = selector.select(logits)
        np.testing.assert_allclose(batch.scores, scores, rtol=ROUNDING)
        np.testing.assert_array_equal(batch.indices, kept)
        selector = pickle.loads(pickle.dumps(selector))  # goes on where it was
    np.testing.assert_allclose(selector.buffer_, buffer, atol=1e-10)
    assert selector.n_seen_ == 64 and selector.n_selected_ == 8 * settings["n_kept"]


@pytest.mark.parametrize("settings", SETTINGS)
def test_tensors_and_arrays_select_alike(rng, torch, settings):
    ours, theirs = selector_of(**settings), selector_of(**settings)
    for logits in stream(rng):
        a, b = ours.select(logits), theirs.select(torch.tensor(logits).requires_grad_())
        assert all(isinstance(part, torch.Tensor) for part in b)
        assert not b.scores.requires_grad
        for of_arrays, of_tensors in zip(a, b, strict=True):
            np.testing.assert_allclose(of_arrays, of_tensors, rtol=ROUNDING)
        theirs = pickle.loads(pickle.dumps(theirs))
    assert isinstance(theirs.buffer_, torch.Tensor)
    np.testing.assert_allclose(ours.buffer_, theirs.buffer_, atol=1e-10)


def test_the_memory_moves_to_where_logits_are(rng, torch):
    ours, theirs = selector_of(2), selector_of(2)
    for number, logits in enumerate(stream(rng, 9)):
        moved = [logits, torch.tensor(logits), logits][number // 3]
        expected, got = ours.select(logits), theirs.select(moved)
        np.testing.assert_allclose(got.scores, expected.scores, rtol=ROUNDING)
    with torch.inference_mode():
        single = theirs.select(torch.tensor(logits, dtype=torch.float32))
    half = theirs.select(torch.tensor(logits, dtype=torch.bfloat16))
    assert single.scores.dtype == half.scores.dtype == torch.float32
    assert theirs.buffer_.dtype == torch.float32


def test_float32_stays_and_selects_the_same(rng):
    batches = stream(rng, dtype=np.float32)
    single, double = selector_of(3, weight=1.0), selector_of(3, weight=1.0)
    for logits in batches:
        a, b = single.select(logits), double.select(logits.astype(float))
        assert all(part.dtype == np.float32 for part in a[1:])
        np.testing.assert_allclose(a.scores, b.scores, rtol=FLOAT32)
    assert single.buffer_.dtype == np.float32


def test_a_generator_as_state_and_half_precision(rng):
    logits = rng.normal(size=(4, 20)).astype(np.float16)
    first, again = (
        UtilityDiversitySelector(n_components=4, random_state=np.random.RandomState(3))
        for _ in range(2)
    )
    assert first.select(logits).scores.dtype == np.float32
    again.select(logits)
    np.testing.assert_array_equal(first.buffer_, again.buffer_)
    assert first.buffer_.shape == (1, 4)


@given(logits=batches)
def test_what_is_kept(logits):
    for budget, n_kept in ((2, min(2, len(logits))), (0.3, -(-3 * len(logits) // 10))):
        selector = UtilityDiversitySelector(budget, diversity_weight=1, random_state=0)
        for _ in range(2):
            batch = selector.select(logits)
            assert len(set(batch.indices)) == len(batch.indices) == n_kept
            scores = batch.scores[batch.indices]
            assert (np.diff(scores) <= 0).all()
            assert scores[-1] >= np.delete(batch.scores, batch.indices).max(initial=-1)
        assert (batch.diversity >= 0).all() and selector.n_selected_ == 2 * n_kept


@given(logits=batches, seed=st.integers(0, 99))
def test_no_weight_ranks_by_utility_and_order_changes_nothing(logits, seed):
    order = np.random.default_rng(seed).permutation(len(logits))
    batch, moved = (
        UtilityDiversitySelector(1, diversity_weight=0.0).select(rows)
        for rows in (logits, logits[order])
    )
    np.testing.assert_array_equal(batch.scores, batch.utility)
    np.testing.assert_allclose(moved.scores, batch.scores[order], atol=1e-4)
    best = batch.scores[order[moved.indices[0]]]
    np.testing.assert_allclose(best, batch.scores.max(), atol=1e-4)


def test_scoring_changes_nothing_and_says_what_select_says(rng):
    first, second, third = stream(rng, 3)
    selector = selector_of(2)
    fresh = selector.score_batch(first)
    assert (fresh.diversity == 0).all() and not hasattr(selector, "buffer_")
    selector.select(first)
    scored = [selector.score_batch(second) for _ in range(2)][-1]
    for a, b in zip(scored, selector.select(second), strict=True):
        np.testing.assert_array_equal(a, b)
    # fit forgets
    np.testing.assert_array_equal(
        selector.fit(third).sample_indices_, selector_of(2).select(third).indices
    )
    assert len(selector.buffer_) == 2 and selector.n_seen_ == 8
    assert not hasattr(clone(selector), "buffer_")


def test_diversity_of_what_was_kept_already_is_zero(rng):
    kept, other = rng.normal(size=(2, 12, 20))
    selector = UtilityDiversitySelector(1.0, random_state=0)
    selector.select(np.stack([kept] * 5))
    batch = selector.score_batch(np.stack([kept, other]))
    assert batch.diversity[0] < ROUNDING * np.linalg.norm(kept) < batch.diversity[1]


def test_copies_alone_do_not_blow_up_the_balance(rng):
    prototype = rng.normal(size=(12, 20))
    copies = np.stack([prototype[rng.permutation(12)] for _ in range(8)])
    selector = UtilityDiversitySelector(2, n_components=500, random_state=0)
    for logits in (np.stack([prototype] * 8), copies, copies):
        batch = selector.select(logits)  # utilities equal up to rounding
        expected = batch.utility + 0.1 * batch.diversity
        np.testing.assert_allclose(batch.scores, expected, rtol=ROUNDING)


def test_ties_go_to_the_lower_index_and_units_do_not_matter(rng):
    same = np.stack([rng.normal(size=(3, 4))] * 6)
    assert UtilityDiversitySelector(3).select(same).indices.tolist() == [0, 1, 2]
    plain, scaled = selector_of(2), selector_of(2)
    for logits in stream(rng):
        a, b = plain.select(logits), scaled.select(1024 * logits)
        np.testing.assert_array_equal(a.indices, b.indices)
        np.testing.assert_allclose(1024 * a.scores, b.scores, rtol=ROUNDING)


@pytest.mark.parametrize("kind", ["srft", "none"])
def test_masked_positions_are_as_good_as_not_there(rng, torch, kind):
    full, short = stream(rng, 1)[0], stream(rng, 1, (8, 7, 20))[0]
    padded = np.concatenate([short, np.full((8, 5, 20), np.nan)], axis=1)
    mask = np.arange(12)[None] < np.full((8, 1), 7)
    options = dict(n_samples_to_select=2, projection=kind, random_state=0)
    results = []
    for convert in (np.asarray, torch.as_tensor):
        for last, its_mask in ((short, None), (padded, mask)):
            selector = UtilityDiversitySelector(**options)
            selector.select(convert(full))
            results.append(selector.select(convert(last), mask=its_mask))
            assert selector.buffer_.shape[1] == (160 if kind == "srft" else 240)
    for other in results[1:]:
        np.testing.assert_allclose(other.scores, results[0].scores, rtol=ROUNDING)
        np.testing.assert_array_equal(other.indices, results[0].indices)


def test_samples_without_a_position_come_last(rng):
    first, second = stream(rng, 2)
    mask = np.ones((8, 12), dtype=bool)
    mask[[0, 3]] = False
    masked, without = selector_of(4), selector_of(4)
    masked.select(first), without.select(first)
    batch = masked.select(second, mask=mask)
    expected = without.select(np.delete(second, [0, 3], axis=0))
    assert (batch.scores[[0, 3]] == -np.inf).all()
    rest = np.delete(batch.scores, [0, 3])
    np.testing.assert_allclose(rest, expected.scores, rtol=ROUNDING)
    everything = masked.set_params(n_samples_to_select=7).select(second, mask=mask)
    assert everything.indices[-1] == 0 and 3 not in everything.indices
    assert np.isfinite(masked.select(second).scores).all()


def test_projection_keeps_squared_lengths_on_average(rng):
    logits = rng.normal(size=(1, 9, 30))
    states = np.random.RandomState(0)
    lengths = [
        (LogitProjection.draw(9, 30, (2, 5), states)(logits) ** 2).sum()
        for _ in range(4000)
    ]
    np.testing.assert_allclose(np.mean(lengths), (logits**2).sum(), rtol=0.02)
    # a side that is long enough stays as it is
    same = LogitProjection.draw(9, 30, (9, 30), states)(logits)
    np.testing.assert_array_equal(same, logits.reshape(1, -1))


def test_projection_is_linear_and_keeps_distances(rng):
    logits = rng.normal(size=(60, 64, 500))
    project = LogitProjection.draw(64, 500, (8, 128), np.random.RandomState(0))
    z, again = project(logits), project(logits[:1] + 3 * logits[1:2])
    np.testing.assert_allclose(again[0], z[0] + 3 * z[1], atol=1e-10)
    pairs = rng.integers(60, size=(300, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    before = np.linalg.norm(np.subtract(*logits[pairs.T]), axis=(1, 2))
    after = np.linalg.norm(np.subtract(*z[pairs.T]), axis=1)
    assert np.mean(np.abs(after / before - 1) < 0.25) > 0.95


def test_shapes_other_than_the_first_are_refused(rng):
    logits = rng.normal(size=(4, 5, 6))
    selector = UtilityDiversitySelector(random_state=0)
    selector.select(logits)
    state = selector.buffer_
    for other in (logits[:, :, :5], np.ones((4, 6, 6)), np.ones((4, 7))):
        for method in (selector.select, selector.score_batch):
            with pytest.raises(ValueError, match=r"first batch had 5 and 6.* Call fit"):
                method(other)
    assert selector.select(logits[:, 0]).diversity.all()  # fewer positions
    np.testing.assert_array_equal(selector.buffer_[:1], state)
    selector.fit(np.ones((4, 7)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (dict(n_samples_to_select=0), "n_samples_to_select"),
        (dict(n_samples_to_select=0.0), "n_samples_to_select"),
        (dict(n_samples_to_select=1.5), "n_samples_to_select"),
        (dict(diversity_weight=-1), "diversity_weight"),
        (dict(balance="yes"), "balance"),
        (dict(projection="gaussian"), "projection"),
        (dict(n_components=(8,)), "n_components must be two integers of at least 1"),
        (dict(n_components=(8, 0.5)), "n_components"),
        (dict(n_components=0), "n_components"),
        (dict(buffer_size=0), "buffer_size"),
    ],
)
def test_bad_parameters_are_refused(rng, parameters, message):
    logits = rng.normal(size=(4, 5))
    for method in ("select", "fit"):
        with pytest.raises(ValueError, match=message):
            getattr(UtilityDiversitySelector(**parameters), method)(logits)


def test_bad_logits_are_refused_and_leave_the_state(rng, torch):
    good = rng.normal(size=(4, 5, 6))
    selector = UtilityDiversitySelector(random_state=0).fit(good)
    for bad, message in [
        (np.where(good > 1, np.nan, good), "NaN.*diverged"),
        (np.where(good > 1, -np.inf, good), "infinity.*diverged"),
        (good.astype(np.float32) * 1e30, "squares of which overflow"),
        (good * 1e160, "squares of which overflow"),
        (good[0, 0], "Expected 2D array"),
        (good[None], r"logits must have shape .* got \(1, 4, 5, 6\)"),
        (good[:0], "0 sample"),
        (good[:, :0], r"none of them 0, got \(4, 0, 6\)"),
        (torch.tensor(good) / 0, "infinity"),
        (torch.ones(4, 5, dtype=torch.int64), "floating-point, got torch.int64"),
        (torch.ones(0, 5), r"got \(0, 1, 5\)"),
    ]:
        for method in (selector.select, selector.fit):
            with pytest.raises(ValueError, match=message):
                method(bad)
    for mask in (np.ones((4, 6), bool), np.ones((4, 5)), np.ones((4, 5, 1), bool)):
        for logits in (good, torch.tensor(good)):
            with pytest.raises(ValueError, match=r"mask must be boolean.* \(4, 5\)"):
                selector.select(logits, mask=mask)
    assert selector.n_seen_ == 4


def test_containers_of_fit(rng, torch):
    logits = rng.normal(size=(9, 4))
    frame = pd.DataFrame(logits, columns=list("abcd"), index=np.arange(9) + 100)
    selector = UtilityDiversitySelector(3, random_state=0)
    X, y = selector.fit_resample(frame, np.arange(9))
    assert X.index.tolist() == (selector.sample_indices_ + 100).tolist()
    assert y.tolist() == selector.sample_indices_.tolist()
    assert selector.feature_names_in_.tolist() == list("abcd")
    assert selector.get_support().sum() == 3 and selector.n_samples_in_ == 9
    for other in (
        logits.tolist(),
        logits[:, None],
        torch.tensor(logits),
        logits[:, ::-1],
    ):
        kept = selector.fit(other).sample_indices_
        np.testing.assert_array_equal(kept, y)
    read_only = np.array(logits)
    read_only.flags.writeable = False
    assert selector.fit(read_only).n_features_in_ == 4
    assert selector.fit(logits[:1]).sample_indices_.tolist() == [0]  # shorter: whole
