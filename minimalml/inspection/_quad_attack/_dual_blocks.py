"""Blocks of active rows of the ordering programme's dual, a batch at a time."""

import torch

# A proximal term, relative to the diagonal: it makes degenerate programmes solvable
# and leaves no trace, being centred on the last multipliers.
PROXIMAL = 1e-10


def diagonal_and_proximal(hessian):
    """Return the largest entries of the diagonals and what to add to these, (n, 1)."""
    eps = torch.finfo(hessian.dtype).eps
    diagonal = hessian.diagonal(dim1=1, dim2=2).amax(1, keepdim=True)
    return diagonal, max(PROXIMAL, 64 * eps) * diagonal.clamp(min=eps)


def active_block(hessian, active, proximal):
    """Return the active blocks, with the identity elsewhere."""
    block = among(hessian, active)
    block.diagonal(dim1=1, dim2=2).add_(torch.where(active, proximal, 1.0))
    return block


def among(matrix, active):
    """Return the matrices with zeros outside the active rows and columns."""
    side = active.to(matrix.dtype)
    return (matrix * side[:, :, None]).mul_(side[:, None, :])


def on_wrong_side(values, gap, needed, active, diagonal):
    """Tell which active rows have a negative multiplier, and which others a gap."""
    eps = torch.finfo(values.dtype).eps
    largest = values.abs().amax(1, keepdim=True)
    noise = 16 * eps * (needed.abs().amax(1, keepdim=True) + diagonal * largest)
    return torch.where(active, values < -16 * eps * largest, gap > noise)


def apply(matrix, values):
    """Multiply sample by sample."""
    return torch.bmm(matrix, values[:, :, None]).squeeze(2)
