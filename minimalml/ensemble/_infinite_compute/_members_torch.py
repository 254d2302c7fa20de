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
        for parameters, norm, is_lost in zip(stacks, norms, lost, strict=True):
            if self.limit is not None:
                factor = (self.limit / (norm + 1e-6)).clamp(max=1.0)
                self._shorten([p.grad for p in parameters], factor)
            for parameter in parameters:
                # without reading the device: a member of all may be lost at any step
                where = is_lost if len(is_lost) == 1 else _beside(is_lost, parameter)
                parameter.grad.masked_fill_(where, 0.0)
                parameter.masked_fill_(where, 0.0)

    def _shorten(self, gradients, factor):
        if len(factor) == 1:
            torch._foreach_mul_(gradients, factor[0])
        else:
            for gradient in gradients:
                gradient.mul_(_beside(factor, gradient))


def _norm_of_one(gradients):
    """Return the length of the gradient of a network, shape (1,)."""
    return torch.stack(torch._foreach_norm(gradients)).norm()[None]


def _norms_of_stack(gradients):
    """Return those of stacked members, shape (n_members,)."""
    return torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)


def _beside(values, tensor):
    """Return one value a member in a shape that goes with a stack of members."""
    return values.reshape(-1, *[1] * (tensor.ndim - 1))
