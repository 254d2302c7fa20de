"""Speed and memory of the seen-unseen curve, of the draws and of training."""

import numpy as np
from sklearn.naive_bayes import GaussianNB

from minimalml.compositional import (
    CompositionalZeroShotClassifier,
    IndependentPrimitives,
    ObjectSimilarityOverSampler,
    PairHoldoutSplit,
    czsl_curve,
)
from minimalml.datasets import make_compositions


class Curve:
    """The exact curve: grows as n times the number of pairs."""

    params = ([1_000, 4_000, 16_000], [200, 2_000], [1, 5])
    param_names = ["n", "n_pairs", "top_k"]

    def setup(self, n, n_pairs, top_k):
        rng = np.random.default_rng(0)
        self.scores = rng.normal(size=(n, n_pairs)).astype(np.float32)
        self.pair_index = rng.integers(0, n_pairs, n)
        self.scores[np.arange(n), self.pair_index] += 3
        self.seen_mask = np.arange(n_pairs) < n_pairs // 2

    def time_curve(self, n, n_pairs, top_k):
        czsl_curve(self.scores, self.pair_index, self.seen_mask, top_k=top_k)

    def peakmem_curve(self, n, n_pairs, top_k):
        czsl_curve(self.scores, self.pair_index, self.seen_mask, top_k=top_k)


class OpenWorld:
    """Answers over all pairs: time grows with their number, memory does not."""

    params = [20, 60, 180]
    param_names = ["n_attributes"]

    def setup(self, n_attributes):
        rng = np.random.default_rng(0)
        self.y = rng.integers(0, n_attributes, (2_000, 2))
        self.X = rng.normal(size=(2_000, 8)) + self.y[:, :1]
        self.model = IndependentPrimitives(GaussianNB(), candidate_pairs="all")
        self.model.fit(self.X, self.y)

    def time_predict(self, n_attributes):
        self.model.predict(self.X)

    def peakmem_predict(self, n_attributes):
        self.model.predict(self.X)


class Recomposition:
    """Grouping rows and drawing as many compositions: grows as n log n."""

    params = [1_000, 10_000, 100_000]
    param_names = ["n"]

    def setup(self, n):
        rng = np.random.default_rng(0)
        self.y = np.column_stack([rng.integers(0, 20, n), rng.integers(0, 30, n)])
        self.embeddings = rng.normal(size=(30, 16))
        self.sampler = ObjectSimilarityOverSampler().fit(self.y, self.embeddings)

    def time_fit(self, n):
        ObjectSimilarityOverSampler().fit(self.y, self.embeddings)

    def time_sample(self, n):
        self.sampler.sample(n, random_state=0)

    def time_hold_out_pairs(self, n):
        list(PairHoldoutSplit(2, random_state=0).split(self.y, self.y))


class Training:
    """Two epochs of a small network, and its scores: grow as n."""

    params = ([5, 20, 80], ["baseline", "adversarial", "both"])
    param_names = ["n_per_pair", "parts"]

    def setup(self, n_per_pair, parts):
        self.data = make_compositions(n_per_pair=n_per_pair, random_state=0)
        self.model = CompositionalZeroShotClassifier(
            adversarial_weight=float(parts != "baseline"),
            oversampling=parts == "both",
            oversampling_start=0,
            hidden_sizes=(128,),
            encoder_hidden=128,
            embedding_dim=64,
            max_epochs=2,
            unseen_pairs=self.data.unseen_pairs,
            device="cpu",
            random_state=0,
        )
        self.model.fit(self.data.X_train, self.data.y_train)

    def time_fit(self, n_per_pair, parts):
        self.model.fit(self.data.X_train, self.data.y_train)

    def time_predict(self, n_per_pair, parts):
        self.model.predict(self.data.X_test)

    def peakmem_fit(self, n_per_pair, parts):
        self.model.fit(self.data.X_train, self.data.y_train)
