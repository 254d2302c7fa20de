"""The ordering programme beside general convex solvers, and its warm start."""

import numpy as np

from benchmarks.peers import Comparison
from benchmarks.speed.robustness import ordering_problem
from minimalml.robustness import ordering_pairs, solve_ordered_top_k


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


def with_start(n):
    problem = at_1000_classes(n)
    solution = solve_ordered_top_k(*problem)
    noise = np.random.default_rng(1).standard_normal(problem[0].shape)
    return (problem[0] + 0.01 * noise, *problem[1:]), solution


def warm(data):
    problem, solution = data
    return solve_ordered_top_k(*problem, warm_start=solution)


def cold(data):
    return solve_ordered_top_k(*data[0])


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
    Comparison(
        title="Start at the last iteration's solution, C=1000, K=10 (n samples)",
        setup=with_start,
        ours=warm,
        peers={"cold start": cold},
        sizes=(32, 256),
        target="a cold start takes at least 3 times as long",
    ),
]
