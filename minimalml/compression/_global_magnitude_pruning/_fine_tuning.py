"""Training that keeps pruned weights at zero.

Both trainers have one method, ``run(n_epochs, masks)``: it trains and returns the mean
loss of the last epoch, None if the model reports none. Optimiser state is zeroed where
weights are, or momentum would move them within a step.
"""

from contextlib import contextmanager
from numbers import Real

import numpy as np
from sklearn.utils import _safe_indexing, check_array, gen_batches
from sklearn.utils.multiclass import type_of_target

from minimalml._core.arrays import is_torch_module
from minimalml._core.models.weights import model_weights
from minimalml._core.validation import has_fit_parameter
from minimalml.compression._global_magnitude_pruning._selection import zero_masked

DEFAULT_BATCH_SIZE = 200  # that of scikit-learn's MLPs


def zero_weights(model, masks):
    """Zero what masks do not keep, in the model's live weights."""
    weights = model_weights(model)
    for name, mask in masks.items():
        zero_masked(weights[name], mask)


def as_targets(y):
    """Return targets as an array, a single column of them flat."""
    y = np.asarray(y)
    return y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y


class PartialFitTrainer:
    """Train a scikit-learn estimator by ``partial_fit``, masking after each call."""

    def __init__(
        self,
        estimator,
        X,
        y,
        *,
        sample_weight,
        batch_size,
        mask_every_batch,
        learning_rate,
        generator,
    ):
        if not hasattr(estimator, "partial_fit"):
            raise ValueError(
                f"{type(estimator).__name__} has no partial_fit, so it can't be trained "
                "further: set fine_tune_epochs=0 and schedule='one-shot', or "
                "fine_tune='refit_support' for a linear model."
            )
        if sample_weight is not None and not has_fit_parameter(
            estimator.partial_fit.__self__, "sample_weight"
        ):
            raise ValueError(
                f"{type(estimator).__name__}.partial_fit takes no sample_weight."
            )
        if not hasattr(X, "iloc"):  # data frames keep their feature names
            X = check_array(X, accept_sparse="csr", dtype=None)
        self.estimator, self.X, self.y = estimator, X, as_targets(y)
        self.sample_weight, self.generator = sample_weight, generator
        if batch_size == "auto":
            batch_size = getattr(estimator, "batch_size", "auto")
        if not isinstance(batch_size, int):
            batch_size = DEFAULT_BATCH_SIZE
        n_rows = len(self.y)
        self.batch_size = min(batch_size, n_rows) if mask_every_batch else n_rows
        if learning_rate is not None:
            self._set_learning_rate(learning_rate)

    def run(self, n_epochs, masks):
        """Train for some epochs over all rows."""
        loss = None
        self._mask(masks)
        for _ in range(n_epochs):
            order = self.generator.permutation(len(self.y))
            losses = [
                self._step(order[batch], masks)
                for batch in gen_batches(len(order), self.batch_size)
            ]
            loss = None if None in losses else sum(losses) / len(order)
        return loss

    def _step(self, rows, masks):
        options = {}
        if self.sample_weight is not None:
            options["sample_weight"] = np.asarray(self.sample_weight)[rows]
        with _ready_for_a_batch(self.estimator, len(rows)):
            self.estimator.partial_fit(
                _safe_indexing(self.X, rows), self.y[rows], **options
            )
        self._mask(masks)
        loss = getattr(self.estimator, "loss_", None)
        return float(loss) * len(rows) if isinstance(loss, Real) else None

    def _mask(self, masks):
        zero_weights(self.estimator, masks)
        for name, mask in masks.items():
            for state in _training_state_of(self.estimator, name):
                zero_masked(state, mask.reshape(state.shape))

    def _set_learning_rate(self, learning_rate):
        if hasattr(self.estimator, "_optimizer"):
            self.estimator._optimizer.learning_rate_init = learning_rate
            self.estimator._optimizer.learning_rate = learning_rate
        elif {"eta0", "learning_rate"} <= set(self.estimator.get_params()):
            self.estimator.set_params(learning_rate="constant", eta0=learning_rate)
        else:
            raise ValueError(
                f"learning_rate can't be set for {type(self.estimator).__name__}: "
                "leave it at None."
            )


