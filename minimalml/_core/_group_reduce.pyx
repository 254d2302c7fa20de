# Sums and largest rows by group: O(n d) time, one read of the rows, group by group.
#
# Each call does the groups [start, stop), whose results no other call writes, so that
# no bit depends on who did which groups.

from cython cimport floating
from libc.stddef cimport ptrdiff_t
from numpy cimport intp_t

cdef extern from *:
    """
    #include <stddef.h>
    #include "simd.h"

    #ifdef __GNUC__
    #define PREFETCH(pointer) __builtin_prefetch(pointer)
    #else
    #define PREFETCH(pointer)
    #endif
    /* The rows of a group lie anywhere: asking for their beginnings early takes a third
       off the time; in long rows the processor reads on by itself. Four rows a turn
       spare loads and stores of the totals, and are added in the same order as one. */
    enum { CACHE_LINE = 64, BYTES_AHEAD = 256, ROWS_AHEAD = 8 };

    #define ROW(K) (values + order[K] * n_columns)
    #define WEIGHT(K) (weight ? weight[order[K]] : 1.0)
    #define DEFINE_ADD_GROUPS(NAME, REAL)                                                  \\
    MULTIVERSION static void NAME(                                                         \\
        const REAL *values, ptrdiff_t n_rows, ptrdiff_t n_columns,                         \\
        const ptrdiff_t *order, const ptrdiff_t *offsets, const double *weight,            \\
        double *sums, ptrdiff_t start, ptrdiff_t stop)                                     \\
    {                                                                                      \\
        const ptrdiff_t n_bytes = n_columns * (ptrdiff_t)sizeof(REAL);                     \\
        for (ptrdiff_t g = start; g < stop; g++) {                                         \\
            double *restrict total = sums + g * n_columns;                                 \\
            ptrdiff_t k = offsets[g];                                                      \\
            for (; k + 4 <= offsets[g + 1]; k += 4) {                                      \\
                const REAL *a = ROW(k), *b = ROW(k + 1), *c = ROW(k + 2), *d = ROW(k + 3); \\
                const double u = WEIGHT(k), v = WEIGHT(k + 1);                             \\
                const double w = WEIGHT(k + 2), x = WEIGHT(k + 3);                         \\
                for (ptrdiff_t i = k + ROWS_AHEAD; i < k + ROWS_AHEAD + 4 && i < n_rows; i++)\\
                    for (ptrdiff_t n = 0; n < n_bytes && n < BYTES_AHEAD; n += CACHE_LINE) \\
                        PREFETCH((const char *)ROW(i) + n);                                \\
                for (ptrdiff_t j = 0; j < n_columns; j++)                                  \\
                    total[j] = total[j] + u * a[j] + v * b[j] + w * c[j] + x * d[j];       \\
            }                                                                              \\
            for (; k < offsets[g + 1]; k++) {                                              \\
                const REAL *restrict row = ROW(k);                                         \\
                const double w = WEIGHT(k);                                                \\
                for (ptrdiff_t j = 0; j < n_columns; j++)                                  \\
                    total[j] += w * row[j];                                                \\
            }                                                                              \\
        }                                                                                  \\
    }
    DEFINE_ADD_GROUPS(add_groups_float, float)
    DEFINE_ADD_GROUPS(add_groups_double, double)
    #define ADD_GROUPS(ITEM_SIZE, VALUES, ...)                                       \\
        (ITEM_SIZE == sizeof(float)                                                  \\
            ? add_groups_float((const float *)(VALUES), __VA_ARGS__)                 \\
            : add_groups_double((const double *)(VALUES), __VA_ARGS__))
    #define DEFINE_LARGEST(NAME, REAL)                                                     \\
    MULTIVERSION static void NAME(                                                         \\
        const REAL *values, ptrdiff_t n_columns, const ptrdiff_t *order,                   \\
        const ptrdiff_t *offsets, REAL *maxima, ptrdiff_t *rows,                           \\
        ptrdiff_t start, ptrdiff_t stop)                                                   \\
    {                                                                                      \\
        for (ptrdiff_t g = start; g < stop; g++) {                                         \\
            REAL *restrict best = maxima + g * n_columns;                                  \\
            ptrdiff_t *restrict where = rows + g * n_columns;                              \\
            for (ptrdiff_t k = offsets[g]; k < offsets[g + 1]; k++) {                      \\
                const ptrdiff_t i = order[k];                                              \\
                const REAL *restrict row = ROW(k);                                         \\
                if (k == offsets[g])                                                       \\
                    for (ptrdiff_t j = 0; j < n_columns; j++)                              \\
                        best[j] = row[j], where[j] = i;                                    \\
                else                                                                       \\
                    for (ptrdiff_t j = 0; j < n_columns; j++) {                            \\
                        /* "|", as a branch would keep it from working on vectors */       \\
                        const int is_kept = (best[j] >= row[j]) | (best[j] != best[j]);    \\
                        best[j] = is_kept ? best[j] : row[j];                              \\
                        where[j] = is_kept ? where[j] : i;                                 \\
                    }                                                                      \\
            }                                                                              \\
        }                                                                                  \\
    }
    DEFINE_LARGEST(largest_float, float)
    DEFINE_LARGEST(largest_double, double)
    #define LARGEST(ITEM_SIZE, VALUES, N_COLUMNS, ORDER, OFFSETS, MAXIMA, ...)       \\
        (ITEM_SIZE == sizeof(float)                                                  \\
            ? largest_float((const float *)(VALUES), N_COLUMNS, ORDER, OFFSETS,      \\
                            (float *)(MAXIMA), __VA_ARGS__)                          \\
            : largest_double((const double *)(VALUES), N_COLUMNS, ORDER, OFFSETS,    \\
                             (double *)(MAXIMA), __VA_ARGS__))
    """
    void LARGEST(
        size_t, const void*, ptrdiff_t, const intp_t*, const intp_t*, void*, intp_t*,
        ptrdiff_t, ptrdiff_t,
    ) noexcept nogil
    void ADD_GROUPS(
        size_t, const void*, ptrdiff_t, ptrdiff_t, const intp_t*, const intp_t*,
        const double*, double*, ptrdiff_t, ptrdiff_t,
    ) noexcept nogil


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
    cdef const double* weights = NULL
    if values.size == 0:
        return
    if weight is not None:
        weights = &weight[0]
    with nogil:
        ADD_GROUPS(
            sizeof(floating), &values[0, 0], values.shape[0], values.shape[1],
            &order[0], &offsets[0], weights, &sums[0, 0], start, stop,
        )


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
    if values.size == 0:
        return
    with nogil:
        LARGEST(
            sizeof(floating), &values[0, 0], values.shape[1], &order[0], &offsets[0],
            &maxima[0, 0], &rows[0, 0], start, stop,
        )
