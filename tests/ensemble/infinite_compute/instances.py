"""What scikit-learn's checks and the properties run on."""

from sklearn.linear_model import LogisticRegression
from sklearn.utils import estimator_checks

from minimalml.ensemble import (
    EnsembleScalingAnalysis,
    LocallyOptimalSearchCV,
    RegularizedEnsembleClassifier,
    RegularizedEnsembleRegressor,
    ScalingLawRegressor,
)
from minimalml.neural_network import Training

NEEDS_TORCH = {
    "EnsembleScalingAnalysis",
    "RegularizedEnsembleClassifier",
    "RegularizedEnsembleRegressor",
}
# float64: a row alone and among others then rounds to the same prediction
QUICK = dict(
    hidden_layer_sizes=(16,), learning_rate=0.01,
    training=Training(optimizer="adamw", gradient_clip=1.0, dtype="float64"),
)  # fmt: skip
INSTANCES = {
    "ScalingLawRegressor": [
        ScalingLawRegressor(),
        ScalingLawRegressor(increasing=True, exponent=0.5),
    ],
    "LocallyOptimalSearchCV": [
        LocallyOptimalSearchCV(LogisticRegression(), {"C": [0.1, 1.0, 10.0]}, cv=3)
    ],
    "RegularizedEnsembleClassifier": [
        RegularizedEnsembleClassifier(2, weight_decay=0.1, max_epochs=40, **QUICK),
        RegularizedEnsembleClassifier(
            3, weight_decay=0.1, max_epochs=20, combine="probability", **QUICK
        ),
    ],
    "RegularizedEnsembleRegressor": [
        RegularizedEnsembleRegressor(2, weight_decay=0.1, max_epochs=80, **QUICK)
    ],
    "EnsembleScalingAnalysis": [
        EnsembleScalingAnalysis(
            RegularizedEnsembleClassifier(weight_decay=0.1, max_epochs=3),
            sizes=((4,), (8,)),
            n_members=2,
        )
    ],
}
FLAT = "10 features of 15 rows: the optimum is flat, and repetition moves along it"
EXPECTED_FAILED_CHECKS = {
    "ScalingLawRegressor": lambda law: (
        {"check_sample_weight_equivalence_on_dense_data": FLAT}
        if law.exponent is None
        else {}
    ),
}

# Rows of their own, and their targets.
ROW_VALUES = {"EnsembleScalingAnalysis": {"X_val": None, "y_val": None}}
SILENT = "an analysis has laws, and no output for rows that could be compared"
EXPECTED_FAILED_PROPERTIES = {
    "EnsembleScalingAnalysis": dict.fromkeys(
        (
            "check_fit_is_repeatable",
            "check_input_not_modified",
            "check_layout_invariance",
            "check_pandas_config",
            "check_pickle_round_trip",
            "check_pipeline_grid_search",
            "check_thread_count_invariance",
            "check_verbose",
        ),
        SILENT,
    )
}

_original = estimator_checks._enforce_estimator_tags_X


def _above_zero(estimator, X, *args, **options):
    """scikit-learn's data for the tag ``positive_only`` have a minimum of exactly 0."""
    X = _original(estimator, X, *args, **options)
    return X + 1 if isinstance(estimator, ScalingLawRegressor) else X


estimator_checks._enforce_estimator_tags_X = _above_zero
