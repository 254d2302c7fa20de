"""Many small networks of one shape, trained together by batched products.

One step of M networks costs about what a step of one costs while they are small, since it is
then the number of operations that counts and not the numbers in them. Without a loss that
couples them, members get the gradients and steps that they would get alone.
"""

import copy

import torch
from torch import nn

from minimalml._core.torch_random import isolated_noise
from minimalml._core.training.modules import MLP


class StackedMLP(nn.Module):
    """Fully connected networks of one shape, side by side.

    Parameters
    ----------
    networks : list of MLP
        Of the same sizes and activation, without normalisation and dropout; copied.

    Attributes
    ----------
    weights : nn.ParameterList of shape (n_members, n_inputs, n_outputs)
        Of each layer, the head last.

    biases : nn.ParameterList of shape (n_members, 1, n_outputs)
    """

    def __init__(self, networks):
        super().__init__()
        self._template = (copy.deepcopy(networks[0]),)  # no part of the module
        layers = [_linear_layers(network) for network in networks]
        shapes = {tuple(tuple(one.weight.shape) for one in some) for some in layers}
        if len(shapes) > 1:
            raise ValueError(f"networks must have layers of one shape, got {shapes}.")
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for of_layer in zip(*layers, strict=True):
            weight = torch.stack([layer.weight.detach().T for layer in of_layer])
            bias = torch.stack([layer.bias.detach()[None] for layer in of_layer])
            self.weights.append(weight.contiguous())
            self.biases.append(bias)
        self.activation = networks[0].blocks[0][-1] if len(layers[0]) > 1 else None

    @property
    def n_members(self):
        """Number of networks."""
        return len(self.weights[0])

    def features(self, X):
        """Return what the heads see, shape (n_members, n_samples, width)."""
        X = X if X.ndim == 3 else X.expand(self.n_members, *X.shape)
        for weight, bias in list(zip(self.weights, self.biases, strict=True))[:-1]:
            X = self.activation(torch.baddbmm(bias, X, weight))
        return X

    def forward(self, X):
        """Return the outputs of all members, shape (n_members, n_samples, n_outputs).

        ``X`` holds rows for all members, (n_samples, n_features), or for each its own,
        (n_members, n_samples, n_features).
        """
        return torch.baddbmm(self.biases[-1], self.features(X), self.weights[-1])

    def member(self, number):
        """Return a copy of one network."""
        network = copy.deepcopy(self._template[0]).to(self.weights[0])
        with torch.no_grad():
            for layer, weight, bias in zip(
                _linear_layers(network), self.weights, self.biases, strict=True
            ):
                layer.weight.copy_(weight[number].T)
                layer.bias.copy_(bias[number, 0])
        return network


def make_stacked_mlp(
    seeds, n_features, hidden_layer_sizes, n_outputs, activation="relu"
):
    """Return networks as they would be built alone, each after seeding torch.

    Parameters
    ----------
    seeds : sequence of int
        One for each member.

    n_features, hidden_layer_sizes, n_outputs, activation
        As `MLP` takes them.
    """
    networks = []
    for seed in seeds:
        with isolated_noise(torch.device("cpu"), int(seed)):
            networks.append(MLP(n_features, hidden_layer_sizes, n_outputs, activation))
    return StackedMLP(networks)


class MemberSteps:
    """Give each member its own learning rate and weight decay: an ``after_step``.

    Whatever the optimiser, its step is scaled to the member's rate, which for all that
    torch has is the step with that rate; the decay is AdamW's, apart from the gradient.

    Parameters
    ----------
    module : StackedMLP
    learning_rates : tensor of shape (n_members,), in units of the optimiser's rate
    weight_decays : tensor of shape (n_members,), default=None
    """

    def __init__(self, module, learning_rates, weight_decays=None):
        shape = (-1, 1, 1)
        self.factors = learning_rates.reshape(shape)
        self.decays = None if weight_decays is None else weight_decays.reshape(shape)
        self.parameters = [*module.weights, *module.biases]
        self.before = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def __call__(self, state):
        rate = state.optimizers[0].param_groups[0]["lr"]
        for parameter, before in zip(self.parameters, self.before, strict=True):
            step = self.factors * (parameter - before)
            if self.decays is not None:
                step -= (rate * self.factors * self.decays) * before
            before += step
            parameter.copy_(before)


class MemberOrders:
    """Let each member see the rows in an order of its own: an ``extend``.

    For a run whose sampler is "sequential". Columns come with one more axis,
    (n_rows, n_members, ...): use `member_first` on those of a batch. The orders are those
    of runs of one network with the same ``order_seed``.
    """

    def __init__(self, seeds):
        self.generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        self.orders = None

    def __call__(self, indices, columns, state):
        n_rows = state.data.n_rows
        if int(indices[0]) == 0:
            orders = [torch.randperm(n_rows, generator=g) for g in self.generators]
            self.orders = torch.stack(orders, dim=1)  # (n_rows, n_members)
        rows = self.orders[indices]  # (n_chunk, n_members)
        taken = state.data.take(rows.reshape(-1))
        return {
            name: values.reshape(*rows.shape, *values.shape[1:])
            for name, values in taken.items()
        }


def member_first(values):
    """Return a batch of `MemberOrders` as (n_members, n_batch, ...)."""
    return values.transpose(0, 1)


def _linear_layers(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
