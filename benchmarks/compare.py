"""Time ours and the peers, each in a process of its own, over growing n and threads.

A script ``benchmarks/STEM/compare.py`` holds ``COMPARISONS``, a list of `Comparison`;
``python -m benchmarks STEM`` prints the table over growing n, for 1 and 2 threads, with
peak memory. asv's suite is derived from the same table.

One process a measurement: peak memory is then the measurement's own, and the number
of threads holds for every library in it.
"""

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from minimalml._methods import load_methods

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class Comparison:
    """One question: how long, beside the peers, over growing n.

    Attributes
    ----------
    title : str
        What is measured, with units of n.
    setup : callable
        ``setup(n) -> data``; neither timed nor counted in memory.
    ours : callable
        ``ours(data)``, the call that is measured.
    peers : dict of str to callable
        What one would use instead, called the same way.
    sizes : sequence of int
        The values of n, growing.
    peer_limits : dict of str to int
        Largest n at which a peer is run (a dense route that would not fit).
    threads : sequence of int
        Thread counts.
    repeats : int
        Runs a measurement; the fastest counts. The first also warms caches.
    target : str
        The aim in words, printed under the table.
    afterwards : callable
        ``afterwards()`` prints what the table does not say.
    """

    title: str
    setup: Callable
    ours: Callable
    peers: dict
    sizes: Sequence[int]
    peer_limits: dict = field(default_factory=dict)
    threads: Sequence[int] = (1, 2)
    repeats: int = 3
    target: str = ""
    afterwards: Callable | None = None

    def routes(self, n):
        """Names of what runs at size ``n``, ours first."""
        allowed = [p for p in self.peers if n <= self.peer_limits.get(p, n)]
        return ["minimalml", *allowed]


def peak_memory():
    """Peak resident memory of this process in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measure_here(stem, index, n, route):
    """Measure one route in this process: seconds and extra bytes."""
    comparison = load(stem)[index]
    data = comparison.setup(n)
    call = comparison.ours if route == "minimalml" else comparison.peers[route]
    before, times = peak_memory(), []
    for _ in range(comparison.repeats):
        start = time.perf_counter()
        call(data)
        times.append(time.perf_counter() - start)
    return {"seconds": min(times), "bytes": peak_memory() - before}


def measure(stem, index, n, route, n_threads):
    """Measure one route in a fresh process."""
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(n_threads))
    command = [
        sys.executable, "-m", "benchmarks", stem,
        "--one", str(index), str(n), route,
    ]  # fmt: skip
    result = subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(result.stdout.splitlines()[-1])


def load(stem):
    """Return the comparisons of one script."""
    return importlib.import_module(f"benchmarks.{stem}.compare").COMPARISONS


def available():
    """Stems of all comparisons."""
    folder = Path(__file__).parent
    return sorted(path.parent.name for path in folder.glob("*/compare.py"))


def stems_by_name():
    """Stems that each accepted name runs: a stem runs itself, a family all of its own."""
    stems = available()
    names = {}
    for method in load_methods():
        if method.stem in stems:
            names.setdefault(method.family, []).append(method.stem)
    return names | {stem: [stem] for stem in stems}


def print_comparison(stem, index, comparison):
    """Print one table."""
    print(f"\n{comparison.title}")
    print(
        f"{'n':>11} {'threads':>7}  {'route':<34} {'seconds':>10} {'ratio':>8} {'MB':>9}"
    )
    for n in comparison.sizes:
        for n_threads in comparison.threads:
            ours = None
            for route in comparison.routes(n):
                result = measure(stem, index, n, route, n_threads)
                ours = ours or result
                print(
                    f"{n:>11,} {n_threads:>7}  {route:<34} {result['seconds']:>10.4g} "
                    f"{result['seconds'] / ours['seconds']:>7.2f}x "
                    f"{result['bytes'] / 1e6:>9.1f}",
                    flush=True,
                )
    if comparison.target:
        print(f"target: {comparison.target}")
    if comparison.afterwards:
        comparison.afterwards()


def main(argv=None):
    """Run ``python -m benchmarks``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare a method with what one would use instead.",
    )
    names = stems_by_name()
    parser.add_argument("name", choices=sorted(names), help="which method, or family")
    parser.add_argument("--one", nargs=3, metavar=("INDEX", "N", "ROUTE"),
                        help=argparse.SUPPRESS)  # fmt: skip
    arguments = parser.parse_args(argv)
    if arguments.one:
        index, n, route = arguments.one
        print(json.dumps(measure_here(arguments.name, int(index), int(n), route)))
        return
    print(
        "seconds: best of several runs; ratio: seconds over minimalml's; MB: extra peak"
    )
    for stem in names[arguments.name]:
        for index, comparison in enumerate(load(stem)):
            print_comparison(stem, index, comparison)
