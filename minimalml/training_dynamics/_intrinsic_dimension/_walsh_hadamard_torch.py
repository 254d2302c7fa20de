"""The Walsh-Hadamard transform of tensors: products with small Hadamard matrices."""

from functools import cache

import torch
from scipy.linalg import hadamard

# Products with 16 x 16 are the fastest: 0.7 ms at length 2^17 on one core, 2.3 ms by
# additions of halves.
BLOCK = 16


def transformed(x):
    """Transform the last axis, whose length is a power of two; integers to int64.

    ``H_L`` is a Kronecker product of small matrices. Each step multiplies the leading
    axis of those that an index splits into, and puts it last: after all of them the
    order is the old one.
    """
    length = x.shape[-1]
    x = x if x.is_floating_point() else x.long()
    is_half = x.dtype in (torch.float16, torch.bfloat16)
    y, n_left = (x.float() if is_half else x).reshape(-1, length), length
    while n_left > 1:
        size = min(BLOCK, n_left)
        matrix = _matrix(size, y.dtype, y.device)
        y = y.reshape(-1, size, length // size).mT
        if x.is_floating_point():
            y = y @ matrix
        else:  # for which not every device has products
            y = (y[..., None] * matrix).sum(-2)
        y = y.reshape(-1, length)
        n_left //= size
    return y.reshape(x.shape).to(x.dtype)


@cache
def _matrix(size, dtype, device):
    return torch.tensor(hadamard(size), dtype=dtype, device=device)
