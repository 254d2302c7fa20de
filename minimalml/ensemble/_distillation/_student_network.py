"""Networks as students: fitted to soft targets, once more from where they are."""

from functools import partial

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone, is_classifier

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

    def distil(self, X, targets, weight, task, *, labels, teachers, augment, ask):
        """Train on the labels of the first rows, if there are any, and then on targets.

        ``teachers`` are probabilities for a discriminator, or None. ``augment``, or None,
        draws rows for an epoch, and ``ask(rows, drawn)`` returns their columns.
        """
        targets = self._encode_targets(targets, weight, True)
        if labels is not None:
            known, settings = slice(len(labels)), self.training
            # a checkpoint is of the second stage
            self.training = clone(self._training_settings).set_params(checkpoint=None)
            with task.step("start on labels", attributes=None, inner=self):
                self._fit_targets(
                    X[known], self._encode_targets(labels, None, False),
                    None if weight is None else weight[known], augment,
                    ask=lambda rows, drawn: {"y": labels[rows]},
                )  # fmt: skip
            self.training = settings
        self._goes_on = labels is not None
        with task.step("student", inner=self):
            self._fit_targets(X, targets, weight, augment, ask, teachers)

    @with_callbacks
    def _fit_targets(self, X, targets, weight, augment, ask, teachers=None):
        """Train by a new optimiser and schedule."""
        self._is_adversarial, self._training_state = teachers is not None, None
        rows = dense_rows(X)
        columns = {"X": rows, "y": targets, "teachers": teachers,
                   "weight": weight}  # fmt: skip
        options = {"in_memory_limit": 0} if issparse(X) else {}
        if augment is not None:
            options["extend"] = partial(self._redraw, rows, augment, ask)
        self._fit_network(columns, X, targets, **options)
        self._discriminator = None

    def _redraw(self, X, augment, ask, indices, columns, state):
        """Return other columns for the rows of an epoch, as tensors."""
        from minimalml._core.training.data import to_device

        rows, like = indices.numpy(), columns["y"]
        rng = np.random.default_rng([self.random_state, state.epoch, int(rows[0])])
        before = X[rows]
        drawn = np.asarray(augment(before, rng))
        if drawn.shape != before.shape:
            raise ValueError(
                f"augment must keep the shape {before.shape} of rows, got {drawn.shape}."
            )
        new = {"X": drawn, **ask(rows, drawn)}
        new["y"] = self._encode_targets(new["y"], None, False)
        return {n: to_device(c, like.device, like.dtype) for n, c in new.items()}

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
        logits = batch.teachers.clamp_min(LOWEST_PROBABILITY).log()
        losses = self._discriminator(outputs, logits)
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


def student_network(owner, seed):
    """Return the network that the parameters of a distiller describe, for its fit."""
    kind = StudentClassifier if is_classifier(owner) else StudentRegressor
    names = [name for name in kind._get_param_names() if hasattr(owner, name)]
    network = kind(**{name: getattr(owner, name) for name in names})
    network.set_params(random_state=seed)
    network.n_features_in_ = owner.n_features_in_
    if is_classifier(owner):
        network.classes_ = owner.classes_
    return network
