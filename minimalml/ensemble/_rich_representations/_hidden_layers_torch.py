"""Hidden layers of torch networks, run in evaluation mode."""

import numpy as np
import torch
from sklearn.utils import check_array

from minimalml._core.array_checks import refuse_not_finite
from minimalml._core.arrays import is_torch_module, is_torch_tensor, to_numpy
from minimalml._core.models.torch_head import TorchHead
from minimalml._core.training.inference import map_batches
from minimalml._core.training.modules import MLP
from minimalml._core.validation import validate_data
from minimalml.ensemble._rich_representations._hidden_layers import (
    FLOATS,
    check_layer,
    hidden_widths,
    torch_module_of,
)

# Rows that show which linear layer gives a module's output.
N_SAMPLE_ROWS = 4


def hidden_representation(network, X, layer):
    """Return one hidden layer of a torch module, or of an estimator that holds one."""
    module = torch_module_of(network)
    X = _check_rows(network, X)
    if isinstance(module, MLP):
        blocks = module.blocks[: check_layer(layer, hidden_widths(network), module) + 1]

        def features(rows):
            for block in blocks:
                rows = block(rows)
            return rows

    elif layer == -1:
        head = TorchHead.read(module, None, X[:N_SAMPLE_ROWS], None, None)
        features = head.features
    else:
        raise ValueError(
            f"layer must be -1 for {type(module).__name__}, whose last hidden layer alone "
            f"can be read, got {layer}."
        )
    parameter = next(module.parameters())
    hidden = map_batches(
        features, module, (X,), device=parameter.device, dtype=parameter.dtype
    )
    if is_torch_tensor(X):
        return hidden
    # NumPy has no bfloat16
    return to_numpy(hidden.to(getattr(torch, X.dtype.name)))


def output_layer(module, n_features):
    """Return weight (n_outputs, width) and bias of a module's last linear layer."""
    head = _linear_layer(module, n_features)
    bias = np.zeros(head.out_features) if head.bias is None else to_numpy(head.bias)
    return to_numpy(head.weight), bias


def _linear_layer(module, n_features):
    if isinstance(module, MLP):
        return module.head
    sample = np.random.default_rng(0).standard_normal((N_SAMPLE_ROWS, n_features))
    return TorchHead.read(module, None, sample, None, None).layer


def weights_before_head(module, n_features):
    """Return the state of a module without its last linear layer, copied."""
    head = _linear_layer(module, n_features)
    name = next(name for name, layer in module.named_modules() if layer is head)
    return {
        key: value.detach().clone()
        for key, value in module.state_dict().items()
        if not key.startswith(f"{name}.")
    }


def _check_rows(network, X):
    if is_torch_tensor(X):
        refuse_not_finite(X, "X")
        return X
    if is_torch_module(network):
        return check_array(X, dtype=FLOATS, allow_nd=True, input_name="X")
    return validate_data(network, X, reset=False, dtype=FLOATS)
