"""A torch parametrization that multiplies a weight by its mask."""

import torch
from torch.nn.utils import parametrize

from minimalml._core.models.weights_torch import torch_weights


class KeepMask(torch.nn.Module):
    """Pass on what a mask keeps; the rest is zero, and so is its gradient."""

    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight):
        """Return the weight with zeros."""
        return torch.where(self.mask, weight, 0)


def register(module, name, mask):
    """Mask the weight ``name`` in each layer that uses it."""
    uses = torch_weights(module)
    for weight in uses.values():
        if weight.key == uses[name].key:
            # unsafe: skips a trial forward pass, since shape and dtype stay the same
            parametrize.register_parametrization(
                weight.layer, weight.attribute, KeepMask(mask), unsafe=True
            )


def remove(module):
    """Make plain weights of masked ones, and say whether there were any."""
    masked = [w for w in torch_weights(module).values() if _is_masked(w)]
    for weight in masked:
        parametrize.remove_parametrizations(weight.layer, weight.attribute)
    return bool(masked)


def _is_masked(weight):
    if not parametrize.is_parametrized(weight.layer, weight.attribute):
        return False
    steps = weight.layer.parametrizations[weight.attribute]
    return any(isinstance(step, KeepMask) for step in steps)
