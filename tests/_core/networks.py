"""Small estimators and modules that the tests of the training loop train."""

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

from minimalml._core.callbacks import with_callbacks
from minimalml._core.training.estimator import (
    TRAINING_CONSTRAINTS,
    TorchEstimatorMixin,
    coefficient_of_determination,
    weighted_mean,
)
from minimalml._core.validation import (
    _fit_context,
    check_is_fitted,
    check_sample_weight,
    validate_data,
)

FLOATS = [np.float64, np.float32]


class NetworkRegressor(TorchEstimatorMixin, RegressorMixin, BaseEstimator):
    """The example in the docstring of `minimalml._core.training.estimator`, with partial_fit."""

    _parameter_constraints = {**TRAINING_CONSTRAINTS}

    def __init__(
        self,
        width=8,
        max_epochs=5,
        batch_size=16,
        learning_rate=1e-2,
        weight_decay=0.0,
        early_stopping=False,
        device="auto",
        warm_start=False,
        random_state=0,
        verbose=0,
        training=None,
    ):
        self.width = width
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
        return self._fit(X, y, sample_weight)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        return self._fit(X, y, sample_weight, partial=True)

    def _fit(self, X, y, sample_weight, partial=False):
        X, y = validate_data(
            self, X, y, dtype=FLOATS, y_numeric=True, reset=not self._continues(partial)
        )
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, X)
        columns = {"X": X, "y": y, "weight": sample_weight}
        return self._fit_network(columns, X, y, partial=partial)

    def _build_network(self):
        from minimalml._core.training.modules import MLP

        return MLP(self.n_features_in_, [self.width], 1)

    def _training_loss(self, batch, state):
        errors = state.network(batch.X)[:, 0] - batch.y
        return weighted_mean(errors**2, batch.weight)

    def _validation_score(self, columns, state):
        predictions = self._map_rows(self.module_, columns["X"])[:, 0]
        return coefficient_of_determination(columns["y"], predictions)

    def predict(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        return self._predict_rows(lambda rows: self.module_(rows)[:, 0], X)
