"""
Find a bug in your own estimator
================================

A weighted ridge regression looks right and predicts well. One of its lines is wrong all
the same. The properties of :mod:`minimalml.testing` find it, show it on a handful of
rows, and guard the fix. (scikit-learn's own check of weights stops at this estimator
too: it shows two arrays of 15 numbers that differ.)
"""

# %%
# The estimator
# -------------
# Weights are often normalised first, "so that they do not change the strength of the
# penalty". Here they are made to sum to the number of rows.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from minimalml.testing import (
    check_properties,
    check_zero_weight_is_removal,
    regression_data,
)


class WeightedRidge(RegressorMixin, BaseEstimator):
    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def fit(self, X, y, sample_weight=None):
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        weight = np.ones(len(y)) if sample_weight is None else sample_weight
        weight = self._normalised(np.asarray(weight))
        X_mean = np.average(X, axis=0, weights=weight)
        y_mean = np.average(y, weights=weight)
        Xc = X - X_mean
        gram = Xc.T @ (weight[:, None] * Xc) + self.alpha * np.eye(X.shape[1])
        self.coef_ = np.linalg.solve(gram, Xc.T @ (weight * (y - y_mean)))
        self.intercept_ = y_mean - X_mean @ self.coef_
        return self

    def _normalised(self, weight):
        return weight * len(weight) / weight.sum()

    def predict(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return X @ self.coef_ + self.intercept_


# %%
# What the properties say
# -----------------------
# What should be true of any ridge regression: it hangs on neither the order of the rows
# nor that of the columns, and a weight is a number of copies. ``check_properties`` runs
# all checks and tells how each went; the six properties that hold for every estimator
# pass as well.

results = check_properties(
    WeightedRidge(), properties="all", on_fail=None, on_skip=None
)
for result in results:
    print(f"{result['status']:8} {result['check_name']}")

# %%
# Both properties of the weights fail. Such a failure says what was done, what changed,
# by how much, and where. On data that hypothesis draws it ends with the smallest data
# set that it could find.

try:
    check_zero_weight_is_removal(
        WeightedRidge(), data=regression_data(n_samples=(3, 20), corners=[])
    )
except AssertionError as failure:
    print(failure)

# %%
# The bug
# -------
# A row of weight zero should not be there at all. But it is counted by ``len(weight)``,
# so the weights of the other rows grow, and the penalty shrinks in proportion. Someone
# who masks out rows by weight zero gets another penalty than someone who drops them.
# The rows whose weight is zero are grey below; the two lines should be one.


def draw(axis, model, title):
    rng = np.random.default_rng(0)
    x = np.linspace(-1, 1, 60)
    y = 2 * x + rng.normal(scale=0.3, size=60)
    kept = np.arange(60) % 12 == 0
    query = x[:, None]
    weighted = model.fit(query, y, sample_weight=kept.astype(float)).predict(query)
    removed = model.fit(query[kept], y[kept]).predict(query)
    axis.scatter(x[~kept], y[~kept], s=12, color="0.8", label="weight 0")
    axis.scatter(x[kept], y[kept], s=28, color="black", label="weight 1")
    axis.plot(x, weighted, color="tab:red", label="fit with weights")
    axis.plot(x, removed, color="tab:blue", linestyle="--", label="fit without them")
    axis.set(title=title, xlabel="x", ylabel="y")


class FixedWeightedRidge(WeightedRidge):
    def _normalised(self, weight):
        return weight  # the penalty is held against the sum of the weights


figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
draw(axes[0], WeightedRidge(), "normalised to the number of rows")
draw(axes[1], FixedWeightedRidge(), "as they are")
axes[1].set_ylabel("")
axes[1].legend(loc="upper left", frameon=False, fontsize="small")
plt.show()

# %%
# The fix
# -------
# With the weights left alone all properties hold, and stay checked in the project's
# tests by a decorator:
#
# .. code-block:: python
#
#     @parametrize_with_properties([WeightedRidge()], properties="all")
#     def test_properties(estimator, check):
#         check(estimator)

results = check_properties(
    FixedWeightedRidge(), properties="all", on_fail=None, on_skip=None
)
statuses = [result["status"] for result in results]
print({status: statuses.count(status) for status in sorted(set(statuses))})
