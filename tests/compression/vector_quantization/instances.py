"""What scikit-learn's checks and the properties run on."""

from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPRegressor

from minimalml.compression import UniformCodec, VectorCodec, WeightQuantizer

INSTANCES = {
    "WeightQuantizer": [
        WeightQuantizer(LogisticRegression(), UniformCodec(8)),
        WeightQuantizer(LogisticRegression(), VectorCodec(1, 16, n_refinements=1)),
        WeightQuantizer(Ridge(), UniformCodec(3), calibration="parallel"),
        WeightQuantizer(
            MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", random_state=0)
        ),
    ]
}


def _weights(estimator):
    kinds = ["dense", "sparse"]
    if isinstance(estimator.estimator, MLPRegressor):
        return {}
    return {
        f"check_sample_weight_equivalence_on_{kind}_data": (
            "codes are discrete: rounding of the fit inside may move one"
        )
        for kind in kinds
    }


EXPECTED_FAILED_CHECKS = {"WeightQuantizer": _weights}
