# Counts, means and scatter by class in one read of X: O(n d) time.
#
# The work is a grid of row blocks and feature tiles. A task is one block of one tile and
# writes to places of its own; blocks are merged in their order, so no bit depends on who
# did which task.

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


cdef enum:
    MAX_TILE = 256
    PANEL_ROWS = 32             # rows packed at a time for strided input: 64 kB of stack


def add_tasks(
    const floating[:, :] X,         # IN   (n_samples, n_features), any strides
    const intp_t[::1] y,            # IN   (n_samples,) codes in [0, n_classes)
    const double[:] w,              # IN   (n_samples,) weights
    const double[::1] origin,       # IN   (n_features,)
    double[:, :, ::1] means,        # OUT  (n_blocks, n_classes, n_features), zeroed
    double[:, :, ::1] scatter,      # OUT  (n_blocks, n_groups, n_features), zeroed
    double[:, :, ::1] counts,       # OUT  (n_blocks, n_tiles, n_classes), zeroed
    intp_t tile,                    # IN   features of a tile, at most MAX_TILE
    intp_t start,
    intp_t stop,
):
    """Add up the moments of some tasks; consecutive classes share a row of scatter."""
    cdef intp_t n_tiles = counts.shape[1], task
    with nogil:
        for task in range(start, stop):
            add_task(
                X, y, w, origin, means, scatter, counts, tile,
                task // n_tiles, task % n_tiles,
            )


def merge_blocks(
    double[:, :, ::1] means,        # INOUT, the result is in the first block
    double[:, :, ::1] scatter,      # INOUT
    double[:, :, ::1] counts,       # INOUT
):
    """Add all blocks to the first, in their order."""
    cdef intp_t n_classes = means.shape[1], n_features = means.shape[2], block, k, j
    cdef intp_t classes_per_group = n_classes // scatter.shape[1]
    with nogil:
        for block in range(1, means.shape[0]):
            for k in range(n_classes):
                if counts[block, 0, k] > 0:
                    merge_class(
                        counts[0, 0, k], counts[block, 0, k], &means[block, k, 0],
                        &means[0, k, 0], &scatter[0, k // classes_per_group, 0],
                        n_features,
                    )
                    counts[0, 0, k] += counts[block, 0, k]
            for k in range(scatter.shape[1]):
                for j in range(n_features):
                    scatter[0, k, j] += scatter[block, k, j]


cdef void add_task(
    const floating[:, :] X,             # IN
    const intp_t[::1] y,                # IN
    const double[:] w,                  # IN
    const double[::1] origin,           # IN
    double[:, :, ::1] means,            # OUT
    double[:, :, ::1] scatter,          # OUT
    double[:, :, ::1] counts,           # OUT
    intp_t tile,
    intp_t block,
    intp_t tile_index,
) noexcept nogil:
    cdef intp_t n_samples = X.shape[0], n_features = X.shape[1]
    cdef intp_t block_rows = (n_samples + means.shape[0] - 1) // means.shape[0]
    cdef intp_t row = block * block_rows, stop = min(row + block_rows, n_samples)
    cdef intp_t first = tile_index * tile, width = min(tile, n_features - first)
    cdef intp_t classes_per_group = means.shape[1] // scatter.shape[1]
    cdef intp_t n_rows, x_stride, item = sizeof(floating)
    cdef bint is_direct = X.strides[1] == item and X.strides[0] % item == 0
    cdef double storage[PANEL_ROWS * MAX_TILE]
    cdef floating* panel = <floating*> storage
    cdef const floating* rows
    while row < stop:
        if is_direct:
            n_rows, x_stride = stop - row, X.strides[0] // item
            rows = &X[row, first]
        else:
            n_rows, x_stride = min(<intp_t> PANEL_ROWS, stop - row), width
            pack_panel(X, row, n_rows, first, width, panel)
            rows = panel
        ADD_ROWS(
            sizeof(floating), rows, x_stride, n_rows, width, &y[row],
            <const char*> &w[row], w.strides[0], &origin[first],
            &counts[block, tile_index, 0], &means[block, 0, first],
            &scatter[block, 0, first], n_features, classes_per_group,
        )
        row += n_rows


cdef inline void pack_panel(
    const floating[:, :] X,     # IN
    intp_t start,
    intp_t n_rows,
    intp_t first,
    intp_t width,
    floating* panel,            # OUT  (n_rows, width)
) noexcept nogil:
    cdef intp_t i, j
    for j in range(width):
        for i in range(n_rows):
            panel[i * width + j] = X[start + i, first + j]
