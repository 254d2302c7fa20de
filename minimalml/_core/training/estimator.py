"""What an estimator that trains a torch network stands on.

One network that classifies or regresses rows is a subclass in `network`, which is the
example to read. Anything else takes `TorchEstimatorMixin`: its ``fit`` validates rows,
calls `_fit_network` with named columns, and writes three methods::

    def _build_network(self):
        from minimalml._core.training.modules import MLP  # imports torch: not at the top
        return MLP(self.n_features_in_, [self.width], 1)

    def _training_loss(self, batch, state):
        errors = state.network(batch.X)[:, 0] - batch.y
        return weighted_mean(errors**2, batch.weight)

    def _validation_score(self, columns, state):
        predictions = self._map_rows(self.module_, columns["X"])[:, 0]
        return coefficient_of_determination(columns["y"], predictions)

Rows are on the device already, the loop never waits for it inside an epoch, and
callbacks, early stopping, warm starts, pickling, checkpoints and all of `Training` come
with it. A loss may also be a dictionary of named losses, or a list of turns of several
optimisers; samplers, columns made once an epoch and hooks after each step are keywords
of `_fit_network`, see `state.TrainingOptions`. Draws of a method's own are made by a
generator seeded with the epoch, so that a run that goes on from a checkpoint draws the
same. What has no estimator calls `loop.train`.
"""

from contextlib import ExitStack, nullcontext
from functools import partial as bind
from numbers import Integral, Real

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from minimalml._core.arrays import import_torch, is_torch_module, resolve_device
from minimalml._core.callbacks import CallbackSupportMixin, fit_task
from minimalml._core.training.settings import Training, validate_training
from minimalml._core.validation import Interval, StrOptions

__all__ = [
    "TRAINING_CONSTRAINTS",
    "TorchEstimatorMixin",
    "coefficient_of_determination",
    "weighted_mean",
]

# Public parameters that all estimators with a network share, by the same names.
TRAINING_CONSTRAINTS = {
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "early_stopping": ["boolean"],
    "device": [str, object],
    "warm_start": ["boolean"],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
    "training": [Training, None],
}

# Those of them that are the estimator's business; the loop takes the rest.
_NOT_OF_THE_LOOP = {"warm_start", "random_state", "training"}
# What may have changed where a run goes on from a checkpoint; the loop compares modules.
_FREE_TO_CHANGE = {
    "max_epochs", "device", "warm_start", "verbose", "module", "training",
    "training.compile", "training.checkpoint",
}  # fmt: skip


def weighted_mean(losses, weight=None):
    """Return the mean loss of a batch, given one a row and ``batch.weight``.

    The sum of weights, 1 a row over all rows, differs between batches: dividing by the
    number of rows makes the gradient unbiased for the weighted mean over all rows.
    """
    return losses.mean() if weight is None else (losses * weight).mean()


def coefficient_of_determination(targets, predictions, weight=None):
    """Return R², the mean over outputs, as a tensor on its device."""
    if weight is None:
        weight = targets.new_ones(len(targets))
    if targets.ndim > 1:
        weight = weight[:, None]
    mean = (weight * targets).sum(0) / weight.sum(0)
    residual = (weight * (targets - predictions) ** 2).sum(0)
    total = (weight * (targets - mean) ** 2).sum(0)
    tiny = 1e-30  # a constant target: any error scores badly, none scores 1
    return (1.0 - residual / total.clamp_min(tiny)).mean()


