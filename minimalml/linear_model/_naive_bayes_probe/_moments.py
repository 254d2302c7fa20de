"""Counts, means and scatter by class: all that Gaussian naive Bayes needs of the data.

They add up over any split of the rows, so one pass, a stream, a cluster and exact
cross-validation are the same sum in different places.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite, gen_batches

from minimalml._core.arrays import is_torch_tensor
from minimalml._core.threads import effective_n_threads, for_each_chunk
from minimalml.linear_model._naive_bayes_probe._class_moments import (
    add_rows,
    merge_blocks,
)
from minimalml.linear_model._naive_bayes_probe._input import check_codes, check_weights

OVERFLOW = "X overflows float64 when summed and squared: rescale it."

# One number read and added on one thread; benchmarks/naive_bayes_probe/compare.py.
SECONDS_PER_NUMBER = 5e-10
# Stored numbers of a sparse matrix that are expanded at a time: 8 MB an array.
SPARSE_BATCH = 1 << 20

COPIED_NUMBERS = 1 << 14  # of rows with gaps, at a time: they stay in a core's cache

N_BLOCKS = 16  # enough for the cores that share one memory bus
MIN_BLOCK_ROWS, MIN_ROWS_A_CLASS = 1024, 8  # below, merging costs as much as the block
PARTIAL_BYTES = 8 << 20  # all partial results together


def class_moments(
    X, y_codes, n_classes, sample_weight=None, per_class=False, *, n_threads=None
):
    """Measure weight, mean and scatter of each class in one pass over the data.

    O(n d) time, or O(stored numbers) for sparse input. Everything is accumulated in
    float64 about the first row, so a large common offset costs no digits, and a
    result doesn't depend on the number of threads.

    Parameters
    ----------
    X : ndarray, sparse matrix or torch tensor of shape (n_samples, n_features)
        float32 and float64 are read as they are, in any memory order; other types are
        converted to float64. A tensor is worked on where it is; on devices without
        float64 the accumulation is in float32.

    y_codes : array of int of shape (n_samples,)
        Class of each row, in ``range(n_classes)``.

    n_classes : int
        Number of classes; some may have no row.

    sample_weight : array of shape (n_samples,), default=None
        Non-negative weights; None means 1 for each row.

    per_class : bool, default=False
        Whether each class keeps a scatter of its own, instead of one for all.

    n_threads : int, default=None
        Threads for NumPy arrays; None lets the size and the machine decide.

    Returns
    -------
    ClassMoments
        Arrays, or tensors on the device of ``X``.

    Raises
    ------
    ValueError
        If shapes disagree, a code is out of range, a weight is negative, ``X`` holds
        NaN or infinity, or squares overflow float64 (tensors are not searched: that
        would wait for the device).

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.linear_model import class_moments
    >>> X = np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 1.0]])
    >>> moments = class_moments(X, [0, 0, 1], n_classes=2)
    >>> moments.means
    array([[2., 0.],
           [5., 1.]])
    >>> moments.scatter
    array([2., 0.])
    """
    if is_torch_tensor(X):
        from minimalml.linear_model._naive_bayes_probe import _class_moments_torch

        arguments = X, y_codes, n_classes, sample_weight, per_class
        return ClassMoments(**_class_moments_torch.measured_moments(*arguments))
    X = X.tocsr() if sparse.issparse(X) else np.asarray(X)
    codes = check_codes(y_codes, n_classes, X)
    weights = check_weights(sample_weight, X)
    n_groups = n_classes if per_class else 1
    if sparse.issparse(X):
        assert_all_finite(X.data, input_name="X")
        with np.errstate(over="ignore", invalid="ignore"):  # said below
            measured = sparse_moments(X, codes, weights, n_classes, n_groups)
    else:
        if X.dtype not in (np.float32, np.float64):
            X = X.astype(np.float64)
        n_threads = effective_n_threads(X.size, SECONDS_PER_NUMBER, n_threads)
        measured = dense_moments(X, codes, weights, n_classes, n_groups, n_threads)
    counts, offsets, scatter, origin = measured
    scatter = scatter if per_class else scatter[0]
    moments = ClassMoments(counts, offsets, scatter, None, origin, X.shape[0])
    # A bad number in X spoils a mean: looking there saves reading X once more.
    if not moments._is_finite():
        assert_all_finite(X, input_name="X")
        raise ValueError(OVERFLOW)
    return moments


@dataclass(repr=False, eq=False)
class ClassMoments:
    """Hold weight, mean and scatter by class, and add them up over parts of the data.

    ``a + b`` is what one pass over both parts would have given, to rounding; ``sum``
    works on a list. Class means are kept as offsets from a row of the data, so that
    adding many parts costs no digits where features have a large common offset.

    Parameters
    ----------
    counts : array of shape (n_classes,)
        Sum of the weights of each class.

    offsets : array of shape (n_classes, n_features)
        Class means minus ``origin``; any finite number for a class without rows.

    scatter : array of shape (n_features,) or (n_classes, n_features)
        Weighted sum of squared deviations from the class means, over all classes or
        for each of them.

    classes : array of shape (n_classes,), default=None
        Class labels, sorted; None means 0, 1, 2...

    origin : array of shape (n_features,), default=None
        What the offsets are measured from; None means 0.

    n_samples : int, default=0
        Rows behind these numbers.

    Attributes
    ----------
    means, per_class : array of shape (n_classes, n_features) and bool
        Class means, and whether each class has a scatter of its own.

    Raises
    ------
    ValueError
        If shapes disagree.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.linear_model import class_moments
    >>> X, y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 1, 0])
    >>> total = class_moments(X[:2], y[:2], 2) + class_moments(X[2:], y[2:], 2)
    >>> total.counts, total.means[0]
    (array([3., 3.]), array([4.66666667, 5.66666667]))
    """

    counts: Any
    offsets: Any
    scatter: Any
    classes: Any = None
    origin: Any = None
    n_samples: int = 0

    def __post_init__(self):
        n_classes, n_features = self.offsets.shape
        self.classes = np.arange(n_classes) if self.classes is None else self.classes
        self.classes = np.asarray(self.classes)
        if self.origin is None:
            self.origin = self.offsets[0] * 0
        shapes = {
            "counts": (n_classes,),
            "classes": (n_classes,),
            "origin": (n_features,),
            "scatter": (n_classes, n_features)[2 - self.scatter.ndim :],
        }
        for name, shape in shapes.items():
            if tuple(getattr(self, name).shape) != shape:
                raise ValueError(
                    f"{name} must have shape {shape} beside offsets of shape "
                    f"{(n_classes, n_features)}, got {tuple(getattr(self, name).shape)}."
                )

    @property
    def means(self):
        """Class means, of shape (n_classes, n_features); 0 for a class without rows."""
        return (self.origin + self.offsets) * (self.counts > 0)[:, None]

    @property
    def per_class(self):
        """Whether each class has a scatter of its own."""
        return self.scatter.ndim == 2

    def __repr__(self):
        n_classes, n_features = self.offsets.shape
        sizes = f"n_classes={n_classes}, n_features={n_features}"
        ends = f"per_class={self.per_class}, n_samples={self.n_samples}"
        return f"ClassMoments({sizes}, {ends})"

    def __add__(self, other):
        if not isinstance(other, ClassMoments):
            return NotImplemented
        one, two = self._aligned_with(other)
        if not one.n_samples:  # the origin of no rows is far from all others
            one, two = two, one
        return one._joined(two, one.counts + two.counts, 1)

    def __radd__(self, other):
        if isinstance(other, int) and other == 0:  # the start of sum()
            return self
        return NotImplemented

    def remove(self, other):
        """Return the moments without a part that was added: ``(a + b).remove(b)`` is a.

        Exact but for rounding, which is relative to the scatter before. A ValueError
        says if ``other`` has more weight in a class.
        """
        one, two = self._aligned_with(other)
        left = one.counts - two.counts
        # what remains of a class that is taken out whole is rounding
        rounding = 1e-12 * one.counts
        if (left < -rounding).any():
            raise ValueError(
                "the part to remove has more weight in a class than the whole."
            )
        left = left * (left > rounding)
        return one._joined(two, left, -1)

    def _joined(self, other, total, sign):
        """Return the sum (sign 1) or difference (-1), of class weights ``total``."""
        remains = (total > 0)[:, None]
        rate = (sign * other.counts / (total + (total == 0)))[:, None] * remains
        difference = other.offsets + (other.origin - self.origin) - self.offsets
        between = difference**2 * (self.counts[:, None] * rate)
        if not self.per_class:
            between = between.sum(0)
        scatter = self.scatter + sign * other.scatter + between
        return replace(
            self,
            counts=total,
            offsets=(self.offsets + difference * rate) * remains,
            scatter=scatter.clip(0) * (remains if self.per_class else 1),
            n_samples=self.n_samples + sign * other.n_samples,
        )

    def total_variance(self):
        """Variance of each feature over all rows, of shape (n_features,)."""
        weight = self.counts / self.counts.sum()
        grand = weight @ self.offsets
        between = weight @ (self.offsets - grand) ** 2
        return self.pooled().scatter / self.counts.sum() + between

    def to_numpy(self):
        """Return the same moments with float64 arrays on the host."""
        if not is_torch_tensor(self.counts):
            return self
        names = ("counts", "offsets", "scatter", "origin")
        arrays = {n: getattr(self, n).cpu().numpy().astype(float) for n in names}
        return replace(self, **arrays)

    def to_dict(self):
        """Return the constructor's arguments: ``ClassMoments(**a.to_dict())`` is a."""
        return dict(vars(self))

    def with_classes(self, classes):
        """Return the same moments with other labels, sorted, of shape (n_classes,)."""
        return replace(self, classes=classes)

    def pooled(self):
        """Return the same moments with one scatter for all classes."""
        return replace(self, scatter=self.scatter.sum(0)) if self.per_class else self

    def _is_finite(self):
        return bool(np.isfinite(self.offsets).all() and np.isfinite(self.scatter).all())

    def _aligned_with(self, other):
        """Return both over the union of their classes."""
        if len(self.origin) != len(other.origin) or self.per_class != other.per_class:
            raise ValueError(f"{self!r} and {other!r} don't measure the same features.")
        if np.array_equal(self.classes, other.classes):
            return self, other
        union = np.union1d(self.classes, other.classes)
        return self._spread_over(union), other._spread_over(union)

    def _spread_over(self, classes):
        absent = ~np.isin(classes, self.classes)
        places = np.searchsorted(self.classes, classes).clip(max=len(self.classes) - 1)

        def spread(array):
            wide = array[places]
            wide[absent] = 0
            return wide

        return replace(
            self,
            counts=spread(self.counts),
            offsets=spread(self.offsets),
            scatter=spread(self.scatter) if self.per_class else self.scatter,
            classes=classes,
        )


