"""The nuclear norm, beside singular values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimalml.resampling import nuclear_norm

FLOAT32 = 1e-3  # roots of roundings, where the rank is low
FLOAT64 = 1e-6

shapes = st.tuples(st.integers(1, 4), st.integers(1, 24), st.integers(1, 24))
seeds = st.integers(0, 999)


def of_rank(rank, shape, rng):
    n_samples, n_positions, n_classes = shape
    left, right = (
        rng.normal(size=(n_samples, n, min(rank, n_positions, n_classes)))
        for n in (n_positions, n_classes)
    )
    return left @ right.swapaxes(1, 2)


def expected(logits):
    return np.linalg.svd(logits.astype(float), compute_uv=False).sum(-1)


@given(shape=shapes, rank=st.integers(1, 24), seed=seeds)
def test_it_is_the_sum_of_singular_values(shape, rank, seed):
    logits = of_rank(rank, shape, np.random.default_rng(seed))
    np.testing.assert_allclose(nuclear_norm(logits), expected(logits), rtol=FLOAT64)
    narrow = logits.astype(np.float32)
    ours = nuclear_norm(narrow)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected(narrow), rtol=FLOAT32)


@pytest.mark.parametrize("rank", [1, 2, 5, 20, 64])
def test_any_rank_of_long_logits(rng, torch, rank):
    logits = of_rank(rank, (4, 64, 5000), rng)
    for dtype, tolerance in ((np.float32, FLOAT32), (np.float64, FLOAT64)):
        typed = logits.astype(dtype)
        for given_logits in (typed, torch.tensor(typed)):
            ours = np.asarray(nuclear_norm(given_logits))
            assert ours.dtype == dtype
            np.testing.assert_allclose(ours, expected(logits), rtol=tolerance)


@given(shape=shapes, rank=st.integers(1, 24), seed=seeds, scale=st.floats(1e-6, 1e6))
def test_bounds_and_invariances(shape, rank, seed, scale):
    rng = np.random.default_rng(seed)
    logits = of_rank(rank, shape, rng)
    norms, rank = nuclear_norm(logits), min(rank, *shape[1:])
    frobenius = np.linalg.norm(logits, axis=(1, 2))
    assert (norms >= frobenius * (1 - FLOAT64)).all()
    assert (norms <= np.sqrt(rank) * frobenius * (1 + FLOAT64)).all()
    rotation, _ = np.linalg.qr(rng.normal(size=(shape[1], shape[1])))
    order = rng.permutation(shape[2])
    for same in (rotation @ logits, logits[:, ::-1], logits[:, :, order], -logits):
        np.testing.assert_allclose(nuclear_norm(same), norms, rtol=FLOAT64)
    np.testing.assert_allclose(
        nuclear_norm(scale * logits), scale * norms, rtol=FLOAT64
    )


def test_known_cases(rng):
    vectors = rng.normal(size=(6, 30))
    lengths = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(nuclear_norm(vectors), lengths)
    np.testing.assert_allclose(nuclear_norm(vectors[:, :, None]), lengths)
    for size in (3, 20):
        root = rng.normal(size=(2, size, size))
        positive = root @ root.swapaxes(1, 2)
        traces = np.trace(positive, axis1=1, axis2=2)
        np.testing.assert_allclose(nuclear_norm(positive), traces, rtol=FLOAT64)
    decision = np.array([0.5, -3.0])
    two_sided = np.stack([-decision / 2, decision / 2], axis=1)
    np.testing.assert_allclose(nuclear_norm(two_sided), abs(decision) / np.sqrt(2))
    np.testing.assert_array_equal(nuclear_norm(np.zeros((2, 12, 15))), [0, 0])


@given(shape=shapes, seed=seeds)
def test_a_mask_takes_positions_away(shape, seed):
    rng = np.random.default_rng(seed)
    logits, mask = rng.normal(size=shape), rng.random(shape[:2]) < 0.6
    whatever = np.where(mask[:, :, None], logits, np.nan)
    removed = [
        expected(rows[real][None])[0] for rows, real in zip(logits, mask, strict=True)
    ]
    np.testing.assert_allclose(nuclear_norm(whatever, mask), removed, rtol=FLOAT64)


def test_it_checks_what_it_is_given():
    for bad in ([[np.nan]], [[np.inf]], np.ones((2, 2, 2, 2))):
        with pytest.raises(ValueError, match="logits"):
            nuclear_norm(bad)
    with pytest.raises(ValueError, match="mask must be boolean"):
        nuclear_norm(np.ones((2, 3, 4)), np.ones((2, 3), dtype=int))
