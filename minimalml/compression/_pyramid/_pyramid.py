"""Directions as integer points whose sizes sum to a number of pulses, and their numbers.

A codebook that nobody stores: the points are enumerated, so that arithmetic finds the
number of a point and the point of a number. Fischer, "A pyramid vector quantizer", IEEE
Transactions on Information Theory 32 (1986).
"""

from bisect import bisect_right
from functools import cache, lru_cache, partial

import numpy as np
from sklearn.utils import check_array

from minimalml._core.threads import effective_n_threads, for_each_chunk
from minimalml._core.validation import Integral, Interval, validate_params
from minimalml.compression._pyramid._pyramid_points import (
    decode_indices,
    encode_points,
    project_rows,
)

MAX_PULSES = 2**15 - 1  # points are int16
# Seconds for a number of a row, on one thread: python -m benchmarks pyramid
SECONDS_TO_PROJECT, SECONDS_TO_CODE = 1e-7, 3e-8
SECONDS_PER_CHUNK = 3e-4

POSITIVE = Interval(Integral, 1, None, closed="left")
PULSES = Interval(Integral, 1, MAX_PULSES, closed="both")


@validate_params(
    {"n_dims": [POSITIVE], "n_pulses": [Interval(Integral, 0, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def pyramid_size(n_dims, n_pulses):
    """Count the integer points of a pyramid.

    Points of ``n_dims`` integers whose absolute values sum to ``n_pulses``.
    O(min(n_dims, n_pulses)) operations on integers of any size.

    Parameters
    ----------
    n_dims : int
        Coordinates, at least 1.

    n_pulses : int
        Their sum in absolute value, at least 0.

    Returns
    -------
    int
        Exact.

    Examples
    --------
    >>> from minimalml.compression import pyramid_size
    >>> pyramid_size(4, 3)
    88
    """
    return _size(int(n_dims), int(n_pulses))


def _size(n_dims, n_pulses):
    if n_pulses == 0:
        return 1
    term = total = 2 * n_dims  # 2^j C(n_dims, j) C(n_pulses - 1, j - 1) of j = 1
    for j in range(1, min(n_dims, n_pulses)):
        term = term * 2 * (n_dims - j) * (n_pulses - j) // ((j + 1) * j)
        total += term
    return total


@cache
def largest_n_pulses(n_dims, n_bits):
    """Return the most pulses whose points ``n_bits`` can number, 0 if none can."""
    if n_dims == 1:
        return int(n_bits >= 1)  # more pulses are the same two directions
    bound, limit = 1, 2**n_bits
    while bound <= MAX_PULSES and _size(n_dims, bound) <= limit:
        bound *= 2
    candidates = range(1, min(bound, MAX_PULSES + 1))
    return bisect_right(candidates, limit, key=partial(_size, n_dims))


@lru_cache(maxsize=64)
def _sums(n_dims, n_pulses):
    """Return in row m, column k how many points of m numbers have fewer than k pulses.

    Modulo 2^64: the last row may go beyond, differences of neighbours do not.
    """
    if _size(n_dims, n_pulses) > 2**64:
        raise ValueError(
            f"The pyramid of n_dims={n_dims} and n_pulses={n_pulses} has more points than "
            "64 bits can number."
        )
    sums = np.zeros((n_dims, n_pulses + 2), dtype=np.uint64)
    counts = np.zeros(n_pulses + 1, dtype=np.uint64)
    counts[0] = 1
    for row in sums:
        np.cumsum(counts, out=row[1:])
        counts += 2 * row[:-1]
    sums.flags.writeable = False
    return sums


@validate_params(
    {"X": ["array-like"], "n_pulses": [PULSES], "refine": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def pyramid_project(X, n_pulses, *, refine=True):
    """Find the point of the pyramid that is nearest in direction to each row.

    Pulses are shared out in proportion and those left one by one where they help the
    cosine most; then scale and point are fitted to each other in turn, which nearly always
    ends at the best point. O(n_dims min(n_dims, n_pulses)) time a row.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_dims)
        Rows, in float32 or float64; their lengths are of no account.

    n_pulses : int
        What a point's absolute values sum to, 1 to 32767. More are more precise.

    refine : bool, default=True
        False leaves out the fit in turn, which takes a fifth of the time and brings up to
        2 % of the squared error.

    Returns
    -------
    ndarray of int16 of shape (n_samples, n_dims)
        A row of zeros becomes ``n_pulses`` on the first coordinate.

    Raises
    ------
    ValueError
        If a number is not finite.

    References
    ----------
    .. [1] J.-M. Valin, K. Vos, T. Terriberry, "Definition of the Opus Audio Codec",
       RFC 6716, 2012.

    Examples
    --------
    >>> from minimalml.compression import pyramid_project
    >>> pyramid_project([[1.0, -3.0, 0.2]], 4)
    array([[ 1, -3,  0]], dtype=int16)
    """
    kinds = dict(dtype=[np.float64, np.float32], ensure_min_samples=0)
    return project(check_array(X, input_name="X", **kinds), n_pulses, refine)


def project(rows, n_pulses, refine=True):
    """Do the work of `pyramid_project`."""
    rows = np.ascontiguousarray(rows)
    n_dims = rows.shape[1]
    points = np.empty(rows.shape, dtype=np.int16)

    def work(start, stop):
        project_rows(rows, n_pulses, refine, np.empty((4, n_dims)), points, start, stop)

    _by_chunks(work, len(rows), SECONDS_TO_PROJECT * n_dims)
    return points


@validate_params(
    {"points": ["array-like"], "n_pulses": [PULSES]},
    prefer_skip_nested_validation=True,
)
def pyramid_encode(points, n_pulses):
    """Give the points of a pyramid their numbers.

    A bijection onto 0 to ``pyramid_size(n_dims, n_pulses) - 1``: by the first coordinate
    in the order 0, 1, -1, 2, -2..., then by the next. O(n_dims) time a point, and a table
    of n_dims n_pulses numbers.

    Parameters
    ----------
    points : array-like of shape (n_points, n_dims)
        Whole numbers.

    n_pulses : int
        What their absolute values sum to, 1 to 32767.

    Returns
    -------
    ndarray of uint64 of shape (n_points,)

    Raises
    ------
    ValueError
        If a point is not of the pyramid, or 64 bits can't number its points.

    Examples
    --------
    >>> from minimalml.compression import pyramid_encode
    >>> pyramid_encode([[0, 2], [0, -2], [1, 1], [-2, 0]], 2)
    array([0, 1, 2, 7], dtype=uint64)
    """
    points = check_array(
        points, dtype="numeric", ensure_min_samples=0, input_name="points"
    )
    is_off = np.abs(points.astype(np.float64)).sum(axis=1) != n_pulses
    if points.dtype.kind == "f":
        is_off |= (points % 1 > 0).any(axis=1)
    if is_off.any():
        row = np.flatnonzero(is_off)[0]
        raise ValueError(
            f"points must be whole numbers whose absolute values sum to "
            f"n_pulses={n_pulses}, got {points[row]} in row {row}."
        )
    return encode(points.astype(np.int16), n_pulses)


def encode(points, n_pulses):
    """Do the work of `pyramid_encode`, for C-contiguous int16."""
    points = np.ascontiguousarray(points)
    sums = _sums(points.shape[1], int(n_pulses))
    indices = np.empty(len(points), dtype=np.uint64)

    def work(start, stop):
        encode_points(points, sums, indices, start, stop)

    _by_chunks(work, len(points), SECONDS_TO_CODE * points.shape[1])
    return indices


@validate_params(
    {"indices": ["array-like"], "n_dims": [POSITIVE], "n_pulses": [PULSES]},
    prefer_skip_nested_validation=True,
)
def pyramid_decode(indices, n_dims, n_pulses):
    """Return the points of a pyramid by their numbers.

    O(n_dims log n_pulses) time a point.

    Parameters
    ----------
    indices : array-like of int of shape (n_points,)
        From `pyramid_encode`.

    n_dims : int
        Coordinates.

    n_pulses : int
        What a point's absolute values sum to, 1 to 32767.

    Returns
    -------
    ndarray of int16 of shape (n_points, n_dims)

    Raises
    ------
    ValueError
        If there are fewer points than an index says, or 64 bits can't number them.

    Examples
    --------
    >>> from minimalml.compression import pyramid_decode
    >>> pyramid_decode([0, 7], 2, 2)
    array([[ 0,  2],
           [-2,  0]], dtype=int16)
    """
    indices = np.asarray(indices)
    if indices.ndim != 1 or (indices.dtype.kind not in "iu" and indices.size):
        raise ValueError(
            "indices must be integers, one-dimensional, got shape "
            f"{indices.shape} of {indices.dtype}."
        )
    return decode(indices, n_dims, n_pulses)


def decode(indices, n_dims, n_pulses):
    """Do the work of `pyramid_decode`."""
    sums = _sums(int(n_dims), int(n_pulses))
    last = _size(int(n_dims), int(n_pulses)) - 1
    is_off = (indices < 0) | (indices > last)
    if is_off.any():
        row = np.flatnonzero(is_off)[0]
        raise ValueError(
            f"indices must be from 0 to {last}, got {indices[row]} in row {row}."
        )
    indices = np.ascontiguousarray(indices, dtype=np.uint64)
    points = np.empty((len(indices), n_dims), dtype=np.int16)

    def work(start, stop):
        decode_indices(indices, sums, points, start, stop)

    _by_chunks(work, len(indices), SECONDS_TO_CODE * n_dims)
    return points


def _by_chunks(work, n_rows, seconds_per_row):
    for_each_chunk(
        work,
        n_rows,
        chunk_size=max(1, int(SECONDS_PER_CHUNK / seconds_per_row)),
        n_threads=effective_n_threads(n_rows, seconds_per_row),
    )
