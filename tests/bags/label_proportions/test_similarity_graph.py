"""Who is connected with whom, against all distances."""

import numpy as np
import pytest
from hypothesis import given
from scipy.sparse import csr_array
from sklearn.metrics import pairwise_distances

from minimalml.bags import similarity_graph
from minimalml.testing import feature_matrices


def from_all_distances(X, n_neighbors, metric, length_scale):
    """The same graph, dense."""
    n = len(X)
    order = pairwise_distances(X, metric=metric)
    np.fill_diagonal(order, np.inf)
    is_edge = np.zeros((n, n), dtype=bool)
    is_edge[np.arange(n)[:, None], order.argsort(axis=1)[:, :n_neighbors]] = True
    is_edge |= is_edge.T
    lengths = np.linalg.norm(X[:, None] - X[None], axis=2)
    if length_scale == "median":
        length_scale = np.median(lengths[np.triu(is_edge)])
    return np.where(is_edge, np.exp(-lengths / length_scale), 0.0)


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "manhattan"])
@pytest.mark.parametrize("length_scale", ["median", 0.7])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_it_is_that_of_all_distances(rng, metric, length_scale, dtype):
    X = rng.normal(size=(60, 4)).astype(dtype)[::-1]
    options = {"n_neighbors": 3, "metric": metric, "length_scale": length_scale}
    graph = similarity_graph(X, **options)
    assert isinstance(graph, csr_array) and graph.dtype == np.float64
    expected = from_all_distances(X.astype(float), **options)
    np.testing.assert_allclose(graph.toarray(), expected, rtol=1e-6, atol=1e-12)


@given(feature_matrices(n_samples=(1, 20)))
def test_it_is_symmetric_without_loops_whatever_the_rows(X):
    graph = similarity_graph(X, n_neighbors=4)
    dense, n = graph.toarray(), len(np.asarray(X))
    np.testing.assert_array_equal(dense, dense.T)
    assert not dense.diagonal().any()
    assert (graph.data >= 0).all() and (graph.data <= 1).all()
    assert (np.diff(graph.indptr) >= min(4, n - 1)).all()


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_unit_of_the_rows_means_nothing(rng, scale, metric):
    X = rng.normal(size=(40, 3))
    expected = similarity_graph(X, metric=metric).toarray()
    for length_scale in ("median", None):
        options = {"metric": metric}
        if length_scale is None:
            expected = similarity_graph(X, length_scale=0.5, **options).toarray()
            options["length_scale"] = 0.5 * scale
        found = similarity_graph(scale * X, **options).toarray()
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_equal_rows_are_as_similar_as_can_be():
    graph = similarity_graph(np.ones((4, 2)), n_neighbors=9)
    np.testing.assert_array_equal(graph.toarray(), 1.0 - np.eye(4))
    assert similarity_graph(np.zeros((3, 2))).nnz == 6
    assert similarity_graph([[1.0, 2.0]]).nnz == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_neighbors": 0}, "'n_neighbors' parameter of similarity_graph"),
        ({"length_scale": 0.0}, "'length_scale' parameter"),
        ({"length_scale": "mean"}, "'length_scale' parameter"),
        ({"metric": "nearest"}, "Metric 'nearest' not valid"),
        ({"X": [[np.nan], [1.0]]}, "Input X contains NaN"),
    ],
)
def test_what_gives_no_graph_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        similarity_graph(**{"X": [[0.0], [1.0]]} | options)
