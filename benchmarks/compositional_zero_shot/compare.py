"""The exact seen-unseen curve beside the common loop, and what each part of training costs."""

import numpy as np

from benchmarks.compare import Comparison
from minimalml.multioutput import (
    CompositionalZeroShotClassifier,
    ObjectSimilarityOverSampler,
    czsl_curve,
)

N_PAIRS = 2_000
N_BIASES = 20
N_ATTRIBUTES, N_OBJECTS, N_FEATURES = 20, 30, 512


def score_problem(n):
    """Return scores (n, 2000) whose true pair is often near the top."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(n, N_PAIRS)).astype(np.float32)
    pair_index = rng.integers(0, N_PAIRS, n)
    scores[np.arange(n), pair_index] += 3
    seen_mask = np.arange(N_PAIRS) < N_PAIRS // 2
    scores[:, seen_mask] += 0.5
    return scores, pair_index, seen_mask


def common_biases(scores, pair_index, seen_mask):
    """Return about 20 gaps of unseen rows that are right with a huge bias."""
    unseen_best = np.where(seen_mask, -np.inf, scores).argmax(axis=1)
    right = unseen_best == pair_index
    best_seen = np.where(seen_mask, scores, -np.inf).max(axis=1)
    gaps = np.sort((best_seen - scores[np.arange(len(scores)), pair_index])[right])
    return np.append(gaps[:: max(len(gaps) // N_BIASES, 1)] - 1e-4, 1e3)


def area(points):
    return np.trapezoid(*np.array(points).T)


def cloning_loop(data):
    """Clone the scores for each bias, as the field's evaluation code does."""
    scores, pair_index, seen_mask = data
    is_seen, points = seen_mask[pair_index], []
    for bias in common_biases(*data):
        biased = scores.copy()
        biased[:, ~seen_mask] += bias
        right = biased.argmax(axis=1) == pair_index
        points.append((right[is_seen].mean(), right[~is_seen].mean()))
    return area(points)


def cloning_loop_in_torch(data):
    """Do the same with torch's kernels."""
    import torch

    scores, pair_index, seen_mask = map(torch.from_numpy, data)
    is_seen, points = seen_mask[pair_index], []
    for bias in common_biases(*data):
        biased = scores.clone()
        biased[:, ~seen_mask] += float(bias)
        right = (biased.argmax(dim=1) == pair_index).float()
        points.append((right[is_seen].mean().item(), right[~is_seen].mean().item()))
    return area(points)


def exact_curve_of_tensors(data):
    """Take our torch kernel, which any device runs."""
    import torch

    return czsl_curve(*map(torch.from_numpy, data))


class TrainingStep:
    """One optimiser step of a network of the paper's size, on one batch."""

    def __init__(self, X, y, **parts):
        import torch

        class Watched(CompositionalZeroShotClassifier):
            def _training_loss(model, batch, state):
                self.loss, self.batch, self.state = model._losses, batch, state
                self.rows = state.data
                return super()._training_loss(batch, state)

        Watched(
            max_epochs=1, batch_size=len(X), device="cpu", random_state=0, **parts
        ).fit(X, y)
        self.state.data = self.rows
        self.state.first_epoch = self.state.epoch
        self.module = self.state.module.train()
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-5)

    def __call__(self):
        """Loss, gradients, new weights."""
        self.optimizer.zero_grad()
        sum(self.loss(self.batch, self.state).values()).backward()
        self.optimizer.step()


def random_batch(n):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, N_FEATURES)).astype(np.float32)
    y = np.column_stack(
        [rng.integers(0, N_ATTRIBUTES, n), rng.integers(0, N_OBJECTS, n)]
    )
    return X, y


PARTS = {
    "baseline": {"adversarial_weight": 0, "oversampling": False},
    "adversarial": {"oversampling": False},
    "re-composed": {"adversarial_weight": 0},
}


def one_step(name):
    """Return a route that takes ten steps of a variant, made on its first call."""

    def run(data):
        if name not in data:
            data[name] = TrainingStep(*data["batch"], **PARTS[name])
        for _ in range(10):
            data[name]()

    return run


def ten_steps_of_rows(n):
    X, y = random_batch(n)
    means = np.random.default_rng(1).normal(size=(len(np.unique(y[:, 1])), 16))
    sampler = ObjectSimilarityOverSampler().fit(y, means)
    return {"batch": (X, y), "sampler": sampler, "n": n}


def draw_for_ten_steps(data):
    """Draw what ten steps need, in ten calls; training draws an epoch in one."""
    for seed in range(10):
        data["sampler"].sample(data["n"], random_state=seed)


COMPARISONS = [
    Comparison(
        title=f"seen-unseen curve of n rows and {N_PAIRS} pairs",
        setup=score_problem,
        ours=lambda data: czsl_curve(*data),
        peers={
            f"{N_BIASES} biases, cloned scores": cloning_loop,
            f"{N_BIASES} biases, cloned in torch": cloning_loop_in_torch,
            "exact, in torch": exact_curve_of_tensors,
        },
        sizes=(1_000, 10_000),
        target="under 0.3 s at n = 10,000 on two threads; 20x the cloning loop",
    ),
    Comparison(
        title=f"ten adversarial training steps, n rows a batch, {N_FEATURES} features",
        setup=lambda n: {"batch": random_batch(n)},
        ours=one_step("adversarial"),
        peers={
            "baseline steps": one_step("baseline"),
            "with re-composed rows": one_step("re-composed"),
        },
        sizes=(128,),
        target="the baseline takes at least 0.45x (overhead at most 2.2x)",
    ),
    Comparison(
        title="draws of re-composed rows for ten steps, n rows a batch",
        setup=ten_steps_of_rows,
        ours=draw_for_ten_steps,
        peers={"baseline steps": one_step("baseline")},
        sizes=(128,),
        target="steps take more than 10x",
    ),
]
