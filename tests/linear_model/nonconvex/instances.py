"""What scikit-learn's checks and the properties run on."""

from minimalml.linear_model import NonconvexClassifier, NonconvexRegressor

INSTANCES = {
    "NonconvexRegressor": [
        NonconvexRegressor(),
        NonconvexRegressor("mcp", solver="conjugate_gradient", tol=1e-9),
        NonconvexRegressor("l1", fit_intercept=False, standardize=False),
    ],
    "NonconvexClassifier": [
        NonconvexClassifier(),
        # a steep MCP: a flat one has no minimum where classes can be separated
        NonconvexClassifier(
            "mcp", concavity=200, solver="conjugate_gradient", tol=1e-10
        ),
        NonconvexClassifier("l1", fit_intercept=False, standardize=False),
    ],
}
