"""The transform and the random maps beside the matrices that they never form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard
from scipy.sparse.linalg import lsqr

from minimalml.training_dynamics import FastfoodProjection, fast_walsh_hadamard
from minimalml.training_dynamics._intrinsic_dimension import _walsh_hadamard_kernel

seeds = st.integers(0, 10**6)


@given(seed=seeds, level=st.integers(0, 10))
def test_transform_is_the_product_with_hadamards_matrix(seed, level):
    rng = np.random.default_rng(seed)
    length = 2**level
    x, z = rng.normal(size=(2, 3, length))
    y = fast_walsh_hadamard(x)
    np.testing.assert_allclose(y, x @ hadamard(length), rtol=0, atol=1e-12 * length)
    np.testing.assert_allclose(fast_walsh_hadamard(y), length * x, atol=1e-10 * length)
    np.testing.assert_allclose(
        fast_walsh_hadamard(2 * x - z), 2 * y - fast_walsh_hadamard(z), atol=1e-10
    )
    unit = fast_walsh_hadamard(x.T, axis=0, normalize=True)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=0), np.linalg.norm(x, axis=1))


@pytest.mark.kernel
@pytest.mark.parametrize("level", [12, 13, 14, 15])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_long_rows_are_cut_and_rejoined(rng, level, dtype):
    # integers whose sums are exact in single precision
    x = np.rint(100 * rng.normal(size=2**level)).astype(dtype)
    half = fast_walsh_hadamard(x.reshape(2, -1))
    whole = np.r_[half[0] + half[1], half[0] - half[1]]
    np.testing.assert_array_equal(fast_walsh_hadamard(x), whole)


@pytest.mark.kernel
def test_both_halves_agree(rng, torch):
    for dtype, tolerance in ((np.float32, 1e-3), (np.float64, 1e-11), (np.int64, 0)):
        for length in (1, 2, 32, 256, 2048):
            x = (10 * rng.normal(size=(2, length, 3))).astype(dtype)
            ours = fast_walsh_hadamard(x, axis=1)
            tensor = fast_walsh_hadamard(torch.from_numpy(x), axis=1)
            assert tensor.numpy().dtype == ours.dtype == dtype
            np.testing.assert_allclose(tensor, ours, rtol=0, atol=tolerance)
    x = torch.from_numpy(rng.normal(size=(2, 32))).requires_grad_()
    assert torch.autograd.gradcheck(fast_walsh_hadamard, x)
    half = fast_walsh_hadamard(x.detach().half())
    assert half.dtype == torch.float16
    unit = fast_walsh_hadamard(torch.ones(4, dtype=torch.int32), normalize=True)
    assert unit.dtype == torch.float64 and unit.tolist() == [2, 0, 0, 0]


def test_types_are_kept_and_integers_exact():
    big = np.array([2**52 + 1, 2**52], dtype=np.int64)
    assert fast_walsh_hadamard(big).tolist() == [2**53 + 1, 1]
    assert fast_walsh_hadamard([True, True]).dtype == np.int64
    for dtype in (np.float16, np.float32, np.float64):
        assert fast_walsh_hadamard(np.ones(4, dtype)).dtype == dtype
    assert fast_walsh_hadamard([1, 1], normalize=True).dtype == np.float64


@pytest.mark.kernel
def test_threads_change_no_bit(rng, monkeypatch):
    from minimalml.training_dynamics._intrinsic_dimension import _walsh_hadamard

    x = rng.normal(size=(64, 1 << 14))
    alone = x.copy()
    _walsh_hadamard_kernel.transform_rows(alone, 0, len(x))
    monkeypatch.setattr(_walsh_hadamard, "effective_n_threads", lambda *_: 3)
    np.testing.assert_array_equal(fast_walsh_hadamard(x), alone)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones(6), "power of two along axis, got 6: pad it with zeros to 8"),
        ([np.nan, 1.0], "x contains NaN"),
        ([1j, 1.0], "Complex data"),
        (np.array([2**62, 1]), "may leave int64"),
    ],
)
def test_what_has_no_transform_is_refused(x, message):
    with pytest.raises(ValueError, match=message):
        fast_walsh_hadamard(x)


@given(seed=seeds, d=st.integers(1, 40), D=st.integers(1, 200))
def test_fastfood_is_its_formula(seed, d, D):
    P = FastfoodProjection(d, D, seed)
    length = 1 << (max(d, D) - 1).bit_length()
    rng = np.random.default_rng(seed)
    B = rng.integers(0, 2, length) * 2 - 1
    Pi = rng.permutation(length)
    G = rng.standard_normal(length)
    H = hadamard(length).astype(float)
    dense = (H @ (G[:, None] * (H @ np.diag(B))[Pi]))[:D, :d]
    dense /= np.sqrt(length * np.sum(G**2)) * np.sqrt(D / length)
    np.testing.assert_allclose(P.to_dense(), dense, atol=1e-10)
    v, u = rng.normal(size=d), rng.normal(size=D)
    assert u @ (P @ v) == pytest.approx((P.T @ u) @ v, abs=1e-10)
    np.testing.assert_allclose(P.T @ u, dense.T @ u, atol=1e-10)


def test_columns_have_unit_length_and_hardly_overlap():
    norms = np.linalg.norm(FastfoodProjection(50, 1024, 0).to_dense(), axis=0)
    np.testing.assert_allclose(norms, 1, atol=1e-12)
    dense = FastfoodProjection(50, 1000, 0).to_dense()
    gram = dense.T @ dense
    assert np.diag(gram).mean() == pytest.approx(1, abs=0.05)
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 0.2


def test_projection_is_an_operator_of_scipy(rng):
    P = FastfoodProjection(5, 100, 3)
    v = rng.normal(size=5)
    np.testing.assert_allclose(lsqr(P, P @ v)[0], v, atol=1e-5)
    assert P.matvec(v.astype(np.float32)).dtype == np.float32
    assert P.rmatvec(np.ones(100, np.float32)).dtype == np.float32
    drawn = FastfoodProjection(5, 100, np.random.RandomState(3))
    assert not np.array_equal(drawn.to_dense(), P.to_dense())
    with pytest.raises(ValueError, match=r"n_components must be an integer.* got 0"):
        FastfoodProjection(0, 100)
    with pytest.raises(ValueError, match=r"n_features must be an integer.* got True"):
        FastfoodProjection(3, True)
