"""Exact partners by one sorted column of labels on any torch device.

The arguments, the shells and the random streams are those of the Cython half: the same
seeds give the same partners, but where a sum of masses rounds differently.
"""

import math

import torch

SHELL_WIDTH, CELL_WIDTH = 0.5, 0.25
NEGLIGIBLE_EXPONENT = 54 * math.log(2)
# Proposals a draw; what all of them reject is left to the exact pass over blocks.
MAX_ROUNDS = 12
NO_CANDIDATE, UNDECIDED = -1, -2

# splitmix64's constants as two's complement, and shifts made logical by a mask
GOLDEN = 0x9E3779B97F4A7C15 - 2**64
FIRST_FACTOR = 0xBF58476D1CE4E5B9 - 2**64
SECOND_FACTOR = 0x94D049BB133111EB - 2**64


def _shift_right(z, bits):
    return (z >> bits) & (2 ** (64 - bits) - 1)


def uniform(seeds, counter, dtype=torch.float64):
    """Return number ``counter`` of each stream in [0, 1): splitmix64."""
    offset = (counter * GOLDEN + 2**63) % 2**64 - 2**63
    z = seeds + offset
    z = (z ^ _shift_right(z, 30)) * FIRST_FACTOR
    z = (z ^ _shift_right(z, 27)) * SECOND_FACTOR
    z = z ^ _shift_right(z, 31)
    return _shift_right(z, 11).to(dtype) * 2.0**-53


def _first_past(sorted_y, start, stop, origin, reach, strict):
    """First k in [start, stop) with y[k] - origin past ``reach``: bisection."""
    low, high = start, stop
    end = len(sorted_y) - 1
    for _ in range(len(sorted_y).bit_length()):
        middle = low + (high - low) // 2
        offset = sorted_y[middle.clamp(max=end)] - origin
        past = offset > reach if strict else offset >= reach
        open_interval = low < high
        high = torch.where(open_interval & past, middle, high)
        low = torch.where(open_interval & ~past, middle + 1, low)
    return low


def _mass(weight_prefix, start, stop, dtype):
    if weight_prefix is None:
        return (stop - start).to(dtype)
    return weight_prefix[stop] - weight_prefix[start]


def _row_at(weight_prefix, start, stop, u):
    """Row of [start, stop) at fraction ``u`` of their weight."""
    if weight_prefix is None:
        rows = start + (u * (stop - start)).to(torch.int64)
    else:
        below, above = weight_prefix[start], weight_prefix[stop]
        target = below + u * (above - below)
        rows = torch.searchsorted(weight_prefix, target, right=True) - 1
    return torch.minimum(torch.maximum(rows, start), stop - 1)


def _nearest_distance(sorted_y, query_y, first, left_stop, right_start, last):
    end = len(sorted_y) - 1
    infinity = torch.full_like(query_y, math.inf)
    left = query_y - sorted_y[(left_stop - 1).clamp(min=0)]
    right = sorted_y[right_start.clamp(max=end)] - query_y
    left = torch.where(left_stop > first, left, infinity)
    right = torch.where(right_start < last, right, infinity)
    return torch.minimum(left, right)


def sample_partners_sorted(
    sorted_y,
    weight_prefix,
    query_y,
    offsets,
    segment,
    left_stop,
    right_start,
    reach,
    seeds,
    out,
    n_threads=1,
):
    """Draw a position for each query with probability ~ weight * kernel(distance)."""
    arguments = (
        sorted_y, weight_prefix, query_y, offsets[segment], left_stop, right_start,
        offsets[segment + 1],
    )  # fmt: skip
    empty = (left_stop == offsets[segment]) & (right_start == offsets[segment + 1])
    out.fill_(UNDECIDED)
    out.masked_fill_(empty, NO_CANDIDATE)
    if reach == 0.0:
        _draw_by_shells(*arguments, len(offsets) - 1, seeds, out)
    else:
        _draw_in_windows(*arguments, reach, seeds, out)


