"""Points of the pyramid, levels and rotations, beside lists of all and plain loops."""

from functools import cache
from itertools import pairwise, product
from math import floor, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta as beta_distribution

from minimalml.compression import (
    pyramid_decode,
    pyramid_encode,
    pyramid_project,
    pyramid_size,
)
from minimalml.compression._pyramid import _pyramid
from minimalml.compression._pyramid._gain_levels import (
    beta_levels,
    midpoints,
    nearest_level,
    sample_levels,
)
from minimalml.compression._pyramid._pyramid import largest_n_pulses
from minimalml.compression._pyramid._rotation import random_signs, rotate, rotate_back

seeds = st.integers(0, 10**6)


@cache
def all_points(n_dims, n_pulses):
    """Return all points in the order of their numbers."""
    values = [0, *(s * a for a in range(1, n_pulses + 1) for s in (1, -1))]
    points = product(values, repeat=n_dims)
    return np.array([p for p in points if sum(map(abs, p)) == n_pulses])


def cosines(X, points):
    """Return the cosine of each row and its point."""
    sizes = np.linalg.norm(X, axis=1) * np.linalg.norm(points, axis=1)
    return np.einsum("ij,ij->i", X, points) / sizes


# --- numbers of points ---


@pytest.mark.kernel
@pytest.mark.parametrize("n_dims", range(1, 9))
def test_numbers_are_places_in_the_list_of_all_points(n_dims):
    for n_pulses in range(1, 10 - n_dims):
        points = all_points(n_dims, n_pulses)
        numbers = np.arange(len(points))
        assert pyramid_size(n_dims, n_pulses) == len(points)
        np.testing.assert_array_equal(pyramid_encode(points, n_pulses), numbers)
        found = pyramid_decode(numbers, n_dims, n_pulses)
        np.testing.assert_array_equal(found, points)


@pytest.mark.kernel
@given(n_dims=st.integers(1, 40), n_bits=st.integers(7, 64), seed=seeds)
def test_decoding_is_the_inverse_up_to_64_bits(n_dims, n_bits, seed):
    n_pulses = largest_n_pulses(n_dims, n_bits)
    size, rng = pyramid_size(n_dims, n_pulses), np.random.default_rng(seed)
    numbers = rng.integers(0, size - 1, size=50, dtype=np.uint64, endpoint=True)
    numbers = np.r_[numbers, np.uint64(0), np.uint64(size - 1)]
    points = pyramid_decode(numbers, n_dims, n_pulses)
    assert (np.abs(points.astype(int)).sum(axis=1) == n_pulses).all()
    np.testing.assert_array_equal(pyramid_encode(points, n_pulses), numbers)


@given(n_dims=st.integers(1, 300), n_pulses=st.integers(0, 300))
def test_sizes_follow_the_recursion(n_dims, n_pulses):
    size = pyramid_size(n_dims + 1, n_pulses + 1)
    smaller = [(n_dims, n_pulses + 1), (n_dims + 1, n_pulses), (n_dims, n_pulses)]
    assert size == sum(pyramid_size(*pair) for pair in smaller)


def test_known_sizes():
    assert pyramid_size(4, 3) == 88 and pyramid_size(9, 9) == 864146
    assert [largest_n_pulses(16, bits) for bits in (8, 31, 32, 48, 64)] == [
        1, 11, 12, 27, 58
    ]  # fmt: skip
    assert largest_n_pulses(4, 48) == 32767 and largest_n_pulses(16, 4) == 0
    assert largest_n_pulses(1, 5) == 1
    for n_dims, n_bits in product((2, 5, 16, 1000), (12, 40, 64)):
        n_pulses = largest_n_pulses(n_dims, n_bits)
        assert pyramid_size(n_dims, n_pulses) <= 2**n_bits
        is_last = n_pulses == 32767
        assert is_last or pyramid_size(n_dims, n_pulses + 1) > 2**n_bits


# --- the nearest point ---


def plain_search(x, n_pulses, refine):
    """Find a point of the pyramid by loops: what the kernel does."""
    if not any(x):
        return [n_pulses] + [0] * (len(x) - 1)
    a = [abs(value) / max(map(abs, x)) for value in x]
    total = 0.0
    for value in a:
        total += value
    p = [floor(n_pulses * value / total) for value in a]

    def product_and_square(p):
        xy = yy = 0.0
        for value, count in zip(a, p, strict=True):
            xy, yy = xy + value * count, yy + count * count
        return xy, yy

    xy, yy = product_and_square(p)
    while sum(p) < n_pulses:
        scores = [((xy + a[i]) ** 2, yy + 1 + 2 * p[i]) for i in range(len(a))]
        best = 0
        for i, (score, norm) in enumerate(scores):
            if score * scores[best][1] > scores[best][0] * norm:
                best = i
        xy, yy = xy + a[best], scores[best][1]
        p[best] += 1
    for _ in range(10 * refine):
        xy, yy = product_and_square(p)
        target = [value / (xy / yy) for value in a]
        new = [floor(t + 0.5) for t in target]
        while sum(new) != n_pulses:
            move = 1 if sum(new) < n_pulses else -1
            open_ = [i for i in range(len(a)) if move > 0 or new[i] > 0]
            new[max(open_, key=lambda i: move * (target[i] - new[i]))] += move
        new_xy, new_yy = product_and_square(new)
        if new_xy / sqrt(new_yy) <= (1 + 1e-12) * (xy / sqrt(yy)):
            break
        p = new
    return [int(np.copysign(count, value)) for count, value in zip(p, x, strict=True)]


