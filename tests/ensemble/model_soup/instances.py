"""What scikit-learn's checks and the properties run on."""

from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor

from minimalml.ensemble import ModelSoupClassifier, ModelSoupRegressor

QUICK = {"hidden_layer_sizes": (8,), "max_iter": 30, "learning_rate_init": 0.01}
RATES = [{"alpha": 1e-4}, {"alpha": 1e-2}, {"alpha": 1e-4, "batch_size": 16}]

INSTANCES = {
    "ModelSoupClassifier": [
        ModelSoupClassifier(MLPClassifier(**QUICK), RATES),
        ModelSoupClassifier(
            SGDClassifier("log_loss"), {"alpha": [1e-4, 1e-3]}, method="uniform"
        ),
    ],
    "ModelSoupRegressor": [ModelSoupRegressor(MLPRegressor(**QUICK), RATES)],
}
ROW_VALUES = {name: {"X_val": None, "y_val": None} for name in INSTANCES}
_REASON = "fits are stochastic, and weights don't change which rows are held out"
_CHECKS = {
    f"check_sample_weight_equivalence_on_{kind}_data": _REASON
    for kind in ("dense", "sparse")
}
EXPECTED_FAILED_CHECKS = {name: _CHECKS for name in INSTANCES}
