"""A network whose output is scaled, and counted from its start."""

import torch
from torch import nn

from minimalml._core.training.modules import copy_module


class LazyNetwork(nn.Module):
    """``alpha`` times a network, less what it said at the start where ``center``.

    Attributes
    ----------
    network : nn.Module
        What is trained.

    start : nn.Module
        Its frozen copy.
    """

    def __init__(self, network, alpha, *, init_scale, center):
        super().__init__()
        with torch.no_grad():
            torch._foreach_mul_(list(network.parameters()), init_scale)
        self.network = network
        self.start = copy_module(network).requires_grad_(False).eval()
        self.alpha, self.center = alpha, center

    def forward(self, X):
        """Return the outputs, shape (n_samples, n_outputs)."""
        outputs = self.network(X)
        return self.alpha * (outputs - self.start(X) if self.center else outputs)

    @torch.no_grad()
    def distance(self):
        """Return how far the weights moved, as a share of their norm at the start."""
        pairs = zip(self.network.parameters(), self.start.parameters(), strict=True)
        moves, starts = zip(*((w - w_0, w_0) for w, w_0 in pairs), strict=True)
        return _norm(moves) / _norm(starts)


def _norm(tensors):
    return torch.stack(torch._foreach_norm(tensors)).norm()
