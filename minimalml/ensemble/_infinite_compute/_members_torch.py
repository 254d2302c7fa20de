"""Members in one module, each with its own gradients: clipped alone, and dropped alone."""

import torch
from torch import nn

from minimalml._core.training.modules import MLP
from minimalml._core.training.optimizers import make_optimizer
from minimalml._core.training.stacked import StackedMLP


class SideBySide(nn.Module):
    """Networks of any kind, called one after the other, as `StackedMLP` is called."""

    def __init__(self, members):
        super().__init__()
        self.members = nn.ModuleList(members)
        self.n_members = len(members)

    def forward(self, X):
        """Return the outputs of all members, shape (n_members, n_samples, n_outputs)."""
        rows = X if X.ndim == 3 else [X] * self.n_members
        pairs = zip(self.members, rows, strict=True)
        return torch.stack([member(own).reshape(len(own), -1) for member, own in pairs])

    def member(self, number):
        """Return one network."""
        return self.members[number]


def side_by_side(members):
    """Return one module of all, of batched products where it can be."""
    is_plain = all(type(member) is MLP for member in members)
    return (StackedMLP if is_plain else SideBySide)(members)


def optimizer_of_members(groups, learning_rate, module, settings):
    """Return an optimiser that cuts each member's gradient to a length of its own.

    Members whose gradient is not finite stay at 0 from there on, marked in the tensor that
    is returned as well, of shape (n_members,).
    """
    optimizer = make_optimizer(
        groups, settings.optimizer, learning_rate, weight_decay=0.0, momentum=0.9
    )
    stacks = [module] if isinstance(module, StackedMLP) else module.members
    limit = torch.inf if settings.gradient_clip is None else settings.gradient_clip
    device = next(module.parameters()).device
    diverged = torch.zeros(module.n_members, dtype=torch.bool, device=device)
    pairs = list(zip(stacks, diverged.tensor_split(len(stacks)), strict=True))

    @torch.no_grad()
    def before_step(*_):
        for stack, is_lost in pairs:
            moved = [p for p in stack.parameters() if p.grad is not None]
            norms = [p.grad.reshape(len(is_lost), -1).norm(dim=1) for p in moved]
            norm = torch.stack(norms).norm(dim=0)
            is_lost |= ~norm.isfinite()
            factor = (limit / (norm + 1e-6)).clamp(max=1.0)
            for parameter in moved:
                # members first; the only one goes with any shape
                shape = [-1, *[1] * parameter.ndim][: parameter.ndim]
                where = is_lost.reshape(shape)
                parameter.grad.mul_(factor.reshape(shape)).masked_fill_(where, 0.0)
                parameter.masked_fill_(where, 0.0)

    optimizer.register_step_pre_hook(before_step)
    return optimizer, diverged
