"""Vector codes beside independent forms of k-means, the pass and least squares."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from minimalml.compression import (
    VectorCodec,
    WeightQuantizer,
    conditional_weights,
    fit_codebook,
    quantize_columns,
    refine_codebooks,
    unpack_codes,
)

seeds = st.integers(0, 10**6)


def random_hessian(rng, n):
    rows = rng.normal(size=(2 * n, n)) @ rng.normal(size=(n, n))
    return rows.T @ rows / (2 * n) + 0.01 * np.eye(n)


def loss(weight, decoded, hessian):
    error = weight - decoded
    return np.trace(error @ hessian @ error.T)


def nearest(segments, book):
    return ((segments[:, None] - book) ** 2).sum(axis=2).argmin(axis=1)


def plain_pass(weight, hessian, books, order):
    """Invert the moments of the columns that are left, at every step."""
    left, decoded = weight.copy(), np.empty_like(weight)
    m, v = len(weight), books[0].shape[1]
    for place, column in enumerate(order):
        rest = order[place:]
        inverse = np.linalg.inv(hessian[np.ix_(rest, rest)])
        wanted = left[:, column].copy()
        for book in books:
            for start in range(0, m, v):
                entries = slice(start, min(start + v, m))
                words = book[:, : entries.stop - start]
                wanted[entries] -= words[nearest(wanted[None, entries], words)[0]]
        decoded[:, column] = left[:, column] - wanted
        left[:, rest] -= np.outer(wanted, inverse[0] / inverse[0, 0])
    return decoded


@given(
    m=st.integers(1, 9), n=st.integers(1, 7), v=st.integers(1, 4), seed=seeds,
    n_levels=st.integers(1, 2),
)  # fmt: skip
def test_codes_are_those_of_an_independent_pass(m, n, v, seed, n_levels):
    rng = np.random.default_rng(seed)
    weight, hessian, v = rng.normal(size=(m, n)), random_hessian(rng, n), min(v, m)
    books = [rng.normal(size=(5, v)) / (level + 1) for level in range(n_levels)]
    order = rng.permutation(n)
    found = quantize_columns(weight, hessian, books, order=order)
    expected = plain_pass(weight, hessian, books, order)
    np.testing.assert_allclose(found.decoded, expected, atol=1e-7)
    size = np.trace(weight @ hessian @ weight.T)
    assert abs(found.loss - loss(weight, found.decoded, hessian)) <= 1e-8 * size
    assert found.codes.shape == (n_levels, -(-m // v), n)
    # the weights by which the loss is a sum of squares
    by_column = conditional_weights(hessian, order=order)
    assert (by_column <= np.diagonal(hessian) * (1 + 1e-9)).all()
    same = quantize_columns(weight, 7 * hessian, books, order=order)
    np.testing.assert_array_equal(same.codes, found.codes)
    moved = rng.permutation(n)
    other = quantize_columns(weight[:, moved], hessian[np.ix_(moved, moved)], books)
    default = quantize_columns(weight, hessian, books)
    np.testing.assert_array_equal(other.codes, default.codes[:, :, moved])


@given(m=st.integers(1, 9), n=st.integers(1, 7), v=st.integers(1, 4), seed=seeds)
def test_without_moments_each_segment_gets_its_nearest_word(m, n, v, seed):
    rng = np.random.default_rng(seed)
    weight, v = rng.normal(size=(m, n)), min(v, m)
    book = rng.normal(size=(6, v))
    plain = quantize_columns(weight, None, [book])
    diagonal = quantize_columns(weight, np.diag(rng.uniform(1, 2, n)), [book])
    np.testing.assert_array_equal(plain.codes, diagonal.codes)
    for segment, start in enumerate(range(0, m, v)):
        part = weight[start : start + v].T
        words = book[:, : part.shape[1]]
        np.testing.assert_array_equal(plain.codes[0, segment], nearest(part, words))
    assert plain.loss == pytest.approx(((weight - plain.decoded) ** 2).sum())


@given(seed=seeds, m=st.integers(2, 7), n=st.integers(2, 6), n_levels=st.integers(1, 2))
def test_refined_books_are_those_of_dense_least_squares(seed, m, n, n_levels):
    rng = np.random.default_rng(seed)
    weight, hessian = rng.normal(size=(m, n)), random_hessian(rng, n)
    books = [rng.normal(size=(4, 2)) for _ in range(n_levels)]
    first = quantize_columns(weight, hessian, books)
    refined, decoded = refine_codebooks(
        weight, hessian, first.codes, books, max_iter=500, tol=1e-12
    )
    ours = loss(weight, decoded, hessian)
    assert ours <= first.loss + 1e-12 * abs(first.loss)
    root = np.linalg.cholesky(hessian)
    design = np.zeros((n_levels, 4, 2, m, n))
    for level, segment, column in np.ndindex(first.codes.shape):
        for entry in range(min(2, m - 2 * segment)):
            word = first.codes[level, segment, column]
            design[level, word, entry, 2 * segment + entry, column] = 1
    columns = (design @ root).reshape(-1, m * n)
    theta = np.linalg.lstsq(columns.T, (weight @ root).ravel(), rcond=None)[0]
    best = ((columns.T @ theta - (weight @ root).ravel()) ** 2).sum()
    size = np.trace(weight @ hessian @ weight.T)
    assert ours <= best * (1 + 1e-6) + 1e-9 * size
    again = quantize_columns(weight, hessian, refined)
    assert again.codes.shape == first.codes.shape
    mean, _ = refine_codebooks(
        weight, None, np.zeros((1, m, n), int), [np.zeros((1, 1))]
    )
    np.testing.assert_allclose(mean[0], [[weight.mean()]])


def test_two_by_two_weights_beside_all_codes():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        weight, hessian = rng.normal(size=(2, 2)), random_hessian(rng, 2)
        book = rng.normal(size=(3, 2))
        all_codes = product(range(3), repeat=2)
        best = min(loss(weight, book[list(codes)].T, hessian) for codes in all_codes)
        assert quantize_columns(weight, hessian, [book]).loss >= best - 1e-12


def test_k_means_is_as_good_as_that_of_scikit_learn():
    ratios = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        weight, costs = rng.normal(size=(40, 64)), rng.uniform(0.1, 3, 64)
        _, ours = fit_codebook(weight, costs, 4, 16, random_state=seed)
        segments = weight.reshape(10, 4, 64).transpose(0, 2, 1).reshape(-1, 4)
        theirs = KMeans(16, n_init=10, random_state=0)
        theirs.fit(segments, sample_weight=np.tile(costs, 10))
        ratios.append(ours / theirs.inertia_)
    assert np.median(ratios) <= 1.05 and max(ratios) <= 1.15


@given(seed=seeds, m=st.integers(1, 11), v=st.integers(1, 5), k=st.integers(1, 6))
def test_inertia_is_that_of_the_words_and_weights_repeat_columns(seed, m, v, k):
    rng = np.random.default_rng(seed)
    weight, counts = rng.normal(size=(m, 12)), rng.integers(1, 4, size=12)
    book, inertia = fit_codebook(weight, counts, v, k, random_state=0)
    v = min(v, m)
    assert book.shape[1] == v and len(book) <= k
    costs = 0
    for start in range(0, m, v):
        part = weight[start : start + v].T
        squares = ((part[:, None] - book[:, : part.shape[1]]) ** 2).sum(axis=2)
        costs += (counts * squares.min(axis=1)).sum()
    assert inertia == pytest.approx(costs)
    worse = rng.normal(size=book.shape) + book
    single, least = fit_codebook(weight[:v], None, v, 1, random_state=0)
    np.testing.assert_allclose(single[0], weight[:v].mean(axis=1))
    assert least <= ((weight[:v].T - worse[0]) ** 2).sum() + 1e-9


def test_as_many_words_as_segments_lose_nothing_but_half_precision(rng):
    weight = np.tile(
        rng.normal(size=(5, 3)), (2, 4)
    )  # ten rows, some segments repeated
    book, inertia = fit_codebook(weight, None, 5, 99)
    assert inertia == 0 and len(book) == 3
    for hessian in (None, random_hessian(rng, 12)):
        decoded = VectorCodec(5, 99).encode(weight, hessian).decode()
        assert (np.abs(decoded - weight) <= 2**-9 * np.abs(weight) + 1e-6).all()
    zeros = VectorCodec(4, 16).encode(np.zeros((8, 5)))
    np.testing.assert_array_equal(zeros.decode(), 0)
    assert (
        zeros.arrays["codebook"].shape == (1, 4) and zeros.arrays["indices"].size == 0
    )


@given(
    m=st.integers(1, 13), n=st.integers(1, 9), v=st.integers(1, 5), k=st.integers(1, 9),
    k2=st.integers(0, 3), share=st.sampled_from([0.0, 0.3, 0.9]), seed=seeds,
)  # fmt: skip
def test_what_is_stored_can_be_read_by_hand(m, n, v, k, k2, share, seed):
    rng = np.random.default_rng(seed)
    weight, hessian = rng.normal(size=(m, n)), random_hessian(rng, n)
    codec = VectorCodec(
        v, k, n_residual_centroids=k2, outlier_fraction=share, outlier_vector_length=1,
        n_refinements=1, random_state=0,
    )  # fmt: skip
    encoded = codec.encode(weight, hessian)
    arrays = encoded.arrays
    n_outliers = int(np.ceil(share * n))
    is_outlier = np.zeros(n, dtype=bool)
    if n_outliers:
        is_outlier = unpack_codes(arrays["outlier_mask"], n, 1) == 1
        first = np.argsort(-np.diagonal(hessian), kind="stable")[:n_outliers]
        assert set(np.flatnonzero(is_outlier)) == set(first)
    expected, n_bits = np.zeros((m, n)), 32 + (n if n_outliers else 0)
    for prefix, name in (("", "codebook"), ("residual_", "residual_codebook"),
                         ("outlier_", "outlier_codebook")):  # fmt: skip
        if name not in arrays:
            continue
        columns = np.flatnonzero(is_outlier == (prefix == "outlier_"))
        book = arrays[name].astype(float)
        width, n_segments = int(np.ceil(np.log2(len(book)))), -(-m // book.shape[1])
        labels = unpack_codes(
            arrays[prefix + "indices"], n_segments * len(columns), width
        )
        for place, label in enumerate(labels.astype(int)):
            column, start = columns[place // n_segments], place % n_segments
            rows = slice(start * book.shape[1], min(m, (start + 1) * book.shape[1]))
            expected[rows, column] += book[label][: rows.stop - rows.start]
        n_bits += 8 * -(-width * len(labels) // 8) + 16 * book.size
    n_bits += -n % 8 if n_outliers else 0
    np.testing.assert_allclose(
        encoded.decode(), expected * float(arrays["scale"][0]), atol=1e-12
    )
    assert 8 * encoded.nbytes == n_bits
    four_times = codec.encode(weight, 4 * hessian)
    for name, array in arrays.items():
        np.testing.assert_array_equal(four_times.arrays[name], array)


def test_bits_of_the_papers_example():
    n_bits = 1024 * 1024 / 8 * 8 + 16 * 8 * 256 + 32
    weight = np.random.default_rng(0).normal(size=(1024, 1024))
    encoded = VectorCodec(8, 256, max_iter=1, n_refinements=0, random_state=0).encode(
        weight
    )
    assert encoded.bits_per_weight == n_bits / 1024**2
    # of 4096 x 4096: 1.002 bits, a sixteenth of half precision
    assert (4096**2 / 8 * 8 + 16 * 8 * 256 + 32) / 4096**2 == pytest.approx(
        1.002, abs=1e-4
    )


def test_refinement_outliers_and_residuals_lower_the_error(rng):
    rows = rng.normal(size=(300, 8)) @ rng.normal(size=(8, 40))
    hessian = np.cov(rows.T) + 0.1 * np.eye(40)
    weight = rng.normal(size=(64, 40))

    def error(**parameters):
        codec = VectorCodec(4, 16, random_state=0, **parameters)
        return loss(weight, codec.encode(weight, hessian).decode(), hessian)

    default = error()
    assert default < error(n_refinements=0)
    assert error(n_residual_centroids=8) < default
    assert error(outlier_fraction=0.2) < default
    plain = VectorCodec(4, 16, random_state=0).encode(weight).decode()
    assert default < 0.5 * loss(weight, plain, hessian)


def test_search_over_words_in_a_pipeline():
    X, y = load_digits(return_X_y=True)
    inner = LogisticRegression(max_iter=200)
    quantizer = WeightQuantizer(inner, VectorCodec(2, random_state=0))
    pipeline = make_pipeline(MinMaxScaler(), quantizer)
    search = GridSearchCV(
        pipeline, {"weightquantizer__codec__n_centroids": [1, 32]}, cv=2
    )
    search.fit(X[:400], y[:400])
    assert search.best_params_ == {"weightquantizer__codec__n_centroids": 32}
    assert search.score(X[400:], y[400:]) > 0.8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda W: VectorCodec(0).encode(W), "'vector_length' parameter"),
        (lambda W: VectorCodec(n_centroids=1.5).encode(W), "'n_centroids' parameter"),
        (lambda W: VectorCodec(outlier_fraction=1.0).encode(W), "'outlier_fraction'"),
        (lambda W: VectorCodec(1, outlier_fraction=0.1).encode(W),
         "outlier_vector_length=2 must be at most vector_length=1"),
        (lambda W: fit_codebook(W, [-1.0, 1, 1], 2, 2), "column_weight must be at least 0"),
        (lambda W: fit_codebook(W, [0.0, 0, 0], 2, 2), "not all 0"),
        (lambda W: fit_codebook(W, [1.0], 2, 2), r"column_weight must have shape \(3,\)"),
        (lambda W: quantize_columns(W, None, []), "at least one book"),
        (lambda W: quantize_columns(W, None, [[[np.nan]]]), r"codebooks\[0\] contains NaN"),
        (lambda W: quantize_columns(W, None, [[[1.0]], [[1.0, 2]]]), "of one length"),
        (lambda W: quantize_columns(W, None, [np.ones((1, 5))]), "at most the 4 outputs"),
        (lambda W: quantize_columns(W, None, [[[1.0]]], order=[0, 0, 1]), "permutation"),
        (lambda W: refine_codebooks(W, None, [[[0]]], [[[1.0]]]), "codes must be integers"),
        (lambda W: refine_codebooks(W, None, np.ones((1, 4, 3), int), [[[1.0]]]),
         r"codes\[0\] must be from 0 to 0, got 1"),
        (lambda W: conditional_weights(-np.eye(3)), "raise damping"),
        (lambda W: VectorCodec().encode(W * np.nan), "weight contains NaN"),
        (lambda W: VectorCodec().encode(W, np.eye(2)), r"hessian must have shape \(3, 3\)"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(rng, call, message):
    with pytest.raises(ValueError, match=message):
        call(rng.normal(size=(4, 3)))
