"""Training of a torch module that keeps pruned weights at zero."""

import math

import numpy as np
import torch
from torch.nn import functional

from minimalml._core.array_checks import encode_labels
from minimalml._core.training.inference import map_batches
from minimalml._core.training.loop import train


class ModuleTrainer:
    """Train a torch module by Adam, masking after each step; see `make_loss`.

    Frozen layers, in evaluation mode inside a module in training mode, stay so.
    """

    def __init__(
        self, module, classes, X, y, sample_weight, *, batch_size, mask_every_batch,
        learning_rate, generator,
    ):  # fmt: skip
        parameter = next(module.parameters())
        X = X if isinstance(X, torch.Tensor) else np.asarray(X)
        device, dtype = parameter.device, parameter.dtype
        output = map_batches(module, module, [X[:1]], device=device, dtype=dtype)
        if not isinstance(output, torch.Tensor):
            kind = type(output).__name__
            raise TypeError(f"the module must return one tensor a batch, got a {kind}.")
        self.module, self.mask_every_batch = module, mask_every_batch
        self.loss, y = make_loss(y, output, classes)
        self.columns = {"X": X, "y": y, "weight": sample_weight}
        self.options = {
            "batch_size": batch_size,
            "device": device,
            "dtype": str(dtype).removeprefix("torch."),
            "order_seed": int(generator.integers(2**31)),
            "noise_seed": int(generator.integers(2**31)),
        }
        if learning_rate is not None:
            self.options["learning_rate"] = learning_rate
        self.state = None

    def run(self, n_epochs, masks):
        """Train for some epochs over all rows."""
        hook = "after_step" if self.mask_every_batch else "on_epoch_end"
        modes = {layer: layer.training for layer in self.module.modules()}
        frozen = [layer for layer in modes if self.module.training and not modes[layer]]
        pruned = {self.module.get_parameter(name): ~m for name, m in masks.items()}
        self.state = train(
            self._step,
            self.module,
            self.columns,
            state=self.state,
            max_epochs=n_epochs,
            on_epoch_begin=lambda state: _set_modes(dict.fromkeys(frozen, False)),
            **{hook: lambda state: _zero(state, pruned)},
            **self.options,
        )
        _zero(self.state, pruned)  # a diverged run went back to an unmasked state
        _set_modes(modes)
        return self.state.loss_curve[-1]

    def _step(self, batch, state):
        losses = self.loss(state.network(batch.X), batch.y)
        losses = losses.reshape(len(losses), -1).mean(1)
        return losses.mean() if batch.weight is None else (losses * batch.weight).mean()


def _set_modes(modes):
    for layer, is_training in modes.items():
        layer.training = is_training


def _zero(state, pruned):
    """Zero pruned parameters, and what optimisers keep for them."""
    for parameter, gone in pruned.items():
        parameter.detach().masked_fill_(gone, 0)
        for optimizer in state.optimizers:
            for moment in optimizer.state.get(parameter, {}).values():
                if getattr(moment, "shape", ()) == gone.shape:
                    moment.masked_fill_(gone, 0)


def make_loss(y, output, classes=None):
    """Return the loss of each row as ``loss(output, targets)``, and the targets for it.

    ``output`` is what the module makes of a row, ``classes`` are the labels of its
    columns where an estimator knows them. Without, integers are places in the output;
    floats, and integers of the shape of the output, are numbers.
    """
    n_outputs = output.shape[1] if output.ndim > 1 else 1
    n_classes = max(n_outputs, 2)
    if classes is not None:
        if len(classes) != n_classes:
            n = len(classes)
            raise ValueError(f"the module has {n_outputs} outputs for {n} classes.")
        y = encode_labels(y, classes)
    has_shape_of_output = y.ndim > 1 and y.shape[1:] == output.shape[1:]
    if y.dtype.kind not in "iub" or has_shape_of_output:
        return _squared_error, _check_numbers(y, output)
    y = y.astype(np.int64)
    unknown = y[(y < 0) | (y >= n_classes)]
    if unknown.size:
        raise ValueError(
            f"y has the label {unknown.max()}, but the module's {n_outputs} outputs stand "
            f"for labels 0 to {n_classes - 1}: number them so, or pass floats as numbers."
        )
    return (_logistic if n_outputs == 1 else _cross_entropy), y


def _check_numbers(y, output):
    if y.dtype.kind not in "fiub":
        raise ValueError(
            "y must hold integers, the places of the classes in the module's output, "
            f"or floats, got dtype {y.dtype}."
        )
    if math.prod(y.shape[1:]) != math.prod(output.shape[1:]):
        shape = (len(y), *output.shape[1:])
        raise ValueError(
            f"y of {y.dtype} and shape {y.shape} does not fit the module's output of "
            f"shape {shape}: pass integers for classes."
        )
    return y


def _squared_error(output, y):
    return (output - y.reshape(output.shape).to(output.dtype)) ** 2


def _logistic(output, y):
    return functional.binary_cross_entropy_with_logits(
        output.reshape(y.shape), y.to(output.dtype), reduction="none"
    )


def _cross_entropy(output, y):
    return functional.cross_entropy(output, y, reduction="none")
