"""Radix selection of small magnitudes over many tensors, none of them copied.

The bits of a non-negative float, read as an unsigned integer, are in the order of
the floats: with the sign bit masked off they are the key that is selected on.
"""
# O(n) time for each histogram and for the mask; memory: one histogram a thread.
# Tensors come as unsigned integers of their own width (float32 as uint32).

from cython.parallel cimport prange, threadid
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

import numpy as np

ctypedef fused bits:
    uint16_t
    uint32_t
    uint64_t

# Ties are ranked block by block, so the result does not depend on threads.
cdef enum:
    BLOCK = 65536


def histogram_magnitudes(
    const bits[::1] weights,    # IN
    uint64_t prefix,            # keys count whose bits above shift + width are these
    int shift,
    int width,
    uint64_t upper,             # keys count only below this
    uint64_t infinity,          # keys above this are NaN
    int64_t[:, ::1] counts,     # IN, OUT: (n_histograms, 2 ** width + 1), last: NaNs
    int n_threads,              # no more are used than there are histograms
):
    """Add the magnitudes' histogram over one digit to ``counts``."""
    cdef:
        Py_ssize_t n = weights.shape[0]
        Py_ssize_t n_blocks = (n + BLOCK - 1) // BLOCK
        Py_ssize_t block
        bits sign = <bits> 1 << (8 * sizeof(bits) - 1)
        bits above = <bits> prefix
        bits limit = <bits> min(upper, <uint64_t> (<bits> ~0))
        bits largest = <bits> infinity

    if n == 0:
        return
    n_threads = min(n_threads, <int> counts.shape[0])
    for block in prange(
        n_blocks, nogil=True, num_threads=n_threads, schedule="static"
    ):
        _histogram_block(
            &weights[block * BLOCK], min(BLOCK, n - block * BLOCK),
            <bits> (sign - 1), above, shift, width, limit, largest,
            &counts[threadid(), 0],
        )


def write_mask(
    const bits[::1] weights,      # IN
    uint64_t threshold,
    int64_t n_tied_to_prune,      # of the keys equal to threshold, the first ones
    uint8_t[::1] mask,            # OUT 1 = keep
    int n_threads,
):
    """Mark what to keep; return the number of ties pruned.

    A negative ``n_tied_to_prune`` prunes all ties.
    """
    cdef:
        Py_ssize_t n = weights.shape[0]
        Py_ssize_t n_blocks = (n + BLOCK - 1) // BLOCK
        Py_ssize_t block
        int64_t[::1] quota = _tie_quotas(weights, threshold, n_tied_to_prune, n_threads)

    if n == 0:
        return 0
    for block in prange(
        n_blocks, nogil=True, num_threads=n_threads, schedule="static"
    ):
        _mask_block(
            &weights[block * BLOCK], min(BLOCK, n - block * BLOCK),
            <bits> threshold, quota[block], &mask[block * BLOCK],
        )
    return np.maximum(quota, 0).sum()


def write_mask_and_zero(
    bits[::1] weights,            # IN, OUT: pruned weights become +0.0
    uint64_t threshold,
    int64_t n_tied_to_prune,
    uint8_t[::1] mask,            # OUT 1 = keep
    int n_threads,
):
    """As `write_mask`, zeroing the pruned weights while they are in cache."""
    cdef:
        Py_ssize_t n = weights.shape[0]
        Py_ssize_t n_blocks = (n + BLOCK - 1) // BLOCK
        Py_ssize_t block, length
        int64_t[::1] quota = _tie_quotas(weights, threshold, n_tied_to_prune, n_threads)

    if n == 0:
        return 0
    for block in prange(
        n_blocks, nogil=True, num_threads=n_threads, schedule="static"
    ):
        length = min(BLOCK, n - block * BLOCK)
        _mask_block(
            <const bits*> &weights[block * BLOCK], length, <bits> threshold,
            quota[block], &mask[block * BLOCK],
        )
        _zero_block(&weights[block * BLOCK], length, &mask[block * BLOCK])
    return np.maximum(quota, 0).sum()


def zero_masked(
    bits[::1] weights,            # IN, OUT
    const uint8_t[::1] mask,      # IN 1 = keep
    int n_threads,
):
    """Set the weights that ``mask`` does not keep to +0.0."""
    cdef:
        Py_ssize_t n = weights.shape[0]
        Py_ssize_t block

    if n == 0:
        return
    for block in prange(
        (n + BLOCK - 1) // BLOCK, nogil=True, num_threads=n_threads, schedule="static"
    ):
        _zero_block(
            &weights[block * BLOCK], min(BLOCK, n - block * BLOCK), &mask[block * BLOCK]
        )


cdef int64_t[::1] _tie_quotas(
    const bits[::1] weights, uint64_t threshold, int64_t n_tied_to_prune, int n_threads
):
    """Number of ties to prune in each block; -1 for all of them, uncounted."""
    cdef:
        Py_ssize_t n = weights.shape[0]
        Py_ssize_t n_blocks = (n + BLOCK - 1) // BLOCK
        Py_ssize_t block
        int64_t[::1] quota = np.full(n_blocks, min(n_tied_to_prune, 0), dtype=np.int64)
        int64_t left = n_tied_to_prune

    if n_tied_to_prune <= 0 or n == 0:
        return quota
    for block in prange(
        n_blocks, nogil=True, num_threads=n_threads, schedule="static"
    ):
        quota[block] = _count_block(
            &weights[block * BLOCK], min(BLOCK, n - block * BLOCK), <bits> threshold
        )
    for block in range(n_blocks):
        quota[block] = min(quota[block], left)
        left -= quota[block]
    return quota


cdef void _histogram_block(
    const bits* weights, Py_ssize_t n, bits magnitude, bits prefix, int shift,
    int width, bits upper, bits infinity, int64_t* counts,
) noexcept nogil:
    cdef:
        Py_ssize_t i
        bits key
        bits digit = <bits> ((<uint64_t> 1 << width) - 1)
        int64_t n_nan = 0
    for i in range(n):
        key = weights[i] & magnitude
        n_nan += key > infinity
        if (key >> (shift + width)) == prefix and key < upper:
            counts[(key >> shift) & digit] += 1
    counts[<Py_ssize_t> 1 << width] += n_nan


cdef int64_t _count_block(
    const bits* weights, Py_ssize_t n, bits threshold
) noexcept nogil:
    cdef:
        Py_ssize_t i
        bits magnitude = (<bits> 1 << (8 * sizeof(bits) - 1)) - 1
        int64_t count = 0
    for i in range(n):
        count += (weights[i] & magnitude) == threshold
    return count


cdef void _mask_block(
    const bits* weights, Py_ssize_t n, bits threshold, int64_t quota, uint8_t* mask
) noexcept nogil:
    cdef:
        Py_ssize_t i
        bits magnitude = (<bits> 1 << (8 * sizeof(bits) - 1)) - 1
        bits key
    if quota < 0:
        for i in range(n):
            mask[i] = (weights[i] & magnitude) > threshold
        return
    for i in range(n):
        mask[i] = (weights[i] & magnitude) >= threshold
    i = 0
    while quota > 0:
        key = weights[i] & magnitude
        if key == threshold:
            mask[i] = 0
            quota -= 1
        i += 1


cdef void _zero_block(bits* weights, Py_ssize_t n, const uint8_t* mask) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        weights[i] = weights[i] if mask[i] else 0
