# Gradient descent of a committee of quadratic units, on the mean and the second moment of
# their weights: exact for any number of units, none of which is ever formed.
#
# O(P D^2 + D^3) a step for P rows of D columns, memory O(P D). float64 throughout: where
# alpha is large, outputs are small differences of large numbers.

import numpy as np

from scipy.linalg.cython_blas cimport dgemm, dgemv


def descend(
    const double[:, ::1] X_columns,  # IN: transposed, so that loops run along rows
    const double[::1] target,        # IN
    double alpha,
    double epsilon,
    double eta0,
    double[::1] w_bar,               # INOUT
    double[:, ::1] M,                # INOUT
    Py_ssize_t n_steps,
    double largest_loss,
):
    """Take ``n_steps``, or fewer if the loss grows beyond ``largest_loss`` or to NaN.

    Returns the number of steps, and the loss after the last of them.
    """
    cdef int D = X_columns.shape[0], P = X_columns.shape[1], one = 1
    cdef double[:, ::1] Q = np.empty((D, P)), A = np.empty((D, D)), MA = np.empty((D, D))
    cdef double[::1] r = np.empty(P), g = np.empty(D), v = np.empty(D)
    cdef double* X = <double*> &X_columns[0, 0]  # BLAS knows no const
    cdef double unit = 1.0, zero = 0.0, weight = 1.0 / P
    cdef double half = 0.5 * alpha * epsilon, rate = 2.0 * eta0 / alpha
    cdef double shrink = -rate * epsilon / P, slope, loss = 0.0
    cdef Py_ssize_t step = 0, i, j, p
    with nogil:
        while True:
            # r = alpha (w_bar . x + epsilon / 2 x.T M x) - target
            dgemm("N", "N", &P, &D, &D, &half, X, &P, &M[0, 0], &D, &zero, &Q[0, 0], &P)
            for p in range(P):
                r[p] = -target[p]
            for j in range(D):
                slope = alpha * w_bar[j]
                for p in range(P):
                    r[p] += X_columns[j, p] * (slope + Q[j, p])
            loss = 0.0
            for p in range(P):
                loss += r[p] * r[p]
            loss /= P
            if step == n_steps or not loss <= largest_loss:
                break
            # A = I - rate epsilon X.T diag(r) X / P
            for j in range(D):
                for p in range(P):
                    Q[j, p] = r[p] * X_columns[j, p]
            dgemm("T", "N", &D, &D, &P, &shrink, X, &P, &Q[0, 0], &P, &zero, &A[0, 0], &D)
            for j in range(D):
                A[j, j] += 1.0
            # each w_i becomes A w_i - rate g
            dgemv("T", &P, &D, &weight, X, &P, &r[0], &one, &zero, &g[0], &one)
            dgemv("N", &D, &D, &unit, &A[0, 0], &D, &w_bar[0], &one, &zero, &v[0], &one)
            dgemm("N", "N", &D, &D, &D, &unit, &M[0, 0], &D, &A[0, 0], &D, &zero, &MA[0, 0], &D)
            dgemm("N", "N", &D, &D, &D, &unit, &A[0, 0], &D, &MA[0, 0], &D, &zero, &M[0, 0], &D)
            for j in range(D):
                w_bar[j] = v[j] - rate * g[j]
                v[j] = -rate * (v[j] - 0.5 * rate * g[j])
            for i in range(D):
                for j in range(D):
                    M[i, j] += g[i] * v[j] + v[i] * g[j]
            step += 1
    return step, loss
