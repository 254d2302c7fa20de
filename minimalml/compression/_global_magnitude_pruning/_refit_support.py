"""Fit a linear model again on the coefficients that pruning kept.

The estimator's own objective, minimised with the other coefficients held at zero.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
)
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.extmath import safe_sparse_dot

from minimalml._core.array_checks import encode_labels
from minimalml._core.models.weights import set_model_weights

REFITTED = (LinearRegression, Ridge, LogisticRegression)


def refit_on_support(estimator, mask, X, y, sample_weight=None):
    """Refit a pruned linear model on the features that each output kept, in place.

    Raises a ValueError if ``estimator`` is another model than LinearRegression, Ridge or
    LogisticRegression, or a multinomial one with an L1 penalty.
    """
    is_search = isinstance(estimator, LogisticRegressionCV)
    if is_search or not isinstance(estimator, REFITTED):
        raise ValueError(
            "fine_tune='refit_support' is for LinearRegression, Ridge and "
            f"LogisticRegression, got {type(estimator).__name__}."
        )
    X = check_array(X, accept_sparse="csr", dtype=[np.float64, np.float32])
    classes = getattr(estimator, "classes_", ())
    if len(classes):
        encode_labels(y, classes)  # refuses others
    refit = _multinomial if len(classes) > 2 else _separate
    coefficients, intercepts = refit(estimator, mask, X, y, sample_weight)
    intercepts = intercepts.reshape(np.shape(estimator.intercept_))
    weights = {"coef_": coefficients.reshape(mask.shape), "intercept_": intercepts}
    set_model_weights(estimator, weights)


def _separate(estimator, mask, X, y, sample_weight):
    """Fit each output on its own features."""
    rows, targets = np.atleast_2d(mask), y.reshape(len(y), -1)
    coefficients, intercepts = np.zeros(rows.shape), np.zeros(len(rows))
    for index, kept in enumerate(rows):
        model = clone(estimator)
        alpha = np.ravel(getattr(estimator, "alpha", 0))
        if alpha.size > 1:
            model.set_params(alpha=alpha[index])
        # an output without features still has an intercept
        columns = X[:, kept] if kept.any() else np.zeros((X.shape[0], 1))
        model.fit(columns, targets[:, index], sample_weight)
        if kept.any():
            coefficients[index, kept] = np.ravel(model.coef_)
        intercepts[index] = np.ravel(model.intercept_)[0]
    return coefficients, intercepts


def _multinomial(estimator, mask, X, y, sample_weight):
    """Minimise C sum_i w_i loss_i + |W|^2 / 2 over the kept coefficients."""
    if estimator.l1_ratio or estimator.penalty in ("l1", "elasticnet"):
        raise ValueError(
            "fine_tune='refit_support' needs a multinomial LogisticRegression without "
            f"an L1 penalty, got l1_ratio={estimator.l1_ratio}."
        )
    decay = 0.0 if estimator.penalty is None else 1 / estimator.C
    weight = 1.0 if sample_weight is None else sample_weight
    weight = weight * compute_sample_weight(estimator.class_weight, y)
    is_class = np.equal.outer(y, estimator.classes_)
    free = np.column_stack([mask, np.full(len(mask), estimator.fit_intercept)])

    def unpack(vector):
        parameters = np.zeros(free.shape)
        parameters[free] = vector
        return parameters[:, :-1], parameters[:, -1]

    def objective(vector):
        coefficients, intercepts = unpack(vector)
        scores = safe_sparse_dot(X, coefficients.T, dense_output=True) + intercepts
        loss = 0.5 * decay * np.sum(coefficients**2)
        loss -= weight @ log_softmax(scores, axis=1)[is_class]
        residual = weight[:, None] * (softmax(scores, axis=1) - is_class)
        slope = safe_sparse_dot(residual.T, X, dense_output=True) + decay * coefficients
        slope = np.column_stack([slope, residual.sum(axis=0)])[free]
        return loss / weight.sum(), slope / weight.sum()

    start = np.column_stack([estimator.coef_, estimator.intercept_])[free]
    limits = {"maxiter": 1000, "gtol": min(estimator.tol, 1e-6), "ftol": 1e-14}
    found = minimize(
        objective, start.astype(float), jac=True, method="L-BFGS-B", options=limits
    )
    return unpack(found.x)
