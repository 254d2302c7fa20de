"""Sums of columns."""
# O(n d) time, no memory of its own.

from cython cimport floating


def add_column_sums(
    const floating[:, ::1] X,   # IN
    double[::1] sums,           # IN, OUT
):
    """Add the rows to ``sums``."""
    cdef Py_ssize_t i, j

    with nogil:
        for i in range(X.shape[0]):
            for j in range(X.shape[1]):
                sums[j] += X[i, j]
