# Squared lengths of rows of weights that are means over trees, without the weights.
#
# A row is added up tree by tree in an array of its own; its squared length follows each
# addition. Time: members of the leaves that the rows fall into; memory: n_train numbers
# a thread.

from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t
from numpy cimport intp_t

ctypedef fused index_t:
    int32_t
    int64_t


def squared_norms(
    const intp_t[:, ::1] leaves,   # IN: (n_rows, n_trees), -1 where a tree is left out
    const index_t[::1] offsets,    # IN: members of leaf l are offsets[l] : offsets[l + 1]
    const index_t[::1] members,    # IN: training rows
    const double[::1] weights,     # IN: their weights in the leaf's mean
    double[::1] sums,              # WORK: (n_train,), zeros, and zeros again
    double[:, ::1] norms,          # OUT: after each tree, or, of one column, after all
    Py_ssize_t start,
    Py_ssize_t stop,
):
    """Fill the rows [start, stop) of ``norms``; NaN where no tree has counted yet."""
    cdef Py_ssize_t row, tree, k, n_counted, n_trees = leaves.shape[1]
    cdef Py_ssize_t n_stages = norms.shape[1]
    cdef intp_t leaf
    cdef double total, weight
    with nogil:
        for row in range(start, stop):
            total = 0.0
            n_counted = 0
            for tree in range(n_trees):
                leaf = leaves[row, tree]
                if leaf >= 0:
                    n_counted += 1
                    for k in range(offsets[leaf], offsets[leaf + 1]):
                        weight = weights[k]
                        total += weight * (2.0 * sums[members[k]] + weight)
                        sums[members[k]] += weight
                if n_stages > 1 or tree == n_trees - 1:
                    norms[row, tree if n_stages > 1 else 0] = (
                        total / (<double>n_counted * n_counted) if n_counted else NAN
                    )
            for tree in range(n_trees):
                leaf = leaves[row, tree]
                if leaf >= 0:
                    for k in range(offsets[leaf], offsets[leaf + 1]):
                        sums[members[k]] = 0.0
