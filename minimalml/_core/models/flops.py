"""What a layer costs: positions, multiply-adds, and bytes, dense and sparse.

A weight counts as often as it is applied to a row: once in a dense layer on vectors,
once a position of the output in a convolution (of the input in a transposed one) or a
dense layer on sequences.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from minimalml._core.arrays import is_torch_module, is_torch_tensor
from minimalml._core.models.named_arrays import count_nonzero, size_of
from minimalml._core.models.weights import find_weight_holder, model_weights

INDEX_BYTES = 4  # an int32 of a CSR matrix


class LayerBytes(NamedTuple):
    """Bytes of a weight tensor in three forms."""

    dense: int
    csr: int
    bitmask: int


def layer_bytes(weight):
    """Return the bytes of an array or tensor: as it is, as CSR, as bits and values.

    CSR takes value and column of each nonzero and one offset a row and one more, a
    vector being one row; a bitmask one bit a weight and the values of the nonzeros.
    """
    size, kept = size_of(weight), count_nonzero(weight)
    item = weight.element_size() if is_torch_tensor(weight) else weight.itemsize
    n_rows = weight.shape[0] if weight.ndim > 1 else 1
    return LayerBytes(
        dense=size * item,
        csr=kept * (item + INDEX_BYTES) + (n_rows + 1) * INDEX_BYTES,
        bitmask=-(-size // 8) + kept * item,
    )


def multiply_adds(weights, positions):
    """Return (dense, zeros skipped) multiply-adds a row of each weight in both."""
    return {
        name: (size_of(w) * positions[name], count_nonzero(w) * positions[name])
        for name, w in weights.items()
        if name in positions
    }


def weight_positions(model, X=None):
    """Return how often each weight of a model is applied to a row.

    Parameters
    ----------
    model : estimator or torch.nn.Module
        Of a torch module dense and (transposed) convolutional layers are counted, by
        one forward pass that leaves it as it was.

    X : array-like or tensor of shape (n_rows, ...), default=None
        Rows for a torch module; a few do.

    Returns
    -------
    dict of str to int

    Raises
    ------
    TypeError
        If ``model`` is a container of arrays.
    ValueError
        If the model is a torch module and ``X`` holds no rows.
    """
    holder = find_weight_holder(model)
    if isinstance(holder, (Mapping, Sequence)):
        raise TypeError("model must be an estimator or a torch module, got arrays.")
    if not is_torch_module(holder):
        return dict.fromkeys(model_weights(holder), 1)
    if X is None or not len(X):
        got = "None" if X is None else "no rows"
        raise ValueError(f"X must hold rows for a forward pass, got {got}.")
    return _positions_in_module(holder, X)


def _positions_in_module(module, X):
    import torch
    from torch import nn

    from minimalml._core.models.weights_torch import first_uses, torch_weights
    from minimalml._core.training.data import to_device
    from minimalml._core.training.inference import evaluation_mode

    transposed = nn.modules.conv._ConvTransposeNd
    uses = torch_weights(module)
    names = {weight.key: name for name, weight in first_uses(uses).items()}
    names = {
        weight.layer: names[weight.key]
        for weight in uses.values()
        if weight.attribute == "weight"
    }
    positions = {}

    def record(layer, inputs, output):
        if isinstance(layer, nn.Linear):
            times = output.numel() // output.shape[-1]
        else:
            grid = inputs[0] if isinstance(layer, transposed) else output
            times = grid.numel() // grid.shape[1]
        # a layer used twice in a pass, or tied, adds up
        positions[names[layer]] = positions.get(names[layer], 0) + times // len(X)

    hooks = [
        layer.register_forward_hook(record)
        for layer in names
        if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd))
    ]
    parameter = next(module.parameters())
    try:
        with torch.no_grad(), evaluation_mode(module):
            module(to_device(X, parameter.device, parameter.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    return positions