@pytest.mark.kernel
@given(
    n_dims=st.integers(1, 20), n_pulses=st.integers(1, 70), seed=seeds,
    dtype=st.sampled_from([np.float32, np.float64]), refine=st.booleans(),
)  # fmt: skip
def test_search_is_that_of_plain_loops(n_dims, n_pulses, seed, dtype, refine):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(5, n_dims)) ** rng.choice([1, 3])
    X[1:3] = X[1:3].round()  # ties, zeros
    X[3] = 0
    X = X.astype(dtype)
    X.flags.writeable = False
    found = pyramid_project(X, n_pulses, refine=refine)
    expected = [plain_search([float(v) for v in x], n_pulses, refine) for x in X]
    np.testing.assert_array_equal(found, expected)


def test_ties_go_to_the_lowest_place():
    assert pyramid_project([[1, 1, 1]], 1).tolist() == [[1, 0, 0]]
    found = pyramid_project([[3, 3, 2, 3, 3, 1, 1, 3]], 10)
    assert found.tolist() == [[1, 2, 1, 2, 2, 0, 0, 2]]


@given(n_dims=st.integers(2, 24), n_pulses=st.integers(1, 60), seed=seeds)
def test_points_follow_their_rows(n_dims, n_pulses, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20, n_dims))
    points = pyramid_project(X, n_pulses)
    assert points.dtype == np.int16
    assert (np.abs(points).sum(axis=1) == n_pulses).all()
    assert (points * X >= 0).all()
    order = np.argsort(np.abs(X), axis=1)
    assert (np.diff(np.take_along_axis(np.abs(points), order, axis=1)) >= 0).all()
    np.testing.assert_array_equal(pyramid_project(X * 2.0**500, n_pulses), points)
    np.testing.assert_array_equal(pyramid_project(-X[::-1], n_pulses), -points[::-1])
    plain = pyramid_project(X, n_pulses, refine=False)
    assert (cosines(X, points) >= cosines(X, plain) - 1e-12).all()


@pytest.mark.parametrize(("n_dims", "n_pulses"), [(2, 6), (3, 4), (4, 5), (5, 6)])
def test_nearly_all_points_are_the_best_of_all(rng, n_dims, n_pulses):
    X, points = rng.normal(size=(500, n_dims)), all_points(n_dims, n_pulses)
    directions = points / np.linalg.norm(points, axis=1, keepdims=True)
    best = (X @ directions.T).max(axis=1) / np.linalg.norm(X, axis=1)
    found = cosines(X, pyramid_project(X, n_pulses))
    assert np.mean(found > best - 1e-12) >= 0.95
    assert np.mean(1 - found**2) <= 1.01 * np.mean(1 - best**2)


def best_cosine(a, n_pulses):
    """Sweep the scale: a pulse after the other moves away from the largest entry."""
    p = np.zeros(len(a))
    p[a.argmax()] = n_pulses
    best = 0.0
    while True:
        best = max(best, a @ p / np.sqrt(p @ p))
        steps = p[:, None] - p - 1
        with np.errstate(divide="ignore", invalid="ignore"):
            scales = np.where(steps >= 1, (a[:, None] - a) / steps, np.inf)
        u, v = np.unravel_index(scales.argmin(), scales.shape)
        if scales[u, v] == np.inf:
            return best / np.linalg.norm(a)
        p[u] -= 1
        p[v] += 1


@pytest.mark.parametrize(("n_pulses", "excess"), [(4, 1.002), (12, 1.01), (27, 1.01)])
def test_little_is_lost_to_the_best_point_of_sixteen(rng, n_pulses, excess):
    X = np.abs(rng.normal(size=(200, 16)))
    best = np.array([best_cosine(x, n_pulses) for x in X])
    found = cosines(X, pyramid_project(X, n_pulses))
    assert np.mean(1 - found**2) <= excess * np.mean(1 - best**2)


