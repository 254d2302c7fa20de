"""The default networks, and what carries a user's network through pickling."""

import copy
from itertools import pairwise

import torch
from torch import nn

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.1),
    "tanh": nn.Tanh,
    "logistic": nn.Sigmoid,
    "gelu": nn.GELU,
    "identity": nn.Identity,
}


class MLP(nn.Module):
    """Fully connected network of blocks and a linear head.

    Parameters
    ----------
    n_features : int
        Columns of the input.

    hidden_layer_sizes : sequence of int
        Width of each block; an empty one leaves a linear model.

    n_outputs : int
        Columns of the output.

    activation : {"relu", "leaky_relu", "tanh", "logistic", "gelu", "identity"}, \
            default="relu"
        "leaky_relu" has slope 0.1 below zero.

    layer_norm : bool, default=False
        Whether each block normalises before its activation.

    dropout : float, default=0.0
        Share of a block's outputs that is dropped in training.

    Attributes
    ----------
    blocks : nn.ModuleList
        Hidden layers, each with its activation.

    head : nn.Linear
        The last layer.
    """

    def __init__(
        self,
        n_features,
        hidden_layer_sizes,
        n_outputs,
        activation="relu",
        *,
        layer_norm=False,
        dropout=0.0,
    ):
        super().__init__()
        widths = [n_features, *hidden_layer_sizes]
        self.blocks = nn.ModuleList()
        for width, next_width in pairwise(widths):
            layers = [nn.Linear(width, next_width)]
            if layer_norm:
                layers.append(nn.LayerNorm(next_width))
            layers.append(ACTIVATIONS[activation]())
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            self.blocks.append(nn.Sequential(*layers))
        self.head = nn.Linear(widths[-1], n_outputs)

    def features(self, X):
        """Return what the head sees."""
        for block in self.blocks:
            X = block(X)
        return X

    def forward(self, X):
        """Return the head's output, shape (n_samples, n_outputs)."""
        return self.head(self.features(X))


def build_module(module, default, **sizes):
    """Return a network to train.

    Parameters
    ----------
    module : nn.Module, callable or None
        The user's: an instance, which is copied and keeps its weights, or a class or
        function that is called with ``sizes``.

    default : callable
        Called with ``sizes`` where ``module`` is None.

    **sizes : int
        ``n_features`` and ``n_outputs``, usually.
    """
    if isinstance(module, nn.Module):
        built = copy_module(module)
    else:
        built = default(**sizes) if module is None else module(**sizes)
    if not isinstance(built, nn.Module):
        raise TypeError(
            "module must be a torch.nn.Module or return one, got "
            f"{type(built).__name__}."
        )
    if not any(parameter.requires_grad for parameter in built.parameters()):
        raise ValueError(f"module {type(built).__name__} has no weights to train.")
    return built


def copy_module(module, memo=None):
    """Return a deep copy of a module, in the middle of its training too.

    Masked and normalised layers hold weights that were computed from others, which
    `copy.deepcopy` refuses; the copy computes its own when it is called.
    """
    memo = {} if memo is None else memo
    for layer in module.modules():
        for value in vars(layer).values():
            for tensor in value if isinstance(value, list) else [value]:
                if isinstance(tensor, torch.Tensor) and not tensor.is_leaf:
                    memo[id(tensor)] = tensor.detach().clone()
    return copy.deepcopy(module, memo)


class PackedModule:
    """A module as NumPy arrays and a skeleton without weights, for pickling.

    Parameters
    ----------
    module : nn.Module
        Not changed. Its class must be importable where it is unpickled.
    """

    def __init__(self, module):
        tensors = [*module.parameters(), *module.buffers()]
        # deepcopy takes what stands under an object's id for its copy: shared tensors
        # stay shared, and no data is copied.
        memo = {id(tensor): _placeholder(tensor) for tensor in tensors}
        self.skeleton = copy_module(module, memo)
        self.arrays = [_to_numpy(tensor) for tensor in tensors]

    def unpack(self, device):
        """Return the module on ``device``."""
        module = copy.deepcopy(self.skeleton)
        tensors = [*module.parameters(), *module.buffers()]
        for tensor, array in zip(tensors, self.arrays, strict=True):
            tensor.data = torch.tensor(array).view(tensor.dtype)
        return module.to(device)


def _placeholder(tensor):
    empty = torch.empty(0, dtype=tensor.dtype)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(empty, requires_grad=tensor.requires_grad)
    return empty


def _to_numpy(tensor):
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)  # NumPy has no such type
    return tensor.numpy().copy()
