"""Rows, and the codebooks that one would use instead."""

from functools import cache

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_sample_images
from sklearn.model_selection import train_test_split
from torch.nn.functional import mse_loss

from minimalml.compression import (
    LinearCodebook,
    SimVectorQuantizer,
    codebook_usage,
    nearest_codeword,
)
from minimalml.compression._linear_codebook._linear_codebook_torch import (
    Quantized,
    nearest_codes,
)

PATCH = 8


def digits(seed):
    """Return training and test rows, 70 and 30 %."""
    X, _ = load_digits(return_X_y=True)
    return train_test_split(X, test_size=0.3, random_state=seed)


@cache
def patches():
    """Return grey patches, without their mean and contrast, of two photographs.

    Those to train on are of the left three quarters, those to test on of the rest.
    """
    parts = [], []
    for image in load_sample_images().images:
        grey = image.mean(axis=2)
        for part, half in zip(parts, (grey[:, :480], grey[:, 480:]), strict=True):
            views = np.lib.stride_tricks.sliding_window_view(half, (PATCH, PATCH))
            part.append(views[::4, ::4].reshape(-1, PATCH**2))
    return tuple(_normalised(np.vstack(part)) for part in parts)


def _normalised(rows):
    rows = rows - rows.mean(axis=1, keepdims=True)
    scale = rows.std(axis=1, keepdims=True)
    return (rows / (scale + 10.0)).astype(np.float32)  # 10 of 255: flat ones stay flat


class MovingAverageCodebook(LinearCodebook):
    """Words as moving averages of their vectors; ``patience`` revives idle ones.

    A word that no vector took for so many steps becomes a vector of the batch.
    """

    def __init__(self, n_codes, n_features, *, decay=0.99, patience=None):
        super().__init__(n_codes, n_features, free=True)
        self.basis.requires_grad_(False)
        self.decay, self.patience = decay, patience
        self.register_buffer("sizes", torch.ones(n_codes))
        self.register_buffer("sums", self.basis.detach().clone())
        self.register_buffer("idle", torch.zeros(n_codes))

    def forward(self, z):
        rows = z.detach()
        codes = nearest_codes(rows, self.basis)
        words = self.basis[codes]  # those before the update
        if self.training:
            self._update(rows, codes)
        loss = self.commitment_weight * mse_loss(z, words)
        return Quantized(z + (words - z).detach(), codes, loss)

    def _update(self, rows, codes):
        counts = torch.bincount(codes, minlength=self.n_codes).to(rows.dtype)
        sums = torch.zeros_like(self.sums).index_add_(0, codes, rows)
        self.sizes.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        self.basis.copy_(self.sums / self.sizes.clamp_min(1e-5)[:, None])
        if self.patience is None:
            return
        self.idle = torch.where(counts > 0, 0, self.idle + 1)
        dead = (self.idle > self.patience).nonzero()[:, 0]
        self.basis[dead] = rows[torch.randint(len(rows), (len(dead),))]
        self.sums[dead], self.sizes[dead], self.idle[dead] = self.basis[dead], 1.0, 0.0


class MovingAverageQuantizer(SimVectorQuantizer):
    """The same autoencoder with words as moving averages."""

    patience = None

    def _build_network(self):
        network = super()._build_network()
        size = self.n_codes, self.n_components
        network.codebook = MovingAverageCodebook(*size, patience=self.patience)
        return network


class RevivingQuantizer(MovingAverageQuantizer):
    """And words that were idle for an epoch of 20000 rows revived."""

    patience = 80


def relative_error(errors, X, X_test):
    """Mean square of errors on test rows, over that of the training mean."""
    return float(np.mean(errors**2) / np.mean((X_test - X.mean(axis=0)) ** 2))


def measured(model, X, X_test):
    """Fit, and return utilization, perplexity and relative test error."""
    model.fit(X)
    errors = X_test - model.inverse_transform(model.predict(X_test))
    error = relative_error(errors, X, X_test)
    return model.codebook_utilization_, model.perplexity_, error


def nearest_means(X, X_test, n_codes, seed):
    """Return codes of k-means on rows, and what is left of both sets of rows."""
    # a random start: the usual one takes longer than all iterations for 2^14 words
    model = KMeans(n_codes, init="random", n_init=1, max_iter=5, random_state=seed)
    means = model.fit(X).cluster_centers_
    codes, test_codes = (nearest_codeword(rows, means)[0] for rows in (X, X_test))
    return codes, X - means[codes], X_test - means[test_codes]


def measured_means(X, X_test, n_codes, seed):
    """Return the same of k-means on the rows themselves."""
    codes, _, errors = nearest_means(X, X_test, n_codes, seed)
    usage = codebook_usage(codes, n_codes)
    error = relative_error(errors, X, X_test)
    return usage.utilization, usage.perplexity, error


def measured_residuals(X, X_test, n_codes, seed):
    """Return the same of two books of k-means, the second on what the first leaves."""
    n_words = round(n_codes**0.5)
    first, rest, test_rest = nearest_means(X, X_test, n_words, seed)
    second, _, errors = nearest_means(rest, test_rest, n_words, seed)
    usage = codebook_usage(first * n_words + second, n_words**2)
    error = relative_error(errors, X, X_test)
    return usage.utilization, usage.perplexity, error
