"""Instances for scikit-learn's checks."""

from minimalml.mixup import CMixup, CMixupMLPRegressor

INSTANCES = {
    "CMixup": [CMixup(), CMixup(ratio=0.5, metric="input", kernel="tophat")],
    "CMixupMLPRegressor": [
        # float64: a row alone and among others then rounds to the same prediction
        CMixupMLPRegressor((16,), max_epochs=15, dtype="float64"),
    ],
}
