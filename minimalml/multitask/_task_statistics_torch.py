"""The moments of each task on torch tensors, on their device."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import torch

from minimalml._core.arrays import is_torch_tensor


def tensor_statistics(X, y, tasks, with_label_moment):
    """Return the fields of ``TaskStatistics`` for tensors.

    O(n d^2) time; one product over the rows of each task.
    """
    names, codes = np.unique(_identifiers(tasks), return_inverse=True)
    columns = torch.as_tensor(y, dtype=X.dtype, device=X.device).reshape(len(X), -1)
    if len(codes) != len(X) or len(columns) != len(X):
        raise ValueError(
            "X, y and tasks must have equal lengths, got "
            f"{len(X)}, {len(columns)} and {len(codes)}."
        )
    if not (X.isfinite().all() and columns.isfinite().all()):
        raise ValueError("X and y must not hold NaN or infinity.")
    counts = np.bincount(codes, minlength=len(names))
    order = torch.as_tensor(np.argsort(codes, kind="stable"), device=X.device)
    sizes = counts.tolist()
    blocks = zip(X[order].split(sizes), columns[order].split(sizes), strict=True)
    parts = [_block_moments(rows, targets) for rows, targets in blocks]
    means, target_means, scatter, cross, target_scatter = map(
        torch.stack, zip(*parts, strict=True)
    )
    weighted = X * (columns**2).sum(dim=1, keepdim=True)
    return {
        "tasks": names,
        "counts": torch.as_tensor(counts, dtype=X.dtype, device=X.device),
        "means": means,
        "target_means": target_means,
        "scatter": scatter,
        "cross": cross,
        "target_scatter": target_scatter,
        "label_moment": weighted.T @ X if with_label_moment else None,
        "single_output": y.ndim == 1,
    }


def _identifiers(tasks):
    return tasks.cpu().numpy() if is_torch_tensor(tasks) else np.asarray(tasks)


def _block_moments(X, y):
    mean, target_mean = X.mean(dim=0), y.mean(dim=0)
    centred, target = X - mean, y - target_mean
    return (
        mean, target_mean, centred.T @ centred, centred.T @ target,
        (target**2).sum(dim=0),
    )  # fmt: skip
