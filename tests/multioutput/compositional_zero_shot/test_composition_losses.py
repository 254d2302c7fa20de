"""Every loss beside a transcription of its formula in NumPy, layer by layer."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp

from minimalml.datasets import make_compositions
from minimalml.multioutput import CompositionalZeroShotClassifier
from minimalml.multioutput._compositional_zero_shot import _composition_torch
from minimalml.neural_network import Training

FLOAT64_TOLERANCE = 1e-9  # sums in another order; LayerNorm and cosines divide
EPSILON = 0.05
SCALES = {"pair_scale": 7.0, "primitive_scale": 11.0}
SMOOTHING = 0.2
DATA = make_compositions(4, 5, n_features=6, n_per_pair=4, random_state=0)


class Spy(CompositionalZeroShotClassifier):
    """Keeps what its losses were called with last."""

    def _training_loss(self, batch, state):
        self.called_ = self._losses, batch, state, state.data
        return super()._training_loss(batch, state)


@pytest.fixture(scope="module", autouse=True)
def known_steps():
    """Replace what the paper fixes by numbers that a transcription can follow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_composition_torch, "LABEL_SMOOTHING", SMOOTHING)
        patch.setattr(_composition_torch, "EPSILONS", (EPSILON,))
        patch.setattr(_composition_torch, "NOISE_SCALE", 0.0)
        yield


@pytest.fixture(scope="module")
def trained(known_steps):
    """Losses, a batch and the state of a run; dropout off, noise 0, one epsilon."""
    model = Spy(
        **SCALES,
        hidden_sizes=(9,),
        embedding_dim=7,
        adversarial_weight=0.5,
        unseen_pairs=DATA.unseen_pairs,
        max_epochs=8,
        batch_size=40,
        learning_rate=0.01,
        training=Training(dtype="float64"),
        device="cpu",
        random_state=0,
    ).fit(DATA.X_train, DATA.y_train)
    losses, batch, state, state.data = model.called_
    state.first_epoch, state.epoch = 0, 7
    return losses, batch, state


def layers_of(network):
    return {name: p.detach().numpy() for name, p in network.state_dict().items()}


def linear(x, layers, name):
    return x @ layers[f"{name}.weight"].T + layers[f"{name}.bias"]


def relu(x):
    return np.maximum(x, 0)


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def branch(x, layers, name):
    x = linear(x, layers, f"{name}.0.blocks.0.0")
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    norm = f"{name}.0.blocks.0.1"
    x = relu(x * layers[f"{norm}.weight"] + layers[f"{norm}.bias"])
    return relu(linear(x, layers, f"{name}.0.head"))


def composed(attribute, objects, layers):
    x = linear(unit(np.hstack([attribute, objects])), layers, "composer.0")
    x = (x - layers["composer.1.running_mean"]) / np.sqrt(
        layers["composer.1.running_var"] + 1e-5
    )
    x = relu(x * layers["composer.1.weight"] + layers["composer.1.bias"])
    return linear(x, layers, "composer.4")


def primitive_loss(features, kind, labels, layers):
    vectors = relu(linear(layers[f"{kind}_embeddings"], layers, f"{kind}_text.0"))
    head = relu(linear(features, layers, f"{kind}_head.0"))
    scores = SCALES["primitive_scale"] * unit(head) @ unit(vectors).T
    return np.mean(logsumexp(scores, axis=1) - scores[np.arange(len(labels)), labels])


def pair_vectors(pairs, layers):
    words = [layers["attribute_embeddings"], layers["object_embeddings"]]
    both = np.hstack([words[0][pairs[:, 0]], words[1][pairs[:, 1]]])
    return relu(linear(both, layers, "pair_text.0"))


def pair_cosines(vectors, pairs, layers):
    return unit(vectors) @ unit(pair_vectors(pairs, layers)).T


def smoothed_loss(cosines, truth, pairs):
    total, scores = 0.0, SCALES["pair_scale"] * cosines
    for row, pair in zip(scores, truth, strict=True):
        target = np.zeros(len(pairs))
        relatives = [
            q
            for q, other in enumerate(pairs)
            if q != pair and (other[0] == pairs[pair][0] or other[1] == pairs[pair][1])
        ]
        target[pair] = 1 - SMOOTHING if relatives else 1
        target[relatives] = SMOOTHING / max(len(relatives), 1)
        total -= target @ (row - logsumexp(row))
    return total / len(truth)


