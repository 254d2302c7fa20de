"""Class moments of torch tensors, on their device; the twin of ``_class_moments``.

O(n d) time; O(chunk d + K d) memory for chunks of rows. No step waits for the host.
"""

import numpy as np
import torch

from minimalml._core.arrays import is_torch_tensor
from minimalml.linear_model._naive_bayes_probe._input import (
    check_codes,
    check_length,
    check_weights,
)

# Numbers of a chunk of rows. On a CPU the chunk stays in the cache of a core from step to
# step (with 2 million numbers it took 4 times as long); elsewhere starting a step costs more.
CHUNK_NUMBERS = {"cpu": 1 << 18}
CHUNK_NUMBERS_ELSEWHERE = 1 << 22


def measured_moments(X, y_codes, n_classes, sample_weight, per_class):
    """Return the arguments of `ClassMoments` as `class_moments` measures them."""
    X = X.detach()
    dtype = torch.float32 if X.device.type == "mps" else torch.float64
    options = {"dtype": dtype, "device": X.device}
    y_codes, sample_weight = on_host(y_codes), on_host(sample_weight)
    if is_torch_tensor(y_codes):
        codes = y_codes.to(X.device).long()
        check_length("y_codes", codes, X)
    else:
        codes = as_tensor(check_codes(y_codes, n_classes, X), device=X.device)
    if sample_weight is None:
        weights = torch.ones((), **options).expand(len(X))
    elif is_torch_tensor(sample_weight):
        weights = sample_weight.to(**options)
        check_length("sample_weight", weights, X)
    else:
        weights = as_tensor(check_weights(sample_weight, X), **options)
    origin = X[0].to(dtype) if len(X) else torch.zeros(X.shape[1], **options)
    means = torch.zeros((n_classes, X.shape[1]), **options)
    scatter = torch.zeros((n_classes if per_class else 1, X.shape[1]), **options)
    counts = torch.zeros(n_classes, **options)
    if len(X):
        add_moments(X, codes, weights, origin, means, scatter, counts)
    scatter = scatter if per_class else scatter[0]
    sums = {"counts": counts, "offsets": means, "scatter": scatter, "origin": origin}
    return sums | {"n_samples": len(X)}


def on_host(array):
    """Return a CPU tensor as an array, to be checked; elsewhere that would wait."""
    is_on_cpu = is_torch_tensor(array) and array.device.type == "cpu"
    return array.detach().numpy() if is_on_cpu else array


def as_tensor(array, **options):
    """Return an array of any strides, also a read-only one, as a tensor."""
    return torch.as_tensor(np.require(array, requirements="CW"), **options)


def add_moments(X, y, w, origin, means, scatter, counts):
    """Write the moments, ``means`` minus ``origin``, to zeroed tensors, as the kernel."""
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
