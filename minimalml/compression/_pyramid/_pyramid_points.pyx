# Points of the pyramid, integers whose sizes sum to n_pulses: the one nearest in direction
# to each row, its number, and the point of a number.
#
# All are called for rows [start, stop), of n numbers. Finding: O(n * min(n, n_pulses))
# time for the pulses one by one, and O(n) for each pulse that an alternation moves.

from cython cimport floating
from libc.math cimport fabs, sqrt
from libc.stdint cimport int16_t, int64_t, uint64_t

cdef enum:
    N_ROUNDS = 10  # of the alternation; two do nearly always

cdef double GAIN = 1 + 1e-12  # that a round must bring in the cosine: more than rounding


def project_rows(
    const floating[:, ::1] rows,    # IN (n_rows, n)
    int n_pulses,
    bint refine,
    double[:, ::1] work,            # WORK (4, n)
    int16_t[:, ::1] points,         # OUT (n_rows, n)
    Py_ssize_t start,
    Py_ssize_t stop,
):
    """Set the points whose directions are nearest to those of the rows."""
    cdef Py_ssize_t i, j, n = rows.shape[1]
    cdef double *sizes = &work[0, 0]
    cdef double *pulses = &work[1, 0]
    cdef double largest
    cdef int _round
    with nogil:
        for i in range(start, stop):
            largest = 0
            for j in range(n):
                largest = max(largest, fabs(rows[i, j]))
            if largest == 0:
                points[i, :] = 0
                points[i, 0] = <int16_t> n_pulses
                continue
            for j in range(n):
                sizes[j] = fabs(<double> rows[i, j]) / largest
            place_pulses(sizes, pulses, n, n_pulses)
            if refine:
                for _round in range(N_ROUNDS):
                    if not alternate(
                        sizes, pulses, &work[2, 0], &work[3, 0], n, n_pulses
                    ):
                        break
            for j in range(n):
                points[i, j] = <int16_t> (pulses[j] if rows[i, j] >= 0 else -pulses[j])


cdef void place_pulses(
    const double* sizes,            # IN (n,) from 0 to 1
    double* pulses,                 # OUT (n,) whole numbers
    Py_ssize_t n,
    int n_pulses,
) noexcept nogil:
    """Share out the pulses in proportion, and those left one by one."""
    cdef double total = 0, left = n_pulses, product = 0, square = 0
    cdef double score, norm, best_score, best_norm
    cdef Py_ssize_t j, best
    for j in range(n):
        total += sizes[j]
    for j in range(n):
        # by a cast, since floor is a call; rounding is too small for a pulse too many
        pulses[j] = <int64_t> (n_pulses * sizes[j] / total)
        left -= pulses[j]
        product += sizes[j] * pulses[j]
        square += pulses[j] * pulses[j]
    while left > 0:
        square += 1
        best, best_score, best_norm = 0, -1, 1
        for j in range(n):
            score = product + sizes[j]
            score *= score
            norm = square + 2 * pulses[j]
            if score * best_norm > best_score * norm:
                best, best_score, best_norm = j, score, norm
        product += sizes[best]
        square += 2 * pulses[best]
        pulses[best] += 1
        left -= 1


cdef bint alternate(
    const double* sizes,            # IN (n,)
    double* pulses,                 # IN, OUT (n,)
    double* target,                 # WORK (n,)
    double* candidate,              # WORK (n,)
    Py_ssize_t n,
    int n_pulses,
) noexcept nogil:
    """Take the point nearest to the row at its best scale; say whether it is better."""
    cdef double product = 0, square = 0, new_product = 0, new_square = 0, total = 0
    cdef double move, rounding, largest
    cdef Py_ssize_t j, best
    for j in range(n):
        product += sizes[j] * pulses[j]
        square += pulses[j] * pulses[j]
    for j in range(n):
        target[j] = sizes[j] / (product / square)
        candidate[j] = <int64_t> (target[j] + 0.5)
        total += candidate[j]
    while total != n_pulses:
        move = 1 if total < n_pulses else -1
        best, largest = -1, 0
        for j in range(n):
            rounding = move * (target[j] - candidate[j])
            if (move > 0 or candidate[j] > 0) and (best < 0 or rounding > largest):
                best, largest = j, rounding
        candidate[best] += move
        total += move
    for j in range(n):
        new_product += sizes[j] * candidate[j]
        new_square += candidate[j] * candidate[j]
    if new_product / sqrt(new_square) <= GAIN * (product / sqrt(square)):
        return False
    for j in range(n):
        pulses[j] = candidate[j]
    return True


# Numbers go by the first coordinate, in the order 0, 1, -1, 2, -2..., then by the next.
# sums[m, k] is the number of points of m coordinates with fewer than k pulses, modulo
# 2^64; what is taken from it here is never larger than that.


def encode_points(
    const int16_t[:, ::1] points,   # IN (n_rows, n), of n_pulses each
    const uint64_t[:, ::1] sums,    # IN (n, n_pulses + 2)
    uint64_t[::1] indices,          # OUT (n_rows,)
    Py_ssize_t start,
    Py_ssize_t stop,
):
    """Set the numbers of points."""
    cdef Py_ssize_t i, j, n = points.shape[1], n_after, left, size
    cdef uint64_t index
    with nogil:
        for i in range(start, stop):
            index, left, j = 0, sums.shape[1] - 2, 0
            while left > 0:
                n_after, size = n - 1 - j, points[i, j]
                if size != 0:
                    size = size if size > 0 else -size
                    index += sums[n_after, left + 1] - sums[n_after, left]
                    index += 2 * (
                        sums[n_after, left] - sums[n_after, left - size + 1]
                    )
                    left -= size
                    if points[i, j] < 0:
                        index += sums[n_after, left + 1] - sums[n_after, left]
                j += 1
            indices[i] = index


def decode_indices(
    const uint64_t[::1] indices,    # IN (n_rows,)
    const uint64_t[:, ::1] sums,    # IN (n, n_pulses + 2)
    int16_t[:, ::1] points,         # OUT (n_rows, n)
    Py_ssize_t start,
    Py_ssize_t stop,
):
    """Set the points of numbers."""
    cdef Py_ssize_t i, j, n = points.shape[1], n_after, left, size, low, high
    cdef uint64_t index, count
    with nogil:
        for i in range(start, stop):
            index, left = indices[i], sums.shape[1] - 2
            for j in range(n):
                n_after = n - 1 - j
                count = sums[n_after, left + 1] - sums[n_after, left]  # of value 0
                if index < count:
                    points[i, j] = 0
                    continue
                index -= count
                low, high = 1, left  # the size, which doubling and halving find
                while index >= 2 * (sums[n_after, left] - sums[n_after, left - low]):
                    low *= 2
                    if low > left:
                        low = left
                high, low = low, low // 2 + 1
                while low < high:
                    size = (low + high) // 2
                    if index < 2 * (sums[n_after, left] - sums[n_after, left - size]):
                        high = size
                    else:
                        low = size + 1
                index -= 2 * (sums[n_after, left] - sums[n_after, left - low + 1])
                left -= low
                count = sums[n_after, left + 1] - sums[n_after, left]  # of a sign
                points[i, j] = <int16_t> (low if index < count else -low)
                if index >= count:
                    index -= count
