"""How much of a codebook is in use: counts that add up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimalml.compression import CodebookUsage, codebook_usage

N_CODES = 7
code_lists = st.lists(st.integers(0, N_CODES - 1), max_size=30)


def test_uniform_codes_have_full_utilization_and_perplexity():
    usage = codebook_usage(np.arange(3 * N_CODES) % N_CODES, N_CODES)
    assert usage.utilization == 1.0
    assert usage.perplexity == pytest.approx(N_CODES)


def test_a_single_code_has_perplexity_one():
    usage = codebook_usage(np.full(5, 2), N_CODES)
    assert (usage.utilization, usage.perplexity) == (1 / N_CODES, 1.0)


@given(code_lists, code_lists)
def test_parts_add_up_to_the_whole(first, second):
    parts = [np.array(codes, dtype=int) for codes in (first, second)]
    whole = codebook_usage(np.concatenate(parts), N_CODES)
    added = sum(codebook_usage(part, N_CODES) for part in parts)
    assert (added.counts == whole.counts).all() and added.counts.sum() == sum(
        map(len, parts)
    )
    assert added.perplexity == whole.perplexity


@given(code_lists, st.permutations(range(N_CODES)))
def test_names_of_codes_do_not_matter(codes, names):
    codes = np.array(codes, dtype=int)
    before, after = (
        codebook_usage(c, N_CODES) for c in (codes, np.array(names)[codes])
    )
    assert after.utilization == before.utilization
    assert after.perplexity == pytest.approx(before.perplexity)
    assert 1.0 <= before.perplexity <= N_CODES + 1e-9


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64])
def test_integers_of_any_kind_and_shape_count(dtype, torch):
    codes = np.array([[0, 3], [3, 6]], dtype=dtype)
    expected = [1, 0, 0, 2, 0, 0, 1]
    assert codebook_usage(codes, N_CODES).counts.tolist() == expected
    if dtype != np.uint64:
        tensor = torch.as_tensor(codes.astype(dtype))
        assert codebook_usage(tensor, N_CODES).counts.tolist() == expected


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ([0.0, 1.0], "integers, got dtype float64"),
        ([True], "integers, got dtype bool"),
        ([0, 7], "from 0 to 6, got 0 to 7"),
        ([-1, 2], "from 0 to 6, got -1 to 2"),
    ],
)
def test_what_is_no_code_is_refused(codes, words):
    with pytest.raises(ValueError, match=words):
        codebook_usage(codes, N_CODES)


def test_books_of_other_sizes_do_not_add():
    with pytest.raises(ValueError, match="of 2 and of 3 codes"):
        codebook_usage([0], 2) + codebook_usage([0], 3)
    with pytest.raises(TypeError):
        codebook_usage([0], 2) + 1
    with pytest.raises(ValueError, match="n_codes"):
        codebook_usage([0], 0)


def test_no_rows_are_no_usage():
    usage = codebook_usage(np.empty(0, dtype=int), 3)
    assert isinstance(usage, CodebookUsage)
    assert (usage.utilization, usage.perplexity) == (0.0, 1.0)
