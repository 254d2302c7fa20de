"""Nearest point at which K classes lead in a given order: batched, on any device.

The programme of ``_ordered_qp.pyx``, all samples at once: a working set of rows, a
primal-dual active set method (semi-smooth Newton) on its dual with batched Cholesky
factors, and a pivot at a time for the samples on which that cycles.
"""
# Time O(n w^3) a Newton round, with w rows in the working set; memory O(n w^2).

from typing import NamedTuple

import torch

from minimalml.inspection._quad_attack._dual_blocks import (
    active_block,
    apply,
    diagonal_and_proximal,
    on_wrong_side,
)
from minimalml.inspection._quad_attack._dual_pivots import dual_pivots
from minimalml.inspection._quad_attack._factored_gram import FactoredGram, multiply
from minimalml.inspection._quad_attack._kept_inverses import (
    KeptInverses,
    newton_by_inverse,
)

NEWTON_ROUNDS = 30
# Asking whether all are done is free on the CPU; elsewhere the host would wait.
ROUNDS_BETWEEN_LOOKS = 8
POLISH_ROUNDS = 3
PATIENCE = 3
# From here on a direction's zeros are worth skipping; on a GPU, the host would wait.
MANY_CLASSES = 256
# A distance this many natural lengths long is infinite: rounding alone allows 1e8.
FAR = 1e5


class SavedRows(NamedTuple):
    """What a solve leaves for the next: multipliers, working sets, inverses."""

    gram: torch.Tensor
    version: int
    targets: torch.Tensor
    multiplier: torch.Tensor
    low: torch.Tensor
    hessian: torch.Tensor
    inverses: KeptInverses | None  # None until a solve starts from these rows

    def fits(self, targets, gram):
        """Whether these are of this very matrix, unchanged, and of these targets."""
        is_same = self.gram is gram or (
            torch.is_tensor(gram)
            and torch.is_tensor(self.gram)
            and (self.gram.data_ptr(), self.gram.shape) == (gram.data_ptr(), gram.shape)
        )
        is_unchanged = is_same and self.version == gram._version
        return is_unchanged and torch.equal(self.targets, targets)


