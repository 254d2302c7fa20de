"""Routing: Adam by hand, loads, gradients, dtypes, bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from minimalml.transport import (
    project_sparse_simplex,
    semi_dual_objective,
    sparse_transport_routing,
)


def routed_by_hand(logits, choice, k, reg, n_steps=20, learning_rate=1e-2):
    """Take Adam's steps on the public dual, one group at a time."""
    gates = softmax(logits, axis=-1)
    n_tokens, n_experts = gates.shape
    score = gates if choice == "expert" else gates.T  # rows of the plan first
    a = np.ones(n_tokens) if choice == "expert" else np.full(n_experts, n_tokens / n_experts)  # fmt: skip
    b = np.full(score.shape[1], a.sum() / score.shape[1])
    alpha = mean = square = np.zeros(len(a))
    for step in range(1, n_steps + 1):
        # costs may be shifted by a constant: they have to be positive there
        _, gradient = semi_dual_objective(
            alpha + 1, a, b, 1 - score, max_nonzeros=k, reg=reg
        )
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        rate = learning_rate / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        alpha = alpha + rate * mean / (1 - 0.9**step)
    scores = (alpha[:, None] + score) / reg
    plan = project_sparse_simplex(scores, k, total=b[0], axis=0)
    return plan if choice == "expert" else plan.T


@pytest.mark.parametrize(
    ("choice", "options", "k"),
    [
        ("expert", {}, 4),
        ("expert", {"capacity_factor": 1.3}, 6),
        ("token", {"n_selected": 2}, 2),
    ],
)
def test_plan_is_that_of_adams_steps_by_hand(rng, choice, options, k):
    logits = rng.normal(size=(3, 20, 5))
    found = sparse_transport_routing(logits, choice=choice, reg=0.5, **options)
    for group, plan in zip(logits, found.plan, strict=True):
        by_hand = routed_by_hand(group, choice, k, 0.5)
        np.testing.assert_allclose(plan, by_hand, atol=1e-8)
    np.testing.assert_array_equal(found.dispatch, found.plan > 0)
    gates = softmax(logits, axis=-1)
    np.testing.assert_array_equal(found.combine, np.where(found.dispatch, gates, 0))


@given(
    st.integers(0, 10_000),
    st.integers(1, 40),
    st.integers(1, 8),
    st.sampled_from([0.01, 0.5, 1.0, 1.25, 100.0]),
)
def test_no_expert_is_above_its_capacity(seed, n_tokens, n_experts, factor):
    rng = np.random.default_rng(seed)
    logits = (
        rng.integers(-2, 3, size=(2, n_tokens, n_experts)) * 3.0
    )  # ties, favourites
    dispatch = sparse_transport_routing(logits, capacity_factor=factor).dispatch
    capacity = min(n_tokens, max(1, np.ceil(factor * n_tokens / n_experts - 1e-9)))
    assert dispatch.sum(axis=-2).max() <= capacity
    by_token = sparse_transport_routing(logits, choice="token").dispatch
    assert (by_token.sum(axis=-1) == 1).all()


def test_capacity_is_not_rounded_up_by_rounding(rng):
    logits = rng.normal(size=(50, 5))
    found = sparse_transport_routing(logits, capacity_factor=1.1, reg=100.0)
    assert found.dispatch.sum(axis=0).tolist() == [11] * 5


@pytest.mark.parametrize("choice", ["expert", "token"])
def test_tensors_get_what_arrays_get(rng, torch, choice):
    logits = np.round(rng.normal(size=(2, 3, 24, 4)), 1)
    options = {"choice": choice, "n_selected": 2, "capacity_factor": 1.5}
    ours = sparse_transport_routing(logits, **options)
    theirs = sparse_transport_routing(torch.from_numpy(logits), **options)
    assert theirs.dispatch.dtype == torch.bool
    for array, tensor in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(tensor, array, atol=1e-12)


def test_gradients_are_those_of_the_masked_softmax(torch):
    logits = torch.randn(2, 16, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 16, 4, dtype=torch.float64)
    found = sparse_transport_routing(logits)
    (found.combine * weights).sum().backward()
    ours, logits.grad = logits.grad, None
    (logits.softmax(-1) * found.dispatch * weights).sum().backward()
    torch.testing.assert_close(ours, logits.grad)
    assert not found.plan.requires_grad


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_answers_have_the_type_of_the_logits(torch, dtype):
    exact = torch.randn(2, 16, 4).mul(8).round().div(8)
    logits = exact.to(getattr(torch, dtype))
    found = sparse_transport_routing(logits)
    assert found.plan.dtype == found.combine.dtype == logits.dtype
    assert torch.equal(found.dispatch, sparse_transport_routing(exact).dispatch)
    if dtype != "bfloat16":
        assert sparse_transport_routing(logits.numpy()).plan.dtype == dtype
    integers = sparse_transport_routing(exact.long())
    assert integers.plan.dtype == torch.float64


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((4,), {}, r"n_tokens, n_experts\).*got \(4,\)"),
        ((4, 0), {}, r"\(4, 0\)"),
        ((4, 2), {"choice": "token", "n_selected": 3}, "n_selected=3.*2 experts"),
        ((4, 2), {"choice": "both"}, "'choice'.*Got 'both'"),
        ((4, 2), {"n_steps": -1}, "'n_steps'"),
        ((4, 2), {"capacity_factor": 0}, "'capacity_factor'"),
        ((4, 2), {"learning_rate": 0.0}, "'learning_rate'"),
        ((4, 2), {"reg": 0.0}, "'reg'"),
    ],
)
def test_bad_input_is_refused(torch, shape, options, message):
    for logits in (np.zeros(shape), torch.zeros(shape)):
        with pytest.raises(ValueError, match=message):
            sparse_transport_routing(logits, **options)
    with pytest.raises(ValueError, match="Input logits contains NaN"):
        sparse_transport_routing([[np.nan, 1.0]])
