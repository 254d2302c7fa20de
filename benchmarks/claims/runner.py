"""Run the claims of one method and keep what came out."""

import importlib
import json
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import sklearn

RESULTS = Path(__file__).parent / "results"
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
    return sorted(
        path.stem
        for path in Path(__file__).parent.glob("*.py")
        if not path.stem.startswith("_") and path.stem != "runner"
    )


def experiments_of(stem):
    """Return the experiments of a claim script, in the order they are written."""
    module = importlib.import_module(f"benchmarks.claims.{stem}")
    return [f for f in vars(module).values() if hasattr(f, "claim_statement")]


def run(stem):
    """Run, print and store all claims of one method; return the outcomes by name."""
    outcomes = {}
    for experiment in experiments_of(stem):
        print(f"claim     {experiment.claim_statement}", flush=True)
        start = time.perf_counter()
        outcome = experiment()
        seconds = time.perf_counter() - start
        print(f"measured  {outcome.summary}")
        print(f"verdict   {outcome.verdict}   ({seconds:.0f} s)\n", flush=True)
        outcomes[experiment.__name__] = {
            "claim": experiment.claim_statement,
            **asdict(outcome),
        }
    RESULTS.mkdir(exist_ok=True)
    record = {
        "method": stem,
        "python": platform.python_version(),
        "scikit-learn": sklearn.__version__,
        "claims": outcomes,
    }
    (RESULTS / f"{stem}.json").write_text(json.dumps(record, indent=1) + "\n")
    return outcomes
