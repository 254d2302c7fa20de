"""Exact partners by one sorted column of labels, without the n x n matrix.

O(M log n) a draw with M = 21 distance shells a side at n = 1e6, which neighbours share;
no memory beyond the arguments. Labels come in units of the bandwidth and ascend within
each segment (group).
"""

import numpy as np

from libc.math cimport INFINITY, exp, fabs, floor, isinf, sqrt
from libc.stdint cimport uint64_t

from minimalml._core.random_streams cimport uniform

# Shells are half a bandwidth wide: shell m begins where the exponent has grown by m^2/8.
cdef double SHELL_WIDTH = 0.5
# Queries of one cell share their shells: distances from its centre then bound their own
# up to half a cell. Widths of cells and shells are powers of two, so the grid is exact.
cdef double CELL_WIDTH = 0.25
# exp(-(m/2 - 1/8)^2/2) * 2^63 < 2^-54 from m = 26 on: no row count needs more shells.
cdef enum:
    MAX_SHELLS = 32
# What is left out weighs less than half a rounding of what is in.
cdef double NEGLIGIBLE = 2.0 ** -54
cdef enum:
    NO_CANDIDATE = -1
    NO_WEIGHT = -2
UNDECIDED = NO_WEIGHT


cdef struct Labels:
    const double* y       # in bandwidths, ascending per segment
    const double* prefix  # sums of weights, or NULL


cdef struct Query:
    double origin            # its label
    uint64_t seed
    Py_ssize_t first         # where its segment begins
    Py_ssize_t left_stop     # its candidates lie before it
    Py_ssize_t right_start   # or from it on
    Py_ssize_t last          # where its segment ends


cdef struct Shells:
    double centre        # distances to the shells' edges are from it
    double slack         # queries are at most that far from it
    double nearest       # distance of the nearest candidate, 0 where slack is not
    double total
    Py_ssize_t first     # where the segment begins
    Py_ssize_t n_shells  # a side
    Py_ssize_t[MAX_SHELLS + 1] right
    Py_ssize_t[MAX_SHELLS + 1] left
    double[2 * MAX_SHELLS] masses


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


