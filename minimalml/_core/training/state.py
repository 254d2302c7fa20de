"""What a training run is told, and where it is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from minimalml._core.training.data import IN_MEMORY_LIMIT
from minimalml._core.training.optimizers import fits, take_moments_inplace


@dataclass(kw_only=True)
class TrainingOptions:
    """What a run may be told beyond step, module and rows.

    Attributes
    ----------
    max_epochs, batch_size, learning_rate, weight_decay, early_stopping, device, \
    verbose, optimizer, schedule, warmup_epochs, gradient_clip, n_iter_no_change, tol, \
    weight_average, dtype, amp, compile :
        As estimators and their ``training`` take them.

    momentum : float
        Of "sgd", of Nesterov's kind.

    optimizers : list of dict or None
        Several optimisers: of each its ``parameters`` and, where they differ from the
        run's, ``optimizer``, ``learning_rate``, ``weight_decay``, ``momentum``. None is
        one optimiser of all parameters.

    sampler : str or object
        "permutation", "sequential", or an object as in `samplers`.

    extend : callable or None
        ``extend(indices, columns, state) -> dict`` of tensors, called for the rows of a
        whole epoch (or chunk of it) at once: columns to add to those gathered, or to
        replace. The indices are on the CPU.

    rows : array of int or None
        The training rows among those given; None takes all.

    after_step : callable or None
        ``after_step(state)``, called after each optimiser step.

    validate : callable or None
        ``validate(state) -> score``, greater is better, a scalar tensor or a number;
        called after each epoch in evaluation mode, with averaged weights if any.

    on_epoch_begin, on_epoch_end : callable or None
        ``on_epoch_end(state)`` returns True to stop.

    strategy : object or None
        See `distributed.make_strategy`.

    checkpoint : path or None
        File that is written after each epoch; where it is there already, the run goes
        on from it.

    description : dict
        Plain values that a checkpoint must have been written with, by name; network and
        rows are looked at in any case.

    in_memory_limit : int
        Bytes of rows above which they are copied to the device chunk by chunk.

    order_seed, noise_seed : int
        Seeds of the order of rows, and of noise inside the module (dropout).
    """

    max_epochs: int = 100
    batch_size: int | str = "auto"
    optimizer: str | Callable = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    optimizers: list | None = None
    schedule: str | Callable = "constant"
    warmup_epochs: float = 0
    gradient_clip: float | None = None
    sampler: Any = "permutation"
    extend: Callable | None = None
    rows: Any = None
    after_step: Callable | None = None
    validate: Callable | None = None
    early_stopping: bool = False
    n_iter_no_change: int = 10
    tol: float = 1e-4
    weight_average: str | float | None = None
    device: Any = "auto"
    dtype: str = "float32"
    amp: bool | str = False
    compile: bool = False
    on_epoch_begin: Callable | None = None
    on_epoch_end: Callable | None = None
    strategy: Any = None
    checkpoint: Any = None
    description: dict = field(default_factory=dict)
    in_memory_limit: int = IN_MEMORY_LIMIT
    order_seed: int = 0
    noise_seed: int = 0
    verbose: int = 0

    def rows_a_batch(self, n_rows):
        """Return the batch size as a number."""
        if self.optimizer == "lbfgs":
            if self.batch_size != "auto" and self.batch_size < n_rows:
                raise ValueError(
                    "optimizer='lbfgs' takes all rows at once, got "
                    f"batch_size={self.batch_size}: set batch_size='auto'."
                )
            return n_rows
        n_asked = 200 if self.batch_size == "auto" else self.batch_size
        return min(int(n_asked), n_rows)  # torch splits by no integer of NumPy


@dataclass
class TrainingState:
    """Where a run is; steps and hooks read it, and the next run may go on from it.

    Attributes
    ----------
    module : torch.nn.Module
        The network, as it is stored.

    network : callable
        The network as steps call it: compiled where that is asked for.

    data : TrainingData or None
        The training rows on the device; None after the run.

    batch_size : int
        Rows a batch, all processes together.

    sampler : Sampler
        Where the step may report values of rows to.

    optimizers : list of torch.optim.Optimizer
        In the order of the option ``optimizers``.

    epoch, n_steps : int
        Epochs and optimiser steps that are finished.

    loss_curve : list of float
        Mean loss of each epoch.

    losses : dict of str to list of float
        The same by name, where the step returns names.

    validation_scores : list of float
        Score after each epoch.

    best_epoch : int
        The epoch whose weights the module has at the end, counted from 1.

    frozen : list of str
        Layers that came in evaluation mode within a network in training mode: they stay
        so, as frozen batch statistics must.
    """

    module: Any = None
    network: Any = None
    data: Any = None
    sampler: Any = None
    batch_size: int = 0
    optimizers: list = field(default_factory=list)
    epoch: int = 0
    n_steps: int = 0
    first_epoch: int = 0
    loss_curve: list = field(default_factory=list)
    losses: dict = field(default_factory=dict)
    validation_scores: list = field(default_factory=list)
    best_epoch: int = 0
    frozen: list = field(default_factory=list)
    average: Any = None
    order_generator: Any = None
    noise: Any = None
    pending: dict | None = None

    COUNTERS = ("epoch", "n_steps", "first_epoch", "loss_curve", "losses",
                "validation_scores", "best_epoch", "frozen")  # fmt: skip

    def renew_optimizers(self, optimizers):
        """Take new optimisers, with the moments of the old where these fit."""
        if len(optimizers) == len(self.optimizers):
            for old, new in zip(self.optimizers, optimizers, strict=True):
                if fits(old, new):
                    take_moments_inplace(new, old.state_dict())
        self.optimizers = optimizers

    def load_pending(self):
        """Take what a pickled state holds, now that there are optimisers for it."""
        if self.pending is not None:
            self.load_state_dict(self.pending)
            self.pending = None

    def state_dict(self):
        """Return all but the module's weights, as tensors and plain values."""
        if self.pending is not None:
            return self.pending
        return {
            **{name: getattr(self, name) for name in self.COUNTERS},
            "optimizers": [(type(o).__name__, o.state_dict()) for o in self.optimizers],
            "average": self.average and self.average.state_dict(),
            "order": self.order_generator.get_state(),
            "noise": self.noise,
        }

    def load_state_dict(self, saved):
        """Take what `state_dict` returned."""
        for name in self.COUNTERS:
            setattr(self, name, saved[name])
        if len(saved["optimizers"]) == len(self.optimizers):
            for optimizer, (kind, state) in zip(
                self.optimizers, saved["optimizers"], strict=True
            ):
                if type(optimizer).__name__ == kind:
                    take_moments_inplace(optimizer, state)
        if self.average is not None and saved["average"] is not None:
            self.average.load_state_dict(saved["average"])
        self.order_generator.set_state(saved["order"])
        self.noise = saved["noise"]

    def __getstate__(self):
        """Keep what the next run needs; the module pickles with its estimator."""
        return {"pending": _to_cpu(self.state_dict())}

    def __setstate__(self, state):
        """Wait for the next run, which brings module and optimisers."""
        self.__init__(pending=state["pending"])


def _to_cpu(value):
    """Copy a nest of dictionaries and lists with its tensors on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {key: _to_cpu(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_to_cpu(v) for v in value)
    return value
