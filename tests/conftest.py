"""Settings of the whole suite."""

import importlib.util
import os
import re
import sys

# Without it scikit-learn skips check_array_api_input; scipy reads it at import.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Threads that spin while they wait take the core that another worker needs: networks on
# two threads beside a busy neighbour are ten times slower. Read when OpenMP is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections import Counter
from itertools import chain

import pytest
from hypothesis import HealthCheck, settings

QUIET = {
    "deadline": None,  # cores are shared: a deadline would flake
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
settings.register_profile("dev", max_examples=25, **QUIET)
settings.register_profile("ci", max_examples=50, derandomize=True, **QUIET)
settings.register_profile("thorough", max_examples=2000, **QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(autouse=True)
def same_draws():
    """Let ``random_state=None``, the generators of the process, draw the same again."""
    import numpy as np

    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def rng():
    import numpy as np

    return np.random.default_rng(0)


@pytest.fixture
def torch():
    """The module torch, for a test that needs it in a file where others do not."""
    return pytest.importorskip("torch")


HAS_TORCH = importlib.util.find_spec("torch") is not None
NEEDS_TORCH = re.compile(r"^(import|from) torch\b", re.MULTILINE)
left_out = []


def pytest_ignore_collect(collection_path):
    """Without torch, leave out the files that import it at their head, and say so."""
    if HAS_TORCH or not collection_path.name.startswith("test_"):
        return None
    if NEEDS_TORCH.search(collection_path.read_text("utf-8")):
        left_out.append(collection_path.name)
        return True
    return None


SLOW_FOLDER = 15.0  # seconds: a method's tests should run in 12 on an idle core


def slow_folders(reports):
    """Sum durations by tests/FAMILY/STEM, and keep those above the limit."""
    seconds = Counter()
    for report in reports:
        folders = report.nodeid.split("::")[0].split("/")[:-1]
        if len(folders) == 3:
            seconds["/".join(folders)] += report.duration
    return {folder: s for folder, s in seconds.items() if s > SLOW_FOLDER}


def pytest_terminal_summary(terminalreporter):
    if left_out:
        terminalreporter.line(f"left out, since torch is absent: {', '.join(left_out)}")
    reports = chain.from_iterable(terminalreporter.stats.values())
    timed = (report for report in reports if hasattr(report, "duration"))
    for folder, seconds in sorted(slow_folders(timed).items()):
        terminalreporter.line(
            f"slow: {folder} took {seconds:.0f} s, more than {SLOW_FOLDER:.0f}",
            yellow=True,
        )


def has_accelerator():
    if not HAS_TORCH:
        return False
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()


def pytest_collection_modifyitems(items):
    """Skip what needs an accelerator where there is none."""
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_items and not has_accelerator():
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason="no accelerator on this machine"))
