"""Exact partners by one sorted column of labels, without the n x n matrix.

O(M log n) a draw with M = 21 distance shells a side at n = 1e6; no memory beyond the
arguments. Labels come in units of the bandwidth and ascend within each segment (group).
"""
# SPDX-License-Identifier: BSD-3-Clause

from cython.parallel cimport prange
from libc.math cimport exp, sqrt
from libc.stdint cimport uint64_t

from minimalml.mixup._random_streams cimport uniform

# Shells are half a bandwidth wide: shell m begins where the exponent has grown by m^2/8.
cdef double SHELL_WIDTH = 0.5
# exp(-m^2/8) * 2^63 < 2^-54 from m = 26 on: no row count needs more shells.
cdef enum:
    MAX_SHELLS = 32
# What is left out weighs less than half a rounding of what is in.
cdef double NEGLIGIBLE = 2.0 ** -54
cdef Py_ssize_t BLOCK = 512
cdef Py_ssize_t NO_CANDIDATE = -1
cdef Py_ssize_t UNDECIDED = -2


cdef inline bint is_past(double offset, double reach, bint strict) noexcept nogil:
    return offset > reach if strict else offset >= reach


cdef Py_ssize_t first_past(
    const double* y, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t hint,
    double origin, double reach, bint strict,
) noexcept nogil:
    """First k in [start, stop) with y[k] - origin past ``reach``, else ``stop``.

    Queries come sorted, so the answer is near the last one: gallop from there.
    """
    cdef Py_ssize_t low = start, high = stop, middle, step = 1
    hint = min(max(hint, start), stop)
    if hint < stop and not is_past(y[hint] - origin, reach, strict):
        low = hint + 1
        while low + step < stop and not is_past(y[low + step] - origin, reach, strict):
            low += step + 1
            step *= 2
        high = min(low + step, stop)
    else:
        high = hint
        while high - step >= start and is_past(y[high - step] - origin, reach, strict):
            high -= step
            step *= 2
        low = max(high - step, start)
    while low < high:
        middle = low + (high - low) // 2
        if is_past(y[middle] - origin, reach, strict):
            high = middle
        else:
            low = middle + 1
    return low


