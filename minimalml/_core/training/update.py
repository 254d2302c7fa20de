"""One step of training: losses to gradients to weights, without waiting for a device."""

import warnings
from contextlib import nullcontext

import torch
from torch.nn.utils import clip_grad_norm_

from minimalml._core.training.optimizers import make_optimizer
from minimalml._core.training.schedules import rate_factor


def make_optimizers(module, options):
    """Return the optimisers that the options ask for."""
    names = ("optimizer", "learning_rate", "weight_decay", "momentum")
    shared = {name: getattr(options, name) for name in names}
    specifications = options.optimizers or [{"parameters": module.parameters()}]
    return [make_optimizer(**{**shared, **own}) for own in specifications]


class Updater:
    """Move the weights of a run by the gradients of batches.

    ``state`` gets the ``network`` that steps call; ``totals`` are sums over the rows of
    the present epoch, of the loss and of named losses, as tensors.
    """

    def __init__(self, step, options, state, strategy, device):
        self.step, self.options, self.state = step, options, state
        self.strategy, self.device = strategy, device
        self.dtype = getattr(torch, options.dtype)
        self.autocast, self.scaler = _precision(options.amp, device)
        self.compile_errors = ()
        self.rates = [[g["lr"] for g in o.param_groups] for o in state.optimizers]
        self.parameters = [
            [p for g in o.param_groups for p in g["params"]] for o in state.optimizers
        ]
        self.optimizers, state.network = state.optimizers, state.module
        strategy.setup(state.module, state.optimizers)
        if options.compile:
            self.compile_errors = (torch._dynamo.exc.TorchDynamoException,)
            state.network = torch.compile(state.network, dynamic=False)

    def run_epoch(self, batches, n_batches):
        """Visit the batches of an epoch."""
        self.totals, self.steps_an_epoch = {}, n_batches
        for batch in batches:
            self._step(batch)

    def _step(self, batch):
        options, state = self.options, self.state
        if options.schedule != "constant" or options.warmup_epochs > 0:
            self._set_rates()
        try:
            self._update(batch)
        except self.compile_errors as error:
            self._fall_back_to_eager(error)
            self._update(batch)
        state.n_steps += 1
        if state.average is not None:
            state.average.after_step()
        if options.after_step is not None:
            options.after_step(state)

    def _set_rates(self):
        options = self.options
        factor = rate_factor(
            options.schedule,
            self.state.n_steps,
            self.steps_an_epoch * options.max_epochs,
            self.steps_an_epoch * options.warmup_epochs,
        )
        for optimizer, rates in zip(self.optimizers, self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor

    def _fall_back_to_eager(self, error):
        self.compile_errors = ()
        self.state.network = self.state.network._orig_mod
        reason = " ".join(str(error).split("\n\n")[0].split())
        warnings.warn(
            f"compile=True failed, training goes on without it: {reason}",
            RuntimeWarning,
            stacklevel=2,
        )

    def _update(self, batch):
        """Move the weights once by the gradients of a batch."""
        if self.options.optimizer == "lbfgs":
            return self._update_by_line_search(batch)
        self._forget_gradients()
        with self.autocast:
            losses = self.step(batch, self.state)
        if isinstance(losses, list):
            return self._take_turns(losses, batch)
        loss = _total(losses)
        self._backward(loss, batch.share)
        self._note(losses, loss, batch)
        for index in range(len(self.optimizers)):
            self._apply(index)

    def _take_turns(self, turns, batch):
        """Let each optimiser of a list move its own weights by its own loss."""
        losses = {}
        for index, closure in turns:
            self._forget_gradients()
            with self.autocast:
                loss = closure()
            self._backward(loss, batch.share)
            self._apply(index)
            losses[f"loss_{index}"] = loss.detach()
        self._note(losses, _total(losses), batch)

    def _update_by_line_search(self, batch):
        """Let an optimiser that evaluates the loss several times move the weights."""

        def closure():
            self._forget_gradients()
            with self.autocast:
                loss = _total(self.step(batch, self.state))
            self._backward(loss, batch.share)
            return loss

        loss = self.optimizers[0].step(closure)
        self._note(loss, loss, batch)

    def _forget_gradients(self):
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def _backward(self, loss, share):
        if share != 1.0:
            loss = loss * share
        if self.scaler is not None:
            loss = self.scaler.scale(loss)
        self.strategy.backward(loss)

    def _apply(self, index):
        """Step one optimiser, with clipped gradients."""
        optimizer, limit = self.optimizers[index], self.options.gradient_clip
        if self.scaler is not None and limit is not None:
            self.scaler.unscale_(optimizer)
        if limit is not None:
            clip_grad_norm_(self.parameters[index], limit, foreach=True)
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(optimizer)
            self.scaler.update()

    def _note(self, losses, loss, batch):
        """Add to the sums over the epoch, on the device."""
        weight = batch.share * batch.n_rows
        named = {**losses, "loss": loss} if isinstance(losses, dict) else {"loss": loss}
        for name, value in named.items():
            if name not in self.totals:
                self.totals[name] = torch.zeros(
                    (), dtype=self.dtype, device=self.device
                )
            self.totals[name].add_(value.detach(), alpha=weight)


def _total(losses):
    """Return what is minimised."""
    return sum(losses.values()) if isinstance(losses, dict) else losses


def _precision(amp, device):
    """Return the context of mixed precision, and the scaler that float16 needs."""
    if not amp:
        return nullcontext(), None
    if amp == "float16":
        if device.type != "cuda":
            raise ValueError(
                f"amp='float16' needs a cuda device, got {device}: use amp=True, which "
                "is bfloat16."
            )
        return torch.autocast("cuda", torch.float16), torch.amp.GradScaler("cuda")
    return torch.autocast(device.type, torch.bfloat16), None
