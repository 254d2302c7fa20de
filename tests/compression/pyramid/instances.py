"""What scikit-learn's checks and the properties run on."""

from minimalml.compression import PyramidQuantizer

INSTANCES = {
    "PyramidQuantizer": [
        PyramidQuantizer(random_state=0),
        PyramidQuantizer(4, rotation="pca"),
        PyramidQuantizer(3, group_size=2, gain_bits=1, rotation=None),
    ]
}
EXPECTED_FAILED_PROPERTIES = {
    "PyramidQuantizer": {"check_float32_stays": "transform returns bytes, uint8"}
}
