"""The magnitude of a given rank over many tensors, exactly, and masks cut there.

Few weights are partitioned in a copy. Of many, a histogram of the leading 16 bits over
all tensors tells in which bin the rank lies, and the next histogram looks into that bin
alone: tensors are read in place, and may lie in files and on devices.
"""

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from minimalml._core.arrays import is_torch_tensor, to_numpy
from minimalml._core.models.named_arrays import size_of
from minimalml._core.threads import effective_n_threads, for_each_chunk
from minimalml.compression._global_magnitude_pruning import _magnitude_select

# Bytes that a partition may copy: so far it is faster, by a factor of 2 to 3.
PARTITION_BYTES = 2**22
# Measured on a 2.4 GHz core: a histogram or a mask takes about this long a weight.
SECONDS_PER_WEIGHT = 1e-9
CHUNK = 2**18
# One a thread, 0.5 MB each: adding up more costs what further threads would save.
MAX_HISTOGRAMS = 8


class NumberFormat(NamedTuple):
    """How the bits of a float make a key: how many, and which of infinity."""

    name: str
    key_bits: int
    infinity: int

    def value_of(self, key):
        """Return the magnitude whose key is ``key``, as a float."""
        if self.name == "bfloat16":
            return float(np.array(key << 16, np.uint32).view(np.float32))
        return float(np.array(key, f"uint{self.key_bits + 1}").view(self.name))


FORMATS = {
    f.name: f
    for f in (
        NumberFormat("float16", 15, 0x7C00),
        NumberFormat("bfloat16", 15, 0x7F80),
        NumberFormat("float32", 31, 0x7F800000),
        NumberFormat("float64", 63, 0x7FF0000000000000),
    )
}


class Cut(NamedTuple):
    """What is pruned: keys below ``key``, and the first ``n_ties`` that equal it."""

    key: int
    n_ties: int


class Threshold(NamedTuple):
    """The key of the largest magnitude that goes, and how many have it, and go."""

    key: int
    n_ties: int
    n_ties_to_prune: int

    def cut(self, ties="exact"):
        """Return the cut; one between two magnitudes has no ties to count."""
        if ties == "threshold":
            return Cut(self.key, 0)
        if self.n_ties_to_prune == self.n_ties:
            return Cut(self.key + 1, 0)
        return Cut(self.key, self.n_ties_to_prune)


def format_of(weights):
    """Return the number format of an array or tensor, None if it has none of ours."""
    if is_torch_tensor(weights):
        return FORMATS.get(str(weights.dtype).removeprefix("torch."))
    return FORMATS.get(weights.dtype.newbyteorder("=").name)


def common_format(weights):
    """Return the narrowest format that holds the values of all tensors exactly."""
    formats = {format_of(tensor) for tensor in weights.values()}
    if len(formats) == 1:
        return formats.pop()
    return FORMATS["float64" if FORMATS["float64"] in formats else "float32"]


def find_threshold(weights, n_prune, number_format, *, uppers=None, extra=()):
    """Find the magnitude of rank ``n_prune``, 1 the smallest; refuse NaN.

    Of tensors in ``uppers`` only keys below theirs count; cuts in ``extra`` add theirs
    as often as they have ties.
    """
    uppers = uppers or {}
    n_bytes = sum(map(size_of, weights.values())) * (number_format.key_bits + 1) // 8
    devices = {t.device.type for t in weights.values() if is_torch_tensor(t)}
    is_small = devices <= {"cpu"} and n_bytes <= PARTITION_BYTES
    find = _by_partition if is_small else _by_radix
    threshold = find(weights, max(n_prune, 1), number_format, uppers, extra)
    # NaN had to be looked for even where nothing goes
    return threshold if n_prune else Threshold(0, 1, 0)


