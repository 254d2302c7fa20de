import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import UndefinedMetricWarning

from minimalml.multioutput import (
    CZSLCurveDisplay,
    curve_from_gaps,
    czsl_auc_score,
    czsl_curve,
    czsl_gaps,
)
from minimalml.multioutput._compositional_zero_shot import (
    _czsl_kernel_torch as torch_kernel,
)
from minimalml.multioutput._compositional_zero_shot._czsl_gaps import TopPairs
from tests.multioutput.compositional_zero_shot.test_czsl_curve import (
    accuracies_at,
    random_problem,
)

pytestmark = pytest.mark.kernel

FLOAT_TYPES = [np.float32, np.float64]


def as_tensors(problem, device="cpu"):
    return [torch.as_tensor(array, device=device) for array in problem]


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
@pytest.mark.parametrize("top_k", [1, 3, 5])
@given(seed=st.integers(0, 10**6))
def test_both_kernels_find_what_sorting_each_row_finds(top_k, dtype, seed):
    scores, _, seen_mask = random_problem(seed, dtype=dtype)
    group = np.where(np.arange(9) == seed % 9, 2, seen_mask).astype(np.uint8)
    compiled = TopPairs(30, top_k).update(scores, group)
    on_device = TopPairs(30, top_k, "cpu").update(*as_tensors((scores, group)))
    for kind in (0, 1):
        candidates = np.where(group == kind, scores, -np.inf)
        order = np.argsort(-candidates, axis=1, kind="stable")[:, :top_k]
        values = np.take_along_axis(candidates, order, axis=1)
        for found in (compiled, on_device):
            assert_array_equal(found.values[kind], values)
            columns = np.where(values > -np.inf, order, -1)
            assert_array_equal(found.indices[kind], columns)


@pytest.mark.parametrize("n_biases", [None, 20])
@pytest.mark.parametrize("top_k", [1, 2])
@given(seed=st.integers(0, 10**6))
def test_tensors_give_the_curve_of_arrays(top_k, n_biases, seed):
    problem = random_problem(seed)
    options = {"top_k": top_k, "n_biases": n_biases}
    expected = czsl_curve(*problem, **options)
    found = czsl_curve(*as_tensors(problem), **options)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert isinstance(value, torch.Tensor), name
        assert_allclose(value, expected[name], rtol=1e-15, err_msg=name)
    auc = czsl_auc_score(*as_tensors(problem), **options)
    assert auc == found.auc


@given(seed=st.integers(0, 10**6))
def test_tensors_give_the_accuracies_of_brute_force(seed):
    problem = random_problem(seed)
    curve = czsl_curve(*as_tensors(problem))
    for seen, unseen, bias in zip(
        curve.seen_accuracy, curve.unseen_accuracy, curve.biases, strict=True
    ):
        assert_allclose((seen, unseen), accuracies_at(float(bias), *problem))


def test_blocks_and_chunks_give_the_same(monkeypatch):
    scores, pair_index, seen_mask = as_tensors(random_problem(3, n=40))
    expected = czsl_gaps(scores, pair_index, seen_mask, top_k=2)
    monkeypatch.setattr(torch_kernel, "CHUNK", 30)
    parts = []
    for rows in (slice(0, 13), slice(13, 40)):
        tops = TopPairs(len(scores[rows]), 2, scores.device)
        for block in (slice(0, 4), slice(4, 5), slice(5, 9)):
            tops.update(scores[rows, block], seen_mask[block].to(torch.uint8))
        parts.append(tops.gaps(pair_index[rows], seen_mask))
    for found, part in zip(zip(*parts, strict=True), expected, strict=True):
        assert_array_equal(torch.concatenate(found), part)
    assert curve_from_gaps(parts).auc == curve_from_gaps([expected]).auc


