"""Tasks to learn from and tasks to learn afterwards, of classes of one data set."""

from functools import cache
from itertools import pairwise

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import scale

from benchmarks._data import letters
from minimalml.ensemble import ConcatenatedRepresentation


class Task:
    """Rows of the classes to learn from, and of those to learn afterwards."""

    def __init__(self, X, y, n_source, hidden, max_iter, seed):
        rng = np.random.default_rng(seed)
        is_source = np.isin(y, rng.permutation(np.unique(y))[: len(np.unique(y)) // 2])
        self.source = train_test_split(
            X[is_source], y[is_source], train_size=n_source, random_state=seed
        )
        self.target = X[~is_source], y[~is_source]
        self.hidden, self.max_iter, self.seed = hidden, max_iter, seed
        self.n_classes = len(np.unique(y[is_source]))

    def network(self, hidden=None):
        return MLPClassifier(
            self.hidden if hidden is None else hidden, batch_size=64,
            max_iter=self.max_iter, n_iter_no_change=self.max_iter,
        )  # fmt: skip

    def learnt(self, n_networks=1, hidden=None):
        """Return a representation that was fitted to the source."""
        X, _, y, _ = self.source
        return ConcatenatedRepresentation(
            self.network(hidden), n_networks, random_state=self.seed
        ).fit(X, y)

    def split(self, n_labels):
        """Return target rows to learn from, and at most 2000 others."""
        X, y = self.target
        test_size = min(2000, len(y) - n_labels)
        return train_test_split(
            X, y, train_size=n_labels, test_size=test_size, stratify=y,
            random_state=self.seed,
        )  # fmt: skip

    def probe(self, features, n_labels):
        """Return the accuracy of a linear probe on ``features(X)``."""
        X, X_test, y, y_test = self.split(n_labels)
        X, X_test = features(X), features(X_test)
        mean, spread = X.mean(axis=0), X.std(axis=0)
        spread[spread == 0] = 1.0
        probe = RidgeClassifierCV(np.logspace(-1, 4, 11))
        probe.fit((X - mean) / spread, y)
        return probe.score((X_test - mean) / spread, y_test)

    def wider(self, n_times):
        """Return widths times the smallest factor with ``n_times`` the weights."""

        def n_weights(hidden):
            widths = [self.target[0].shape[1], *hidden, self.n_classes]
            return sum((a + 1) * b for a, b in pairwise(widths))

        goal = n_times * n_weights(self.hidden)
        first = self.hidden[0]
        while True:
            first += 1
            hidden = [round(first * width / self.hidden[0]) for width in self.hidden]
            if n_weights(hidden) >= goal:
                return tuple(hidden)


def digits_task(seed):
    X, y = load_digits(return_X_y=True)
    X = X / 16 + np.random.default_rng(0).normal(0, 0.15, X.shape)
    return Task(X, y, 700, (64, 32), 60, seed)


@cache
def letters_rows():
    X, y = letters()
    return scale(X), y


def letters_task(seed):
    return Task(*letters_rows(), 3900, (32, 32), 40, seed)
