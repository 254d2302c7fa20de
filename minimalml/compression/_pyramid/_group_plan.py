"""How many bits each group of columns gets, for its length and for its direction."""

from math import floor
from typing import NamedTuple

import numpy as np

from minimalml.compression._pyramid._pyramid import (
    MAX_PULSES,
    largest_n_pulses,
    pyramid_size,
)

MAX_GAIN_BITS = 6


class Group(NamedTuple):
    """Consecutive columns and their bits; without bits they decode to 0."""

    start: int
    size: int
    gain_bits: int = 0
    n_pulses: int = 0
    shape_bits: int = 0


def code_widths(plan):
    """Return the bits of all codes of a row: gain and direction of each group."""
    return [bits for group in plan for bits in (group.gain_bits, group.shape_bits)]


def gain_bits_at(bits):
    """Return the gain bits of a group of about 16 at ``bits`` a column."""
    return min(MAX_GAIN_BITS, max(0, floor(bits - 0.5)))


def _least_bits(size):
    """Return the bits of one pulse."""
    return (2 * size - 1).bit_length()


def _group(start, size, n_bits, gain_bits):
    """Return a group of at most 64 bits for its direction."""
    n_pulses = largest_n_pulses(size, min(64, n_bits - gain_bits))
    shape_bits = (pyramid_size(size, n_pulses) - 1).bit_length()
    return Group(start, size, gain_bits, n_pulses, shape_bits)


def even_plan(n_columns, bits, group_size, gain_bits):
    """Return groups with ``bits`` a column each, rounded down.

    Raises
    ------
    ValueError
        If no group gets a bit, or one would need more than 64.
    """
    group_size = min(group_size, n_columns)
    if _is_too_long(group_size, n_columns, bits, gain_bits):
        sizes = range(min(group_size, floor(71 / bits) + 5), 0, -1)
        best = next(n for n in sizes if not _is_too_long(n, n_columns, bits, gain_bits))
        raise ValueError(
            f"bits={bits} with group_size={group_size} needs numbers of more than 64 bits:"
            f" group_size must be at most {best}."
        )
    plan = []
    for start in range(0, n_columns, group_size):
        size = min(group_size, n_columns - start)
        n_bits, n_gain = _split(size, n_columns, bits, gain_bits)
        has_code = n_bits >= _least_bits(size)
        plan.append(
            _group(start, size, n_bits, n_gain) if has_code else Group(start, size)
        )
    return _checked(plan, bits)


def _split(size, n_columns, bits, gain_bits):
    """Return all bits of a group, and those of its gain."""
    n_bits = floor(bits * size + 1e-9)
    is_whole = size == n_columns
    return n_bits, 0 if is_whole else min(gain_bits, n_bits - _least_bits(size))


def _is_too_long(size, n_columns, bits, gain_bits):
    """Whether the most pulses for the bits of a group have more than 2^64 points."""
    n_bits, n_gain = _split(size, n_columns, bits, gain_bits)
    if size == 1 or n_bits - n_gain <= 64:
        return False
    n_pulses = largest_n_pulses(size, 64)
    return n_pulses < MAX_PULSES and (
        (pyramid_size(size, n_pulses + 1) - 1).bit_length() <= n_bits - n_gain
    )


def variance_plan(variances, bits, group_size, gain_bits):
    """Return groups whose bits go one by one to where they lower the error most.

    A group of variance v (the geometric mean of its columns', which fall) and b bits of
    n columns leaves ``v 2^(-2 b / n)``.

    Raises
    ------
    ValueError
        If no group gets a bit.
    """
    starts = np.arange(0, len(variances), group_size)
    sizes = np.diff(np.append(starts, len(variances))).tolist()
    gains = [_GainBits(size, gain_bits) for size in sizes]
    largest = variances.max()
    relative = variances / largest if largest > 0 else np.ones(len(variances))
    logarithms = np.log2(np.maximum(relative, 1e-12))
    spread = np.add.reduceat(logarithms, starts) / sizes
    n_bits = floor(bits * len(variances) + 1e-9)
    given = _share_out(n_bits, spread, np.array(sizes), gains)
    plan = [
        _group(int(start), size, int(b), gain(b)) if b else Group(int(start), size)
        for start, size, b, gain in zip(starts, sizes, given, gains, strict=True)
    ]
    return _checked(plan, bits)


class _GainBits:
    """Gain bits of a group by its bits, with the least and the most it can use."""

    def __init__(self, size, gain_bits):
        self.size, self.gain_bits = size, gain_bits
        self.least = _least_bits(size)
        n_pulses = largest_n_pulses(size, 64)
        shape_bits = 64
        if size == 1 or n_pulses == MAX_PULSES:
            shape_bits = (pyramid_size(size, n_pulses) - 1).bit_length()
        candidates = range(shape_bits, shape_bits + MAX_GAIN_BITS + 1)
        self.most = max(b for b in candidates if b - self(b) <= shape_bits)

    def __call__(self, n_bits):
        wanted = self.gain_bits
        if wanted is None:
            wanted = min(max(floor(n_bits / self.size + 0.5), 1), MAX_GAIN_BITS)
        return int(min(wanted, n_bits - self.least))


def _share_out(left, spread, sizes, gains):
    """Return the bits of each group; the last of those left with too few get none."""
    least, most = (np.array([getattr(g, k) for g in gains]) for k in ("least", "most"))
    given = np.zeros(len(sizes), dtype=int)
    while True:
        while left and (given < most).any():
            error = np.where(given < most, spread - 2 * given / sizes, -np.inf)
            given[np.argmax(error)] += 1
            left -= 1
        below = np.flatnonzero((most > 0) & (given < least))
        if not len(below):
            return given
        left += given[below[-1]]
        given[below[-1]] = most[below[-1]] = 0


def _checked(plan, bits):
    if not any(group.shape_bits for group in plan):
        raise ValueError(
            f"bits={bits} gives no group the bits of one pulse: raise bits, or group_size."
        )
    return plan
