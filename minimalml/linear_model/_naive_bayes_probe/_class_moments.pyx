# Counts, means and scatter by class in one read of X: O(n d) time and, beyond the
# output, at most 8 MB of partial results.
#
# The work is a grid of row blocks and feature tiles that depends on the sizes alone.
# Blocks are merged in their order, so no bit depends on the number of threads.

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
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
    void add_rows_float(
        const float*, ptrdiff_t, ptrdiff_t, ptrdiff_t, const intp_t*, const char*,
        ptrdiff_t, const double*, double*, double*, double*, ptrdiff_t, ptrdiff_t,
    ) noexcept nogil
    void add_rows_double(
        const double*, ptrdiff_t, ptrdiff_t, ptrdiff_t, const intp_t*, const char*,
        ptrdiff_t, const double*, double*, double*, double*, ptrdiff_t, ptrdiff_t,
    ) noexcept nogil
    void merge_class(
        double, double, const double*, double*, double*, ptrdiff_t,
    ) noexcept nogil


cdef enum:
    N_TASKS = 16                # enough for the cores that share one memory bus
    MIN_BLOCK_ROWS = 1024       # below it merging costs more than the block
    PARTIAL_BYTES = 8 << 20     # all partial results together
    TILE_BYTES = 256 << 10      # accumulators of a tile stay in a core's L2 cache
    MIN_TILE = 64
    MAX_TILE = 256
    PANEL_ROWS = 32             # rows packed at a time for strided input: 64 kB of stack


cdef inline intp_t ceil_divide(intp_t a, intp_t b) noexcept nogil:
    return (a + b - 1) // b


