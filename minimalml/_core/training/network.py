"""Classifiers and regressors that are one network: labels, losses and scores by kind of y.

A method is a subclass that says what its network or its loss is, and documents itself
by `document_training`::

    @document_training
    class SharperClassifier(NetworkClassifier):
        def _loss_of_outputs(self, outputs, y):
            return super()._loss_of_outputs(2 * outputs, y)

`_build_network` gives another network, `_training_loss` another step. Parameters of its
own go through a constructor that names all, and ``_parameter_constraints``.
"""

from functools import partial
from numbers import Integral

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
)

from minimalml._core.array_checks import encode_labels, unique_labels
from minimalml._core.callbacks import with_callbacks
from minimalml._core.training.estimator import (
    TRAINING_CONSTRAINTS,
    TorchEstimatorMixin,
    coefficient_of_determination,
    weighted_mean,
)
from minimalml._core.validation import (
    StrOptions,
    _fit_context,
    check_is_fitted,
    check_sample_weight,
    validate_data,
)

FLOATS = [np.float64, np.float32]
ACTIVATIONS = {"relu", "leaky_relu", "tanh", "logistic", "gelu", "identity"}


class NetworkEstimator(TorchEstimatorMixin, BaseEstimator):
    """What the two kinds share; they say what y is, and what outputs mean."""

    _parameter_constraints = {
        **TRAINING_CONSTRAINTS,
        "hidden_layer_sizes": ["array-like"],
        "activation": [StrOptions(ACTIVATIONS)],
        "module": [callable, None],
    }
    _target_options = {}

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        *,
        activation="relu",
        module=None,
        max_epochs=100,
        batch_size="auto",
        learning_rate=1e-3,
        weight_decay=0.0,
        early_stopping=False,
        device="auto",
        warm_start=False,
        random_state=None,
        verbose=0,
        training=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.module = module
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.device = device
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.training = training

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, scaled.

        y : array-like of shape (n_samples,)
            Class labels, or targets of shape (n_samples,) or (n_samples, n_outputs).

        sample_weight : array-like of shape (n_samples,), default=None
            What a row's loss counts for, as its repetition would.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If the loss is not finite after the first epoch, or ``module`` does not give
            as many outputs as y needs.
        """
        return self._fit_rows(X, y, sample_weight, is_new=not self._continues())

    def _fit_rows(self, X, y, sample_weight, *, is_new, partial=False, **columns):
        """Check rows and fit; ``columns`` are more values of rows, checked by callers."""
        options = {"reset": not self._continues(partial), **self._target_options}
        X, y = validate_data(self, X, y, dtype=FLOATS, **options)
        if sample_weight is not None:
            sample_weight = check_sample_weight(
                sample_weight, X, ensure_non_negative=True
            )
        targets = self._encode_targets(y, sample_weight, is_new)
        columns |= {"X": X, "y": targets, "weight": sample_weight}
        stratify = targets if isinstance(self, ClassifierMixin) else None
        return self._fit_network(columns, X, y, stratify=stratify, partial=partial)

    def _build_network(self):
        """Return the network to train."""
        from minimalml._core.training.modules import MLP, build_module

        sizes = self.hidden_layer_sizes
        if not all(isinstance(size, Integral) and size > 0 for size in sizes):
            raise ValueError(
                f"hidden_layer_sizes must be integers of at least 1, got {sizes!r}."
            )
        return build_module(
            self.module,
            partial(MLP, hidden_layer_sizes=sizes, activation=self.activation),
            n_features=self.n_features_in_,
            n_outputs=self._n_outputs,
        )

    def _training_loss(self, batch, state):
        """Return the loss of a batch; see `loop.train` for what else it may be."""
        outputs = self._outputs(batch.X, state.network)
        return weighted_mean(self._loss_of_outputs(outputs, batch.y), batch.weight)

    def _outputs(self, X, network=None):
        """Return the outputs of the network, shape (n_rows, n_outputs)."""
        outputs = (self.module_ if network is None else network)(X)
        if outputs.numel() != len(X) * self._n_outputs:
            raise ValueError(
                f"module must give n_outputs={self._n_outputs} numbers a row, got shape "
                f"{tuple(outputs.shape)} for {len(X)} rows."
            )
        return outputs.reshape(len(X), self._n_outputs)

    def _validation_score(self, columns, state):
        """Score the rows that are kept for validation, greater is better."""
        outputs = self._map_rows(self._outputs, columns["X"])
        return self._score_of_outputs(outputs, columns["y"], columns.get("weight"))

    def _predict_outputs(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        return self._predict_rows(self._outputs, X)


class NetworkClassifier(ClassifierMixin, NetworkEstimator):
    """Classify by the largest output, one for each class; cross-entropy in training."""

    _attribute_words = {
        "classes_": "ndarray of shape (n_classes,)\n    Labels, in the order of outputs."
    }

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one epoch on some rows, going on from the present network.

        Parameters
        ----------
        X, y, sample_weight :
            As in `fit`.

        classes : array-like of shape (n_classes,), default=None
            All labels; needed in the first call.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        _check_partial_fit_first_call(self, classes)
        return self._fit_rows(X, y, sample_weight, is_new=False, partial=True)

    def _encode_targets(self, y, sample_weight, is_new):
        """Return the number of each row's class."""
        check_classification_targets(y)
        if not is_new:
            return encode_labels(y, self.classes_)
        classes, codes = unique_labels(y)
        if len(classes) < 2:
            raise ValueError(
                f"y must have at least 2 classes, got 1 class: {classes.tolist()}."
            )
        self.classes_ = classes
        return codes

    @property
    def _n_outputs(self):
        return len(self.classes_)

    def _loss_of_outputs(self, outputs, y):
        """Return the loss of each row."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, y, reduction="none")

    def _score_of_outputs(self, outputs, y, weight):
        hits = (outputs.argmax(1) == y).to(outputs.dtype)
        return hits.mean() if weight is None else (hits * weight).sum() / weight.sum()

    def predict(self, X):
        """Predict class labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, scaled as those of `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels among ``classes_``.
        """
        outputs = self._predict_outputs(X)
        return self.classes_[outputs.argmax(axis=1)]

    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, scaled as those of `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities in the order of ``classes_``.
        """
        return softmax(self._predict_outputs(X), axis=1)


class NetworkRegressor(RegressorMixin, NetworkEstimator):
    """Predict one target or several; squared error of standardised ones in training."""

    _target_options = {"multi_output": True, "y_numeric": True}
    _attribute_words = {
        "n_outputs_": "int\n    Number of targets.",
        "target_mean_": "ndarray of shape (n_outputs_,)\n    Subtracted from targets.",
        "target_scale_": "ndarray of shape (n_outputs_,)\n"
        "    What they are divided by: their standard deviation, 1 if it is 0.",
    }

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch on some rows, going on from the present network.

        The first call sets the scales of the targets.

        Parameters
        ----------
        X, y, sample_weight :
            As in `fit`.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        is_new = not self._continues(partial=True)
        return self._fit_rows(X, y, sample_weight, is_new=is_new, partial=True)

    def _encode_targets(self, y, sample_weight, is_new):
        """Return standardised targets, shape (n_rows, n_outputs)."""
        targets = y.reshape(len(y), -1).astype(np.float64)
        if is_new:
            self._is_single, self.n_outputs_ = y.ndim == 1, targets.shape[1]
            self.target_mean_, self.target_scale_ = standard_scale(
                targets, sample_weight
            )
        elif targets.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y has {targets.shape[1]} targets, but the network was made for "
                f"{self.n_outputs_}: set warm_start=False to begin anew."
            )
        return (targets - self.target_mean_) / self.target_scale_

    @property
    def _n_outputs(self):
        return self.n_outputs_

    def _loss_of_outputs(self, outputs, y):
        """Return the loss of each row."""
        return (outputs - y).square().mean(1)

    def _score_of_outputs(self, outputs, y, weight):
        return coefficient_of_determination(y, outputs, weight)

    def predict(self, X):
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, scaled as those of `fit`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Targets, in the shape of y in `fit`.
        """
        outputs = self._predict_outputs(X)
        y = outputs * self.target_scale_ + self.target_mean_
        return (y[:, 0] if self._is_single else y).astype(outputs.dtype, copy=False)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def standard_scale(targets, sample_weight):
    """Return mean and scale of each target; the squares of huge ones don't overflow."""
    largest = np.abs(targets).max(axis=0)
    largest[largest == 0] = 1.0
    unit = targets / largest
    mean = np.average(unit, axis=0, weights=sample_weight)
    scale = np.sqrt(np.average((unit - mean) ** 2, axis=0, weights=sample_weight))
    # a constant column may get a scale of some rounding errors
    return mean * largest, np.where(scale <= 1e-12, 1.0, scale * largest)
