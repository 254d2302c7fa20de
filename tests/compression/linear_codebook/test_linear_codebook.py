"""The codebook as a layer: its formulas in NumPy, and what a step moves."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn.functional import mse_loss

from minimalml.compression import LinearCodebook
from minimalml.compression._linear_codebook import _linear_codebook_torch

ROUNDING = 1e-12  # of float64 sums of a few numbers about 1
KINDS = {
    "linear": {},
    "no bias": {"bias": False},
    "short basis": {"n_basis": 2},
    "trained basis": {"train_basis": True},
    "free": {"free": True},
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def a_codebook(kind="linear", n_codes=20, seed=0, dtype=torch.float64, **options):
    torch.manual_seed(seed)
    return LinearCodebook(n_codes, 5, **KINDS[kind], **options).to(dtype)


def vectors(n=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 5, generator=generator, dtype=torch.float64)


def words_by_hand(book):
    weights = {name: value.numpy() for name, value in book.state_dict().items()}
    if "linear.weight" not in weights:
        return weights["basis"]
    words = weights["basis"] @ weights["linear.weight"].T
    return words + weights.get("linear.bias", 0)


def loss_by_hand(z, words, commitment_weight=0.25):
    """Return the loss as a sum of its two terms, on a graph of all words."""
    codes = torch.cdist(z, words).argmin(1)
    taken = words[codes]
    first = mse_loss(taken, z.detach())
    return first + commitment_weight * mse_loss(z, taken.detach())


# --- formulas ---


@pytest.mark.kernel
@each_kind
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)]
)
def test_output_codes_and_loss_are_the_formulas(kind, dtype, tolerance):
    book, z = a_codebook(kind, dtype=dtype), vectors().to(dtype)
    found, words, rows = book(z), words_by_hand(book), z.numpy()
    codes = ((rows[:, None] - words) ** 2).sum(2).argmin(1)
    assert (found.codes.numpy() == codes).all()
    loss = 1.25 * np.mean((words[codes] - rows) ** 2)
    np.testing.assert_allclose(found.loss.item(), loss, rtol=tolerance)
    np.testing.assert_allclose(
        found.quantized.detach(), words[codes], atol=2 * tolerance
    )
    np.testing.assert_allclose(book.codebook().detach(), words, atol=tolerance)


@pytest.mark.kernel
def test_chunks_of_rows_change_nothing(monkeypatch):
    book, z = a_codebook(), vectors()
    whole = book(z)
    monkeypatch.setattr(_linear_codebook_torch, "MAX_DISTANCES", 3 * book.n_codes)
    assert (book(z).codes == whole.codes).all()


@pytest.mark.kernel
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(0, 4), st.integers(1, 70)),
        elements=st.integers(-2, 2),
    )
)
def test_blocks_find_the_first_minimum(values):
    found = _linear_codebook_torch.lowest_argmin(torch.as_tensor(values))
    assert found.tolist() == values.argmin(axis=1).tolist()


def test_equal_words_give_the_lowest_code():
    book = a_codebook("free")
    with torch.no_grad():
        book.basis[11] = book.basis[4]
    assert book(book.basis[[11, 4]].detach()).codes.tolist() == [4, 4]


@given(st.integers(0, 50), st.floats(0, 3))
def test_the_gradient_by_vectors_is_straight_through_and_commitment(seed, weight):
    book = a_codebook(seed=seed, commitment_weight=weight)
    z = vectors(seed=seed).requires_grad_()
    downstream = vectors(seed=seed + 1)
    quantized, codes, loss = book(z)
    ((quantized * downstream).sum() + loss).backward()
    pull = 2 * weight * (z - book.decode(codes)) / z.numel()
    np.testing.assert_allclose(z.grad, (downstream + pull).detach(), atol=ROUNDING)


@each_kind
def test_gradients_are_those_of_the_graph_of_all_words(kind):
    book, z = a_codebook(kind), vectors()
    book(z).loss.backward()
    full = copy.deepcopy(book)
    full.zero_grad()
    loss_by_hand(z, full.codebook()).backward()
    for mine, other in zip(book.parameters(), full.parameters(), strict=True):
        np.testing.assert_allclose(mine.grad, other.grad, atol=ROUNDING)


@pytest.mark.parametrize("kind", ["linear", "no bias", "short basis"])
def test_a_step_moves_all_words_by_the_formula(kind):
    book, z, rate = a_codebook(kind), vectors(), 0.3
    before = book.codebook().detach().requires_grad_()
    loss_by_hand(z, before).backward()
    sgd = torch.optim.SGD(book.parameters(), rate)
    book(z).loss.backward()
    sgd.step()
    similarity = book.basis @ book.basis.T + (book.linear.bias is not None)
    moved = (book.codebook() - before).detach()
    np.testing.assert_allclose(moved, -rate * similarity @ before.grad, atol=ROUNDING)
    assert (moved.abs().sum(1) > 0).all()
    assert (before.grad.abs().sum(1) == 0).any()


def test_a_step_of_a_free_codebook_moves_the_taken_words_alone():
    book, z = a_codebook("free"), vectors(6)
    before = book.codebook().detach().clone()
    sgd = torch.optim.SGD(book.parameters(), 0.3)
    found = book(z)
    found.loss.backward()
    sgd.step()
    moved = (book.basis != before).any(1).nonzero().flatten()
    assert moved.tolist() == found.codes.unique().tolist()


def test_the_basis_changes_where_it_is_trained_only():
    for kind, changes in (("linear", False), ("trained basis", True)):
        book, z = a_codebook(kind), vectors()
        before, adam = book.basis.detach().clone(), torch.optim.Adam(book.parameters())
        for _ in range(3):
            adam.zero_grad()
            book(z).loss.backward()
            adam.step()
        assert torch.equal(book.basis, before) != changes
        assert "basis" in book.state_dict()


# --- codes and words ---


@each_kind
def test_decoded_codes_are_the_words_that_training_saw(kind):
    book, z = a_codebook(kind), vectors()
    quantized, codes, _ = book(z)
    decoded = book.decode(codes)
    np.testing.assert_allclose(*(t.detach() for t in (decoded, quantized)), atol=1e-12)
    assert torch.allclose(decoded, book.codebook()[codes], atol=1e-12, rtol=0)


@given(st.integers(-4, 3))
def test_the_channel_axis_may_stand_anywhere(axis):
    z = vectors(24).reshape(2, 3, 4, 5).movedim(-1, axis)
    book = a_codebook(channel_axis=axis)
    found, flat = book(z), a_codebook()(z.movedim(axis, -1).reshape(-1, 5))
    assert found.quantized.shape == z.shape
    assert found.codes.shape == (2, 3, 4) and found.codes.dtype == torch.int64
    assert (found.codes.flatten() == flat.codes).all()
    assert found.loss == flat.loss
    assert torch.equal(found.quantized.movedim(axis, -1).reshape(-1, 5), flat.quantized)
    assert torch.allclose(book.decode(found.codes), found.quantized, atol=ROUNDING)


def test_one_word_takes_every_vector():
    book = a_codebook(n_codes=1)
    assert book(vectors()).codes.eq(0).all()


def test_codes_of_any_integer_dtype_decode():
    book = a_codebook()
    for dtype in (torch.uint8, torch.int16, torch.int32, torch.int64):
        codes = torch.tensor([3, 19], dtype=dtype)
        assert torch.equal(book.decode(codes), book.decode(codes.long()))


def test_evaluation_gives_the_same_as_training():
    book, z = a_codebook(), vectors()
    for mine, other in zip(book.train()(z), book.eval()(z), strict=True):
        assert torch.equal(mine, other)


# --- within torch ---


def test_autocast_leaves_the_codes_alone():
    book, z = a_codebook(n_codes=300, dtype=torch.float32), vectors().float()
    exact = book(z)
    with torch.autocast("cpu", torch.bfloat16):
        found, decoded = book(z), book.decode(exact.codes)
    assert torch.equal(found.codes, exact.codes) and torch.equal(found.loss, exact.loss)
    assert torch.equal(decoded, book.decode(exact.codes))


def test_half_precision_goes_in_and_out():
    book, z = a_codebook(dtype=torch.float32), vectors().bfloat16()
    found = book(z)
    assert found.quantized.dtype == torch.bfloat16
    assert found.loss.dtype == torch.float32
    assert torch.equal(found.codes, book(z.float()).codes)
    assert torch.isfinite(book.bfloat16()(z).loss)


def test_it_compiles_as_one_graph():
    book, z = a_codebook(), vectors()
    compiled = torch.compile(book, backend="aot_eager", fullgraph=True)
    found, expected = compiled(z), book(z)
    assert torch.equal(found.codes, expected.codes)
    found.loss.backward()
    np.testing.assert_allclose(found.loss.item(), expected.loss.item(), rtol=ROUNDING)


def test_it_pickles_and_keeps_its_state():
    book, z = a_codebook(), vectors()
    other = a_codebook(seed=1)
    other.load_state_dict(book.state_dict())
    for same in (pickle.loads(pickle.dumps(book)), other):
        assert torch.equal(same(z).codes, book(z).codes)


# --- bad input ---


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_codes": 0}, "'n_codes' .* Got 0"),
        ({"n_features": 0}, "'n_features' .* Got 0"),
        ({"n_codes": 2.5}, "'n_codes' .* Got 2.5"),
        ({"commitment_weight": np.nan}, "'commitment_weight' .* Got nan"),
        ({"n_basis": -1}, "'n_basis' .* Got -1"),
        ({"commitment_weight": -0.5}, "'commitment_weight' .* Got -0.5"),
        ({"free": True, "train_basis": True}, "no basis .* train_basis=True"),
        ({"free": True, "n_basis": 3}, "no basis .* n_basis=3"),
    ],
)
def test_impossible_codebooks_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        LinearCodebook(**{"n_codes": 4, "n_features": 3, **options})


@pytest.mark.parametrize(
    ("axis", "z", "words"),
    [
        (-1, torch.zeros(4, 6), r"n_features=5 .* channel_axis=-1, got shape \(4, 6\)"),
        (1, torch.zeros(2, 4, 5), "channel_axis=1, got shape"),
        (2, torch.zeros(4, 5), "channel_axis=2, got shape"),
        (-1, torch.zeros(4, 5, dtype=torch.int64), "floats, got torch.int64"),
    ],
)
def test_vectors_of_another_form_are_refused(axis, z, words):
    with pytest.raises(ValueError, match=words):
        a_codebook(channel_axis=axis)(z)


def test_codes_that_are_no_integers_are_refused():
    for codes in (torch.tensor([1.0]), torch.tensor([True])):
        with pytest.raises(ValueError, match="codes must be integers"):
            a_codebook().decode(codes)
