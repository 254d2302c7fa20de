"""Bags and groups of rows: one index to hold, and what is reduced and spread by it.

Ids may be of any kind that sorts and in any order. NumPy arrays are reduced by a
compiled kernel, torch tensors by torch, on their device and with gradients.
"""

import numpy as np
from sklearn.utils._missing import is_pandas_na, is_scalar_nan

from minimalml._core._group_reduce import group_argmax, group_sum, sort_codes
from minimalml._core.arrays import to_numpy
from minimalml._core.threads import effective_n_threads, for_each_chunk

# One number read and added on one thread; benchmarks/groups.py.
SECONDS_PER_NUMBER = 5e-10
# Numbers that a chunk of groups holds about: some 0.2 ms.
CHUNK_NUMBERS = 1 << 18


class GroupIndex:
    """Which rows belong to which group; every group has at least one row.

    Groups are numbered in the order of their sorted ids, so neither the order of rows
    nor the kind of ids matters. O(n log n) time to make, O(n) for integers that are
    close together.

    Values by row have shape (n_rows,) or (n_rows, n_columns); float32 gives float32,
    others float64, and sums are made in float64. For tensors see `to`.

    Parameters
    ----------
    groups : array-like or tensor of shape (n_rows,), or None
        The id of each row's group: strings, integers, dates, categories...; None makes
        a group of each row.

    n_rows : int
        Number of rows.

    name : str, default="bags"
        What the user calls the ids, for errors.

    Attributes
    ----------
    ids : ndarray of shape (n_groups,)
        Ids of the groups, sorted.

    codes : ndarray of int of shape (n_rows,)
        Number of the group of each row: ``ids[codes]`` are the rows' ids.

    order : ndarray of int of shape (n_rows,)
        Rows sorted by group, those of a group in the order in which they came.

    offsets : ndarray of int of shape (n_groups + 1,)
        Rows ``order[offsets[g] : offsets[g + 1]]`` are those of group ``g``.

    sizes : ndarray of int of shape (n_groups,)
        Number of rows of each group.

    Raises
    ------
    ValueError
        If the number of ids is not ``n_rows``, or an id is missing or infinite.
    TypeError
        If ids of several kinds can't be sorted.

    Examples
    --------
    >>> from minimalml._core.groups import GroupIndex
    >>> index = GroupIndex(["b", "a", "b"], n_rows=3)
    >>> index.ids, index.codes, index.sizes
    (array(['a', 'b'], dtype='<U1'), array([1, 0, 1]), array([1, 2]))
    >>> index.mean([1.0, 5.0, 2.0])
    array([5. , 1.5])
    """

    def __init__(self, groups, n_rows, name="bags"):
        if groups is None:
            self.ids = self.codes = self.order = np.arange(n_rows)
            self.sizes = np.ones(n_rows, dtype=np.intp)
            self.offsets = np.arange(n_rows + 1)
            return
        self.ids, self.codes = unique_codes(checked_ids(groups, n_rows, name), name)
        self.sizes = np.bincount(self.codes, minlength=len(self.ids))
        self.offsets = np.concatenate([[0], np.cumsum(self.sizes)])
        self.order = np.empty(n_rows, dtype=np.intp)
        sort_codes(self.codes, self.offsets[:-1].copy(), self.order)

    def __len__(self):
        """Return the number of groups."""
        return len(self.sizes)

    @property
    def is_singletons(self):
        """Whether every group has one row."""
        return len(self.sizes) == len(self.codes)

    def to(self, device):
        """Return the same for tensors on ``device``: a `TorchGroupIndex`."""
        import torch

        arrays = (self.codes, self.order, self.offsets, self.sizes)
        tensors = (torch.as_tensor(array, device=device) for array in arrays)
        return TorchGroupIndex(self.ids, *tensors)

    def sum(self, values, weight=None):
        """Add up values by group, each times its ``weight`` of shape (n_rows,)."""
        values = self._checked(values)
        return self._as_dtype_of(values, self._wide_sum(values, weight))

    def mean(self, values, weight=None):
        """Average values by group; the weights of a group must not add up to 0."""
        values = self._checked(values)
        return self._as_dtype_of(values, self._wide_mean(values, weight))

    def centred(self, values, weight=None):
        """Subtract from each row the (weighted) mean of its group."""
        values = self._checked(values)
        means = self.expand(self._wide_mean(values, weight))
        return self._as_dtype_of(values, values - means)

    def max(self, values):
        """Take the maximum by group; NaN is the largest."""
        return self._largest(values)[0]

    def argmax(self, values):
        """Return the number of the first largest row by group (and column)."""
        return self._largest(values)[1]

    def expand(self, group_values):
        """Give each row the value of its group."""
        return group_values[self.codes]

    def first(self, values):
        """Return the value of each group's first row, of any type."""
        return values[self.order[self.offsets[:-1]]]

    def rows(self, group_numbers):
        """Return the rows of these groups, one group after the other, and offsets."""
        sizes = self.sizes[group_numbers]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        shifts = np.repeat(self.offsets[group_numbers] - offsets[:-1], sizes)
        return self.order[np.arange(offsets[-1]) + shifts], offsets

    def constant(self, values, name="y"):
        """Return the value that each group's rows share, that of its first row.

        Parameters
        ----------
        values : ndarray of shape (n_rows,)
            Floats may differ by rounding: 1e-9 (1 + size); others must be equal.

        name : str, default="y"
            What the user calls the values.

        Raises
        ------
        ValueError
            If values differ within a group.
        """
        shared = self.first(values)
        expected = shared[self.codes]
        differs = values != expected
        if values.dtype.kind == "f":
            with np.errstate(over="ignore"):
                tolerance = 1e-9 * (1.0 + np.abs(expected))
                differs &= ~(np.abs(values - expected) <= tolerance)
        if differs.any():
            row = np.flatnonzero(differs)[0]
            group = self.ids[self.codes[row]]
            raise ValueError(
                f"{name} must be the same on all rows of a bag, but bag {group!s} has "
                f"{expected[row]!s} and {values[row]!s}. {name}=aggregate_targets("
                f"{name}, bags) makes such values from those of single rows."
            )
        return shared

    def _checked(self, values):
        """Return values as a contiguous array of floats."""
        values = np.asarray(values)
        self._check_shape(values)
        dtype = np.float32 if values.dtype == np.float32 else np.float64
        return np.ascontiguousarray(values, dtype=dtype)

    def _check_shape(self, values):
        n_rows = len(self.codes)
        if values.ndim not in (1, 2) or len(values) != n_rows:
            raise ValueError(
                f"values must have shape ({n_rows},) or ({n_rows}, n_columns), got "
                f"{tuple(values.shape)}."
            )

    def _wide_mean(self, values, weight):
        totals = self.sizes
        if weight is not None:
            totals = self._wide_sum(self._checked(weight), None)
        return self._wide_sum(values, weight) / _beside(values, totals)

    def _wide_sum(self, values, weight):
        sums = np.zeros((len(self), *values.shape[1:]))
        if weight is not None:
            weight = self._checked(weight).astype(np.float64, copy=False)
        arrays = as_columns(values), self.order, self.offsets, weight, as_columns(sums)
        self._in_chunks(group_sum, *arrays)
        return sums

    def _largest(self, values):
        values = self._checked(values)
        shape = (len(self), *values.shape[1:])
        maxima, rows = np.empty(shape, values.dtype), np.empty(shape, np.intp)
        arrays = as_columns(values), self.order, self.offsets
        self._in_chunks(group_argmax, *arrays, as_columns(maxima), as_columns(rows))
        return maxima, rows

    def _in_chunks(self, kernel, values, *arrays):
        """Call a kernel on chunks of groups with about equal numbers of rows."""
        n_rows, n_columns = values.shape
        chunk_rows = max(1, CHUNK_NUMBERS // max(1, n_columns))
        bounds = np.searchsorted(self.offsets, np.arange(0, n_rows, chunk_rows))
        bounds = [*bounds, len(self)]

        def work(chunk, next_chunk):
            kernel(values, *arrays, bounds[chunk], bounds[next_chunk])

        n_threads = effective_n_threads(values.size, SECONDS_PER_NUMBER)
        for_each_chunk(work, len(bounds) - 1, chunk_size=1, n_threads=n_threads)

    @staticmethod
    def _as_dtype_of(values, array):
        return array.astype(values.dtype, copy=False)


class TorchGroupIndex(GroupIndex):
    """A `GroupIndex` for tensors on one device; only ``ids`` is an array.

    Values keep their dtype and gradients, integers give float64, and nothing waits for
    the device. The gradient of a maximum goes to the first largest row alone.
    """

    def __init__(self, ids, codes, order, offsets, sizes):
        self.ids, self.codes, self.order = ids, codes, order
        self.offsets, self.sizes = offsets, sizes

    def max(self, values):
        """Take the maximum by group; NaN is the largest."""
        values = self._checked(values)
        return values.gather(0, self.argmax(values))

    def argmax(self, values):
        """Return the number of the first largest row by group (and column)."""
        from minimalml._core._group_reduce_torch import group_argmax

        return group_argmax(self._checked(values), self.codes, len(self))

    def _checked(self, values):
        self._check_shape(values)
        return values if values.is_floating_point() else values.double()

    def _wide_sum(self, values, weight):
        from minimalml._core._group_reduce_torch import group_sum

        if weight is not None:
            values = values * _beside(values, weight)
        return group_sum(values, self.codes, len(self))

    @staticmethod
    def _as_dtype_of(values, array):
        return array.to(values.dtype)


def _beside(values, totals):
    """Return one number a row or group so that it broadcasts over columns."""
    return totals if values.ndim == 1 else totals[:, None]


def as_columns(array):
    """Return an array of one dimension as one column."""
    return array[:, None] if array.ndim == 1 else array


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
    if values.dtype.kind == "f" and np.isinf(values).any():
        raise ValueError(
            f"{name} must be finite; row {np.isinf(values).argmax()} is not."
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
