"""The three losses: definitions, gradients, teachers that keep the order."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minimalml.inspection import (
    adversarial_distillation_loss,
    cw_top_k_loss,
    ordered_top_k_loss,
    project_features,
    sample_ordered_targets,
    solve_ordered_top_k,
)


@st.composite
def problems(draw):
    n_classes = draw(st.integers(2, 7))
    k = draw(st.integers(1, n_classes - 1))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    weight = rng.standard_normal((n_classes, n_classes + 2))
    logits = 3.0 * rng.standard_normal((3, n_classes))
    y = rng.integers(n_classes, size=3)
    return weight, logits, sample_ordered_targets(y, n_classes, k, rng.integers(1000))


def carlini_wagner(logits, targets, confidence):
    """The definition, place by place."""
    total = 0.0
    for j in range(1, len(targets) + 1):
        rivals = np.delete(logits, targets[:j])
        total += max(0.0, rivals.max() - logits[targets[:j]].min() + confidence)
    return total / len(targets)


def divergence(logits, targets, similarity, alpha, beta):
    """The definition, class by class."""
    scores = similarity[targets].mean(axis=0)
    for i, target in enumerate(targets):
        scores[target] = alpha - beta * i
    q = np.exp(scores) / np.exp(scores).sum()
    p = np.exp(logits) / np.exp(logits).sum()
    return (q * np.log(q / p)).sum()


@given(problems(), st.sampled_from([0.0, 0.2, 1.0]))
def test_cw_is_its_definition(problem, confidence):
    _, logits, targets = problem
    expected = [
        carlini_wagner(*row, confidence) for row in zip(logits, targets, strict=True)
    ]
    np.testing.assert_allclose(cw_top_k_loss(logits, targets, confidence), expected)


@given(problems())
def test_distillation_is_its_definition(problem):
    weight, logits, targets = problem
    similarity = np.corrcoef(weight)
    expected = [
        divergence(*row, similarity, 10.0, 0.3)
        for row in zip(logits, targets, strict=True)
    ]
    ours = adversarial_distillation_loss(logits, targets, similarity)
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)


@given(problems())
def test_quad_is_the_squared_distance_to_the_projected_features(problem):
    weight, logits, targets = problem
    features = np.linalg.lstsq(weight, logits.T)[0].T
    moved = project_features(features, weight, np.zeros(len(weight)), targets)
    loss = ordered_top_k_loss(features @ weight.T, targets, weight @ weight.T)
    np.testing.assert_allclose(loss, ((moved - features) ** 2).sum(axis=1), atol=1e-9)


def losses_of(weight, targets):
    similarity = torch.as_tensor(np.corrcoef(weight))
    gram = torch.as_tensor(weight @ weight.T)
    return {
        "quad": lambda logits: ordered_top_k_loss(logits, targets, gram),
        "cw": lambda logits: cw_top_k_loss(logits, targets),
        "distillation": lambda logits: adversarial_distillation_loss(
            logits, targets, similarity
        ),
    }


@pytest.mark.parametrize("name", ["quad", "cw", "distillation"])
@given(problem=problems())
def test_gradients_agree_with_finite_differences(name, problem):
    weight, values, targets = problem
    loss = losses_of(weight, targets)[name]
    logits = torch.as_tensor(values).requires_grad_(True)
    loss(logits).sum().backward()
    move = torch.as_tensor(np.random.default_rng(0).standard_normal(values.shape))
    step = 1e-6
    with torch.no_grad():
        rise = loss(logits + step * move) - loss(logits - step * move)
    slope = (logits.grad * move).sum(1)
    size = 1.0 + float(slope.abs().max())
    torch.testing.assert_close(rise / (2 * step), slope, atol=1e-4 * size, rtol=0)


@pytest.mark.kernel
@given(problems())
def test_numpy_and_torch_give_the_same_losses(problem):
    weight, logits, targets = problem
    similarity, gram = np.corrcoef(weight), weight @ weight.T
    tensors = losses_of(weight, targets)
    arrays = {
        "quad": ordered_top_k_loss(logits, targets, gram),
        "cw": cw_top_k_loss(logits, targets),
        "distillation": adversarial_distillation_loss(logits, targets, similarity),
    }
    for name, ours in arrays.items():
        theirs = tensors[name](torch.as_tensor(logits))
        np.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=1e-8)


def test_autograd_agrees_with_a_solution_that_torch_can_differentiate():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((6, 9))
    features = torch.as_tensor(rng.standard_normal((5, 9))).requires_grad_(True)
    targets = sample_ordered_targets(np.zeros(5, int), 6, 3, 0)
    head, gram = torch.as_tensor(weight), torch.as_tensor(weight @ weight.T)
    ordered_top_k_loss(features @ head.T, targets, gram).sum().backward()
    ours, features.grad = features.grad, None
    logits = features @ head.T
    solution = solve_ordered_top_k(logits.detach(), targets, gram)
    # on the active rows the distance is a projection, which torch can follow
    from minimalml.inspection import ordering_pairs

    high, low = (torch.as_tensor(x) for x in ordering_pairs(targets, 6))
    for i in range(5):
        active = solution.active_set[i]
        rows = head[high[i][active]] - head[low[i][active]]
        needed = 0.2 - rows @ features[i]
        (needed @ torch.linalg.solve(rows @ rows.T, needed)).backward(retain_graph=True)
    torch.testing.assert_close(features.grad, ours, rtol=1e-8, atol=1e-8)


def test_a_gradient_is_scaled_by_what_follows():
    logits = torch.tensor([[0.0, 1.0]], requires_grad=True)
    (3.0 * cw_top_k_loss(logits, [[0]])).sum().backward()
    assert logits.grad.tolist() == [[-3.0, 3.0]]


def test_float32_logits_give_float32_losses():
    logits = torch.eye(3, requires_grad=True)
    targets = [[1], [2], [0]]
    for loss in losses_of(np.eye(3, 4), targets).values():
        assert loss(logits).dtype == torch.float32


@pytest.mark.parametrize(
    ("alpha", "beta", "k"), [(1.0, 0.3, 1), (3.0, 1.0, 3), (10.0, 0.0, 2)]
)
def test_a_teacher_that_breaks_the_order_is_refused(alpha, beta, k):
    targets = [list(range(k))]
    with pytest.raises(ValueError, match="must exceed the largest class similarity"):
        adversarial_distillation_loss(
            np.zeros((1, 5)), targets, np.eye(5), alpha=alpha, beta=beta
        )


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
def test_losses_refuse_what_they_can_not_measure(convert):
    with pytest.raises(ValueError, match=r"\(n_samples, n_classes\), got \(3,\)"):
        cw_top_k_loss(convert(np.zeros(3)), [[0]])
    logits = convert(np.array([[0.0, np.inf, 1.0]]))
    with pytest.raises(ValueError, match="logits must be finite"):
        ordered_top_k_loss(logits, [[0]], np.eye(3))
    logits = convert(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="class_similarity must be finite"):
        adversarial_distillation_loss(logits, [[0]], np.full((3, 3), np.nan))
    with pytest.raises(ValueError, match=r"class_similarity must have shape \(3, 3\)"):
        adversarial_distillation_loss(logits, [[0]], np.eye(2))
    for confidence in (-1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="confidence must be finite and at least"):
            cw_top_k_loss(logits, [[0]], confidence)
