"""The network of compositional recognition, and the losses that it is trained on.

Every branch ends in a vector that is compared by cosine with a vector made from the
label embeddings, so that any combination of known labels has a score.
"""

from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, normalize

from minimalml._core.arrays import resolve_device
from minimalml._core.training.distributed import make_strategy
from minimalml._core.training.inference import evaluation_mode
from minimalml._core.training.modules import MLP, build_module
from minimalml.multioutput._compositional_zero_shot._primitive_attack import (
    NOISE_SCALE,
    primitive_attack,
    smoothed_pair_targets,
)

# Of the paper: dropout inside the branches and inside the composer, steps of the attack
# of which one is drawn for each batch and primitive, and the share of related pairs.
BRANCH_DROPOUT, COMPOSER_DROPOUT = 0.5, 0.3
EPSILONS = (0.0, 0.005, 0.05, 0.5)
LABEL_SMOOTHING = 0.1
# Length of learned label embeddings where none are given.
LEARNED_EMBEDDING_LENGTH = 64
# What losses and scores call of a network; forward is there in any case.
NETWORK_PARTS = (
    *("encode", "attribute_encoder", "object_encoder", "compose", "attribute_head"),
    *("object_head", "embed_attributes", "embed_objects", "embed_pairs"),
)


def cosines(rows, vectors):
    """Return cosines of rows (n, e) with vectors (m, e), shape (n, m)."""
    return normalize(rows, dim=1) @ normalize(vectors, dim=1).T


class CompositionNetwork(nn.Module):
    """Embed rows as a whole, by attribute and by object, and labels beside them."""

    def __init__(
        self,
        n_features,
        attribute_embeddings,
        object_embeddings,
        hidden_sizes,
        embedding_dim,
    ):
        super().__init__()
        width = hidden_sizes[-1]
        self.pair_branch = _branch(n_features, hidden_sizes, embedding_dim)
        self.attribute_encoder = _branch(n_features, [width], n_features)
        self.object_encoder = _branch(n_features, [width], n_features)
        self.attribute_head = _linear_relu(n_features, embedding_dim)
        self.object_head = _linear_relu(n_features, embedding_dim)
        self.composer = nn.Sequential(
            nn.Linear(2 * n_features, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Dropout(COMPOSER_DROPOUT),
            nn.Linear(width, embedding_dim),
        )
        self.attribute_embeddings = nn.Parameter(attribute_embeddings.clone())
        self.object_embeddings = nn.Parameter(object_embeddings.clone())
        n_attribute, n_object = (
            attribute_embeddings.shape[1],
            object_embeddings.shape[1],
        )
        self.attribute_text = _linear_relu(n_attribute, embedding_dim)
        self.object_text = _linear_relu(n_object, embedding_dim)
        self.pair_text = _linear_relu(n_attribute + n_object, embedding_dim)

    def forward(self, X):
        """Return the row's own vector, its attribute features and object features."""
        return self.pair_branch(X), *self.encode(X)

    def encode(self, X):
        """Return attribute features and object features, each (n, n_features)."""
        return self.attribute_encoder(X), self.object_encoder(X)

    def compose(self, attribute_features, object_features):
        """Return the vector of a pair whose parts may come from different rows."""
        parts = torch.cat([attribute_features, object_features], dim=1)
        return self.composer(normalize(parts, dim=1))

    def embed_attributes(self):
        """Return the vectors of all attributes (A, embedding_dim)."""
        return self.attribute_text(self.attribute_embeddings)

    def embed_objects(self):
        """Return the vectors of all objects (O, embedding_dim)."""
        return self.object_text(self.object_embeddings)

    def embed_pairs(self, codes):
        """Return the vectors of coded pairs (P, 2), shape (P, embedding_dim)."""
        labels = [
            self.attribute_embeddings.index_select(0, codes[:, 0]),
            self.object_embeddings.index_select(0, codes[:, 1]),
        ]
        return self.pair_text(torch.cat(labels, dim=1))


def primitive_cosines(network, attribute_features, object_features):
    """Return cosines with all attributes (n, A) and with all objects (n, O)."""
    attribute = network.attribute_head(attribute_features)
    objects = network.object_head(object_features)
    attributes, all_objects = network.embed_attributes(), network.embed_objects()
    return cosines(attribute, attributes), cosines(objects, all_objects)


def represent(network, X):
    """Return each row's vector to compare pairs with, and cosines of its primitives.

    The whole and the composed cosine of a pair have the same right-hand side, so that
    their sum is one product.
    """
    whole, attribute, objects = network(X)
    composed = network.compose(attribute, objects)
    vector = normalize(whole, dim=1) + normalize(composed, dim=1)
    return vector, *primitive_cosines(network, attribute, objects)


def _branch(n_inputs, hidden_sizes, n_outputs):
    layers = MLP(
        n_inputs, hidden_sizes, n_outputs, layer_norm=True, dropout=BRANCH_DROPOUT
    )
    return nn.Sequential(layers, nn.ReLU())


def _linear_relu(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, n_outputs), nn.ReLU())