def test_gaps_never_wait_for_the_device():
    """Meta tensors hold no values, so that looking at one raises."""
    scores, pair_index, seen_mask = as_tensors(random_problem(0), device="meta")
    tops = TopPairs(len(scores), 3, scores.device)
    tops.update(scores, seen_mask.to(torch.uint8))
    gaps = tops.gaps(pair_index, seen_mask)
    assert gaps.gap.device.type == "meta"
    assert tops.best(0.5).shape == (len(scores),)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_scores_keep_their_order(dtype):
    scores, pair_index, seen_mask = as_tensors(random_problem(7))
    scores = scores.to(dtype).requires_grad_()
    wide = scores.detach().to(torch.float64)
    found = czsl_gaps(scores, pair_index.int(), seen_mask)
    assert not found.gap.requires_grad
    assert_array_equal(found.gap, czsl_gaps(wide, pair_index, seen_mask).gap)


def test_arrays_beside_tensors_may_be_views():
    scores, pair_index, seen_mask = random_problem(4)
    expected = czsl_curve(scores, pair_index, seen_mask)
    views = pair_index[::-1].copy()[::-1], seen_mask[::-1].copy()[::-1]
    assert_allclose(czsl_curve(torch.as_tensor(scores), *views).auc, expected.auc)


def test_a_masked_pair_is_no_candidate():
    problem = random_problem(5)
    mask = np.arange(9) != np.flatnonzero(problem[2])[-1]
    found = czsl_auc_score(*as_tensors(problem), pair_mask=torch.as_tensor(mask))
    assert_allclose(found, czsl_auc_score(*problem, pair_mask=mask))


def test_only_one_kind_of_rows_is_warned_of():
    scores = torch.tensor([[3.0, 1.0, 5.0]] * 2)
    with pytest.warns(UndefinedMetricWarning, match="no row has an unseen pair"):
        curve = czsl_curve(scores, [0, 0], [True, True, False])
    assert torch.isnan(curve.auc)
    assert curve.best_seen == 1


def test_a_curve_of_tensors_is_drawn():
    curve = czsl_curve(*as_tensors(random_problem(1)))
    display = CZSLCurveDisplay(curve).plot()
    assert_array_equal(display.line_.get_xdata(), curve.unseen_accuracy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": torch.tensor([[torch.nan, 0, 1]])}, "scores contains NaN"),
        ({"scores": torch.tensor([[torch.inf, 0, 1]])}, "NaN or infinity"),
        (
            {"scores": torch.tensor([[1, 2, 3]])},
            "scores must be a floating-point tensor",
        ),
        ({"scores": torch.ones(3)}, r"got torch.float32 of shape \(3,\)"),
        ({"scores": torch.ones(0, 3)}, "at least one row"),
        ({"pair_index": [3]}, r"pair_index must be in -1..2, .* got 3..3"),
        ({"pair_index": [0, 1]}, "inconsistent numbers of samples"),
        ({"seen_mask": [True, False]}, "seen_mask must be a boolean array of length 3"),
        ({"seen_mask": [1, 0, 1]}, "seen_mask must be a boolean array"),
        ({"pair_mask": [True]}, "pair_mask must be a boolean array of length 3"),
        ({"top_k": 4}, "top_k must be in 1..3, got 4"),
        ({"n_biases": 0}, "n_biases must be None or at least 1, got 0"),
    ],
)
def test_bad_tensors_are_named(change, message):
    good = {
        "scores": torch.tensor([[1.0, 0, 2]]),
        "pair_index": [0],
        "seen_mask": [True, True, False],
    }
    with pytest.raises(ValueError, match=message):
        czsl_curve(**(good | change))


@pytest.mark.gpu
def test_an_accelerator_gives_the_same_curve():
    device = "cuda" if torch.cuda.is_available() else "mps"
    problem = random_problem(2, dtype=np.float32)
    expected = czsl_curve(*problem)
    found = czsl_curve(*as_tensors(problem, device))
    assert found.auc.device.type == device
    assert_allclose(found.seen_accuracy.cpu(), expected.seen_accuracy, rtol=1e-6)
