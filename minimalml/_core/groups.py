"""Bags and groups of rows: one index to hold, and sums, means and maxima by group.

Ids may be of any kind that sorts and in any order. NumPy arrays are reduced by a
compiled kernel, torch tensors by torch, on their device and with gradients.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils._missing import is_pandas_na, is_scalar_nan

from minimalml._core._groups import add_rows, take_larger_rows
from minimalml._core.arrays import is_torch_tensor, to_numpy


class GroupIndex(NamedTuple):
    """Which rows belong to which group; every group has at least one row.

    Made by `from_ids`. Groups are numbered in the order of their sorted ids, so neither
    the order of rows nor the kind of ids matters.

    Attributes
    ----------
    ids : ndarray of shape (n_groups,)
        Ids of the groups, sorted.

    codes : ndarray of int of shape (n_samples,)
        Number of the group of each row: ``ids[codes]`` are the rows' ids.

    order : ndarray of int of shape (n_samples,)
        Rows sorted by group, those of a group in the order in which they came.

    offsets : ndarray of int of shape (n_groups + 1,)
        Rows ``order[offsets[g] : offsets[g + 1]]`` are those of group ``g``.

    sizes : ndarray of int of shape (n_groups,)
        Number of rows of each group.

    Examples
    --------
    >>> from minimalml._core.groups import GroupIndex, group_mean
    >>> index = GroupIndex.from_ids(["b", "a", "b"], n_samples=3)
    >>> index.ids, index.codes, index.sizes
    (array(['a', 'b'], dtype='<U1'), array([1, 0, 1]), array([1, 2]))
    >>> group_mean([1.0, 5.0, 2.0], index)
    array([5. , 1.5])
    """

    ids: Any
    codes: Any
    order: Any
    offsets: Any
    sizes: Any

    @classmethod
    def from_ids(cls, ids, n_samples, name="groups"):
        """Make the index of rows by the ids of their groups.

        O(n log n) time, O(n) for integers that are close together.

        Parameters
        ----------
        ids : array-like or tensor of shape (n_samples,), or None
            Strings, integers, dates, categories...; None makes a group of each row.

        n_samples : int
            Number of rows.

        name : str, default="groups"
            What the user calls the ids, for errors.

        Raises
        ------
        ValueError
            If the number of ids is not ``n_samples``, or an id is missing.
        TypeError
            If ids of several kinds can't be sorted.
        """
        if ids is None:
            values = codes = order = np.arange(n_samples)
        else:
            values, codes = unique_codes(checked_ids(ids, n_samples, name), name)
            order = stable_order(codes, len(values))
        sizes = np.bincount(codes, minlength=len(values))
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        return cls(values, codes, order, offsets, sizes)

    def to(self, device):
        """Return the index with tensors on ``device``, which spares loops a transfer."""
        import torch

        tensors = [torch.as_tensor(array, device=device) for array in self[1:]]
        return self._make([self.ids, *tensors])


def checked_ids(ids, n_samples, name):
    """Return ids as an array of one dimension, none of them missing."""
    values = to_numpy(ids)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {values.shape}.")
    if len(values) != n_samples:
        raise ValueError(f"{name} has {len(values)} ids but X has {n_samples} rows.")
    given = values
    if values.dtype.kind in "US" and not hasattr(ids, "dtype"):
        given = np.array(ids, dtype=object)  # NumPy made words of None and numbers
        if not all(isinstance(value, str | bytes) for value in given):
            values = given
    if given.dtype == object:
        missing = [v is None or is_scalar_nan(v) or is_pandas_na(v) for v in given.flat]
    else:
        missing = np.isnan(given) if given.dtype.kind in "fcmM" else []
    if np.any(missing):
        raise ValueError(
            f"{name} must have an id for each row; that of row "
            f"{np.flatnonzero(missing)[0]} is missing."
        )
    return values


def unique_codes(values, name="y"):
    """Return ``np.unique(values, return_inverse=True)``; close integers unsorted."""
    if len(values) and values.dtype.kind == "i":
        lowest = int(values.min())
        if int(values.max()) - lowest < len(values):  # 20 times as fast as sorting
            places = values.astype(np.intp) - lowest
            is_present = np.bincount(places) > 0
            unique = (np.flatnonzero(is_present) + lowest).astype(values.dtype)
            return unique, (np.cumsum(is_present) - 1)[places]
    try:
        return np.unique(values, return_inverse=True)
    except TypeError as error:
        kinds = sorted({type(value).__name__ for value in values})
        raise TypeError(
            f"{name} must be values that can be sorted, got {', '.join(kinds)}."
        ) from error


def stable_order(codes, n_groups):
    """Return ``np.argsort(codes, kind="stable")`` by counting: O(n)."""
    n_samples = len(codes)
    starts = np.arange(n_samples + 1)
    one_hot = sparse.csc_array(
        (np.ones(n_samples, bool), codes, starts), shape=(n_groups, n_samples)
    )
    return one_hot.tocsr().indices.astype(np.intp, copy=False)


def group_sum(values, index):
    """Add up values by group: O(n d), in float64, or on torch in float32 at least.

    Parameters
    ----------
    values : array-like or tensor of shape (n_samples,) or (n_samples, n_columns)
        float32 gives float32, other arrays and integers float64; tensors keep their
        device and gradients, and those of floats their dtype.

    index : GroupIndex
        The groups.

    Returns
    -------
    array or tensor of shape (n_groups,) or (n_groups, n_columns)
        In the order of ``index.ids``.

    Raises
    ------
    ValueError
        If ``values`` and ``index`` have different numbers of rows.
    """
    values = checked_values(values, index)
    return as_dtype_of(values, wide_sums(values, index))


def group_mean(values, index):
    """Average values by group, as `group_sum` adds them."""
    values = checked_values(values, index)
    sizes = index.sizes
    if is_torch_tensor(values):
        sizes = index.to(values.device).sizes
    sizes = sizes.reshape(-1, *[1] * (values.ndim - 1))
    return as_dtype_of(values, wide_sums(values, index) / sizes)


def group_max(values, index):
    """Take the maximum of values by group; see `group_sum`.

    NaN counts as the largest. Tied rows of a tensor share the gradient.
    """
    values = checked_values(values, index)
    shape = (len(index.sizes), *values.shape[1:])
    if is_torch_tensor(values):
        codes = index.to(values.device).codes
        codes = codes.reshape(-1, *[1] * (values.ndim - 1)).expand_as(values)
        maxima = values.new_zeros(shape)
        return maxima.scatter_reduce(0, codes, values, "amax", include_self=False)
    maxima = np.full(shape, -np.inf, values.dtype)
    take_larger_rows(as_columns(values), index.codes, as_columns(maxima))
    return maxima


def checked_values(values, index):
    """Return values as a tensor, or a contiguous array of floats."""
    values = values if is_torch_tensor(values) else np.asarray(values)
    if values.ndim not in (1, 2) or len(values) != len(index.codes):
        raise ValueError(
            f"values must have shape ({len(index.codes)},) or "
            f"({len(index.codes)}, n_columns), got {tuple(values.shape)}."
        )
    if is_torch_tensor(values):
        return values if values.is_floating_point() else values.double()
    dtype = np.float32 if values.dtype == np.float32 else np.float64
    return np.ascontiguousarray(values, dtype=dtype)


def wide_sums(values, index):
    shape = (len(index.sizes), *values.shape[1:])
    if is_torch_tensor(values):
        import torch

        dtype = torch.promote_types(values.dtype, torch.float32)
        codes = index.to(values.device).codes
        return values.new_zeros(shape, dtype=dtype).index_add(
            0, codes, values.to(dtype)
        )
    sums = np.zeros(shape)
    add_rows(as_columns(values), index.codes, as_columns(sums))
    return sums


def as_columns(array):
    return array[:, None] if array.ndim == 1 else array


def as_dtype_of(values, array):
    if is_torch_tensor(values):
        return array.to(values.dtype)
    return array.astype(values.dtype, copy=False)
