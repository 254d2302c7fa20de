"""Warm starts of the torch kernel: inverses of active blocks, updated as rows change.

From one step of a loop to the next few rows change sides. Those border the old block:
with its inverse at hand, the new one takes a small system and no factor.
"""
# Time O(n k w^2) a round, with k rows that change in a working set of w.

from dataclasses import dataclass, replace

import torch

from minimalml.inspection._quad_attack._dual_blocks import (
    active_block,
    among,
    apply,
    diagonal_and_proximal,
    on_wrong_side,
)

# Rows that may change sides at once; the rest waits for the next round.
CHANGES = 5
ROUNDS = 6
# Active gaps below this, relative to what the rows need, are closed.
CLOSED = 1e-6


@dataclass
class KeptInverses:
    """Inverses of the active blocks of a batch."""

    inverse: torch.Tensor  # (n, w, w), zero outside the block
    active: torch.Tensor  # (n, w), bool
    is_stale: torch.Tensor  # (n,), bool: whether they are of other rows

    @classmethod
    def of_none(cls, hessian):
        """Return room for the inverses, all of them still to be computed."""
        active = torch.zeros_like(hessian[:, 0], dtype=torch.bool)
        return cls(torch.zeros_like(hessian), active, torch.ones_like(active[:, 0]))

    def clone(self):
        """Return a copy that shares nothing."""
        return replace(self, **{name: x.clone() for name, x in vars(self).items()})

    def refresh(self, hessian, multiplier):
        """Compute the inverses that are stale, of the rows with a multiplier."""
        stale = self.is_stale.nonzero().squeeze(1)
        if len(stale):
            hessian, active = hessian[stale], multiplier[stale] > 0.0
            block = active_block(hessian, active, diagonal_and_proximal(hessian)[1])
            inverse = torch.cholesky_inverse(torch.linalg.cholesky_ex(block).L)
            self.inverse[stale] = among(inverse, active)
            self.active[stale], self.is_stale[stale] = active, False


def newton_by_inverse(hessian, needed, centre, kept):
    """Primal-dual active set, rows on the wrong side all changing: multipliers, rounds.

    Where that does not soon close the active gaps, the multipliers are those of before.
    """
    inverse, active = kept.inverse, kept.active
    diagonal, proximal = diagonal_and_proximal(hessian)
    result = centre.clone()
    sample = torch.arange(len(needed), device=needed.device)
    rounds = torch.zeros_like(sample)
    wrong = torch.zeros_like(active)
    for round_ in range(ROUNDS):
        if round_:
            inverse, active = change_sides(hessian, inverse, active, wrong, proximal)
            kept.inverse[sample], kept.active[sample] = inverse, active
        values = torch.where(active, centre, 0.0)
        values = values + apply(inverse, needed - apply(hessian, values))
        gap = needed - apply(hessian, values)
        wrong = on_wrong_side(values, gap, needed, active, diagonal)
        count, centre = wrong.sum(1), values
        # of impossible rows the block is singular, and only the proximal term holds it
        widest = torch.where(active, gap.abs(), 0.0).amax(1, keepdim=True)
        is_solved = (count == 0)[:, None] & (
            widest <= CLOSED * needed.abs().amax(1, True)
        )
        result[sample] = torch.where(is_solved, values, result[sample])
        rounds[sample] += count > 0
        if needed.device.type == "cpu":  # elsewhere the host would wait for the count
            left = count.nonzero().squeeze(1)
            if len(left) == 0:
                break
            if 4 * len(left) <= 3 * len(count):
                (hessian, needed, centre, inverse, active, wrong, diagonal, proximal,
                 sample) = (
                    x[left] for x in (hessian, needed, centre, inverse, active, wrong,
                                      diagonal, proximal, sample)
                )  # fmt: skip
    return result.nan_to_num(0.0).clamp(min=0.0), rounds


def change_sides(hessian, inverse, active, wrong, proximal):
    """Let rows on the wrong side enter or leave: the new inverses and active rows.

    With U the columns of the hessian of those that enter and unit vectors of those that
    leave, V = inverse @ U and D the block among those that enter, the bordered matrix
    has the Schur complement K = D - U.T @ V, and W = V - I on the rows that enter turns
    the inverse into inverse + W @ K^-1 @ W.T.
    """
    n_changes = min(CHANGES, wrong.shape[1])
    wrong, changed = wrong.to(torch.int8).topk(n_changes, dim=1)
    wrong = wrong.bool()
    leaves = active.gather(1, changed) & wrong
    enters = wrong ^ leaves
    columns = changed[:, None, :].expand(-1, active.shape[1], -1)
    rows = changed[:, :, None].expand(-1, -1, n_changes)
    entering = hessian.gather(2, columns) * enters[:, None, :]
    leaving = inverse.gather(2, columns) * leaves[:, None, :]
    border = torch.baddbmm(leaving, inverse, entering)
    by_entering = entering.gather(1, rows) - torch.bmm(entering.mT, border)
    by_leaving = -border.gather(1, rows) * leaves[:, :, None]
    small = torch.where(enters[:, :, None], by_entering, by_leaving)
    spare = torch.where(enters, proximal, (~wrong).to(proximal.dtype))
    small.diagonal(dim1=1, dim2=2).add_(spare)
    border.scatter_add_(1, changed[:, None, :], -enters[:, None, :].to(border.dtype))
    update = torch.linalg.solve_ex(small, border.mT).result
    flipped = torch.zeros_like(active).scatter_(1, changed, wrong)
    return torch.baddbmm(inverse, border, update), active ^ flipped
