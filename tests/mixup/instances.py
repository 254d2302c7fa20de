"""Instances for scikit-learn's checks."""

from sklearn.linear_model import Ridge

from minimalml.mixup import CMixup, CMixupMLPRegressor, CMixupRegressor

NEEDS_TORCH = {"CMixupMLPRegressor"}

INSTANCES = {
    "CMixup": [CMixup(), CMixup(ratio=0.5, metric="input", kernel="tophat")],
    "CMixupMLPRegressor": [
        # float64: a row alone and among others then rounds to the same prediction
        CMixupMLPRegressor((16,), max_epochs=15, dtype="float64"),
    ],
    "CMixupRegressor": [CMixupRegressor(), CMixupRegressor(Ridge(), bandwidth=0.2)],
}
