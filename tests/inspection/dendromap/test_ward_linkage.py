"""Ward's tree: SciPy's, weights as repetitions, sums of squares, ties and threads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.cluster.hierarchy import cophenet, fcluster, is_valid_linkage, linkage
from scipy.spatial.distance import pdist
from scipy.stats import ortho_group
from sklearn.cluster import AgglomerativeClustering
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

from minimalml.inspection import ward_linkage

# Two ways to add up the same squares.
ROUNDING = dict(rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(2, 1), (3, 2), (40, 3), (300, 64), (2000, 64)])
def test_the_tree_is_that_of_scipy(shape, rng):
    X = rng.normal(size=shape)
    found, expected = ward_linkage(X), linkage(X, "ward")
    np.testing.assert_array_equal(found[:, [0, 1, 3]], expected[:, [0, 1, 3]])
    np.testing.assert_allclose(found[:, 2], expected[:, 2], rtol=1e-9)


def test_the_tree_is_that_of_scikit_learn():
    X = load_digits().data[:500]
    model = AgglomerativeClustering(None, distance_threshold=0).fit(X)
    np.testing.assert_allclose(ward_linkage(X)[:, 2], model.distances_, rtol=1e-9)


@given(arrays(float, st.tuples(st.integers(2, 25), st.integers(1, 3)),
              elements=st.integers(-2, 2).map(float)))  # fmt: skip
def test_ties_keep_the_heights_and_squares_add_up(X):
    found = ward_linkage(X)
    assert is_valid_linkage(found)
    assert (np.diff(found[:, 2]) >= 0).all()
    total = ((X - X.mean(axis=0)) ** 2).sum()
    np.testing.assert_allclose((found[:, 2] ** 2).sum() / 2, total, **ROUNDING)


@given(st.integers(0, 99), st.floats(0.01, 100))
def test_order_scale_and_turns_of_rows_do_not_matter(seed, scale):
    rng = np.random.default_rng(seed)
    X, order = rng.normal(size=(30, 4)), rng.permutation(30)
    other = scale * X[order] @ ortho_group.rvs(4, random_state=seed) + rng.normal(
        size=4
    )
    found, moved = ward_linkage(X), ward_linkage(other)
    np.testing.assert_allclose(moved[:, 2], scale * found[:, 2], rtol=1e-8)
    for k in (2, 5, 11):
        labels = [fcluster(tree, k, "maxclust") for tree in (found, moved)]
        assert adjusted_rand_score(labels[0][order], labels[1]) == 1.0
    np.testing.assert_allclose(cophenet(found), cophenet(linkage(X, "ward")))


def test_weights_count_as_repeated_rows(rng):
    X, weights = rng.normal(size=(40, 3)), rng.integers(1, 5, size=40)
    weighted = ward_linkage(X, weights)
    repeated = ward_linkage(np.repeat(X, weights, axis=0))[:, 2]
    np.testing.assert_allclose(weighted[:, 2], repeated[repeated > 0], rtol=1e-9)
    assert weighted[-1, 3] == 40
    mean = np.average(X, axis=0, weights=weights)
    total = (weights * ((X - mean) ** 2).sum(axis=1)).sum()
    np.testing.assert_allclose((weighted[:, 2] ** 2).sum() / 2, total)
    np.testing.assert_allclose(
        ward_linkage(X, weights / 3)[:, 2] * 3**0.5, weighted[:, 2]
    )


@pytest.mark.kernel
def test_threads_and_blocks_do_not_change_a_bit(rng):
    X = rng.normal(size=(3000, 5))
    np.testing.assert_array_equal(ward_linkage(X, n_jobs=1), ward_linkage(X, n_jobs=3))
    X.setflags(write=False)
    single = ward_linkage(X.astype(np.float32))
    np.testing.assert_allclose(single[:, 2], ward_linkage(X)[:, 2], rtol=1e-4)


def test_near_pairs_far_from_the_mean_are_found(rng):
    """Products of such rows lose all digits of their distance."""
    centers = 1e4 * rng.normal(size=(30, 3))
    steps = 1e-5 * (1 + np.arange(90))
    X = np.repeat(centers, 3, axis=0)
    X[:, 0] += steps
    found = ward_linkage(X)
    np.testing.assert_allclose(np.sort(pdist(X))[0], found[0, 2], rtol=1e-5)
    np.testing.assert_allclose(found[:, 2], linkage(X, "ward")[:, 2], rtol=1e-5)


def test_worst_cases_end():
    """All rows equal, and rows of which one pair at a time is nearest to each other."""
    assert not ward_linkage(np.ones((500, 2)))[:, 2].any()
    steps = np.arange(400.0)[:, None] ** 2
    np.testing.assert_allclose(
        ward_linkage(steps)[:, 2], linkage(steps, "ward")[:, 2], rtol=1e-9
    )
    assert ward_linkage([[1.0, 2.0]]).shape == (0, 4)


def test_numbers_of_any_size_have_a_tree(rng):
    """Whose squares would overflow, or vanish."""
    X = rng.normal(size=(40, 3))
    expected = ward_linkage(X)
    for scale in (1e-305, 1e-200, 1e200, 1e307):
        found = ward_linkage(scale * X)
        np.testing.assert_array_equal(found[:, [0, 1, 3]], expected[:, [0, 1, 3]])
        np.testing.assert_allclose(found[:, 2] / scale, expected[:, 2], rtol=1e-6)
    single = ward_linkage((1e30 * X).astype(np.float32))
    np.testing.assert_allclose(single[:, 2] / 1e30, expected[:, 2], rtol=1e-4)


@pytest.mark.parametrize(
    ("X", "weight", "message"),
    [
        ([[np.nan]], None, "contains NaN"),
        ([[1.0], [2.0]], [1.0, 0.0], "sample_weight must be above 0, got 0.0 in row 1"),
        ([[1.0], [2.0]], [1.0], r"sample_weight.shape == \(1,\)"),
    ],
)
def test_bad_input_is_refused(X, weight, message):
    with pytest.raises(ValueError, match=message):
        ward_linkage(X, weight)
