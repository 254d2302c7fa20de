"""Members in one module, each with its own gradients: clipped alone, and dropped alone."""

import torch
from torch import nn

from minimalml._core.training.modules import MLP
from minimalml._core.training.optimizers import make_optimizer
from minimalml._core.training.stacked import StackedMLP


class SideBySide(nn.Module):
    """Networks of any kind, called one after the other, as `StackedMLP` is called.

    Parameters
    ----------
    members : list of nn.Module
    """

    def __init__(self, members):
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def n_members(self):
        """Number of networks."""
        return len(self.members)

    def forward(self, X):
        """Return the outputs of all members, shape (n_members, n_samples, n_outputs)."""
        rows = X if X.ndim == 3 else [X] * self.n_members
        outputs = [
            member(own).reshape(len(own), -1)
            for member, own in zip(self.members, rows, strict=True)
        ]
        return torch.stack(outputs)


def side_by_side(members):
    """Return one module of all, of batched products where it can be."""
    is_plain = all(type(member) is MLP for member in members)
    return (StackedMLP if is_plain else SideBySide)(members)


def split_members(module):
    """Return the networks of `side_by_side`."""
    if isinstance(module, SideBySide):
        return list(module.members)
    return [module.member(number) for number in range(module.n_members)]


class MemberGradients:
    """Make members move as they would alone: a norm for each, and no way for NaN.

    One that gets a gradient that is not finite stays at 0 from there on, and is marked in
    ``diverged``, a tensor of shape (n_members,).

    Parameters
    ----------
    optimizer : str or callable
    limit : float or None
        Largest norm of a member's gradient.
    """

    def __init__(self, optimizer, limit):
        self.optimizer, self.limit = optimizer, limit
        self.stacks, self.diverged = [], None

    def watch(self, module):
        """Take the parameters, in stacks whose first axis is that of members."""
        if isinstance(module, StackedMLP):
            self.stacks = [(list(module.parameters()), True)]
        else:
            self.stacks = [(list(m.parameters()), False) for m in module.members]

    def make_optimizer(self, groups, learning_rate):
        """Return the optimiser, which looks after the gradients before each step."""
        optimizer = make_optimizer(
            groups, self.optimizer, learning_rate, weight_decay=0.0, momentum=0.9
        )
        optimizer.register_step_pre_hook(self._before_step)
        return optimizer

    @torch.no_grad()
    def _before_step(self, optimizer, args, kwargs):
        stacks = [
            [(p, p.grad) if is_stack else (p[None], p.grad[None]) for p in parameters
             if p.grad is not None]
            for parameters, is_stack in self.stacks
        ]  # fmt: skip
        norms = [
            torch.stack([g.flatten(1).norm(dim=1) for _, g in pairs]).norm(dim=0)
            for pairs in stacks
        ]
        diverged = ~torch.cat(norms).isfinite()
        self.diverged = diverged if self.diverged is None else self.diverged | diverged
        start = 0
        for pairs, norm in zip(stacks, norms, strict=True):
            is_lost = self.diverged[start : start + len(norm)]
            start += len(norm)
            for parameter, gradient in pairs:
                shape = (-1, *[1] * (gradient.ndim - 1))
                if self.limit is not None:
                    factor = (self.limit / (norm + 1e-6)).clamp(max=1.0)
                    gradient.mul_(factor.reshape(shape))
                gradient.masked_fill_(is_lost.reshape(shape), 0.0)
                parameter.masked_fill_(is_lost.reshape(shape), 0.0)
