"""Selection by transport against what one would use instead, and its kernel by parts.

Peers: random rows, k-means medoids, the nearest rows and the rounds of the coreset from an
open set for the selection; plain greedy,
which evaluates every row for every pick, for facility location.
"""

import numpy as np

from benchmarks.compare import Comparison
from benchmarks.transport_coreset.selection import (
    medoids,
    nearest_to_target,
    quality,
    random_rows,
    rounds,
    shifted_digits,
    transport,
)
from minimalml.resampling import TransportCoresetSelector, greedy_facility_location

BUDGETS, QUALITY_SEEDS = (20, 40, 80, 160), range(5)
SELECTORS = {
    "minimalml": transport,
    "random": random_rows,
    "k-means medoids": medoids,
    "nearest to target": nearest_to_target,
    "rounds (open set)": rounds,
}


def budget_of_digits(n):
    import ot  # noqa: F401  it takes seconds, once a process

    pool, target, _ = shifted_digits(0)
    return pool, target, n, 0


def print_quality():
    """Print what the models trained on the selections are worth, by budget."""
    print(
        f"\n{'budget':>7}  {'route':<20} {'accuracy':>9} {'log-loss':>9} {'distance':>9}"
    )
    for budget in BUDGETS:
        for name, select in SELECTORS.items():
            runs = []
            for seed in QUALITY_SEEDS:
                pool, target, test = shifted_digits(seed)
                rows = select(pool, target, budget, seed)
                runs.append(list(quality(rows, pool, target, test).values()))
            means = " ".join(f"{value:>9.3f}" for value in np.mean(runs, axis=0))
            print(f"{budget:>7}  {name:<20} {means}", flush=True)


def one_exchange_problem(n):
    import ot  # noqa: F401

    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 16)), rng.normal(0.5, 1, size=(n // 5, 16))


def exchanges(data, number):
    X, target = data
    n_selected = len(X) // 25
    TransportCoresetSelector(n_selected, max_exchanges=number).fit(X, X_target=target)


def similarity(n):
    rng = np.random.default_rng(0)
    X, target = rng.normal(size=(n, 16)), rng.normal(size=(n // 3, 16))
    return -np.linalg.norm(X[:, None] - target, axis=2)


def plain_greedy(similarity):
    n_rows, n_columns = similarity.shape
    current, picks = np.full(n_columns, -np.inf), []
    for _ in range(n_rows // 15):
        values = np.maximum(similarity, current).sum(axis=1)
        values[picks] = -np.inf
        picks.append(int(values.argmax()))
        current = np.maximum(current, similarity[picks[-1]])


COMPARISONS = [
    Comparison(
        title="Select n of 997 digits for a target of 150",
        setup=budget_of_digits,
        ours=lambda data: transport(*data),
        peers={
            name: lambda data, select=select: select(*data)
            for name, select in SELECTORS.items()
            if name != "minimalml"
        },
        sizes=BUDGETS,
        threads=(1,),
        afterwards=print_quality,
    ),
    Comparison(
        title="Ten exchanges beside none: n rows, n / 5 target rows, n / 25 selected",
        setup=one_exchange_problem,
        ours=lambda data: exchanges(data, 10),
        peers={"the start alone": lambda data: exchanges(data, 0)},
        sizes=(1_000, 2_500, 5_000),
        threads=(1,),
        repeats=1,
        target="an exchange within a second at 5,000; memory 1.2 times the costs (40 MB)",
    ),
    Comparison(
        title="Facility location: n / 15 picks of n rows, n / 3 columns",
        setup=similarity,
        ours=lambda data: greedy_facility_location(data, len(data) // 15),
        peers={"plain greedy, NumPy": plain_greedy},
        sizes=(750, 1_500, 3_000),
        threads=(1, 2),
        repeats=1,
    ),
]
