# The semi-dual of k-sparse transport: the k largest scores of each column, projected onto
# its simplex. O(m + k log k log m) a column of random order, O(m log k) at worst; no
# memory but `entries` and `rows`.
#
# Each call does the columns [start, stop), whose results no other call writes, so that no
# bit depends on who did which.

from cython cimport floating
from libc.math cimport INFINITY
from numpy cimport intp_t


cdef inline bint is_before(
    const double* score, const intp_t* row, intp_t i, intp_t j
) noexcept nogil:
    """Whether entry i has to go before entry j: it is smaller, or equal and lower down."""
    return score[i] < score[j] or (score[i] == score[j] and row[i] > row[j])


cdef void sift_down(double* score, intp_t* row, intp_t i, intp_t size) noexcept nogil:
    """Let entry i of a heap, whose root is the first to go, sink to its place."""
    cdef intp_t child
    while True:
        child = 2 * i + 1
        if child + 1 < size and is_before(score, row, child + 1, child):
            child += 1
        if child >= size or not is_before(score, row, child, i):
            return
        score[i], score[child] = score[child], score[i]
        row[i], row[child] = row[child], row[i]
        i = child


cdef void make_heap(double* score, intp_t* row, intp_t size) noexcept nogil:
    cdef intp_t i
    for i in range(size // 2 - 1, -1, -1):
        sift_down(score, row, i, size)


cdef intp_t take_largest(
    const floating* cost, const double* alpha, intp_t m, double reach, intp_t k,
    double* score, intp_t* row,
) noexcept nogil:
    """Put the k largest alpha - cost in descending order, and return how many these are.

    What lies more than ``reach`` = reg b below the largest gets nothing, and may be left
    out. Of equal scores the lower row comes first.
    """
    cdef intp_t i, size = 0
    cdef double s, largest = -INFINITY, least = -INFINITY
    for i in range(m):
        s = alpha[i] - cost[i]
        if s < least or (size == k and s <= score[0]):
            continue
        if size < k:
            score[size], row[size] = s, i
            size += 1
            if size == k:
                make_heap(score, row, k)
        else:
            score[0], row[0] = s, i
            sift_down(score, row, 0, k)
        largest = max(largest, s)
        least = largest - reach
        if size == k:
            least = max(least, score[0])
    if size < k:
        make_heap(score, row, size)
    for i in range(size - 1, 0, -1):
        score[0], score[i] = score[i], score[0]
        row[0], row[i] = row[i], row[0]
        sift_down(score, row, 0, i)
    return size


def semi_dual(
    const floating[:, ::1] costs,   # IN (n, m) a column of the plan in each row
    const double[::1] alpha,        # IN (m,)
    const double[::1] b,            # IN (n,)
    double reg,
    double[::1] thetas,             # OUT (n,) thresholds of the scores
    double[::1] values,             # OUT (n,) h of the columns
    intp_t[::1] sizes,              # OUT (n,) non-zeros of the columns
    double[::1] row_sums,           # IN, OUT (m,) what these columns take from the rows
    double[:, ::1] entries,         # OUT (s, k) non-zeros, the largest first
    intp_t[:, ::1] rows,            # OUT (s, k) their rows; s < stop - start: the last ones
    intp_t start,
    intp_t stop,
):
    """Solve columns for given potentials of the rows."""
    cdef intp_t i, j, size, m = costs.shape[1], k = entries.shape[1]
    cdef double largest, total, theta, excess, value
    cdef double* t
    cdef intp_t* row
    with nogil:
        for j in range(start, stop):
            i = (j - start) % entries.shape[0]
            t, row = &entries[i, 0], &rows[i, 0]
            size = take_largest(&costs[j, 0], &alpha[0], m, reg * b[j], k, t, row)
            # Scores less the largest: sums then round by eps b_j, not by eps |score|
            largest, total, theta = t[0], 0.0, -INFINITY
            for i in range(size):
                total += t[i] - largest
                excess = (total - reg * b[j]) / (i + 1)
                if excess <= theta:
                    size = i
                    break
                theta = excess
            value = largest * b[j]
            for i in range(size):
                excess = t[i] - largest
                t[i] = max(0.0, (excess - theta) / reg)
                value += t[i] * (excess - 0.5 * reg * t[i])
                row_sums[row[i]] += t[i]
            thetas[j], values[j], sizes[j] = largest + theta, value, size
