# Counts, means and scatter by class in one read of X: O(n d) time.
#
# Each block of rows has means, scatter and counts of its own; blocks are merged in their
# order, so no bit depends on who did which block.

from cython cimport floating
from libc.stddef cimport ptrdiff_t
from numpy cimport intp_t

cdef extern from *:
    """
    #include <stddef.h>
    #include "simd.h"

    /* The means of other classes between two rows of X end the processor's own reading
       ahead: asking for a row two rows early took a third off the time. */
    #ifdef __GNUC__
    #define PREFETCH(pointer) __builtin_prefetch(pointer)
    #else
    #define PREFETCH(pointer)
    #endif
    enum { CACHE_LINE = 64, ROWS_AHEAD = 2 };

    /* Welford's update, row by row, of x - origin: a mean close to zero keeps the
       digits that a large offset would take, and no second pass is needed. */
    #define DEFINE_ADD_ROWS(NAME, REAL)                                              \\
    MULTIVERSION static void NAME(                                                   \\
        const REAL *x, ptrdiff_t x_stride, ptrdiff_t n_rows, ptrdiff_t n_columns,    \\
        const ptrdiff_t *y, const char *w, ptrdiff_t w_stride, const double *origin, \\
        double *counts, double *means, double *scatter, ptrdiff_t stride,            \\
        ptrdiff_t classes_per_group)                                                 \\
    {                                                                                \\
        for (ptrdiff_t i = 0; i < n_rows; i++) {                                     \\
            const ptrdiff_t k = y[i];                                                \\
            const double weight = *(const double *)(w + i * w_stride);               \\
            const double count = counts[k] += weight;                                \\
            const double rate = count > 0 ? weight / count : 0.0;                    \\
            const double kept = weight * (1.0 - rate);                               \\
            const REAL *restrict row = x + i * x_stride;                             \\
            for (ptrdiff_t j = 0; j < n_columns; j += CACHE_LINE / sizeof(REAL))     \\
                PREFETCH(row + ROWS_AHEAD * x_stride + j);                           \\
            const double *restrict shift = origin;                                   \\
            double *restrict mean = means + k * stride;                              \\
            double *restrict spread = scatter + k / classes_per_group * stride;      \\
            for (ptrdiff_t j = 0; j < n_columns; j++) {                              \\
                const double delta = ((double)row[j] - shift[j]) - mean[j];          \\
                mean[j] += delta * rate;                                             \\
                spread[j] += delta * delta * kept;                                   \\
            }                                                                        \\
        }                                                                            \\
    }
    DEFINE_ADD_ROWS(add_rows_float, float)
    DEFINE_ADD_ROWS(add_rows_double, double)
    #define ADD_ROWS(ITEM_SIZE, ROWS, ...)                                           \\
        (ITEM_SIZE == sizeof(float) ? add_rows_float((const float *)(ROWS), __VA_ARGS__) \\
                                    : add_rows_double((const double *)(ROWS), __VA_ARGS__))

    /* Chan's update: the block (count_b, mean_b) of one class joins (count, mean). */
    MULTIVERSION static void merge_class(
        double count, double count_b, const double *restrict mean_b,
        double *restrict mean, double *restrict spread, ptrdiff_t n_columns)
    {
        const double rate = count_b / (count + count_b), kept = count * rate;
        for (ptrdiff_t j = 0; j < n_columns; j++) {
            const double delta = mean_b[j] - mean[j];
            mean[j] += delta * rate;
            spread[j] += delta * delta * kept;
        }
    }
    """
    void ADD_ROWS(
        size_t, const void*, ptrdiff_t, ptrdiff_t, ptrdiff_t, const intp_t*, const char*,
        ptrdiff_t, const double*, double*, double*, double*, ptrdiff_t, ptrdiff_t,
    ) noexcept nogil
    void merge_class(
        double, double, const double*, double*, double*, ptrdiff_t,
    ) noexcept nogil


def add_rows(
    const floating[:, :] X,         # IN   (n_rows, n_features), rows without gaps
    const intp_t[::1] y,            # IN   (n_rows,) codes in [0, n_classes)
    const double[:] w,              # IN   (n_rows,) weights
    const double[::1] origin,       # IN   (n_features,)
    double[:, ::1] means,           # IN OUT (n_classes, n_features) minus origin
    double[:, ::1] scatter,         # IN OUT (n_groups, n_features)
    double[::1] counts,             # IN OUT (n_classes,)
):
    """Add rows to the moments; consecutive classes share a row of scatter."""
    with nogil:
        ADD_ROWS(
            sizeof(floating), &X[0, 0], X.strides[0] // <ptrdiff_t> sizeof(floating),
            X.shape[0], X.shape[1], &y[0], <const char*> &w[0], w.strides[0],
            &origin[0], &counts[0], &means[0, 0], &scatter[0, 0], X.shape[1],
            means.shape[0] // scatter.shape[0],
        )


def merge_blocks(
    double[:, :, ::1] means,        # IN OUT (n_blocks, n_classes, n_features)
    double[:, :, ::1] scatter,      # IN OUT (n_blocks, n_groups, n_features)
    double[:, ::1] counts,          # IN OUT (n_blocks, n_classes)
):
    """Add all blocks to the first, in their order."""
    cdef intp_t n_classes = means.shape[1], n_features = means.shape[2], block, k, j
    cdef intp_t classes_per_group = n_classes // scatter.shape[1]
    with nogil:
        for block in range(1, means.shape[0]):
            for k in range(n_classes):
                if counts[block, k] > 0:
                    merge_class(
                        counts[0, k], counts[block, k], &means[block, k, 0],
                        &means[0, k, 0], &scatter[0, k // classes_per_group, 0],
                        n_features,
                    )
                    counts[0, k] += counts[block, k]
            for k in range(scatter.shape[1]):
                for j in range(n_features):
                    scatter[0, k, j] += scatter[block, k, j]
