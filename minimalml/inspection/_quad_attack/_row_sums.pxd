"""Sums over rows and a packed triangle, compiled for several processors."""
# A call of BLAS costs more than these short sums. The triangle is packed by rows.

cdef extern from *:
    """
    #include <math.h>
    #include <stddef.h>
    #include "simd.h"

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

    /* out = lower @ x: four rows at a time, whose sums run side by side. */
    MULTIVERSION static void multiply_lower(
        ptrdiff_t n, const double *lower, const double *x, double *restrict out)
    {
        ptrdiff_t i = 0, j;
        for (; i + 4 <= n; i += 4) {
            const double *a = lower + i * (i + 1) / 2, *b = a + i + 1;
            const double *c = b + i + 2, *d = c + i + 3, *y = x + i;
            double p[4] = {0}, q[4] = {0}, r[4] = {0}, s[4] = {0};
            for (j = 0; j < i; j += 4)
                #pragma omp simd
                for (int k = 0; k < 4; k++) {
                    p[k] += a[j + k] * x[j + k];
                    q[k] += b[j + k] * x[j + k];
                    r[k] += c[j + k] * x[j + k];
                    s[k] += d[j + k] * x[j + k];
                }
            a += i, b += i, c += i, d += i;
            out[i] = (p[0] + p[1]) + (p[2] + p[3]) + a[0] * y[0];
            out[i + 1] = (q[0] + q[1]) + (q[2] + q[3]) + (b[0] * y[0] + b[1] * y[1]);
            out[i + 2] = (r[0] + r[1]) + (r[2] + r[3])
                + (c[0] * y[0] + c[1] * y[1] + c[2] * y[2]);
            out[i + 3] = (s[0] + s[1]) + (s[2] + s[3])
                + ((d[0] * y[0] + d[1] * y[1]) + (d[2] * y[2] + d[3] * y[3]));
        }
        for (; i < n; i++) {
            const double *a = lower + i * (i + 1) / 2;
            out[i] = 0;
            for (j = 0; j <= i; j++)
                out[i] += a[j] * x[j];
        }
    }

    /* out = lower.T @ x */
    MULTIVERSION static void multiply_transposed(
        ptrdiff_t n, const double *lower, const double *x, double *restrict out)
    {
        ptrdiff_t i = 0, j;
        for (; i + 4 <= n; i += 4) {
            const double *a = lower + i * (i + 1) / 2, *b = a + i + 1;
            const double *c = b + i + 2, *d = c + i + 3;
            const double p = x[i], q = x[i + 1], r = x[i + 2], s = x[i + 3];
            for (j = 0; j < i; j++)
                out[j] += (p * a[j] + q * b[j]) + (r * c[j] + s * d[j]);
            out[i] = (p * a[i] + q * b[i]) + (r * c[i] + s * d[i]);
            out[i + 1] = q * b[i + 1] + r * c[i + 1] + s * d[i + 1];
            out[i + 2] = r * c[i + 2] + s * d[i + 2];
            out[i + 3] = s * d[i + 3];
        }
        for (; i < n; i++) {
            const double *a = lower + i * (i + 1) / 2;
            for (j = 0; j < i; j++)
                out[j] += x[i] * a[j];
            out[i] = x[i] * a[i];
        }
    }

    /* out = (lower + lower.T) @ x */
    MULTIVERSION static void multiply_symmetric(
        ptrdiff_t n, const double *lower, const double *x, double *restrict out)
    {
        ptrdiff_t i = 0, j;
        for (; i + 4 <= n; i += 4) {
            const double *a = lower + i * (i + 1) / 2, *b = a + i + 1;
            const double *c = b + i + 2, *d = c + i + 3;
            const double p = x[i], q = x[i + 1], r = x[i + 2], s = x[i + 3];
            double sums[4][4] = {{0}};
            for (j = 0; j < i; j += 4)
                #pragma omp simd
                for (int k = 0; k < 4; k++) {
                    const double u = a[j + k], v = b[j + k], w = c[j + k], z = d[j + k];
                    const double y = x[j + k];
                    sums[0][k] += u * y;
                    sums[1][k] += v * y;
                    sums[2][k] += w * y;
                    sums[3][k] += z * y;
                    out[j + k] += (p * u + q * v) + (r * w + s * z);
                }
            a += i, b += i, c += i, d += i;
            out[i] = 2 * a[0] * p + b[0] * q + c[0] * r + d[0] * s;
            out[i + 1] = b[0] * p + 2 * b[1] * q + c[1] * r + d[1] * s;
            out[i + 2] = c[0] * p + c[1] * q + 2 * c[2] * r + d[2] * s;
            out[i + 3] = d[0] * p + d[1] * q + d[2] * r + 2 * d[3] * s;
            for (int k = 0; k < 4; k++)
                out[i + k] += (sums[k][0] + sums[k][1]) + (sums[k][2] + sums[k][3]);
        }
        for (; i < n; i++) {
            const double *a = lower + i * (i + 1) / 2;
            double own = 2 * a[i] * x[i];
            for (j = 0; j < i; j++) {
                own += a[j] * x[j];
                out[j] += a[j] * x[i];
            }
            out[i] = own;
        }
    }

    /* Rotate each row after k with what is left of row k, so that column k ends up in
       that alone, and drop both. x = lower @ v becomes what it is without v[k]. */
    MULTIVERSION static void drop_row(
        ptrdiff_t n, ptrdiff_t k, double *lower, double *x, double *restrict rest)
    {
        const double *first = lower + k * (k + 1) / 2;
        double length = first[k], square = length * length, rest_of_x = x[k];
        for (ptrdiff_t j = 0; j < k; j++)
            rest[j] = first[j];
        for (ptrdiff_t i = k + 1; i < n; i++) {
            const double *restrict source = lower + i * (i + 1) / 2;
            double *restrict target = lower + i * (i - 1) / 2;
            square += source[k] * source[k];
            const double longer = sqrt(square), inverse = 1 / longer;
            const double c = length * inverse, s = source[k] * inverse, own = x[i];
            for (ptrdiff_t j = 0; j < k; j++) {
                target[j] = c * source[j] - s * rest[j];
                rest[j] = s * source[j] + c * rest[j];
            }
            rest[i] = 0;
            for (ptrdiff_t j = k + 1; j <= i; j++) {
                target[j - 1] = c * source[j] - s * rest[j];
                rest[j] = s * source[j] + c * rest[j];
            }
            x[i - 1] = c * own - s * rest_of_x;
            rest_of_x = s * own + c * rest_of_x;
            length = longer;
        }
    }

    /* Take row and column k out of a triangle. */
    MULTIVERSION static void drop_row_and_column(
        ptrdiff_t n, ptrdiff_t k, double *lower)
    {
        for (ptrdiff_t i = k + 1; i < n; i++) {
            const double *source = lower + i * (i + 1) / 2;
            double *target = lower + i * (i - 1) / 2;
            for (ptrdiff_t j = 0; j < k; j++)
                target[j] = source[j];
            for (ptrdiff_t j = k; j < i; j++)
                target[j] = source[j + 1];
        }
    }

    MULTIVERSION static void sum(
        ptrdiff_t n, const double *a, const float *b, double *restrict out)
    {
        for (ptrdiff_t i = 0; i < n; i++)
            out[i] = a[i] + b[i];
    }

    /* rounded = out; out += a */
    MULTIVERSION static void round_and_add(
        ptrdiff_t n, const double *a, double *restrict out, float *restrict rounded)
    {
        for (ptrdiff_t i = 0; i < n; i++) {
            rounded[i] = (float)out[i];
            out[i] += a[i];
        }
    }

    /* out = a + b; returns the largest magnitude in a. */
    MULTIVERSION static double sum_and_magnitude(
        ptrdiff_t n, const double *a, const float *b, double *restrict out)
    {
        double top = 0;
        #pragma omp simd reduction(max:top)
        for (ptrdiff_t i = 0; i < n; i++) {
            out[i] = a[i] + b[i];
            top = fabs(a[i]) > top ? fabs(a[i]) : top;
        }
        return top;
    }

    /* List the indices where a - hidden is above a bar and return how many they are. */
    MULTIVERSION static ptrdiff_t list_above(
        ptrdiff_t n, const double *a, const double *hidden, double bar,
        ptrdiff_t *restrict out)
    {
        ptrdiff_t n_out = 0;
        double top = -INFINITY;
        #pragma omp simd reduction(max:top)
        for (ptrdiff_t i = 0; i < n; i++)
            top = a[i] - hidden[i] > top ? a[i] - hidden[i] : top;
        if (!(top > bar))
            return 0;
        for (ptrdiff_t start = 0; start < n; start += 16) {
            const ptrdiff_t end = start + 16 < n ? start + 16 : n;
            ptrdiff_t is_any = 0;
            for (ptrdiff_t i = start; i < end; i++)
                is_any |= a[i] - hidden[i] > bar;
            if (is_any)
                for (ptrdiff_t i = start; i < end; i++) {
                    out[n_out] = i;
                    n_out += a[i] - hidden[i] > bar;
                }
        }
        return n_out;
    }

    /* out = weights @ matrix[rows]: eight rows a pass spare reads of out. Where fewer
       are left, the last one fills up with weights of zero. */
    #define SUM_ROWS(name, real) \\
    MULTIVERSION static void name( \\
        ptrdiff_t n, ptrdiff_t n_rows, const ptrdiff_t *rows, const double *weights, \\
        const real *restrict matrix, real *restrict out) \\
    { \\
        for (ptrdiff_t j = 0; j < n; j++) \\
            out[j] = 0; \\
        for (ptrdiff_t i = 0; i < n_rows; i += 8) { \\
            const real *row[8]; \\
            real w[8]; \\
            for (int k = 0; k < 8; k++) { \\
                row[k] = matrix + rows[i + k < n_rows ? i + k : n_rows - 1] * n; \\
                w[k] = i + k < n_rows ? (real)weights[i + k] : 0; \\
            } \\
            const real *a = row[0], *b = row[1], *c = row[2], *d = row[3]; \\
            const real *e = row[4], *f = row[5], *g = row[6], *h = row[7]; \\
            for (ptrdiff_t j = 0; j < n; j++) \\
                out[j] += ((w[0] * a[j] + w[1] * b[j]) + (w[2] * c[j] + w[3] * d[j])) \\
                    + ((w[4] * e[j] + w[5] * f[j]) + (w[6] * g[j] + w[7] * h[j])); \\
        } \\
    }
    SUM_ROWS(sum_rows, double)
    SUM_ROWS(sum_rounded_rows, float)
    """
    double dot(Py_ssize_t, const double*, const double*) noexcept nogil
    void multiply_lower(Py_ssize_t, const double*, const double*, double*) noexcept nogil
    void multiply_transposed(
        Py_ssize_t, const double*, const double*, double*
    ) noexcept nogil
    void multiply_symmetric(
        Py_ssize_t, const double*, const double*, double*
    ) noexcept nogil
    void drop_row(Py_ssize_t, Py_ssize_t, double*, double*, double*) noexcept nogil
    void drop_row_and_column(Py_ssize_t, Py_ssize_t, double*) noexcept nogil
    Py_ssize_t list_above(
        Py_ssize_t, const double*, const double*, double, Py_ssize_t*
    ) noexcept nogil
    void sum(Py_ssize_t, const double*, const float*, double*) noexcept nogil
    void round_and_add(Py_ssize_t, const double*, double*, float*) noexcept nogil
    double sum_and_magnitude(
        Py_ssize_t, const double*, const float*, double*
    ) noexcept nogil
    void sum_rows(
        Py_ssize_t, Py_ssize_t, const Py_ssize_t*, const double*, const double*, double*,
    ) noexcept nogil
    void sum_rounded_rows(
        Py_ssize_t, Py_ssize_t, const Py_ssize_t*, const double*, const float*, float*,
    ) noexcept nogil