@pytest.mark.kernel
def test_threads_change_nothing(rng, monkeypatch):
    X = rng.normal(size=(2000, 16))
    points = pyramid_project(X, 27)
    numbers = pyramid_encode(points, 27)
    monkeypatch.setattr(_pyramid, "effective_n_threads", lambda *_: 3)
    np.testing.assert_array_equal(pyramid_project(X, 27), points)
    np.testing.assert_array_equal(pyramid_encode(points, 27), numbers)
    np.testing.assert_array_equal(pyramid_decode(numbers, 16, 27), points)


# --- levels of lengths ---


@pytest.mark.parametrize(
    ("n_group", "n_total", "n_bits"),
    [
        (16, 256, 0),
        (16, 256, 2),
        (16, 256, 4),
        (16, 256, 6),
        (8, 9, 3),
        (1, 40, 2),
        (64, 4096, 1),
    ],
)
def test_levels_are_centroids_of_what_is_nearest(n_group, n_total, n_bits):
    levels = beta_levels(n_group, n_total, n_bits)
    law = beta_distribution(n_group / 2, (n_total - n_group) / 2)
    edges = law.cdf(np.r_[0, midpoints(levels), 1] ** 2)
    means = [
        quad(lambda u: sqrt(law.ppf(u)), *edge, epsabs=1e-11, epsrel=1e-11)[0]
        / (edge[1] - edge[0])
        for edge in pairwise(edges)
    ]
    assert len(levels) == 2**n_bits and (np.diff(levels) > 0).all()
    stops_early = n_bits > 4
    np.testing.assert_allclose(levels, means, atol=1e-5 if stops_early else 1e-8)


def test_known_levels():
    expected = [0.18621097, 0.22927353, 0.26774660, 0.31406239]
    np.testing.assert_allclose(beta_levels(16, 256, 2), expected, atol=1e-8)
    np.testing.assert_array_equal(beta_levels(16, 16, 0), [1.0])
    assert nearest_level(np.array([1.5, -9, 9]), np.array([1.0, 2.0])).tolist() == [
        0, 0, 1
    ]  # fmt: skip


def test_levels_of_a_sample(rng):
    gains = np.r_[rng.normal(1, 0.01, 50), rng.normal(5, 0.01, 50)]
    levels = sample_levels(gains, 1)
    np.testing.assert_allclose(levels, [gains[:50].mean(), gains[50:].mean()])
    np.testing.assert_array_equal(sample_levels(np.zeros(9), 2), np.zeros(4))


# --- rotations ---


@pytest.mark.parametrize("n", [1, 2, 7, 12, 61, 64, 96])
def test_a_rotation_keeps_lengths_and_is_undone(n):
    signs = random_signs(n, 3)
    matrix = rotate(np.eye(n), signs)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(n), atol=1e-12)
    rows = np.random.default_rng(0).normal(size=(4, n))
    np.testing.assert_allclose(rotate(rows, signs), rows @ matrix, atol=1e-12)
    np.testing.assert_allclose(rotate_back(rotate(rows, signs), signs), rows)
    if n == 64:
        np.testing.assert_allclose(np.abs(matrix), 1 / 8, atol=1e-12)


# --- bad input ---


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pyramid_size(0, 3), "'n_dims' parameter"),
        (lambda: pyramid_project([[1.0, 2.0]], 0), "'n_pulses' parameter"),
        (lambda: pyramid_project([[1.0, 2.0]], 32768), "'n_pulses' parameter"),
        (lambda: pyramid_project([[1.0, np.nan]], 3), "X contains NaN"),
        (lambda: pyramid_encode([[1, 1], [1, 0]], 2), r"n_pulses=2, got \[1 0\] in row 1"),
        (lambda: pyramid_encode([[0.5, 1.5]], 2), "whole numbers .* row 0"),
        (lambda: pyramid_encode([[20] + [0] * 99], 20), "more points than 64 bits"),
        (lambda: pyramid_decode([0], 100, 20), "more points than 64 bits"),
        (lambda: pyramid_decode([7, 8], 2, 2), "from 0 to 7, got 8 in row 1"),
        (lambda: pyramid_decode([-1], 2, 2), "from 0 to 7, got -1 in row 0"),
        (lambda: pyramid_decode([1.0], 2, 2), "indices must be integers"),
    ],
)  # fmt: skip
def test_what_is_no_point_or_number_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_forms_that_are_taken():
    assert pyramid_encode([[1.0, -1.0]], 2).tolist() == [3]
    assert pyramid_project([[0, 3]], 2).tolist() == [[0, 2]]
    assert pyramid_project(np.empty((0, 3)), 2).shape == (0, 3)
    assert pyramid_encode(np.array([[-32767]], dtype=np.int16), 32767).tolist() == [1]
    assert pyramid_decode([], 3, 2).shape == (0, 3)
