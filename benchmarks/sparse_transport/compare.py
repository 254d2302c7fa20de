"""k-sparse transport beside POT's: same dual, same solver, same accuracy; and mappers.

Both maximise the dual by scipy's L-BFGS. POT stops by the change of its value as well, so
its tolerance is as small as can be; what both reach is printed.
"""

import time
import warnings

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.exceptions import ConvergenceWarning

from benchmarks.compare import Comparison
from benchmarks.sparse_transport._adaptation import MAPPERS, adapt
from minimalml.transport import (
    sparse_transport,
    sparse_transport_routing,
)
from minimalml.transport._sparse_transport._dual import SemiDual

MAX_NONZEROS, TOLERANCE = 10, 1e-6
REG = 20.0  # at all n some nine entries a column, so that all can be solved


def problem(n):
    import ot  # noqa: F401 - not to be timed with the first call

    X, Y = np.random.default_rng(0).standard_normal((2, n, 2))
    return np.full(n, 1 / n), cdist(X, Y, "sqeuclidean")


def by_us(data):
    mass, cost = data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return sparse_transport(
            mass, mass, cost, max_nonzeros=MAX_NONZEROS, reg=REG, tol=TOLERANCE
        )


def by_pot(data):
    import ot

    mass, cost = data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ot.smooth.smooth_ot_semi_dual(
            mass, mass, cost, REG, "sparsity_constrained", max_nz=MAX_NONZEROS,
            stopThr=1e-12, numItermax=1000, log=True,
        )  # fmt: skip


def print_what_was_reached():
    """Print value and row error of both, and the seconds of one evaluation."""
    import ot

    for n in (200, 1000):
        mass, cost = problem(n)
        ours, (plan, log) = by_us((mass, cost)), by_pot((mass, cost))
        print(
            f"n = {n:,}: value {ours.value:.10f} (POT {-log['res'].fun:.10f}), rows off by "
            f"{ours.row_violation:.1e} (POT {np.abs(plan.sum(axis=1) - mass).sum():.1e}), "
            f"iterations {ours.n_iter} (POT {log['res'].nit})"
        )
    rule = ot.smooth.SparsityConstrained(MAX_NONZEROS, REG)
    for n in (200, 1000, 3000):
        mass, cost = problem(n)
        dual, alpha = (
            SemiDual(cost.T.copy(), mass, mass, REG, MAX_NONZEROS),
            np.zeros(n),
        )
        seconds = best_of(lambda dual=dual, alpha=alpha: dual(alpha), 10)
        theirs = best_of(
            lambda mass=mass, cost=cost, alpha=alpha: ot.smooth.semi_dual_obj_grad(
                alpha, mass, mass, cost, rule
            )
        )
        print(
            f"one evaluation of the dual at n = {n:,}: {1e9 * seconds / n**2:.2f} ns a cost, "
            f"{theirs / seconds:.0f} times faster than POT's"
        )


def best_of(call, repeats=3):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def logits(n):
    return np.random.default_rng(0).normal(size=(n, 16)).astype(np.float32)


def route(data):
    sparse_transport_routing(data)


def route_tensor(data):
    import torch

    sparse_transport_routing(torch.from_numpy(data))


def route_by_sinkhorn(data):
    """Take an entropic plan, then the largest entries of each expert's column."""
    import ot
    from scipy.special import softmax

    n_tokens, n_experts = data.shape
    gates = softmax(data.astype(np.float64), axis=-1)
    loads = np.full(n_experts, n_tokens / n_experts)
    plan = ot.sinkhorn(np.ones(n_tokens), loads, -gates, reg=0.05)
    np.argpartition(-plan, n_tokens // n_experts - 1, axis=0)[: n_tokens // n_experts]


def print_mappers(n_seeds=3):
    """Print what each mapper makes of turned digits, and how long it takes."""
    print(
        "400 digits moved onto 400 others turned by 25 degrees, one neighbour, 3 seeds:"
    )
    for name, move in MAPPERS.items():
        accuracy, seconds = zip(*(adapt(s, move) for s in range(n_seeds)), strict=True)
        print(
            f"  {name:<46} accuracy {np.mean(accuracy):.3f} ± {np.std(accuracy, ddof=1):.3f}"
            f"   {np.mean(seconds):6.2f} s",
            flush=True,
        )


COMPARISONS = [
    Comparison(
        title=f"A plan of n rows and n columns, at most {MAX_NONZEROS} non-zeros a column",
        setup=problem,
        ours=by_us,
        peers={"ot.smooth_ot_semi_dual (POT)": by_pot},
        sizes=(200, 1000, 3000),
        peer_limits={"ot.smooth_ot_semi_dual (POT)": 1000},
        repeats=2,
        target="at least 5x on one thread at n = 1000, at the same value; memory: one copy "
        "of the costs",
        afterwards=print_what_was_reached,
    ),
    Comparison(
        title="Routing n tokens to 16 experts, float32",
        setup=logits,
        ours=route,
        peers={
            "the same on a tensor": route_tensor,
            "Sinkhorn + top-k (POT)": route_by_sinkhorn,
        },
        sizes=(256, 4096),
        threads=(1,),
        afterwards=print_mappers,
    ),
]
