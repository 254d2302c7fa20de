"""A torch parametrization that multiplies a weight by its mask; imports torch."""

import torch
from torch.nn.utils import parametrize


class KeepMask(torch.nn.Module):
    """Pass on what a mask keeps; the rest is zero, and so is its gradient."""

    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight):
        """Return the weight with zeros."""
        return torch.where(self.mask, weight, 0)


def parametrize_by_mask(module, name, mask):
    """Register the mask on each layer that uses the weight ``name``."""
    weight = module.get_parameter(name)
    owners = [
        path
        for path, parameter in module.named_parameters(remove_duplicate=False)
        if parameter is weight
    ]
    for path in owners:
        layer, _, parameter_name = path.rpartition(".")
        # unsafe: skips a trial forward pass, since shape and dtype stay the same
        parametrize.register_parametrization(
            module.get_submodule(layer), parameter_name, KeepMask(mask), unsafe=True
        )


def has_mask_parametrization(module):
    """Whether any layer has a masked weight."""
    return any(isinstance(layer, KeepMask) for layer in module.modules())


def remove_masks(module):
    """Make plain weights of masked ones."""
    for layer in list(module.modules()):
        for name, parametrizations in list(
            getattr(layer, "parametrizations", {}).items()
        ):
            if any(isinstance(step, KeepMask) for step in parametrizations):
                parametrize.remove_parametrizations(layer, name)
