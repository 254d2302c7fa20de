"""Digits whose labels are known, and turned digits to tell apart: what a mapper is for.

A mapper is a function ``move(X_source, X_target) -> X_moved``; one more is one more line.
"""

import time
import warnings

import numpy as np
from scipy.ndimage import rotate
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import KNeighborsClassifier

from minimalml.transport import LightSchrodingerBridge, SparseTransportMapper

N_ROWS, ANGLE = 400, 25


def turned_digits(seed, n_rows=N_ROWS):
    """Return rows and labels of digits, and of other digits that are turned."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    source, target = order[:n_rows], order[n_rows : 2 * n_rows]
    turned = [rotate(x, ANGLE, reshape=False, order=1) for x in digits.images[target]]
    return (
        (digits.data[source] / 16, digits.target[source]),
        (np.reshape(turned, (n_rows, -1)) / 16, digits.target[target]),
    )


def by_pot(name, **options):
    def move(X_source, X_target):
        import ot

        mapper = getattr(ot.da, name)(**options)
        return mapper.fit(Xs=X_source, Xt=X_target).transform(X_source)

    return move


def by_mapper(mapper):
    def move(X_source, X_target):
        return mapper.fit_samples(X_source, X_target).transform(X_source)

    return move


MAPPERS = {
    "no adaptation": lambda X_source, X_target: X_source,
    "emd (POT)": by_pot("EMDTransport"),
    "Sinkhorn, reg 0.05 of the largest cost (POT)": by_pot("SinkhornTransport", reg_e=0.05, norm="max"),
    "Sinkhorn, reg 0.01 of the largest cost (POT)": by_pot("SinkhornTransport", reg_e=0.01, norm="max"),
    "k-sparse, k = 2": by_mapper(SparseTransportMapper(2)),
    "k-sparse, k = 5": by_mapper(SparseTransportMapper(5)),
    "k-sparse, k = 20 (default)": by_mapper(SparseTransportMapper(20)),
    "k-sparse, k = 20, reg 8": by_mapper(SparseTransportMapper(20, reg=8.0)),
    "k-sparse, k = 100, reg 8": by_mapper(SparseTransportMapper(100, reg=8.0)),
    "light bridge, 10 components": by_mapper(LightSchrodingerBridge(10, random_state=0)),
    "light bridge, 50 components": by_mapper(LightSchrodingerBridge(50, random_state=0)),
    "light bridge, 50, epsilon 0.1": by_mapper(
        LightSchrodingerBridge(50, epsilon=0.1, random_state=0)
    ),
}  # fmt: skip


def adapt(seed, move, n_rows=N_ROWS):
    """Return the accuracy of one neighbour on turned digits, and seconds of the map."""
    (X_source, y_source), (X_target, y_target) = turned_digits(seed, n_rows)
    with warnings.catch_warnings():
        # where few partners bind, rows are off: that is part of what is measured
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "Sinkhorn did not converge")
        start = time.perf_counter()
        moved = move(X_source, X_target)
        seconds = time.perf_counter() - start
    model = KNeighborsClassifier(1).fit(moved, y_source)
    return model.score(X_target, y_target), seconds
