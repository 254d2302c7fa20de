"""Scores of columns against scikit-learn's from nearest neighbours, and correlation.

scikit-learn's ``n_jobs`` gets the threads of the measurement. An F-test of correlation
shows what reading all columns costs at least.
"""

import os

import numpy as np
from sklearn.feature_selection import (
    f_classif,
    f_regression,
    mutual_info_classif,
    mutual_info_regression,
)

from benchmarks.compare import Comparison
from minimalml.linear_model import mutual_information_scores

N_JOBS = int(os.environ.get("OMP_NUM_THREADS", 1))


def table(n_rows, n_columns):
    X = np.random.default_rng(0).normal(size=(n_rows, n_columns))
    return X, X[:, 0] ** 2 + X[:, 1]


def wide(n):
    """Draw 1,000 rows of ``n`` columns."""
    return table(1_000, n)


def long(n):
    """Draw ``n`` rows of 50 columns."""
    return table(n, 50)


def with_classes(draw):
    """Return ``draw`` with a target of two classes."""

    def drawn(n):
        X, y = draw(n)
        return X, (y > np.median(y)).astype(int)

    return drawn


def densities(data):
    mutual_information_scores(*data, method="kde")


def histograms(data):
    mutual_information_scores(*data, method="binning")


REGRESSION = {
    "sklearn mutual_info_regression": lambda data: mutual_info_regression(
        *data, random_state=0, n_jobs=N_JOBS
    ),
}
CLASSIFICATION = {
    "sklearn mutual_info_classif": lambda data: mutual_info_classif(
        *data, random_state=0, n_jobs=N_JOBS
    ),
}
F_REGRESSION = {"sklearn f_regression": lambda data: f_regression(*data)}
F_CLASSIF = {"sklearn f_classif": lambda data: f_classif(*data)}
WIDE, LONG = (200, 2_000), (300, 3_000, 30_000)

COMPARISONS = [
    Comparison(
        title="Densities, 1,000 rows of n columns",
        setup=wide,
        ours=densities,
        peers=REGRESSION,
        sizes=WIDE,
        repeats=2,
        target="at least 3x mutual_info_regression at 2,000 columns",
    ),
    Comparison(
        title="Densities, n rows of 50 columns",
        setup=long,
        ours=densities,
        peers=REGRESSION,
        sizes=LONG,
        threads=(1,),
        repeats=2,
    ),
    Comparison(
        title="Histograms, 1,000 rows of n columns",
        setup=wide,
        ours=histograms,
        peers=REGRESSION | F_REGRESSION,
        sizes=WIDE,
        threads=(1,),
        repeats=2,
        target="at least 20x mutual_info_regression at 2,000 columns",
    ),
    Comparison(
        title="Histograms, n rows of 50 columns, two classes",
        setup=with_classes(long),
        ours=histograms,
        peers=CLASSIFICATION | F_CLASSIF,
        sizes=LONG,
        threads=(1,),
        repeats=2,
    ),
]
