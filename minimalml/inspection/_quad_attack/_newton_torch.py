"""The ordering programme among few classes: batched Newton steps, on any device.

A primal-dual active set method (semi-smooth Newton) on the dual, with batched Cholesky
factors of the active blocks.
"""
# Time O(n m^3) a Newton round among m classes; memory O(n m^2).

import torch

ROUNDS = 30
# Asking whether all are done is free on the CPU; elsewhere the host would wait.
ROUNDS_BETWEEN_LOOKS = 8
# Where the number of rows on the wrong side did not fall for so many rounds, only one
# row changes sides at a time, which is slow but stops most cycles.
PATIENCE = 3
# A proximal term, relative to the diagonal: it makes degenerate programmes solvable
# and leaves no trace, being centred on the last multipliers.
PROXIMAL = 1e-10
# A distance this many natural lengths long is infinite: rounding alone allows 1e8.
FAR = 1e5
# An energy below this, relative to the diagonal, is not rounding, not even float32's.
INDEFINITE = 1e-4


def newton_few(logits, n_targets, gram, margin, multiplier, tol):
    """Solve for targets that are the first classes: multipliers, codes and rounds.

    Arguments and results are those of ``compiled_few``, as tensors; code 2 says that
    the steps did not settle, however small the residual.
    """
    hessian = leads(leads(gram, n_targets).mT, n_targets)
    needed = margin - leads(logits, n_targets)
    values, settled, rounds = newton(hessian, needed, multiplier[:, 1:])
    impossible = no_point_exists(hessian, needed, values)
    proof = values / values.amax(1, keepdim=True)
    values = torch.where(impossible[:, None], proof, values)
    code = torch.where(impossible, 1, torch.where(settled, 0, 2))
    return torch.nn.functional.pad(values, (1, 0)), code, rounds


def leads(values, n_targets):
    """Multiply by D along axis 1: each class's leader less the class itself."""
    leader = torch.arange(values.shape[1] - 1, device=values.device)
    return values[:, leader.clamp(max=n_targets - 1)] - values[:, 1:]


def newton(hessian, needed, centre):
    """Let all rows on the wrong side change sides: multipliers, which settled, rounds."""
    n, size = needed.shape
    eps = torch.finfo(needed.dtype).eps
    diagonal = hessian.diagonal(dim1=1, dim2=2).amax(1, keepdim=True)
    diagonal = torch.where(diagonal > 0.0, diagonal, 1.0)
    result = torch.zeros_like(needed)
    rounds = torch.zeros(n, dtype=torch.int64, device=needed.device)
    settled = torch.zeros_like(rounds, dtype=torch.bool)
    sample = torch.arange(n, device=needed.device)
    fewest, patience = rounds + size + 1, rounds + PATIENCE
    place = torch.arange(size, device=needed.device)
    active = centre > 0.0
    often = 1 if needed.device.type == "cpu" else ROUNDS_BETWEEN_LOOKS
    for round_ in range(1, ROUNDS + 1):
        values = proximal_points(
            hessian, needed, centre, active, max(PROXIMAL, 64 * eps) * diagonal
        )
        largest = values.abs().amax(1, keepdim=True)
        noise = 16 * eps * (needed.abs().amax(1, keepdim=True) + diagonal * largest)
        gap = needed - apply(hessian, values)
        wrong = torch.where(active, values < -16 * eps * largest, gap > noise)
        count = wrong.sum(1)
        result[sample] = values
        settled[sample] = (count == 0) & values.isfinite().all(1)
        rounds[sample] += count > 0
        patience = torch.where(count < fewest, PATIENCE, patience - 1)
        fewest = torch.minimum(fewest, count)
        last = (wrong * place).amax(1, keepdim=True)
        active = active ^ (wrong & ((patience >= 0)[:, None] | (place == last)))
        if round_ % often == 0:
            left = count.nonzero().squeeze(1)
            if len(left) == 0:
                break
            if len(left) < len(count):
                (hessian, needed, centre, active, diagonal, sample, fewest, patience) = (
                    x[left] for x in (hessian, needed, centre, active, diagonal,
                                      sample, fewest, patience)
                )  # fmt: skip
    return result.nan_to_num(0.0).clamp(min=0.0), settled, rounds


def proximal_points(hessian, needed, centre, active, proximal):
    """Solve the active equations, twice: the second leaves no trace of the centre."""
    side = active.to(hessian.dtype)
    block = (hessian * side[:, :, None]).mul_(side[:, None, :])
    block.diagonal(dim1=1, dim2=2).add_(torch.where(active, proximal, 1.0))
    factor = torch.linalg.cholesky_ex(block).L
    for _ in range(2):
        aim = torch.where(active, needed + proximal * centre, 0.0)
        centre = torch.cholesky_solve(aim[:, :, None], factor).squeeze(2)
    return centre


def no_point_exists(hessian, needed, values):
    """Whether the multipliers prove that no point is near enough to matter.

    Any multipliers bound the distance from below by needed·values / |values|_H.
    """
    values = values / values.amax(1, keepdim=True).clamp(min=1e-300)
    diagonal = hessian.diagonal(dim1=1, dim2=2).amax(1)
    energy = (values * apply(hessian, values)).sum(1)
    # of an indefinite matrix nothing is proven: the other kernel tells
    is_convex = energy >= -INDEFINITE * diagonal * (values**2).sum(1)
    energy = torch.maximum(energy, torch.finfo(needed.dtype).eps * diagonal)
    distance = (needed * values).sum(1) / energy.sqrt()
    natural = needed.clamp(min=0.0).amax(1) / diagonal.sqrt()
    return (distance > FAR * natural) & is_convex


def apply(matrix, values):
    """Multiply sample by sample."""
    return torch.bmm(matrix, values[:, :, None]).squeeze(2)
