"""What the compositional classifier does inside: held-out pairs, network, scores."""

import numpy as np
from sklearn.model_selection import train_test_split

from minimalml._core.arrays import resolve_device
from minimalml._core.training.estimator import TorchEstimatorMixin
from minimalml.multioutput._compositional_zero_shot._label_embeddings import (
    object_means,
)
from minimalml.multioutput._compositional_zero_shot._over_sampler import (
    ObjectSimilarityOverSampler,
)
from minimalml.multioutput._compositional_zero_shot._pair_classifier import (
    PairClassifierMixin,
)
from minimalml.multioutput._compositional_zero_shot._pair_holdout import (
    PairHoldoutSplit,
)
from minimalml.multioutput._compositional_zero_shot._pairs import is_among

# Length of learned label embeddings where none are given.
LEARNED_EMBEDDING_LENGTH = 64
# What losses and scores call; forward is there in any case.
NETWORK_PARTS = (
    "encode",
    "attribute_encoder",
    "object_encoder",
    "compose",
    "attribute_head",
    "object_head",
    "embed_attributes",
    "embed_objects",
    "embed_pairs",
)


class CompositionTrainingMixin(PairClassifierMixin, TorchEstimatorMixin):
    """Steps of `CompositionalZeroShotClassifier` around its ``fit``."""

    def _check_sequences(self):
        """Check the parameters that hold several numbers."""
        epsilons = np.asarray(self.epsilons, dtype=float)
        if epsilons.size == 0 or not (np.isfinite(epsilons) & (epsilons >= 0)).all():
            raise ValueError(
                f"epsilons must be a sequence of numbers >= 0, got {self.epsilons}."
            )
        if len(self.score_weights) != 4:
            raise ValueError(
                "score_weights must have 4 numbers (whole, composed, attribute, object)"
                f", got {self.score_weights}."
            )

    def _check_pairs(self, training, continues):
        """Check the pairs that are left to train on."""
        if len(training.seen_pairs) < 2:
            raise ValueError(
                "y must have at least 2 different pairs (classes), got 1 class: "
                f"{training.describe(training.seen_pairs[0])}."
            )
        if continues and not self._labels.has_same_labels(training):
            raise ValueError(
                "warm_start=True goes on with the labels and pairs of the first fit, "
                "got others: set it to False."
            )

    def _hold_out(self, labels, seed):
        """Return training rows and validation rows; None and None for all."""
        has_bias_to_choose = self.bias == "auto" and not labels.is_single
        if not (self.early_stopping or has_bias_to_choose):
            return None, None
        rows = np.arange(len(labels.codes))
        fraction = self._training_settings.validation_fraction
        if labels.is_single:
            return train_test_split(
                rows,
                test_size=fraction,
                stratify=labels.pair_index,
                random_state=seed,
            )
        split = PairHoldoutSplit(
            1,
            unseen_fraction=fraction,
            seen_test_fraction=fraction,
            random_state=seed,
        )
        rows, held_out = next(split.split(rows, labels.codes))
        if not is_among(labels.codes[held_out], labels.take(rows).seen_pairs).any():
            raise ValueError(
                f"training.validation_fraction={fraction} holds out no row of the "
                "pairs that stay in training, since each has few rows: raise it."
            )
        return rows, held_out

    def _validation_options(self, columns, X, stratify, seed):
        """Score held-out pairs; the rows were chosen before the labels were set."""
        if not self.early_stopping:
            return {}
        held_out = self._held_out
        X, codes = columns["X"][held_out], columns["codes"][held_out]
        return {"validate": lambda state: self._validation_score(X, codes)}

    def _validation_score(self, X, codes):
        rows = self._represent(X)
        if not self._labels.is_single:
            return self._curve(rows, codes).auc
        return float((self._best_codes(rows) == codes).all(axis=1).mean())

    def _build_network(self):
        import torch

        from minimalml._core.training.modules import build_module
        from minimalml.multioutput._compositional_zero_shot._composition_network import (
            CompositionNetwork,
        )

        def default(**sizes):
            return CompositionNetwork(
                **sizes,
                hidden_sizes=self.hidden_sizes,
                encoder_hidden=self.encoder_hidden,
                embedding_dim=self.embedding_dim,
            )

        attribute, objects = (
            torch.randn(len(labels), LEARNED_EMBEDDING_LENGTH)
            if table is None
            else torch.as_tensor(table, dtype=torch.float32)
            for labels, table in zip(
                (self.attributes_, self.objects_), self._tables, strict=True
            )
        )
        network = build_module(
            self.module,
            default,
            n_features=self.n_features_in_,
            attribute_embeddings=attribute,
            object_embeddings=objects,
        )
        missing = [name for name in NETWORK_PARTS if not hasattr(network, name)]
        if missing:
            raise TypeError(
                f"module must have the methods of the built-in network, "
                f"{type(network).__name__} lacks {', '.join(missing)}."
            )
        return network

    def _training_loss(self, batch, state):
        return self._losses(batch, state)

    def _make_losses(self, labels, sampler, seed):
        import torch

        from minimalml.multioutput._compositional_zero_shot._composition_losses import (
            CompositionLosses,
        )

        return CompositionLosses(
            self,
            labels.seen_pairs,
            self._pair_codes[~self.seen_mask_],
            sampler,
            device=resolve_device(self.device),
            dtype=getattr(torch, self._training_settings.dtype),
            seed=seed,
        )

    def _make_sampler(self, X, rows, labels):
        sampler = ObjectSimilarityOverSampler(
            self.oversampling_strategy,
            similarity_temperature=self.similarity_temperature,
        )
        if self.oversampling_strategy == "random":
            return sampler.fit(labels.codes)
        object_codes, table = labels.codes[:, 1], self._tables[1]
        present, dense_codes = np.unique(object_codes, return_inverse=True)
        if table is None:
            vectors = object_means(X if rows is None else X[rows], dense_codes)
        else:
            vectors = table[present]
        return sampler.fit(labels.codes, vectors)

    def _first_oversampled_epoch(self):
        if self.oversampling_start is None:
            return self.max_epochs // 3
        return self.oversampling_start

    def _represent(self, X):
        """Return each row's vector to compare pairs with, and its primitives' scores.

        The whole and the composed cosine have the same right-hand side, so that their
        weighted sum is one product.
        """
        from torch.nn.functional import normalize

        from minimalml.multioutput._compositional_zero_shot._composition_network import (
            cosines,
        )

        weights, network = self.score_weights, self.module_

        def represent(X):
            whole, attribute, objects = network(X)
            vector = weights[0] * normalize(whole, dim=1)
            composed = network.compose(attribute, objects)
            vector = vector + weights[1] * normalize(composed, dim=1)
            attribute = network.attribute_head(attribute)
            attribute = weights[2] * cosines(attribute, network.embed_attributes())
            objects = network.object_head(objects)
            objects = weights[3] * cosines(objects, network.embed_objects())
            return vector, attribute, objects

        return [_as_computed(part) for part in self._map_rows(represent, X)]

    def _score_codes(self, rows, codes):
        from torch.nn.functional import normalize

        vector, attribute, objects = rows
        pairs = self._map_rows(
            lambda block: normalize(self.module_.embed_pairs(block), dim=1), codes
        )
        scores = vector @ _as_computed(pairs).T
        scores += attribute[:, codes[:, 0]]
        scores += objects[:, codes[:, 1]]
        return scores

    @property
    def _proba_scale(self):
        return self.pair_scale


def _as_computed(tensor):
    """Return a view for NumPy's product and our kernel on the CPU, else the tensor."""
    return tensor.numpy() if tensor.device.type == "cpu" else tensor
