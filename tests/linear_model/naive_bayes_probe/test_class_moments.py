"""The one-pass kernel, its torch twin, the sparse route, and moments that add up."""

import tracemalloc
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from minimalml.linear_model import ClassMoments, NaiveBayesProbe, class_moments
from minimalml.linear_model._naive_bayes_probe._moments import n_row_blocks

pytestmark = pytest.mark.kernel

pytestmark = pytest.mark.kernel

FLOAT64_TOLERANCE = 1e-10
# ten roundings of numbers near 3e8; sums of squares about one origin lose every digit
FAR_TOLERANCE = 1e-7


def brute_force_moments(X, y, n_classes, weights=None, per_class=False):
    """Two passes of plain NumPy: the specification of every route."""
    X = np.asarray(X, dtype=np.float64)
    weights = np.ones(len(y)) if weights is None else weights
    one_hot = (y[:, None] == np.arange(n_classes)) * weights[:, None]
    counts = one_hot.sum(axis=0)
    means = one_hot.T @ X / np.where(counts > 0, counts, 1)[:, None]
    scatter = one_hot.T @ (X - means[y]) ** 2
    return counts, means, scatter if per_class else scatter.sum(axis=0)


def assert_moments(moments, expected, rtol=FLOAT64_TOLERANCE, atol=1e-12):
    moments = moments.to_numpy()
    for found, wanted in zip(
        (moments.counts, moments.means, moments.scatter), expected, strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=rtol, atol=atol)


def assert_same_bits(one, two):
    for name in ("counts", "offsets", "scatter", "origin"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def as_tensor(X):
    return pytest.importorskip("torch").from_numpy(X)


DENSE_ROUTES = [np.asarray, np.asfortranarray, as_tensor]


def weighted_classes(rng, n_samples, n_features, n_classes, dtype=np.float64):
    X = rng.normal(size=(n_samples, n_features)).astype(dtype) + 3
    y = rng.integers(n_classes, size=n_samples)
    return X, y, rng.integers(0, 4, size=n_samples).astype(float)


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1, 2), (40, 5, 3), (5000, 3, 2), (300, 700, 9)])
@pytest.mark.parametrize("route", [*DENSE_ROUTES, sparse.csr_array])
def test_all_routes_agree_with_brute_force(rng, route, shape, dtype, per_class):
    n_samples, n_features, n_classes = shape
    X, y, weights = weighted_classes(rng, n_samples, n_features, n_classes, dtype)
    expected = brute_force_moments(X, y, n_classes, weights, per_class)
    moments = class_moments(route(X), y, n_classes, weights, per_class)
    assert_moments(moments, expected)


@pytest.mark.parametrize("shape", [(4000, 7, 3), (6000, 300, 5), (500, 2000, 400)])
@pytest.mark.parametrize("per_class", [False, True])
def test_no_bit_depends_on_the_number_of_threads(rng, shape, per_class):
    X, y, weights = weighted_classes(rng, *shape, np.float32)
    one, three = (
        class_moments(X, y, shape[2], weights, per_class, n_threads=n) for n in (1, 3)
    )
    assert_same_bits(one, three)


def test_the_blocks_of_rows_depend_on_sizes_alone_and_bound_memory():
    for shape in [(50_000, 256, 100, 1), (10**6, 10, 3, 3), (1000, 4096, 1000, 1)]:
        n_blocks = n_row_blocks(*shape)
        partial_bytes = 8 * (n_blocks - 1) * shape[1] * (shape[2] + shape[3])
        assert n_blocks >= 1 and partial_bytes <= 8 << 20
    assert n_row_blocks(50_000, 256, 100, 1) > 1


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_fit_takes_little_memory_beside_its_rows(rng, order):
    n_features, n_classes = 256, 100
    X = np.asarray(rng.standard_normal((50_000, n_features), np.float32), order=order)
    y = np.arange(50_000) % n_classes
    tracemalloc.start()
    NaiveBayesProbe(n_jobs=1).fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * n_classes * n_features * 8 + (16 << 20) < X.nbytes


