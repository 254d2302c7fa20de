"""What scikit-learn's checks and the properties run on."""

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

from minimalml.resampling import SelectedSamplesEstimator, TransportCoresetSelector

# Sums of absolute differences don't depend on threads of BLAS, and most rows are a tie.
FEW = TransportCoresetSelector(0.8, metric="cityblock", max_exchanges=3)
INSTANCES = {
    "TransportCoresetSelector": [
        TransportCoresetSelector(max_exchanges=10),
        TransportCoresetSelector(5, metric="cityblock", n_candidates=2),
    ],
    "SelectedSamplesEstimator": [
        SelectedSamplesEstimator(LogisticRegression(), FEW),
        SelectedSamplesEstimator(Ridge(), FEW),
    ],
}

OF_SELECTOR = {
    "X_target": None,
    "y_target": None,
    "target_weight": None,
    "gradient_norm": None,  # not read without a trade-off
    "sample_domain": lambda n: np.where(np.arange(n) % 7 % 3 == 0, -1.0, 1.0),
}
ROW_VALUES = {
    "TransportCoresetSelector": OF_SELECTOR,
    "SelectedSamplesEstimator": OF_SELECTOR,
}

EXPECTED_FAILED_CHECKS = {
    "SelectedSamplesEstimator": {
        f"check_sample_weight_equivalence_on_{kind}_data": (
            "a budgeted selection sees repeated rows as more rows"
        )
        for kind in ("dense", "sparse")
    }
}
