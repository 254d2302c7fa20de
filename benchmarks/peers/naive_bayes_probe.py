"""NaiveBayesProbe beside scikit-learn's GaussianNB, and beside copying the data."""

import sys
import time

import numpy as np
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB

from benchmarks.peers import Comparison
from minimalml.linear_probe import (
    NaiveBayesProbe,
    class_moments,
    cross_validate_naive_bayes,
)

N_FEATURES, N_CLASSES = 256, 100


def rows(n):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, N_FEATURES), dtype=np.float32)
    y = rng.integers(N_CLASSES, size=n)
    means = rng.standard_normal((N_CLASSES, N_FEATURES), dtype=np.float32)
    for k in range(N_CLASSES):  # in small parts, or the peak would hide what fit takes
        X[y == k] += means[k]
    return X, y


def rows_and_tensors(n):
    import torch

    X, y = rows(n)
    return X, y, torch.from_numpy(X), torch.from_numpy(y)


def fitted(n):
    X, y = rows(n)
    return X, NaiveBayesProbe().fit(X, y), GaussianNB().fit(X[:20_000], y[:20_000])


def fortran_rows(n):
    X, y = rows(n)
    return np.asfortranarray(X), y


def seconds(call):
    times = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def rows_with_bandwidth(n):
    """Make the rows; say what the memory does and which share of it is reached."""
    X, y = rows(n)
    target = np.empty_like(X)
    copied = 2 * X.nbytes / seconds(lambda: np.copyto(target, X))
    read = X.nbytes / seconds(lambda: class_moments(X, y, N_CLASSES))
    print(
        f"    copy {copied / 1e9:.1f} GB/s (read and write, one thread), "
        f"class_moments reads {read / 1e9:.1f} GB/s: {read / copied:.0%} of it",
        file=sys.stderr,
    )
    return X, y, target


def torch_kernel(data):
    class_moments(data[2], data[3], N_CLASSES)


COMPARISONS = [
    Comparison(
        title=f"fit, float32, d={N_FEATURES}, K={N_CLASSES}, growing in rows",
        setup=rows_and_tensors,
        ours=lambda data: NaiveBayesProbe().fit(*data[:2]),
        peers={
            "sklearn GaussianNB": lambda data: GaussianNB().fit(*data[:2]),
            "class_moments, torch tensors": torch_kernel,
        },
        sizes=(12_500, 50_000, 200_000),
        repeats=5,
        target="2x GaussianNB at 50,000 rows; extra memory < 2 K d 8 threads + 16 MB",
    ),
    Comparison(
        title="predict, the same rows",
        setup=fitted,
        ours=lambda data: data[1].predict(data[0]),
        peers={"sklearn GaussianNB": lambda data: data[2].predict(data[0])},
        sizes=(12_500, 50_000),
        target="10x GaussianNB at 50,000 rows",
    ),
    Comparison(
        title="class_moments beside a copy of X (share of the copy's bandwidth: ratio/2)",
        setup=rows_with_bandwidth,
        ours=lambda data: class_moments(*data[:2], N_CLASSES),
        peers={"np.copyto": lambda data: np.copyto(data[2], data[0])},
        sizes=(50_000, 200_000),
        repeats=7,
    ),
    Comparison(
        title="fit, Fortran-ordered rows",
        setup=fortran_rows,
        ours=lambda data: NaiveBayesProbe().fit(*data),
        peers={"sklearn GaussianNB": lambda data: GaussianNB().fit(*data)},
        sizes=(50_000,),
    ),
    Comparison(
        title="10-fold cross-validation",
        setup=rows,
        ours=lambda data: cross_validate_naive_bayes(*data, cv=10),
        peers={
            "cross_val_score(NaiveBayesProbe())": lambda data: cross_val_score(
                NaiveBayesProbe(), *data, cv=10
            ),
            "cross_val_score(GaussianNB())": lambda data: cross_val_score(
                GaussianNB(), *data, cv=10
            ),
        },
        sizes=(20_000,),
        repeats=2,
    ),
]