@pytest.mark.parametrize(
    "view",
    [
        lambda X: X[::-1],
        lambda X: X[:, ::-1],
        lambda X: X[::2, 1::3],
        lambda X: np.asfortranarray(X),
        lambda X: np.broadcast_to(X[:, :1], X.shape),
    ],
    ids=["rows back", "columns back", "steps", "fortran", "stride 0"],
)
def test_strided_input_gives_the_bits_of_its_copy(rng, view):
    X, y, _ = weighted_classes(rng, 3000, 70, 4)
    strided = view(X)
    y = y[: len(strided)]
    assert_same_bits(
        class_moments(strided, y, 4), class_moments(np.ascontiguousarray(strided), y, 4)
    )


def test_read_only_and_integer_input_works(rng):
    X = rng.integers(10, size=(30, 4))
    y = rng.integers(3, size=30)
    X.setflags(write=False)
    assert_moments(class_moments(X, y, 3), brute_force_moments(X, y, 3))


def exact_moments(X, y, n_classes):
    """Class means and shared scatter in rational arithmetic."""
    means, scatter = [], [Fraction(0)] * X.shape[1]
    for k in range(n_classes):
        rows = [[Fraction(value) for value in row] for row in X[y == k].tolist()]
        mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        means.append(mean)
        for row in rows:
            scatter = [
                s + (v - m) ** 2 for s, v, m in zip(scatter, row, mean, strict=True)
            ]
    return np.array(means, dtype=float), np.array(scatter, dtype=float)


@pytest.mark.parametrize("offset", [0.0, 1e8, -1e8])
@pytest.mark.parametrize("route", DENSE_ROUTES)
def test_a_large_offset_costs_no_digits_against_exact_arithmetic(rng, offset, route):
    X = rng.normal(size=(200, 3)) + offset
    y = np.arange(200) % 4
    means, scatter = exact_moments(X, y, 4)
    moments = class_moments(route(X), y, 4).to_numpy()
    np.testing.assert_allclose(moments.means, means, rtol=4e-16, atol=1e-15)
    np.testing.assert_allclose(moments.scatter, scatter, rtol=1e-13)
    naive = (X**2).sum(axis=0) - sum(
        X[y == k].sum(axis=0) ** 2 / 50 for k in range(4)
    )  # what the formula with raw sums would give
    assert offset == 0 or np.abs(naive / scatter - 1).max() > 1e-6


@pytest.mark.parametrize("route", DENSE_ROUTES)
def test_classes_far_apart_keep_the_digits_of_their_rows(rng, route):
    y = np.sort(np.arange(200) % 4)  # the first rows of X lack most classes
    X = rng.normal(size=(200, 3)) + 1e8 * y[:, None]
    means, scatter = exact_moments(X, y, 4)
    moments = class_moments(route(X), y, 4).to_numpy()
    np.testing.assert_allclose(moments.means, means, rtol=4e-16, atol=1e-15)
    np.testing.assert_allclose(moments.scatter, scatter, rtol=FAR_TOLERANCE)


def test_merged_parts_with_a_large_offset_lose_no_digits(rng):
    X = rng.normal(size=(200, 3)) + 1e8
    y = np.arange(200) % 4
    means, scatter = exact_moments(X, y, 4)
    total = sum(class_moments(X[i : i + 3], y[i : i + 3], 4) for i in range(0, 200, 3))
    np.testing.assert_allclose(total.means, means, rtol=4e-16)
    np.testing.assert_allclose(total.scatter, scatter, rtol=1e-12)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 30), max_size=6))
def test_moments_add_up_over_any_split_in_any_order(seed, cuts):
    rng = np.random.default_rng(seed)
    X, y, weights = weighted_classes(rng, 30, 4, 5)
    edges = [0, *sorted(cuts), 30]
    parts = [class_moments(X[a:b], y[a:b], 5, weights[a:b]) for a, b in pairwise(edges)]
    rng.shuffle(parts)
    total = sum(parts)
    assert_moments(total, brute_force_moments(X, y, 5, weights))
    assert total.n_samples == 30


@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.booleans())
def test_what_was_added_can_be_removed(seed, cut, per_class):
    rng = np.random.default_rng(seed)
    X, y, weights = weighted_classes(rng, 30, 4, 5)
    a = class_moments(X[:cut], y[:cut], 5, weights[:cut], per_class)
    b = class_moments(X[cut:], y[cut:], 5, weights[cut:], per_class)
    expected = brute_force_moments(X[:cut], y[:cut], 5, weights[:cut], per_class)
    assert_moments((a + b).remove(b), expected, rtol=1e-9, atol=1e-10)


