"""The threshold below which magnitudes are among the smallest, exactly.

Digit by digit: a histogram of the leading 16 bits over all tensors tells in which
bin the wanted rank lies, the next histogram looks into that bin alone. Histograms
add, so tensors may lie in files, on devices or in other processes.
"""

import math
from typing import NamedTuple

import numpy as np

from minimalml._core.arrays import is_torch_tensor
from minimalml._core.threads import effective_n_threads
from minimalml.compression._global_magnitude_pruning import _magnitude_select

# Converting to a common format needs memory only for one block at a time.
CONVERSION_BLOCK = 2**18
# Measured on a 2.4 GHz core: a histogram or a mask takes about this long a weight.
SECONDS_PER_WEIGHT = 1e-9
# One a thread, 0.5 MB each. Adding up 8 of them costs as much as what further threads
# would save on 4 million weights: counting takes n / threads, adding threads * 2 ** 16.
MAX_HISTOGRAMS = 8


class NumberFormat(NamedTuple):
    """How the bits of a float make a key: its width, and the key of infinity."""

    name: str
    key_bits: int
    infinity: int

    def value_of(self, key):
        """Return the magnitude whose key is ``key``, as a float."""
        if self.name == "bfloat16":
            return float(np.array(key << 16, np.uint32).view(np.float32))
        bits = f"uint{self.key_bits + 1}"
        return float(np.array(key, bits).view(self.name))


FORMATS = {
    f.name: f
    for f in (
        NumberFormat("float16", 15, 0x7C00),
        NumberFormat("bfloat16", 15, 0x7F80),
        NumberFormat("float32", 31, 0x7F800000),
        NumberFormat("float64", 63, 0x7FF0000000000000),
    )
}


class Threshold(NamedTuple):
    """Where a ranking by magnitude is cut.

    Attributes
    ----------
    key : int
        Bits of the largest magnitude pruned.
    n_below : int
        Weights below it.
    n_tied : int
        Weights of exactly this magnitude.
    n_tied_to_prune : int
        How many of those are pruned.
    """

    key: int
    n_below: int
    n_tied: int
    n_tied_to_prune: int


def format_of(weights):
    """Return the number format of an array or tensor, None if it has none of ours."""
    if is_torch_tensor(weights):
        return FORMATS.get(str(weights.dtype).removeprefix("torch."))
    return FORMATS.get(weights.dtype.newbyteorder("=").name)


def common_format(weights):
    """Return the narrowest format that holds the values of all tensors exactly."""
    return narrowest_format({format_of(tensor) for tensor in weights.values()})


def narrowest_format(formats):
    """Return the narrowest format that holds the values of all of a set's."""
    if len(formats) == 1:
        return next(iter(formats))
    return FORMATS["float64" if FORMATS["float64"] in formats else "float32"]


def find_threshold(
    weights,
    n_prune,
    number_format,
    *,
    uppers=None,
    extra=(),
    reduce=None,
    n_threads=None,
):
    """Find the magnitude of rank ``n_prune`` over all tensors, 1 the smallest.

    Parameters
    ----------
    weights : dict of arrays or tensors

    n_prune : int
        At least 1, at most the number of weights counted.

    number_format : NumberFormat
        Format of the keys.

    uppers : dict of int, default=None
        For some tensors, count only the keys below this.

    extra : iterable of (key, count), default=()
        Further weights to count.

    reduce : callable, default=None
        Maps this process's int64 counts to those of all processes.

    n_threads : int, default=None
        None lets scikit-learn's rule decide.

    Raises
    ------
    ValueError
        If a weight is NaN.
    """
    prefix, n_below, shift = 0, 0, number_format.key_bits
    while shift:
        width = min(shift, 16)
        shift -= width
        counts = _histogram(
            weights, number_format, (prefix, shift, width), uppers or {}, n_threads
        )
        for key, count in extra:
            if key >> (shift + width) == prefix:
                counts[(key >> shift) & (2**width - 1)] += count
        counts = reduce(counts) if reduce else counts
        if counts[-1]:
            name = name_of_nan(weights) or "a weight of another process"
            raise ValueError(f"{name} contains NaN.")
        cumulative = np.cumsum(counts[:-1], out=counts[:-1])
        digit = int(np.searchsorted(cumulative, n_prune - n_below))
        n_before = int(cumulative[digit - 1]) if digit else 0
        prefix = prefix << width | digit
        n_below += n_before
        n_tied = int(cumulative[digit]) - n_before
    return Threshold(prefix, n_below, n_tied, n_prune - n_below)