class TorchEstimatorMixin(CallbackSupportMixin):
    """Train, keep and run a network in a scikit-learn estimator.

    A subclass has the parameters of `TRAINING_CONSTRAINTS` in its constructor, and the
    methods `_build_network`, `_training_loss` and `_validation_score`. It gets the
    attributes of `documentation.ATTRIBUTES`.
    """

    @property
    def _training_settings(self):
        """The parameter ``training``, or its defaults."""
        return Training() if self.training is None else self.training

    def _validate_params(self):
        super()._validate_params()
        validate_training(self._training_settings, type(self).__name__)

    def _continues(self, partial=False):
        """Whether fit goes on from the present network."""
        return (partial or self.warm_start) and hasattr(self, "module_")

    def _fit_network(
        self, columns, X, y, *, stratify=None, partial=False, task=None, **options
    ):
        """Train on rows, and set the fitted attributes.

        Parameters
        ----------
        columns : dict of str to array of shape (n_samples, ...) or None
            What batches hold, by name; ``weight`` holds sample weights.

        X, y : arrays
            What callbacks are shown.

        stratify : array of shape (n_samples,), default=None
            Classes that the validation rows have in proportion.

        partial : bool, default=False
            One epoch only, from the present network on.

        task : FitTask, default=None
            The fit that this is a part of; None where it is the whole.

        **options
            Override and add to what the public parameters say, see `TrainingOptions`.

        Returns
        -------
        self
        """
        import_torch(type(self).__name__)
        from minimalml._core.torch_random import isolated_noise
        from minimalml._core.training.loop import train

        self._refuse_what_cannot_go_on(partial)
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=4)
        init_seed, split_seed, order_seed, noise_seed = map(int, seeds)
        if not self._continues(partial):
            self._training_state = None
            with isolated_noise(resolve_device(self.device), init_seed):
                self.module_ = self._build_network()
        self._on_network_ready()
        options = {
            **self._training_options(partial),
            **self._validation_options(columns, stratify, split_seed),
            "description": self._description(),
            "order_seed": order_seed,
            "noise_seed": noise_seed,
            **options,
        }
        whole = fit_task(self, X, y, options["max_epochs"]) if task is None else None
        with whole or nullcontext(task) as task, ExitStack() as epoch:

            def end_epoch(state):
                epoch.close()
                return task.is_stopped

            state = train(
                self._training_loss,
                self.module_,
                columns,
                state=getattr(self, "_training_state", None),
                on_epoch_begin=lambda state: epoch.enter_context(task.step("epoch")),
                on_epoch_end=end_epoch,
                **options,
            )
            self._keep(state)
        return self

    def _refuse_what_cannot_go_on(self, partial):
        if partial and self.early_stopping:
            raise ValueError(
                "partial_fit sees no validation rows, got early_stopping=True: set it "
                "to False."
            )
        checkpoint = self._training_settings.checkpoint
        if checkpoint is not None and (partial or self.warm_start):
            who = "partial_fit" if partial else "warm_start=True"
            raise ValueError(
                f"{who} goes on from the estimator, got training.checkpoint="
                f"{str(checkpoint)!r} as well: set it to None and pickle the estimator."
            )

    def _on_network_ready(self):
        """Check ``module_``, or attach to it, before it trains; nothing by default."""

    def _training_options(self, partial=False):
        """Return what the public parameters tell the loop."""
        names = TRAINING_CONSTRAINTS.keys() - _NOT_OF_THE_LOOP
        options = {name: getattr(self, name) for name in names}
        options |= self._training_settings.get_params()
        del options["validation_fraction"]
        if partial:  # a stream has no known end for a schedule to aim at
            options |= {"max_epochs": 1, "schedule": "constant", "warmup_epochs": 0}
        return options

    def _description(self):
        """Return the parameters that a checkpoint must have been written with."""
        own, settings = (
            self.get_params(deep=False),
            self._training_settings.get_params(),
        )
        own |= {f"training.{name}": value for name, value in settings.items()}
        return {
            name: getattr(value, "__qualname__", repr(value))
            for name, value in own.items()
            if name not in _FREE_TO_CHANGE
        }

    def _validation_options(self, columns, stratify, seed):
        """Return the training rows, and how the others are scored."""
        if not self.early_stopping:
            return {}
        import torch

        from minimalml._core.training.data import to_device

        settings = self._training_settings
        validation_fraction = settings.validation_fraction
        n_rows = len(next(c for c in columns.values() if c is not None))
        rows, validation_rows = train_test_split(
            np.arange(n_rows),
            test_size=validation_fraction,
            stratify=stratify,
            random_state=seed,
        )
        if len(validation_rows) < 2:
            raise ValueError(
                f"training.validation_fraction={validation_fraction} leaves "
                f"{len(validation_rows)} of {n_rows} rows for validation: raise it or "
                "give more rows."
            )
        device, dtype = resolve_device(self.device), getattr(torch, settings.dtype)
        validation = {
            name: to_device(column[validation_rows], device, dtype)
            for name, column in columns.items()
            if column is not None
        }
        if "weight" in validation and not validation["weight"].any():
            raise ValueError(
                "sample_weight has no row above 0 among those to validate."
            )
        validate = bind(self._validation_score, validation)
        return {"rows": rows, "validate": validate}

    def _keep(self, state):
        """Set the fitted attributes of a finished run."""
        self._training_state = state
        self.loss_curve_ = state.loss_curve
        self.n_iter_ = state.epoch
        self.best_epoch_ = state.best_epoch
        self.validation_scores_ = (
            state.validation_scores if self.early_stopping else None
        )

    def _map_rows(self, function, *columns):
        """Return ``function`` of tensors over all rows, batch by batch, as a tensor.

        The network is in evaluation mode meanwhile, and no gradient is kept.
        """
        from minimalml._core.training.inference import map_batches

        parameter = next(self.module_.parameters())
        return map_batches(
            function,
            self.module_,
            columns,
            device=parameter.device,
            dtype=parameter.dtype,
        )

    def _predict_rows(self, function, X, *columns):
        """Return the same as a NumPy array, in the float type of ``X``."""
        import_torch(type(self).__name__)
        output = self._map_rows(function, X, *columns).cpu().numpy()
        if not np.isfinite(output).all():
            raise ValueError(
                f"X gives outputs that are not finite: its largest number, "
                f"{np.abs(X).max():g}, is too large for the network. Scale X as in fit."
            )
        dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.float64
        return output.astype(dtype, copy=False)

    def __copy__(self):
        """Share the network with the copy, as Python does for other objects."""
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__)
        return copy

    def __getstate__(self):
        """Take networks to the CPU; keep the optimiser's state for a warm start."""
        state = super().__getstate__().copy()
        if not self.warm_start:
            state.pop("_training_state", None)
        for name, value in state.items():
            if name.endswith("_") and is_torch_module(value):
                from minimalml._core.training.modules import copy_module

                state[name] = copy_module(value).cpu()
        return state

    def __setstate__(self, state):
        """Put networks on the device that ``device`` stands for here."""
        super().__setstate__(state)
        for name, value in state.items():
            if name.endswith("_") and is_torch_module(value):
                value.to(resolve_device(self.device))
