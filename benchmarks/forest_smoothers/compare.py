"""Effective parameters and weights beside what scikit-learn's users do: apply and compare.

The other route is that of studies of forest weights: leaves by ``apply``, compared row by
training row, one dense array a tree.
"""

from functools import cache

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor

from benchmarks.compare import Comparison
from minimalml.datasets import make_mars
from minimalml.inspection import (
    SmootherAnalysis,
    effective_parameters,
    smoother_weights,
)

N_TREES, N_NEW = 100, 500


def forest_and_rows(n, **settings):
    """Return a forest, its n training rows and n new ones."""
    X, y = make_mars(2 * n, random_state=0)
    forest = RandomForestRegressor(N_TREES, n_jobs=2, random_state=0, **settings)
    return forest.fit(X[:n], y[:n]), X[:n], X[n:]


def shallow_forest_and_rows(n):
    return forest_and_rows(n, min_samples_leaf=20)


def boosting_and_rows(n):
    X, y = make_mars(n + N_NEW, random_state=0)
    model = GradientBoostingRegressor(max_leaf_nodes=8, max_depth=None)
    analysis = SmootherAnalysis(model, random_state=0).fit(X[:n], y[:n])
    return analysis, X[:n], X[n:]


def parameters(data):
    forest, X_train, X_new = data
    return effective_parameters(forest, X_new, X_train=X_train)


def asked_again(data):
    """Ask an analysis that has been fitted."""
    analysis, _, X_new = data
    return analysis.effective_parameters(X_new)


def sparse_weights(data):
    forest, X_train, X_new = data
    return smoother_weights(forest, X_new, X_train=X_train, output="sparse")


def dense_weights(data):
    """Compare the leaves of all pairs of rows, tree by tree."""
    forest, X_train, X_new = data
    train_leaves, new_leaves = forest.apply(X_train), forest.apply(X_new)
    weights = np.zeros((len(X_new), len(X_train)))
    shares = np.empty_like(weights)
    for tree, rows in enumerate(forest.estimators_samples_):
        counts = np.bincount(rows, minlength=len(X_train)).astype(float)
        together = new_leaves[:, tree, None] == train_leaves[:, tree]
        np.multiply(together, counts, out=shares)
        shares /= shares.sum(axis=1, keepdims=True)
        weights += shares
    return weights / forest.n_estimators


def dense_parameters(data):
    weights = dense_weights(data)
    return len(data[1]) / len(weights) * (weights**2).sum()


def leaves_alone(data):
    """Look up the leaves of all rows and nothing else: scikit-learn's part of the work."""
    forest, X_train, X_new = data
    return forest.apply(X_train), forest.apply(X_new)


def dense_boosting(data):
    """Carry the weights of all rows from stage to stage by dense products."""
    model, X_train, X_new = data[0].estimator_, *data[1:]
    n, rate = len(X_train), model.learning_rate
    S, S_new = np.full((n, n), 1 / n), np.full((len(X_new), n), 1 / n)
    stages = zip(model.apply(X_train).T, model.apply(X_new).T, strict=True)
    for leaves, new_leaves in stages:
        A, B = leaves[:, None] == leaves, new_leaves[:, None] == leaves
        A, B = (C / C.sum(axis=1, keepdims=True) for C in (A, B))
        left = np.eye(n) - S
        S, S_new = S + rate * A @ left, S_new + rate * B @ left
    return n / len(X_new) * (S_new**2).sum()


@cache
def results_agree():
    data = forest_and_rows(300)
    assert np.isclose(parameters(data), dense_parameters(data), rtol=1e-12)
    np.testing.assert_allclose(sparse_weights(data).toarray(), dense_weights(data))
    data = boosting_and_rows(300)
    assert np.isclose(parameters(data), dense_boosting(data), rtol=1e-10)
    print("checked: all routes give the same numbers")


COMPARISONS = [
    Comparison(
        title=f"effective parameters of {N_TREES} full trees, n training and n new rows",
        setup=forest_and_rows,
        ours=parameters,
        peers={"apply and compare": dense_parameters, "apply alone": leaves_alone},
        sizes=(500, 2_000, 5_000, 20_000, 100_000),
        peer_limits={"apply and compare": 5_000},
        threads=(2,),
        repeats=2,
        target="20 times as fast at 5,000 within 200 MB; 100,000 in a minute, 2 threads",
    ),
    Comparison(
        title=f"the same, {N_TREES} trees with at least 20 rows a leaf",
        setup=shallow_forest_and_rows,
        ours=parameters,
        peers={"apply and compare": dense_parameters},
        sizes=(500, 2_000, 5_000),
        threads=(1,),
        repeats=2,
    ),
    Comparison(
        title=f"sparse weights of {N_TREES} full trees, n training and n new rows",
        setup=forest_and_rows,
        ours=sparse_weights,
        peers={"apply and compare": dense_weights},
        sizes=(500, 2_000, 5_000),
        threads=(1,),
        repeats=2,
    ),
    Comparison(
        title=f"effective parameters of 100 boosted trees, n training, {N_NEW} new rows",
        setup=boosting_and_rows,
        ours=parameters,
        peers={
            "dense products": dense_boosting,
            "SmootherAnalysis, after its fit": asked_again,
        },
        sizes=(500, 1_000, 2_000),
        threads=(1,),
        repeats=1,
        afterwards=results_agree,
    ),
]