def work_grid(intp_t n_samples, intp_t n_features, intp_t n_classes, intp_t n_groups):
    """Return the number of row blocks and the width of a feature tile.

    The number of threads has no part in it. Row blocks cost a copy of the result
    each, so where that is large the features alone are shared out.
    """
    cdef intp_t tile, n_tiles, result_bytes, n_blocks
    tile = min(max(TILE_BYTES // (8 * max(n_classes, 1)) // 16 * 16, MIN_TILE), MAX_TILE)
    n_tiles = ceil_divide(n_features, tile)
    result_bytes = 8 * (n_classes + n_groups) * n_features
    n_blocks = min(
        ceil_divide(N_TASKS, max(n_tiles, 1)),
        n_samples // MIN_BLOCK_ROWS,
        PARTIAL_BYTES // max(result_bytes, 1),
    )
    return max(n_blocks, 1), tile


def aligned_zeros(*shape):
    """Return zeros that start at a cache line, so that no vector of eight spans two.

    The kernel took 1.4 times as long with rows of means that start elsewhere.
    """
    cdef intp_t size = np.prod(shape, dtype=np.intp)
    buffer = np.zeros(size + 8)
    cdef intp_t start = -buffer.ctypes.data % 64 // 8
    return buffer[start : start + size].reshape(shape)


def class_moments_dense(
    const floating[:, :] X,         # IN   (n_samples, n_features), any strides
    const intp_t[::1] y,            # IN   (n_samples,) codes in [0, n_classes)
    const double[:] w,              # IN   (n_samples,) weights
    const double[::1] origin,       # IN   (n_features,)
    double[:, ::1] means,           # OUT  (n_classes, n_features) minus origin, zeroed
    double[:, ::1] scatter,         # OUT  (n_groups, n_features), zeroed
    double[::1] counts,             # OUT  (n_classes,), zeroed
    int n_threads,
):
    """Add up the moments of each class; consecutive classes share a row of scatter."""
    cdef intp_t n_samples = X.shape[0], n_features = X.shape[1]
    cdef intp_t n_classes = means.shape[0], n_groups = scatter.shape[0]
    if n_samples == 0 or n_features == 0 or n_classes == 0:
        return
    cdef intp_t n_blocks, tile, n_tiles, task, block, k
    n_blocks, tile = work_grid(n_samples, n_features, n_classes, n_groups)
    n_tiles = ceil_divide(n_features, tile)
    cdef intp_t block_rows = ceil_divide(n_samples, n_blocks)
    cdef intp_t classes_per_group = n_classes // n_groups
    # The first block writes to the output itself.
    cdef double[:, :, ::1] block_means = aligned_zeros(n_blocks - 1, n_classes, n_features)
    cdef double[:, :, ::1] block_scatter = aligned_zeros(n_blocks - 1, n_groups, n_features)
    cdef double[:, ::1] task_counts = np.zeros((n_blocks * n_tiles, n_classes))

    for task in prange(
        n_blocks * n_tiles, nogil=True, num_threads=n_threads, schedule="dynamic"
    ):
        accumulate_task(
            X, y, w, origin, means, scatter, block_means, block_scatter,
            task_counts, task // n_tiles, task % n_tiles, block_rows, tile,
            classes_per_group,
        )

    with nogil:
        counts[:] = task_counts[0]
        for block in range(1, n_blocks):
            for k in range(n_classes):
                if task_counts[block * n_tiles, k] > 0:
                    merge_class(
                        counts[k], task_counts[block * n_tiles, k],
                        &block_means[block - 1, k, 0], &means[k, 0],
                        &scatter[k // classes_per_group, 0], n_features,
                    )
                    counts[k] += task_counts[block * n_tiles, k]
            for k in range(n_groups):
                add_vector(
                    &block_scatter[block - 1, k, 0], &scatter[k, 0], n_features
                )


cdef void accumulate_task(
    const floating[:, :] X,             # IN
    const intp_t[::1] y,                # IN
    const double[:] w,                  # IN
    const double[::1] origin,           # IN
    double[:, ::1] means,               # OUT  of block 0
    double[:, ::1] scatter,             # OUT  of block 0
    double[:, :, ::1] block_means,      # OUT  of the other blocks
    double[:, :, ::1] block_scatter,    # OUT  of the other blocks
    double[:, ::1] task_counts,         # OUT
    intp_t block,
    intp_t tile_index,
    intp_t block_rows,
    intp_t tile,
    intp_t classes_per_group,
) noexcept nogil:
    cdef intp_t n_samples = X.shape[0], n_features = X.shape[1]
    cdef intp_t start = block * block_rows
    cdef intp_t stop = min(start + block_rows, n_samples)
    cdef intp_t first = tile_index * tile
    cdef intp_t width = min(tile, n_features - first)
    cdef intp_t n_tiles = ceil_divide(n_features, tile)
    cdef intp_t row = start, n_rows, x_stride
    cdef double storage[PANEL_ROWS * MAX_TILE]
    cdef floating* panel = <floating*> storage
    cdef intp_t item = sizeof(floating)
    cdef bint is_direct = X.strides[1] == item and X.strides[0] % item == 0
    cdef const floating* rows
    cdef double* mean_tile
    cdef double* scatter_tile
    if block == 0:
        mean_tile, scatter_tile = &means[0, first], &scatter[0, first]
    elif start < stop:
        mean_tile = &block_means[block - 1, 0, first]
        scatter_tile = &block_scatter[block - 1, 0, first]
    while row < stop:
        if is_direct:
            n_rows = stop - row
            rows = &X[row, first]
            x_stride = X.strides[0] // item
        else:
            n_rows = min(<intp_t> PANEL_ROWS, stop - row)
            pack_panel(X, row, n_rows, first, width, panel)
            rows, x_stride = panel, width
        if floating is float:
            add_rows_float(
                rows, x_stride, n_rows, width, &y[row], <const char*> &w[row],
                w.strides[0], &origin[first],
                &task_counts[block * n_tiles + tile_index, 0],
                mean_tile, scatter_tile, n_features, classes_per_group,
            )
        else:
            add_rows_double(
                rows, x_stride, n_rows, width, &y[row], <const char*> &w[row],
                w.strides[0], &origin[first],
                &task_counts[block * n_tiles + tile_index, 0],
                mean_tile, scatter_tile, n_features, classes_per_group,
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


cdef inline void add_vector(
    const double* source,       # IN
    double* target,             # OUT
    intp_t size,
) noexcept nogil:
    cdef intp_t j
    for j in range(size):
        target[j] += source[j]
