"""The ordering programme beside general solvers, warm starts, very many classes."""

from copy import copy

import numpy as np

from benchmarks.compare import Comparison
from minimalml.inspection import (
    OrderedTopKSolver,
    ordering_pairs,
    sample_ordered_targets,
    solve_ordered_top_k,
)
from minimalml.inspection._quad_attack._attack_loop import AdamW


def ordering_problem(n_classes, n_samples=256, n_features=512, k=10, seed=0):
    """Random head, scores and targets, as a large network has them."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((n_classes, n_features)) / np.sqrt(n_features)
    features = np.abs(rng.standard_normal((n_samples, n_features)))
    logits = 4.0 * features @ weight.T
    targets = sample_ordered_targets(logits.argmax(axis=1), n_classes, k, seed)
    return logits, targets, weight @ weight.T


def at_100_classes(n):
    return ordering_problem(100, n_samples=n, n_features=256, k=5)


def at_1000_classes(n):
    return ordering_problem(1000, n_samples=n)


def ours(problem):
    return solve_ordered_top_k(*problem)


def by_clarabel(problem):
    return solve_ordered_top_k(*problem, solver="cvxpy")


def by_osqp(problem):
    """OSQP on the dual's own matrices, built dense as a general solver needs them."""
    import osqp
    from scipy import sparse

    logits, targets, gram = problem
    values, vectors = np.linalg.eigh(gram)
    root = vectors * np.sqrt(values.clip(0.0))
    n_classes = len(gram)
    for score, target in zip(logits, targets, strict=True):
        high, low = ordering_pairs(target[None], n_classes)
        rows = np.eye(n_classes)[high[0]] - np.eye(n_classes)[low[0]]
        solver = osqp.OSQP()
        solver.setup(
            sparse.eye(n_classes, format="csc"),
            np.zeros(n_classes),
            sparse.csc_matrix(rows @ root),
            0.2 - rows @ score,
            np.full(n_classes - 1, np.inf),
            eps_abs=1e-6,
            eps_rel=1e-6,
            verbose=False,
        )
        solver.solve()


def by_torch(problem):
    import torch

    return solve_ordered_top_k(*map(torch.as_tensor, problem))


def dense_rows(problem):
    """Build what a batched solver is given: samples x classes x features, float32."""
    logits, targets, _ = problem
    n_classes, n_features = logits.shape[1], 512
    weight = np.ones((n_classes, n_features), dtype=np.float32)
    high, low = ordering_pairs(targets, n_classes)
    return weight[high] - weight[low]


def attack_loop(n_classes, n_features, k, n, n_steps=60, n_pixels=3072):
    """Record the scores of n samples along an attack of a random network with ReLU."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((n_pixels, n_features)) * np.sqrt(2.0 / n_pixels)
    weight = 4.0 * rng.standard_normal((n_classes, n_features)) / np.sqrt(n_features)
    X, gram = rng.random((n, n_pixels)), weight @ weight.T

    def features(X):
        return np.maximum(X @ hidden, 0.0)

    y = (features(X) @ weight.T).argmax(axis=1)
    targets = sample_ordered_targets(y, n_classes, k, 0)
    perturbation, optimizer = 2e-3 * rng.standard_normal(X.shape), AdamW(0.015)
    solver, scores = OrderedTopKSolver(gram, targets), []
    for _ in range(n_steps):
        f = features(X + perturbation)
        scores.append(f @ weight.T)
        cotangent = -20.0 * solver.solve(scores[-1]).direction
        gradient = ((cotangent @ weight) * (f > 0)) @ hidden.T + 2.0 * perturbation
        perturbation = optimizer.step(perturbation, gradient)
    return scores, targets, gram


class Walk:
    """Scores along an attack, there and back, so that it can be walked again."""

    def __init__(self, n_classes, n_features, k, n):
        scores, *self.problem = attack_loop(n_classes, n_features, k, n)
        self.scores = scores[1:] + scores[-2::-1]
        self.solver = self.from_nothing()
        self.solver.solve(scores[0])

    def from_nothing(self):
        targets, gram = self.problem
        return OrderedTopKSolver(gram, targets)

    def as_tensors(self):
        import torch

        walk = copy(self)
        walk.problem = [torch.as_tensor(values) for values in self.problem]
        walk.scores = [torch.as_tensor(values) for values in self.scores]
        walk.solver = walk.from_nothing()
        return walk


def walk_at_100_classes(n):
    return Walk(100, 256, 5, n)


def walk_at_1000_classes(n):
    return Walk(1000, 512, 10, n)


def walk_with_20_targets(n):
    return Walk(1000, 512, 20, n)


def warm_loop(walk):
    """Each step's programme from the last one's solution, as the attack does."""
    for logits in walk.scores:
        walk.solver.solve(logits)


def cold_loop(walk):
    """Each step's programme from nothing."""
    zeros = np.zeros((len(walk.scores[0]), walk.scores[0].shape[1] - 1))
    for logits in walk.scores:
        walk.solver.solve(logits, warm_start=zeros)


