"""The estimator inside a pruner: whether it is fitted, and what its last step sees."""

from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from minimalml._core.arrays import is_torch_module
from minimalml._core.validation import check_is_fitted


def is_prefit(estimator, prefit):
    """Whether to use the estimator as it is; ``prefit`` may decide, or be "auto"."""
    if is_torch_module(estimator) or isinstance(estimator, FrozenEstimator):
        return True
    if prefit is False:
        return False
    parts = [estimator]
    if isinstance(estimator, Pipeline):  # it asks its last step alone
        parts = [part for _, part in estimator.steps if isinstance(part, BaseEstimator)]
    try:
        for part in parts:
            check_is_fitted(part)
    except NotFittedError:
        if prefit is True:
            raise
        return False
    return True


def rows_of_last_step(estimator, X):
    """Return the rows as the step that holds the weights sees them."""
    if isinstance(estimator, FrozenEstimator):
        return rows_of_last_step(estimator.estimator, X)
    if hasattr(estimator, "best_estimator_"):
        return rows_of_last_step(estimator.best_estimator_, X)
    if isinstance(estimator, Pipeline):
        if len(estimator) > 1:
            X = estimator[:-1].transform(X)
        return rows_of_last_step(estimator.steps[-1][1], X)
    return X


def sample_weight_of_last_step(estimator, params):
    """Find the last step's sample weights among what ``fit`` was given."""
    name = "sample_weight"
    if isinstance(estimator, Pipeline) and name not in params:
        name = f"{estimator.steps[-1][0]}__{name}"
    return params.get(name)