def write_mask(tensor, mask, cut, number_format):
    """Write the keep mask of one tensor; return how many ties it pruned."""
    keys, mask = keys_of(tensor, number_format), mask.reshape(-1)
    if is_torch_tensor(keys):
        return _torch_kernels().write_mask(keys, *cut, mask)
    mask = _bytes_of(mask)
    n_ties = np.zeros(-(-len(keys) // CHUNK), dtype=np.int64)  # to prune in each chunk
    if cut.n_ties > 0:

        def count(start, stop):
            n_ties[start // CHUNK] = _magnitude_select.count_ties(
                keys, start, stop, cut.key
            )

        _for_each_chunk(count, len(keys))
        n_ties = np.diff(np.minimum(np.cumsum(n_ties), int(cut.n_ties)), prepend=0)

    def write(start, stop):
        n_here = n_ties[start // CHUNK]
        _magnitude_select.write_mask(keys, start, stop, cut.key, n_here, mask)

    _for_each_chunk(write, len(keys))
    return int(n_ties.sum())


def zero_masked(tensor, mask):
    """Set what ``mask`` does not keep to +0.0, in place."""
    number_format = format_of(tensor)
    keys = number_format and keys_of(tensor, number_format)
    place = tensor.data_ptr() if is_torch_tensor(tensor) else tensor.ctypes.data
    if not isinstance(keys, np.ndarray) or keys.ctypes.data != place:  # no view
        tensor[~mask] = 0
        return
    mask = _bytes_of(mask.reshape(-1))

    def zero(start, stop):
        _magnitude_select.zero_masked(keys, start, stop, mask)

    _for_each_chunk(zero, len(keys))


def refuse_nan(weights):
    """Raise a ValueError that names the first tensor with a NaN, if there is one."""
    for name, tensor in weights.items():
        if (tensor != tensor).any():
            raise ValueError(f"weight {name!r} contains NaN.")


def keys_of(tensor, number_format):
    """Return the bits of a tensor's values, flat, unsigned (on a device signed)."""
    width = number_format.key_bits + 1
    if not is_torch_tensor(tensor):
        flat = np.ascontiguousarray(tensor, dtype=number_format.name).reshape(-1)
        return flat.view(f"uint{width}")
    import torch

    flat = tensor.detach().to(getattr(torch, number_format.name)).contiguous().view(-1)
    integers = flat.view(getattr(torch, f"int{width}"))
    # host memory is shared with NumPy, and the compiled kernel is 10 times faster
    if integers.device.type == "cpu":
        return integers.numpy().view(f"uint{width}")
    return integers


def _by_partition(weights, n_prune, number_format, uppers, extra):
    largest, stop = 2**number_format.key_bits - 1, 0
    n = sum(map(size_of, weights.values())) + sum(cut.n_ties for cut in extra)
    copied = np.empty(n, f"uint{number_format.key_bits + 1}")
    for name, tensor in weights.items():
        keys = keys_of(tensor, number_format)
        keys = np.bitwise_and(keys, largest, out=copied[stop : stop + len(keys)])
        if keys.max(initial=0) > number_format.infinity:
            refuse_nan(weights)
        if name in uppers:
            counted = keys[keys < uppers[name]]
            keys = keys[: len(counted)]
            keys[:] = counted
        stop += len(keys)
    for cut in extra:
        copied[stop : stop + cut.n_ties] = cut.key
        stop += cut.n_ties
    keys = copied[:stop]
    keys.partition(n_prune - 1)
    key = keys[n_prune - 1]
    n_to_prune = n_prune - np.count_nonzero(keys[:n_prune] < key)
    n_ties = n_to_prune + np.count_nonzero(keys[n_prune:] == key)
    return Threshold(int(key), int(n_ties), int(n_to_prune))


def _by_radix(weights, n_prune, number_format, uppers, extra):
    prefix, left, shift = 0, n_prune, number_format.key_bits
    while shift:
        width = min(shift, 16)
        shift -= width
        counts = _histogram(weights, number_format, (prefix, shift, width), uppers)
        if counts[-1]:
            refuse_nan(weights)
        for cut in extra:
            if cut.key >> (shift + width) == prefix:
                counts[(cut.key >> shift) & (2**width - 1)] += cut.n_ties
        cumulative = np.cumsum(counts[:-1], out=counts[:-1])
        digit = int(np.searchsorted(cumulative, left))
        n_below = int(cumulative[digit - 1]) if digit else 0
        prefix, left = prefix << width | digit, left - n_below
    return Threshold(prefix, int(cumulative[digit]) - n_below, left)


def _histogram(weights, number_format, digit, uppers):
    """Return how often each value of a digit occurs, and last the number of NaNs."""
    largest = max(map(size_of, weights.values()))
    n_histograms = min(_n_threads(largest), MAX_HISTOGRAMS)
    histograms = np.zeros((n_histograms, 2 ** digit[-1] + 1), dtype=np.int64)
    free, on_devices = deque(histograms), {}
    for name, tensor in weights.items():
        keys = keys_of(tensor, number_format)
        upper = uppers.get(name, number_format.infinity + 1)
        options = *digit, upper, number_format.infinity
        if is_torch_tensor(keys):
            counts = _torch_kernels().histogram(keys, *options)
            on_devices[keys.device] = on_devices.get(keys.device, 0) + counts
            continue

        def count(start, stop, keys=keys, options=options):
            counts = free.pop()
            _magnitude_select.add_histogram(keys, start, stop, *options, counts)
            free.append(counts)

        _for_each_chunk(count, len(keys), n_histograms)
    # the only wait for devices, once a pass
    return sum(map(to_numpy, on_devices.values()), start=histograms.sum(axis=0))


def _torch_kernels():
    from minimalml.compression._global_magnitude_pruning import _magnitude_select_torch

    return _magnitude_select_torch


def _for_each_chunk(work, n_weights, n_threads=math.inf):
    n_threads = min(n_threads, _n_threads(n_weights))
    for_each_chunk(work, n_weights, chunk_size=CHUNK, n_threads=n_threads)


def _n_threads(n_weights):
    return effective_n_threads(n_weights, SECONDS_PER_WEIGHT)


def _bytes_of(mask):
    mask = mask.numpy() if is_torch_tensor(mask) else mask
    return np.ascontiguousarray(mask).view(np.uint8)
