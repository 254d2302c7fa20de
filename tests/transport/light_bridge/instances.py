"""What scikit-learn's checks and the properties run on."""

import numpy as np

from minimalml.transport import LightSchrodingerBridge

# scikit-learn's checks fit a few rows
INSTANCES = {
    "LightSchrodingerBridge": [
        LightSchrodingerBridge(2),
        LightSchrodingerBridge(2, covariance_type="full", init="samples"),
        LightSchrodingerBridge(2, solver="adam", max_iter=20, batch_size=16),
    ]
}
ROW_VALUES = {
    "LightSchrodingerBridge": {"sample_domain": lambda n: np.arange(n) % 3 - 1}
}
