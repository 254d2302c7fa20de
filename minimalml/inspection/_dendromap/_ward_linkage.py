"""Ward's tree in O(n d) memory: in rounds, all pairs that are nearest to each other merge."""

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils import check_array

from minimalml._core.threads import (
    effective_n_threads,
    few_blas_threads,
    for_each_chunk,
)
from minimalml._core.validation import check_sample_weight
from minimalml.inspection._dendromap._ward_kernel import nearest_in_tile

# Clusters asked about at once, and those compared with: 1 MB of products stays in the cache.
N_ASKED, N_TILE = 64, 2048
# Seconds on one thread for one asked cluster and one feature of another.
SECONDS_PER_PRODUCT = 1e-10


def ward_linkage(X, sample_weight=None, *, n_jobs=None):
    """Build Ward's tree of rows, as `scipy.cluster.hierarchy.ward` does.

    Without the n (n - 1) / 2 distances that SciPy and scikit-learn keep: O(n d) memory, and
    O(n^2 d) time in which products of matrices do the most.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows. float32 is compared in float32, with heights in float64.

    sample_weight : array-like of shape (n_samples,), default=None
        How many rows one stands for, above 0; it need not be an integer.

    n_jobs : int, default=None
        Threads; None lets the size of the work decide.

    Returns
    -------
    ndarray of shape (n_samples - 1, 4)
        A linkage matrix of SciPy: the two nodes that merge, the smaller first, their
        distance, and the number of rows.

    Raises
    ------
    ValueError
        If X is empty or not finite, or a weight is not above 0.

    Notes
    -----
    Two clusters that are nearest to each other may merge at once: with Ward's distance no
    other cluster comes nearer to anything by that, so that the nearest of all others stays
    known unless it merged. The tree is that of merging the nearest pair of all, one by one;
    of equal distances the clusters with the smallest row go first.

    Examples
    --------
    >>> from minimalml.inspection import ward_linkage
    >>> ward_linkage([[0.0], [1.0], [5.0]])
    array([[0.        , 1.        , 1.        , 2.        ],
           [2.        , 3.        , 5.19615242, 3.        ]])
    """
    X = check_array(X, dtype=[np.float64, np.float32])
    sizes = np.ones(len(X))
    if sample_weight is not None:
        sizes = check_sample_weight(sample_weight, X, dtype=np.float64, copy=True)
        if not (sizes > 0).all():
            raise ValueError(
                f"sample_weight must be above 0, got {sizes.min()} in row "
                f"{sizes.argmin()}."
            )
    n_threads = None if n_jobs is None else effective_n_jobs(n_jobs)
    centroids, exponent = _scaled(X)
    with few_blas_threads(0):
        merged, squared = _merges(centroids, sizes, n_threads)
    return as_linkage(merged, np.ldexp(np.sqrt(squared), exponent))


def _scaled(X):
    """Return rows about their mean, by a power of two at most 1 long, and its exponent.

    Squares then neither overflow nor vanish, and no digit is lost.
    """
    middle = X.min(axis=0) / 2.0 + X.max(axis=0) / 2.0
    X_centred = X.astype(np.float64) - middle
    _, exponent = np.frexp(np.abs(X_centred).max())
    X_centred = np.ldexp(X_centred, -exponent)
    X_centred -= X_centred.mean(axis=0)
    return X_centred.astype(X.dtype, order="C"), exponent


def _merges(centroids, sizes, n_threads):
    """Return the smallest rows of clusters that merge, pair by pair, and distances squared."""
    n = len(centroids)
    numbers = np.arange(n)  # a cluster goes by its smallest row
    nearest, distances = np.full(n, -1), np.empty(n)
    merged, squared = [], []
    while len(numbers) > 1:
        asked = np.flatnonzero(nearest < 0)
        nearest[asked], distances[asked] = _nearest(centroids, sizes, asked, n_threads)
        places = np.arange(len(numbers))
        first = places[(nearest[nearest] == places) & (places < nearest)]
        second = nearest[first]
        merged.append(numbers[np.stack([first, second], axis=1)])
        squared.append(distances[first])

        weights = sizes[first] + sizes[second]
        shares = (sizes[second] / weights)[:, None]
        centroids[first] += shares * (centroids[second] - centroids[first])
        sizes[first] = weights

        is_kept, has_merged = np.ones((2, len(numbers)), dtype=bool)
        is_kept[second] = False
        has_merged[:] = False
        has_merged[first] = has_merged[second] = True
        nearest = np.where(has_merged[nearest] | has_merged, -1, nearest)
        # places of those that stay, -1 last for "not known"
        moved = np.append(np.cumsum(is_kept) - 1, -1)
        nearest = moved[nearest][is_kept]
        distances, numbers = distances[is_kept], numbers[is_kept]
        centroids, sizes = centroids[is_kept], sizes[is_kept]
    return np.concatenate(merged or [np.empty((0, 2), int)]), np.concatenate(
        squared or [[]]
    )


def _nearest(centroids, sizes, asked, n_threads):
    """Return the nearest other cluster of each that is asked, and the squared distance."""
    n, n_features = centroids.shape
    distances = np.full(len(asked), np.inf)
    nearest = np.full(len(asked), -1)
    squares = np.einsum("ij,ij->i", centroids, centroids, dtype=np.float64)
    # of the products and of the sums: half the rounding to each of two clusters
    squares *= 1 - (n_features + 8) * np.finfo(centroids.dtype).eps

    def work(start, stop):
        part = slice(start, stop)
        rows = centroids[asked[part]]
        for first in range(0, n, N_TILE):
            products = rows @ centroids[first : first + N_TILE].T
            nearest_in_tile(
                products, centroids, sizes, squares, asked[part], first,
                distances[part], nearest[part],
            )  # fmt: skip

    seconds = SECONDS_PER_PRODUCT * n * n_features
    for_each_chunk(
        work, len(asked), chunk_size=N_ASKED,
        n_threads=effective_n_threads(len(asked), seconds, n_threads),
    )  # fmt: skip
    return nearest, distances


def as_linkage(merged, heights):
    """Return SciPy's matrix of merges that are given by a row of each cluster, in any order."""
    n = len(merged) + 1
    order = np.argsort(heights, kind="stable")
    linkage = np.empty((n - 1, 4))
    linkage[:, 2] = heights[order]
    above, counts = list(range(2 * n - 1)), [1] * (2 * n - 1)

    def root(node):
        while above[node] != node:
            above[node] = node = above[above[node]]
        return node

    for node, (a, b) in enumerate(merged[order].tolist(), start=n):
        a, b = sorted((root(a), root(b)))
        above[a] = above[b] = node
        counts[node] = counts[a] + counts[b]
        linkage[node - n, [0, 1, 3]] = a, b, counts[node]
    return linkage
