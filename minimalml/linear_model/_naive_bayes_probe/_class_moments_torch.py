"""Class moments of torch tensors, on their device; the twin of ``_class_moments``.

O(n d) time; O(chunk d + K d) memory for chunks of rows. No step waits for the host.
"""

import torch

# Numbers of a chunk of rows. On a CPU the chunk stays in the cache of a core from step to
# step (with 2 million numbers it took 4 times as long); elsewhere starting a step costs more.
CHUNK_NUMBERS = {"cpu": 1 << 18}
CHUNK_NUMBERS_ELSEWHERE = 1 << 22


def class_moments_dense(X, y, w, origin, means, scatter, counts, n_threads):
    """Add up the moments of each class; consecutive classes share a row of scatter.

    As the Cython kernel of the same name: ``means`` (n_classes, n_features) minus
    ``origin``, ``scatter`` (n_groups, n_features) and ``counts`` (n_classes,) are
    zeroed tensors of the accumulating dtype and are written in place. torch decides
    about threads itself.
    """
    del n_threads
    if not len(X):
        return
    counts.index_add_(0, y, w)
    centres = a_row_of_each_class(X, y, w, len(counts)).to(means.dtype)
    n_groups = len(scatter)
    groups = torch.arange(len(counts), device=X.device) // (len(counts) // n_groups)
    size = CHUNK_NUMBERS.get(X.device.type, CHUNK_NUMBERS_ELSEWHERE)
    chunk_rows = min(max(size // max(X.shape[1], 1), 1), len(X))
    buffers = means.new_empty((2, chunk_rows, X.shape[1]))
    # one weight for all rows is multiplied once, at the end
    is_weighted = w.stride(0) != 0
    for start in range(0, len(X), chunk_rows):
        rows = slice(start, start + chunk_rows)
        codes = y[rows]
        deviations, spare = buffers[:, : len(codes)]
        torch.index_select(centres, 0, codes, out=spare)
        deviations.copy_(X[rows]).sub_(spare)
        weighted = deviations
        if is_weighted:
            weighted = torch.mul(deviations, w[rows, None], out=spare)
        means.index_add_(0, codes, weighted)
        squares = deviations.mul_(weighted)
        if n_groups == 1:
            scatter += squares.sum(dim=0)
        else:
            scatter.index_add_(0, groups[codes], squares)
    if not is_weighted:
        means *= w[:1]
        scatter *= w[:1]
    # The centre is a row of the class and its own deviation is part of the scatter, so
    # of n rows this difference costs log10(n) digits at most.
    shares = means / torch.where(counts > 0, counts, 1)[:, None]
    scatter.index_add_(0, groups, means * shares, alpha=-1).clamp_(min=0)
    means.copy_(shares).add_((centres - origin) * (counts > 0)[:, None])


def a_row_of_each_class(X, y, w, n_classes):
    """Return the last row of each class with a weight; any row where there is none."""
    places = torch.arange(len(X), device=X.device) * (w > 0)
    last = places.new_zeros(n_classes).scatter_reduce_(0, y, places, "amax")
    return X[last]
