"""Other ways to fewer experts, on the library's mixture: for claims and comparisons."""

import copy

import numpy as np
import torch

from minimalml.compression import (
    ExpertWeights,
    MixtureOfExpertsClassifier,
    align_experts,
    expert_similarity,
    expert_weights,
    group_experts,
    merge_experts,
    routing_statistics,
)
from minimalml.compression._expert_merging._distillation_torch import (
    distil,
    replace_experts,
)
from minimalml.compression._expert_merging._mixture_torch import linear_of
from minimalml.datasets import make_expert_families

BATCH, N_ROWS = 64, 3000


def families(seed):
    """Return training and test rows: two halves of one draw."""
    X, y = make_expert_families(2 * N_ROWS, random_state=seed)
    X = X.astype(np.float32)
    return X[:N_ROWS], y[:N_ROWS], X[N_ROWS:], y[N_ROWS:]


def mixture(seed, n_experts=12, **options):
    """Return the mixture of all claims, to be fitted."""
    shared = {"balance_weight": 0.001, "max_epochs": 20, "batch_size": BATCH}
    return MixtureOfExpertsClassifier(
        n_experts, device="cpu", random_state=seed, **(shared | options)
    )


def fine_tuned(model, teacher, X, y, seed, max_epochs=3):
    """Return a copy that was distilled as `ExpertMerger` does it."""
    model = copy.deepcopy(model)
    columns = {"X": X, "y": np.searchsorted(model.classes_, y), "weight": None}
    distil(
        model.module_, teacher.module_, columns, max_epochs=max_epochs,
        distillation_weight=0.2, temperature=2.0, learning_rate=1e-3, batch_size=BATCH,
        order_seed=seed,
    )  # fmt: skip
    return model


# --- what becomes of the experts of a layer: the functions of a group ---


def merge(experts, labels, dominant, frequency):
    return merge_experts(experts, labels, frequency=frequency, dominant=dominant)


def without_alignment(experts, labels, dominant, frequency):
    return merge_experts(experts, labels, frequency=frequency, align=False)


def uniform(experts, labels, dominant, frequency):
    return merge_experts(experts, labels, dominant=dominant)


def plain_average(experts, labels, dominant, frequency):
    return merge_experts(experts, labels, align=False)


def aligned_to_first(experts, labels, dominant, frequency):
    aligned = align_experts(experts, reference=0)[0]
    return merge_experts(aligned, labels, frequency=frequency, align=False)


def replaced(experts, labels, dominant, frequency):
    return experts._map(lambda stack, axis: stack[dominant])


def zipped(experts, labels, dominant, frequency):
    """Join the two most alike units of a group until as many are left as one has."""
    (w_in, b_in), (w_out,), (b_out,) = (
        experts.hidden_in, experts.hidden_out, experts.shared,
    )  # fmt: skip
    width, n_hidden = w_in.shape[2], experts.n_hidden
    found = []
    for group in range(len(dominant)):
        members = np.flatnonzero(labels == group)
        units = [
            np.hstack([w_in[e], b_in[e][:, None], w_out[e].T]).astype(float)
            for e in members
        ]
        weights = np.repeat(frequency[members] + 1e-12, n_hidden)
        units = _zip_units(np.vstack(units), weights, n_hidden)
        bias = np.average(b_out[members], axis=0, weights=frequency[members] + 1e-12)
        found.append((units[:, :width], units[:, width], units[:, width + 1 :].T, bias))
    w_in, b_in, w_out, b_out = (
        np.stack(stack).astype(w_in.dtype) for stack in zip(*found, strict=True)
    )
    return ExpertWeights((w_in, b_in), (w_out,), (b_out,))


def _zip_units(units, weights, n_left):
    scores = units @ units.T
    np.fill_diagonal(scores, -np.inf)
    for _ in range(len(units) - n_left):
        i, j = sorted(np.unravel_index(scores.argmax(), scores.shape))
        units[i] = np.average(units[[i, j]], axis=0, weights=weights[[i, j]])
        weights[i] += weights[j]
        weights[j] = 0
        scores[i] = scores[:, i] = units @ units[i]
        scores[i, i] = -np.inf
        scores[weights == 0] = scores[:, weights == 0] = -np.inf
    return units[weights > 0]


def with_fewer(model, X, n_experts, change, similarity=expert_similarity):
    """Return a copy whose layers keep ``n_experts``, made by one of the above."""
    statistics = routing_statistics(model, X)
    changed = copy.deepcopy(model)
    for layer, experts, (frequency, logits) in zip(
        changed.module_.layers, expert_weights(model), statistics, strict=True
    ):
        labels, dominant = group_experts(frequency, similarity(logits), n_experts)
        replace_experts(layer, change(experts, labels, dominant, frequency), labels)
    return changed


def random_similarity(seed):
    """Return a function that compares experts by chance."""

    def similarity(logits):
        n_experts = logits.shape[1]
        values = np.random.default_rng(seed).random((n_experts, n_experts))
        return (values + values.T) / 2

    return similarity


def dropped(model, X, n_experts):
    """Return a copy in which rows are routed among the dominant experts alone."""
    changed = with_fewer(model, X, n_experts, replaced)
    for layer, (frequency, _) in zip(
        changed.module_.layers, routing_statistics(model, X), strict=True
    ):
        dominant = np.argsort(-frequency, kind="stable")[:n_experts]
        layer.router = linear_of(layer.router.weight[torch.as_tensor(dominant.copy())])
        layer.expert_of = torch.arange(n_experts)
    return changed
