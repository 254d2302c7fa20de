"""Speed of the ordering programme and of attacks, with growth in classes and rows."""

import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier
from sklearn.neural_network import MLPClassifier

from minimalml.robustness import (
    QuadAttack,
    sample_ordered_targets,
    solve_ordered_top_k,
)


def ordering_problem(n_classes, n_samples=256, n_features=512, k=10, seed=0):
    """Random head, scores and targets, as a large network has them."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((n_classes, n_features)) / np.sqrt(n_features)
    features = np.abs(rng.standard_normal((n_samples, n_features)))
    logits = 4.0 * features @ weight.T
    y = logits.argmax(axis=1)
    k = min(k, n_classes - 1)
    return logits, sample_ordered_targets(y, n_classes, k, seed), weight @ weight.T


class OrderingProgramme:
    """Solve 256 samples, cold and warm, on the CPU kernel and in torch."""

    params = ([10, 100, 1000], ["cython", "torch"])
    param_names = ["n_classes", "kernel"]

    def setup(self, n_classes, kernel):
        problem = ordering_problem(n_classes)
        noise = np.random.default_rng(1).standard_normal(problem[0].shape)
        nearby = problem[0] + 0.01 * noise
        if kernel == "torch":
            import torch

            problem = tuple(map(torch.as_tensor, problem))
            nearby = torch.as_tensor(nearby)
        self.problem, self.nearby = problem, (nearby, *problem[1:])
        self.solution = solve_ordered_top_k(*problem)

    def time_cold(self, n_classes, kernel):
        solve_ordered_top_k(*self.problem)

    def time_warm(self, n_classes, kernel):
        solve_ordered_top_k(*self.nearby, warm_start=self.solution)

    def peakmem_cold(self, n_classes, kernel):
        solve_ordered_top_k(*self.problem)

    def track_warm_over_cold(self, n_classes, kernel):
        best = {}
        for name, start in (("cold", None), ("warm", self.solution)):
            seconds = []
            for _ in range(5):
                begin = time.perf_counter()
                solve_ordered_top_k(*self.nearby, warm_start=start)
                seconds.append(time.perf_counter() - begin)
            best[name] = min(seconds)
        return best["warm"] / best["cold"]


class Attack:
    """Attack digits, exactly and by sixty steps."""

    params = ([100, 400, 1600], ["linear", "network"])
    param_names = ["n_rows", "model"]

    def setup(self, n_rows, model):
        X, y = load_digits(return_X_y=True)
        X = X / 16
        if model == "linear":
            classifier = RidgeClassifier().fit(X, y)
        else:
            classifier = MLPClassifier((64,), max_iter=15, random_state=0).fit(X, y)
        self.X, self.y = X[:n_rows], y[:n_rows]
        self.attack = QuadAttack(classifier, k=5, random_state=0).fit(X)

    def time_attack(self, n_rows, model):
        self.attack.attack(self.X, self.y)
