"""How sparse a model is: weights, bytes, and multiply-adds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from minimalml._core.arrays import is_torch_module, is_torch_tensor
from minimalml._core.models.weights import (
    find_weight_holder,
    model_weights,
)
from minimalml.compression._global_magnitude_pruning._named_tensors import size_of
from minimalml.compression._global_magnitude_pruning._prunable import prunable_weights

INDEX_BYTES = 4  # an int32 of a CSR matrix


@dataclass(frozen=True)
class SparsityReport:
    """What `sparsity_report` counts.

    Attributes
    ----------
    sparsity : float
        Share of zeros among the weights that can be pruned.
    parameter_sparsity : float
        Share of zeros among all parameters.
    n_weights : int
        Weights that can be pruned.
    n_nonzero : int
        Those of them that are not zero.
    layers : dict of str to (int, int, float)
        Of each tensor its size, nonzeros and sparsity.
    dense_bytes : int
        Size of the weights as they are.
    csr_bytes : int
        Size as CSR: value and 4-byte column a nonzero, 4 bytes a row and one more.
    bitmask_bytes : int
        Size as one bit a weight and the nonzero values.
    """

    sparsity: float
    parameter_sparsity: float
    n_weights: int
    n_nonzero: int
    layers: dict
    dense_bytes: int
    csr_bytes: int
    bitmask_bytes: int


@dataclass(frozen=True)
class FlopsReport:
    """What `flops_report` counts, as multiply-adds a row.

    Attributes
    ----------
    dense : int
        Of all weights.
    sparse : int
        Of those that are not zero.
    ratio : float
        ``sparse / dense``.
    layers : dict of str to (int, int)
        Dense and sparse count of each weight tensor.
    """

    dense: int
    sparse: int
    ratio: float
    layers: dict


def sparsity_report(model):
    """Count zeros and bytes of a model's weights.

    Parameters
    ----------
    model : estimator, torch.nn.Module, mapping or sequence of arrays
        Fitted, where it is an estimator; a fitted `GlobalMagnitudePruner` works too.

    Returns
    -------
    SparsityReport

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import sparsity_report
    >>> report = sparsity_report([np.array([[0.0, 1.0], [0.0, 0.0]])])
    >>> report.sparsity, report.dense_bytes, report.csr_bytes, report.bitmask_bytes
    (0.75, 32, 24, 9)
    """
    weights = prunable_weights(model)
    layers, dense, csr, bitmask = {}, 0, 0, 0
    for name, tensor in weights.items():
        size, kept = size_of(tensor), count_nonzero(tensor)
        item = tensor.element_size() if is_torch_tensor(tensor) else tensor.itemsize
        n_rows = tensor.shape[0] if tensor.ndim > 1 else 1
        layers[name] = size, kept, 1 - kept / max(size, 1)
        dense += size * item
        csr += kept * (item + INDEX_BYTES) + (n_rows + 1) * INDEX_BYTES
        bitmask += -(-size // 8) + kept * item
    n_weights = sum(size for size, _, _ in layers.values())
    n_nonzero = sum(kept for _, kept, _ in layers.values())
    everything = model_weights(model).values()
    n_parameters = sum(map(size_of, everything))
    return SparsityReport(
        sparsity=1 - n_nonzero / max(n_weights, 1),
        parameter_sparsity=1
        - sum(map(count_nonzero, everything)) / max(n_parameters, 1),
        n_weights=n_weights,
        n_nonzero=n_nonzero,
        layers=layers,
        dense_bytes=dense,
        csr_bytes=csr,
        bitmask_bytes=bitmask,
    )


def flops_report(model, X=None):
    """Count the multiply-adds a row of a model, dense and with zeros skipped.

    Each weight counts as often as it is applied to a row: once in a linear model or a
    dense layer on vectors, once a position of the output in a convolution (of the input
    in a transposed one) or a dense layer on sequences. Dense, convolutional and
    transposed convolutional layers of torch modules are counted.

    Parameters
    ----------
    model : estimator or torch.nn.Module
        As for `sparsity_report`.

    X : array-like or tensor of shape (n_rows, ...), default=None
        Rows for one forward pass of a torch module; a few do.

    Returns
    -------
    FlopsReport

    Raises
    ------
    ValueError
        If the model is a torch module and ``X`` is None.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from minimalml.compression import flops_report
    >>> flops_report(Ridge().fit(np.eye(3), [1.0, 2.0, 3.0])).dense
    3
    """
    if isinstance(model, (Mapping, Sequence)):
        raise TypeError("model must be an estimator or a torch module, got arrays.")
    holder = find_weight_holder(model)
    weights = prunable_weights(holder)
    positions = dict.fromkeys(weights, 1)
    if is_torch_module(holder):
        if X is None:
            raise ValueError("X must hold rows for a forward pass, got None.")
        positions = _positions_in_module(holder, X)
    layers = {
        name: (size_of(w) * positions[name], count_nonzero(w) * positions[name])
        for name, w in weights.items()
        if name in positions
    }
    dense, sparse = (sum(counts) for counts in zip(*layers.values(), strict=True))
    return FlopsReport(dense, sparse, sparse / max(dense, 1), layers)


def count_nonzero(tensor):
    """Return the number of nonzeros of an array or tensor."""
    if is_torch_tensor(tensor):
        return int(tensor.count_nonzero())
    return int(np.count_nonzero(tensor))


def _positions_in_module(module, X):
    """Return how often each weight is applied to a row, by a forward pass."""
    import torch
    from torch import nn

    transposed = nn.modules.conv._ConvTransposeNd
    counted = (nn.Linear, nn.modules.conv._ConvNd)
    names = {id(p): name for name, p in module.named_parameters()}
    parameter = next(module.parameters())
    X = torch.as_tensor(X, device=parameter.device)
    X = X.to(parameter.dtype) if X.is_floating_point() else X
    positions = {}

    def record(layer, inputs, output):
        name = names.get(id(layer.weight))
        if isinstance(layer, nn.Linear):
            times = output.numel() // output.shape[-1]
        else:
            grid = inputs[0] if isinstance(layer, transposed) else output
            times = grid.numel() // grid.shape[1]
        if name is not None:  # a layer used twice in a pass, or tied, adds up
            positions[name] = positions.get(name, 0) + times // len(X)

    hooks = [
        layer.register_forward_hook(record)
        for layer in module.modules()
        if isinstance(layer, counted)
    ]
    is_training = module.training
    try:
        with torch.no_grad():
            module.eval()(X)
    finally:
        module.train(is_training)
        for hook in hooks:
            hook.remove()
    return positions
