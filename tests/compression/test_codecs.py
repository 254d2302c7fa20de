"""The floor of quantisation: moments, packing, feedback, grids, nearest words."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimalml.compression import (
    InputMoments,
    UniformCodec,
    nearest_codeword,
    pack_codes,
    relative_output_error,
    unpack_codes,
)
from minimalml.compression._error_feedback import feed_back, inverse_factor

seeds = st.integers(0, 10**6)


def random_hessian(rng, n):
    rows = rng.normal(size=(2 * n, n)) @ rng.normal(size=(n, n))
    return rows.T @ rows / (2 * n) + 0.01 * np.eye(n)


def loss(weight, decoded, hessian):
    error = weight - decoded
    return np.trace(error @ hessian @ error.T)


# --- moments ---


@given(seed=seeds, n_parts=st.integers(1, 5), center=st.booleans())
def test_moments_of_parts_add_up(seed, n_parts, center):
    rng = np.random.default_rng(seed)
    X, X_reference = rng.normal(5, 1, size=(20, 3)), rng.normal(size=(20, 3))
    weights = rng.integers(1, 3, size=20)
    order = np.array_split(rng.permutation(20), n_parts)
    parts = [InputMoments.from_rows(X[r], X_reference[r], weights[r]) for r in order]
    total = sum(parts)
    repeated = np.repeat(np.arange(20), weights)
    whole = InputMoments.from_rows(X[repeated], X_reference[repeated])
    np.testing.assert_allclose(
        total.hessian(center=center), whole.hessian(center=center), atol=1e-10
    )
    weight = rng.normal(size=(2, 3))
    np.testing.assert_allclose(
        total.target(weight, center=center), whole.target(weight, center=center),
        atol=1e-10,
    )  # fmt: skip
    assert total.n_samples == 20 and total.total_weight == weights.sum()


@given(seed=seeds, center=st.booleans())
def test_target_is_least_squares_with_ridge_rows(seed, center):
    rng = np.random.default_rng(seed)
    X, wanted = rng.normal(1, 1, size=(30, 4)), rng.normal(1, 1, size=(30, 4))
    weight = rng.normal(size=(3, 4))
    moments = InputMoments.from_rows(X, wanted)
    if center:
        X, wanted = X - X.mean(0), wanted - wanted.mean(0)
    ridge = np.sqrt(0.1 * np.mean(X**2) * len(X)) * np.eye(4)
    stacked = np.vstack([X, ridge])
    expected = np.linalg.lstsq(
        stacked, np.vstack([wanted @ weight.T, ridge @ weight.T]), rcond=None
    )[0]
    found = moments.target(weight, damping=0.1, center=center)
    np.testing.assert_allclose(found, expected.T, atol=1e-8)
    same = InputMoments.from_rows(X, X)
    np.testing.assert_allclose(same.target(weight, 0.1), weight, atol=1e-10)
    np.testing.assert_array_equal(InputMoments.from_rows(X).target(weight), weight)


def test_moments_of_tensors_and_of_zeros():
    torch = pytest.importorskip("torch")
    X = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    ours = InputMoments.from_rows(torch.tensor(X), torch.tensor(X[::-1].copy()))
    theirs = InputMoments.from_rows(X, X[::-1])
    assert ours.scatter.dtype == torch.float64
    np.testing.assert_allclose(ours.hessian(), theirs.hessian(), atol=1e-12)
    weight = np.ones((2, 3))
    np.testing.assert_allclose(ours.target(weight), theirs.target(weight), atol=1e-12)
    dead = InputMoments.from_rows(np.zeros((4, 2))).hessian(0.5)
    np.testing.assert_array_equal(dead, 0.5 * np.eye(2))


def test_moments_that_do_not_go_together_are_refused():
    narrow, wide = (InputMoments.from_rows(np.ones((3, n))) for n in (2, 3))
    with pytest.raises(ValueError, match="moments of 2 and of 3 features"):
        narrow + wide
    with pytest.raises(ValueError, match="with reference rows"):
        narrow + InputMoments.from_rows(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"X_reference has shape \(2, 2\)"):
        InputMoments.from_rows(np.ones((3, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="X contains NaN"):
        InputMoments.from_rows(np.full((3, 2), np.nan))
    with pytest.raises(TypeError):
        narrow + 1
    with pytest.raises(ValueError, match="raise damping"):
        InputMoments.from_rows(np.ones((3, 2)), np.ones((3, 2))).target([[1.0, 1]], 0)


# --- packing ---


@given(
    widths=st.lists(st.integers(0, 64), min_size=1, max_size=5),
    n_rows=st.integers(0, 40),
    seed=seeds,
)
def test_codes_are_packed_without_gaps(widths, n_rows, seed):
    rng = np.random.default_rng(seed)
    codes = np.empty((n_rows, len(widths)), dtype=np.uint64)
    for column, width in enumerate(widths):
        draws = rng.integers(0, 2**64, size=n_rows, dtype=np.uint64, endpoint=False)
        codes[:, column] = draws >> np.uint64(64 - width) if width else 0
    data = pack_codes(codes, widths)
    total = n_rows * sum(widths)
    assert data.dtype == np.uint8 and len(data) == -(-total // 8)
    np.testing.assert_array_equal(unpack_codes(data, n_rows, widths), codes)
    value = int.from_bytes(data.tobytes(), "little")
    bits = [
        int(code) >> bit & 1
        for row in codes
        for code, width in zip(row, widths, strict=True)
        for bit in range(width)
    ]
    assert bits == [value >> place & 1 for place in range(total)]
    assert value >> total == 0


def test_many_codes_go_through_blocks(monkeypatch):
    from minimalml.compression import _packing

    codes = np.random.default_rng(0).integers(0, 8, size=1000)
    whole = pack_codes(codes, 3)
    monkeypatch.setattr(_packing, "BLOCK_BITS", 50)
    np.testing.assert_array_equal(pack_codes(codes, 3), whole)
    np.testing.assert_array_equal(unpack_codes(whole, 1000, 3), codes)


@pytest.mark.parametrize(
    ("codes", "n_bits", "error", "message"),
    [
        ([4], 2, ValueError, "got 4 to 4 for .2. bits"),
        ([-1], 2, ValueError, "got -1 to -1"),
        ([0.5], 2, TypeError, "codes must be integers, got float64"),
        ([1], 65, ValueError, "n_bits must be from 0 to 64, got 65"),
        ([1], 1.5, ValueError, "n_bits must be an integer"),
        ([[1, 2]], 3, ValueError, "codes must have shape"),
    ],
)
def test_codes_that_do_not_fit_are_refused(codes, n_bits, error, message):
    with pytest.raises(error, match=message):
        pack_codes(codes, n_bits)
    with pytest.raises(ValueError, match=r"3 codes of \[8\] bits are 3 bytes, got"):
        unpack_codes(np.zeros(2, dtype=np.uint8), 3, 8)


# --- feedback ---


@given(
    seed=seeds,
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    n_rows=st.integers(1, 4),
)
def test_feedback_pays_exactly_its_loss(seed, sizes, n_rows):
    rng, n = np.random.default_rng(seed), sum(sizes)
    weight, hessian = rng.normal(size=(n_rows, n)), random_hessian(rng, n)
    order = rng.permutation(n)
    decoded, paid = feed_back(
        weight, hessian, order, sizes, lambda values, *_: np.round(values)
    )
    scale = np.trace(weight @ hessian @ weight.T)
    assert abs(paid - loss(weight, decoded, hessian)) <= 1e-8 * scale
    # what comes later in the order changes nothing before
    other = weight.copy()
    other[:, order[sizes[0] :]] += 1
    again, _ = feed_back(
        other, hessian, order, sizes, lambda values, *_: np.round(values)
    )
    first = order[: sizes[0]]
    np.testing.assert_array_equal(decoded[:, first], again[:, first])
    exact, nothing = feed_back(weight, hessian, order, sizes, lambda values, *_: values)
    np.testing.assert_array_equal(exact, weight)
    assert nothing == 0


def plain_feedback(weight, hessian, order):
    """Take each error to the later columns at once, by the inverse of what is left."""
    left, decoded = weight.copy(), np.empty_like(weight)
    for place, column in enumerate(order):
        rest = order[place:]
        inverse = np.linalg.inv(hessian[np.ix_(rest, rest)])
        decoded[:, column] = np.round(left[:, column])
        error = left[:, column] - decoded[:, column]
        left[:, rest] -= np.outer(error, inverse[0] / inverse[0, 0])
    return decoded


@pytest.mark.parametrize("lazy", [1, 5, 128])
def test_lazy_products_change_nothing(rng, monkeypatch, lazy):
    from minimalml.compression import _error_feedback

    monkeypatch.setattr(_error_feedback, "LAZY_COLUMNS", lazy)
    weight, hessian = rng.normal(0, 3, size=(4, 20)), random_hessian(rng, 20)
    order = rng.permutation(20)
    decoded, _ = feed_back(
        weight, hessian, order, np.ones(20, int), lambda values, *_: np.round(values)
    )
    np.testing.assert_array_equal(decoded, plain_feedback(weight, hessian, order))
    factor = inverse_factor(hessian)
    np.testing.assert_allclose(factor.T @ factor @ hessian, np.eye(20), atol=1e-8)
    with pytest.raises(ValueError, match="not positive definite: raise damping"):
        inverse_factor(np.zeros((3, 3)))


# --- uniform grids ---


def test_one_bit_codes_beside_all_codes():
    ours, rounded, best = [], [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        weight, hessian = rng.normal(size=(2, 3)), random_hessian(rng, 3)
        encoded = UniformCodec(1).encode(weight, hessian)
        ours.append(loss(weight, encoded.decode(), hessian))
        rounded.append(loss(weight, UniformCodec(1).encode(weight).decode(), hessian))
        low, step = (encoded.arrays[k].astype(float)[:, :1] for k in ("low", "step"))
        scale = float(encoded.arrays["scale"][0])
        rows = [np.array(list(product([0, 1], repeat=3)))] * 2
        levels = [scale * (low[i] + step[i] * rows[i]) for i in range(2)]
        best.append(
            sum(
                min(loss(weight[i : i + 1], q[None], hessian) for q in levels[i])
                for i in range(2)
            )
        )
    assert (np.array(ours) >= np.array(best) - 1e-12).all()
    assert np.mean(ours) <= np.mean(rounded)


@given(
    seed=seeds, n_bits=st.integers(1, 8), group_size=st.sampled_from([None, 1, 3, 99]),
    scale=st.sampled_from([1e-30, 1.0, 1e30]),
)  # fmt: skip
def test_uniform_codes_are_the_nearest_levels(seed, n_bits, group_size, scale):
    rng = np.random.default_rng(seed)
    weight = scale * rng.normal(size=(3, 8))
    codec = UniformCodec(n_bits, group_size=group_size)
    encoded, size = codec.encode(weight), min(group_size or 8, 8)
    n_groups = -(-8 // size)
    assert encoded.arrays["low"].shape == (3, n_groups)
    assert encoded.nbytes == 3 * n_bits + 3 * n_groups * 4 + 4
    unit = float(encoded.arrays["scale"][0])
    for row in range(3):
        for column in range(8):
            low, step = (
                float(encoded.arrays[k][row, column // size]) for k in ("low", "step")
            )
            levels = unit * (low + step * np.arange(2**n_bits))
            gap = np.abs(levels - weight[row, column]).min()
            found = abs(encoded.decode()[row, column] - weight[row, column])
            assert found <= gap + 1e-12 * scale
    order = rng.permutation(3)
    np.testing.assert_array_equal(
        codec.encode(weight[order]).decode(), encoded.decode()[order]
    )


def test_grids_give_up_range_for_less_error_and_zeros_stay(rng):
    weight = rng.normal(size=(50, 200))
    decoded = UniformCodec(2).encode(weight).decode()
    low, high = weight.min(axis=1), weight.max(axis=1)
    step = ((high - low) / 3)[:, None]
    widest = low[:, None] + step * np.round((weight - low[:, None]) / step)
    assert np.mean((decoded - weight) ** 2) < 0.8 * np.mean((widest - weight) ** 2)
    zeros = UniformCodec().encode(np.zeros((2, 3)))
    np.testing.assert_array_equal(zeros.decode(), 0)


@pytest.mark.parametrize(
    ("weight", "hessian", "error", "message"),
    [
        ([[1, 2]], None, TypeError, "weight must hold floating-point numbers, got int"),
        ([[np.nan, 2.0]], None, ValueError, "weight contains NaN"),
        ([[1e300, 2.0]], None, ValueError, "within float32"),
        ([[1.0, 2.0]], np.eye(3), ValueError, r"hessian must have shape \(2, 2\)"),
        ([[1.0, 2.0]], [[1.0, 2], [3, 1]], ValueError, "hessian must be symmetric"),
        ([[1.0, 2.0]], [[1.0, 2], [2, 1]], ValueError, "raise damping"),
        (
            [[1.0, 2.0]],
            [[1.0, np.inf], [2, 1]],
            ValueError,
            "hessian contains infinity",
        ),
    ],
)
def test_matrices_that_cannot_be_encoded_are_refused(weight, hessian, error, message):
    with pytest.raises(error, match=message):
        UniformCodec().encode(weight, hessian)
    with pytest.raises(ValueError, match="'n_bits' parameter of UniformCodec"):
        UniformCodec(9).encode([[1.0]])


def test_relative_error_of_nothing():
    assert relative_output_error([[0.0]], [[0.0]], [[1.0]]) == 0
    assert relative_output_error([[0.0]], [[1.0]], [[1.0]]) == np.inf


# --- nearest words ---


@pytest.mark.kernel
@given(
    n=st.integers(0, 140), d=st.integers(1, 9), k=st.integers(1, 20), seed=seeds,
    kind=st.sampled_from(["none", "row", "each"]), dtype=st.sampled_from(["f4", "f8"]),
    n_threads=st.integers(1, 3),
)  # fmt: skip
def test_words_are_the_nearest_the_lower_of_equals(
    n, d, k, seed, kind, dtype, n_threads
):
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-3, 4, size=(n, d)).astype(dtype)
    codebook = rng.integers(-3, 4, size=(k, d)).astype(dtype)
    shape = {"none": None, "row": (d,), "each": (n, d)}[kind]
    weights = None if shape is None else rng.integers(0, 3, size=shape)
    labels, distances = nearest_codeword(
        vectors, codebook, weights, n_threads=n_threads
    )
    squares = (vectors[:, None] - codebook) ** 2
    if weights is not None:
        squares = squares * np.broadcast_to(weights, (n, d))[:, None]
    squares = squares.sum(axis=2)
    np.testing.assert_array_equal(labels, squares.argmin(axis=1))
    np.testing.assert_array_equal(distances, squares.min(axis=1))
    assert labels.dtype == np.intp and distances.dtype == np.dtype(dtype)


@pytest.mark.kernel
def test_threads_chunks_and_read_only_arrays_change_no_word(rng):
    vectors, codebook = rng.normal(size=(5000, 40)), rng.normal(size=(300, 40))
    vectors.flags.writeable = codebook.flags.writeable = False
    one, two = (nearest_codeword(vectors, codebook, n_threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    squares = ((vectors[:200, None] - codebook) ** 2).sum(axis=2)
    np.testing.assert_array_equal(one[0][:200], squares.argmin(axis=1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0]], np.empty((0, 1))), "0 sample"),
        (([[1.0]], [[1.0, 2.0]]), "words of 2 numbers, but vectors have 1"),
        (([[1.0]], [[np.nan]]), "codebook contains NaN"),
        (([[np.inf]], [[1.0]]), "vectors contains infinity"),
        (([[1.0]], [[1.0]], [-1.0]), "weights must be at least 0, got -1"),
        (([[1.0]], [[1.0]], [1.0, 2.0]), r"weights must have shape \(1,\) or \(1, 1\)"),
    ],
)
def test_words_and_vectors_that_do_not_go_together_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        nearest_codeword(*arguments)
