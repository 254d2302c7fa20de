"""What an estimator that trains a torch network stands on.

A method writes its network, its loss and its validation score. Rows are on the device
already, the loop never waits for it inside an epoch, and scikit-learn's callbacks,
early stopping, warm starts, pickling, mixed precision, averaged weights, compilation
and several processes come with it::

    class Regressor(TorchEstimatorMixin, RegressorMixin, BaseEstimator):
        _parameter_constraints = {**TRAINING_CONSTRAINTS, "width": [Interval(...)]}

        @with_callbacks
        @_fit_context(prefer_skip_nested_validation=True)
        def fit(self, X, y, sample_weight=None):
            X, y = validate_data(self, X, y, reset=not self._continues(), ...)
            return self._fit_network({"X": X, "y": y, "weight": sample_weight}, X, y)

        def _build_network(self):
            from minimalml._core.training.modules import MLP  # imports torch: never at the top
            return MLP(self.n_features_in_, [self.width], 1)

        def _training_loss(self, batch, state):
            errors = state.network(batch.X)[:, 0] - batch.y
            return weighted_mean(errors**2, batch.weight)

        def _validation_score(self, columns, state):
            predictions = self._map_rows(self.module_, columns["X"])[:, 0]
            return coefficient_of_determination(columns["y"], predictions)

        def predict(self, X):
            check_is_fitted(self)
            X = validate_data(self, X, reset=False)
            return self._predict_rows(lambda rows: self.module_(rows)[:, 0], X)

``partial_fit`` is the same with ``partial=True`` for `_continues` and `_fit_network`.
The loss may also be a dictionary of named losses, or a list of turns of several
optimisers. More options of the loop (samplers, optimisers, columns made once an epoch,
hooks after each step) are keywords of `_fit_network`: see
`training_state.TrainingOptions`. What has no estimator calls `training_loop.train`.
"""

from contextlib import ExitStack
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


def weighted_mean(losses, weight=None):
    """Return the mean loss of a batch whose weights have mean 1 over all rows.

    Parameters
    ----------
    losses : tensor of shape (n_batch,)
        One loss a row.

    weight : tensor of shape (n_batch,), default=None
        ``batch.weight``. Its sum differs between batches: dividing by the number of
        rows instead makes the gradient unbiased for the weighted mean over all rows.
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
    methods `_build_network`, `_training_loss` and `_validation_score`.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network, in evaluation mode after fit.

    loss_curve_ : list of float
        Mean training loss of each epoch.

    n_iter_ : int
        Epochs since the network was made.

    best_epoch_ : int
        Epoch whose weights the network has, counted from 1.

    validation_scores_ : list of float or None
        Score on the validation rows after each epoch; None without early stopping.
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

    def _fit_network(self, columns, X, y, *, stratify=None, partial=False, **options):
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
            **self._validation_options(columns, X, stratify, split_seed),
            "order_seed": order_seed,
            "noise_seed": noise_seed,
            **options,
        }
        with fit_task(self, X, y, options["max_epochs"]) as task, ExitStack() as epoch:

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

    def _validation_options(self, columns, X, stratify, seed):
        """Return the training rows, and how the others are scored."""
        if not self.early_stopping:
            return {}
        import torch

        from minimalml._core.training.data import to_device

        settings = self._training_settings
        validation_fraction = settings.validation_fraction
        rows, validation_rows = train_test_split(
            np.arange(len(X)),
            test_size=validation_fraction,
            stratify=stratify,
            random_state=seed,
        )
        if len(validation_rows) < 2:
            raise ValueError(
                f"training.validation_fraction={validation_fraction} leaves "
                f"{len(validation_rows)} of {len(X)} rows for validation: raise it or "
                "give more rows."
            )
        device, dtype = resolve_device(self.device), getattr(torch, settings.dtype)
        validation = {
            name: to_device(column[validation_rows], device, dtype)
            for name, column in columns.items()
            if column is not None
        }
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
        """Turn networks into arrays; keep the optimiser's state for a warm start."""
        state = super().__getstate__().copy()
        if not self.warm_start:
            state.pop("_training_state", None)
        for name, value in state.items():
            if name.endswith("_") and is_torch_module(value):
                from minimalml._core.training.modules import PackedModule

                state[name] = PackedModule(value)
        return state

    def __setstate__(self, state):
        """Put networks on the device that ``device`` stands for here."""
        packed = {n: v for n, v in state.items() if hasattr(v, "unpack")}
        super().__setstate__(state)
        for name, value in packed.items():
            setattr(self, name, value.unpack(resolve_device(self.device)))