def test_parts_with_different_labels_are_aligned(rng):
    X, y, _ = weighted_classes(rng, 40, 3, 4)
    few, many = y < 2, y >= 2
    one = class_moments(X[few], y[few], 2).with_classes(["a", "b"])
    two = class_moments(X[many], y[many] - 2, 2).with_classes(["c", "d"])
    total = two + one
    assert total.classes.tolist() == ["a", "b", "c", "d"]
    assert_moments(total, brute_force_moments(X, y, 4))


def test_per_class_scatter_is_aligned_too(rng):
    X, y, _ = weighted_classes(rng, 40, 3, 2)
    total = class_moments(X, y * 0, 1, per_class=True).with_classes([5])
    total = total + class_moments(X, y * 0, 1, per_class=True).with_classes([3])
    np.testing.assert_allclose(total.scatter, np.tile(len(X) * X.var(axis=0), (2, 1)))


def test_a_dictionary_gives_the_same_moments_back(rng):
    X, y, _ = weighted_classes(rng, 20, 3, 2)
    moments = class_moments(X, y, 2)
    assert_same_bits(ClassMoments(**moments.to_dict()), moments)
    plain = ClassMoments(moments.counts, moments.means, moments.scatter)
    assert_moments(plain, (moments.counts, moments.means, moments.scatter))
    assert "n_samples=20" in repr(moments)


def test_a_sparse_matrix_with_repeated_entries_is_summed_and_left_alone():
    entries = ([1.0, 2.0, 5.0], ([0, 0, 1], [1, 1, 0]))
    X = sparse.csr_array(sparse.coo_array(entries, shape=(2, 2)))
    X = sparse.csr_array((np.array([1.0, 2.0, 5.0]), [1, 1, 0], [0, 2, 3]), (2, 2))
    moments = class_moments(X, [0, 1], 2)
    np.testing.assert_array_equal(moments.means, [[0, 3], [5, 0]])
    assert X.nnz == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1, 2], 2), "y_codes must be in range.2., got values from 0 to 2"),
        (([0, -1, 0], 2), "y_codes must be in range.2., got values from -1"),
        (([0.0, 1.0, 0.0], 2), "y_codes must be integers, got dtype float64"),
        (([0, 1], 2), "same length, got shape .2,."),
        (
            ([0, 1, 0], 2, [1, 1]),
            "needs sample_weight of .* same length, got shape .2,.",
        ),
        (([0, 1, 0], 2, [1, 1, -1]), "sample_weight must not be negative, got -1"),
        (([0, 1, 0], 2, [1, 1, np.nan]), "sample_weight contains NaN"),
    ],
)
def test_bad_codes_and_weights_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        class_moments(np.ones((3, 2)), *arguments)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("route", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("row", [0, 2])
def test_a_bad_number_is_found_even_where_its_weight_is_zero(value, route, row):
    X = np.ones((3, 2))
    X[row, 1] = value
    weights = np.ones(3)
    weights[row] = 0
    with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
        class_moments(route(X), [0, 1, 0], 2, weights)


def test_a_sum_beyond_float64_is_refused():
    X = np.array([[1.7e308], [-1.7e308]])
    with pytest.raises(ValueError, match="overflows float64"):
        class_moments(X, [0, 0], 1)


def test_moments_that_do_not_fit_are_refused(rng):
    X, y, _ = weighted_classes(rng, 20, 3, 2)
    moments = class_moments(X, y, 2)
    with pytest.raises(ValueError, match="don't measure the same features"):
        moments + class_moments(X[:, :2], y, 2)
    with pytest.raises(ValueError, match="don't measure the same features"):
        moments + class_moments(X, y, 2, per_class=True)
    with pytest.raises(ValueError, match="more weight in a class than the whole"):
        class_moments(X[:5], y[:5], 2).remove(moments)
    with pytest.raises(ValueError, match=r"counts must have shape \(2,\)"):
        ClassMoments(np.ones(3), moments.offsets, moments.scatter)
