"""The demo: where each family's methods shine, beside what one would use instead.

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
    """Families that have a demo."""
    names = {module.name for module in pkgutil.iter_modules(__path__)}
    return sorted(name for name in names if not name.startswith("_"))


def run(families, report, quick=False):
    """Run the demos, print their tables and write the report; return the exit code."""
    try:
        for module in ("torch", "matplotlib.pyplot"):
            import_optional(module, who="The demo", extra="torch,plot")
    except ImportError as error:
        print(error, file=sys.stderr)
        return 2
    from minimalml._demo._measure import measure, plain_table
    from minimalml._demo._report import write_report

    start, results = time.perf_counter(), []
    for family in families:
        demo = importlib.import_module(f"minimalml._demo.{family}").demo(quick)
        print(f"{demo.title}\n{demo.data}\n", flush=True)
        results.append(measure(demo))
        print(f"{plain_table(results[-1])}\n{results[-1].verdict()}\n", flush=True)
    seconds = time.perf_counter() - start
    path = Path(report).resolve()
    write_report(path, results, seconds)
    print(f"{seconds:.0f} s. The report, with plots, is {path}")
    return 0
