"""The Walsh-Hadamard transform: a product with a matrix of ±1 that is never formed."""

import math

import numpy as np
from sklearn.utils import check_array

from minimalml._core.arrays import is_torch_tensor
from minimalml._core.threads import effective_n_threads, for_each_chunk
from minimalml.training_dynamics._intrinsic_dimension._walsh_hadamard_kernel import (
    transform_rows,
)

# Of a number of a row on one thread, all its levels together; 1.0 ms at 2^20.
SECONDS_PER_NUMBER = 1e-9
# Numbers that a chunk of rows holds: some 0.2 ms.
CHUNK_NUMBERS = 1 << 18


def fast_walsh_hadamard(x, axis=-1, *, normalize=False):
    r"""Multiply vectors by the Hadamard matrix of their length.

    A product with ``scipy.linalg.hadamard(L)``, in O(L log L) time, without the matrix.

    Parameters
    ----------
    x : array-like or tensor
        Finite real numbers; the length L along ``axis`` is a power of two.

    axis : int, default=-1
        Axis of the vectors.

    normalize : bool, default=False
        Whether to divide by the square root of L, which makes the transform orthogonal
        and its own inverse.

    Returns
    -------
    ndarray or tensor
        Of the shape of ``x``, a new one. Floats keep their type; half precision is
        computed in single. Integers give exact int64, or float64 with ``normalize``.

    Raises
    ------
    ValueError
        If L is no power of two, a number is not finite or not real, or sums of integers
        may leave int64.

    Notes
    -----
    In the natural order of Sylvester's construction: :math:`H_1 = 1` and

    .. math:: H_{2L} = [[H_L, H_L], [H_L, -H_L]], \qquad H_L H_L = L I.

    Tensors stay on their device, with gradients; they are not looked through for NaN.

    Examples
    --------
    >>> from minimalml.training_dynamics import fast_walsh_hadamard
    >>> fast_walsh_hadamard([1, 0, 2, 0])
    array([ 3,  3, -1, -1])
    """
    if is_torch_tensor(x):
        from minimalml.training_dynamics._intrinsic_dimension._walsh_hadamard_torch import (
            transformed,
        )

        x = x.movedim(axis, -1)
        check_length(x.shape[-1])
        y = transformed(x.double() if normalize and not x.is_floating_point() else x)
        return (y / math.sqrt(x.shape[-1]) if normalize else y).movedim(-1, axis)
    x = check_array(x, dtype="numeric", ensure_2d=False, allow_nd=True, input_name="x")
    x = np.moveaxis(x, axis, -1)
    length = x.shape[-1]
    check_length(length)
    is_exact = x.dtype.kind in "biu" and not normalize
    if is_exact and max(-int(x.min()), int(x.max())) * length >= 1 << 63:
        raise ValueError(f"x has integers whose sums over {length} may leave int64.")
    is_single = x.dtype in (np.float16, np.float32)
    dtype = np.int64 if is_exact else np.float32 if is_single else np.float64
    y = np.array(x, dtype=dtype, order="C")
    transform_inplace(y.reshape(-1, length))
    if normalize:
        y /= math.sqrt(length)
    kept = np.float16 if x.dtype == np.float16 else dtype
    return np.moveaxis(y.astype(kept, copy=False), -1, axis)


def transform_inplace(rows):
    """Transform each row of a C-contiguous float32, float64 or int64 array."""
    n_rows, length = rows.shape
    for_each_chunk(
        lambda start, stop: transform_rows(rows, start, stop),
        n_rows,
        chunk_size=max(1, CHUNK_NUMBERS // length),
        n_threads=effective_n_threads(rows.size, SECONDS_PER_NUMBER),
    )


def check_length(length):
    """Raise a ValueError if a transform has no such length."""
    if length < 1 or length & (length - 1):
        raise ValueError(
            f"x must have a length that is a power of two along axis, got {length}: pad "
            f"it with zeros to {power_of_two(max(length, 1))}."
        )


def power_of_two(size):
    """Return the least power of two that is at least ``size``."""
    return 1 << (size - 1).bit_length()
