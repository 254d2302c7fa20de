"""Pretrained weights to begin with: arrays by name, or scikit-learn's perceptrons."""

from collections.abc import Mapping

from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils import check_array

from minimalml._core.arrays import to_numpy
from minimalml._core.models.weights import (
    find_weight_holder,
    model_weights,
    set_model_weights,
)


def set_initial_weights(network, initial_weights, *, own_module, activation):
    """Write ``initial_weights`` of a `SubspaceClassifier` into its network."""
    if isinstance(initial_weights, Mapping):
        weights = initial_weights
    else:
        weights = _weights_of_perceptron(
            network, initial_weights, own_module, activation
        )
    weights = {
        name: check_array(
            to_numpy(value),
            ensure_2d=False,
            allow_nd=True,
            input_name=f"initial_weights[{name!r}]",
        )
        for name, value in weights.items()
    }
    try:
        set_model_weights(network, weights)
    except ValueError as error:
        raise ValueError(f"initial_weights do not fit: {error}") from error


def _weights_of_perceptron(network, estimator, own_module, activation):
    """Return a fitted perceptron's weights by the names of the built-in network."""
    try:
        perceptron = find_weight_holder(estimator)
    except NotFittedError as error:
        raise NotFittedError(
            f"initial_weights must be fitted, got an unfitted "
            f"{type(estimator).__name__}: where the classifier is cloned, as in a search, "
            "put it into a FrozenEstimator."
        ) from error
    if not isinstance(perceptron, MLPClassifier | MLPRegressor):
        raise TypeError(
            "initial_weights must be a mapping of arrays, an MLPClassifier or an "
            f"MLPRegressor, got {type(perceptron).__name__}."
        )
    if own_module:
        raise ValueError(
            f"initial_weights of {type(perceptron).__name__} have no names in module: "
            "give a mapping, or module=None."
        )
    if perceptron.activation != activation:
        raise ValueError(
            f"initial_weights of {type(perceptron).__name__} are for "
            f"activation={perceptron.activation!r}, got activation={activation!r}."
        )
    shapes = {name: tuple(p.shape) for name, p in network.named_parameters()}
    n_layers, n_blocks = perceptron.n_layers_ - 1, len(network.blocks)
    if n_layers != n_blocks + 1:
        raise ValueError(
            f"initial_weights have {n_layers - 1} hidden layers, but "
            f"hidden_layer_sizes has {n_blocks}."
        )
    layers = [f"blocks.{i}.0" for i in range(n_blocks)] + ["head"]
    weights, given = {}, model_weights(perceptron)
    for i, layer in enumerate(layers):
        weights[f"{layer}.weight"] = given[f"coefs_.{i}"].T
        weights[f"{layer}.bias"] = given[f"intercepts_.{i}"]
    if weights["head.bias"].shape != shapes["head.bias"]:
        # another task
        del weights["head.weight"], weights["head.bias"]
    return weights
