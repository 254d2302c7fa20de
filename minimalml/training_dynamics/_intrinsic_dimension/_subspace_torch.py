"""A network as a module whose only parameters are its place in a random subspace."""

from functools import partial

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import pad

from minimalml._core.training.modules import copy_module
from minimalml.training_dynamics._intrinsic_dimension._fastfood import (
    FastfoodProjection,
)
from minimalml.training_dynamics._intrinsic_dimension._walsh_hadamard import (
    power_of_two,
)
from minimalml.training_dynamics._intrinsic_dimension._walsh_hadamard_torch import (
    transformed,
)

# what is drawn again rather than stored
keep = partial(nn.Module.register_buffer, persistent=False)


class FastfoodMap(nn.Module):
    """`FastfoodProjection` of a tensor; 12 bytes for each number of its length L."""

    def __init__(self, projection, like):
        super().__init__()
        self.n_features, self.n_components = projection.shape
        permutation = torch.from_numpy(projection._permutation)
        inverse = torch.empty_like(permutation)
        inverse[permutation] = torch.arange(len(inverse), dtype=inverse.dtype)
        short = power_of_two(self.n_components)
        keep(self, "signs", torch.from_numpy(projection._signs).to(like.device))
        keep(self, "places", (permutation & (short - 1)).to(like.device))
        keep(self, "inverse", inverse.to(like.device))
        keep(self, "gaussians", torch.from_numpy(projection._gaussians).to(like))

    def forward(self, v):
        """Return the product, with the adjoint as its gradient."""
        return _Product.apply(v, self, False)

    def product(self, v):
        """Map (n_components,) to (n_features,)."""
        short = power_of_two(self.n_components)
        y = transformed(pad(v * self.signs, (0, short - self.n_components)))
        y = y.index_select(0, self.places) * self.gaussians
        return transformed(y)[: self.n_features]

    def adjoint(self, u):
        """Map (n_features,) to (n_components,)."""
        y = transformed(pad(u, (0, len(self.gaussians) - self.n_features)))
        y = (y * self.gaussians).index_select(0, self.inverse)
        y = y.view(-1, power_of_two(self.n_components)).sum(0)
        return transformed(y)[: self.n_components] * self.signs


class _Product(torch.autograd.Function):
    """A linear map whose derivative is its adjoint: nothing is saved in between."""

    @staticmethod
    def forward(ctx, x, linear_map, is_adjoint):
        ctx.linear_map, ctx.is_adjoint = linear_map, is_adjoint
        return linear_map.adjoint(x) if is_adjoint else linear_map.product(x)

    @staticmethod
    def backward(ctx, gradient):
        applied = _Product.apply(gradient, ctx.linear_map, not ctx.is_adjoint)
        return applied, None, None


class DenseMap(nn.Module):
    """Product with a matrix."""

    def __init__(self, matrix, like):
        super().__init__()
        keep(self, "matrix", torch.from_numpy(matrix).to(like))

    def forward(self, v):
        """Return the product."""
        return self.matrix @ v


class SubspaceModule(nn.Module):
    """See `subspace_module`; ``network`` is taken apart, and called with other weights.

    Weights at the start and projections are no part of ``state_dict``: the seed, and
    the network that one began with, give them again.
    """

    def __init__(self, network, projections, is_scaled):
        super().__init__()
        self.order = [n for n, _ in network.named_parameters(remove_duplicate=False)]
        uses = parameter_uses(network)
        trained = [p for p in uses if p.requires_grad]
        self.names, self.shapes = [uses[p] for p in trained], [p.shape for p in trained]
        self.frozen = [uses[p] for p in uses if not p.requires_grad]
        theta_0 = torch.cat([p.detach().reshape(-1) for p in trained])
        keep(self, "theta_0", theta_0)
        kinds = {True: FastfoodMap, False: DenseMap}
        self.maps = nn.ModuleList(
            kinds[isinstance(p, FastfoodProjection)](p, theta_0) for p in projections
        )
        self.theta_sub = nn.Parameter(theta_0.new_zeros(projections[0].shape[1]))
        if is_scaled:
            self.layer_scale = nn.Parameter(theta_0.new_ones(len(projections)))
        self.network = network
        for parameter, names in uses.items():
            value = parameter.detach()
            if parameter.requires_grad:  # a call replaces it
                value = value.new_empty(0)
            for name in names:
                owner, attribute = _place(network, name)
                del owner._parameters[attribute]
                keep(owner, attribute, value)

    def full_parameters(self):
        """Return all weights that are trained as one vector, theta."""
        steps = [linear_map(self.theta_sub) for linear_map in self.maps]
        if hasattr(self, "layer_scale"):
            steps = [s * step for s, step in zip(self.layer_scale, steps, strict=True)]
        return self.theta_0 + torch.cat(steps)

    def forward(self, *args, **kwargs):
        """Call the network with the weights of the present place."""
        weights = self._weights(lambda part: part)
        return functional_call(self.network, weights, args, kwargs, tie_weights=False)

    def to_module(self):
        """Return the network as it was given, with the weights of the present place."""
        network = copy_module(self.network)
        weights = self._weights(lambda part: nn.Parameter(part.detach().clone()))
        for names in self.frozen:
            value = network.get_buffer(names[0])
            weights |= dict.fromkeys(names, nn.Parameter(value, requires_grad=False))
        for name in self.order:
            owner, attribute = _place(network, name)
            del owner._buffers[attribute]
            owner.register_parameter(attribute, weights[name])
        return network

    def _weights(self, of_part):
        """Return the weights by all their names, tied ones the same."""
        parts = self.full_parameters().split([shape.numel() for shape in self.shapes])
        weights = {}
        for names, shape, part in zip(self.names, self.shapes, parts, strict=True):
            weights |= dict.fromkeys(names, of_part(part.view(shape)))
        return weights


def parameter_uses(network):
    """Return the names of each parameter: several where it is tied."""
    uses = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        uses.setdefault(parameter, []).append(name)
    return uses


def layer_sizes(network):
    """Return how many trained weights each module owns, tied ones at their first use."""
    sizes = {}
    for parameter, names in parameter_uses(network).items():
        if parameter.requires_grad:
            layer = names[0].rpartition(".")[0]
            sizes[layer] = sizes.get(layer, 0) + parameter.numel()
    return list(sizes.values())


def _place(network, name):
    path, _, attribute = name.rpartition(".")
    return network.get_submodule(path), attribute