cdef inline double mass(const Labels* labels, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Weight of the rows [start, stop); without weights, their number."""
    if labels.prefix == NULL:
        return <double>(stop - start)
    return labels.prefix[stop] - labels.prefix[start]


cdef Py_ssize_t row_at(
    const Labels* labels, Py_ssize_t start, Py_ssize_t stop, double u
) noexcept nogil:
    """Row of [start, stop) at fraction ``u`` of their weight."""
    cdef Py_ssize_t low = start, high = stop - 1, middle
    cdef double target = u * mass(labels, start, stop)
    if labels.prefix == NULL:
        return min(start + <Py_ssize_t>target, stop - 1)
    target += labels.prefix[start]
    while low < high:
        middle = low + (high - low) // 2
        if labels.prefix[middle + 1] > target:
            high = middle
        else:
            low = middle + 1
    return low


cdef inline double least_distance(const Shells* shells, Py_ssize_t m) noexcept nogil:
    """How close a query may be to the rows of shell ``m``."""
    return max(SHELL_WIDTH * m - shells.slack, 0.0)


cdef void build_shells(const Labels* labels, const Query* query, Shells* shells) noexcept nogil:
    """Cut the candidates into shells around the centre, and bound each one's mass.

    Exponents are relative to the nearest candidate's, so nothing underflows and a row
    far from all others is drawn for as exactly as any other.
    """
    cdef Py_ssize_t m = 0
    cdef double start, reach, bound, rest, nearest = shells.nearest
    cdef Py_ssize_t* right = shells.right
    cdef Py_ssize_t* left = shells.left
    shells.first = query.first
    shells.total = 0.0
    right[0], left[0] = query.right_start, query.left_stop
    while m < MAX_SHELLS:
        start = least_distance(shells, m)
        bound = exp(-0.5 * start * start)
        rest = mass(labels, query.first, left[m]) + mass(labels, right[m], query.last)
        if rest * bound <= NEGLIGIBLE * shells.total:
            break
        start = SHELL_WIDTH * (m + 1)
        # sqrt(nearest^2 + start^2), without losing start beside a large nearest
        reach = nearest + start * start / (
            nearest + sqrt(nearest * nearest + start * start)
        )
        # the edges of the last shells are a good guess: centres come sorted
        right[m + 1] = first_past(
            labels.y, right[m], query.last, right[m + 1], shells.centre, reach, False
        )
        left[m + 1] = first_past(
            labels.y, query.first, left[m], left[m + 1], shells.centre, -reach, True
        )
        shells.masses[2 * m] = bound * mass(labels, right[m], right[m + 1])
        shells.masses[2 * m + 1] = bound * mass(labels, left[m + 1], left[m])
        shells.total += shells.masses[2 * m]
        shells.total += shells.masses[2 * m + 1]
        m += 1
    shells.n_shells = m


cdef Py_ssize_t draw_from_shells(
    const Labels* labels, const Query* query, const Shells* shells
) noexcept nogil:
    """One draw by rejection."""
    cdef double offset, u, start, nearest = shells.nearest
    cdef Py_ssize_t shell, k
    cdef uint64_t counter = 0
    if not shells.total > 0.0:
        return NO_WEIGHT
    while True:
        counter += 3
        u = shells.total * uniform(query.seed, counter - 2)
        shell = 0
        while shell < 2 * shells.n_shells - 1 and u >= shells.masses[shell]:
            u -= shells.masses[shell]
            shell += 1
        while shells.masses[shell] == 0.0:  # rounding led past the last one with rows
            shell -= 1
        k = shell // 2
        start = least_distance(shells, k)
        u = uniform(query.seed, counter - 1)
        if shell % 2 == 0:
            k = row_at(labels, shells.right[k], shells.right[k + 1], u)
        else:
            k = row_at(labels, shells.left[k + 1], shells.left[k], u)
        offset = fabs(labels.y[k] - query.origin)
        u = 0.5 * (start * start - (offset - nearest) * (offset + nearest))
        if uniform(query.seed, counter) < exp(u):
            return k


cdef Py_ssize_t draw_gaussian(const Labels* labels, Query* query, Shells* shells) noexcept nogil:
    """One draw; builds new shells unless the last query's serve."""
    cdef double nearest = INFINITY
    cdef double centre = (floor(query.origin / CELL_WIDTH) + 0.5) * CELL_WIDTH
    if query.left_stop > query.first:
        nearest = query.origin - labels.y[query.left_stop - 1]
    if query.right_start < query.last:
        nearest = min(nearest, labels.y[query.right_start] - query.origin)
    shells.nearest = nearest
    # Only where no candidate is excluded and one is right here do all of a cell see the
    # same candidates at nearly the same distance.
    if (
        query.left_stop < query.right_start
        or nearest > 0.0
        or fabs(query.origin - centre) > CELL_WIDTH / 2  # so large that it rounds
    ):
        shells.centre, shells.slack = query.origin, 0.0
        build_shells(labels, query, shells)
    elif shells.slack == 0.0 or shells.centre != centre or shells.first != query.first:
        query.left_stop = first_past(
            labels.y, query.first, query.last, query.left_stop, centre, 0.0, False
        )
        query.right_start = query.left_stop
        shells.centre, shells.slack = centre, CELL_WIDTH / 2
        build_shells(labels, query, shells)
    return draw_from_shells(labels, query, shells)


cdef Py_ssize_t draw_in_window(
    const Labels* labels, const Query* query, double reach, Shells* shells
) noexcept nogil:
    """One draw among the labels within ``reach``: the window is a single shell."""
    cdef double left_mass, right_mass, u = uniform(query.seed, 2)
    cdef Py_ssize_t low = query.first, high = query.last
    if not isinf(reach):
        low = first_past(
            labels.y, low, query.left_stop, shells.left[0], query.origin, -reach, False
        )
        high = first_past(
            labels.y, query.right_start, high, shells.right[0], query.origin, reach, True
        )
        shells.left[0], shells.right[0] = low, high
    if low == query.left_stop and high == query.right_start:
        return NO_CANDIDATE
    left_mass = mass(labels, low, query.left_stop)
    right_mass = mass(labels, query.right_start, high)
    if not left_mass + right_mass > 0.0:
        return NO_WEIGHT
    if right_mass == 0.0 or uniform(query.seed, 1) * (left_mass + right_mass) < left_mass:
        return row_at(labels, low, query.left_stop, u)
    return row_at(labels, query.right_start, high, u)


def sample_partners_sorted(
    const double[::1] sorted_y,          # IN labels in bandwidths, ascending per segment
    const double[::1] weight_prefix,     # IN (n + 1,) sums of weights, or None
    const double[::1] query_y,           # IN best ascending: the search starts nearby
    const Py_ssize_t[::1] offsets,       # IN (n_segments + 1,) where segments begin
    const Py_ssize_t[::1] segment,       # IN of each query
    const Py_ssize_t[::1] left_stop,     # IN candidates in its segment lie before it
    const Py_ssize_t[::1] right_start,   # IN   or from it on
    double reach,                        # IN 0 Gaussian, 1 tophat, inf uniform kernel
    const uint64_t[::1] seeds,           # IN one stream a query
    Py_ssize_t[::1] out,                 # OUT position; -1 no candidate, -2 no weight
    Py_ssize_t start,                    # IN first of the queries that are answered
    Py_ssize_t stop,                     # IN end of them
):
    """Draw a position for each query with probability ~ weight * kernel(distance)."""
    cdef Labels labels
    cdef Query query
    cdef Shells shells
    cdef Py_ssize_t q
    labels.y = &sorted_y[0] if sorted_y.shape[0] > 0 else NULL
    labels.prefix = &weight_prefix[0] if weight_prefix is not None else NULL
    with nogil:
        shells.slack = 0.0  # nothing to share yet
        for q in range(MAX_SHELLS + 1):
            shells.right[q], shells.left[q] = right_start[start], left_stop[start]
        for q in range(start, stop):
            query = Query(
                query_y[q], seeds[q], offsets[segment[q]], left_stop[q], right_start[q],
                offsets[segment[q] + 1],
            )
            if query.left_stop == query.first and query.right_start == query.last:
                out[q] = NO_CANDIDATE
            elif reach == 0.0:
                out[q] = draw_gaussian(&labels, &query, &shells)
            else:
                out[q] = draw_in_window(&labels, &query, reach, &shells)


def uniform_numbers(
    const uint64_t[::1] seeds,  # IN one stream each
    uint64_t counter,           # IN which number of the stream
):
    """Return a number of each stream, in [0, 1)."""
    cdef Py_ssize_t k, n_streams = seeds.shape[0]
    cdef double[::1] numbers = np.empty(n_streams)
    for k in range(n_streams):
        numbers[k] = uniform(seeds[k], counter)
    return np.asarray(numbers)
