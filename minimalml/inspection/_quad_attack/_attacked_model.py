"""The model under attack: the user's own, or a clone fitted on the spot."""

import copy

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils.metadata_routing import process_routing

from minimalml._core.arrays import is_torch_module, resolve_device
from minimalml._core.validation import check_is_fitted, validate_data


def is_fitted(estimator):
    """Whether a model is fitted; torch modules and frozen ones are taken at their word."""
    if is_torch_module(estimator) or isinstance(estimator, FrozenEstimator):
        return True
    if estimator is None:
        return False
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def fitted_model(attacker, X, y, fit_params, context):
    """Return the model to attack, a clone fitted here if need be."""
    estimator = attacker.estimator
    if is_torch_module(estimator):
        if attacker.device == "auto":
            return estimator
        device = resolve_device(attacker.device)
        if next(estimator.parameters()).device == device:
            return estimator
        return copy.deepcopy(estimator).to(device)
    if attacker.prefit is not False and is_fitted(estimator):
        return estimator
    if attacker.prefit is True:
        raise NotFittedError(
            "prefit=True needs a fitted estimator, got one that was not fitted."
        )
    estimator = LogisticRegression() if estimator is None else clone(estimator)
    X, y = validate_data(attacker, X, y, dtype=[np.float64, np.float32])
    if get_config()["enable_metadata_routing"]:
        fit_params = process_routing(attacker, "fit", **fit_params).estimator.fit
    step = context.subcontext(task_name="fit the estimator")
    step.call_on_fit_task_begin(estimator=attacker, X=X, y=y)
    with step.propagate_callback_context(estimator):
        estimator.fit(X, y, **fit_params)
    step.call_on_fit_task_end(estimator=attacker, X=X, y=y)
    return estimator