def warm_loop_torch(walk):
    warm_loop(walk.as_tensors())


def cold_loop_torch(walk):
    cold_loop(walk.as_tensors())


TORCH_LOOPS = {
    "torch, each from the last": warm_loop_torch,
    "torch, each from nothing": cold_loop_torch,
}


def at_30_000_classes(n):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((30_000, 256)) / 16.0
    logits = 4.0 * rng.standard_normal((n, 256)) @ weight.T
    targets = sample_ordered_targets(logits.argmax(axis=1), 30_000, 10, 0)
    return logits, targets, weight


def by_weights(data):
    logits, targets, weight = data
    return solve_ordered_top_k(logits, targets, weight=weight)


def by_weights_torch(data):
    import torch

    return by_weights(tuple(map(torch.as_tensor, data)))


COMPARISONS = [
    Comparison(
        title="Nearest ordered features, C=100, p=256, K=5 (n samples)",
        setup=at_100_classes,
        ours=ours,
        peers={"cvxpy (CLARABEL)": by_clarabel, "OSQP": by_osqp, "our torch": by_torch},
        sizes=(4, 16, 256),
        peer_limits={"cvxpy (CLARABEL)": 16, "OSQP": 16},
        target="at least 50 times faster than cvxpy a sample",
    ),
    Comparison(
        title="Nearest ordered features, C=1000, p=512, K=10 (n samples)",
        setup=at_1000_classes,
        ours=ours,
        peers={"our torch": by_torch, "only building dense rows": dense_rows},
        sizes=(32, 128, 256),
        peer_limits={"only building dense rows": 128},
        target="256 samples under 2 s on 2 threads, also in torch; memory far below "
        "that of dense rows (262 MB at 128 samples)",
    ),
    *(
        Comparison(
            title=f"Programmes along an attack, each from the last, {what}",
            setup=setup,
            ours=warm_loop,
            peers={
                "each from nothing": cold_loop,
                **TORCH_LOOPS,
            },
            sizes=sizes,
            peer_limits=dict.fromkeys(TORCH_LOOPS, torch_limit),
            repeats=repeats,
            target="from the last at most half of from nothing",
        )
        for what, setup, sizes, torch_limit, repeats in (
            # calls so short take more repeats
            ("C=100, p=256, K=5", walk_at_100_classes, (64, 256), 256, 20),
            ("C=1000, p=512, K=10", walk_at_1000_classes, (64, 256), 256, 3),
            ("C=1000, p=512, K=20", walk_with_20_targets, (64,), 64, 3),
        )
    ),
    Comparison(
        title="No Gram matrix: C=30,000, p=256, K=10 (n samples)",
        setup=at_30_000_classes,
        ours=by_weights,
        peers={"our torch": by_weights_torch},
        sizes=(16,),
        threads=(2,),
        repeats=1,
        target="memory far below the 7,200 MB of the matrix",
    ),
]
