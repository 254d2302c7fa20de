"""Sums over rows and a packed triangle, compiled for several processors."""
# A call of BLAS costs more than these short sums.

cdef extern from *:
    """
    #include <stddef.h>
    #include "simd.h"

    /* The factor is packed by rows. Four rows at a time: their sums run side by side,
       and none waits for a number that was just stored. */
    MULTIVERSION static void solve_lower(ptrdiff_t n, const double *factor, double *x)
    {
        ptrdiff_t i = 0, j;
        for (; i + 4 <= n; i += 4) {
            const double *a = factor + i * (i + 1) / 2, *b = a + i + 1;
            const double *c = b + i + 2, *d = c + i + 3;
            double p[4] = {0}, q[4] = {0}, r[4] = {0}, s[4] = {0};
            for (j = 0; j < i; j += 4)
                for (int k = 0; k < 4; k++) {
                    p[k] += a[j + k] * x[j + k];
                    q[k] += b[j + k] * x[j + k];
                    r[k] += c[j + k] * x[j + k];
                    s[k] += d[j + k] * x[j + k];
                }
            const double v = (x[i] - (p[0] + p[1] + p[2] + p[3])) / a[i];
            const double w =
                (x[i + 1] - (q[0] + q[1] + q[2] + q[3]) - b[i] * v) / b[i + 1];
            const double y =
                (x[i + 2] - (r[0] + r[1] + r[2] + r[3]) - c[i] * v - c[i + 1] * w)
                / c[i + 2];
            x[i + 3] = (x[i + 3] - (s[0] + s[1] + s[2] + s[3]) - d[i] * v
                        - d[i + 1] * w - d[i + 2] * y) / d[i + 3];
            x[i] = v, x[i + 1] = w, x[i + 2] = y;
        }
        for (; i < n; i++) {
            const double *a = factor + i * (i + 1) / 2;
            for (j = 0; j < i; j++)
                x[i] -= a[j] * x[j];
            x[i] /= a[i];
        }
    }

    MULTIVERSION static void solve_transposed(
        ptrdiff_t n, const double *factor, double *restrict x)
    {
        ptrdiff_t i = n, j;
        for (; i % 4; i--) {
            const double *a = factor + i * (i - 1) / 2;
            x[i - 1] /= a[i - 1];
            for (j = 0; j < i - 1; j++)
                x[j] -= x[i - 1] * a[j];
        }
        for (i -= 4; i >= 0; i -= 4) {
            const double *a = factor + i * (i + 1) / 2, *b = a + i + 1;
            const double *c = b + i + 2, *d = c + i + 3;
            const double s = x[i + 3] / d[i + 3];
            const double r = (x[i + 2] - s * d[i + 2]) / c[i + 2];
            const double q = (x[i + 1] - s * d[i + 1] - r * c[i + 1]) / b[i + 1];
            const double p = (x[i] - s * d[i] - r * c[i] - q * b[i]) / a[i];
            for (j = 0; j < i; j++)
                x[j] -= (p * a[j] + q * b[j]) + (r * c[j] + s * d[j]);
            x[i] = p, x[i + 1] = q, x[i + 2] = r, x[i + 3] = s;
        }
    }

    MULTIVERSION static double dot(ptrdiff_t n, const double *a, const double *b)
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

    MULTIVERSION static double largest(ptrdiff_t n, const double *a)
    {
        double tops[8], top = a[0];
        ptrdiff_t i = 0;
        for (int k = 0; k < 8; k++)
            tops[k] = a[0];
        for (; i + 8 <= n; i += 8)
            for (int k = 0; k < 8; k++)
                tops[k] = a[i + k] > tops[k] ? a[i + k] : tops[k];
        for (; i < n; i++)
            top = a[i] > top ? a[i] : top;
        for (int k = 0; k < 8; k++)
            top = tops[k] > top ? tops[k] : top;
        return top;
    }

    MULTIVERSION static void add(
        ptrdiff_t n, double scale, const double *restrict a, double *restrict b)
    {
        for (ptrdiff_t i = 0; i < n; i++)
            b[i] += scale * a[i];
    }

    /* out = start + weights @ matrix[rows]: four rows a pass spare reads of out. */
    MULTIVERSION static void add_rows(
        ptrdiff_t n, const double *restrict start, ptrdiff_t n_rows,
        const ptrdiff_t *rows, const double *weights, const double *restrict matrix,
        double *restrict out)
    {
        ptrdiff_t i, c;
        for (c = 0; c < n; c++)
            out[c] = start[c];
        for (i = 0; i + 4 <= n_rows; i += 4) {
            const double *a = matrix + rows[i] * n, *b = matrix + rows[i + 1] * n;
            const double *d = matrix + rows[i + 2] * n, *e = matrix + rows[i + 3] * n;
            for (c = 0; c < n; c++)
                out[c] += (weights[i] * a[c] + weights[i + 1] * b[c])
                    + (weights[i + 2] * d[c] + weights[i + 3] * e[c]);
        }
        for (; i < n_rows; i++) {
            const double *a = matrix + rows[i] * n;
            for (c = 0; c < n; c++)
                out[c] += weights[i] * a[c];
        }
    }
    """
    void solve_lower(Py_ssize_t, const double*, double*) noexcept nogil
    void solve_transposed(Py_ssize_t, const double*, double*) noexcept nogil
    double dot(Py_ssize_t, const double*, const double*) noexcept nogil
    double largest(Py_ssize_t, const double*) noexcept nogil
    void add(Py_ssize_t, double, const double*, double*) noexcept nogil
    void add_rows(
        Py_ssize_t, const double*, Py_ssize_t, const Py_ssize_t*, const double*,
        const double*, double*,
    ) noexcept nogil