def _draw_by_shells(
    sorted_y,
    weight_prefix,
    query_y,
    first,
    left_stop,
    right_start,
    last,
    n_segments,
    seeds,
    out,
):
    """Fill in the draws of the Gaussian kernel that are decided in ``MAX_ROUNDS``."""
    dtype = query_y.dtype
    n_shells = 1 + math.ceil(
        math.sqrt(2 * (NEGLIGIBLE_EXPONENT + math.log(len(sorted_y) + 1))) / SHELL_WIDTH
        + CELL_WIDTH / 2
    )
    nearest = _nearest_distance(
        sorted_y, query_y, first, left_stop, right_start, last
    )  # (n_queries,)
    # the cells of the Cython half, so that the streams draw the same
    centre = (torch.floor(query_y / CELL_WIDTH) + 0.5) * CELL_WIDTH
    is_shared = (
        (left_stop == right_start)
        & (nearest <= 0)
        & ((query_y - centre).abs() <= CELL_WIDTH / 2)
    )
    centre = torch.where(is_shared, centre, query_y)
    slack = 0.5 * CELL_WIDTH * is_shared.to(dtype)
    middle = _first_past(sorted_y, first, last, centre, 0.0, False)
    left_stop = torch.where(is_shared, middle, left_stop)
    right_start = torch.where(is_shared, middle, right_start)

    starts = SHELL_WIDTH * torch.arange(n_shells + 1, device=query_y.device)
    starts = starts.to(dtype)  # (n_shells + 1,)
    near, inner = nearest[:, None], starts[None, 1:]
    reach = near + inner**2 / (near + torch.sqrt(near**2 + inner**2))
    least = (starts[:-1] - slack[:, None]).clamp(min=0)  # (n_queries, n_shells)

    def shells(bound):  # (n_queries,) -> (n_queries, n_shells)
        return bound[:, None].expand_as(reach)

    if n_segments == 1:
        # Labels ascend as a whole. An edge that rounding moves by one label is harmless:
        # shells only need to cover each row once.
        right = torch.searchsorted(sorted_y, centre[:, None] + reach)
        left = torch.searchsorted(sorted_y, centre[:, None] - reach, right=True)
        right = torch.maximum(right, right_start[:, None])
        left = torch.minimum(left, left_stop[:, None])
    else:
        origin = shells(centre)
        right = _first_past(
            sorted_y, shells(right_start), shells(last), origin, reach, False
        )
        left = _first_past(
            sorted_y, shells(first), shells(left_stop), origin, -reach, True
        )
    right = torch.cat([right_start[:, None], right], dim=1)
    left = torch.cat([left_stop[:, None], left], dim=1)

    # shell 2m lies on the right, 2m + 1 on the left
    begin = torch.stack([right[:, :-1], left[:, 1:]], dim=2).flatten(1)
    end = torch.stack([right[:, 1:], left[:, :-1]], dim=2).flatten(1)
    bound = torch.exp(-0.5 * least**2).repeat_interleave(2, dim=1)
    cumulative = torch.cumsum(bound * _mass(weight_prefix, begin, end, dtype), dim=1)
    total = cumulative[:, -1].contiguous()
    heaviest = torch.searchsorted(cumulative, total[:, None])  # last shell with rows
    heaviest = heaviest.clamp(max=2 * n_shells - 1)

    waiting = (out == UNDECIDED) & (total > 0)
    for counter in range(0, 3 * MAX_ROUNDS, 3):
        u = (total * uniform(seeds, counter + 1, dtype))[:, None]
        shell = torch.searchsorted(cumulative, u, right=True)
        shell = torch.minimum(shell, heaviest)
        lower, upper = begin.gather(1, shell)[:, 0], end.gather(1, shell)[:, 0]
        upper = torch.maximum(upper, lower + 1)  # of queries that wait for nothing
        row = _row_at(weight_prefix, lower, upper, uniform(seeds, counter + 2, dtype))
        row = row.clamp(max=len(sorted_y) - 1)
        offset = (sorted_y[row] - query_y).abs()
        start = least.gather(1, shell // 2)[:, 0]
        exponent = 0.5 * (start**2 - (offset - nearest) * (offset + nearest))
        accepted = uniform(seeds, counter + 3, dtype) < torch.exp(exponent)
        out.copy_(torch.where(waiting & accepted, row, out))
        waiting = waiting & ~accepted


def _draw_in_windows(
    sorted_y,
    weight_prefix,
    query_y,
    first,
    left_stop,
    right_start,
    last,
    reach,
    seeds,
    out,
):
    """Fill in the draws among the labels within ``reach``."""
    dtype, low, high = query_y.dtype, first, last
    if not math.isinf(reach):
        low = _first_past(sorted_y, first, left_stop, query_y, -reach, False)
        high = _first_past(sorted_y, right_start, last, query_y, reach, True)
    left_mass = _mass(weight_prefix, low, left_stop, dtype)
    right_mass = _mass(weight_prefix, right_start, high, dtype)
    total = left_mass + right_mass
    on_left = (uniform(seeds, 1, dtype) * total < left_mass) | (right_mass <= 0)
    begin = torch.where(on_left, low, right_start)
    end = torch.maximum(torch.where(on_left, left_stop, high), begin + 1)
    row = _row_at(weight_prefix, begin, end.clamp(max=len(sorted_y)),
                  uniform(seeds, 2, dtype))  # fmt: skip
    out.copy_(torch.where(total > 0, row, out))
    out.masked_fill_((low == left_stop) & (high == right_start), NO_CANDIDATE)
