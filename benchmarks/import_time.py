"""How long ``import minimalml`` takes beyond scikit-learn's own import.

``python -m benchmarks.import_time`` prints the median of several fresh processes for
the package, for each of its rooms, and for scikit-learn alone, and whether torch came
along.
"""

import statistics
import subprocess
import sys

import minimalml

PROGRAM = """
import sys, time
start = time.perf_counter()
import sklearn, sklearn.base, sklearn.utils
middle = time.perf_counter()
import minimalml
{statement}
end = time.perf_counter()
print(middle - start, end - middle, "torch" in sys.modules)
"""


def measure(statement, repeats):
    """Median seconds of scikit-learn's import and of ours after it, and torch or not."""
    command = [sys.executable, "-c", PROGRAM.format(statement=statement)]
    runs = [
        subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for _ in range(repeats)
    ]
    theirs, ours, torch = zip(*(line.split() for line in runs), strict=True)
    return (
        statistics.median(map(float, theirs)),
        statistics.median(map(float, ours)),
        "True" in torch,
    )


def main(repeats=7):
    """Print the table."""
    print(f"median of {repeats} processes; seconds beyond scikit-learn's own import")
    theirs, ours, torch = measure("", repeats)
    print(f"{'scikit-learn itself':<28} {theirs:8.3f}")
    print(f"{'minimalml':<28} {ours:8.3f}  {'torch!' if torch else 'no torch'}")
    for room in sorted(minimalml._SUBPACKAGES - {"testing"}):
        _, seconds, torch = measure(f"minimalml.{room}", repeats)
        name = f"minimalml.{room}"
        print(f"{name:<28} {seconds:8.3f}  {'torch!' if torch else 'no torch'}")


if __name__ == "__main__":
    main()
