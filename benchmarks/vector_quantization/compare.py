"""Nearest words against scikit-learn's and faiss's routes, and encoding a matrix.

Encoding is compared with the same code whose distances come as blocks of a matrix product.
"""

from unittest.mock import patch

import numpy as np
from sklearn.metrics import pairwise_distances_argmin, pairwise_distances_argmin_min

from benchmarks.compare import Comparison
from minimalml.compression import VectorCodec, nearest_codeword
from minimalml.compression._vector_quantization import _codebook


def vectors(n, n_features, n_words):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, n_features)).astype(np.float32)
    return X, rng.normal(size=(n_words, n_features)).astype(np.float32)


def by_faiss(data):
    import faiss

    X, book = data
    index = faiss.IndexFlatL2(book.shape[1])
    index.add(book)
    index.search(X, 1)


def weighted_vectors(n):
    X, book = vectors(n, 8, 256)
    weights = np.random.default_rng(1).uniform(size=X.shape).astype(np.float32)
    return X, book, weights


def weighted_by_products(data):
    """Expand the squares: two products of matrices a block of vectors, and an argmin."""
    X, book, weights = data
    labels = np.empty(len(X), dtype=np.intp)
    for start in range(0, len(X), 4096):
        rows = slice(start, start + 4096)
        scores = weights[rows] @ (book**2).T - 2 * (weights[rows] * X[rows]) @ book.T
        labels[rows] = scores.argmin(axis=1)


def layer(n):
    """Draw an n x n matrix and the moments of its inputs, which are correlated."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2 * n, n // 8)) @ rng.normal(size=(n // 8, n))
    hessian = rows.T @ rows / (2 * n)
    hessian[np.diag_indices(n)] += 0.01 * np.trace(hessian) / n
    return rng.normal(size=(n, n)), hessian


def encode(data):
    VectorCodec(4, 256, random_state=0).encode(*data)


def encode_by_products(data):
    """Take the distances from scikit-learn's blocks."""

    def nearest(vectors, codebook):
        labels, distances = pairwise_distances_argmin_min(vectors, codebook)
        return labels, distances**2

    with patch.object(_codebook, "nearest_checked", nearest):
        encode(data)


def comparison_of_words(n_features, n_words):
    return Comparison(
        title=f"Nearest of {n_words} words to n vectors of {n_features} numbers, float32",
        setup=lambda n: vectors(n, n_features, n_words),
        ours=lambda data: nearest_codeword(*data),
        peers={
            "scikit-learn": lambda data: pairwise_distances_argmin(*data),
            "faiss, flat index": by_faiss,
        },
        sizes=(1_000, 10_000, 100_000),
        threads=(1, 2),
        target="3 times as fast as scikit-learn to 8 columns; at most twice faiss's time",
    )


COMPARISONS = [
    comparison_of_words(4, 256),
    comparison_of_words(8, 4096),
    comparison_of_words(64, 1024),
    Comparison(
        title="Nearest of 256 words, a weight for each of 8 numbers of n vectors",
        setup=weighted_vectors,
        ours=lambda data: nearest_codeword(*data),
        peers={"products in blocks, NumPy": weighted_by_products},
        sizes=(1_000, 10_000, 100_000),
        threads=(1,),
    ),
    Comparison(
        title="Encode an n x n matrix, words of 4, 256 of them",
        setup=layer,
        ours=encode,
        peers={"distances by products": encode_by_products},
        sizes=(128, 256, 512),
        threads=(1,),
        repeats=1,
        target="3 times as fast; 1024 x 1024 within 25 s",
    ),
]
