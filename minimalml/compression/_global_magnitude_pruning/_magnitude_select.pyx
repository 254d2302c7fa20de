"""Radix selection of small magnitudes: histograms of keys, and masks, chunk by chunk.

The bits of a non-negative float, read as an unsigned integer, are in the order of the
floats: with the sign bit masked off they are the key that is selected on.
"""
# Each function takes O(stop - start) time on one thread without the GIL, and writes to
# its own places only. Weights come as unsigned integers of their width. Pointers, since
# a view's own fields might change with each byte that is written.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

ctypedef fused bits:
    uint16_t
    uint32_t
    uint64_t


def add_histogram(
    const bits[::1] weights,    # IN
    Py_ssize_t start,
    Py_ssize_t stop,
    uint64_t prefix,            # keys count whose bits above shift + width are these
    int shift,
    int width,
    uint64_t upper,             # keys count only below this
    uint64_t infinity,          # keys above this are NaN
    int64_t[::1] counts,        # IN, OUT: (2 ** width + 1,), last: NaNs
):
    """Add the histogram of one digit of the keys to ``counts``."""
    cdef:
        Py_ssize_t i
        bits key
        bits magnitude = (<bits> 1 << (8 * sizeof(bits) - 1)) - 1
        bits digit = <bits> ((<uint64_t> 1 << width) - 1)
        bits above = <bits> prefix
        bits limit = <bits> min(upper, <uint64_t> (<bits> ~0))
        bits largest = <bits> infinity
        const bits* values = &weights[0]
        int64_t* count = &counts[0]
        int64_t n_nan = 0

    with nogil:
        for i in range(start, stop):
            key = values[i] & magnitude
            n_nan += key > largest
            if (key >> (shift + width)) == above and key < limit:
                count[(key >> shift) & digit] += 1
        count[<Py_ssize_t> 1 << width] += n_nan


def count_ties(
    const bits[::1] weights,    # IN
    Py_ssize_t start,
    Py_ssize_t stop,
    uint64_t threshold,
):
    """Count the keys that equal ``threshold``."""
    cdef:
        Py_ssize_t i
        bits magnitude = (<bits> 1 << (8 * sizeof(bits) - 1)) - 1
        bits key = <bits> threshold
        const bits* values = &weights[0]
        int64_t count = 0

    with nogil:
        for i in range(start, stop):
            count += (values[i] & magnitude) == key
    return count


def write_mask(
    const bits[::1] weights,    # IN
    Py_ssize_t start,
    Py_ssize_t stop,
    uint64_t threshold,         # smaller keys are pruned
    int64_t n_ties,             # and so many of those that equal it, the first ones
    uint8_t[::1] mask,          # OUT: 1 = keep
):
    """Mark what to keep; there must be ``n_ties`` keys that equal ``threshold``."""
    cdef:
        Py_ssize_t i
        bits magnitude = (<bits> 1 << (8 * sizeof(bits) - 1)) - 1
        bits key = <bits> threshold
        const bits* values = &weights[0]
        uint8_t* keep = &mask[0]

    with nogil:
        for i in range(start, stop):
            keep[i] = (values[i] & magnitude) >= key
        i = start
        while n_ties > 0:
            if (values[i] & magnitude) == key:
                keep[i] = 0
                n_ties -= 1
            i += 1


def zero_masked(
    bits[::1] weights,          # IN, OUT
    Py_ssize_t start,
    Py_ssize_t stop,
    const uint8_t[::1] mask,    # IN: 1 = keep
):
    """Set the weights that ``mask`` does not keep to +0.0."""
    cdef:
        Py_ssize_t i
        bits* values = &weights[0]
        const uint8_t* keep = &mask[0]

    with nogil:
        for i in range(start, stop):
            values[i] = values[i] if keep[i] else 0
