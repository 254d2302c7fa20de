"""The best seen and the best unseen pairs of each row, in one pass over the scores.

O(n P) time; no memory beyond the (n, k) outputs, so that blocks of columns can be fed
one after the other where the whole score matrix would not fit.
"""

from cython cimport floating

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
    const unsigned char[::1] seen_group,  # IN, 0 unseen, 1 seen, else no candidate
    Py_ssize_t column_offset,  # IN, index of the block's first column
    double[:, :, ::1] values,  # IN and OUT, by group, row and rank; -inf where empty
    Py_ssize_t[:, :, ::1] indices,  # IN and OUT
    Py_ssize_t start,  # IN, first row of the chunk
    Py_ssize_t stop,  # IN
):
    """Merge a block of columns into the k best unseen and seen pairs of some rows."""
    cdef:
        Py_ssize_t n_columns = scores.shape[1], k = values.shape[2]
        Py_ssize_t i, j
        unsigned char group
        double value
    with nogil:
        for i in range(start, stop):
            for j in range(n_columns):
                value = scores[i, j]
                group = seen_group[j]
                if group < 2 and value > values[group, i, k - 1]:
                    insert(
                        value, column_offset + j, &values[group, i, 0],
                        &indices[group, i, 0], k,
                    )
