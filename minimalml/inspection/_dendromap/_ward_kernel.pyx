# Nearest clusters in Ward's distance, 2 s_i s_j / (s_i + s_j) |c_i - c_j|^2: O(n_asked n_alive)
# comparisons beside the products of a tile, which BLAS makes; no memory of its own.
#
# A product of centred rows gives a distance up to rounding. Where that bound from below does
# not rule a cluster out, the distance is computed anew from differences: so that i to j is what
# j to i is, to the bit, and equal distances go to the smaller number.

from cython cimport floating
from numpy cimport intp_t


def nearest_in_tile(
    const floating[:, ::1] products,  # IN (n_asked, n_tile) of asked and tile's centroids
    const floating[:, ::1] centroids,  # IN (n_alive, n_features)
    const double[::1] sizes,          # IN (n_alive,)
    const double[::1] squares,        # IN (n_alive,) squared lengths, less the rounding
    const intp_t[::1] asked,          # IN (n_asked,) places of clusters
    Py_ssize_t first,                 # IN place of the tile's first cluster
    double[::1] distances,            # IN OUT (n_asked,) squared, the least so far
    intp_t[::1] nearest,              # IN OUT (n_asked,) places
):
    """Update the nearest cluster of each asked one by those of a tile."""
    cdef Py_ssize_t row, column, i, j, n_tile = products.shape[1]
    cdef double size, square, least, exact
    with nogil:
        for row in range(products.shape[0]):
            i, least = asked[row], distances[row]
            size, square = sizes[i], squares[i]
            for column in range(n_tile):
                j = first + column
                if (
                    2 * size * sizes[j]
                    * (square + squares[j] - 2 * <double>products[row, column])
                    > least * (size + sizes[j])
                ) or i == j:
                    continue
                exact = ward_distance(centroids, sizes, i, j)
                # places rise with numbers: of equal distances the first stays
                if exact < least:
                    least = exact
                    nearest[row] = j
            distances[row] = least


cdef double ward_distance(
    const floating[:, ::1] centroids, const double[::1] sizes, Py_ssize_t i, Py_ssize_t j
) noexcept nogil:
    """Return the squared distance, the same for i, j and j, i."""
    cdef double total = 0.0, difference
    cdef Py_ssize_t t
    for t in range(centroids.shape[1]):
        difference = <double>centroids[i, t] - <double>centroids[j, t]
        total += difference * difference
    return 2 * (sizes[i] * sizes[j]) / (sizes[i] + sizes[j]) * total
