"""Linear models, neighbours and the mean: smoothers that forests are compared with."""

import numpy as np
from scipy.sparse import csr_array
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.utils.validation import _num_samples

from minimalml._core.validation import validate_data
from minimalml.inspection._forest_smoothers._smoother import (
    Smoother,
    known_smoother,
)


class LinearProjection(Smoother):
    """Least squares, with an L2 penalty or none.

    With (weighted) means taken off and rows times roots of their weights,
    ``U diag(d) V^T``, a row z has the weights ``z V diag(d / (d^2 + alpha)) U^T`` beside
    those of the mean. O(n_train d^2) time at first, then O(d n_train) a row.

    Parameters
    ----------
    model : LinearRegression or Ridge
        Fitted.

    training : TrainingData
        What it was fitted on.

    penalty : float
        Strength of the L2 penalty.
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

    def weights(self, X=None, oob=False):
        """Return an ndarray of weights, which may be negative."""
        self._refuse(oob)
        X = self._checked(self.training.X if X is None else X)
        return (X - self._mean) @ self._to_scores @ self._scores.T + self._of_mean

    def _checked(self, X):
        return validate_data(self.model, X, reset=False, dtype=np.float64)


class NearestNeighbours(Smoother):
    """Means over nearest training rows, by distance or not.

    Parameters
    ----------
    model : KNeighborsRegressor or KNeighborsClassifier
        Fitted.

    training : TrainingData
        What it was fitted on.
    """

    def __init__(self, model, training):
        super().__init__(training)
        self.model = model
        if model.n_samples_fit_ != training.n_rows:
            raise ValueError(
                "X_train is not the data this model was fitted on: it has "
                f"{training.n_rows} rows instead of {model.n_samples_fit_}."
            )

    def weights(self, X=None, oob=False):
        """Return a CSR array of weights, k a row."""
        self._refuse(oob)
        X = self.training.X if X is None else X
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
        is_zero = distances == 0
        with np.errstate(divide="ignore"):
            weights = 1 / distances
        at_zero = is_zero.any(axis=1)
        weights[at_zero] = is_zero[at_zero]  # which take all the weight
        return weights


class TrainingMean(Smoother):
    """The (weighted) mean of all targets."""

    def weights(self, X=None, oob=False):
        """Return an ndarray of weights, the same in each row."""
        self._refuse(oob)
        X = self.training.X if X is None else X
        weights = self.training.weights_or_ones()
        return np.tile(weights / weights.sum(), (_num_samples(X), 1))


def refuse_positive(model):
    """Raise for linear models that are not linear in y."""
    if model.positive:
        raise ValueError(
            f"positive=True makes {type(model).__name__} no weighted sum of y_train."
        )


@known_smoother.register(LinearRegression)
def _(model, training):
    refuse_positive(model)
    return LinearProjection(model, training, 0.0)


@known_smoother.register(Ridge)
def _(model, training):
    refuse_positive(model)
    if np.size(model.alpha) > 1:
        raise ValueError(
            f"alpha must be one number, got {model.alpha}: weights would differ by target."
        )
    return LinearProjection(model, training, float(np.squeeze(model.alpha)))


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
        raise ValueError(
            f"DummyRegressor(strategy={model.strategy!r}) is no weighted sum of y_train: "
            "only strategy='mean' is one."
        )
    return TrainingMean(training)
