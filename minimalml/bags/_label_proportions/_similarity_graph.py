"""The graph of similar rows: who should agree with whom, and how much."""

import numpy as np
from scipy.sparse import csr_array
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array, gen_batches

from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    StrOptions,
    validate_params,
)

GRAPH_CONSTRAINTS = {
    "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    "metric": [str, callable],
    "length_scale": [Interval(Real, 0, None, closed="neither"), StrOptions({"median"})],
}
# Edges whose differences are in memory at once.
BATCH_EDGES = 1 << 16
# Beyond, squares may leave the range of float32, or rows count as zeros for the cosine.
SAFE_MAGNITUDES = (1e-4, 1e15)


@validate_params({"X": ["array-like"], **GRAPH_CONSTRAINTS}, prefer_skip_nested_validation=True)  # fmt: skip
def similarity_graph(X, *, n_neighbors=5, metric="cosine", length_scale="median"):
    """Connect each row to its nearest rows, by weights that fall with distance.

    Two rows are connected if either is among the nearest of the other, by the weight
    ``exp(-distance / length_scale)`` of their Euclidean distance. Time O(n² d) where
    the metric knows no tree, as cosine; for more rows give
    `propagate_label_proportions` a graph of your own.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows.

    n_neighbors : int, default=5
        Nearest other rows of each row; all others if they are fewer.

    metric : str or callable, default="cosine"
        Which rows are near, as `sklearn.neighbors.NearestNeighbors` takes it.

    length_scale : float or "median", default="median"
        Euclidean distance at which a weight is 1/e; "median" is that of the edges.

    Returns
    -------
    scipy.sparse.csr_array of shape (n_samples, n_samples)
        Weights in [0, 1], symmetric, float64.

    Raises
    ------
    ValueError
        If X is not finite, or a parameter is out of its range.

    Examples
    --------
    >>> from minimalml.bags import similarity_graph
    >>> X = [[0.0], [1.0], [3.0]]
    >>> graph = similarity_graph(X, n_neighbors=1, metric="euclidean", length_scale=1.0)
    >>> graph.toarray().round(3)
    array([[0.   , 0.368, 0.   ],
           [0.368, 0.   , 0.135],
           [0.   , 0.135, 0.   ]])
    """
    X = check_array(X, dtype=[np.float64, np.float32], input_name="X")
    unit = float(np.abs(X).max())
    if unit == 0 or SAFE_MAGNITUDES[0] < unit < SAFE_MAGNITUDES[1]:
        unit = 1.0
    else:
        X = X / np.float64(unit)
    pairs = _neighbour_pairs(X, n_neighbors, metric)
    weights = _edge_lengths(X, pairs)
    if length_scale == "median":
        length_scale = (np.median(weights) if len(weights) else 0.0) or 1.0
    else:
        length_scale = length_scale / unit
    np.exp(weights / -length_scale, out=weights)
    upper = csr_array((weights, pairs.T), shape=(len(X), len(X)))
    return (upper + upper.T).tocsr()


def _neighbour_pairs(X, n_neighbors, metric):
    """Return the edges (i, j), i < j, sorted, shape (n_edges, 2)."""
    n_rows = len(X)
    n_neighbors = min(n_neighbors, n_rows - 1)
    if n_neighbors == 0:
        return np.empty((0, 2), dtype=np.int64)
    finder = NearestNeighbors(n_neighbors=n_neighbors, metric=metric).fit(X)
    neighbours = finder.kneighbors(return_distance=False).ravel()
    rows = np.arange(n_rows).repeat(n_neighbors)
    low, high = np.minimum(rows, neighbours), np.maximum(rows, neighbours)
    return np.column_stack(np.divmod(np.unique(low * n_rows + high), n_rows))


def _edge_lengths(X, pairs):
    lengths = np.empty(len(pairs))
    for batch in gen_batches(len(pairs), BATCH_EDGES):
        ends = X[pairs[batch]].astype(
            np.float64, copy=False
        )  # (n_batch, 2, n_features)
        lengths[batch] = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
    return lengths
