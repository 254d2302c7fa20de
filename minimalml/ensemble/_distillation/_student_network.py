"""Networks as students: fitted to soft targets, once more from where they are."""

from scipy.sparse import issparse

from minimalml._core.callbacks import with_callbacks
from minimalml._core.training.estimator import weighted_mean
from minimalml._core.training.network import (
    FLOATS,
    NetworkClassifier,
    NetworkRegressor,
)
from minimalml._core.validation import check_is_fitted, validate_data
from minimalml.ensemble._distillation._soft_targets import row_losses

# Probabilities below it have the logarithm of it, as a teacher's logits.
LOWEST_PROBABILITY = 1e-12


class DenseRows:
    """The rows of a sparse matrix, made dense as they are taken."""

    def __init__(self, matrix):
        self.matrix, self.shape, self.dtype = matrix, matrix.shape, matrix.dtype
        self.nbytes = matrix.shape[0] * matrix.shape[1] * matrix.dtype.itemsize

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        return self.matrix[rows].toarray()


def dense_rows(X):
    """Return what gives dense rows by number or slice."""
    return DenseRows(X) if issparse(X) else X


class StudentMixin:
    """A network that is fitted to given targets, and may go on from its weights."""

    _goes_on = False
    _discriminator = None

    @with_callbacks
    def fit_targets(
        self,
        X,
        targets,
        sample_weight=None,
        *,
        teachers=None,
        goes_on=False,
        redraw=None,
    ):
        """Train on targets (n_samples, n_outputs), by a new optimiser and schedule.

        ``teachers`` are probabilities for a discriminator; ``redraw(rows, epoch)`` returns
        columns that take the place of X, targets and teachers in an epoch. The caller sets
        ``n_features_in_`` and what names the outputs.
        """
        self._goes_on, self._is_adversarial = goes_on, teachers is not None
        self._training_state = None
        columns = {"X": dense_rows(X), "targets": targets, "teachers": teachers,
                   "weight": sample_weight}  # fmt: skip
        options = {"in_memory_limit": 0} if issparse(X) else {}
        if redraw is not None:
            options["extend"] = _as_extend(redraw)
        self._fit_network(columns, X, targets, **options)
        self._discriminator = None
        return self

    def _continues(self, partial=False):
        return self._goes_on

    def _on_network_ready(self):
        """Make a discriminator, seeded as the network's order of rows is."""
        if self._is_adversarial:
            from minimalml._core.arrays import resolve_device
            from minimalml._core.torch_random import isolated_noise
            from minimalml.ensemble._distillation._discriminator_torch import (
                make_discriminator,
            )

            device = resolve_device(self.device)
            with isolated_noise(device, self.random_state):
                self._discriminator = make_discriminator(self._n_outputs)

    def _training_options(self, partial=False):
        options = super()._training_options(partial)
        if self._discriminator is not None:
            import torch

            from minimalml._core.arrays import resolve_device
            from minimalml.ensemble._distillation._discriminator_torch import (
                LEARNING_RATE,
            )

            dtype = getattr(torch, options["dtype"])
            device = resolve_device(self.device)
            self.module_.to(device, dtype)
            self._discriminator.to(device, dtype)
            options["optimizers"] = [
                {"parameters": list(self.module_.parameters())},
                {"parameters": list(self._discriminator.parameters()), "optimizer": "adam",
                 "learning_rate": LEARNING_RATE, "weight_decay": 0.0},
            ]  # fmt: skip
        return options

    def _training_loss(self, batch, state):
        outputs = self._outputs(batch.X, state.network)
        losses = self._losses(outputs, batch.targets)
        loss = weighted_mean(losses, batch.weight)
        if self._discriminator is None:
            return loss
        from minimalml.ensemble._distillation._discriminator_torch import (
            discriminator_losses,
        )

        logits = batch.teachers.clamp_min(LOWEST_PROBABILITY).log()
        losses = discriminator_losses(self._discriminator, outputs, logits)
        return {
            "similarity": loss,
            "discriminator": weighted_mean(losses, batch.weight),
        }

    def _predict_outputs(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, accept_sparse="csr", reset=False)
        return self._as_outputs(self._map_rows(self._outputs, dense_rows(X)), X)


class StudentClassifier(StudentMixin, NetworkClassifier):
    """A classifier fitted to probabilities of ``classes_``."""

    def _losses(self, outputs, targets):
        return row_losses(outputs, targets)


class StudentRegressor(StudentMixin, NetworkRegressor):
    """A regressor fitted to standardised targets."""

    def _losses(self, outputs, targets):
        return self._loss_of_outputs(outputs, targets)


def _as_extend(redraw):
    """Make of ``redraw`` what the training loop calls for the rows of an epoch."""
    from minimalml._core.training.data import to_device

    def extend(indices, columns, state):
        like = columns["targets"]
        drawn = redraw(indices.numpy(), state.epoch)
        return {n: to_device(c, like.device, like.dtype) for n, c in drawn.items()}

    return extend
