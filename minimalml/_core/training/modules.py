"""The default networks, and copies of a user's own."""

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
    """Return a network to train: a copy of the user's, or one of the ``sizes``.

    ``module`` is an instance, which keeps its weights, or a class or function that is
    called with ``sizes``, as ``default`` is where it is None.
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


def copy_module(module):
    """Return a deep copy of a module, in the middle of its training too.

    Masked and normalised layers hold weights that were computed from others, which
    `copy.deepcopy` refuses; the copy computes its own when it is called.
    """
    memo = {}  # what stands under an object's id is taken for its copy
    for layer in module.modules():
        for value in vars(layer).values():
            for tensor in value if isinstance(value, list) else [value]:
                if isinstance(tensor, torch.Tensor) and not tensor.is_leaf:
                    memo[id(tensor)] = tensor.detach().clone()
    return copy.deepcopy(module, memo)
