"""What scikit-learn's checks and the properties run on."""

from minimalml.neural_network import Training
from minimalml.training_dynamics import IntrinsicDimension, SubspaceClassifier

NEEDS_TORCH = {"IntrinsicDimension", "SubspaceClassifier"}
# float64: a row alone and among others then rounds to the same prediction
QUICK = dict(hidden_layer_sizes=(16,), training=Training(dtype="float64"))
INSTANCES = {
    "IntrinsicDimension": [
        IntrinsicDimension(
            SubspaceClassifier(max_epochs=25, **QUICK),
            min_dimension=16,
            max_dimension=64,
            growth=4.0,
            n_repeats=1,
            baseline=0.5,
        )
    ],
    "SubspaceClassifier": [
        SubspaceClassifier(20, max_epochs=40, **QUICK),
        SubspaceClassifier(20, structure_aware=True, max_epochs=40, **QUICK),
        SubspaceClassifier(None, max_epochs=60, learning_rate=0.01, **QUICK),
    ],
}