def ordered_qp(
    logits,
    targets,
    gram,
    margin,
    warm_start,
    tol,
    max_iter,
    n_threads,
    start=None,
    in_place=False,
    factor=1.0,
):
    """Solve the ordering programme of each row of ``logits``.

    Arguments and results are those of the CPU kernel, as tensors; ``max_iter`` counts
    working sets, torch has its own setting for ``n_threads``, and in place only what
    ``start`` holds is overwritten.
    """
    n, n_classes = logits.shape
    above = classes_above(targets, n_classes)
    rows = rows_in_class_order(targets, n_classes)
    size = min(n_classes - 1, 5 * targets.shape[1] + 31)
    multiplier, lift = torch.zeros_like(logits), torch.zeros_like(logits)
    low = hessian = inverses = None
    n_iter = torch.zeros(n, dtype=torch.int64, device=logits.device)
    if start is not None and start.fits(targets, gram):
        old, low, hessian = start.multiplier, start.low, start.hessian
        inverses = start.inverses or KeptInverses.of_none(hessian)
        if not in_place:
            low, hessian, inverses = low.clone(), hessian.clone(), inverses.clone()
        old = old.gather(1, low)
        inverses.refresh(hessian, old)
        needed = needed_leads(logits, above, low, margin)
        found, n_iter = newton_by_inverse(hessian, needed, old, inverses)
        multiplier.scatter_(1, low, found)
        lift = lift_of(multiplier, above, gram)
    elif warm_start is not None:
        multiplier.scatter_(1, rows, warm_start.to(logits.dtype).clamp(min=0.0))
        lift = lift_of(multiplier, above, gram)
    status = torch.empty(n, dtype=torch.int8, device=logits.device)
    residual = logits.new_empty(n)
    unsolved = torch.arange(n, device=logits.device)
    for round_ in range(max_iter + 1):
        part = [x[unsolved] for x in (logits, targets, above, multiplier, lift)]
        impossible = torch.zeros_like(unsolved, dtype=torch.bool)
        if round_:
            fresh = working_set(*part, gram, margin, size)
            if low is None:
                low, hessian = (x.new_zeros(n, *x.shape[1:]) for x in fresh)
            if fresh[0].shape[1] == low.shape[1]:
                low[unsolved], hessian[unsolved] = fresh
            if inverses is not None:
                inverses.is_stale[unsolved] = True
            size = min(n_classes - 1, 5 * size // 4)
            part[3], impossible, rounds = improve(*part[:4], *fresh, margin)
            part[4] = lift_of(part[3], part[2], gram)
            multiplier[unsolved], lift[unsolved] = part[3], part[4]
            n_iter[unsolved] += rounds
        residual[unsolved] = kkt_residual(*part, margin)
        goal = tol if round_ == max_iter else 0.1 * tol
        code = torch.where(residual[unsolved] <= goal, 0, 2)
        status[unsolved] = torch.where(impossible, 1, code).to(torch.int8)
        unsolved = unsolved[status[unsolved] == 2]  # the round's one look at the host
        if len(unsolved) == 0:
            break
    infeasible = status == 1
    u = direction_of(multiplier, above).masked_fill(infeasible[:, None], 0.0)
    distance = (lift * u).sum(1).clamp(min=0.0)
    state = multiplier.masked_fill(infeasible[:, None], 0.0), low, hessian, inverses
    return (
        factor * u,
        distance.masked_fill(infeasible, torch.inf),
        multiplier.gather(1, rows),
        residual.masked_fill(infeasible, torch.inf),
        status,
        n_iter,
        None if low is None else SavedRows(gram, gram._version, targets, *state),
    )


def classes_above(targets, n_classes):
    """Return the class that must lead each class; the first target gets itself."""
    above = targets[:, -1:].repeat(1, n_classes)
    previous = torch.cat([targets[:, :1], targets[:, :-1]], dim=1)
    return above.scatter_(1, targets, previous)


def rows_in_class_order(targets, n_classes):
    """Return all classes but the first target, ascending, (n_samples, n_classes - 1)."""
    rows = torch.arange(n_classes - 1, device=targets.device)
    return rows + (rows >= targets[:, :1])


def direction_of(multiplier, above):
    """Multiply by the transposed matrix of rows; the first target's multiplier is 0."""
    return (-multiplier).scatter_add_(1, above, multiplier)


def lift_of(multiplier, above, gram):
    """By how much the direction of the multipliers moves each class's score."""
    direction = direction_of(multiplier, above)
    is_dense = not isinstance(gram, FactoredGram) and direction.device.type == "cpu"
    if is_dense and len(gram) >= MANY_CLASSES:
        return torch.sparse.mm(direction.to_sparse(), gram)
    return multiply(direction, gram)


def gaps(score, above, margin):
    """By how much each row is violated."""
    return margin - score.gather(1, above) + score


def kkt_residual(logits, targets, above, multiplier, lift, margin):
    """Worst violation or lack of complementarity, relative to logits and distance."""
    u = direction_of(multiplier, above)
    gap = gaps(logits + lift, above, margin).scatter_(1, targets[:, :1], -1.0)
    scale = 1.0 + logits.abs().amax(1)
    distance = (u * lift).sum(1).clamp(min=0.0)
    slack = (multiplier * gap).abs().amax(1) / (scale + distance)
    return torch.maximum(gap.amax(1) / scale, slack).clamp(min=0.0)


def working_set(logits, targets, above, multiplier, lift, gram, margin, size):
    """Choose ``size`` rows, targets and active ones first, and find their D G D'."""
    urgency = gaps(logits + lift, above, margin)
    urgency.masked_fill_(multiplier > 0.0, torch.inf)
    urgency.scatter_(1, targets, torch.inf)
    urgency.scatter_(1, targets[:, :1], -torch.inf)
    low = urgency.topk(size, dim=1).indices
    return low, dual_hessian(gram, targets, low, above.gather(1, low))


def needed_leads(logits, above, low, margin):
    """By how much the given logits violate the rows of a working set."""
    return margin - logits.gather(1, above.gather(1, low)) + logits.gather(1, low)


def improve(logits, targets, above, multiplier, low, hessian, margin):
    """Solve on the working set: new multipliers, impossible, rounds."""
    needed = needed_leads(logits, above, low, margin)
    start = multiplier.gather(1, low)
    values, settled, rounds = newton(hessian, needed, start, NEWTON_ROUNDS)
    stuck = (~settled).nonzero().squeeze(1)
    if len(stuck):
        problem = hessian[stuck], needed[stuck]
        start, is_proof, pivots = dual_pivots(*problem)
        polished, settled, _ = newton(*problem, start, POLISH_ROUNDS)
        is_better = settled & ~is_proof
        values[stuck] = torch.where(is_better[:, None], polished, start)
        rounds[stuck] += pivots
    impossible = no_point_exists(hessian, needed, values)
    found = torch.where(impossible[:, None], values / values.amax(1, True), values)
    return torch.zeros_like(logits).scatter_(1, low, found), impossible, rounds


def dual_hessian(gram, targets, low, high):
    """Pick the entries of D G D' for the rows (high, low), (n_samples, w, w)."""
    classes = torch.cat([targets[:, :1], low], dim=1)
    places = torch.arange(classes.shape[1], device=low.device).expand_as(classes)
    place = torch.zeros(len(low), len(gram), dtype=torch.int64, device=low.device)
    place = place.scatter_(1, classes, places).gather(1, high)
    if isinstance(gram, FactoredGram):
        entries = gram.entries(classes)
    else:
        entries = gram.take(classes[:, :, None] * len(gram) + classes[:, None, :])
    half = entries.gather(1, place[:, :, None].expand(-1, -1, classes.shape[1]))
    half -= entries[:, 1:]
    hessian = half.gather(2, place[:, None, :].expand(-1, low.shape[1], -1))
    return hessian.sub_(half[:, :, 1:])


def newton(hessian, needed, centre, n_rounds):
    """Primal-dual active set: multipliers, which samples settled, rounds taken.

    Rows on the wrong side all change sides, which is a Newton step; where their number
    did not fall for three rounds only the last one does, which can't cycle.
    """
    n, size = needed.shape
    diagonal, proximal = diagonal_and_proximal(hessian)
    result = torch.zeros_like(needed)
    rounds = torch.zeros(n, dtype=torch.int64, device=needed.device)
    settled = torch.zeros_like(rounds, dtype=torch.bool)
    sample = torch.arange(n, device=needed.device)
    fewest, patience = rounds + size + 1, rounds + PATIENCE
    place = torch.arange(size, device=needed.device)
    active = centre > 0.0
    often = 1 if needed.device.type == "cpu" else ROUNDS_BETWEEN_LOOKS
    for round_ in range(1, n_rounds + 1):
        values = proximal_points(hessian, needed, centre, active, proximal)
        gap = needed - apply(hessian, values)
        wrong = on_wrong_side(values, gap, needed, active, diagonal)
        count = wrong.sum(1)
        result[sample], settled[sample] = values, count == 0
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
                (hessian, needed, centre, active, proximal, diagonal, sample, fewest,
                 patience) = (
                    x[left] for x in (hessian, needed, centre, active, proximal,
                                      diagonal, sample, fewest, patience)
                )  # fmt: skip
    return result.nan_to_num(0.0).clamp(min=0.0), settled, rounds


def proximal_points(hessian, needed, centre, active, proximal):
    """Solve the active equations, twice: the second leaves no trace of the centre."""
    factor = torch.linalg.cholesky_ex(active_block(hessian, active, proximal)).L
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
    energy = torch.maximum(energy, torch.finfo(needed.dtype).eps * diagonal)
    distance = (needed * values).sum(1) / energy.sqrt()
    natural = needed.clamp(min=0.0).amax(1) / diagonal.sqrt()
    return distance > FAR * natural
