"""Class moments of torch tensors, on their device; the twin of ``_class_moments``.

O(n d) time; O(chunk d + K d) memory for chunks of rows. No step waits for the host.
"""

import torch

# Rows at a time: 16 MB of float64 numbers, so that a chunk stays in fast memory.
CHUNK_NUMBERS = 1 << 21


def class_moments_dense(X, y, w, origin, means, scatter, counts, n_threads):
    """Add up the moments of each class; consecutive classes share a row of scatter.

    As the Cython kernel of the same name: ``means`` (n_classes, n_features) minus
    ``origin``, ``scatter`` (n_groups, n_features) and ``counts`` (n_classes,) are
    zeroed tensors of the accumulating dtype and are written in place. torch decides
    about threads itself.
    """
    del n_threads
    groups = torch.arange(len(counts), device=X.device) // (len(counts) // len(scatter))
    chunk_rows = max(CHUNK_NUMBERS // max(X.shape[1], 1), 1)
    for start in range(0, len(X), chunk_rows):
        rows = slice(start, start + chunk_rows)
        deviations = X[rows].to(means.dtype) - origin
        codes, weights = y[rows], w[rows].to(means.dtype)
        chunk_counts = torch.zeros_like(counts).index_add_(0, codes, weights)
        chunk_means = class_sums(deviations, codes, weights, len(counts))
        chunk_means /= torch.where(chunk_counts > 0, chunk_counts, 1)[:, None]
        deviations -= chunk_means[codes]
        add_squares(scatter, deviations, groups[codes], weights)
        # Chan's update joins the chunk to what came before
        total = counts + chunk_counts
        rate = (chunk_counts / torch.where(total > 0, total, 1))[:, None]
        difference = chunk_means.sub_(means)
        scatter.index_add_(0, groups, difference.square() * (counts[:, None] * rate))
        means += difference * rate
        counts.copy_(total)


def class_sums(rows, codes, weights, n_classes):
    """Return the weighted sum of the rows of each class."""
    if rows.device.type == "cpu":
        # 4 times as fast as index_add_ there; elsewhere it would wait for the host
        places = torch.stack([codes, torch.arange(len(codes))])
        one_hot = torch.sparse_coo_tensor(
            places, weights, (n_classes, len(codes)), check_invariants=False
        )
        return torch.sparse.mm(one_hot, rows)
    sums = rows.new_zeros((n_classes, rows.shape[1]))
    return sums.index_add_(0, codes, rows * weights[:, None])


def add_squares(scatter, deviations, groups, weights):
    """Add the weighted squares of each row to its group's row of ``scatter``."""
    squares = deviations.square_()
    if len(scatter) == 1:
        scatter += weights @ squares
    else:
        scatter += class_sums(squares, groups, weights, len(scatter))
