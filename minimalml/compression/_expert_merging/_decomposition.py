"""A matrix as low rank and a few full rows, which hold what low rank can't.

Li et al., "Merge, Then Compress", ICLR 2024, after LoSparse.
"""

import math
import warnings
from numbers import Integral
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigvalsh, svd
from sklearn.utils import check_array

FLOATS = [np.float64, np.float32]


class Decomposition(NamedTuple):
    """``left @ right``, plus ``sparse_rows`` in the rows ``rows``."""

    left: np.ndarray
    right: np.ndarray
    rows: np.ndarray
    sparse_rows: np.ndarray


def decompose_weight(weight, rank, keep_fraction=0.0):
    """Replace a matrix by low rank and full rows where low rank is worst.

    Parameters
    ----------
    weight : array-like of shape (n_out, n_in)
        float32 and float64 are taken as they are.

    rank : int
        Rank of the first part, from 1 to the smaller side.

    keep_fraction : float, default=0.0
        Share of the rows, in [0, 1], that are kept in full, rounded up: those with the
        largest mean magnitude of what low rank leaves.

    Returns
    -------
    left, right : ndarray of shape (n_out, rank) and (rank, n_in)
        Their product is the low rank.

    rows : ndarray of int of shape (n_rows,)
        The rows that are kept in full, sorted.

    sparse_rows : ndarray of shape (n_rows, n_in)
        What is added there.

    Raises
    ------
    ValueError
        If ``weight`` is not finite, or ``rank`` or ``keep_fraction`` out of range.

    Warns
    -----
    UserWarning
        If the low rank takes no fewer numbers than the matrix.

    Notes
    -----
    The truncated singular value decomposition, its singular values shared equally:
    ``left.T @ left = right @ right.T``. O(n_out n_in min(n_out, n_in)).

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import decompose_weight
    >>> weight = np.outer(np.arange(1.0, 6.0), np.ones(5))
    >>> weight[3] = [5, -5, 5, -5, 5]
    >>> decompose_weight(weight, 1, 0.2).rows
    array([3])
    """
    weight = check_array(weight, dtype=FLOATS, input_name="weight")
    check_rank(rank, weight.shape)
    check_keep_fraction(keep_fraction)
    return decompose(weight, rank, keep_fraction)


def check_rank(rank, shape, stacklevel=3):
    """Refuse a rank above the smaller side, and warn of one that saves nothing."""
    n_out, n_in = shape
    if not isinstance(rank, Integral):
        raise TypeError(f"rank must be an integer, got {rank!r}.")
    if not 1 <= rank <= min(shape):
        raise ValueError(
            f"rank must be between 1 and {min(shape)}, the smaller side of a matrix of "
            f"{n_out} x {n_in}, got {rank}."
        )
    if rank * (n_out + n_in) >= n_out * n_in:
        warnings.warn(
            f"rank={rank} saves nothing: a matrix of {n_out} x {n_in} has "
            f"{n_out * n_in} numbers, its low rank {rank * (n_out + n_in)}.",
            UserWarning,
            stacklevel=stacklevel,
        )


def check_keep_fraction(keep_fraction):
    """Refuse a share outside [0, 1]."""
    if not 0 <= keep_fraction <= 1:
        raise ValueError(f"keep_fraction must be in [0, 1], got {keep_fraction}.")


def decompose(weight, rank, keep_fraction):
    """Decompose a matrix that was checked."""
    U, s, Vt = svd(weight.astype(np.float64), full_matrices=False)
    root = np.sqrt(s[:rank])
    left = (U[:, :rank] * root).astype(weight.dtype)
    right = (root[:, None] * Vt[:rank]).astype(weight.dtype)
    rest = weight - left.astype(np.float64) @ right.astype(np.float64)
    n_kept = math.ceil(keep_fraction * len(weight) - 1e-9)
    order = np.argsort(-np.abs(rest).mean(axis=1), kind="stable")
    rows = np.sort(order[:n_kept])
    return Decomposition(left, right, rows, rest[rows].astype(weight.dtype))


def row_masks(importances, keep_fraction):
    """Say which rows of several matrices stay, in one ranking of them all.

    Parameters
    ----------
    importances : sequence of array-like of shape (n_rows, n_columns)
        Importance of each entry, by matrix; a row's is their mean.

    keep_fraction : float
        Share of all entries, in [0, 1], that the rows which stay may have.

    Returns
    -------
    list of boolean ndarray of shape (n_rows,)
        True marks a row that stays; of equal ones the first.

    Raises
    ------
    ValueError
        If there is no matrix, one is not finite, or ``keep_fraction`` is out of range.

    Examples
    --------
    >>> from minimalml.compression import row_masks
    >>> row_masks([[[3.0, 3.0], [1.0, 0.0]], [[2.0, 2.0], [9.0, 0.0]]], 0.5)
    [array([ True, False]), array([False,  True])]
    """
    check_keep_fraction(keep_fraction)
    matrices = [
        check_array(matrix, dtype=np.float64, input_name=f"importances[{i}]")
        for i, matrix in enumerate(importances)
    ]
    if not matrices:
        raise ValueError("importances must hold at least one matrix, got none.")
    scores = np.concatenate([matrix.mean(axis=1) for matrix in matrices])
    lengths = np.repeat([m.shape[1] for m in matrices], [len(m) for m in matrices])
    order = np.argsort(-scores, kind="stable")
    is_kept = np.zeros(len(scores), dtype=bool)
    n_entries = keep_fraction * lengths.sum() + 1e-9  # 0.29 * 100 is below 29
    is_kept[order] = np.cumsum(lengths[order]) <= n_entries
    return np.split(is_kept, np.cumsum([len(matrix) for matrix in matrices])[:-1])


def stable_rank(weight):
    """Measure how low the rank of a matrix nearly is.

    Parameters
    ----------
    weight : array-like of shape (n_out, n_in)
        A matrix.

    Returns
    -------
    float
        The sum of squared singular values over the largest of them: from 1 to the rank,
        and 0 for zeros.

    Raises
    ------
    ValueError
        If ``weight`` is not two-dimensional and finite.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import stable_rank
    >>> round(stable_rank(np.diag([2.0, 1.0, 1.0])), 6)
    1.5
    """
    weight = check_array(weight, dtype=np.float64, input_name="weight")
    largest = np.abs(weight).max()
    if largest == 0:
        return 0.0
    unit = weight / largest  # its squares don't overflow
    gram = unit @ unit.T if len(unit) < unit.shape[1] else unit.T @ unit
    last = len(gram) - 1
    squared = eigvalsh(gram, subset_by_index=[last, last], check_finite=False)[0]
    return float(np.trace(gram) / squared)