def write_mask(
    tensor, mask, key, n_tied_to_prune, number_format, *, zero=False, n_threads=None
):
    """Write the keep mask of one tensor; return how many ties it pruned.

    A negative ``n_tied_to_prune`` prunes all ties and counts none. ``zero`` also
    zeroes the pruned weights: `is_native` must hold and the tensor be contiguous.
    """
    verb = "write_mask_and_zero" if zero else "write_mask"
    flat_mask, n_pruned = mask.reshape(-1), 0
    for part, keys in _key_blocks(tensor, number_format):
        kernel, out = _kernel_of(keys), flat_mask[part]
        left = n_tied_to_prune - n_pruned
        if kernel is _magnitude_select:
            out = (out.numpy() if is_torch_tensor(out) else out).view(np.uint8)
            left = int(left)
        threads = _n_threads(keys.shape[0], n_threads)
        n_pruned = n_pruned + getattr(kernel, verb)(keys, key, left, out, threads)
    return n_pruned


def zero_masked(tensor, mask, n_threads=None):
    """Set what ``mask`` does not keep to +0.0, in place, where kernels can."""
    number_format = format_of(tensor)
    if number_format is None or not can_be_zeroed(tensor, number_format):
        tensor[~mask] = 0
        return
    keys = _as_integers(tensor.reshape(-1), number_format)
    kernel, flat_mask = _kernel_of(keys), mask.reshape(-1)
    if kernel is _magnitude_select:
        if is_torch_tensor(flat_mask):
            flat_mask = flat_mask.numpy()
        flat_mask = np.ascontiguousarray(flat_mask).view(np.uint8)
    kernel.zero_masked(keys, flat_mask, _n_threads(keys.shape[0], n_threads))


def can_be_zeroed(tensor, number_format):
    """Whether `write_mask` can zero the tensor in place."""
    if not _is_native(tensor, number_format):
        return False
    if is_torch_tensor(tensor):
        return tensor.is_contiguous()
    return tensor.flags.c_contiguous and tensor.flags.writeable


def name_of_nan(weights):
    """Name the first tensor that holds NaN, or return None."""
    for name, tensor in weights.items():
        for part in _converted_blocks(tensor, FORMATS["float64"]):
            if (part != part).any():
                return f"weight {name!r}"
    return None


def _histogram(weights, number_format, digit, uppers, n_threads):
    prefix, shift, width = digit
    largest = max((math.prod(w.shape) for w in weights.values()), default=0)
    n_histograms = min(_n_threads(largest, n_threads), MAX_HISTOGRAMS)
    on_host = np.zeros((n_histograms, 2**width + 1), dtype=np.int64)
    on_devices = {}
    for name, tensor in weights.items():
        upper = uppers.get(name, number_format.infinity + 1)
        for _, keys in _key_blocks(tensor, number_format):
            kernel, counts = _kernel_of(keys), on_host
            if kernel is not _magnitude_select:
                counts = on_devices.setdefault(
                    keys.device, kernel.empty_counts(width, keys.device)
                )
            kernel.histogram_magnitudes(
                keys,
                *(prefix, shift, width, upper, number_format.infinity),
                counts,
                _n_threads(keys.shape[0], n_threads),
            )
    counts = on_host[0]
    for others in on_host[1:]:
        counts += others
    for others in on_devices.values():
        counts += others[0].cpu().numpy()  # what a pass waits for, once a device
    return counts


def _n_threads(n_weights, n_threads):
    return effective_n_threads(n_weights, SECONDS_PER_WEIGHT, n_threads)


def _key_blocks(tensor, number_format):
    """Yield a tensor's weights as flat integers, with the slice that each covers."""
    if _is_native(tensor, number_format):
        yield slice(None), _as_integers(tensor.reshape(-1), number_format)
        return
    start = 0
    for block in _converted_blocks(tensor, number_format):
        stop = start + block.shape[0]
        yield slice(start, stop), _as_integers(block, number_format)
        start = stop


def _converted_blocks(tensor, number_format):
    flat = tensor.reshape(-1)
    for start in range(0, flat.shape[0], CONVERSION_BLOCK):
        block = flat[start : start + CONVERSION_BLOCK]
        if is_torch_tensor(block):
            import torch

            yield block.to(getattr(torch, number_format.name))
        else:
            yield block.astype(number_format.name)


def _is_native(tensor, number_format):
    if format_of(tensor) != number_format:
        return False
    return is_torch_tensor(tensor) or tensor.dtype.isnative


def _as_integers(flat, number_format):
    width = number_format.key_bits + 1
    if not is_torch_tensor(flat):
        return np.ascontiguousarray(flat).view(f"uint{width}")
    import torch

    integers = flat.detach().view(getattr(torch, f"int{width}"))
    # host memory is shared with NumPy, and the compiled kernel is 10 times faster
    if integers.device.type == "cpu":
        return integers.numpy().view(f"uint{width}")
    return integers


def _kernel_of(keys):
    if not is_torch_tensor(keys):
        return _magnitude_select
    from minimalml.compression._global_magnitude_pruning import _magnitude_select_torch

    return _magnitude_select_torch