def build_network(estimator, tables):
    """Return the estimator's network, its label embeddings started from ``tables``."""
    labels = (estimator.attributes_, estimator.objects_)
    attribute_embeddings, object_embeddings = (
        torch.randn(len(values), LEARNED_EMBEDDING_LENGTH)
        if table is None
        else torch.as_tensor(table, dtype=torch.float32)
        for values, table in zip(labels, tables, strict=True)
    )
    default = partial(
        CompositionNetwork,
        hidden_sizes=[int(size) for size in estimator.hidden_sizes],
        embedding_dim=estimator.embedding_dim,
    )
    network = build_module(
        estimator.module,
        default,
        n_features=estimator.n_features_in_,
        attribute_embeddings=attribute_embeddings,
        object_embeddings=object_embeddings,
    )
    missing = [name for name in NETWORK_PARTS if not hasattr(network, name)]
    if missing:
        raise TypeError(
            f"module must have the methods of the built-in network, "
            f"{type(network).__name__} lacks {', '.join(missing)}."
        )
    return network


class CompositionLosses:
    """What a training step minimises, and each pair's training accuracy.

    The attack and the re-composition draw from ``seed``, apart from the network: without
    both, training is the baseline's bit for bit.
    """

    def __init__(self, estimator, seen_pairs, sampler, seed):
        device = resolve_device(estimator.device)
        dtype = getattr(torch, estimator._training_settings.dtype)
        self.parameters, self.sampler = estimator, sampler
        self.seen_pairs = torch.as_tensor(seen_pairs, device=device)
        targets = smoothed_pair_targets(seen_pairs, LABEL_SMOOTHING)
        self.pair_targets = torch.as_tensor(targets, dtype=dtype, device=device)
        self.strategy = make_strategy(None)  # as the training loop does
        # Each process moves rows of its own; all draw the same compositions and steps.
        noise_seed = seed + self.strategy.rank
        self.noise = torch.Generator(device=device).manual_seed(noise_seed)
        self.rng = np.random.RandomState(seed)
        self.hits, self.visits = torch.zeros(2, len(seen_pairs), device=device)
        self.pair_accuracy = np.zeros(len(seen_pairs))
        self.epoch = None

    def extend(self, indices, columns, state):
        """Draw re-composed rows for a whole epoch (or chunk of it) at once."""
        if state.epoch != self.epoch:
            self.epoch = state.epoch
            self.take_accuracy()
        if not self._is_oversampling(state):
            return {}
        weights = np.exp(1.0 - self.pair_accuracy)
        drawn = self.sampler.sample(len(indices), weights, self.rng)
        device = self.pair_targets.device
        return {
            f"composed_{name}": torch.as_tensor(drawn[name], device=device)
            for name in ("pair", "attribute_rows", "object_rows")
        }

    def _is_oversampling(self, state):
        """Whether rows are re-composed in this epoch: after a third of the run."""
        if self.sampler is None:
            return False
        return state.epoch - state.first_epoch >= self.parameters.max_epochs // 3

    def take_accuracy(self):
        """Fetch each pair's training accuracy, of all processes, since the last call."""
        counts = torch.stack([self.hits, self.visits])
        hits, visits = self.strategy.all_reduce(counts).cpu().numpy()
        self.pair_accuracy = hits / np.where(visits > 0, visits, 1)
        self.hits.zero_()
        self.visits.zero_()

    def __call__(self, batch, state):
        """Return the named losses of a batch."""
        network = state.module
        whole, *features = state.network(batch.X)
        pairs = network.embed_pairs(self.seen_pairs)
        scores = cosines(whole, pairs)
        self._count_hits(scores, batch.pair)
        attribute, objects = self._primitive_losses(network, *features, batch)
        composed_scores = cosines(network.compose(*features), pairs)
        losses = {
            "pair": self._pair_loss(scores, batch.pair),
            "attribute": attribute,
            "object": objects,
            "composed": self._pair_loss(composed_scores, batch.pair),
        }
        weight = self.parameters.adversarial_weight
        if weight > 0:
            adversarial = self._adversarial_loss(network, batch, composed_scores, pairs)
            losses["adversarial"] = weight * adversarial
        if self._is_oversampling(state):
            losses["recomposed"] = self._recomposed_loss(network, batch, state, pairs)
        return losses

    def _count_hits(self, scores, pair):
        is_hit = (scores.detach().argmax(dim=1) == pair).to(self.hits.dtype)
        self.hits.index_add_(0, pair, is_hit)
        self.visits.index_add_(0, pair, torch.ones_like(is_hit))

    def _pair_loss(self, scores, pair):
        targets = self.pair_targets.index_select(0, pair)
        return cross_entropy(self.parameters.pair_scale * scores, targets)

    def _primitive_losses(self, network, attribute_features, object_features, batch):
        scale = self.parameters.primitive_scale
        scores = primitive_cosines(network, attribute_features, object_features)
        return [
            cross_entropy(scale * part, code)
            for part, code in zip(scores, batch.codes.unbind(dim=1), strict=True)
        ]

    def _adversarial_loss(self, network, batch, clean_scores, pairs):
        """Loss on moved primitives, and how far they change the composition."""
        features = self._moved_features(network, batch)
        primitive_losses = self._primitive_losses(network, *features, batch)
        scores = cosines(network.compose(*features), pairs)
        consistency = kl_div(
            log_softmax(scores, dim=1),
            log_softmax(clean_scores, dim=1),
            log_target=True,
            reduction="batchmean",
        )
        return sum(primitive_losses) + self._pair_loss(scores, batch.pair) + consistency

    def _moved_features(self, network, batch):
        """Return attribute and object features after one signed gradient step each.

        They are leaves, so that nothing is passed back to the encoders.
        """
        with evaluation_mode(network), torch.no_grad():
            encoded = network.encode(batch.X)
        leaves = [features.detach().requires_grad_() for features in encoded]
        losses = self._primitive_losses(network, *leaves, batch)
        # The loss of one branch does not depend on the other's features, so that the
        # gradient of the sum holds both.
        gradients = torch.autograd.grad(sum(losses), leaves)
        epsilons = self.rng.choice(EPSILONS, size=2)
        return [
            primitive_attack(*parts, NOISE_SCALE, random_state=self.noise)
            for parts in zip(leaves, gradients, epsilons, strict=True)
        ]

    def _recomposed_loss(self, network, batch, state, pairs):
        """Loss on pairs whose two parts come from different rows."""
        attribute_rows = state.data.take(batch.composed_attribute_rows)["X"]
        object_rows = state.data.take(batch.composed_object_rows)["X"]
        composed = network.compose(
            network.attribute_encoder(attribute_rows),
            network.object_encoder(object_rows),
        )
        return self._pair_loss(cosines(composed, pairs), batch.composed_pair)
