"""What scikit-learn's checks and the properties run on."""

from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from minimalml.ensemble import (
    EnsembleDistillationClassifier,
    EnsembleDistillationRegressor,
)
from minimalml.neural_network import Training

NEEDS_TORCH = {"EnsembleDistillationClassifier", "EnsembleDistillationRegressor"}
# float64: a row alone and among others then rounds to the same prediction
QUICK = dict(
    cv=2, hidden_layer_sizes=(16,), max_epochs=40, learning_rate=0.02,
    training=Training(dtype="float64"),
)  # fmt: skip
CLASSIFIERS = [
    LogisticRegression(),
    DecisionTreeClassifier(max_depth=3, random_state=0),
]
REGRESSORS = [Ridge(), DecisionTreeRegressor(max_depth=3, random_state=0)]
INSTANCES = {
    "EnsembleDistillationClassifier": [
        EnsembleDistillationClassifier(CLASSIFIERS, **QUICK),
        EnsembleDistillationClassifier(
            CLASSIFIERS, discriminator="adversarial", **QUICK
        ),
        EnsembleDistillationClassifier(CLASSIFIERS, LogisticRegression(), cv=None),
    ],
    "EnsembleDistillationRegressor": [
        EnsembleDistillationRegressor(REGRESSORS, **QUICK),
        EnsembleDistillationRegressor(REGRESSORS, Ridge(), cv=None),
    ],
}
X_UNLABELED = {"X_unlabeled": None}  # rows of their own
ROW_VALUES = dict.fromkeys(INSTANCES, X_UNLABELED)
