"""One run on several processes: who takes which rows, and how gradients meet.

Every process calls fit with the same arrays and the same seed and draws the same order;
each takes its share of every batch. The user starts the processes (``torchrun``).
"""

import torch


class SingleProcess:
    """Plain torch: nothing to share."""

    rank, world_size, is_main = 0, 1, True

    def setup(self, module, optimizers):
        """Nothing to make equal."""

    def backward(self, loss):
        """Compute the gradients."""
        loss.backward()

    def all_reduce(self, tensor):
        """Return the mean over processes: the tensor itself."""
        return tensor

    def finish(self, module):
        """Nothing to make equal."""


class ProcessGroup(SingleProcess):
    """The default process group of ``torch.distributed``.

    Gradients are averaged in one flat vector after the backward pass rather than by
    DistributedDataParallel: a step may then call any part of its module, and several
    optimisers may take turns.
    """

    def __init__(self):
        self.rank = torch.distributed.get_rank()
        self.world_size = torch.distributed.get_world_size()
        self.is_main = self.rank == 0

    def setup(self, module, optimizers):
        """Start all processes from the weights of the first."""
        for tensor in (*module.parameters(), *module.buffers()):
            torch.distributed.broadcast(tensor.detach(), src=0)
        self.parameters = [
            p for o in optimizers for g in o.param_groups for p in g["params"]
        ]

    def backward(self, loss):
        """Compute the gradients and average them over processes."""
        loss.backward()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        self._average_inplace(gradients)

    def all_reduce(self, tensor):
        """Return the mean over processes."""
        total = tensor.clone()
        torch.distributed.all_reduce(total)
        return total / self.world_size

    def finish(self, module):
        """Average what each process gathered by itself: batch statistics."""
        self._average_inplace([b for b in module.buffers() if b.is_floating_point()])

    @torch.no_grad()
    def _average_inplace(self, tensors):
        if not tensors:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        torch.distributed.all_reduce(flat)
        flat /= self.world_size
        shares = flat.split([t.numel() for t in tensors])
        torch._foreach_copy_(
            tensors, [s.view_as(t) for s, t in zip(shares, tensors, strict=True)]
        )


def make_strategy(strategy):
    """Return what runs the processes: an object with the methods of `SingleProcess`.

    ``None`` is the default process group where the user has started one, and plain
    torch elsewhere.
    """
    if strategy is not None:
        return strategy
    distributed = torch.distributed
    running = distributed.is_available() and distributed.is_initialized()
    return ProcessGroup() if running else SingleProcess()
