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
        self, X, targets, weight=None, *, teachers=None, goes_on=False, **options
    ):
        """Train on encoded targets, by a new optimiser and schedule.

        ``teachers`` are probabilities for a discriminator. The caller sets
        ``n_features_in_`` and what names the outputs.
        """
        self._goes_on, self._is_adversarial = goes_on, teachers is not None
        self._training_state = None
        columns = {
            "X": dense_rows(X),
            "y": targets,
            "teachers": teachers,
            "weight": weight,
        }
        if issparse(X):
            options["in_memory_limit"] = 0
        self._fit_network(columns, X, targets, **options)
        self._discriminator = None
        return self

    def _continues(self, partial=False):
        return self._goes_on

    def _training_options(self, partial=False):
        options = super()._training_options(partial)
        if self._is_adversarial:
            from minimalml.ensemble._distillation._discriminator_torch import (
                seeded_discriminator,
            )

            self._discriminator, options["optimizers"] = seeded_discriminator(
                self.module_, self._n_outputs, options, self.random_state
            )
        return options

    def _training_loss(self, batch, state):
        outputs = self._outputs(batch.X, state.network)
        loss = weighted_mean(self._loss_of_outputs(outputs, batch.y), batch.weight)
        if self._discriminator is None:
            return loss
        from minimalml.ensemble._distillation._discriminator_torch import (
            discriminator_losses,
        )

        logits = batch.teachers.clamp_min(LOWEST_PROBABILITY).log()
        losses = discriminator_losses(self._discriminator, outputs, logits)
        adversarial = weighted_mean(losses, batch.weight)
        return {"similarity": loss, "discriminator": adversarial}

    def _predict_outputs(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, accept_sparse="csr", reset=False)
        return self._as_outputs(self._map_rows(self._outputs, dense_rows(X)), X)


class StudentClassifier(StudentMixin, NetworkClassifier):
    """A classifier fitted to probabilities of ``classes_``."""

    def _encode_targets(self, y, sample_weight, is_new):
        return y


class StudentRegressor(StudentMixin, NetworkRegressor):
    """A regressor fitted to standardised targets."""
