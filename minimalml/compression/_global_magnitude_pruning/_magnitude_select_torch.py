"""Radix selection of small magnitudes on any torch device.

The twin of ``_magnitude_select.pyx``. Tensors come as signed integers of their own
width (float32 as int32). Nothing here waits for the device: counts stay on it.
"""

import torch

# Bounds the int64 temporaries that scatter_add_ asks for: 128 MB at 2 ** 23.
CHUNK = 2**23


def histogram(weights, prefix, shift, width, upper, infinity):
    """Return the histogram of one digit of the keys, and last the number of NaNs."""
    counts = weights.new_zeros(2**width + 1, dtype=torch.int64)
    # scatter_add_ rather than bincount, which asks a GPU for the largest key first
    for chunk in weights.split(CHUNK):
        keys = _magnitude_keys(chunk)
        counted = (keys >> (shift + width)) == prefix
        if upper <= infinity:
            counted &= keys < upper
        digits = ((keys >> shift) & (2**width - 1)).long()
        counts.scatter_add_(0, digits, counted.long())
        counts[-1] += (keys > infinity).sum()
    return counts


def write_mask(weights, threshold, n_ties, mask):
    """Mark what to keep; return the number of ties pruned, on the device if any."""
    keys = _magnitude_keys(weights)
    torch.ge(keys, threshold, out=mask)
    if isinstance(n_ties, int) and n_ties == 0:
        return 0
    n_ties = torch.as_tensor(n_ties, device=weights.device)
    tied = keys == threshold
    mask &= ~(tied & (tied.cumsum(0) <= n_ties))
    return torch.minimum(tied.sum(), n_ties)


def _magnitude_keys(weights):
    return weights & torch.iinfo(weights.dtype).max
