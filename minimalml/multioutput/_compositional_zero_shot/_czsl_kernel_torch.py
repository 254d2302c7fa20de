"""The best seen and the best unseen pairs of each row, on any torch device.

The twin of ``_czsl_kernel.pyx``: O(n P k) time, and nothing here waits for the device.
"""

import torch

# Scores that are copied at once, which bounds the memory: 32 MB of float32.
CHUNK = 2**23


def update_top_pairs(scores, seen_group, column_offset, values, indices):
    """Merge a block of columns into the k best unseen and seen pairs of each row.

    Arguments are those of the CPU kernel, as tensors, and all rows are one chunk.
    """
    rows_at_once = max(1, CHUNK // scores.shape[1])
    for start in range(0, len(scores), rows_at_once):
        rows = slice(start, start + rows_at_once)
        for group in (0, 1):
            candidates = scores[rows].masked_fill(seen_group != group, -torch.inf)
            _merge_inplace(
                candidates, column_offset, values[group, rows], indices[group, rows]
            )


def _merge_inplace(candidates, column_offset, values, indices):
    """Merge scores (n, m), which are used up, into k falling values and indices."""
    k = values.shape[1]
    all_values, all_indices = [values], [indices]
    for _ in range(k):
        value, column = candidates.max(dim=1, keepdim=True)  # the first of equal ones
        candidates.scatter_(1, column, -torch.inf)
        all_values.append(value.to(values.dtype))
        all_indices.append(column + column_offset)
    merged = torch.cat(all_values, dim=1)  # (n, 2 k), earlier columns first
    # stable: what was there stays before the new, -inf without an index included
    merged, order = merged.sort(dim=1, descending=True, stable=True)
    values.copy_(merged[:, :k])
    indices.copy_(torch.cat(all_indices, dim=1).gather(1, order[:, :k]))
