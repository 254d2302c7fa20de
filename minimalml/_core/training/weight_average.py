"""Averages of a network's weights over training, and copies of its best state.

The same functions move target networks (BYOL's, for instance) after their online one.
"""

from contextlib import contextmanager

import torch
from torch.nn.modules.batchnorm import _NormBase

EMA_DECAY = 0.999


@torch.no_grad()
def move_towards_inplace(targets, sources, rate):
    """Move ``targets`` by ``rate`` of the way to ``sources``, lists of tensors, at once.

    A rate of 1 copies; it is 1 minus the momentum of a moving average.
    """
    torch._foreach_lerp_(targets, sources, rate)


class WeightAverage:
    """Average of a module's parameters, exponential or equal.

    The kind "swa" averages after each epoch of the last quarter, "ema" after each step.
    A float is what "ema" keeps of the average at a step, once ``(1 + t) / (10 + t)``,
    the rule for its first steps t, has grown to it: an average of a short run would
    otherwise be mostly the initial weights.
    """

    def __init__(self, module, kind):
        self.kind = kind
        self.decay = EMA_DECAY if kind == "ema" else kind
        self.parameters = list(module.parameters())
        self.averages = [p.detach().clone() for p in self.parameters]
        self.n_updates = 0
        self.is_attached = False

    def after_step(self):
        """Take in the weights after a step."""
        if self.kind != "swa":
            warm_decay = (1 + self.n_updates) / (10 + self.n_updates)
            self._take_in(1.0 - min(self.decay, warm_decay))

    def after_epoch(self, progress):
        """Take in the weights after an epoch, ``progress`` in (0, 1] of the run."""
        if self.kind == "swa" and (progress > 0.75 or self.n_updates == 0):
            # Before the last quarter the average is a copy of the newest weights.
            self._take_in(1.0 / (self.n_updates + 1))
            if progress <= 0.75:
                self.n_updates = 0

    def _take_in(self, rate):
        move_towards_inplace(self.averages, self.parameters, rate)
        self.n_updates += 1

    def attach_inplace(self):
        """Give the module the averages, and keep its own weights to go on from."""
        if not self.is_attached:
            self._swap_inplace()
            self.is_attached = True

    def detach_inplace(self):
        """Undo `attach_inplace`."""
        if self.is_attached:
            self._swap_inplace()
            self.is_attached = False

    def restart_inplace(self):
        """Go on from the module's own weights, on its present device and type."""
        self.averages = [
            a.to(p) for a, p in zip(self.averages, self.parameters, strict=True)
        ]
        self.detach_inplace()

    @torch.no_grad()
    def _swap_inplace(self):
        kept = [p.clone() for p in self.parameters]
        torch._foreach_copy_(self.parameters, self.averages)
        torch._foreach_copy_(self.averages, kept)

    @contextmanager
    def applied(self):
        """Give the module the averages for a while."""
        self.attach_inplace()
        try:
            yield
        finally:
            self.detach_inplace()

    def state_dict(self):
        """Return what a resumed run needs."""
        names = ("averages", "n_updates", "is_attached")
        return {name: getattr(self, name) for name in names}

    @torch.no_grad()
    def load_state_dict(self, state):
        """Take what `state_dict` returned."""
        torch._foreach_copy_(self.averages, state["averages"])
        self.n_updates, self.is_attached = state["n_updates"], state["is_attached"]


class BestState:
    """The state of a module at its best epoch, kept on its device.

    ``epoch`` had the best ``score`` and is counted from 1, 0 before the first;
    ``n_without_improvement`` epochs in a row were not better by ``tol``.
    """

    def __init__(self, module):
        self.tensors = [*module.parameters(), *module.buffers()]
        self.copies = None
        self.score = -float("inf")
        self.epoch = 0
        self.n_without_improvement = 0

    def consider(self, score, epoch, tol):
        """Keep the present state if it has the best score."""
        improved = score >= self.score + tol
        self.n_without_improvement = 0 if improved else self.n_without_improvement + 1
        if score > self.score:
            self.score = score
            self.keep(epoch)

    @torch.no_grad()
    def keep(self, epoch):
        """Copy the present state."""
        self.epoch = epoch
        if self.copies is None:
            self.copies = [torch.empty_like(t) for t in self.tensors]
        torch._foreach_copy_(self.copies, self.tensors)

    @torch.no_grad()
    def restore_inplace(self):
        """Put the kept state back into the module."""
        torch._foreach_copy_(self.tensors, self.copies)

    def state_dict(self):
        """Return what a resumed run needs."""
        names = ("copies", "score", "epoch", "n_without_improvement")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state):
        """Take what `state_dict` returned."""
        copies = state["copies"]
        if copies is not None:
            self.copies = [
                c.to(t.device) for c, t in zip(copies, self.tensors, strict=True)
            ]
        self.score, self.epoch = state["score"], state["epoch"]
        self.n_without_improvement = state["n_without_improvement"]


def batch_norms(module):
    """List the layers of ``module`` that keep running statistics of batches."""
    return [
        m
        for m in module.modules()
        if isinstance(m, _NormBase) and m.running_mean is not None
    ]


@contextmanager
def fresh_batch_statistics(module):
    """Replace running statistics by the plain mean over what passes inside.

    Averaged weights never met the statistics of the weights they came from.
    """
    layers = batch_norms(module)
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
