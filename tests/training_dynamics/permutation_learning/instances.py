"""What scikit-learn's checks and the properties run on."""

from minimalml.training_dynamics import InfiniteWidthRegressor

INSTANCES = {
    "InfiniteWidthRegressor": [
        InfiniteWidthRegressor(),
        InfiniteWidthRegressor(2, training_time=20.0, alpha=0.1),
    ]
}
OWN_DOMAIN = {
    "PermutationEnsemble": "rows of X are the unit vectors, those asked are bits"
}
