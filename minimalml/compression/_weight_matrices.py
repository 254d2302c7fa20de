"""A model's linear layers as matrices of shape (outputs, inputs), and the rest of it."""

import numpy as np
from sklearn.base import BaseEstimator

from minimalml._core.arrays import is_torch_module, is_torch_tensor, to_numpy
from minimalml._core.models.weights import (
    find_weight_holder,
    model_weights,
    module_weights,
    weight_kinds,
)


def linear_layers(model):
    """Return the names of the weight matrices that are linear maps of rows.

    Returns
    -------
    layers : dict of str to (str or None)
        Name of each matrix to that of its bias.

    skipped : dict of str to str
        Other weights of kind "weight", and why they are left out.
    """
    holder = find_weight_holder(model)
    names = [name for name, kind in weight_kinds(holder).items() if kind == "weight"]
    if not is_torch_module(holder):
        return {name: _bias_of_array(holder, name) for name in names}, {}
    from torch import nn

    weights, layers, skipped = module_weights(holder), {}, {}
    for name in names:
        layer = weights[name].layer
        if not isinstance(layer, nn.Linear):
            skipped[name] = f"a weight of {type(layer).__name__}, not of Linear"
        elif not weights[name].is_plain:
            skipped[name] = "computed from other parameters"
        else:
            bias = name.removesuffix("weight") + "bias"
            layers[name] = bias if layer.bias is not None else None
    return layers, skipped


def _bias_of_array(holder, name):
    attribute, _, index = str(name).partition(".")
    if not isinstance(holder, BaseEstimator):
        return None
    if attribute == "coefs_":
        return f"intercepts_.{index}"
    return "intercept_" if getattr(holder, "fit_intercept", False) else None


def is_transposed(model):
    """Whether the model keeps its matrices as (inputs, outputs)."""
    return hasattr(find_weight_holder(model), "coefs_")


def as_matrix(model, name):
    """Return a weight as a matrix of shape (outputs, inputs) in float64."""
    array = model_weights(model)[name]
    if not is_torch_tensor(array) and array.dtype.kind != "f":
        raise TypeError(f"weight {name!r} must hold floats, got {array.dtype}.")
    array = as_float64(array)
    return array.T if is_transposed(model) else np.atleast_2d(array)


def as_float64(array):
    """Return an array or a tensor of any precision, bfloat16 too, as float64."""
    array = array.double() if is_torch_tensor(array) else array
    return to_numpy(array).astype(np.float64)


def as_stored(model, name, matrix):
    """Return a matrix in the shape in which the model keeps it."""
    shape = tuple(model_weights(model)[name].shape)
    return (matrix.T if is_transposed(model) else matrix).reshape(shape)
