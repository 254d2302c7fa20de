"""Milliseconds of each kernel on one and two threads, alone and beside busy processes.

Run ``python -m benchmarks.threads``. A call's work may be too short to share, or a
neighbour may hold the other core: what counts is what users get, so the number of
threads is left to the library and only ``OMP_NUM_THREADS`` differs, in a process of its
own for each figure. Medians; the ratios are those of two threads to one.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time

import numpy as np

N_BUSY = 4
MOST_SECONDS = 10.0  # a figure, for kernels that take seconds; three calls at least
# They end by themselves if this script is killed.
SPIN = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


def magnitude_mask(n):
    from minimalml.compression import global_magnitude_mask

    # two layers, as the mask ranks the weights of all together
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(n // 2, dtype=np.float32) for _ in range(2)]
    return lambda: global_magnitude_mask(weights, 0.9)


def moments(n):
    from minimalml.linear_model import class_moments

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n, 256), dtype=np.float32), rng.integers(100, size=n)
    return lambda: class_moments(X, y, 100)


def partners(n, n_targets=1):
    from minimalml.resampling import TargetKernelSampler

    y = np.random.default_rng(0).normal(size=(n, n_targets))
    sampler = TargetKernelSampler(0.1).fit(y[:, 0] if n_targets == 1 else y)
    return lambda: sampler.sample(random_state=0)


def gaps(n):
    from minimalml.multioutput import czsl_gaps

    rng = np.random.default_rng(0)
    scores, pairs = rng.standard_normal((n, 2000)), rng.integers(2000, size=n)
    is_seen = np.arange(2000) < 1000
    return lambda: czsl_gaps(scores, pairs, is_seen)


def ordering_programme(n):
    from minimalml.inspection import sample_ordered_targets, solve_ordered_top_k

    rng = np.random.default_rng(0)
    weight = rng.standard_normal((1000, 512)) / np.sqrt(512)
    logits = 4 * np.abs(rng.standard_normal((n, 512))) @ weight.T
    targets = sample_ordered_targets(logits.argmax(axis=1), 1000, 10, random_state=0)
    gram = weight @ weight.T
    return lambda: solve_ordered_top_k(logits, targets, gram)


# name: (function that returns the call, its size)
KERNELS = {
    "global mask, 100k weights": (magnitude_mask, 100_000),
    "global mask, 1M weights": (magnitude_mask, 1_000_000),
    "global mask, 5M weights": (magnitude_mask, 5_000_000),
    "global mask, 20M weights": (magnitude_mask, 20_000_000),
    "class moments, 50k x 256": (moments, 50_000),
    "sorted partners, 20k": (partners, 20_000),
    "sorted partners, 1M": (partners, 1_000_000),
    "block partners, 8k, 2 targets": (lambda n: partners(n, 2), 8_000),
    "gaps, 10k x 2k": (gaps, 10_000),
    "ordering programme, 64": (ordering_programme, 64),
    "ordering programme, 256": (ordering_programme, 256),
}


@contextlib.contextmanager
def busy_processes(n):
    """Keep ``n`` processes spinning, and end them whatever happens."""
    processes = []
    try:
        for _ in range(n):
            processes.append(subprocess.Popen([sys.executable, "-c", SPIN]))
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def milliseconds_here(name, repeats):
    """Return the median time of a kernel in this process, after a call to warm up."""
    setup, size = KERNELS[name]
    call = setup(size)
    call()
    times = []
    while len(times) < repeats and (len(times) < 3 or sum(times) < 1e3 * MOST_SECONDS):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def milliseconds(name, repeats, n_threads):
    """Return the median time of a kernel in a fresh process."""
    command = [
        sys.executable, "-m", "benchmarks.threads",
        "--one", name, "--repeats", str(repeats),
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": str(n_threads)}
    result = subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return float(result.stdout.split()[-1])


def print_row(name, repeats):
    print(f"{name:<30}", end="", flush=True)
    for n_busy in (0, N_BUSY):
        with busy_processes(n_busy):
            one, two = (milliseconds(name, repeats, n) for n in (1, 2))
        print(f" {one:>9.2f} {two:>9.2f} {two / one:>8.2f}", end="", flush=True)
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--kernel", default="", help="only names that hold this text")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(milliseconds_here(arguments.one, arguments.repeats))
        return
    columns = f" {'1 thread':>9} {'2 threads':>9} {'two/one':>8}"
    print(f"{'':<30} {'idle, ms':>28} {f'beside {N_BUSY} busy processes, ms':>28}")
    print(f"{'':<30}{columns}{columns}")
    for name in KERNELS:
        if arguments.kernel in name:
            print_row(name, arguments.repeats)


if __name__ == "__main__":
    main()