def attacked(features, kind, labels, layers, step=1e-6):
    """Move by the sign of the loss's gradient, found by central differences."""
    moved = features.copy()
    for place in np.ndindex(*features.shape):
        ends = []
        for shift in (step, -step):
            shifted = features.copy()
            shifted[place] += shift
            ends.append(primitive_loss(shifted, kind, labels, layers))
        moved[place] += EPSILON * np.sign(np.round((ends[0] - ends[1]) / step, 8))
    return moved


def transcribed(losses, batch, state):
    """All losses in the order and by the names of the paper's description."""
    layers, pairs = layers_of(state.module), losses.seen_pairs.numpy()
    X, codes, truth = batch.X.numpy(), batch.codes.numpy(), batch.pair.numpy()
    kinds = ("attribute", "object")
    features = [branch(X, layers, f"{kind}_encoder") for kind in kinds]
    clean = pair_cosines(composed(*features, layers), pairs, layers)
    primitive = [
        primitive_loss(f, kind, codes[:, i], layers)
        for i, (f, kind) in enumerate(zip(features, kinds, strict=True))
    ]
    moved = [
        attacked(f, kind, codes[:, i], layers)
        for i, (f, kind) in enumerate(zip(features, kinds, strict=True))
    ]
    shifted = pair_cosines(composed(*moved, layers), pairs, layers)
    log_p, log_q = (s - logsumexp(s, axis=1, keepdims=True) for s in (clean, shifted))
    divergence = np.mean(np.sum(np.exp(log_p) * (log_p - log_q), axis=1))
    adversarial = smoothed_loss(shifted, truth, pairs) + divergence
    for i, kind in enumerate(kinds):
        adversarial += primitive_loss(moved[i], kind, codes[:, i], layers)
    rows = state.data.columns["X"].numpy()
    lent = [
        branch(rows[getattr(batch, f"composed_{kind}_rows")], layers, f"{kind}_encoder")
        for kind in kinds
    ]
    recomposed = pair_cosines(composed(*lent, layers), pairs, layers)
    whole = pair_cosines(branch(X, layers, "pair_branch"), pairs, layers)
    return {
        "pair": smoothed_loss(whole, truth, pairs),
        "attribute": primitive[0],
        "object": primitive[1],
        "composed": smoothed_loss(clean, truth, pairs),
        "adversarial": 0.5 * adversarial,
        "recomposed": smoothed_loss(recomposed, batch.composed_pair.numpy(), pairs),
    }


def test_every_loss_is_its_formula(trained):
    losses, batch, state = trained
    state.module.eval()
    found = losses(batch, state)
    expected = transcribed(losses, batch, state)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert_allclose(value.item(), expected[name], FLOAT64_TOLERANCE, err_msg=name)


def test_the_attack_sees_no_dropout_and_leaves_the_mode(trained):
    losses, batch, state = trained
    network = state.module.eval()
    still = losses._moved_features(network, batch)
    network.train()
    moving = losses._moved_features(network, batch)
    assert all(layer.training for layer in network.modules())
    for a, b in zip(still, moving, strict=True):
        assert_array_equal(a, b)
        assert not a.requires_grad


def test_both_sides_of_the_consistency_carry_gradient(trained):
    """Clean scores alone must feel a pull, through the divergence only."""
    losses, batch, state = trained
    network = state.module.eval()
    pairs = network.embed_pairs(losses.seen_pairs).detach()
    clean = torch.zeros(len(batch.X), len(pairs), dtype=pairs.dtype, requires_grad=True)
    losses._adversarial_loss(network, batch, clean, pairs).backward()
    assert clean.grad.abs().max() > 0
    assert network.composer[0].weight.grad.abs().max() > 0


def test_composer_statistics_follow_every_composition(trained):
    """One batch norm sees clean, moved and re-composed rows, in this order."""
    losses, batch, state = trained
    network = state.module.train()
    before = network.composer[1].num_batches_tracked.item()
    losses(batch, state)
    assert network.composer[1].num_batches_tracked.item() == before + 3
