# The fast Walsh-Hadamard transform in place: O(L log L) additions a row of length L.
#
# Two levels a sweep; long rows are cut in four, depth first, until a part fits the
# fastest cache, where the last 12 levels are done. No memory beside the rows.

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include "simd.h"

    enum { IN_CACHE = 4096 };  /* numbers: 16 or 32 kB */

    #define DEFINE_TRANSFORM(NAME, NUMBER)                                             \\
    /* The levels of strides h and 2 h */                                              \\
    static inline void NAME##_levels(NUMBER *x, ptrdiff_t h, ptrdiff_t length)         \\
    {                                                                                  \\
        for (ptrdiff_t start = 0; start < length; start += 4 * h) {                    \\
            NUMBER *restrict a = x + start, *restrict b = a + h;                       \\
            NUMBER *restrict c = b + h, *restrict d = c + h;                           \\
            for (ptrdiff_t j = 0; j < h; j++) {                                        \\
                const NUMBER s = a[j] + b[j], t = a[j] - b[j];                         \\
                const NUMBER u = c[j] + d[j], v = c[j] - d[j];                         \\
                a[j] = s + u; b[j] = t + v; c[j] = s - u; d[j] = t - v;                \\
            }                                                                          \\
        }                                                                              \\
    }                                                                                  \\
    MULTIVERSION static void NAME(NUMBER *x, ptrdiff_t length)                         \\
    {                                                                                  \\
        if (length > IN_CACHE) {                                                       \\
            const ptrdiff_t part = length / 4;                                         \\
            NAME##_levels(x, part, length);                                            \\
            for (int i = 0; i < 4; i++) NAME(x + i * part, part);                      \\
            return;                                                                    \\
        }                                                                              \\
        ptrdiff_t h = 1;                                                               \\
        for (; 4 * h <= length; h *= 4) {                                              \\
            if (h == 1) NAME##_levels(x, 1, length);                                   \\
            else if (h == 4) NAME##_levels(x, 4, length);                              \\
            else NAME##_levels(x, h, length);                                          \\
        }                                                                              \\
        if (h < length)                                                                \\
            for (ptrdiff_t j = 0; j < h; j++) {                                        \\
                const NUMBER a = x[j], b = x[j + h];                                   \\
                x[j] = a + b; x[j + h] = a - b;                                        \\
            }                                                                          \\
    }
    DEFINE_TRANSFORM(transform_float, float)
    DEFINE_TRANSFORM(transform_double, double)
    DEFINE_TRANSFORM(transform_int, int64_t)
    """
    void transform_float(float* x, ptrdiff_t length) noexcept nogil
    void transform_double(double* x, ptrdiff_t length) noexcept nogil
    void transform_int(int64_t* x, ptrdiff_t length) noexcept nogil

ctypedef fused number:
    float
    double
    int64_t


def transform_rows(
    number[:, ::1] rows,    # INOUT, of length a power of two
    Py_ssize_t start,
    Py_ssize_t stop,
):
    """Transform the rows [start, stop), in the natural order of Sylvester's matrix."""
    cdef Py_ssize_t i
    with nogil:
        for i in range(start, stop):
            if number is float:
                transform_float(&rows[i, 0], rows.shape[1])
            elif number is double:
                transform_double(&rows[i, 0], rows.shape[1])
            else:
                transform_int(&rows[i, 0], rows.shape[1])
