"""Speed of the linear probes, with growth in rows; see also benchmarks/peers."""

import time

import numpy as np
from scipy import sparse
from sklearn.naive_bayes import GaussianNB

from minimalml.linear_probe import (
    NaiveBayesProbe,
    class_moments,
    cross_validate_naive_bayes,
)

N_FEATURES, N_CLASSES = 256, 100


def rows(n):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, N_FEATURES), dtype=np.float32)
    return X, rng.integers(N_CLASSES, size=n)


class Probe:
    params = [5_000, 50_000, 200_000]
    param_names = ["n_samples"]

    def setup(self, n):
        self.X, self.y = rows(n)
        self.probe = NaiveBayesProbe().fit(self.X, self.y)

    def time_fit(self, n):
        NaiveBayesProbe().fit(self.X, self.y)

    def time_predict(self, n):
        self.probe.predict(self.X)

    def time_cross_validate(self, n):
        cross_validate_naive_bayes(self.X, self.y, cv=5)

    def peakmem_fit(self, n):
        NaiveBayesProbe().fit(self.X, self.y)

    def track_fit_against_gaussian_nb(self, n):
        return best_of(lambda: GaussianNB().fit(self.X, self.y)) / best_of(
            lambda: NaiveBayesProbe().fit(self.X, self.y)
        )

    track_fit_against_gaussian_nb.unit = "times as fast"


class Moments:
    params = [["C", "F", "reversed", "csr", "torch"], [5_000, 50_000]]
    param_names = ["layout", "n_samples"]

    def setup(self, layout, n):
        X, self.y = rows(n)
        if layout == "torch":
            import torch

            self.X = torch.from_numpy(X)
        else:
            views = {
                "C": lambda: X,
                "F": lambda: np.asfortranarray(X),
                "reversed": lambda: X[:, ::-1],
                "csr": lambda: sparse.csr_array(X * (X > 1)),
            }
            self.X = views[layout]()

    def time_class_moments(self, layout, n):
        class_moments(self.X, self.y, N_CLASSES)


def best_of(call, repeats=5):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)
