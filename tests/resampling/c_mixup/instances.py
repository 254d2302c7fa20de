"""Instances for scikit-learn's checks."""

from sklearn.linear_model import Ridge

from minimalml.neural_network import Training
from minimalml.resampling import CMixup, CMixupMLPRegressor, CMixupRegressor

NEEDS_TORCH = {"CMixupMLPRegressor"}

INSTANCES = {
    "CMixup": [CMixup(), CMixup(ratio=0.5, metric="input", kernel="tophat")],
    "CMixupMLPRegressor": [
        # float64: a row alone and among others then rounds to the same prediction
        CMixupMLPRegressor((16,), max_epochs=15, training=Training(dtype="float64")),
    ],
    "CMixupRegressor": [CMixupRegressor(), CMixupRegressor(Ridge(), bandwidth=0.2)],
}


def _c_mixup_regressor(estimator):
    kinds = ["dense", "sparse"] if estimator.estimator is not None else ["dense"]
    return {
        f"check_sample_weight_equivalence_on_{kind}_data": (
            "partners are drawn at random: repeated rows draw others than weighted ones"
        )
        for kind in kinds
    }


EXPECTED_FAILED_CHECKS = {
    "CMixupMLPRegressor": {
        "check_sample_weight_equivalence_on_dense_data": (
            "batches and partners are drawn at random: repeated rows draw others"
        ),
    },
    "CMixupRegressor": _c_mixup_regressor,
}
