"""Cython = torch = brute force, bit for bit, in every dtype and thread count."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimalml.compression import global_magnitude_mask
from minimalml.compression._global_magnitude_pruning import (
    _magnitude_select,
    _selection,
)
from minimalml.compression._global_magnitude_pruning._ranking import masks_of_all

torch = pytest.importorskip("torch")
_magnitude_select_torch = pytest.importorskip(
    "minimalml.compression._global_magnitude_pruning._magnitude_select_torch"
)

pytestmark = pytest.mark.kernel
KEYS = {"float16": "uint16", "float32": "uint32", "float64": "uint64"}
ALL_DTYPES = [*KEYS, "bfloat16"]


def random_weights(dtype, seed, n=3000, distinct=40):
    """Weights with many ties, zeros of both signs, an infinity and a subnormal."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=distinct) * 2.0 ** rng.integers(-9, 9, distinct)
    weights = rng.choice(np.r_[values, 0.0, -0.0, np.inf, 6e-8], n)
    return torch.from_numpy(weights).to(getattr(torch, dtype))


def as_keys(tensor):
    width = 8 * tensor.element_size()
    keys = tensor.view(getattr(torch, f"int{width}"))
    return keys.numpy().view(f"uint{width}"), keys


@pytest.fixture
def torch_kernel_for_host_tensors(monkeypatch):
    def as_integers(flat, number_format):
        width = number_format.key_bits + 1
        return torch.as_tensor(flat).view(getattr(torch, f"int{width}"))

    monkeypatch.setattr(_selection, "_as_integers", as_integers)


@pytest.mark.parametrize("dtype", ALL_DTYPES)
@given(seed=st.integers(0, 2**32))
def test_histograms_agree_with_counting(dtype, seed):
    keys, torch_keys = as_keys(random_weights(dtype, seed))
    bits = 8 * keys.itemsize - 1
    infinity = _selection.FORMATS[dtype].infinity
    magnitude = (keys & (2**bits - 1)).astype(np.uint64)
    width = min(16, bits)
    prefix, shift = 0, bits - width
    for upper in (infinity + 1, int(np.median(magnitude))):
        counted = magnitude[magnitude < upper]
        digits = (counted >> np.uint64(shift)).astype(int)
        expected = np.bincount(digits, minlength=2**width + 1)
        ours = np.zeros((2, 2**width + 1), np.int64)
        _magnitude_select.histogram_magnitudes(
            keys, prefix, shift, width, upper, infinity, ours, 2
        )
        theirs = _magnitude_select_torch.empty_counts(width, "cpu")
        _magnitude_select_torch.histogram_magnitudes(
            torch_keys, prefix, shift, width, upper, infinity, theirs, 1
        )
        np.testing.assert_array_equal(ours.sum(0), expected)
        np.testing.assert_array_equal(theirs[0].numpy(), expected)


@pytest.mark.parametrize("dtype", ALL_DTYPES)
@given(seed=st.integers(0, 2**32), n_tied=st.integers(-1, 200))
def test_masks_agree_with_a_walk(dtype, seed, n_tied):
    weights = random_weights(dtype, seed)
    keys, torch_keys = as_keys(weights)
    magnitude = keys & (2 ** (8 * keys.itemsize - 1) - 1)
    threshold = int(np.random.default_rng(seed).choice(magnitude))
    tied = np.flatnonzero(magnitude == threshold)
    lost = tied if n_tied < 0 else tied[:n_tied]
    expected = magnitude >= threshold
    expected[lost] = False

    for kernel, source in (
        (_magnitude_select, keys), (_magnitude_select_torch, torch_keys)
    ):  # fmt: skip
        mask = np.zeros(len(keys), np.uint8)
        out = mask if kernel is _magnitude_select else torch.from_numpy(mask).bool()
        n_pruned = kernel.write_mask(source, threshold, n_tied, out, 2)
        np.testing.assert_array_equal(np.asarray(out, bool), expected)
        assert n_tied < 0 or int(n_pruned) == len(lost)
        changed = source.copy() if kernel is _magnitude_select else source.clone()
        kernel.write_mask_and_zero(changed, threshold, n_tied, out, 2)
        zeroed = np.asarray(changed)
        np.testing.assert_array_equal(zeroed, np.where(expected, source, 0))


@pytest.mark.parametrize("dtype", ALL_DTYPES)
@given(seed=st.integers(0, 2**32), sparsity=st.floats(0, 0.999))
def test_tensors_give_the_masks_of_arrays(dtype, seed, sparsity):
    tensors = [random_weights(dtype, seed + i).reshape(50, 60) for i in range(3)]
    arrays = [t.double().numpy() for t in tensors]
    masks = global_magnitude_mask(tensors, sparsity, min_weights=2)
    expected = global_magnitude_mask(arrays, sparsity, min_weights=2)
    for mask, array in zip(masks, expected, strict=True):
        assert mask.dtype == torch.bool
        np.testing.assert_array_equal(mask.numpy(), array)


