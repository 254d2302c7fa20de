"""Floors: each tensor keeps its minimum, and the best of the rest is kept."""

import itertools
import warnings

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.exceptions import ConvergenceWarning

from minimalml.compression import (
    global_magnitude_mask,
    layerwise_magnitude_mask,
    random_mask,
)

MASKS = [global_magnitude_mask, layerwise_magnitude_mask, random_mask]
LP_TOLERANCE = 1e-6  # of the solver
MAGNITUDES = st.sampled_from([0.0, 1.0, 2.0]) | st.floats(0, 9, width=16)


@st.composite
def floored(draw, max_side=5, max_size=4):
    """Weights, a feasible number to keep and a floor."""
    sizes = draw(st.lists(st.integers(1, max_side), min_size=1, max_size=max_size))
    weights = [draw(hnp.arrays(np.float64, n, elements=MAGNITUDES)) for n in sizes]
    floor = draw(st.integers(0, max_side))
    least = max(1, sum(min(n, floor) for n in sizes))
    return weights, draw(st.integers(least, sum(sizes))), floor


def kept_mass(weights, masks):
    return sum(float(w[m].sum()) for w, m in zip(weights, masks, strict=True))


def best_mass(weights, n_keep, floor):
    """Try every set of the right size."""
    values = np.concatenate(weights)
    layer = np.repeat(np.arange(len(weights)), [w.size for w in weights])
    floors = np.array([min(w.size, floor) for w in weights])
    best = -1.0
    for kept in itertools.combinations(range(values.size), n_keep):
        counts = np.bincount(layer[list(kept)], minlength=len(weights))
        if np.all(counts >= floors):
            best = max(best, float(values[list(kept)].sum()))
    return best


@pytest.mark.parametrize("mask", MASKS)
@given(problem=floored())
def test_floors_and_total_hold_exactly(mask, problem):
    weights, n_keep, floor = problem
    masks = mask(weights, n_keep=n_keep, min_weights=floor)
    assert sum(m.sum() for m in masks) == n_keep
    assert all(m.sum() >= min(m.size, floor) for m in masks)


@given(floored(max_side=4, max_size=3))
def test_kept_mass_is_the_best_of_all_sets(problem):
    weights, n_keep, floor = problem
    masks = global_magnitude_mask(weights, n_keep=n_keep, min_weights=floor)
    assert kept_mass(weights, masks) == pytest.approx(best_mass(*problem))


@pytest.mark.parametrize("seed", range(5))
def test_kept_mass_is_the_optimum_of_the_linear_programme(seed):
    rng = np.random.default_rng(seed)
    weights = [rng.exponential(scale, 40) for scale in (0.1, 1.0, 5.0)]
    masks = global_magnitude_mask(weights, 0.8, min_weights=6)
    kept = [cp.Variable(40) for _ in weights]
    mass = sum(w @ k for w, k in zip(weights, kept, strict=True))
    limits = [c for k in kept for c in (k >= 0, k <= 1, cp.sum(k) >= 6)]
    problem = cp.Problem(cp.Maximize(mass), [*limits, sum(map(cp.sum, kept)) == 24])
    assert kept_mass(weights, masks) == pytest.approx(problem.solve(), rel=LP_TOLERANCE)


@given(floored())
def test_ties_at_a_floor_go_in_index_order(problem):
    weights, n_keep, floor = problem
    tied = [np.ones_like(w) for w in weights]
    masks = global_magnitude_mask(tied, n_keep=n_keep, min_weights=floor)
    for mask in masks:  # within a tensor the first ones go
        np.testing.assert_array_equal(mask, np.sort(mask))


@given(floored())
def test_floors_that_do_not_bind_change_nothing(problem):
    weights, n_keep, _ = problem
    free = global_magnitude_mask(weights, n_keep=n_keep)
    floor = min(int(m.sum()) for m in free)
    bound = global_magnitude_mask(weights, n_keep=n_keep, min_weights=floor)
    assert all(np.array_equal(a, b) for a, b in zip(free, bound, strict=True))


