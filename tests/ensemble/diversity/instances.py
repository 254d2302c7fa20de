"""What scikit-learn's checks and the properties run on."""

from minimalml.ensemble import (
    DiversityRegularizedClassifier,
    DiversityRegularizedRegressor,
)
from minimalml.neural_network import Training

NEEDS_TORCH = {"DiversityRegularizedClassifier", "DiversityRegularizedRegressor"}
# float64: a row alone and among others then rounds to the same prediction
QUICK = dict(
    hidden_layer_sizes=(16,), learning_rate=0.01, training=Training(dtype="float64")
)
INSTANCES = {
    "DiversityRegularizedClassifier": [
        DiversityRegularizedClassifier(2, max_epochs=40, **QUICK),
        DiversityRegularizedClassifier(
            3, gamma=0.5, diversity="jsd", combine="logit", max_epochs=20, **QUICK
        ),
    ],
    "DiversityRegularizedRegressor": [
        DiversityRegularizedRegressor(2, max_epochs=80, **QUICK),
        DiversityRegularizedRegressor(2, gamma=0.5, max_epochs=80, **QUICK),
    ],
}
