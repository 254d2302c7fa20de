"""asv's suite, ``make bench``: its classes are derived from the methods' comparisons."""

import sys
from pathlib import Path

# asv imports this folder alone; the comparisons are found from the repository's root.
sys.path.insert(0, str(Path(__file__).parents[2]))
