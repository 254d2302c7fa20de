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
    """Cut the gradient of each member to a length of its own, and stop those with NaN.

    They stay at 0 from there on, marked in ``diverged``, a tensor of shape (n_members,).
    """

    def __init__(self, optimizer, limit):
        self.optimizer, self.limit = optimizer, limit
        self.stacks, self.diverged = [], None

    def watch(self, module):
        """Take the parameters: of all members in one stack, or of each in its own."""
        is_stacked = isinstance(module, StackedMLP)
        members = [module] if is_stacked else module.members
        self.stacks = [list(member.parameters()) for member in members]
        self.norms = _norms_of_stack if is_stacked else _norm_of_one

    def make_optimizer(self, groups, learning_rate):
        """Return the optimiser, which looks after the gradients before each step."""
        optimizer = make_optimizer(
            groups, self.optimizer, learning_rate, weight_decay=0.0, momentum=0.9
        )
        optimizer.register_step_pre_hook(self._before_step)
        return optimizer

    @torch.no_grad()
    def _before_step(self, optimizer, args, kwargs):
        stacks = [[p for p in some if p.grad is not None] for some in self.stacks]
        norms = [self.norms([p.grad for p in some]) for some in stacks]
        diverged = ~torch.cat(norms).isfinite()
        self.diverged = diverged if self.diverged is None else self.diverged | diverged
        lost = self.diverged.split([len(norm) for norm in norms])
        limit = torch.inf if self.limit is None else self.limit
        for parameters, norm, is_lost in zip(stacks, norms, lost, strict=True):
            factor = (limit / (norm + 1e-6)).clamp(max=1.0)
            for parameter in parameters:
                # one of several in a stack, or the only one, which goes with any shape
                shape = (-1, *[1] * (parameter.ndim - 1)) if len(norm) > 1 else (1,)
                where = is_lost.reshape(shape)
                parameter.grad.mul_(factor.reshape(shape)).masked_fill_(where, 0.0)
                parameter.masked_fill_(where, 0.0)


def _norm_of_one(gradients):
    return torch.stack(torch._foreach_norm(gradients)).norm()[None]


def _norms_of_stack(gradients):
    return torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
