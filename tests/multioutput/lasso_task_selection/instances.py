"""Estimators for scikit-learn's checks."""

from minimalml.multioutput import LassoTaskSelector, SharedRepresentationRegressor

INSTANCES = {
    "LassoTaskSelector": [
        LassoTaskSelector(),
        LassoTaskSelector(strategy="lp"),
        LassoTaskSelector(strategy="l2"),
        LassoTaskSelector(max_tasks=2),
    ],
    "SharedRepresentationRegressor": [
        SharedRepresentationRegressor(),
        SharedRepresentationRegressor(solver="altgdmin", max_iter=2000),
    ],
}
