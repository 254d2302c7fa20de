"""What scikit-learn's checks and the properties run on."""

from minimalml.compression import SimVectorQuantizer
from minimalml.neural_network import Training


def quick(**options):
    # float64: a row alone and among others then has the same nearest word
    return SimVectorQuantizer(
        8, 4, (16,), max_epochs=2, training=Training(dtype="float64"), **options
    )


INSTANCES = {
    "SimVectorQuantizer": [
        quick(),
        quick(codebook="free"),
        quick(train_basis=True),
    ]
}
NEEDS_TORCH = {"SimVectorQuantizer"}
EXPECTED_FAILED_PROPERTIES = {
    "SimVectorQuantizer": {"check_float32_stays": "codes are integers"}
}
