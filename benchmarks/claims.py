"""Headline claims of the papers, run again, and what came out.

A script ``benchmarks/STEM/claims.py`` marks each of its experiments with `claim`::

    @claim("C-Mixup beats mixup and no mixing on shifted data (worst-domain RMSE)")
    def rotated_digits():
        ...
        return Outcome("reproduced", summary="...", measured={...})

``python -m minimalml claims STEM`` runs them, prints claim, measured and verdict, and
writes ``benchmarks/STEM/results.json``, which the documentation reads.
"""

import importlib
import json
import platform
import re
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = {"scikit-learn": "sklearn", "numpy": "numpy", "torch": "torch"}
VERDICTS = ("reproduced", "partly", "not reproduced")


@dataclass
class Outcome:
    """What one experiment found.

    Attributes
    ----------
    verdict : {"reproduced", "partly", "not reproduced"}
        Whether the claim held.
    summary : str
        One or two sentences with the figures, mean and spread over seeds.
    measured : dict
        The figures themselves: numbers, strings, lists and dictionaries of them.
    """

    verdict: str
    summary: str
    measured: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(
                f"verdict must be one of {VERDICTS}, got {self.verdict!r}."
            )


def claim(statement):
    """Mark a function without arguments as the experiment behind ``statement``."""

    def mark(function):
        function.claim_statement = statement
        return function

    return mark


def available():
    """Stems of all claim scripts."""
    return sorted(path.parent.name for path in HERE.glob("*/claims.py"))


def experiments_of(stem):
    """Return the experiments of a claim script by name, in the order of the script."""
    module = importlib.import_module(f"benchmarks.{stem}.claims")
    return {k: f for k, f in vars(module).items() if hasattr(f, "claim_statement")}


def run(stem, names=()):
    """Run, print and keep the claims of one method, or those of ``names`` alone."""
    experiments = experiments_of(stem)
    for name in names or experiments:
        statement = experiments[name].claim_statement
        print(f"claim     {statement}", flush=True)
        start = time.perf_counter()
        outcome = experiments[name]()
        seconds = time.perf_counter() - start
        print(f"measured  {outcome.summary}")
        print(f"verdict   {outcome.verdict}   ({seconds:.0f} s)\n", flush=True)
        keep(stem, name, {"claim": statement, **asdict(outcome)})


def keep(stem, name, result):
    """Write one claim into the results of ``stem``, beside those kept before.

    Each claim carries the versions it was measured with. One whose experiment has left
    the script goes.
    """
    kept = results_of(stem) | {name: result | {"versions": versions()}}
    claims = {known: kept[known] for known in experiments_of(stem) if known in kept}
    record = {"method": stem, "claims": claims}
    results_file(stem).write_text(as_json(record), "utf-8")


def as_json(record):
    """Return JSON with a line for each name, where lists of numbers take one."""
    text = json.dumps(record, indent=1, ensure_ascii=False)
    innermost = re.compile(r"\[\s+([^][{}]*?)\s+\]")
    return innermost.sub(lambda m: f"[{' '.join(m[1].split())}]", text) + "\n"


def results_file(stem):
    """Return the path of the kept claims of one method."""
    return HERE / stem / "results.json"


def results_of(stem):
    """Return the kept claims of one method by name; none where none was run."""
    path = results_file(stem)
    if not path.exists():
        return {}
    record = json.loads(path.read_text("utf-8"))
    # Files used to name the versions once, for all their claims
    of_all = {k: v for k, v in record.items() if k not in ("method", "claims")}
    return {
        name: result | {"versions": result.get("versions", of_all)}
        for name, result in record["claims"].items()
    }


def versions():
    """Return the versions that figures may hang on; torch's only where it was used."""
    found = {"python": platform.python_version()}
    for package, module in PACKAGES.items():
        if module in sys.modules:
            found[package] = sys.modules[module].__version__
    return found
