"""Measure the moments of each class in one read of the data, dense, sparse or torch."""

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
from minimalml.linear_model._naive_bayes_probe._moments import (
    OVERFLOW,
    ClassMoments,
)

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

        return _class_moments_torch.class_moments(
            X, y_codes, n_classes, sample_weight, per_class
        )
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
    step = (
        block_rows if has_whole_rows else max(COPIED_NUMBERS // max(n_features, 1), 1)
    )

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
    """Return into how many blocks rows are split; the number of threads has no part.

    Each block but the first costs a copy of the result, and merging it.
    """
    result_bytes = max(8 * (n_classes + n_groups) * n_features, 1)
    least_rows = max(MIN_BLOCK_ROWS, MIN_ROWS_A_CLASS * n_classes)
    return max(
        min(N_BLOCKS, n_samples // least_rows, 1 + PARTIAL_BYTES // result_bytes), 1
    )


def aligned_zeros(*shape):
    """Return zeros that start at a cache line, so that no vector of eight spans two.

    The kernel took 1.4 times as long with rows of means that start elsewhere.
    """
    size = int(np.prod(shape))
    buffer = np.zeros(size + 8)
    start = -buffer.ctypes.data % 64 // 8
    return buffer[start : start + size].reshape(shape)


def sparse_moments(X, codes, weights, n_classes, n_groups):
    """Return the moments of a CSR matrix, about zero and without expanding its zeros.

    The scatter is a sum of squares of stored numbers about their class mean, plus
    mean² for the weight of the zeros: both positive, so no digits cancel.
    """
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
