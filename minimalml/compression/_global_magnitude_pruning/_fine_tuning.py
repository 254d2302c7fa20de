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
    options = {"dtype": None, "allow_nd": True}
    # data frames keep their feature names
    if not (hasattr(X, "iloc") or is_torch_tensor(X)):
        X = check_array(X, accept_sparse="csr", input_name="X", **options)
    y = check_array(to_numpy(y), ensure_2d=False, input_name="y", **options)
    y = y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y
    n_rows = _num_samples(X)
    if len(y) != n_rows:
        raise ValueError(f"y has {len(y)} rows but X has {n_rows}.")
    if sample_weight is not None:
        weight, rows = to_numpy(sample_weight), np.empty((n_rows, 1))
        sample_weight = check_sample_weight(weight, rows, ensure_non_negative=True)
    return X, y, sample_weight


def make_trainer(estimator, X, y, sample_weight, **options):
    """Return the trainer for a fitted estimator, whose last step sees ``X``."""
    owner, holder = last_step(estimator), find_weight_holder(estimator)
    if hasattr(owner, "partial_fit"):
        return PartialFitTrainer(owner, X, y, sample_weight, **options)
    if is_torch_module(holder):
        from minimalml.compression._global_magnitude_pruning._fine_tuning_torch import (
            ModuleTrainer,
        )

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
        options = self.options | {"max_epochs": n_epochs, "after_step": mask}
        losses = train_by_partial_fit(self.estimator, *self.data, **options)
        return losses and losses[-1]


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
        name = type(estimator).__name__
        raise ValueError(f"learning_rate can't be set for {name}: leave it at None.")


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
