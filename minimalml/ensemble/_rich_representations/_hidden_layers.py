"""Hidden layers of fitted networks, and the output layers that act on them."""

import numpy as np
from sklearn.base import is_classifier
from sklearn.neural_network import MLPClassifier, MLPRegressor

from minimalml._core.arrays import import_torch, is_torch_module
from minimalml._core.models.delegation import last_step, rows_of_last_step
from minimalml._core.models.linear_head import ACTIVATIONS, mlp_layers
from minimalml._core.validation import check_is_fitted, validate_data

FLOATS = [np.float64, np.float32]
MLPS = (MLPClassifier, MLPRegressor)
SUPPORTED = (
    "MLPClassifier, MLPRegressor, minimalml's estimators that hold a network in module_ "
    "and torch modules that end in nn.Linear, each alone, last in a Pipeline, or held by "
    "a search or a FrozenEstimator"
)


def hidden_representation(estimator, X, *, layer=-1):
    """Return what a fitted network makes of rows in one of its hidden layers.

    Use it to look at one network; `ConcatenatedRepresentation` trains several and
    puts theirs side by side.

    Parameters
    ----------
    estimator : estimator or torch.nn.Module
        A fitted MLPClassifier or MLPRegressor, an estimator of minimalml that holds a
        network in ``module_``, or a torch module that ends in nn.Linear. Steps of a
        Pipeline before it are applied; searches and frozen estimators are looked into.

    X : array-like or sparse matrix of shape (n_samples, n_features)
        Rows as the estimator takes them. A torch module also takes more axes and
        tensors; rows are cast to its dtype and device.

    layer : int, default=-1
        Which hidden layer, after its activation: 0 is the first, -1 the last, which the
        output layer sees. Others than -1 for multilayer perceptrons only.

    Returns
    -------
    ndarray of shape (n_samples, width)
        In the float type of ``X``; a tensor where a torch module is given a tensor.

    Raises
    ------
    TypeError
        If the estimator has no hidden layer that can be read.
    ValueError
        If ``layer`` is out of range.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    Notes
    -----
    The cost is that of a prediction.

    References
    ----------
    Zhang and Bottou, "Learning useful representations for shifting tasks and
    distributions", ICML 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from minimalml.ensemble import hidden_representation
    >>> X, y = load_iris(return_X_y=True)
    >>> network = MLPClassifier((8, 4), max_iter=1000, random_state=0).fit(X, y)
    >>> hidden_representation(network, X).shape
    (150, 4)
    """
    network = last_step(estimator)
    if not is_torch_module(network):
        check_is_fitted(estimator)
    X = rows_of_last_step(estimator, X)
    if torch_module_of(network) is not None:
        import_torch("hidden_representation")
        from minimalml.ensemble._rich_representations import _hidden_layers_torch

        return _hidden_layers_torch.hidden_representation(network, X, layer)
    widths = hidden_widths(network)
    if widths is None:
        raise TypeError(
            f"{type(network).__name__} has no hidden layer that can be read; supported "
            f"are {SUPPORTED}."
        )
    layer = check_layer(layer, widths, network)
    X = validate_data(
        network, X, reset=False, accept_sparse=["csr", "csc"], dtype=FLOATS
    )
    activate, _ = ACTIVATIONS[network.activation]
    hidden = X
    for affine in mlp_layers(network)[: layer + 1]:
        hidden = activate(affine(hidden))
    return hidden.astype(X.dtype, copy=False)


def torch_module_of(network):
    """Return a torch module, or the one that an estimator holds, else None."""
    if is_torch_module(network):
        return network
    module = getattr(network, "module_", None)
    return module if is_torch_module(module) else None


def hidden_widths(network):
    """Return the widths of a multilayer perceptron's hidden layers, None of others."""
    if isinstance(network, MLPS):
        return [weight.shape[1] for weight in network.coefs_[:-1]]
    module = torch_module_of(network)
    if module is None:
        return None
    from minimalml._core.training.modules import MLP

    if not isinstance(module, MLP):
        return None
    return [block[0].out_features for block in module.blocks]


def check_layer(layer, widths, network):
    """Return the index of a hidden layer, counted from 0."""
    if not -len(widths) <= layer < len(widths):
        raise ValueError(
            f"layer={layer} is out of range: {type(network).__name__} has {len(widths)} "
            "hidden layers."
        )
    return layer % len(widths)


def output_layer(estimator, n_features):
    """Return weight (n_outputs, width) and bias of what acts on the last hidden layer.

    A classifier of two classes gets one row, the score of the second.
    """
    network = last_step(estimator)
    module = torch_module_of(network)
    if module is None:
        return network.coefs_[-1].T, network.intercepts_[-1]
    from minimalml.ensemble._rich_representations import _hidden_layers_torch

    n_features = getattr(network, "n_features_in_", n_features)
    weight, bias = _hidden_layers_torch.output_layer(module, n_features)
    if not is_torch_module(network) and is_classifier(network) and len(bias) == 2:
        return weight[1:] - weight[:1], bias[1:] - bias[:1]
    # regressors predict standardised targets
    scale = np.reshape(getattr(network, "target_scale_", 1.0), -1)
    return weight * scale[:, None], bias * scale + getattr(network, "target_mean_", 0.0)
