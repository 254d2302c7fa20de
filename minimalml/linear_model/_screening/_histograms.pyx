# Histograms of one and of two variables.
#
# birge_rozenholc: O(n + e + D^2) a column for up to D bins, whose e distinct edges are
# the fractions j / b of all b <= D: values are counted between those once, and each
# histogram adds up counts. joint_information, linear_binning_2d: O(n).

from libc.stdint cimport uint8_t, uint16_t
from numpy cimport intp_t

cdef enum:
    MOST_BINS = 99


def birge_rozenholc(
    const double[:, ::1] columns,       # IN (n_columns, n) each from 0 to 1, or all 0
    const double[::1] edges,            # IN (n_edges + 1,) ascending, then infinity
    const uint16_t[::1] first_edge,     # IN (n_buckets + 1,) edges <= a bucket's start
    const uint16_t[::1] places,         # IN numbers of the edges 1/2; 1/3, 2/3; 1/4...
    const double[::1] rewards,          # IN (MOST_BINS + 1,) what b bins gain by themselves
    const double[::1] x_log_x,          # IN (n + 1,) k log k
    intp_t[::1] below,                  # WORK (n_edges + 1,)
    uint16_t[:, ::1] cells,             # OUT (n_columns, n) edges <= each value
    intp_t[::1] n_bins,                 # OUT (n_columns,)
):
    """Count the edges up to each value, and choose the number of bins of each column."""
    cdef intp_t n = columns.shape[1], n_buckets = first_edge.shape[0] - 1
    cdef intp_t j, i, edge, cell
    cdef double value
    with nogil:
        for j in range(columns.shape[0]):
            below[:] = 0
            for i in range(n):
                value = columns[j, i]
                edge = first_edge[<intp_t> (value * n_buckets)]
                cell = edge + (value >= edges[edge])  # a bucket has one more at most
                cells[j, i] = <uint16_t> cell
                below[cell] += 1
            if below[0] == n:  # a value of 1 is in the last cell
                n_bins[j] = 1
                continue
            for cell in range(1, below.shape[0]):
                below[cell] += below[cell - 1]
            n_bins[j] = best_histogram(
                &below[0], n, &places[0], &rewards[0], &x_log_x[0]
            )


cdef intp_t best_histogram(
    const intp_t* below, intp_t n, const uint16_t* places, const double* rewards,
    const double* x_log_x,
) noexcept nogil:
    """Return the first number of bins with the largest penalised likelihood."""
    cdef intp_t n_bins, j, here, last, best = 0
    cdef double likelihood, largest = 0.0
    for n_bins in range(2, MOST_BINS + 1):
        likelihood, last = rewards[n_bins], 0
        for j in range(n_bins - 1):
            here = below[places[j]]
            likelihood += x_log_x[here - last]
            last = here
        likelihood += x_log_x[n - last]
        places += n_bins - 1
        if best == 0 or likelihood > largest:
            best, largest = n_bins, likelihood
    return best


def joint_information(
    const uint16_t[:, ::1] cells,       # IN (n_columns, n)
    const intp_t[::1] n_bins,           # IN (n_columns,)
    const uint8_t[:, ::1] bin_of_cell,  # IN (MOST_BINS + 1, n_cells) for each number of bins
    const intp_t[::1] order,            # IN (n,) rows by class
    const intp_t[::1] offsets,          # IN (n_classes + 1,) where those of each begin
    const double[::1] x_log_x,          # IN (n + 1,) k log k
    double[::1] scores,                 # OUT (n_columns,) nats
):
    """Measure how much the bins of each column and the classes say about each other."""
    cdef intp_t n = cells.shape[1], n_classes = offsets.shape[0] - 1
    cdef intp_t j, k, i, b
    cdef intp_t[MOST_BINS] in_bin, in_pair
    cdef const uint8_t* bins
    cdef double pairs, singles, of_classes = 0.0
    with nogil:
        for k in range(n_classes):
            of_classes += x_log_x[offsets[k + 1] - offsets[k]]
        for b in range(MOST_BINS):
            in_pair[b] = 0
        for j in range(cells.shape[0]):
            bins = &bin_of_cell[n_bins[j], 0]
            for b in range(n_bins[j]):
                in_bin[b] = 0
            pairs, singles = 0.0, 0.0
            for k in range(n_classes):
                for i in range(offsets[k], offsets[k + 1]):
                    in_pair[bins[cells[j, order[i]]]] += 1
                # by row, so that many small classes cost no more than a large one
                for i in range(offsets[k], offsets[k + 1]):
                    b = bins[cells[j, order[i]]]
                    pairs += x_log_x[in_pair[b]]
                    in_bin[b] += in_pair[b]
                    in_pair[b] = 0
            for b in range(n_bins[j]):
                singles += x_log_x[in_bin[b]]
            pairs += x_log_x[n] - singles - of_classes
            scores[j] = max(0.0, pairs / n) if n_bins[j] > 1 else 0.0


def linear_binning_2d(
    const double[::1] x,                # IN (n,) places on the grid's first axis
    const double[::1] y,                # IN (n,) and on its second
    double[:, ::1] grid,                # IN, OUT
):
    """Share each point out among the four nodes around it, the nearer the more."""
    cdef intp_t i, row, column
    cdef double down, right
    with nogil:
        for i in range(x.shape[0]):
            # the last node is reached from its left
            row = min(<intp_t> x[i], grid.shape[0] - 2)
            column = min(<intp_t> y[i], grid.shape[1] - 2)
            down, right = x[i] - row, y[i] - column
            grid[row, column] += (1.0 - down) * (1.0 - right)
            grid[row, column + 1] += (1.0 - down) * right
            grid[row + 1, column] += down * (1.0 - right)
            grid[row + 1, column + 1] += down * right
