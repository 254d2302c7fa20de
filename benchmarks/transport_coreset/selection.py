"""Selectors of rows and what one would use instead, on digits whose classes shift."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, pairwise_distances, pairwise_distances_argmin

from minimalml._core.transport_plan import transport_plan
from minimalml.resampling import (
    OpenSetCoresetSelector,
    SampleSelectorMixin,
    SelectedSamplesEstimator,
    TransportCoresetSelector,
)

N_POOL, N_TARGET, N_TEST = 997, 150, 250


def shifted_digits(seed):
    """Draw a pool, and target and test rows where digits below 5 are 7 times as common."""
    rng = np.random.default_rng(seed)
    X, y = load_digits(return_X_y=True)
    order = rng.permutation(len(X))
    X, y = X[order] / 16, y[order]
    rest = np.arange(N_POOL, len(X))
    shares = np.where(y[rest] < 5, 4, 0.6)
    drawn = rng.choice(rest, N_TARGET + N_TEST, replace=False, p=shares / shares.sum())
    target, test = drawn[:N_TARGET], drawn[N_TARGET:]
    return [(X[rows], y[rows]) for rows in (np.arange(N_POOL), target, test)]


def random_rows(pool, target, n, seed):
    return np.random.default_rng(seed).permutation(len(pool[0]))[:n]


def medoids(pool, target, n, seed):
    """Rows nearest to the centres of k-means on the pool."""
    centers = KMeans(n, n_init=1, random_state=seed).fit(pool[0]).cluster_centers_
    return np.unique(pairwise_distances_argmin(centers, pool[0]))


def nearest_to_target(pool, target, n, seed):
    distances = pairwise_distances(pool[0], target[0]).min(axis=1)
    return np.argsort(distances, kind="stable")[:n]


def transport(pool, target, n, seed, **parameters):
    selector = TransportCoresetSelector(n, **parameters)
    labels = dict(y_target=target[1]) if selector.stratify else {}
    return selector.fit(*pool, X_target=target[0], **labels).sample_indices_


def rounds(pool, target, n, seed):
    selector = OpenSetCoresetSelector(n, stopping_ratio=None, random_state=seed)
    return selector.fit(pool[0], X_target=target[0]).sample_indices_


class Given(SampleSelectorMixin, BaseEstimator):
    """Select the rows that are given."""

    def __init__(self, rows):
        self.rows = rows

    def fit(self, X, y=None):
        self.n_samples_in_, self.sample_indices_ = len(X), np.asarray(self.rows)
        return self


def quality(rows, pool, target, test):
    """Accuracy and log-loss of a model trained on the rows, and their distance."""
    model = SelectedSamplesEstimator(LogisticRegression(max_iter=1000), Given(rows))
    rows = model.fit(*pool).sample_indices_  # with a row of each class that was lost
    cost = pairwise_distances(pool[0], target[0])
    masses = np.full(len(rows), 1 / len(rows))
    plan = transport_plan(
        masses, np.full(N_TARGET, 1 / N_TARGET), cost[rows], who="benchmarks"
    )
    return {
        "accuracy": model.score(*test),
        "log-loss": log_loss(test[1], model.predict_proba(test[0])),
        "distance": plan.value / cost.max(),
    }
