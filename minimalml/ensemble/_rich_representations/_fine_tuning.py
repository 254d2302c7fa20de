"""Fit a network anew on other labels, from the hidden layers that it has."""

import warnings
from functools import partial

from sklearn.exceptions import ConvergenceWarning

from minimalml._core.arrays import is_torch_module
from minimalml._core.models.delegation import last_step, rows_of_last_step
from minimalml._core.models.prefit import copy_of_trained
from minimalml.ensemble._rich_representations._hidden_layers import torch_module_of


def fine_tuned(X, y, estimator, seed, *, max_epochs):
    """Return a copy of an estimator whose network is fitted to X, y.

    Steps of a pipeline before the network stay as they are; the output layer is new.
    ``seed`` is for networks without one of their own.
    """
    estimator = copy_of_trained(estimator)
    network, X = last_step(estimator), rows_of_last_step(estimator, X)
    if is_torch_module(network):
        raise TypeError(
            f"fine_tune can't fit a torch module ({type(network).__name__}): give an "
            "estimator that holds it."
        )
    epochs = "max_iter" if torch_module_of(network) is None else "max_epochs"
    settings = network.get_params(deep=False)
    changed = {name: settings[name] for name in ("warm_start", "random_state", epochs)}
    if changed["random_state"] is None:
        network.set_params(random_state=seed)
    put_back = _hidden_weights(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # makes an output layer for these labels, and new hidden layers for a moment
        network.set_params(warm_start=False, **{epochs: 1}).fit(X, y)
        put_back()
        network.set_params(warm_start=True, **{epochs: max_epochs}).fit(X, y)
    network.set_params(**changed)
    return estimator


def _hidden_weights(network):
    """Remember all weights but the output layer's; returns what puts them back."""
    module = torch_module_of(network)
    if module is None:
        hidden = (network.coefs_[:-1], network.intercepts_[:-1])
        return partial(_put_into_mlp, network, *hidden)
    from minimalml.ensemble._rich_representations._hidden_layers_torch import (
        weights_before_head,
    )

    weights = weights_before_head(module, network.n_features_in_)
    return partial(_put_into_module, network, weights)


def _put_into_mlp(network, coefs, intercepts):
    for own, kept in ((network.coefs_, coefs), (network.intercepts_, intercepts)):
        # copied: the optimiser moves them in place
        own[:-1] = [k.astype(o.dtype) for o, k in zip(own, kept, strict=False)]


def _put_into_module(network, weights):
    network.module_.load_state_dict(weights, strict=False)
    network._training_state = None  # the optimiser, which begins anew
