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
        chunk_means = torch.zeros_like(means)
        chunk_means.index_add_(0, codes, deviations * weights[:, None])
        chunk_means /= torch.where(chunk_counts > 0, chunk_counts, 1)[:, None]
        deviations -= chunk_means[codes]
        deviations.square_().mul_(weights[:, None])
        add_to_groups(scatter, groups[codes], deviations)
        # Chan's update joins the chunk to what came before
        total = counts + chunk_counts
        rate = (chunk_counts / torch.where(total > 0, total, 1))[:, None]
        difference = chunk_means.sub_(means)
        scatter.index_add_(0, groups, difference.square() * (counts[:, None] * rate))
        means += difference * rate
        counts.copy_(total)


def add_to_groups(scatter, groups, squares):
    """Add each row of ``squares`` to its group's row of ``scatter``."""
    if len(scatter) == 1:
        scatter += squares.sum(axis=0)
    else:
        scatter.index_add_(0, groups, squares)
