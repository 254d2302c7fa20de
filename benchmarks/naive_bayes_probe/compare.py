"""NaiveBayesProbe beside scikit-learn's GaussianNB, its torch kernel, and copying the data."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB

from benchmarks.compare import Comparison
from minimalml.linear_model import (
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
    import torch

    X, y = rows(n)
    probe, peer = NaiveBayesProbe().fit(X, y), GaussianNB().fit(X[:20_000], y[:20_000])
    return X, probe, peer, torch.from_numpy(X)


def fortran_rows(n):
    X, y = rows(n)
    return np.asfortranarray(X), y


def print_share_of_bandwidth(n=200_000):
    """Print which share of the bandwidth of a plain copy each kernel reaches."""
    X, y, tensor, codes = rows_and_tensors(n)
    target = np.empty_like(X)
    for n_threads in (1, 2):
        reads = {
            "class_moments": lambda t: class_moments(X, y, N_CLASSES, n_threads=t),
            "on tensors": lambda t: tensor_moments(tensor, codes, t),
        }
        # each byte is read once and written once
        copied = 2 * X.nbytes / seconds(lambda t: copy(target, X, t), n_threads)
        print(
            f"{n:,} rows, threads {n_threads}: a copy moves {copied / 1e9:.1f} GB/s",
            end="",
        )
        for name, call in reads.items():
            read = X.nbytes / seconds(call, n_threads)
            print(f"; {name} reads {read / 1e9:.1f} GB/s, {read / copied:.0%}", end="")
        print(flush=True)


def seconds(call, n_threads):
    times = []
    for _ in range(7):
        start = time.perf_counter()
        call(n_threads)
        times.append(time.perf_counter() - start)
    return min(times)


def copy(target, X, n_threads):
    parts = [np.array_split(array, n_threads) for array in (target, X)]
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(np.copyto, *parts))


def tensor_moments(tensor, codes, n_threads):
    import torch

    torch.set_num_threads(n_threads)
    class_moments(tensor, codes, N_CLASSES)


COMPARISONS = [
    Comparison(
        title=f"fit, float32, d={N_FEATURES}, K={N_CLASSES}, growing in rows",
        setup=rows,
        ours=lambda data: NaiveBayesProbe().fit(*data),
        peers={"sklearn GaussianNB": lambda data: GaussianNB().fit(*data)},
        sizes=(12_500, 50_000, 200_000),
        repeats=5,
        target="2x GaussianNB at 50,000 rows; extra memory < 2 K d 8 threads + 16 MB",
    ),
    Comparison(
        title="predict, the same rows",
        setup=fitted,
        ours=lambda data: data[1].predict(data[0]),
        peers={
            "the same on torch tensors": lambda data: data[1].predict(data[3]),
            "sklearn GaussianNB": lambda data: data[2].predict(data[0]),
        },
        sizes=(12_500, 50_000),
        target="10x GaussianNB at 50,000 rows",
    ),
    Comparison(
        title="class_moments, the torch kernel on the same rows",
        setup=rows_and_tensors,
        ours=lambda data: class_moments(*data[:2], N_CLASSES),
        peers={
            "on torch tensors": lambda data: class_moments(*data[2:], N_CLASSES),
        },
        sizes=(12_500, 50_000, 200_000),
        repeats=7,
        target="the speed of memory",
        afterwards=print_share_of_bandwidth,
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
