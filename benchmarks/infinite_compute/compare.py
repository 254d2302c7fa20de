"""Say in two lines what one would use instead, and why it is the peer."""

import numpy as np
from sklearn.preprocessing import StandardScaler

from benchmarks.compare import Comparison
from minimalml.ensemble import InfiniteCompute


def setup(n):
    return np.random.default_rng(0).normal(size=(n, 50))


COMPARISONS = [
    Comparison(
        title="Fit on n rows of 50 columns",
        setup=setup,
        ours=lambda X: InfiniteCompute().fit(X),
        peers={"StandardScaler": lambda X: StandardScaler(with_std=False).fit(X)},
        sizes=(1_000, 10_000, 100_000),
        target="no slower than the peer",
    ),
]
