"""AggregateRidge beside scikit-learn's Ridge on repeated means and on means of bags.

These are its two ends, so they cost what one would pay today; what lies between them,
its choice, streams and networks on bags are set beside them.
"""

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge

from benchmarks.compare import Comparison
from minimalml.bags import AggregateMLPRegressor, AggregateRidge, aggregate_risk
from minimalml.datasets import make_aggregate_regression

N_FEATURES, BAG_SIZE, CALL_ROWS = 50, 8, 100_000


def rows(n):
    X, y, bags, _ = make_aggregate_regression(
        n, N_FEATURES, bag_size=BAG_SIZE, random_state=0
    )
    return X, y, bags


def ridge_on_means(data):
    X, y, bags = data
    table = pd.DataFrame(X).groupby(bags)
    return Ridge(1.0).fit(
        table.mean(), pd.Series(y).groupby(bags).first(), table.size()
    )


def calls(n):
    """Yield the rows of a stream, each call's bags whole; none is kept."""
    coef = np.ones(20)
    for first in range(0, n, CALL_ROWS):
        X = np.random.default_rng(first).standard_normal(
            (min(CALL_ROWS, n - first), 20)
        )
        means = (X @ coef).reshape(-1, BAG_SIZE).mean(axis=1)
        yield X, means.repeat(BAG_SIZE), np.arange(len(X)) // BAG_SIZE


def streamed(n):
    model = AggregateRidge(random_state=0)
    for X, y, bags in calls(n):
        model.partial_fit(X, y, bags)
    return model


def all_at_once(n):
    X, y, _ = (np.concatenate(parts) for parts in zip(*calls(n), strict=True))
    return Ridge(solver="cholesky").fit(X, y)


def network(data, bags):
    settings = {"max_epochs": 5, "random_state": 0, "device": "cpu"}
    return AggregateMLPRegressor((64, 64), **settings).fit(*data[:2], bags)


def simulated(ratios):
    X, y, bags, _ = make_aggregate_regression(600, 100, random_state=0)
    model = AggregateRidge(interpolation=0.3, fit_intercept=False)
    for _ in ratios[:100]:  # a hundredth of the draws that 4 digits of each would take
        model.fit(X, y, bags)


COMPARISONS = [
    Comparison(
        title=f"Fit n rows of {N_FEATURES} columns in bags of {BAG_SIZE}, weight 0.3",
        setup=rows,
        ours=lambda data: AggregateRidge(1.0, interpolation=0.3).fit(*data),
        peers={
            "the same, weight chosen": lambda data: AggregateRidge(1.0).fit(*data),
            "Ridge on repeated means": lambda data: Ridge(1.0, solver="cholesky").fit(
                *data[:2]
            ),
            "Ridge on means by pandas": ridge_on_means,
        },
        sizes=(20_000, 200_000),
        repeats=5,
        target="2.5x Ridge(solver='cholesky') on the rows; less extra memory than 0.3 X",
    ),
    Comparison(
        title="A stream of n rows of 20 columns, 100,000 a call, weight chosen each time",
        setup=lambda n: n,
        ours=streamed,
        peers={"Ridge, all rows in memory": all_at_once},
        sizes=(1_000_000, 10_000_000),
        peer_limits={"Ridge, all rows in memory": 1_000_000},
        threads=(1,),
        repeats=1,
        target="memory of one call, whatever n (both make their rows, which is timed)",
    ),
    Comparison(
        title=f"Five epochs of a network on n rows in bags of {BAG_SIZE}",
        setup=rows,
        ours=lambda data: network(data, data[2]),
        peers={"the same on single rows": lambda data: network(data, None)},
        sizes=(20_000,),
        target="no slower than single rows",
    ),
    Comparison(
        title="The risk at n sets of parameters",
        setup=lambda n: np.linspace(1.1, 20, n),
        ours=lambda ratios: aggregate_risk(ratios, 4, 0.3),
        peers={"100 simulated draws (600 rows)": simulated},
        sizes=(1_000, 10_000),
        target="0.1 s for 10,000",
    ),
]
