"""Speed over growing n, one module a family, for asv: ``make bench``."""

import sys
from pathlib import Path

# asv imports this folder alone; its modules may use the rest of benchmarks.
sys.path.insert(0, str(Path(__file__).parents[2]))
