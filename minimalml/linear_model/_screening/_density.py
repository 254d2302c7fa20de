"""Mutual information of two continuous variables by a kernel density on a grid.

Points are shared out among the nodes of the grid and smoothed by fast Fourier
transforms, so that the time hardly depends on the number of points.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np
from scipy.fft import dctn, irfft2, next_fast_len, rfft2

from minimalml.linear_model._screening._histograms import linear_binning_2d

# The kernel 1 - u^2 / 5 ends at sqrt(5) bandwidths, the grid a little beyond.
KERNEL_END, MARGIN = sqrt(5), 1.05
# Nodes of less mass are rounding errors of the transforms.
NEGLIGIBLE = 1e-15


class Axis(NamedTuple):
    """One variable on its axis of the grid."""

    places: np.ndarray  # (n_rows,) in steps of the grid
    distances: np.ndarray  # (period / 2 + 1,) of nodes, squared; 1: the kernel's end


def bandwidths(columns):
    """Return Silverman's bandwidth of each column, robust to outliers."""
    n = columns.shape[1]
    low, high = np.percentile(columns, [25, 75], axis=1)
    spread = columns.std(axis=1, ddof=1)
    between = (high - low) / 1.349
    spread = np.where(between > 0, np.minimum(spread, between), spread)
    return spread * (0.75 * n) ** -0.2


def period(grid_size):
    """Return a fast even length of transforms of a grid.

    The grid's margin is as wide as the kernel, so nothing is smoothed around its ends
    and no more zeros are needed.
    """
    return 2 * next_fast_len(-(-grid_size // 2), real=True)


def axes(columns, grid_size):
    """Return the axis of each column; all have numbers from 0 to 1."""
    nodes = np.arange(period(grid_size) // 2 + 1)
    for column, bandwidth in zip(columns, bandwidths(columns), strict=True):
        end = KERNEL_END * max(bandwidth, np.finfo(float).tiny)
        step = (1.0 + 2 * MARGIN * end) / (grid_size - 1)
        with np.errstate(over="ignore"):
            distances = (nodes * step / end) ** 2
        yield Axis((column + MARGIN * end) / step, distances)


def joint_mass(x, y, grid_size):
    """Return the kernel density of two variables, as shares of the nodes."""
    mass = np.zeros((grid_size, grid_size))
    linear_binning_2d(x.places, y.places, mass)
    quarter = np.maximum(1.0 - x.distances[:, None] - y.distances, 0.0)
    # The kernel is even in both directions: a quarter of it gives a quarter of its
    # transform, which is real, and rows of negative frequency repeat the others
    transform = dctn(quarter, type=1)
    length = period(grid_size)
    rows = np.minimum(np.arange(length), length - np.arange(length))
    smooth = rfft2(mass, (length, length)) * transform[rows]
    mass = np.maximum(irfft2(smooth, (length, length))[:grid_size, :grid_size], 0.0)
    return mass / mass.sum()


def entropy(shares):
    """Return the entropy of shares that add up to 1, in nats."""
    shares = shares[shares > NEGLIGIBLE]
    return -float((shares * np.log(shares)).sum())


def grid_information(mass):
    """Return the mutual information of the axes of a grid of shares, in nats."""
    of_axes = entropy(mass.sum(axis=1)) + entropy(mass.sum(axis=0))
    return max(0.0, of_axes - entropy(mass))


def density_information(columns, target, grid_size):
    """Return the mutual information of each column and the axis ``target``, in nats."""
    return [
        grid_information(joint_mass(axis, target, grid_size)) if column.any() else 0.0
        for column, axis in zip(columns, axes(columns, grid_size), strict=True)
    ]
