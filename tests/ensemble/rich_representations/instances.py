"""What scikit-learn's checks and the properties run on."""

from sklearn.neural_network import MLPClassifier

from minimalml.ensemble import ConcatenatedRepresentation, DistilledRepresentation
from minimalml.neural_network import Training

NEEDS_TORCH = {"DistilledRepresentation"}
NETWORK = MLPClassifier((6, 4), max_iter=20)
TEACHERS = ConcatenatedRepresentation(NETWORK, 2)
# float64: a row alone and among others then rounds to the same features
QUICK = dict(max_epochs=3, training=Training(dtype="float64"))
INSTANCES = {
    "ConcatenatedRepresentation": [
        TEACHERS,
        ConcatenatedRepresentation(
            [NETWORK, MLPClassifier((3,), max_iter=10)], layer=0
        ),
    ],
    "DistilledRepresentation": [
        DistilledRepresentation(TEACHERS, **QUICK),
        DistilledRepresentation(TEACHERS, target="probabilities", **QUICK),
    ],
}
