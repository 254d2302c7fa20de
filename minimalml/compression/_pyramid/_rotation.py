"""Random rotations that cost a seed, and make any rows look like noise.

A Hadamard matrix for the largest power of two in the number of columns, a discrete cosine
transform for the rest of it, random signs before: O(log n + r) time a number, r the rest.
"""

import numpy as np
from scipy.fft import dct, idct


def random_signs(n_columns, seed):
    """Return signs by a seed; None, for no rotation, without one."""
    if seed is None:
        return None
    return np.where(np.random.RandomState(seed).rand(n_columns) < 0.5, -1.0, 1.0)


def rotate(rows, signs):
    """Return ``rows @ R.T``, or the rows where there are no signs."""
    if signs is None:
        return rows
    blocks = dct(_as_blocks(rows * signs), norm="ortho")
    _hadamard_inplace(blocks)
    return blocks.reshape(rows.shape)


def rotate_back(rows, signs):
    """Return ``rows @ R``: what `rotate` was given."""
    if signs is None:
        return rows
    blocks = idct(_as_blocks(rows), norm="ortho")
    _hadamard_inplace(blocks)
    return blocks.reshape(rows.shape) * signs


def _as_blocks(rows):
    power = rows.shape[1] & -rows.shape[1]  # the largest that divides it
    return rows.reshape(len(rows), power, -1)


def _hadamard_inplace(blocks):
    """Multiply by the orthonormal Hadamard matrix along the second axis."""
    n_rows, power, n_rest = blocks.shape
    half = 1
    while half < power:
        pairs = blocks.reshape(n_rows, -1, 2, half * n_rest)
        second = pairs[:, :, 1].copy()
        np.subtract(pairs[:, :, 0], second, out=pairs[:, :, 1])
        pairs[:, :, 0] += second
        half *= 2
    blocks /= np.sqrt(power)
