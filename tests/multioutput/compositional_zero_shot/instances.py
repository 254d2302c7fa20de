"""Quick settings for scikit-learn's checks."""

from minimalml.multioutput import CompositionalZeroShotClassifier
from minimalml.neural_network import Training

NEEDS_TORCH = {"CompositionalZeroShotClassifier"}

INSTANCES = {
    "CompositionalZeroShotClassifier": [
        CompositionalZeroShotClassifier(
            hidden_sizes=(32,),
            embedding_dim=16,
            max_epochs=5,
            learning_rate=0.05,
            batch_size=64,
            # the checks compare predictions to 1e-7, below a float32's rounding
            training=Training(dtype="float64"),
        )
    ]
}

TWO_COLUMNS = {
    "check_classifier_multioutput": (
        "a label has two columns, attribute and object: the check draws more"
    )
}
EXPECTED_FAILED_CHECKS = {
    "CompositionalZeroShotClassifier": TWO_COLUMNS,
    "IndependentPrimitives": TWO_COLUMNS,
}

ONE_COLUMN = "a y of shape (n, 1) is refused"
EXPECTED_FAILED_PROPERTIES = {
    "CompositionalZeroShotClassifier": {"check_column_target": ONE_COLUMN},
    "IndependentPrimitives": {
        "check_column_target": ONE_COLUMN,
        "check_pandas_config": "the scaler inside follows the global configuration",
    },
}
