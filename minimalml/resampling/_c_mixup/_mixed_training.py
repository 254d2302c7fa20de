"""What fitting `CMixupMLPRegressor` does, step by step."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, column_or_1d

from minimalml._core.training.estimator import (
    TorchEstimatorMixin,
    coefficient_of_determination,
    weighted_mean,
)
from minimalml._core.validation import check_sample_weight, validate_data
from minimalml.resampling._c_mixup._network_mixing import EpochMixer, HiddenMixer
from minimalml.resampling._c_mixup._target_kernel import (
    TargetKernelSampler,
    kernel_parameters,
)

FLOATS = [np.float64, np.float32]


class MixedTraining(TorchEstimatorMixin):
    """Train a network on mixed rows and standardised targets."""

    def _fit(self, X, y, sample_weight, groups, partial=False):
        continues = self._continues(partial)
        X, y = validate_data(
            self, X, y, dtype=FLOATS, multi_output=True, y_numeric=True,
            reset=not continues,
        )  # fmt: skip
        if sample_weight is not None:
            sample_weight = check_sample_weight(
                sample_weight, X, ensure_non_negative=True
            )
        if groups is not None:
            check_consistent_length(X, groups)
            groups = column_or_1d(groups)
        X, targets, sample_weight, groups = _drop_weightless(
            X, y.reshape(len(y), -1).astype(np.float64), sample_weight, groups
        )
        if continues:
            self._check_targets(targets)
        else:
            self._set_scales(targets, sample_weight, is_single=y.ndim == 1)
        return self._fit_mixed(X, targets, sample_weight, groups, partial)

    def _check_targets(self, targets):
        if targets.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y has {targets.shape[1]} targets, but the network was made for "
                f"{self.n_outputs_}: set warm_start=False to begin anew."
            )

    def _set_scales(self, targets, sample_weight, is_single):
        self._is_single, self.n_outputs_ = is_single, targets.shape[1]
        self.target_mean_ = np.average(targets, axis=0, weights=sample_weight)
        squares = (targets - self.target_mean_) ** 2
        scale = np.sqrt(np.average(squares, axis=0, weights=sample_weight))
        # a constant column may get a scale of some rounding errors
        is_constant = scale <= 1e-12 * np.abs(self.target_mean_)
        self.target_scale_ = np.where(is_constant | (scale == 0), 1.0, scale)
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=5)
        self._mixing_rng = np.random.RandomState(seeds[4])
        self.t_ = 0

    def _fit_mixed(self, X, targets, sample_weight, groups, partial):
        columns = {
            "X": X,
            "y": (targets - self.target_mean_) / self.target_scale_,
            "weight": sample_weight,
        }
        options = {}
        if self.mixup is not None:
            mixer = self._make_epoch_mixer(X, targets, sample_weight, groups)
            options["extend"] = mixer.extend
        n_before = getattr(self, "n_iter_", 0) if self._continues(partial) else 0
        self._hidden_mixer = None
        try:
            self._fit_network(
                columns,
                X,
                targets[:, 0] if self._is_single else targets,
                partial=partial,
                **options,
            )
        finally:
            if self._hidden_mixer is not None:
                self._hidden_mixer.remove()
            del self._hidden_mixer
        self._describe((self.n_iter_ - n_before) * self._n_training_rows(len(X)))
        return self

    def _make_epoch_mixer(self, X, targets, sample_weight, groups):
        options = {**kernel_parameters(self), "standardize_target": False}
        if self.mixup == "mixup":
            options |= {"kernel": "uniform", "metric": "target"}
        labels = targets / self.target_scale_ if self.standardize_target else targets
        return EpochMixer(
            labels,
            X,
            sample_weight,
            groups,
            sampler=TargetKernelSampler(**options),
            alpha=self.alpha,
            lambda_per=self.lambda_per,
            batch_partners=self.batch_partners,
            mixes_input=self.mix_layer == 0,
            random_state=self._mixing_rng,
        )

    def _n_training_rows(self, n_rows):
        if not self.early_stopping:
            return n_rows
        fraction = self._training_settings.validation_fraction
        return n_rows - int(np.ceil(fraction * n_rows))

    def _describe(self, n_seen):
        """Set what scikit-learn's networks have besides."""
        self.t_ += n_seen
        self.loss_ = self.loss_curve_[-1]
        self.best_loss_ = min(self.loss_curve_)
        scores = self.validation_scores_
        self.best_validation_score_ = max(scores) if scores else None
        blocks = getattr(self.module_, "blocks", None)
        self.n_layers_ = None if blocks is None else len(blocks) + 2
        self.out_activation_ = "identity"

    def _build_network(self):
        from minimalml._core.training.modules import MLP, build_module

        def default(n_features, n_outputs):
            widths = self.hidden_layer_sizes
            if not all(isinstance(w, Integral) and w > 0 for w in widths):
                raise ValueError(
                    f"hidden_layer_sizes must be integers of at least 1, got {widths!r}."
                )
            return MLP(n_features, widths, n_outputs, self.activation)

        return build_module(
            self.module,
            default,
            n_features=self.n_features_in_,
            n_outputs=self.n_outputs_,
        )

    def _on_network_ready(self):
        """Check that there is a block to mix after, and hook it."""
        if self.mixup is None or self.mix_layer == 0:
            return
        blocks = getattr(self.module_, "blocks", None)
        if blocks is None:
            raise ValueError(
                f"mix_layer={self.mix_layer!r} needs a module with `blocks`, a "
                f"torch.nn.ModuleList, and {type(self.module_).__name__} has none: add "
                "it or set mix_layer=0."
            )
        if self.mix_layer != "random" and self.mix_layer > len(blocks):
            raise ValueError(
                f"mix_layer must be at most {len(blocks)}, the number of blocks of the "
                f"network, got {self.mix_layer}."
            )
        self._hidden_mixer = HiddenMixer(self.module_, self.lambda_per)

    def _draw_layer(self):
        if self.mix_layer != "random":
            return self.mix_layer
        return self._mixing_rng.randint(len(self.module_.blocks) + 1)

    def _training_loss(self, batch, state):
        if self._hidden_mixer is None:
            output = state.network(batch.X)
        else:
            output = self._hidden_mixer.forward(
                state.network, batch, self._draw_layer()
            )
        losses = LOSSES[self.loss](output.reshape(batch.y.shape) - batch.y)
        return weighted_mean(losses.mean(1), batch.weight)

    def _standardised_output(self, X):
        return self.module_(X).reshape(len(X), self.n_outputs_)

    def _validation_score(self, columns, state):
        predictions = self._map_rows(self._standardised_output, columns["X"])
        return coefficient_of_determination(
            columns["y"], predictions, columns.get("weight")
        )

    @property
    def coefs_(self):
        """Weights of the layers of the built-in network, (n_in, n_out) each."""
        return [layer.weight.detach().cpu().numpy().T for layer in self._linear_layers]

    @property
    def intercepts_(self):
        """Biases of the layers of the built-in network, (n_out,) each."""
        return [layer.bias.detach().cpu().numpy() for layer in self._linear_layers]

    @property
    def _linear_layers(self):
        if self.module is not None or not hasattr(self, "module_"):
            raise AttributeError("There are layers only of a fitted built-in network.")
        return [*(block[0] for block in self.module_.blocks), self.module_.head]


def _huber(errors):
    size = errors.abs()
    quadratic = size.clamp_max(1.0)
    return quadratic * (size - 0.5 * quadratic)


# Elementwise, of the errors of the standardised target.
LOSSES = {
    "squared_error": lambda errors: errors**2,
    "absolute_error": lambda errors: errors.abs(),
    "huber": _huber,
}


def _drop_weightless(X, targets, sample_weight, groups):
    """Leave out rows of weight 0: they are neither mixed nor partners."""
    if sample_weight is None or sample_weight.all():
        return X, targets, sample_weight, groups
    kept = sample_weight > 0
    groups = None if groups is None else groups[kept]
    return X[kept], targets[kept], sample_weight[kept], groups