cdef inline double mass(
    const double* prefix, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    """Weight of the rows [start, stop); without weights, their number."""
    return prefix[stop] - prefix[start] if prefix != NULL else <double>(stop - start)


cdef Py_ssize_t row_at(
    const double* prefix, Py_ssize_t start, Py_ssize_t stop, double u
) noexcept nogil:
    """Row of [start, stop) at fraction ``u`` of their weight."""
    cdef Py_ssize_t low = start, high = stop - 1, middle
    cdef double target
    if prefix == NULL:
        return min(start + <Py_ssize_t>(u * (stop - start)), stop - 1)
    target = prefix[start] + u * (prefix[stop] - prefix[start])
    while low < high:
        middle = low + (high - low) // 2
        if prefix[middle + 1] > target:
            high = middle
        else:
            low = middle + 1
    return low


cdef Py_ssize_t draw_gaussian(
    const double* y, const double* prefix, double origin,
    Py_ssize_t first, Py_ssize_t left_stop, Py_ssize_t right_start, Py_ssize_t last,
    uint64_t seed, Py_ssize_t* right, Py_ssize_t* left,
) noexcept nogil:
    """One draw by rejection from shells; right and left hold the last query's edges."""
    cdef double nearest, start, reach, offset, u, bound, rest, total = 0.0
    cdef double[2 * MAX_SHELLS] masses
    cdef Py_ssize_t m = 0, shell, k
    cdef uint64_t counter = 0

    if left_stop == first and right_start == last:
        return NO_CANDIDATE
    if right_start == last:
        nearest = origin - y[left_stop - 1]
    elif left_stop == first:
        nearest = y[right_start] - origin
    else:
        nearest = min(origin - y[left_stop - 1], y[right_start] - origin)

    # Exponents are relative to the nearest candidate's, so nothing underflows and a
    # row far from all others is drawn for as exactly as any other.
    right[0], left[0] = right_start, left_stop
    while m < MAX_SHELLS:
        start = SHELL_WIDTH * m
        bound = exp(-0.5 * start * start)
        rest = mass(prefix, first, left[m]) + mass(prefix, right[m], last)
        if rest * bound <= NEGLIGIBLE * total:
            break
        start = SHELL_WIDTH * (m + 1)
        # sqrt(nearest^2 + start^2), without losing start beside a large nearest
        reach = nearest + start * start / (
            nearest + sqrt(nearest * nearest + start * start)
        )
        right[m + 1] = first_past(
            y, right[m], last, right[m + 1], origin, reach, False
        )
        left[m + 1] = first_past(y, first, left[m], left[m + 1], origin, -reach, True)
        masses[2 * m] = bound * mass(prefix, right[m], right[m + 1])
        masses[2 * m + 1] = bound * mass(prefix, left[m + 1], left[m])
        total += masses[2 * m]
        total += masses[2 * m + 1]
        m += 1
    if not total > 0.0:
        return UNDECIDED

    while True:
        counter += 3
        u = total * uniform(seed, counter - 2)
        shell = 0
        while shell < 2 * m - 1 and u >= masses[shell]:
            u -= masses[shell]
            shell += 1
        while masses[shell] == 0.0:  # rounding led past the last shell with rows
            shell -= 1
        k = shell // 2
        start = SHELL_WIDTH * k
        if shell % 2 == 0:
            k = row_at(prefix, right[k], right[k + 1], uniform(seed, counter - 1))
            offset = y[k] - origin
        else:
            k = row_at(prefix, left[k + 1], left[k], uniform(seed, counter - 1))
            offset = origin - y[k]
        u = 0.5 * (start * start - (offset - nearest) * (offset + nearest))
        if uniform(seed, counter) < exp(u):
            return k


def sample_partners_sorted(
    const double[::1] sorted_y,          # IN labels in bandwidths, ascending per segment
    const double[::1] weight_prefix,     # IN (n + 1,) sums of weights, or None
    const double[::1] query_y,           # IN best ascending: the search starts nearby
    const Py_ssize_t[::1] offsets,       # IN (n_segments + 1,) where segments begin
    const Py_ssize_t[::1] segment,       # IN of each query
    const Py_ssize_t[::1] left_stop,     # IN candidates in its segment lie before it
    const Py_ssize_t[::1] right_start,   # IN   or from it on
    const uint64_t[::1] seeds,           # IN one stream a query
    Py_ssize_t[::1] out,                 # OUT position; -1 no candidate, -2 no weight
    int n_threads,
):
    """Draw a position for each query with probability ~ weight * exp(-distance^2/2)."""
    cdef Py_ssize_t n_blocks = (out.shape[0] + BLOCK - 1) // BLOCK
    cdef Py_ssize_t b
    for b in prange(n_blocks, nogil=True, schedule="dynamic", num_threads=n_threads):
        _draw_block(
            sorted_y, weight_prefix, query_y, offsets, segment, left_stop, right_start,
            seeds, out, b * BLOCK, min((b + 1) * BLOCK, out.shape[0]),
        )


cdef void _draw_block(
    const double[::1] sorted_y,
    const double[::1] weight_prefix,
    const double[::1] query_y,
    const Py_ssize_t[::1] offsets,
    const Py_ssize_t[::1] segment,
    const Py_ssize_t[::1] left_stop,
    const Py_ssize_t[::1] right_start,
    const uint64_t[::1] seeds,
    Py_ssize_t[::1] out,
    Py_ssize_t begin,
    Py_ssize_t end,
) noexcept nogil:
    cdef const double* y = &sorted_y[0] if sorted_y.shape[0] > 0 else NULL
    cdef const double* prefix = NULL
    cdef Py_ssize_t[MAX_SHELLS + 1] right, left
    cdef Py_ssize_t q
    if weight_prefix is not None:
        prefix = &weight_prefix[0]
    for q in range(MAX_SHELLS + 1):
        right[q], left[q] = right_start[begin], left_stop[begin]
    for q in range(begin, end):
        out[q] = draw_gaussian(
            y, prefix, query_y[q], offsets[segment[q]], left_stop[q], right_start[q],
            offsets[segment[q] + 1], seeds[q], right, left,
        )


cdef Py_ssize_t draw_in_window(
    const double* y, const double* prefix, double origin, double reach,
    Py_ssize_t first, Py_ssize_t left_stop, Py_ssize_t right_start, Py_ssize_t last,
    uint64_t seed,
) noexcept nogil:
    cdef Py_ssize_t low = first_past(
        y, first, left_stop, left_stop, origin, -reach, False
    )
    cdef Py_ssize_t high = first_past(
        y, right_start, last, right_start, origin, reach, True
    )
    cdef double left_mass = mass(prefix, low, left_stop)
    cdef double right_mass = mass(prefix, right_start, high)
    if low == left_stop and high == right_start:
        return NO_CANDIDATE
    if not left_mass + right_mass > 0.0:
        return UNDECIDED
    if uniform(seed, 1) * (left_mass + right_mass) < left_mass:
        return row_at(prefix, low, left_stop, uniform(seed, 2))
    if right_mass > 0.0:
        return row_at(prefix, right_start, high, uniform(seed, 2))
    return row_at(prefix, low, left_stop, uniform(seed, 2))


def sample_partners_window(
    const double[::1] sorted_y,          # IN labels in bandwidths, ascending per segment
    const double[::1] weight_prefix,     # IN (n + 1,) sums of weights, or None
    const double[::1] query_y,           # IN
    const Py_ssize_t[::1] offsets,       # IN as above
    const Py_ssize_t[::1] segment,       # IN
    const Py_ssize_t[::1] left_stop,     # IN
    const Py_ssize_t[::1] right_start,   # IN
    double reach,                        # IN 1 for the tophat kernel, inf for uniform
    const uint64_t[::1] seeds,           # IN one stream a query
    Py_ssize_t[::1] out,                 # OUT position; -1 no candidate, -2 no weight
    int n_threads,
):
    """Draw a position for each query by weight among labels within ``reach``."""
    cdef const double* y = &sorted_y[0] if sorted_y.shape[0] > 0 else NULL
    cdef const double* prefix = NULL
    cdef Py_ssize_t q
    if weight_prefix is not None:
        prefix = &weight_prefix[0]
    for q in prange(
        out.shape[0], nogil=True, schedule="static", num_threads=n_threads
    ):
        out[q] = draw_in_window(
            y, prefix, query_y[q], reach, offsets[segment[q]], left_stop[q],
            right_start[q], offsets[segment[q] + 1], seeds[q],
        )
