"""Which word of a codebook is nearest to each vector, without a matrix of distances."""

import numpy as np
from sklearn.utils import check_array

from minimalml._core.threads import effective_n_threads, for_each_chunk
from minimalml.compression._nearest_codeword_kernel import nearest_words

# Vectors that the kernel looks at together.
LANES = 64
# Seconds on one thread: python -m benchmarks vector_quantization
SECONDS_PER_PRODUCT, SECONDS_PER_CHUNK = 1.5e-10, 3e-4


def nearest_codeword(vectors, codebook, weights=None, *, n_threads=None):
    """Find the nearest word of a codebook to each vector.

    ``argmin_j sum_t w_t (x_t - c_jt)^2``, the lowest of equal words. Made for short
    vectors and small books, such as those of weights or of patches: there it is several
    times as fast as a matrix of distances, which it does not build.
    O(n_vectors n_words n_features) time.

    Parameters
    ----------
    vectors : array-like of shape (n_vectors, n_features)
        In float32 or float64, which is what is computed in; integers are taken as
        float64.

    codebook : array-like of shape (n_words, n_features)
        The words.

    weights : array-like of shape (n_features,) or (n_vectors, n_features), default=None
        At least 0: what a coordinate counts, for all vectors or for each.

    n_threads : int, default=None
        None lets the size of the work decide.

    Returns
    -------
    labels : ndarray of int of shape (n_vectors,)
        Number of the nearest word.

    squared_distances : ndarray of shape (n_vectors,)
        The (weighted) squared distance to it.

    Raises
    ------
    ValueError
        If there are no words, numbers of columns differ, a number is not finite or a
        weight is negative.

    Examples
    --------
    >>> from minimalml.compression import nearest_codeword
    >>> nearest_codeword([[0.0, 0.9], [2.0, 2.0]], [[0.0, 1.0], [1.0, 2.0]])[0]
    array([0, 1])
    """
    kinds = dict(dtype=[np.float64, np.float32], order="C")
    vectors = check_array(vectors, **kinds, ensure_min_samples=0, input_name="vectors")
    kinds = dict(dtype=vectors.dtype, order="C")
    codebook = check_array(codebook, **kinds, input_name="codebook")
    if codebook.shape[1] != vectors.shape[1]:
        raise ValueError(
            f"codebook has words of {codebook.shape[1]} numbers, but vectors have "
            f"{vectors.shape[1]}."
        )
    if weights is not None:
        weights = _checked_weights(weights, vectors)
    return nearest_checked(vectors, codebook, weights, n_threads)


def nearest_checked(vectors, codebook, weights=None, n_threads=None):
    """Do the work of `nearest_codeword` on checked arrays, C-contiguous and of one dtype."""
    n_vectors, n_features = vectors.shape
    if weights is None:
        weights = np.empty((1, 0), dtype=vectors.dtype)
    half_norms = np.zeros(len(codebook), dtype=vectors.dtype)
    if not weights.shape[1]:
        half_norms = np.einsum("ij,ij->i", codebook, codebook) / 2
    labels = np.empty(n_vectors, dtype=np.intp)
    distances = np.empty(n_vectors, dtype=vectors.dtype)

    def work(start, stop):
        block = np.empty((2, n_features, LANES), dtype=vectors.dtype)
        nearest_words(
            vectors,
            codebook,
            half_norms,
            weights,
            block,
            labels,
            distances,
            start,
            stop,
        )

    seconds = SECONDS_PER_PRODUCT * codebook.size
    for_each_chunk(
        work,
        n_vectors,
        chunk_size=LANES * max(1, int(SECONDS_PER_CHUNK / seconds / LANES)),
        n_threads=effective_n_threads(n_vectors, seconds, n_threads),
    )
    return labels, distances


def _checked_weights(weights, vectors):
    """Return weights of two dimensions."""
    weights = np.atleast_2d(
        check_array(
            weights, dtype=vectors.dtype, order="C", ensure_2d=False,
            ensure_min_samples=0, input_name="weights",
        )
    )  # fmt: skip
    if weights.shape not in ((1, vectors.shape[1]), vectors.shape):
        raise ValueError(
            f"weights must have shape ({vectors.shape[1]},) or {vectors.shape}, got "
            f"{weights.shape}."
        )
    if weights.size and weights.min() < 0:
        raise ValueError(f"weights must be at least 0, got {weights.min()}.")
    return weights
