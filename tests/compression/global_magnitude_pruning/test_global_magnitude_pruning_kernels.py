"""Cython = torch = brute force, bit for bit, in every dtype and thread count."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimalml.compression import apply_masks, global_magnitude_mask
from minimalml.compression._global_magnitude_pruning import (
    _magnitude_select,
    _selection,
)

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


def both_keys(tensor):
    width = 8 * tensor.element_size()
    keys = tensor.view(getattr(torch, f"int{width}"))
    return keys.numpy().view(f"uint{width}"), keys


@pytest.fixture
def many_weights(monkeypatch):
    """Take the road of many weights for few, in chunks of three hundred."""
    monkeypatch.setattr(_selection, "PARTITION_BYTES", 0)
    monkeypatch.setattr(_selection, "CHUNK", 300)


@pytest.fixture
def no_host(monkeypatch, many_weights):
    """Treat tensors on the host as those of a device."""
    monkeypatch.setattr(_selection, "keys_of", keys_on_device)


def keys_on_device(tensor, number_format):
    values = torch.as_tensor(tensor).to(getattr(torch, number_format.name))
    integers = getattr(torch, f"int{number_format.key_bits + 1}")
    return values.contiguous().view(-1).view(integers)


@pytest.mark.parametrize("dtype", ALL_DTYPES)
@given(seed=st.integers(0, 2**32))
def test_histograms_agree_with_counting(dtype, seed):
    keys, torch_keys = both_keys(random_weights(dtype, seed))
    bits = 8 * keys.itemsize - 1
    infinity = _selection.FORMATS[dtype].infinity
    magnitude = (keys & (2**bits - 1)).astype(np.uint64)
    width = min(16, bits)
    prefix, shift = 0, bits - width
    for upper in (infinity + 1, int(np.median(magnitude))):
        counted = magnitude[magnitude < upper]
        digits = (counted >> np.uint64(shift)).astype(int)
        expected = np.bincount(digits, minlength=2**width + 1)
        ours = np.zeros(2**width + 1, np.int64)
        options = prefix, shift, width, upper, infinity
        for start, stop in ((0, 1000), (1000, 1001), (1001, 3000)):
            _magnitude_select.add_histogram(keys, start, stop, *options, ours)
        theirs = _magnitude_select_torch.histogram(torch_keys, *options)
        np.testing.assert_array_equal(ours, expected)
        np.testing.assert_array_equal(theirs.numpy(), expected)


@pytest.mark.parametrize("dtype", ALL_DTYPES)
@given(seed=st.integers(0, 2**32), n_ties=st.integers(0, 200))
def test_masks_agree_with_a_walk(dtype, seed, n_ties):
    keys, torch_keys = both_keys(random_weights(dtype, seed))
    magnitude = keys & (2 ** (8 * keys.itemsize - 1) - 1)
    threshold = int(np.random.default_rng(seed).choice(magnitude))
    tied = np.flatnonzero(magnitude == threshold)
    assert _magnitude_select.count_ties(keys, 0, len(keys), threshold) == len(tied)
    expected = magnitude >= threshold
    expected[tied[:n_ties]] = False
    ours, theirs = np.zeros(len(keys), np.uint8), torch.zeros(len(keys)).bool()
    n_ties = min(n_ties, len(tied))
    _magnitude_select.write_mask(keys, 0, len(keys), threshold, n_ties, ours)
    assert n_ties == _magnitude_select_torch.write_mask(
        torch_keys, threshold, n_ties, theirs
    )
    np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(theirs.numpy(), expected)
    changed = keys.copy()
    _magnitude_select.zero_masked(changed, 0, len(keys), ours)
    np.testing.assert_array_equal(changed, np.where(expected, keys, 0))


@pytest.mark.parametrize("dtype", ALL_DTYPES)
@given(seed=st.integers(0, 2**32), sparsity=st.floats(0, 0.8), floor=st.integers(0, 60))
def test_few_and_many_weights_are_cut_alike(dtype, seed, sparsity, floor):
    tensors = [random_weights(dtype, seed + i, n=500 + i) for i in range(3)]
    expected = reference([t.double().numpy() for t in tensors], sparsity, floor)
    for n_bytes in (0, 2**22):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_selection, "PARTITION_BYTES", n_bytes)
            patch.setattr(_selection, "CHUNK", 170)
            masks = global_magnitude_mask(tensors, sparsity, min_weights=floor)
        for mask, other in zip(masks, expected, strict=True):
            np.testing.assert_array_equal(mask.numpy(), other)


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


@pytest.mark.usefixtures("no_host")
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
    on_host = _selection.keys_of

    def keys_of(tensor, number_format):  # those of odd size stand for a device
        keys = keys_on_device if tensor.numel() % 2 else on_host
        return keys(tensor, number_format)

    tensors = [random_weights(dtype, seed + i, n=500 + i) for i in range(4)]
    expected = reference([t.double().numpy() for t in tensors], sparsity, 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_selection, "keys_of", keys_of)
        patch.setattr(_selection, "PARTITION_BYTES", 0)
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
@pytest.mark.parametrize("n_threads", [1, 2, 10])
def test_threads_do_not_change_the_result(dtype, n_threads, many_weights, monkeypatch):
    monkeypatch.setattr(_selection, "CHUNK", 7000)
    monkeypatch.setattr(_selection, "_n_threads", lambda n: n_threads)
    weights = [
        random_weights(dtype, i, n=n, distinct=5) for i, n in enumerate((62_000, 1000))
    ]
    arrays = [w.numpy() for w in weights]
    masks = global_magnitude_mask(arrays, n_keep=31_765, min_weights=900)
    expected = reference(arrays, 31_235 / 63_000, 900)
    for mask, other in zip(masks, expected, strict=True):
        np.testing.assert_array_equal(mask, other)
    pruned = apply_masks(weights, [torch.from_numpy(mask) for mask in masks])
    for tensor, array, mask in zip(pruned, arrays, masks, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), np.where(mask, array, 0))


@pytest.mark.parametrize("dtype", KEYS)
def test_memory_is_a_byte_a_weight_and_two_megabytes(dtype, monkeypatch):
    monkeypatch.setattr(_selection, "_n_threads", lambda n: 2)
    arrays = [random_weights(dtype, i, n=750_000).numpy() for i in range(4)]
    tracemalloc.start()
    global_magnitude_mask(arrays, 0.75, min_weights=100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= 3_000_000 + 2_000_000


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
