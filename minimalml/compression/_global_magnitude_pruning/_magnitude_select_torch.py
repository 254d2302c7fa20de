"""Radix selection of small magnitudes on any torch device.

The twin of ``_magnitude_select.pyx``. Tensors come as signed integers of their own
width (float32 as int32). Nothing here waits for the device: counts stay on it.
"""

import torch

# Bounds the int64 temporaries that scatter_add_ asks for: 128 MB at 2 ** 23.
CHUNK = 2**23


def empty_counts(width, device):
    """Return zeroed counts for `histogram_magnitudes` on a device."""
    return torch.zeros((1, 2**width + 1), dtype=torch.int64, device=device)


def histogram_magnitudes(
    weights, prefix, shift, width, upper, infinity, counts, n_threads
):
    """Add the magnitudes' histogram over one digit to ``counts[0]``."""
    # scatter_add_ rather than bincount, which asks a GPU for the largest key first
    for chunk in weights.split(CHUNK):
        keys = _magnitude_keys(chunk)
        counted = (keys >> (shift + width)) == prefix
        if upper <= infinity:
            counted &= keys < upper
        digits = ((keys >> shift) & (2**width - 1)).long()
        counts[0].scatter_add_(0, digits, counted.long())
        counts[0, -1] += (keys > infinity).sum()


def write_mask(weights, threshold, n_tied_to_prune, mask, n_threads):
    """Mark what to keep; return the number of ties pruned, as a tensor."""
    keys = _magnitude_keys(weights)
    if not isinstance(n_tied_to_prune, torch.Tensor) and n_tied_to_prune <= 0:
        compare = torch.gt if n_tied_to_prune < 0 else torch.ge
        compare(keys, threshold, out=mask)
        return 0
    tied = keys == threshold
    quota = torch.as_tensor(n_tied_to_prune, device=weights.device)
    torch.gt(keys, threshold, out=mask)
    mask |= tied & (tied.cumsum(0) > quota)
    return torch.minimum(tied.sum(), quota)


def write_mask_and_zero(weights, threshold, n_tied_to_prune, mask, n_threads):
    """As `write_mask`, zeroing the pruned weights."""
    n_pruned = write_mask(weights, threshold, n_tied_to_prune, mask, n_threads)
    zero_masked(weights, mask, n_threads)
    return n_pruned


def zero_masked(weights, mask, n_threads):
    """Set the weights that ``mask`` does not keep to +0.0."""
    weights.masked_fill_(~mask, 0)


def _magnitude_keys(weights):
    return weights & torch.iinfo(weights.dtype).max