class ModuleTrainer:
    """Train a torch module by Adam, masking after each step.

    Integer, boolean and string targets are classes (cross-entropy), others numbers
    (squared error).
    """

    def __init__(
        self,
        module,
        X,
        y,
        *,
        sample_weight,
        batch_size,
        mask_every_batch,
        learning_rate,
        generator,
    ):
        parameter = next(module.parameters())
        self.module, self.mask_every_batch = module, mask_every_batch
        self.columns = {"X": X, "y": y, "weight": sample_weight}
        self.is_classification = type_of_target(np.asarray(y)) in (
            "binary", "multiclass",
        )  # fmt: skip
        if self.is_classification:
            self.columns["y"] = np.unique(np.asarray(y), return_inverse=True)[1]
        self.options = {
            "batch_size": batch_size,
            "device": parameter.device,
            "dtype": str(parameter.dtype).removeprefix("torch."),
            "order_seed": int(generator.integers(2**31)),
            "noise_seed": int(generator.integers(2**31)),
        }
        if learning_rate is not None:
            self.options["learning_rate"] = learning_rate
        self.state = None

    def run(self, n_epochs, masks):
        """Train for some epochs over all rows."""
        from minimalml._core.training.loop import train

        if not n_epochs:
            return None
        hook = "after_step" if self.mask_every_batch else "on_epoch_end"
        is_training = self.module.training
        self.state = train(
            self._step,
            self.module,
            self.columns,
            state=self.state,
            max_epochs=n_epochs,
            **{hook: lambda state: self._mask(state, masks)},
            **self.options,
        )
        self._mask(self.state, masks)  # a diverged run went back to an unmasked state
        self.module.train(is_training)
        return self.state.loss_curve[-1]

    def _step(self, batch, state):
        from torch.nn import functional

        output = state.network(batch.X)
        if self.is_classification and output.ndim > 1 and output.shape[1] > 1:
            losses = functional.cross_entropy(output, batch.y.long(), reduction="none")
        elif self.is_classification:
            losses = functional.binary_cross_entropy_with_logits(
                output.reshape(-1), batch.y.to(output.dtype), reduction="none"
            )
        else:
            target = batch.y.reshape(output.shape).to(output.dtype)
            losses = ((output - target) ** 2).flatten(1).mean(1)
        return losses.mean() if batch.weight is None else (losses * batch.weight).mean()

    def _mask(self, state, masks):
        zero_weights(self.module, masks)
        parameters = dict(self.module.named_parameters())
        for optimizer in state.optimizers:
            for name, mask in masks.items():
                for moment in optimizer.state.get(parameters[name], {}).values():
                    if getattr(moment, "shape", ()) == mask.shape:
                        zero_masked(moment, mask)


def make_trainer(holder, X, y, **options):
    """Return the trainer for what holds the weights."""
    kind = ModuleTrainer if is_torch_module(holder) else PartialFitTrainer
    return kind(holder, X, y, **options)


@contextmanager
def _ready_for_a_batch(estimator, n_rows):
    """Set aside settings that ``partial_fit`` refuses, or misreads on a batch."""
    own = {
        name: getattr(estimator, name)
        for name in ("batch_size", "early_stopping")
        if hasattr(estimator, name)
    }
    # an MLP warns of a batch shorter than its own batch_size, such as the last
    if isinstance(own.get("batch_size"), int):
        estimator.batch_size = min(own["batch_size"], n_rows)
    if own.get("early_stopping"):
        estimator.early_stopping = False
        estimator.best_loss_ = np.inf  # an MLP compares with it, and has none
    if hasattr(estimator, "_no_improvement_count"):
        # it counts epochs: batches would end a learning_rate="adaptive" at once
        estimator._no_improvement_count = 0
    try:
        yield
    finally:
        for name, value in own.items():
            setattr(estimator, name, value)


def _training_state_of(estimator, name):
    """Return what training keeps beside the weight ``name``, of the same size.

    An MLP optimiser's running means; the two copies of averaged gradient descent,
    which goes on from ``_standard_coef`` whatever ``coef_`` is.
    """
    if name == "coef_":
        copies = ("_standard_coef", "_average_coef")
        copies = [getattr(estimator, copy, None) for copy in copies]
        return [copy for copy in copies if copy is not None]
    optimizer = getattr(estimator, "_optimizer", None)
    kinds = [getattr(optimizer, kind, None) for kind in ("ms", "vs", "velocities")]
    index = int(name.partition(".")[2])
    return [moments[index] for moments in kinds if moments is not None]
