# Nearest words of a small codebook to many short vectors: O(n_vectors n_words n_features)
# time; no memory beside the answers but for one block of vectors, laid out by column.
#
# Called for vectors [start, stop).

from cython cimport floating
from numpy cimport intp_t

cdef extern from *:
    """
    #include <math.h>
    #include <stddef.h>
    #include "simd.h"

    enum { LANES = 64 };

    /* Scores of one word for 64 vectors at a time; PART is what coordinate t adds. */
    #define DEFINE_NEAREST(NAME, REAL, INTEGER, PART)                                    \\
    MULTIVERSION static void NAME(                                                       \\
        const REAL *restrict columns, const REAL *restrict weights,                      \\
        const REAL *restrict book, const REAL *restrict half_norms, ptrdiff_t n_words,   \\
        ptrdiff_t n_features, ptrdiff_t *labels, ptrdiff_t n_labels)                     \\
    {                                                                                    \\
        REAL least[LANES], score[LANES];                                                 \\
        INTEGER label[LANES];                                                            \\
        for (int v = 0; v < LANES; v++) { least[v] = INFINITY; label[v] = 0; }           \\
        for (ptrdiff_t j = 0; j < n_words; j++) {                                        \\
            for (int v = 0; v < LANES; v++) score[v] = half_norms[j];                    \\
            for (ptrdiff_t t = 0; t < n_features; t++) {                                 \\
                const REAL c = book[j * n_features + t];                                 \\
                const REAL *restrict x = columns + t * LANES;                            \\
                const REAL *restrict w = weights + t * LANES;                            \\
                (void)w;                                                                 \\
                for (int v = 0; v < LANES; v++) score[v] += PART;                        \\
            }                                                                            \\
            for (int v = 0; v < LANES; v++) {                                            \\
                const int is_less = score[v] < least[v];                                 \\
                least[v] = is_less ? score[v] : least[v];                                \\
                label[v] = is_less ? (INTEGER)j : label[v];                              \\
            }                                                                            \\
        }                                                                                \\
        for (int v = 0; v < n_labels; v++) labels[v] = label[v];                         \\
    }
    /* labels as wide as the numbers, so that both are chosen by one mask */
    DEFINE_NEAREST(nearest_float, float, int, -c * x[v])
    DEFINE_NEAREST(nearest_double, double, long long, -c * x[v])
    DEFINE_NEAREST(nearest_weighted_float, float, int, w[v] * (c * (c - 2 * x[v])))
    DEFINE_NEAREST(nearest_weighted_double, double, long long, w[v] * (c * (c - 2 * x[v])))
    #define NEAREST(ITEM_SIZE, IS_WEIGHTED, X, W, B, H, ...)                             \\
        (ITEM_SIZE == sizeof(float)                                                      \\
            ? (IS_WEIGHTED ? nearest_weighted_float : nearest_float)(                    \\
                (const float *)(X), (const float *)(W), (const float *)(B),              \\
                (const float *)(H), __VA_ARGS__)                                         \\
            : (IS_WEIGHTED ? nearest_weighted_double : nearest_double)(                  \\
                (const double *)(X), (const double *)(W), (const double *)(B),           \\
                (const double *)(H), __VA_ARGS__))
    """
    void NEAREST(
        size_t item_size, bint is_weighted, const void* columns, const void* weights,
        const void* book, const void* half_norms, Py_ssize_t n_words,
        Py_ssize_t n_features, intp_t* labels, Py_ssize_t n_labels,
    ) noexcept nogil

cdef enum:
    LANES = 64


def nearest_words(
    const floating[:, ::1] vectors,    # IN (n_vectors, n_features)
    const floating[:, ::1] book,       # IN (n_words, n_features)
    const floating[::1] half_norms,    # IN (n_words,) of the words; zeros with weights
    const floating[:, ::1] weights,    # IN (n_vectors or 1, n_features); (1, 0): none
    floating[:, :, ::1] block,         # WORK (2, n_features, LANES)
    intp_t[::1] labels,                # OUT
    floating[::1] distances,           # OUT
    Py_ssize_t start,
    Py_ssize_t stop,
):
    """Label the vectors [start, stop) with their nearest words."""
    cdef Py_ssize_t n_features = vectors.shape[1], n_words = book.shape[0], first
    cdef bint is_weighted = weights.shape[1] > 0
    with nogil:
        for first in range(start, stop, 64):  # LANES
            lay_out(vectors, block, 0, first, stop)
            if is_weighted:
                lay_out(weights, block, 1, first, stop)
            NEAREST(
                sizeof(floating), is_weighted, &block[0, 0, 0], &block[1, 0, 0],
                &book[0, 0], &half_norms[0], n_words, n_features, &labels[first],
                min(LANES, stop - first),
            )
        measure(vectors, book, weights, labels, distances, start, stop)


cdef void lay_out(
    const floating[:, ::1] rows, floating[:, :, ::1] block, Py_ssize_t part,
    Py_ssize_t first, Py_ssize_t stop,
) noexcept nogil:
    """Copy rows into columns; lanes beyond the last row repeat it."""
    cdef Py_ssize_t t, v, i
    for v in range(LANES):
        i = 0 if rows.shape[0] == 1 else min(first + v, stop - 1)
        for t in range(rows.shape[1]):
            block[part, t, v] = rows[i, t]


cdef void measure(
    const floating[:, ::1] vectors, const floating[:, ::1] book,
    const floating[:, ::1] weights, const intp_t[::1] labels, floating[::1] distances,
    Py_ssize_t start, Py_ssize_t stop,
) noexcept nogil:
    """Set distances by differences, which don't cancel as the scores do."""
    cdef Py_ssize_t i, t
    cdef floating difference, total
    for i in range(start, stop):
        total = 0.0
        for t in range(vectors.shape[1]):
            difference = vectors[i, t] - book[labels[i], t]
            difference *= difference
            if weights.shape[1] > 0:
                difference *= weights[i if weights.shape[0] > 1 else 0, t]
            total += difference
        distances[i] = total
