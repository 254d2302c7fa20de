"""Candidates of a sweep that all go on from one start.

A candidate is a copy of the fitted start, with its parameters, its own random state and
``warm_start``, fitted to the same rows.
"""

import re
import warnings
from collections.abc import Mapping

import numpy as np
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline

from minimalml._core.models.prefit import copy_of_trained
from minimalml._core.models.weights import model_weights
from minimalml._core.validation import check_is_fitted
from minimalml.ensemble._model_soup._averages import (
    has_nan,
    model_state,
    refuse_unlike,
    set_model_state,
)

SUPPORTED = (
    "MLPClassifier, MLPRegressor, SGDClassifier, SGDRegressor, LogisticRegression and "
    "other linear models with warm_start of scikit-learn, minimalml's network estimators, "
    "and pipelines that end in one of these"
)
# What makes weights of one shape or another, or of another meaning.
ARCHITECTURE = {"hidden_layer_sizes", "activation", "module"}
# How scikit-learn's and minimalml's fits say that numbers overflowed.
DIVERGENCE = re.compile("non-finite|not finite|overflow")
MLP_DISTRIBUTIONS = {
    "learning_rate_init": loguniform(1e-4, 1e-2),
    "alpha": loguniform(1e-6, 1e-1),
}


def sweep_points(param_distributions, n_candidates, estimator, random_state):
    """Return the parameters of each candidate, as a list of dictionaries."""
    points = param_distributions
    if points is None:
        if not isinstance(estimator, MLPClassifier | MLPRegressor):
            raise ValueError(
                "param_distributions=None has a default for MLPClassifier and "
                f"MLPRegressor only: say what to try for {type(estimator).__name__}."
            )
        points = MLP_DISTRIBUTIONS
    if isinstance(points, Mapping):
        if not any(hasattr(value, "rvs") for value in points.values()):
            n_candidates = min(n_candidates, len(ParameterGrid(points)))
        points = ParameterSampler(points, n_candidates, random_state=random_state)
    points = list(points)
    if not points or not all(isinstance(point, Mapping) for point in points):
        raise ValueError(
            "param_distributions must be a dict of distributions or lists, or hold at "
            f"least one dict of parameters, got {param_distributions!r}."
        )
    return points


def refuse_no_warm_start(estimator):
    """Raise a TypeError for kinds that can't go on from given weights."""
    last = last_estimator(estimator)
    names = last.get_params(deep=False)
    if "warm_start" not in names or "n_estimators" in names:
        raise TypeError(
            f"{type(last).__name__} can't go on from given weights; supported are "
            f"{SUPPORTED}."
        )


def refuse_architecture(params, model, source):
    """Raise if parameters would change what the weights of ``model`` are."""
    present = model.get_params()
    for name, value in params.items():
        is_architecture = name.split("__")[-1] in ARCHITECTURE
        if is_architecture and repr(value) != repr(present.get(name)):
            raise ValueError(
                f"{source} sets {name}={value!r}, but the start has {present.get(name)!r}:"
                " only models of one architecture can be averaged."
            )


def last_estimator(estimator):
    """Return the last step of a pipeline, and other estimators as they are."""
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def unfrozen(estimator):
    """Return what a FrozenEstimator holds, and others as they are."""
    is_frozen = isinstance(estimator, FrozenEstimator)
    return unfrozen(estimator.estimator) if is_frozen else estimator


def own_parameters(estimator):
    """Return the parameters to set on a copy that has the same parts."""
    if isinstance(estimator, Pipeline):
        params = estimator.get_params()
        return {name: value for name, value in params.items() if "__" in name}
    return estimator.get_params(deep=False)


def new_start(estimator, pretrain_params, seed, rows):
    """Fit a clone once, with parameters of its own."""
    start = clone(estimator).set_params(**random_states(estimator, seed))
    start.set_params(**pretrain_params)
    last_estimator(start).set_params(warm_start=False)
    return rows.fit(start).set_params(**own_parameters(estimator))


def given_start(init, estimator):
    """Copy a fitted estimator, to go on with the parameters of ``estimator``."""
    init = unfrozen(init)
    if type(init) is not type(estimator):
        raise TypeError(
            f"init must be fitted weights or a fitted {type(estimator).__name__}, as "
            f"estimator is, got {type(init).__name__}."
        )
    check_is_fitted(init)
    refuse_architecture(own_parameters(estimator), init, "estimator")
    return copy_of_trained(init).set_params(**own_parameters(estimator))


def start_of_weights(weights, estimator, seed, rows):
    """Fit as short as it can be, for shapes, and write the weights."""
    names = estimator.get_params()
    short = [n for n in names if n.split("__")[-1] in ("max_iter", "max_epochs")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = new_start(estimator, dict.fromkeys(short, 1), seed, rows)
    refuse_unlike(dict(weights), model_state(start), "init", "estimator")
    return set_model_state(start, weights)


def random_states(estimator, seed):
    """Return the parameters that seed an estimator and its parts."""
    names = estimator.get_params()
    return {name: seed for name in names if name.split("__")[-1] == "random_state"}


def train_candidate(start, params, seed, rows, scorer):
    """Train a copy of the start, and return its state and score, NaN if it diverged."""
    model = copy_of_trained(start)
    model.set_params(**random_states(model, seed)).set_params(**params)
    last_estimator(model).set_params(warm_start=True)
    _forget_progress(last_estimator(model))
    try:
        rows.fit(model)
    except ValueError as error:
        if not DIVERGENCE.search(str(error)):
            raise
        return model_state(model), np.nan
    state = model_state(model)
    refuse_unlike(state, model_state(start), f"the candidate {params}", "the start")
    return state, np.nan if has_nan(model_weights(model)) else rows.score(scorer, model)


def _forget_progress(model):
    """Let a copied MLP stop for its own lack of progress, not for that of the start."""
    if isinstance(model, MLPClassifier | MLPRegressor):
        stops_early = model.early_stopping
        model.t_ = 0  # by which "invscaling" lowers its rate
        model.best_loss_ = None if stops_early else np.inf
        model.best_validation_score_ = -np.inf if stops_early else None
        model.validation_scores_ = [] if stops_early else None
