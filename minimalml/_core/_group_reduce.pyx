# Sums and largest rows by group: O(n d) time, one read of the rows, group by group.
#
# Each call does the groups [start, stop), whose results no other call writes, so that
# no bit depends on who did which groups.

from cython cimport floating
from numpy cimport intp_t


def sort_codes(
    const intp_t[::1] codes,    # IN   (n_samples,) groups in [0, n_groups)
    intp_t[::1] places,         # WORK (n_groups,) first place of each group
    intp_t[::1] order,          # OUT  (n_samples,) rows by group, stably
):
    """Sort rows by group by counting."""
    cdef intp_t i
    with nogil:
        for i in range(codes.shape[0]):
            order[places[codes[i]]] = i
            places[codes[i]] += 1


def group_sum(
    const floating[:, ::1] values,  # IN   (n_samples, n_columns)
    const intp_t[::1] order,        # IN   (n_samples,)
    const intp_t[::1] offsets,      # IN   (n_groups + 1,)
    const double[::1] weight,       # IN   (n_samples,) or None
    double[:, ::1] sums,            # OUT  (n_groups, n_columns), zeroed
    intp_t start,
    intp_t stop,
):
    """Add up the rows of each group, in double."""
    cdef intp_t g, k, i, j, n_columns = values.shape[1]
    cdef bint has_weight = weight is not None
    cdef double w = 1.0
    cdef const floating* row
    cdef double* total
    if n_columns == 0:
        return
    with nogil:
        for g in range(start, stop):
            total = &sums[g, 0]
            for k in range(offsets[g], offsets[g + 1]):
                i = order[k]
                row = &values[i, 0]
                if has_weight:
                    w = weight[i]
                for j in range(n_columns):
                    total[j] += w * row[j]


def group_argmax(
    const floating[:, ::1] values,  # IN   (n_samples, n_columns)
    const intp_t[::1] order,        # IN   (n_samples,)
    const intp_t[::1] offsets,      # IN   (n_groups + 1,)
    floating[:, ::1] maxima,        # OUT  (n_groups, n_columns)
    intp_t[:, ::1] rows,            # OUT  (n_groups, n_columns) first row that has it
    intp_t start,
    intp_t stop,
):
    """Find the first largest row of each group and column; NaN is the largest."""
    cdef intp_t g, k, i, j, n_columns = values.shape[1]
    cdef bint is_kept
    cdef const floating* row
    cdef floating* best
    cdef intp_t* where
    if n_columns == 0:
        return
    with nogil:
        for g in range(start, stop):
            best, where = &maxima[g, 0], &rows[g, 0]
            i = order[offsets[g]]
            for j in range(n_columns):
                best[j], where[j] = values[i, j], i
            for k in range(offsets[g] + 1, offsets[g + 1]):
                i = order[k]
                row = &values[i, 0]
                for j in range(n_columns):
                    # "|", as a branch would keep the compiler from working on vectors
                    is_kept = (best[j] >= row[j]) | (best[j] != best[j])
                    best[j] = best[j] if is_kept else row[j]
                    where[j] = where[j] if is_kept else i
