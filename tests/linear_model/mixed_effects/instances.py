"""What scikit-learn's checks and the properties run on."""

from minimalml.linear_model import QGaussianMixedRegressor

INSTANCES = {
    "QGaussianMixedRegressor": [
        QGaussianMixedRegressor(),
        QGaussianMixedRegressor(None, degrees_of_freedom=4, fit_intercept=False),
        QGaussianMixedRegressor(degrees_of_freedom=4, penalty="scad"),
    ]
}
