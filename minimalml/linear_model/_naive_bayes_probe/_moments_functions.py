"""Measure the moments of each class in one read of the data, dense, sparse or torch."""

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite, gen_batches

from minimalml._core.arrays import is_torch_tensor
from minimalml._core.threads import effective_n_threads
from minimalml.linear_model._naive_bayes_probe._class_moments import (
    aligned_zeros,
    class_moments_dense,
)
from minimalml.linear_model._naive_bayes_probe._moments import ClassMoments

# One number read and added on one thread; benchmarks/naive_bayes_probe/compare.py.
SECONDS_PER_NUMBER = 5e-10
# Stored numbers of a sparse matrix that are expanded at a time: 8 MB an array.
SPARSE_BATCH = 1 << 20


def class_moments(
    X, y_codes, n_classes, sample_weight=None, per_class=False, *, n_threads=None
):
    """Measure weight, mean and scatter of each class in one pass over the data.

    O(n d) time, or O(stored numbers) for sparse input. Everything is accumulated in
    float64 about the first row, so a large common offset costs no digits, and a
    result doesn't depend on the number of threads.

    Parameters
    ----------
    X : ndarray, CSR matrix or torch tensor of shape (n_samples, n_features)
        float32 and float64 are read as they are, in any memory order and with any
        strides; other types are converted to float64. A tensor is worked on where
        it is; on devices without float64 the accumulation is in float32.

    y_codes : array of int of shape (n_samples,)
        Class of each row, in ``range(n_classes)``.

    n_classes : int
        Number of classes; some may have no row.

    sample_weight : array of shape (n_samples,), default=None
        Non-negative weights; None means 1 for each row.

    per_class : bool, default=False
        Whether each class keeps a scatter of its own, instead of one for all.

    n_threads : int, default=None
        threads for NumPy arrays; None lets the size and the machine decide.

    Returns
    -------
    ClassMoments
        Arrays, or tensors on the device of ``X``.

    Raises
    ------
    ValueError
        If shapes disagree, a code is out of range, a weight is negative, or ``X``
        holds NaN or infinity (tensors are not checked: that would wait for the
        device).

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
        return _tensor_moments(X, y_codes, n_classes, sample_weight, per_class)
    codes = _checked_codes(y_codes, n_classes, X)
    weights = _checked_weights(sample_weight, X)
    n_features = X.shape[1]
    n_groups = n_classes if per_class else 1
    means = aligned_zeros(n_classes, n_features)
    scatter = aligned_zeros(n_groups, n_features)
    counts = np.zeros(n_classes)
    origin = aligned_zeros(n_features)
    if sparse.issparse(X):
        assert_all_finite(X.data, input_name="X")
        _add_sparse(X, codes, weights, means, scatter, counts)
    else:
        X = X if X.dtype in (np.float32, np.float64) else X.astype(np.float64)
        origin[:] = X[0] if len(X) else 0
        if n_threads is None:
            n_threads = effective_n_threads(X.size, SECONDS_PER_NUMBER)
        class_moments_dense(
            X, codes, weights, origin, means, scatter, counts, n_threads
        )
    # A bad number in X spoils a mean: looking there saves reading X once more.
    if not np.isfinite(means).all():
        assert_all_finite(X, input_name="X")
        raise ValueError("X holds numbers whose sum overflows float64: rescale it.")
    scatter = scatter if per_class else scatter[0]
    return ClassMoments(counts, means, scatter, None, origin, X.shape[0])


def _checked_codes(y_codes, n_classes, X):
    codes = np.asarray(y_codes)
    if codes.size and codes.dtype.kind not in "iub":
        raise ValueError(f"y_codes must be integers, got dtype {codes.dtype}.")
    codes = np.ascontiguousarray(codes, dtype=np.intp)
    if X.ndim != 2 or codes.shape != (X.shape[0],):
        raise ValueError(
            f"X of shape {X.shape} needs y_codes of one dimension and the same "
            f"length, got shape {codes.shape}."
        )
    _check_range(codes, n_classes)
    return codes


def _check_range(codes, n_classes):
    if len(codes) and not (0 <= codes.min() and codes.max() < n_classes):
        raise ValueError(
            f"y_codes must be in range({n_classes}), got values from {codes.min()} "
            f"to {codes.max()}."
        )


def _checked_weights(sample_weight, X):
    if sample_weight is None:
        return np.broadcast_to(np.float64(1.0), X.shape[0])
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (X.shape[0],):
        raise ValueError(
            f"sample_weight must have shape ({X.shape[0]},), got {weights.shape}."
        )
    assert_all_finite(weights, input_name="sample_weight")
    if (weights < 0).any():
        raise ValueError(f"sample_weight must not be negative, got {weights.min():g}.")
    return weights


def _add_sparse(X, codes, weights, means, scatter, counts):
    """Fill the moments of a CSR matrix, about zero and without expanding its zeros.

    The scatter is a sum of squares of stored numbers about their class mean, plus
    mean² for the weight of the zeros: both positive, so no digits cancel.
    """
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    n_classes, n_features = means.shape
    per_group = n_classes // len(scatter)
    counts += np.bincount(codes, weights, minlength=n_classes)
    rows = np.arange(X.shape[0])
    one_hot = sparse.csr_array(
        (weights, (codes, rows)), shape=(n_classes, X.shape[0]), dtype=np.float64
    )
    means += (one_hot @ X).toarray()
    means /= np.where(counts > 0, counts, 1)[:, None]
    stored = sparse.csr_array((np.ones(X.nnz), X.indices, X.indptr), shape=X.shape)
    zero_weight = counts[:, None] - (one_hot @ stored).toarray()
    zeros = np.maximum(zero_weight, 0) * means**2
    scatter += zeros.reshape(len(scatter), per_group, n_features).sum(axis=1)
    row_batch = max(SPARSE_BATCH * max(X.shape[0], 1) // max(X.nnz, 1), 1)
    for batch in gen_batches(X.shape[0], row_batch):
        part = X[batch]
        classes = np.repeat(codes[batch], np.diff(part.indptr))
        squares = (part.data - means[classes, part.indices]) ** 2
        squares *= np.repeat(weights[batch], np.diff(part.indptr))
        places = classes // per_group * n_features + part.indices
        scatter += np.bincount(places, squares, minlength=scatter.size).reshape(
            scatter.shape
        )


def _tensor_moments(X, y_codes, n_classes, sample_weight, per_class):
    import torch

    from minimalml.linear_model._naive_bayes_probe import (
        _class_moments_torch as kernels,
    )

    X = X.detach()
    has_float64 = X.device.type != "mps"
    options = {
        "dtype": torch.float64 if has_float64 else torch.float32,
        "device": X.device,
    }
    codes = torch.as_tensor(y_codes, device=X.device).long()
    if sample_weight is None:
        weights = torch.ones((), **options).expand(len(X))
    else:
        weights = torch.as_tensor(sample_weight, **options)
    if X.ndim != 2 or codes.shape != X.shape[:1] or weights.shape != X.shape[:1]:
        raise ValueError(
            f"X of shape {tuple(X.shape)} needs y_codes and sample_weight of one "
            f"dimension and the same length, got shapes {tuple(codes.shape)} and "
            f"{tuple(weights.shape)}."
        )
    if X.device.type == "cpu":  # elsewhere torch checks without the host waiting
        _check_range(codes, n_classes)
    n_features = X.shape[1]
    origin = X[0].to(options["dtype"]) if len(X) else torch.zeros(n_features, **options)
    means = torch.zeros((n_classes, n_features), **options)
    scatter = torch.zeros((n_classes if per_class else 1, n_features), **options)
    counts = torch.zeros(n_classes, **options)
    kernels.class_moments_dense(X, codes, weights, origin, means, scatter, counts, 1)
    scatter = scatter if per_class else scatter[0]
    return ClassMoments(counts, means, scatter, None, origin, len(X))
