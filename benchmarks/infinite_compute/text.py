"""Bytes of Python's own help texts: predict one from the eight before it."""

from collections import Counter
from pydoc_data.topics import topics

import numpy as np
from torch import nn

CONTEXT, EMBEDDING = 8, 16
# Bytes that are rarer than once in this many are read as spaces.
RARE = 500


class ByteNetwork(nn.Module):
    """Embeddings of the context's bytes side by side, one hidden layer of ``width``."""

    def __init__(self, n_features, n_outputs, width):
        super().__init__()
        self.embedding = nn.Embedding(n_outputs, EMBEDDING)
        self.layers = nn.Sequential(
            nn.Linear(n_features * EMBEDDING, width),
            nn.ReLU(),
            nn.Linear(width, n_outputs),
        )

    def forward(self, X):
        """Return logits of the next byte for contexts, bytes by number."""
        return self.layers(self.embedding(X.long()).flatten(1))


def read_text():
    """Return all texts as numbers of bytes."""
    text = "\n".join(topics[name] for name in sorted(topics)).encode()
    counts = Counter(text)
    kept = sorted(byte for byte, n in counts.items() if n * RARE >= len(text))
    number = {byte: place for place, byte in enumerate(kept)}
    return np.array([number.get(byte, number[ord(" ")]) for byte in text])


def draw_windows(seed, n_train=16_000, n_validation=4_000, n_test=4_000):
    """Return contexts and next bytes of three parts, each from its own stretch of text.

    The training part begins with one window for each byte, so that its first rows, however
    few, hold all classes.
    """
    text = read_text()
    rng = np.random.default_rng(seed)
    cut = [int(share * len(text)) for share in (0, 0.7, 0.85, 1)]
    parts = []
    for part, n_windows in enumerate((n_train, n_validation, n_test)):
        starts = rng.choice(
            np.arange(cut[part], cut[part + 1] - CONTEXT), n_windows, replace=False
        )
        if part == 0:
            ends = text[CONTEXT : cut[1]]
            first = [
                rng.choice(np.flatnonzero(ends == byte)) for byte in np.unique(text)
            ]
            starts[: len(first)] = first
        windows = text[starts[:, None] + np.arange(CONTEXT + 1)]
        parts.append((windows[:, :-1].astype(np.float32), windows[:, -1]))
    return parts


def generate(model, contexts, n_steps, seed):
    """Return contexts of text that a model writes from some on, (n_contexts n_steps, 8)."""
    rng = np.random.default_rng(seed)
    seen = []
    for _ in range(n_steps):
        shares = model.predict_proba(contexts).cumsum(axis=1)
        draws = (rng.random(len(contexts)) * shares[:, -1])[:, None]
        following = model.classes_[(shares < draws).sum(axis=1)]
        contexts = np.column_stack([contexts[:, 1:], following]).astype(np.float32)
        seen.append(contexts)
    return np.vstack(seen)
