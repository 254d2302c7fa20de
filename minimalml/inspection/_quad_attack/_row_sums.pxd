"""Sums over rows and a symmetric matrix, its lower triangle packed by rows."""
# A call of BLAS costs more than these short sums, and may start threads.

cdef extern from *:
    """
    #include <stddef.h>
    #include "simd.h"

    /* Eight sums side by side can be kept in vectors. */
    static inline double dot(ptrdiff_t n, const double *a, const double *b)
    {
        double sums[8] = {0}, total = 0;
        ptrdiff_t i = 0;
        for (; i + 8 <= n; i += 8)
            for (int k = 0; k < 8; k++)
                sums[k] += a[i + k] * b[i + k];
        for (; i < n; i++)
            total += a[i] * b[i];
        for (int k = 0; k < 8; k++)
            total += sums[k];
        return total;
    }

    /* out = symmetric @ x */
    MULTIVERSION static void multiply_symmetric(
        ptrdiff_t n, const double *symmetric, const double *x, double *restrict out)
    {
        for (ptrdiff_t i = 0; i < n; i++) {
            const double *row = symmetric + i * (i + 1) / 2, own = x[i];
            out[i] = dot(i + 1, row, x);
            for (ptrdiff_t j = 0; j < i; j++)
                out[j] += own * row[j];
        }
    }

    /* symmetric += factor * outer(x, x) */
    MULTIVERSION static void add_outer(
        ptrdiff_t n, double factor, const double *x, double *restrict symmetric)
    {
        for (ptrdiff_t i = 0; i < n; i++) {
            double *row = symmetric + i * (i + 1) / 2, own = factor * x[i];
            for (ptrdiff_t j = 0; j <= i; j++)
                row[j] += own * x[j];
        }
    }

    /* out = weights @ matrix[rows]: eight rows a pass spare reads of out. Where fewer
       are left, the last one fills up with weights of zero. */
    MULTIVERSION static void sum_rows(
        ptrdiff_t n, ptrdiff_t n_rows, const ptrdiff_t *rows, const double *weights,
        const double *restrict matrix, double *restrict out)
    {
        for (ptrdiff_t j = 0; j < n; j++)
            out[j] = 0;
        for (ptrdiff_t i = 0; i < n_rows; i += 8) {
            const double *row[8];
            double w[8];
            for (int k = 0; k < 8; k++) {
                row[k] = matrix + rows[i + k < n_rows ? i + k : n_rows - 1] * n;
                w[k] = i + k < n_rows ? weights[i + k] : 0;
            }
            const double *a = row[0], *b = row[1], *c = row[2], *d = row[3];
            const double *e = row[4], *f = row[5], *g = row[6], *h = row[7];
            for (ptrdiff_t j = 0; j < n; j++)
                out[j] += ((w[0] * a[j] + w[1] * b[j]) + (w[2] * c[j] + w[3] * d[j]))
                    + ((w[4] * e[j] + w[5] * f[j]) + (w[6] * g[j] + w[7] * h[j]));
        }
    }
    """
    double dot(Py_ssize_t, const double*, const double*) noexcept nogil
    void multiply_symmetric(Py_ssize_t, const double*, const double*, double*) noexcept nogil
    void add_outer(Py_ssize_t, double, const double*, double*) noexcept nogil
    void sum_rows(
        Py_ssize_t, Py_ssize_t, const Py_ssize_t*, const double*, const double*, double*,
    ) noexcept nogil
