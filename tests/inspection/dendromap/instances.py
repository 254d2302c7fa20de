"""What scikit-learn's checks and the properties run on."""

import numpy as np

from minimalml.inspection import DendroMap

INSTANCES = {"DendroMap": [DendroMap(3), DendroMap(4, rule="size")]}
ROW_VALUES = {"DendroMap": {"y_pred": lambda n: np.arange(n) % 2}}
