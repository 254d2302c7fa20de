"""Rows as codes and back: a level for each group's length, a number for its direction."""

import numpy as np
from scipy.linalg import solve_triangular

from minimalml.compression._error_feedback import feed_back
from minimalml.compression._pyramid._gain_levels import nearest_level
from minimalml.compression._pyramid._pyramid import decode, encode, project

MAX_FLOAT16 = 65504.0


def encode_scaled_rows(rows, hessian, plan, levels):
    """Return codes (n_rows, 2 n_groups) and a scale a row, in float16.

    The scale starts as the row's length, in whose units levels are, and ends as what is
    best for the codes.
    """
    scales = np.linalg.norm(rows, axis=1).astype(np.float16)
    codes, decoded = encode_rows(rows, hessian, plan, levels, scales.astype(float))
    through = decoded if hessian is None else decoded @ hessian
    size = np.einsum("ij,ij->i", decoded, through)
    product = np.einsum("ij,ij->i", rows, through)
    ratio = np.divide(product, size, out=np.ones(len(rows)), where=size > 0)
    # The loss is a parabola of the scale: short of its lowest point is better too
    best = np.clip(scales * ratio, -MAX_FLOAT16, MAX_FLOAT16)
    return codes, best.astype(np.float16)


def encode_rows(rows, hessian, plan, levels, scales):
    """Return codes (n_rows, 2 n_groups), and the rows that they decode to."""
    codes = np.zeros((len(rows), 2 * len(plan)), dtype=np.uint64)
    units = np.where(scales == 0, 1, scales)
    numbers = {group.start: number for number, group in enumerate(plan)}

    def encode_block(values, factor, columns):
        number = numbers[columns[0]]
        group = plan[number]
        if not group.shape_bits:
            return np.zeros_like(values)
        points = project(values, group.n_pulses)
        gains, directions = _gains(values, points, factor)
        of_gain = nearest_level(gains / units, levels[number])
        codes[:, 2 * number] = of_gain
        codes[:, 2 * number + 1] = encode(points, group.n_pulses)
        return (levels[number][of_gain] * scales)[:, None] * directions

    order, sizes = np.arange(rows.shape[1]), [group.size for group in plan]
    decoded, _ = feed_back(rows, hessian, order, sizes, encode_block)
    return codes, decoded


def _gains(values, points, factor):
    """Return the lengths along directions that cost least after feedback, and these."""
    directions = unit_rows(points)
    scaled, along = (
        solve_triangular(factor, part.T, trans="T", check_finite=False)
        for part in (values, directions)
    )
    product, size = (np.einsum("ij,ij->j", part, along) for part in (scaled, along))
    return product / size, directions


def unit_rows(points):
    """Return the directions of integer points."""
    points = points.astype(np.float64)
    return points / np.sqrt(np.einsum("ij,ij->i", points, points))[:, None]


def decode_rows(codes, plan, levels):
    """Return the rows of codes, in units of their scales."""
    parts = []
    for number, group in enumerate(plan):
        if not group.shape_bits:
            parts.append(np.zeros((len(codes), group.size)))
            continue
        of_gain = codes[:, 2 * number].astype(np.intp)
        points = decode(codes[:, 2 * number + 1], group.size, group.n_pulses)
        parts.append(levels[number][of_gain][:, None] * unit_rows(points))
    return np.hstack(parts)
