"""Training that keeps pruned weights at zero.

Both trainers have one method, ``run(n_epochs, masks)``: it trains and returns the mean
loss of the last epoch, None if the model reports none. Optimiser state is zeroed where
weights are, or momentum would move them within a step.
"""

from numbers import Real

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import _num_samples

from minimalml._core.arrays import is_torch_module, is_torch_tensor, to_numpy
from minimalml._core.models.delegation import last_step
from minimalml._core.models.weights import find_weight_holder, model_weights
from minimalml._core.training.partial_fit import train_by_partial_fit
from minimalml._core.validation import check_sample_weight
from minimalml.compression._global_magnitude_pruning._selection import zero_masked


def check_training_data(X, y, sample_weight):
    """Return rows, targets as an array (one column flat) and weights, of one length."""
    if X is None or y is None:
        raise ValueError(
            "X and y must be given, as the pruned estimator is trained further."
        )
    # data frames keep their feature names
    if not (hasattr(X, "iloc") or is_torch_tensor(X)):
        X = check_array(
            X, accept_sparse="csr", dtype=None, allow_nd=True, input_name="X"
        )
    y = check_array(
        to_numpy(y), ensure_2d=False, dtype=None, allow_nd=True, input_name="y"
    )
    y = y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y
    n_rows = _num_samples(X)
    if len(y) != n_rows:
        raise ValueError(f"y has {len(y)} rows but X has {n_rows}.")
    if sample_weight is not None:
        rows = np.empty((n_rows, 1))
        sample_weight = check_sample_weight(
            to_numpy(sample_weight), rows, ensure_non_negative=True
        )
    return X, y, sample_weight


def make_trainer(estimator, X, y, sample_weight, **options):
    """Return the trainer for a fitted estimator, whose last step sees ``X``."""
    owner, holder = last_step(estimator), find_weight_holder(estimator)
    if hasattr(owner, "partial_fit"):
        return PartialFitTrainer(owner, X, y, sample_weight, **options)
    if is_torch_module(holder):
        classes = None if owner is holder else getattr(owner, "classes_", None)
        return ModuleTrainer(holder, classes, X, y, sample_weight, **options)
    raise ValueError(
        f"{type(owner).__name__} has no partial_fit, so it can't be trained further: set "
        "fine_tune_epochs=0 and schedule='one-shot', or fine_tune='refit_support' for a "
        "linear model."
    )


class PartialFitTrainer:
    """Train a scikit-learn estimator by ``partial_fit``, masking after each call."""

    def __init__(
        self, estimator, X, y, sample_weight, *, batch_size, mask_every_batch,
        learning_rate, generator,
    ):  # fmt: skip
        self.estimator, self.data = estimator, (X, y)
        self.options = {
            "batch_size": batch_size if mask_every_batch else len(y),
            "sample_weight": sample_weight,
            "random_state": generator,
        }
        if learning_rate is not None:
            _set_learning_rate(estimator, learning_rate)

    def run(self, n_epochs, masks):
        """Train for some epochs over all rows."""

        def mask(estimator):
            weights = model_weights(estimator)
            for name, mask in masks.items():
                for values in (weights[name], *_training_state_of(estimator, name)):
                    zero_masked(values, mask.reshape(values.shape))

        mask(self.estimator)
        losses = train_by_partial_fit(
            self.estimator,
            *self.data,
            max_epochs=n_epochs,
            after_step=mask,
            **self.options,
        )
        return losses and losses[-1]


class ModuleTrainer:
    """Train a torch module by Adam, masking after each step.

    What is minimised depends on the targets, see `make_loss`. Layers that are frozen,
    in evaluation mode inside a module in training mode, stay so.
    """

    def __init__(
        self, module, classes, X, y, sample_weight, *, batch_size, mask_every_batch,
        learning_rate, generator,
    ):  # fmt: skip
        from minimalml._core.training.inference import map_batches
        from minimalml.compression._global_magnitude_pruning._loss_torch import (
            make_loss,
        )

        parameter = next(module.parameters())
        X = X if is_torch_tensor(X) else np.asarray(X)
        device, dtype = parameter.device, parameter.dtype
        output = map_batches(module, module, [X[:1]], device=device, dtype=dtype)
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
        from minimalml._core.training.loop import train

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


def _set_learning_rate(estimator, learning_rate):
    params = estimator.get_params()
    if hasattr(estimator, "_optimizer"):
        estimator._optimizer.learning_rate_init = learning_rate
        estimator._optimizer.learning_rate = learning_rate
    elif {"eta0", "learning_rate"} <= set(params):
        estimator.set_params(learning_rate="constant", eta0=learning_rate)
    elif isinstance(params.get("learning_rate"), Real):
        estimator.set_params(learning_rate=learning_rate)
    else:
        raise ValueError(
            f"learning_rate can't be set for {type(estimator).__name__}: leave it at "
            "None."
        )


def _training_state_of(estimator, name):
    """Return what training keeps beside the weight ``name``, of the same size."""
    kind, _, index = name.partition(".")
    states = []
    if kind == "coef_":  # averaged gradient descent goes on from _standard_coef
        names = ("_standard_coef", "_average_coef")
        states = [getattr(estimator, name, None) for name in names]
    elif kind == "coefs_":  # an MLP's running means
        optimizer = getattr(estimator, "_optimizer", None)
        kept = [getattr(optimizer, kind, None) for kind in ("ms", "vs", "velocities")]
        states = [moments and moments[int(index)] for moments in kept]
    return [state for state in states if state is not None]
