"""The weights of a torch module as it uses them: through parametrizations and masks."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.utils import parametrize

from minimalml._core.training.inference import evaluation_mode

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
LINEAR_MAPS = (
    nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd, nn.RNNBase, nn.RNNCellBase,
    nn.MultiheadAttention,
)  # fmt: skip


class TorchWeight(NamedTuple):
    """Where a weight is used: ``getattr(layer, attribute)``.

    ``sources`` are the parameters that it is made of: itself, if ``is_plain``, or those
    that a parametrization or ``torch.nn.utils.prune`` computes it from.
    """

    layer: nn.Module
    attribute: str
    sources: tuple
    is_plain: bool

    @property
    def key(self):
        """Identify the weight, wherever it is used."""
        return tuple(map(id, self.sources))

    def read(self):
        """Return the values, detached; the live ones where the weight is plain."""
        if self.is_plain:
            return self.sources[0].detach()
        if parametrize.is_parametrized(self.layer, self.attribute):
            # some parametrizations change their buffers in training mode
            with torch.no_grad(), evaluation_mode(self.layer):
                return getattr(self.layer, self.attribute).detach()
        mask = self.layer.get_buffer(f"{self.attribute}_mask")
        return self.sources[0].detach() * mask

    def kind(self):
        """Say what the weight is, as `weight_kinds` does."""
        name, layer = self.attribute, self.layer
        if isinstance(layer, NORMS) or "Norm" in type(layer).__name__:
            return "norm"
        if name.startswith("bias") or name.endswith("bias"):
            return "bias"
        if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):
            return "embedding"
        is_weight = isinstance(layer, LINEAR_MAPS) and "weight" in name
        return "weight" if is_weight else "other"


def torch_weights(module):
    """Return the weights of all layers by name, tied ones at each place."""
    weights, inside = {}, set()
    for path, layer in module.named_modules():
        if layer in inside:
            continue
        for weight in _weights_of_layer(layer):
            weights[f"{path}.{weight.attribute}".lstrip(".")] = weight
        if parametrize.is_parametrized(layer):
            inside.update(layer.parametrizations.modules())
    return weights


def first_uses(weights):
    """Return `torch_weights` with tied ones under their first name only."""
    first = {}
    for name, weight in weights.items():
        first.setdefault(weight.key, name)
    return {name: weights[name] for name in first.values()}


def write_tensor(target, value):
    """Copy ``value`` into a live tensor, in its dtype and layout."""
    value = torch.as_tensor(value)
    if not torch.can_cast(value.dtype, target.dtype):
        raise TypeError(
            f"a weight of {target.dtype} can't hold values of {value.dtype}."
        )
    target.copy_(value)


def _weights_of_layer(layer):
    for name, parameter in layer.named_parameters(recurse=False):
        plain = name.removesuffix("_orig")
        is_plain = plain == name or f"{plain}_mask" not in layer._buffers
        yield TorchWeight(layer, name if is_plain else plain, (parameter,), is_plain)
    if parametrize.is_parametrized(layer):
        for name, steps in layer.parametrizations.items():
            sources = tuple(steps.parameters(recurse=False))
            yield TorchWeight(layer, name, sources, False)
