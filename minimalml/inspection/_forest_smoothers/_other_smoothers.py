"""Linear models, neighbours and the mean: smoothers that forests are compared with."""

import numpy as np
from scipy.sparse import csr_array
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.utils.validation import _num_samples

from minimalml._core.validation import validate_data
from minimalml.inspection._forest_smoothers._smoother import (
    OTHER_DATA,
    Smoother,
    known_smoother,
)


class LinearProjection(Smoother):
    """Least squares, with an L2 penalty or none.

    With (weighted) means taken off and rows times roots of their weights,
    ``U diag(d) V^T``, a row z has the weights ``z V diag(d / (d^2 + alpha)) U^T`` beside
    those of the mean. O(n_train d^2) time at first, then O(d n_train) a row.
    """

    def __init__(self, model, training, penalty):
        super().__init__(training)
        self.model = model
        X = self._checked(training.X)
        weights = training.weights_or_ones()
        self._of_mean = weights / weights.sum() * model.fit_intercept
        self._mean = self._of_mean @ X
        roots = np.sqrt(weights)[:, None]
        U, d, Vt = np.linalg.svd(roots * (X - self._mean), full_matrices=False)
        is_zero = d <= max(X.shape) * np.finfo(np.float64).eps * d.max(initial=0)
        d[is_zero] = np.inf  # leaves such directions out
        self._to_scores = Vt.T * (1 / (d + penalty / d))  # (n_features, rank)
        self._scores = roots * U

    def _weights(self, X):
        centred = self._checked(X) - self._mean
        return centred @ self._to_scores @ self._scores.T + self._of_mean

    def _checked(self, X):
        return validate_data(self.model, X, reset=False, dtype=np.float64)


class NearestNeighbours(Smoother):
    """Means over nearest training rows, by distance or not."""

    def __init__(self, model, training):
        super().__init__(training)
        self.model = model
        if model.n_samples_fit_ != training.n_rows:
            raise ValueError(
                f"{OTHER_DATA}: it has {training.n_rows} rows instead of "
                f"{model.n_samples_fit_}."
            )

    def _weights(self, X):
        distances, neighbours = self.model.kneighbors(X)
        weights = self._of_distances(distances)
        weights /= weights.sum(axis=1, keepdims=True)
        n_rows, k = neighbours.shape
        ends = np.arange(n_rows + 1) * k
        shape = (n_rows, self.training.n_rows)
        return csr_array((weights.ravel(), neighbours.ravel(), ends), shape=shape)

    def _of_distances(self, distances):
        if callable(self.model.weights):
            return np.array(self.model.weights(distances), dtype=np.float64)
        if self.model.weights in ("uniform", None):
            return np.ones(distances.shape)
        is_zero = distances == 0  # which then take all the weight
        has_zero = is_zero.any(axis=1, keepdims=True)
        return np.where(has_zero, is_zero, 1 / np.where(is_zero, 1, distances))


class TrainingMean(Smoother):
    """The (weighted) mean of all targets."""

    def _weights(self, X):
        weights = self.training.weights_or_ones()
        return np.tile(weights / weights.sum(), (_num_samples(X), 1))


@known_smoother.register(LinearRegression)
@known_smoother.register(Ridge)
def _(model, training):
    penalty, name = getattr(model, "alpha", 0.0), type(model).__name__
    if model.positive:
        raise ValueError(f"positive=True makes {name} no weighted sum of y_train.")
    if np.size(penalty) > 1:
        raise ValueError(
            f"alpha must be one number, got {penalty}: weights would differ by target."
        )
    return LinearProjection(model, training, float(np.squeeze(penalty)))


@known_smoother.register(KNeighborsRegressor)
@known_smoother.register(KNeighborsClassifier)
def _(model, training):
    if training.sample_weight is not None:
        raise ValueError(
            f"sample_weight must be None: {type(model).__name__} takes no weights of rows."
        )
    return NearestNeighbours(model, training)


@known_smoother.register(DummyRegressor)
def _(model, training):
    if model.strategy != "mean":
        raise ValueError(f"strategy must be 'mean', got {model.strategy!r}.")
    return TrainingMean(training)
