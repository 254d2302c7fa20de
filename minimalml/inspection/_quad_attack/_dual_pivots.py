"""Goldfarb and Idnani's dual active set, for a batch: one row in or out a pivot.

Slow and sure, for the samples on which Newton steps cycle: many rows in few dimensions.
"""
# Time O(n w^2) a pivot, with a working set of w.

import torch

from minimalml.inspection._quad_attack._dual_blocks import apply, diagonal_and_proximal
from minimalml.inspection._quad_attack._kept_inverses import change_sides

PIVOTS_PER_ROW = 8
# Asking whether all are done is free on the CPU; elsewhere the host would wait.
PIVOTS_BETWEEN_LOOKS = 8
# A pivot below this, relative to the diagonal: the row depends on the active ones.
DEPENDENT = 1e-12


def dual_pivots(hessian, needed):
    """Solve each sample's programme from nothing: multipliers, proofs, pivots taken.

    Of samples marked as proofs the multipliers prove that no point satisfies the rows.
    """
    result = torch.zeros_like(needed)
    is_proof = torch.zeros_like(needed[:, 0], dtype=torch.bool)
    sample = torch.arange(len(needed), device=needed.device)
    pivots = torch.zeros_like(sample)
    inverse, values = torch.zeros_like(hessian), result.clone()
    active = torch.zeros_like(values, dtype=torch.bool)
    is_cpu = needed.device.type == "cpu"
    for pivot in range(PIVOTS_PER_ROW * needed.shape[1]):
        values, inverse, active, is_over, is_proof[sample] = one_pivot(
            hessian, needed, values, inverse, active
        )
        result[sample] = values
        pivots[sample] += ~is_over
        if is_cpu or pivot % PIVOTS_BETWEEN_LOOKS == PIVOTS_BETWEEN_LOOKS - 1:
            left = (~is_over).nonzero().squeeze(1)
            if len(left) == 0:
                break
            if len(left) < len(sample):
                hessian, needed, values, inverse, active, sample = (
                    x[left] for x in (hessian, needed, values, inverse, active, sample)
                )
    return result, is_proof, pivots


def one_pivot(hessian, needed, values, inverse, active):
    """Raise the multiplier of one row until its gap closes or another's reaches zero.

    Returns multipliers, inverses, active rows, which samples were over before, and
    which of them are impossible.
    """
    eps = torch.finfo(needed.dtype).eps
    dependent = max(DEPENDENT, 64 * eps)
    diagonal, proximal = diagonal_and_proximal(hessian)
    gap = needed - apply(hessian, values)
    largest = values.amax(1, keepdim=True)
    noise = 16 * eps * (needed.abs().amax(1, keepdim=True) + diagonal * largest)
    # a row that has a multiplier and is not active is on its way in
    urgency = gap.masked_fill(active, -torch.inf)
    urgency = urgency.masked_fill(~active & (values > 0.0), torch.inf)
    urgency, entering = urgency.max(1, keepdim=True)
    column = hessian.gather(2, entering[:, None, :].expand(-1, hessian.shape[1], -1))
    column = column[:, :, 0]
    falling = torch.where(active, apply(inverse, column), 0.0)
    # once more, against the proximal term: then the error of the slope is of second order
    falling = falling + apply(inverse, column - apply(hessian, falling))
    falling = torch.where(active, falling, 0.0)
    bend = (falling * (apply(hessian, falling) - 2.0 * column)).sum(1, keepdim=True)
    slope = column.gather(1, entering) + bend
    size = 1.0 + (falling**2).sum(1, keepdim=True)
    closes = gap.gather(1, entering).clamp(min=0.0) / slope
    closes = torch.where(slope > dependent * diagonal * size, closes, torch.inf)
    small = 16 * eps * size.sqrt()
    blocks = torch.where(falling > small, values.clamp(min=0.0) / falling, torch.inf)
    blocks, leaving = blocks.min(1, keepdim=True)
    length = torch.minimum(closes, blocks)
    is_impossible = length.isinf() & (urgency > noise)
    is_over = (urgency <= noise) | is_impossible
    length = torch.where(is_over, 0.0, length)
    moved = (values - length * falling).scatter_add(1, entering, length)
    enters = closes <= blocks
    left_out = moved.scatter(1, leaving, 0.0)
    moved = torch.where(enters | is_over, moved, left_out).clamp(min=0.0)
    changed = torch.where(enters, entering, leaving)
    flips = torch.zeros_like(active).scatter_(1, changed, ~is_over)
    inverse, active = change_sides(hessian, inverse, active, flips, proximal)
    proof = (-falling).clamp(min=0.0).scatter(1, entering, 1.0)
    moved = torch.where(is_impossible, proof, moved)
    return moved, inverse, active, is_over[:, 0], is_impossible[:, 0]
