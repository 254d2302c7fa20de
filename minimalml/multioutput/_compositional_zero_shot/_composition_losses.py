"""The losses of compositional training, batch by batch on the device.

Numbers in comments are those of the paper's losses: the pair branch, the two primitives,
the composer, its adversarial twin, and re-composed rows.
"""

import numpy as np
import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from minimalml._core.training.distributed import make_strategy
from minimalml._core.training.inference import evaluation_mode
from minimalml.multioutput._compositional_zero_shot._composition_network import cosines
from minimalml.multioutput._compositional_zero_shot._primitive_attack import (
    primitive_attack,
    smoothed_pair_targets,
)


class CompositionLosses:
    """What a training step minimises.

    Parameters
    ----------
    estimator : CompositionalZeroShotClassifier
        Its parameters.

    seen_pairs, unseen_pairs : ndarray of int of shape (P, 2)
        Coded pairs that training shows, and other candidates.

    sampler : ObjectSimilarityOverSampler or None
        Fitted to the training rows; None re-composes nothing.

    device : torch.device

    dtype : torch.dtype

    seed : int
        Of the attack and of the re-composition, apart from that of the network: without
        both, training is the baseline's bit for bit.
    """

    def __init__(
        self,
        estimator,
        seen_pairs,
        unseen_pairs,
        sampler,
        *,
        device,
        dtype,
        seed,
    ):
        self.parameters = estimator
        self.sampler = sampler
        self.seen_pairs = torch.as_tensor(seen_pairs, device=device)
        self.unseen_pairs = torch.as_tensor(unseen_pairs, device=device)
        targets = smoothed_pair_targets(seen_pairs, estimator.label_smoothing)
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
        if not self.is_oversampling(state):
            return {}
        weights = np.exp(1.0 - self.pair_accuracy)
        drawn = self.sampler.sample(len(indices), weights, self.rng)
        device = self.pair_targets.device
        return {
            f"composed_{name}": torch.as_tensor(drawn[name], device=device)
            for name in ("pair", "attribute_rows", "object_rows")
        }

    def is_oversampling(self, state):
        """Whether rows are re-composed in the present epoch."""
        epoch = state.epoch - state.first_epoch
        return (
            self.sampler is not None
            and epoch >= self.parameters._first_oversampled_epoch()
        )

    def take_accuracy(self):
        """Fetch each pair's training accuracy, of all processes, since the last call."""
        counts = torch.stack([self.hits, self.visits])
        hits, visits = self.strategy.all_reduce(counts).cpu().numpy()
        self.pair_accuracy = hits / np.where(visits > 0, visits, 1)
        self.hits.zero_()
        self.visits.zero_()

    def __call__(self, batch, state):
        """Return the named losses of a batch."""
        parameters, network = self.parameters, state.module
        whole, attribute_features, object_features = state.network(batch.X)
        pairs = network.embed_pairs(self.seen_pairs)
        losses = {}
        scores = cosines(whole, pairs)
        self._count_hits(scores, batch.pair)
        losses["pair"] = self._pair_loss(scores, batch.pair)  # 1
        attribute, objects = self._primitive_losses(
            network, attribute_features, object_features, batch
        )
        losses["attribute"], losses["object"] = attribute, objects  # 2
        composed = network.compose(attribute_features, object_features)
        composed_scores = cosines(composed, pairs)
        losses["composed"] = self._pair_loss(composed_scores, batch.pair)  # 3
        if parameters.adversarial_weight > 0:
            adversarial = self._adversarial_loss(network, batch, composed_scores, pairs)
            losses["adversarial"] = parameters.adversarial_weight * adversarial
        if parameters.unseen_calibration_weight > 0 and len(self.unseen_pairs):
            calibration = self._unseen_loss(network, composed, pairs, batch.pair)
            losses["unseen"] = parameters.unseen_calibration_weight * calibration
        if self.is_oversampling(state):
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
        attribute_scores = cosines(
            network.attribute_head(attribute_features), network.embed_attributes()
        )
        object_scores = cosines(
            network.object_head(object_features), network.embed_objects()
        )
        return (
            cross_entropy(scale * attribute_scores, batch.codes[:, 0]),
            cross_entropy(scale * object_scores, batch.codes[:, 1]),
        )

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
        return (
            sum(primitive_losses)
            + self._pair_loss(scores, batch.pair)
            + self.parameters.consistency_weight * consistency
        )

    def _moved_features(self, network, batch):
        """Return attribute and object features after one signed gradient step each.

        They are leaves, so that nothing is passed back to the encoders, unless
        ``attack_backbone_gradient`` is set.
        """
        parameters = self.parameters
        keeps_graph = parameters.attack_backbone_gradient
        with evaluation_mode(network), torch.set_grad_enabled(keeps_graph):
            encoded = network.encode(batch.X)
        leaves = [features.detach().requires_grad_() for features in encoded]
        losses = self._primitive_losses(network, *leaves, batch)
        # The loss of one branch does not depend on the other's features, so that the
        # gradient of the sum holds both.
        gradients = torch.autograd.grad(sum(losses), leaves)
        moved = [
            primitive_attack(
                leaf,
                gradient,
                self.rng.choice(parameters.epsilons),
                parameters.noise_scale,
                symmetric_noise=parameters.symmetric_noise,
                random_state=self.noise,
            )
            for leaf, gradient in zip(leaves, gradients, strict=True)
        ]
        if keeps_graph:  # adds zeros whose gradient is that of the features
            moved = [m + (f - f.detach()) for m, f in zip(moved, encoded, strict=True)]
        return moved

    def _unseen_loss(self, network, composed, pairs, pair):
        """Pull a row mildly to the unseen pair whose vector is nearest to its own."""
        unseen = network.embed_pairs(self.unseen_pairs)
        nearest = cosines(pairs, unseen).detach().argmax(dim=1)
        scores = self.parameters.pair_scale * cosines(composed, unseen)
        return cross_entropy(scores, nearest.index_select(0, pair))

    def _recomposed_loss(self, network, batch, state, pairs):
        """Loss on pairs whose two parts come from different rows."""
        with torch.set_grad_enabled(not self.parameters.detach_synthetic):
            lent = state.data.take(batch.composed_attribute_rows)["X"]
            attribute_features = network.attribute_encoder(lent)
            lent = state.data.take(batch.composed_object_rows)["X"]
            object_features = network.object_encoder(lent)
            composed = network.compose(attribute_features, object_features)
        return self._pair_loss(cosines(composed, pairs), batch.composed_pair)
