"""What a model is here: for any rows, weights over the rows that it was trained on."""

from functools import singledispatch
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.base import is_classifier
from sklearn.utils import _safe_indexing, gen_batches
from sklearn.utils.validation import _num_samples

from minimalml._core.validation import check_is_fitted, check_sample_weight

# Training rows on which weights are compared with predictions.
N_CHECKED_ROWS = 1000
# Numbers of a block of weights that is formed at once: 64 MB.
BLOCK_NUMBERS = 1 << 23
SUPPORTED = (
    "decision trees, random forests, extra trees, GradientBoostingRegressor, "
    "LinearRegression, Ridge, k-nearest neighbours; bagging, voting and stacking of "
    "those; pipelines and searches that end in one; and classes with a method "
    "smoother_weights(X_eval, X_train)"
)
WHY_NOT = {
    "AdaBoostRegressor": " (its predictions are weighted medians)",
    "HistGradientBoostingRegressor": " (scikit-learn does not tell its trees' leaves)",
}
OTHER_DATA = "X_train is not the data this model was fitted on"


class TrainingData(NamedTuple):
    """What a model was fitted on; ``y`` and ``sample_weight`` may be None."""

    X: Any
    y: Any = None
    sample_weight: Any = None

    @property
    def n_rows(self):
        """Number of training rows."""
        return _num_samples(self.X)

    def weights_or_ones(self):
        """Return the sample weights, ones for None."""
        weights = self.sample_weight
        return np.ones(self.n_rows) if weights is None else weights


class Smoother:
    """A fitted model whose predictions are ``weights(X) @ y_train``.

    Subclasses have ``_weights(X)``, which makes an ndarray or CSR array of shape
    (n_rows, n_train).
    """

    has_stages = False

    def __init__(self, training):
        self.training = training

    def weights(self, X=None, oob=False):
        """Return the weights of rows; None stands for the training rows.

        ``oob`` leaves each of those to the trees that did not see it.
        """
        self._refuse(oob)
        return self._weights(self.training.X if X is None else X)

    def row_norms(self, X=None, *, oob=False, staged=False):
        """Return squared lengths of rows of weights, (n_rows,).

        Staged ones are of shape (n_rows, n_trees), for the first 1, 2, ... trees.
        """
        self._refuse(oob, staged and not self.has_stages)
        X = self.training.X if X is None else X
        block = max(1, BLOCK_NUMBERS // self.training.n_rows)
        norms = [
            self._norms_of_block(_safe_indexing(X, rows), staged)
            for rows in gen_batches(_num_samples(X), block)
        ]
        return np.concatenate(norms)

    def _norms_of_block(self, X, staged):
        return squared_lengths(self._weights(X))

    def _refuse(self, oob, staged=False):
        if oob:
            raise ValueError(
                "oob=True needs a forest or bagging of trees with bootstrap=True."
            )
        if staged:
            raise ValueError("staged=True needs a forest, bagged trees or boosting.")


class UserSmoother(Smoother):
    """A model of a class that gives its weights itself."""

    def __init__(self, model, training):
        super().__init__(training)
        self.model = model

    def _weights(self, X):
        weights = self.model.smoother_weights(X, self.training.X)
        weights = csr_array(weights) if issparse(weights) else np.array(weights)
        expected = (_num_samples(X), self.training.n_rows)
        if weights.shape != expected:
            raise ValueError(
                f"{type(self.model).__name__}.smoother_weights must return weights of "
                f"shape {expected}, got {weights.shape}."
            )
        return weights


def squared_lengths(weights):
    """Sum the squares of each row of an ndarray or CSR array."""
    if issparse(weights):
        return weights.multiply(weights).sum(axis=1)
    return np.einsum("ij,ij->i", weights, weights)


def smoother_of(model, training):
    """Return the `Smoother` of a model; raise ValueError or TypeError if it is none."""
    if hasattr(model, "smoother_weights"):
        return UserSmoother(model, training)
    check_is_fitted(model)
    return known_smoother(model, training)


@singledispatch
def known_smoother(model, training):
    """Return the `Smoother` of a fitted model; kinds of models register themselves."""
    name = type(model).__name__
    reason = WHY_NOT.get(name, "")
    raise TypeError(f"model must be one of: {SUPPORTED}; got {name}{reason}.")


def checked_smoother(model, X_train, y_train=None, sample_weight=None):
    """Return the `Smoother` of a model, compared with its predictions if y is given."""
    X_train = as_rows(X_train)
    if sample_weight is not None:
        sample_weight = check_sample_weight(
            sample_weight, X_train, dtype=np.float64, ensure_non_negative=True
        )
    if y_train is not None:
        y_train, n_rows = np.asarray(y_train), _num_samples(X_train)
        if len(y_train) != n_rows:
            raise ValueError(
                f"y_train has {len(y_train)} rows but X_train has {n_rows}."
            )
    smoother = smoother_of(model, TrainingData(X_train, y_train, sample_weight))
    if y_train is not None:
        rows = _safe_indexing(X_train, slice(0, N_CHECKED_ROWS))
        compare_with_predictions(model, smoother, rows, y_train)
    return smoother


def as_rows(X):
    """Return X as something with rows to pick: frames and arrays as they are."""
    if issparse(X):
        return X.tocsr()
    return X if hasattr(X, "shape") else np.asarray(X)


def compare_with_predictions(model, smoother, X, y):
    """Raise if the weighted sums of ``y`` are not what ``model`` predicts for X."""
    columns = y.reshape(len(y), -1)
    if is_classifier(model):
        predicted, classes = model.predict_proba(X), model.classes_
        if not isinstance(predicted, list):
            predicted, classes = [predicted], [classes]
        pairs = zip(columns.T, classes, strict=True)
        columns = np.hstack([column[:, None] == labels for column, labels in pairs])
        predicted = np.hstack(predicted)
    else:
        predicted = model.predict(X).reshape(-1, columns.shape[1])
    columns = columns.astype(np.float64)
    error = np.abs(smoother.weights(X) @ columns - predicted).max()
    if not error <= 1e-6 * np.abs(columns).max():
        raise ValueError(
            f"{OTHER_DATA}, or y_train and sample_weight are not: weighted sums of y_train "
            f"differ by {error:.3g} from the predictions of {type(model).__name__}."
        )
