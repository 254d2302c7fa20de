"""What scikit-learn's checks and the properties run on."""

from minimalml.linear_model import NonconvexClassifier, NonconvexRegressor

INSTANCES = {
    "NonconvexRegressor": [
        NonconvexRegressor(),
        NonconvexRegressor("mcp", solver="conjugate_gradient"),
        NonconvexRegressor("l1", fit_intercept=False, standardize=False),
    ],
    "NonconvexClassifier": [
        NonconvexClassifier(),
        NonconvexClassifier("mcp", solver="conjugate_gradient"),
        NonconvexClassifier("l1", fit_intercept=False, standardize=False),
    ],
}
