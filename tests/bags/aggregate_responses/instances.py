"""What scikit-learn's checks and the properties run on."""

from minimalml.bags import AggregateMLPClassifier, AggregateMLPRegressor, AggregateRidge
from minimalml.neural_network import Training

NEEDS_TORCH = {"AggregateMLPClassifier", "AggregateMLPRegressor"}

# float64: a row alone and among others then rounds to the same prediction
NETWORK = {
    "max_epochs": 30,
    "learning_rate": 0.01,
    "training": Training(dtype="float64"),
}

INSTANCES = {
    "AggregateRidge": [AggregateRidge(), AggregateRidge(0.1, interpolation=0.5)],
    "AggregateMLPRegressor": [AggregateMLPRegressor((16,), **NETWORK)],
    "AggregateMLPClassifier": [
        AggregateMLPClassifier((16,), **NETWORK),
        AggregateMLPClassifier((16,), loss="unbiased", **NETWORK),
    ],
}
