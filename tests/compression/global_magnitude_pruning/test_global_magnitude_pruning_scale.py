"""Past the memory of a process."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

MAPPED = """
import resource, sys
import numpy as np
from minimalml.compression import global_magnitude_mask, global_threshold

n, path = 100_000_000, sys.argv[1]
weights = np.memmap(path, np.float32, "r", shape=(n,))
masked = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
limit = masked + n + 50_000_000  # the mask, and 50 MB: a quarter of the file in all
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    np.array(weights)
except MemoryError:
    print("a copy does not fit")
tau, _ = global_threshold([weights[: n // 2], weights[n // 2 :]], 0.9)
mask = global_magnitude_mask({"all": weights}, 0.9)["all"]
print(int(mask.sum()), round(tau, 3))
"""

RESIDENT = """
import re
import numpy as np
from minimalml.compression import global_magnitude_mask

def resident(field):
    kilobytes = re.search(rf"{field}:\\s+(\\d+)", open("/proc/self/status").read())[1]
    return 1024 * int(kilobytes)

rng = np.random.default_rng(0)
weights = [rng.standard_normal(5_000_000, np.float32) for _ in range(4)]
global_magnitude_mask([w[:100_000] for w in weights], 0.9)  # loads code and threads
open("/proc/self/clear_refs", "w").write("5")  # forgets the peak until now
before = resident("VmRSS")
masks = global_magnitude_mask(weights, 0.9)
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_resident_memory_is_a_byte_a_weight_and_two_megabytes():
    result = subprocess.run(
        [sys.executable, "-c", RESIDENT], capture_output=True, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "2"}, check=False,
    )  # fmt: skip
    assert 20_000_000 <= int(result.stdout) <= 22_000_000, result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="limits data by RLIMIT_DATA")
def test_a_file_larger_than_the_memory_allowed_is_pruned(tmp_path):
    import numpy as np

    path = tmp_path / "weights.f32"
    rng = np.random.default_rng(0)
    with open(path, "wb") as file:
        for _ in range(100):
            file.write(rng.standard_normal(1_000_000, np.float32).tobytes())
    result = subprocess.run(
        [sys.executable, "-c", MAPPED, str(path)], capture_output=True, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "2"}, check=False,
    )  # fmt: skip
    assert result.stdout.split("\n")[0] == "a copy does not fit", result.stderr
    n_kept, tau = result.stdout.split("\n")[1].split()
    assert int(n_kept) == 10_000_000
    assert abs(float(tau) - 1.645) < 0.001
