"""The demo: each family's methods against what one would use instead, on real data.

A family adds one module here, named after it, with a function ``demo(quick)`` that
returns a `Demo`; the command ``python -m minimalml demo`` finds it.
"""

import importlib
import pkgutil
import sys
import time
from pathlib import Path

from minimalml._core.optional import import_optional

__all__ = ["available", "run"]


def available():
    """Families that have a demo and are part of this installation."""
    demos = {m.name for m in pkgutil.iter_modules(__path__)}
    package = importlib.import_module("minimalml")
    return sorted(name for name in demos if name in package._SUBPACKAGES)


def run(families, report, quick=False):
    """Run the demos, print their tables and write the report; return the exit code."""
    try:
        for module in ("rich", "torch", "matplotlib.pyplot"):
            import_optional(module, who="The demo", extra="torch,plot,progress")
    except ImportError as error:
        print(error, file=sys.stderr)
        return 2
    from minimalml._demo._compare import compare
    from minimalml._demo._report import print_result, write_report

    start, results = time.perf_counter(), []
    for family in families:
        demo = importlib.import_module(f"minimalml._demo.{family}").demo(quick)
        results.append(compare(demo))
        print_result(results[-1])
    seconds = time.perf_counter() - start
    path = Path(report).resolve()
    write_report(path, results, seconds)
    print(f"\n{seconds:.0f} s. The report, with plots, is {path}")
    return 0
