# Lazy greedy facility location: the gains of rows fall as picks are added, so a row whose
# stale gain is below another's fresh one need not be looked at.
#
# A gain costs O(n_columns); worst case O(n_rows n_columns n_picks), in practice few rows
# are evaluated twice. Memory beside the matrix: O(n_rows + n_columns).

from cython cimport floating
from numpy cimport intp_t


cdef double gain(
    const floating* row, double sign, const double* weights, const double* current,
    Py_ssize_t n_columns,
) noexcept nogil:
    """Sum of weights * max(0, sign * row - current), always in the same order."""
    cdef double sums[4]
    cdef double rise
    cdef Py_ssize_t j, k, n_blocked = n_columns - n_columns % 4
    sums[0] = sums[1] = sums[2] = sums[3] = 0.0
    for j in range(0, n_blocked, 4):
        for k in range(4):
            rise = sign * row[j + k] - current[j + k]
            sums[k] += weights[j + k] * (rise if rise > 0 else 0.0)
    for j in range(n_blocked, n_columns):
        rise = sign * row[j] - current[j]
        sums[0] += weights[j] * (rise if rise > 0 else 0.0)
    return (sums[0] + sums[1]) + (sums[2] + sums[3])


def weighted_sums(
    const floating[:, ::1] matrix,  # IN
    double sign,
    const double[::1] weights,      # IN
    double[::1] sums,               # OUT
    Py_ssize_t start,
    Py_ssize_t stop,
):
    """Values of the rows [start, stop) as the first pick."""
    cdef Py_ssize_t i, j
    cdef double total
    with nogil:
        for i in range(start, stop):
            total = 0.0
            for j in range(matrix.shape[1]):
                total += weights[j] * (sign * matrix[i, j])
            sums[i] = total


def gains_of_rows(
    const floating[:, ::1] matrix,  # IN
    double sign,
    const double[::1] weights,      # IN
    const double[::1] current,      # IN
    double[::1] gains,              # OUT
    Py_ssize_t start,
    Py_ssize_t stop,
):
    """Gains of the rows [start, stop)."""
    cdef Py_ssize_t i
    with nogil:
        for i in range(start, stop):
            gains[i] = gain(
                &matrix[i, 0], sign, &weights[0], &current[0], matrix.shape[1]
            )


cdef inline bint is_before(const double* gains, intp_t left, intp_t right) noexcept nogil:
    return gains[left] > gains[right] or (gains[left] == gains[right] and left < right)


cdef void sift_down(intp_t* heap, Py_ssize_t size, const double* gains) noexcept nogil:
    """Move the top of the heap to its place."""
    cdef Py_ssize_t place = 0, child
    cdef intp_t row = heap[0]
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and is_before(gains, heap[child + 1], heap[child]):
            child += 1
        if not is_before(gains, heap[child], row):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = row


def add_picks(
    const floating[:, ::1] matrix,  # IN
    double sign,
    const double[::1] weights,      # IN
    double[::1] current,            # INOUT: the best of the picks, by column
    double[::1] gains,              # INOUT: by row, upper bounds
    intp_t[::1] heap,               # INOUT: rows that may be picked
    Py_ssize_t heap_size,
    bint is_fresh,                  # whether all gains are those of the present picks
    intp_t[::1] picks,              # OUT
):
    """Fill ``picks``; return the number of gains that were evaluated."""
    cdef Py_ssize_t n_evaluations = 0, number, j
    cdef intp_t row, fresh_row
    with nogil:
        for number in range(picks.shape[0]):
            fresh_row = heap[0] if is_fresh else -1
            while heap[0] != fresh_row:  # the row that was just evaluated stayed on top
                fresh_row = heap[0]
                gains[fresh_row] = gain(
                    &matrix[fresh_row, 0], sign, &weights[0], &current[0],
                    matrix.shape[1],
                )
                n_evaluations += 1
                sift_down(&heap[0], heap_size, &gains[0])
            row = heap[0]
            picks[number] = row
            for j in range(matrix.shape[1]):
                current[j] = max(current[j], sign * matrix[row, j])
            heap_size -= 1
            heap[0] = heap[heap_size]
            sift_down(&heap[0], heap_size, &gains[0])
            is_fresh = False
    return n_evaluations
