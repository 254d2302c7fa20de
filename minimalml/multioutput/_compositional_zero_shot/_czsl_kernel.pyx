"""The best seen and the best unseen pairs of each row, in one pass over the scores.

O(n P) time; no memory beyond the (n, k) outputs, so that blocks of columns can be fed
one after the other where the whole score matrix would not fit.
"""

from cython cimport floating

# What seen_group holds for a column.
cdef enum:
    UNSEEN = 0
    SEEN = 1


cdef inline void insert(
    double value,  # IN
    Py_ssize_t index,  # IN
    double* values,  # IN and OUT, falling
    Py_ssize_t* indices,  # IN and OUT
    Py_ssize_t k,
) noexcept nogil:
    """Put a value above values[k - 1] in its place; the lower index wins a tie."""
    cdef Py_ssize_t place = k - 1
    while place > 0 and values[place - 1] < value:
        values[place] = values[place - 1]
        indices[place] = indices[place - 1]
        place = place - 1
    values[place] = value
    indices[place] = index


def update_top_pairs(
    const floating[:, ::1] scores,  # IN, a block of columns
    const unsigned char[::1] seen_group,  # IN, other than 0 and 1: not a candidate
    Py_ssize_t column_offset,  # IN, index of the block's first column
    double[:, ::1] seen_values,  # IN and OUT, -inf where nothing was found yet
    Py_ssize_t[:, ::1] seen_indices,  # IN and OUT
    double[:, ::1] unseen_values,  # IN and OUT
    Py_ssize_t[:, ::1] unseen_indices,  # IN and OUT
    Py_ssize_t start,  # IN, first row of the chunk
    Py_ssize_t stop,  # IN
):
    """Merge a block of columns into the k best seen and unseen pairs of some rows."""
    cdef:
        Py_ssize_t n_columns = scores.shape[1], k = seen_values.shape[1]
        Py_ssize_t i, j
        double value
    with nogil:
        for i in range(start, stop):
            for j in range(n_columns):
                value = scores[i, j]
                if seen_group[j] == SEEN:
                    if value > seen_values[i, k - 1]:
                        insert(
                            value, column_offset + j, &seen_values[i, 0],
                            &seen_indices[i, 0], k,
                        )
                elif seen_group[j] == UNSEEN:
                    if value > unseen_values[i, k - 1]:
                        insert(
                            value, column_offset + j, &unseen_values[i, 0],
                            &unseen_indices[i, 0], k,
                        )