def dense_moments(X, codes, weights, n_classes, n_groups, n_threads):
    """Return counts, offsets from the first row, scatter of each group, and that row."""
    n_samples, n_features = X.shape
    origin = aligned_zeros(n_features)
    origin[:] = X[0] if n_samples else 0
    n_blocks = n_row_blocks(n_samples, n_features, n_classes, n_groups)
    offsets = aligned_zeros(n_blocks, n_classes, n_features)
    scatter = aligned_zeros(n_blocks, n_groups, n_features)
    counts = np.zeros((n_blocks, n_classes))
    block_rows = -(-n_samples // n_blocks)
    has_whole_rows = X.strides[1] == X.itemsize and X.strides[0] % X.itemsize == 0
    copied_rows = max(COPIED_NUMBERS // max(n_features, 1), 1)
    step = block_rows if has_whole_rows else copied_rows

    def work(first, stop):
        for start in range(first, stop, step):
            rows = slice(start, min(start + step, stop))
            part = X[rows] if has_whole_rows else np.ascontiguousarray(X[rows])
            block = first // block_rows
            add_rows(
                part, codes[rows], weights[rows], origin,
                offsets[block], scatter[block], counts[block],
            )  # fmt: skip

    if X.size:
        for_each_chunk(work, n_samples, chunk_size=block_rows, n_threads=n_threads)
        merge_blocks(offsets, scatter, counts)
    if n_blocks > 1:  # let go of the other blocks
        offsets, scatter, counts = (a[:1].copy() for a in (offsets, scatter, counts))
    return counts[0], offsets[0], scatter[0], origin


def n_row_blocks(n_samples, n_features, n_classes, n_groups):
    """Return into how many blocks rows are split; threads have no part in it."""
    result_bytes = max(8 * (n_classes + n_groups) * n_features, 1)
    least_rows = max(MIN_BLOCK_ROWS, MIN_ROWS_A_CLASS * n_classes)
    return max(
        min(N_BLOCKS, n_samples // least_rows, 1 + PARTIAL_BYTES // result_bytes), 1
    )


def aligned_zeros(*shape):
    """Return zeros that start at a cache line: else the kernel takes 1.4 times as long."""
    size = int(np.prod(shape))
    buffer = np.zeros(size + 8)
    start = -buffer.ctypes.data % 64 // 8
    return buffer[start : start + size].reshape(shape)


def sparse_moments(X, codes, weights, n_classes, n_groups):
    """Return the moments of a CSR matrix, about zero and without expanding its zeros."""
    # The scatter is a sum of squares of stored numbers about their class mean, plus
    # mean² for the weight of the zeros: both positive, so no digits cancel.
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    n_samples, n_features = X.shape
    per_group = n_classes // n_groups
    counts = np.bincount(codes, weights, minlength=n_classes)
    starts = np.arange(n_samples + 1)
    one_hot, groups = (
        sparse.csc_array((weights, c, starts), shape=(n, n_samples))
        for c, n in ((codes, n_classes), (codes // per_group, n_groups))
    )
    means = (one_hot @ X).toarray()
    means /= np.where(counts > 0, counts, 1)[:, None]
    stored = sparse.csr_array((np.ones(X.nnz), X.indices, X.indptr), shape=X.shape)
    zero_weight = counts[:, None] - (one_hot @ stored).toarray()
    zeros = np.maximum(zero_weight, 0) * means**2
    scatter = zeros.reshape(n_groups, per_group, n_features).sum(axis=1)
    row_batch = max(SPARSE_BATCH * max(n_samples, 1) // max(X.nnz, 1), 1)
    for batch in gen_batches(n_samples, row_batch):
        part = X[batch]
        classes = np.repeat(codes[batch], np.diff(part.indptr))
        part.data = (part.data - means[classes, part.indices]) ** 2
        scatter += (groups[:, batch] @ part).toarray()
    return counts, means, scatter, np.zeros(n_features)
