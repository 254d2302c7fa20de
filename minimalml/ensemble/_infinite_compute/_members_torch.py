"""Members in one module, each with its own gradients: clipped alone, and dropped alone."""

import torch
from torch import nn

from minimalml._core.training.modules import MLP
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


def cut_each_member(optimizer, module, limit):
    """Cut the gradient of each member to a length of its own, before each step.

    Members whose gradient is not finite stay at 0 from there on, marked in the tensor that
    is returned, of shape (n_members,).
    """
    stacks = [module] if isinstance(module, StackedMLP) else module.members
    limit = torch.inf if limit is None else limit
    like = next(module.parameters())
    diverged = like.new_zeros(module.n_members, dtype=torch.bool)

    @torch.no_grad()
    def before_step(*_):
        for stack, is_lost in zip(
            stacks, diverged.tensor_split(len(stacks)), strict=True
        ):
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
    return diverged
