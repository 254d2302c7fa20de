"""Masks by magnitude: exact counts, ties, order, floors, kernels."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minimalml.compression import (
    apply_masks,
    global_magnitude_mask,
    global_threshold,
    layerwise_magnitude_mask,
    random_mask,
)

MASKS = [global_magnitude_mask, layerwise_magnitude_mask, random_mask]
DTYPES = [np.float16, np.float32, np.float64]
# few distinct values, so that ties are the rule
TIED = st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.0, -2.0, np.inf])

VALUES = st.one_of(TIED, st.floats(-9, 9, width=16))


def tensors(dtypes=DTYPES, elements=None, min_size=1, max_size=4, max_side=5):
    """Lists of arrays of one dtype, at least one of them not empty."""
    arrays = st.sampled_from(dtypes).flatmap(
        lambda dtype: st.lists(
            hnp.arrays(
                dtype,
                hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=max_side),
                elements=VALUES if elements is None else elements,
            ),
            min_size=min_size,
            max_size=max_size,
        )
    )
    return arrays.filter(lambda weights: sum(w.size for w in weights) > 0)


sparsities = st.floats(0, 0.999)


def flat(arrays):
    return np.concatenate([np.ravel(a) for a in arrays])


def n_pruned(sparsity, n):
    return min(int(np.floor(sparsity * n + 1e-9)), n - 1)


def brute_force(weights, n_prune):
    magnitude = np.abs(flat(weights)).astype(float)
    keep = np.ones(magnitude.size, bool)
    keep[np.argsort(magnitude, kind="stable")[:n_prune]] = False
    return keep


def assert_masks_equal(masks, others):
    for mask, other in zip(masks, others, strict=True):
        np.testing.assert_array_equal(np.asarray(mask), np.asarray(other))


# What it reduces to


@given(tensors(max_size=1), sparsities)
def test_one_tensor_is_the_same_globally_and_by_layer(weights, sparsity):
    assert_masks_equal(
        global_magnitude_mask(weights, sparsity),
        layerwise_magnitude_mask(weights, sparsity),
    )


@pytest.mark.parametrize("mask", MASKS)
def test_sparsity_zero_keeps_everything(mask, rng):
    assert flat(mask([rng.normal(size=5), np.zeros((2, 3))], 0.0)).all()


@given(tensors(), sparsities, st.sampled_from(["exact", "rescale"]))
def test_floor_of_zero_is_no_floor(weights, sparsity, rule):
    assert_masks_equal(
        global_magnitude_mask(weights, sparsity, min_fraction=0.0, floor_rule=rule),
        global_magnitude_mask(weights, sparsity),
    )


# Invariants


@pytest.mark.parametrize("mask", MASKS)
@given(weights=tensors(), sparsity=sparsities)
def test_exactly_as_many_go_as_asked(mask, weights, sparsity):
    keep = flat(mask(weights, sparsity))
    assert np.sum(~keep) == n_pruned(sparsity, keep.size)
    assert flat(mask(weights, n_keep=int(keep.sum()))).sum() == keep.sum()


@pytest.mark.parametrize(("sparsity", "n"), [(0.29, 100), (0.57, 100), (0.999999, 7)])
def test_rounding_of_the_count(sparsity, n):
    keep = global_magnitude_mask([np.ones(n)], sparsity)[0]
    assert np.sum(~keep) == {0.29: 29, 0.57: 57}.get(sparsity, 6)


def test_all_equal_weights_lose_the_first_ones():
    masks = global_magnitude_mask([np.ones(3), -np.ones((2, 2))], 0.6)
    assert_masks_equal(masks, [[0, 0, 0], [[0, 1], [1, 1]]])


@given(tensors(), sparsities)
def test_no_pruned_magnitude_exceeds_a_kept_one(weights, sparsity):
    keep, magnitude = flat(global_magnitude_mask(weights, sparsity)), abs(flat(weights))
    assert np.max(magnitude[~keep], initial=0) <= np.min(magnitude[keep])


@given(tensors(), sparsities, sparsities)
def test_masks_are_nested(weights, sparsity, other):
    less, more = sorted([sparsity, other])
    keep_more = flat(global_magnitude_mask(weights, less))
    keep_less = flat(global_magnitude_mask(weights, more))
    assert np.all(keep_more >= keep_less)


@given(tensors(elements=st.floats(-9, 9, width=16)), sparsities)
def test_pruning_again_changes_nothing(weights, sparsity):
    masks = global_magnitude_mask(weights, sparsity)
    pruned = apply_masks(weights, masks)
    again = apply_masks(pruned, global_magnitude_mask(pruned, sparsity))
    assert_masks_equal(pruned, again)


@given(tensors(), sparsities, st.integers(-3, 3), st.integers(0, 2**32))
def test_scale_and_signs_do_not_matter(weights, sparsity, exponent, seed):
    weights = [w.astype(np.float64) for w in weights]
    rng = np.random.default_rng(seed)
    other = [w * 2.0**exponent * rng.choice([-1, 1], w.shape) for w in weights]
    assert_masks_equal(
        global_magnitude_mask(weights, sparsity), global_magnitude_mask(other, sparsity)
    )


@given(st.integers(0, 2**32), sparsities)
def test_permuting_distinct_magnitudes_permutes_the_mask(seed, sparsity):
    rng = np.random.default_rng(seed)
    first, second = rng.permutation(np.arange(1.0, 31.0)).reshape(2, 15)
    order = rng.permutation(15)
    mask, other = global_magnitude_mask([first, second], sparsity)
    permuted, same = global_magnitude_mask([first[order], second], sparsity)
    assert_masks_equal([mask[order], other], [permuted, same])


@given(tensors(), sparsities, st.integers(0, 125))
def test_splitting_a_tensor_changes_nothing(weights, sparsity, at):
    pieces = [p for w in weights for p in np.split(w.ravel(), [min(at, w.size)])]
    assert_masks_equal(
        [flat(global_magnitude_mask(weights, sparsity))],
        [flat(global_magnitude_mask(pieces, sparsity))],
    )


@given(tensors([np.float64], st.floats(-9, 9), max_side=2, max_size=2), sparsities)
def test_pruning_is_the_best_approximation(weights, sparsity):
    values, n = flat(weights), sum(w.size for w in weights)
    pruned = flat(apply_masks(weights, global_magnitude_mask(weights, sparsity)))
    error = np.sum((values - pruned) ** 2)
    for lost in itertools.combinations(range(n), n_pruned(sparsity, n)):
        assert error <= np.sum(values[list(lost)] ** 2) * (1 + 1e-12)


# Oracles


@given(tensors(), sparsities)
def test_mask_is_that_of_a_stable_sort(weights, sparsity):
    keep = flat(global_magnitude_mask(weights, sparsity))
    expected = brute_force(weights, n_pruned(sparsity, keep.size))
    np.testing.assert_array_equal(keep, expected)


@given(tensors(), sparsities)
def test_threshold_is_the_order_statistic(weights, sparsity):
    magnitude = np.sort(np.abs(flat(weights)))
    n_prune = n_pruned(sparsity, magnitude.size)
    tau, n_tied = global_threshold(weights, sparsity)
    if n_prune == 0:
        assert (tau, n_tied) == (-np.inf, 0)
    else:
        assert tau == np.partition(magnitude, n_prune - 1)[n_prune - 1]
        assert n_tied == n_prune - np.sum(magnitude < tau)


@given(tensors(), sparsities)
def test_ties_of_the_threshold_are_kept_if_asked(weights, sparsity):
    tau, _ = global_threshold(weights, sparsity)
    masks = global_magnitude_mask(weights, sparsity, ties="threshold")
    assert_masks_equal(masks, [np.abs(w) >= tau for w in weights])


@pytest.mark.parametrize("sparsity", [0.3, 0.9, 0.99])
def test_same_masks_as_torch_where_magnitudes_are_distinct(sparsity, rng):
    torch = pytest.importorskip("torch")
    prune = pytest.importorskip("torch.nn.utils.prune")
    magnitudes = torch.from_numpy(rng.permutation(np.arange(1.0, 1001.0)))
    layers = [torch.nn.Linear(20, 30), torch.nn.Linear(40, 10)]
    weights = [magnitudes[:600].reshape(30, 20), -magnitudes[600:].reshape(10, 40)]
    for layer, values in zip(layers, weights, strict=True):
        layer.weight.data = values
    prune.global_unstructured(
        [(layer, "weight") for layer in layers],
        pruning_method=prune.L1Unstructured,
        amount=n_pruned(sparsity, 1000),
    )
    masks = global_magnitude_mask(weights, sparsity)
    assert_masks_equal(masks, [layer.weight_mask.bool() for layer in layers])


@given(tensors(max_side=3), sparsities, st.data())
def test_layerwise_mask_is_a_sort_within_each_layer(weights, sparsity, data):
    n = sum(w.size for w in weights)
    for w, mask in zip(weights, layerwise_magnitude_mask(weights, sparsity), strict=1):
        lost = int(np.sum(~mask))
        assert abs(lost - n_pruned(sparsity, n) * w.size / n) < 1 + 1e-6
        np.testing.assert_array_equal(mask.ravel(), brute_force([w], lost))


def test_random_masks_are_even_and_repeatable():
    weights = {"a": np.zeros(400), "b": np.zeros((30, 20))}
    masks = [random_mask(weights, 0.5, random_state=seed) for seed in range(200)]
    share = np.mean([np.r_[m["a"], m["b"].ravel()] for m in masks], axis=0)
    assert abs(share[:400].mean() - 0.5) < 0.01
    assert share.min() > 0.3 and share.max() < 0.7
    assert_masks_equal(
        masks[3].values(), random_mask(weights, 0.5, random_state=3).values()
    )


# Containers and files


@pytest.mark.parametrize("mask", MASKS)
def test_container_comes_back(mask, rng):
    a, b = rng.normal(size=(2, 6))
    assert isinstance(mask((a, b), 0.5), tuple)
    assert isinstance(mask([a, b], 0.5), list)
    assert list(mask({"x": a, "y": b}, 0.5)) == ["x", "y"]


@given(st.data(), sparsities)
def test_mixed_dtypes_and_byte_orders_rank_by_value(data, sparsity):
    weights = data.draw(tensors([np.float16], min_size=3))
    mixed = [
        w.astype(d) for w, d in zip(weights, itertools.cycle(["f4", ">f4", "f8", "f2"]))
    ]
    assert_masks_equal(
        global_magnitude_mask(mixed, sparsity), global_magnitude_mask(weights, sparsity)
    )


def test_layouts_are_ranked_in_flat_index_order():
    weights = np.asfortranarray(np.ones((3, 4)))
    assert_masks_equal(
        global_magnitude_mask([weights, np.ones(8)[::2]], 0.5),
        global_magnitude_mask([np.ones((3, 4)), np.ones(4)], 0.5),
    )


@given(tensors(), sparsities, st.booleans())
def test_apply_masks_zeroes_exactly(weights, sparsity, inplace):
    before = [w.copy() for w in weights]
    masks = global_magnitude_mask(weights, sparsity)
    pruned = apply_masks(weights, masks, inplace=inplace)
    for w, old, new, mask in zip(weights, before, pruned, masks, strict=True):
        np.testing.assert_array_equal(new, np.where(mask, old, 0))
        assert not np.signbit(new[~mask]).any() and new.dtype == old.dtype
        assert (w is new) == inplace
        np.testing.assert_array_equal(w, new if inplace else old)


# Bad input


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("sparsity", [1.0, 1, -0.1, 1.5, np.nan, "0.5"])
def test_sparsity_outside_its_range(mask, sparsity):
    with pytest.raises(ValueError, match=r"sparsity must be in \[0, 1\), got"):
        mask([np.ones(3)], sparsity)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("n_keep", [0, 4, 1.5, -1])
def test_n_keep_outside_its_range(mask, n_keep):
    with pytest.raises(ValueError, match=rf"n_keep must be .* 3, got {n_keep}"):
        mask([np.ones(3)], n_keep=n_keep)


@pytest.mark.parametrize("mask", MASKS)
def test_two_ways_to_say_one_thing(mask):
    with pytest.raises(ValueError, match="exactly one of sparsity and n_keep"):
        mask([np.ones(3)], 0.5, n_keep=1)
    with pytest.raises(ValueError, match="exactly one of sparsity and n_keep"):
        mask([np.ones(3)])
    with pytest.raises(
        ValueError, match=r"two ways to give .* got min_weights=1 and min_f"
    ):
        mask([np.ones(3)], 0.5, min_weights=1, min_fraction=0.1)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_is_refused_by_name(mask, dtype):
    weights = {"good": np.ones(3, dtype), "bad": np.array([1, np.nan, 2], dtype)}
    for sparsity in (0.0, 0.5):
        with pytest.raises(ValueError, match="weight 'bad' contains NaN"):
            mask(weights, sparsity)
    with pytest.raises(ValueError, match="weight 'bad' contains NaN"):
        global_threshold(weights, 0.5)


def test_infinity_is_the_largest():
    weights = [np.array([1.0, -np.inf, 3.0])]
    assert_masks_equal(global_magnitude_mask(weights, 0.6), [[False, True, True]])


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dtype", [int, bool, complex, np.longdouble, object])
def test_dtypes_that_are_not_ranked(mask, dtype):
    with pytest.raises(TypeError, match=r"weight 1 has dtype .* float16, bfloat16"):
        mask([np.ones(2), np.ones(2, dtype)], 0.5)


@pytest.mark.parametrize("mask", MASKS)
def test_nothing_to_prune(mask):
    for weights in ([], {}, [np.ones((0, 3))]):
        with pytest.raises(ValueError, match="weights must hold at least one weight"):
            mask(weights, 0.5)
    with pytest.raises(TypeError, match=r"must be a list, tuple or dict .* ndarray"):
        mask(np.ones(3), 0.5)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("min_weights", -1, "min_weights must be an int >= 0, got -1"),
        ("min_weights", 1.5, r"min_weights must be an int >= 0, got 1\.5"),
        ("min_fraction", 1.5, r"min_fraction must be in \[0, 1\], got 1\.5"),
        ("ties", "none", r"ties must be one of \('exact', 'threshold'\), got 'none'"),
        ("floor_rule", "x", r"floor_rule must be one of \('exact', 'rescale'\)"),
    ],
)
def test_other_parameters(mask, parameter, value, message):
    with pytest.raises(ValueError, match=message):
        mask([np.ones(3)], 0.5, **{parameter: value})


def test_masks_of_other_tensors_are_refused():
    with pytest.raises(ValueError, match=r"masks must be for \[0\], got .* \[0, 1\]"):
        apply_masks([np.ones(2)], [np.ones(2, bool)] * 2)
    with pytest.raises(ValueError, match=r"mask of weight 0 has shape \(3,\)"):
        apply_masks([np.ones(2)], [np.ones(3, bool)])
    with pytest.raises(TypeError, match="mask of weight 0 must be boolean, got int"):
        apply_masks([np.ones(2)], [np.ones(2, int)])
    with pytest.raises(TypeError, match="masks must be a list"):
        apply_masks([np.ones(2)], np.ones(2, bool))
