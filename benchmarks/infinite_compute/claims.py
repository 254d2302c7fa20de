"""The paper's headline, on data that ships or installs with the package, over seeds."""

import numpy as np

from benchmarks.claims import Outcome, claim
from minimalml.ensemble import InfiniteCompute

SEEDS = range(10)


def remaining_mean(seed):
    X = np.random.default_rng(seed).normal(size=(100, 3)) + 5
    return float(np.abs(InfiniteCompute().fit_transform(X).mean(axis=0)).max())


@claim("After it the mean of each column is zero (to rounding)")
def columns_are_centred():
    largest = max(remaining_mean(seed) for seed in SEEDS)
    return Outcome(
        "reproduced" if largest < 1e-12 else "not reproduced",
        summary=f"{len(SEEDS)} seeds: the largest mean left is {largest:.1e}.",
        measured={"largest mean": largest},
    )
