"""Sums by group beside NumPy's and scipy's ways, on one thread.

Run ``OMP_NUM_THREADS=1 python -m benchmarks.groups``. Seconds of the thread's own time,
the best of several calls; ratios are those of the other way to ours.
"""

import argparse
import time

import numpy as np
from scipy import sparse

from minimalml._core.groups import GroupIndex

SIZES = ((200_000, 20), (50_000, 100), (20_000, 200))


def milliseconds(call, n_calls):
    """Return the least time of a call."""
    times = []
    for _ in range(n_calls):
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    return 1e3 * min(times)


def ways(X, index):
    """Return the ways to add up the rows of each group, by name."""
    parts = np.ones(len(X), X.dtype), index.order, index.offsets
    indicator = sparse.csr_array(parts, shape=(len(index), len(X)))
    return {
        "ours": lambda: index.sum(X),
        "reduceat": lambda: np.add.reduceat(X[index.order], index.offsets[:-1]),
        "indicator": lambda: indicator @ X,
    }


def main():
    """Print a line for each shape, size of bags and dtype."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=15)
    n_calls = parser.parse_args().calls
    rng = np.random.default_rng(0)
    print(
        f"{'rows':>8} {'columns':>7} {'bag':>4} {'dtype':>8} {'ms':>6} reduceat indicator"
    )
    for n_rows, n_columns in SIZES:
        for bag_size in (8, 200):
            index = GroupIndex(rng.permutation(n_rows) // bag_size, n_rows)
            for dtype in (np.float64, np.float32):
                X = rng.standard_normal((n_rows, n_columns), dtype=dtype)
                ms = {k: milliseconds(f, n_calls) for k, f in ways(X, index).items()}
                ours = ms["ours"]
                print(
                    f"{n_rows:8} {n_columns:7} {bag_size:4} {X.dtype!s:>8} {ours:6.2f} "
                    f"{ms['reduceat'] / ours:7.1f}x {ms['indicator'] / ours:8.1f}x"
                )


if __name__ == "__main__":
    main()
