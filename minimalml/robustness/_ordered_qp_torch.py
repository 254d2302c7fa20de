# SPDX-License-Identifier: BSD-3-Clause
"""Nearest point at which K classes lead in a given order: batched, on any device.

The programme of ``_ordered_qp.pyx``, all samples at once: a working set of rows, a
primal-dual active set method (semi-smooth Newton) on its dual with batched Cholesky
factors, and accelerated projected gradients for the samples on which that cycles.
"""
# Time O(n w^3) a Newton round, with w rows in the working set; memory O(n w^2).

import torch

# A proximal term, relative to the diagonal: it makes degenerate programmes solvable
# and leaves no trace, being centred on the last multipliers.
PROXIMAL = 1e-10
NEWTON_ROUNDS = 30
POLISH_ROUNDS = 3
PATIENCE = 3
GRADIENT_STEPS = 300
POWER_STEPS = 20
# A distance this many natural lengths long is infinite: rounding alone allows 1e8.
FAR = 1e5


def ordered_qp(logits, targets, gram, margin, warm_start, tol, max_iter, n_threads, start=None):
    """Solve the ordering programme of each row of ``logits``.

    Arguments and results are those of the CPU kernel, as tensors; ``max_iter`` counts
    working sets, and torch has its own setting for ``n_threads``.
    """
    n, n_classes = logits.shape
    above = classes_above(targets, n_classes)
    multiplier = torch.zeros_like(logits)
    rows = rows_in_class_order(targets, n_classes)
    if warm_start is not None:
        multiplier.scatter_(1, rows, warm_start.to(logits.dtype).clamp(min=0.0))
    status = torch.empty(n, dtype=torch.int8, device=logits.device)
    n_iter = torch.zeros(n, dtype=torch.int64, device=logits.device)
    residual = logits.new_empty(n)
    unsolved = torch.arange(n, device=logits.device)
    size = min(n_classes - 1, 5 * targets.shape[1] + 31)
    for round_ in range(max_iter + 1):
        part = [x[unsolved] for x in (logits, targets, above, multiplier)]
        impossible = torch.zeros_like(unsolved, dtype=torch.bool)
        if round_:
            part[3], impossible, rounds = improve(*part, gram, margin, size)
            size = min(n_classes - 1, 5 * size // 4)
            multiplier[unsolved] = part[3]
            n_iter[unsolved] += rounds
        residual[unsolved] = kkt_residual(*part, gram, margin)
        goal = tol if round_ == max_iter else 0.1 * tol
        code = torch.where(residual[unsolved] <= goal, 0, 2)
        status[unsolved] = torch.where(impossible, 1, code).to(torch.int8)
        unsolved = unsolved[status[unsolved] == 2]  # the round's one look at the host
        if len(unsolved) == 0:
            break
    infeasible = status == 1
    u = direction_of(multiplier, above).masked_fill(infeasible[:, None], 0.0)
    distance = ((u @ gram) * u).sum(1).clamp(min=0.0)
    return (
        u,
        distance.masked_fill(infeasible, torch.inf),
        multiplier.gather(1, rows),
        residual.masked_fill(infeasible, torch.inf),
        status,
        n_iter,
        None,
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


def gaps(score, above, margin):
    """By how much each row is violated."""
    return margin - score.gather(1, above) + score


def kkt_residual(logits, targets, above, multiplier, gram, margin):
    """Worst violation or lack of complementarity, relative to logits and distance."""
    u = direction_of(multiplier, above)
    lift = u @ gram
    gap = gaps(logits + lift, above, margin).scatter_(1, targets[:, :1], -1.0)
    scale = 1.0 + logits.abs().amax(1)
    distance = (u * lift).sum(1).clamp(min=0.0)
    slack = (multiplier * gap).abs().amax(1) / (scale + distance)
    return torch.maximum(gap.amax(1) / scale, slack).clamp(min=0.0)


def improve(logits, targets, above, multiplier, gram, margin, size):
    """Solve on a working set of ``size`` rows: new multipliers, impossible, rounds."""
    score = logits + direction_of(multiplier, above) @ gram
    urgency = gaps(score, above, margin)
    urgency.masked_fill_(multiplier > 0.0, torch.inf)
    urgency.scatter_(1, targets, torch.inf)
    urgency.scatter_(1, targets[:, :1], -torch.inf)
    low = urgency.topk(size, dim=1).indices
    high = above.gather(1, low)
    needed = margin - logits.gather(1, high) + logits.gather(1, low)
    hessian = dual_hessian(gram, targets, low, high)
    start = multiplier.gather(1, low)
    values, settled, rounds = newton(hessian, needed, start, NEWTON_ROUNDS)
    stuck = (~settled).nonzero().squeeze(1)
    if len(stuck):
        problem = hessian[stuck], needed[stuck]
        start = accelerated_gradient(*problem, values[stuck])
        values[stuck], _, more = newton(*problem, start, 4 * NEWTON_ROUNDS)
        rounds[stuck] += more
    values, _, _ = newton(hessian, needed, values, POLISH_ROUNDS)
    impossible = no_point_exists(hessian, needed, values)
    found = torch.where(impossible[:, None], values / values.amax(1, True), values)
    return torch.zeros_like(logits).scatter_(1, low, found), impossible, rounds


def dual_hessian(gram, targets, low, high):
    """Pick the entries of D G D' for the rows (high, low), (n_samples, w, w)."""
    classes = torch.cat([targets[:, :1], low], dim=1)
    places = torch.arange(classes.shape[1], device=low.device).expand_as(classes)
    place = torch.zeros(len(low), len(gram), dtype=torch.int64, device=low.device)
    place = place.scatter_(1, classes, places).gather(1, high)
    entries = gram.take(classes[:, :, None] * len(gram) + classes[:, None, :])
    half = entries.gather(1, place[:, :, None].expand(-1, -1, classes.shape[1]))
    half -= entries[:, 1:]
    hessian = half.gather(2, place[:, None, :].expand(-1, low.shape[1], -1))
    return hessian.sub_(half[:, :, 1:])


def apply(hessian, values):
    """Multiply sample by sample."""
    return torch.bmm(hessian, values[:, :, None]).squeeze(2)


def newton(hessian, needed, centre, n_rounds):
    """Primal-dual active set: multipliers, which samples settled, rounds taken.

    Rows on the wrong side all change sides, which is a Newton step; where their number
    did not fall for three rounds only the last one does, which can't cycle.
    """
    diagonal = hessian.diagonal(dim1=1, dim2=2).amax(1, keepdim=True)
    eps = torch.finfo(needed.dtype).eps
    proximal = max(PROXIMAL, 64 * eps) * diagonal.clamp(min=eps)
    aim = needed + proximal * centre
    active = centre > 0.0
    index = torch.arange(needed.shape[1], device=needed.device)
    rounds = torch.zeros_like(needed[:, 0], dtype=torch.int64)
    fewest, patience = rounds + needed.shape[1] + 1, rounds + PATIENCE
    for _ in range(n_rounds):
        block = hessian * (active[:, :, None] & active[:, None, :])
        block.diagonal(dim1=1, dim2=2).add_(torch.where(active, proximal, 1.0))
        factor = torch.linalg.cholesky_ex(block).L
        masked = torch.where(active, aim, 0.0)[:, :, None]
        values = torch.cholesky_solve(masked, factor).squeeze(2)
        gap = aim - proximal * values - apply(hessian, values)
        size = values.abs().amax(1, keepdim=True)
        noise = 16 * eps * (aim.abs().amax(1, keepdim=True) + diagonal * size)
        wrong = torch.where(active, values < -16 * eps * size, gap > noise)
        count = wrong.sum(1)
        rounds += count > 0
        if count.device.type == "cpu" and not count.any():
            break
        patience = torch.where(count < fewest, PATIENCE, patience - 1)
        fewest = torch.minimum(fewest, count)
        last = (wrong * index).amax(1, keepdim=True)
        active = active ^ (wrong & ((patience >= 0)[:, None] | (index == last)))
    return values.nan_to_num(0.0).clamp(min=0.0), count == 0, rounds


def accelerated_gradient(hessian, needed, values):
    """FISTA with restarts on the dual, from ``values``."""
    vector = torch.ones_like(needed)
    for _ in range(POWER_STEPS):
        vector = apply(hessian, vector)
        length = vector.norm(dim=1, keepdim=True)
        vector = vector / length
    step = 0.9 / length
    ahead, momentum = values, torch.ones_like(length)
    for _ in range(GRADIENT_STEPS):
        slope = needed - apply(hessian, ahead)
        new = (ahead + step * slope).clamp(min=0.0)
        turned = (slope * (new - values)).sum(1, keepdim=True) < 0.0
        momentum = torch.where(turned, 1.0, momentum)
        following = 0.5 * (1.0 + (1.0 + 4.0 * momentum**2).sqrt())
        pull = torch.where(turned, 0.0, (momentum - 1.0) / following)
        ahead, values, momentum = new + pull * (new - values), new, following
    return values


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