def test_min_fraction_is_of_all_weights(rng):
    weights = [1e-3 * rng.normal(size=50), rng.normal(size=950)]
    masks = global_magnitude_mask(weights, 0.9, min_fraction=0.03)
    assert [int(m.sum()) for m in masks] == [30, 70]
    masks = global_magnitude_mask(  # 0.29 * 100 is 28.999999999999996
        [1e-3 * weights[0], weights[1][:50]], 0.4, min_fraction=0.29
    )
    assert int(masks[0].sum()) == 29


@pytest.mark.parametrize("seed", range(5))
def test_rescaling_with_floors_that_do_not_bind_is_unconstrained(seed):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=n) for n in (40, 300, 90)]
    free = global_magnitude_mask(weights, 0.6)
    rescaled = global_magnitude_mask(weights, 0.6, min_weights=5, floor_rule="rescale")
    for mask, other in zip(free, rescaled, strict=True):
        assert abs(int(mask.sum()) - int(other.sum())) <= 1


@given(floored())
def test_rescaling_holds_the_floors(problem):
    weights, n_keep, floor = problem
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        masks = global_magnitude_mask(
            weights, n_keep=n_keep, min_weights=floor, floor_rule="rescale"
        )
    assert all(m.sum() >= min(m.size, floor) for m in masks)
    excess = sum(int(m.sum()) for m in masks) - n_keep
    assert 0 <= excess and (caught or excess <= len(weights))


def counts_by_the_papers_loop(weights, sparsity, floor):
    """Scale all sparsities alike, cap those that break the floor, and again."""
    size = np.array([w.size for w in weights], dtype=float)
    free = global_magnitude_mask(weights, sparsity)
    share = np.array([1 - m.mean() for m in free])
    share[size < floor] = 0
    for _ in range(10_000):
        share *= sparsity / (share @ size / size.sum())
        broken = ((1 - share) * size < floor) & (size > floor)
        share[broken] = 1 - floor / size[broken]
        if share @ size > sparsity * size.sum() - 0.01:
            break
    return share * size


@pytest.mark.parametrize("seed", range(8))
def test_rescaling_ends_where_the_papers_loop_does(seed):
    rng = np.random.default_rng(seed)
    scales = rng.exponential(size=5)
    weights = [s * rng.normal(size=rng.integers(20, 900)) for s in scales]
    masks = global_magnitude_mask(weights, 0.8, min_weights=32, floor_rule="rescale")
    pruned = [m.size - int(m.sum()) for m in masks]
    expected = counts_by_the_papers_loop(weights, 0.8, 32)
    np.testing.assert_allclose(pruned, expected, atol=1.5)


def test_rescaling_spares_small_tensors_and_caps_large_ones(rng):
    weights = [rng.normal(size=10), 0.01 * rng.normal(size=200), rng.normal(size=790)]
    masks = global_magnitude_mask(weights, 0.8, min_weights=20, floor_rule="rescale")
    assert [int(m.sum()) for m in masks[:2]] == [10, 20]
    assert abs(int(masks[2].sum()) - 170) <= 1


def test_rescaling_that_can_not_reach_the_total_warns():
    weights = [np.zeros(5), np.ones(100)]
    with pytest.warns(ConvergenceWarning, match="rescaling .* 0 of the 5 weights"):
        global_magnitude_mask(weights, n_keep=100, min_weights=5, floor_rule="rescale")


@pytest.mark.parametrize("mask", MASKS)
def test_infeasible_floors_name_the_largest_sparsity(mask):
    weights = [np.ones(10), np.ones(30)]
    with pytest.raises(ValueError, match=r"min_weights .* at most 0\.5"):
        mask(weights, 0.6, min_weights=10)
    with pytest.raises(ValueError, match=r"min_fraction .* at most 0\.5"):
        mask(weights, 0.6, min_fraction=0.25)