@pytest.mark.usefixtures("torch_kernel_for_host_tensors")
@pytest.mark.parametrize("dtype", ALL_DTYPES)
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.77, 0.99])
@pytest.mark.parametrize("floor", [0, 20])
def test_the_torch_kernel_gives_the_same_masks(dtype, sparsity, floor):
    tensors = [random_weights(dtype, seed).reshape(50, 60) for seed in range(3)]
    arrays = [t.double().numpy() for t in tensors]
    tensors[1] = tensors[1] * 2**-7
    arrays[1] = arrays[1] * 2**-7
    masks = global_magnitude_mask(tensors, sparsity, min_weights=floor)
    for mask, (array, expected) in zip(
        masks, zip(arrays, reference(arrays, sparsity, floor), strict=True), strict=True
    ):
        np.testing.assert_array_equal(mask.numpy(), expected.reshape(array.shape))


@pytest.mark.parametrize("dtype", ALL_DTYPES)
@given(seed=st.integers(0, 2**32), sparsity=st.floats(0, 0.98))
def test_tensors_on_two_devices_share_one_threshold(dtype, seed, sparsity):
    def as_integers(flat, number_format):  # those of odd size stand for a device
        integers = flat.view(getattr(torch, f"int{number_format.key_bits + 1}"))
        if len(flat) % 2:
            return integers
        return integers.numpy().view(f"uint{number_format.key_bits + 1}")

    tensors = [random_weights(dtype, seed + i, n=500 + i) for i in range(4)]
    expected = reference([t.double().numpy() for t in tensors], sparsity, 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_selection, "_as_integers", as_integers)
        masks = global_magnitude_mask(tensors, sparsity, min_weights=7)
    for mask, other in zip(masks, expected, strict=True):
        np.testing.assert_array_equal(mask.numpy(), other)


def reference(arrays, sparsity, floor):
    """Protect each tensor's largest, then drop the smallest of the rest."""
    sizes = [a.size for a in arrays]
    magnitude = np.abs(np.concatenate([a.ravel() for a in arrays]))
    layer = np.repeat(np.arange(len(sizes)), sizes)
    protected = np.zeros(magnitude.size, bool)
    for index in range(len(sizes)):
        inside = np.flatnonzero(layer == index)
        order = inside[np.argsort(magnitude[inside], kind="stable")]
        protected[order[len(order) - floor :]] = True
    rest = np.flatnonzero(~protected)
    rest = rest[np.argsort(magnitude[rest], kind="stable")]
    keep = np.ones(magnitude.size, bool)
    keep[rest[: int(np.floor(sparsity * magnitude.size + 1e-9))]] = False
    return np.split(keep, np.cumsum(sizes)[:-1])


@pytest.mark.parametrize("dtype", KEYS)
def test_threads_do_not_change_the_result(dtype):
    sizes = (620_000, 1_000, 2_000)  # 10 blocks, for more threads than histograms
    arrays = {
        i: random_weights(dtype, i, n=n, distinct=5).numpy()
        for i, n in enumerate(sizes)
    }
    results = [
        masks_of_all(arrays, 312_345, dict.fromkeys(arrays, 900), "exact", "exact",
                     n_threads=n_threads)
        for n_threads in (1, 2, 10)
    ]  # fmt: skip
    expected = reference(list(arrays.values()), 312_345 / 623_000, 900)
    for masks in results:
        for name, mask in masks.items():
            np.testing.assert_array_equal(mask, expected[name])


@pytest.mark.parametrize("dtype", KEYS)
def test_memory_is_a_byte_a_weight_and_two_megabytes(dtype):
    arrays = {i: random_weights(dtype, i, n=500_000).numpy() for i in range(4)}
    tracemalloc.start()
    masks_of_all(
        arrays, 1_500_000, dict.fromkeys(arrays, 100), "exact", "exact", n_threads=2
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= 2_000_000 + 2_000_000


def test_read_only_and_mapped_arrays_work(tmp_path, rng):
    weights = rng.normal(size=(300, 40)).astype(np.float32)
    np.save(tmp_path / "weights.npy", weights)
    mapped = np.load(tmp_path / "weights.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        global_magnitude_mask([mapped], 0.9)[0],
        global_magnitude_mask([weights], 0.9)[0],
    )


def test_views_and_gradients_are_accepted(rng):
    values = torch.from_numpy(rng.normal(size=(40, 30))).requires_grad_()
    masks = global_magnitude_mask([values.T, values[::2]], 0.5)
    arrays = [values.detach().numpy().T, values.detach().numpy()[::2]]
    for mask, other in zip(masks, global_magnitude_mask(arrays, 0.5), strict=True):
        np.testing.assert_array_equal(mask.numpy(), other)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_nan_in_a_tensor_is_refused(dtype):
    bad = torch.tensor([1.0, float("nan")]).to(getattr(torch, dtype))
    with pytest.raises(ValueError, match="weight 0 contains NaN"):
        global_magnitude_mask([bad], 0.5)


def test_mixed_tensors_rank_by_value():
    values = torch.arange(1.0, 41.0)
    weights = [values[:10].bfloat16(), values[10:20].half(), values[20:].double()]
    masks = global_magnitude_mask([*weights, np.zeros(10, np.float32)], 0.6)
    assert [int(mask.sum()) for mask in masks] == [0, 0, 20, 0]
