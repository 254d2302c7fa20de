"""Instances for scikit-learn's checks."""

from sklearn.linear_model import Ridge

from minimalml.mixup import CMixup, CMixupRegressor

INSTANCES = {
    "CMixup": [CMixup(), CMixup(ratio=0.5, metric="input", kernel="tophat")],
    "CMixupRegressor": [CMixupRegressor(), CMixupRegressor(Ridge(), bandwidth=0.2)],
}
