"""
Two samples in one array
========================

Choosing rows for a target, and moving rows to a target, both take two samples. They travel
in one array: ``sample_domain`` holds a number for each row, at least 0 for a source and below
0 for a target, and goes through pipelines, splits and searches with the rows.
"""

# %%
# A shift of classes: how many rows to choose
# -------------------------------------------
# The pool has all digits alike; where the model will be used, small digits are common.
# Sources are in every training part (-1), targets are in turn kept back to be predicted: only
# target rows are scored. Their labels are not read in training.

import warnings

import matplotlib.pyplot as plt
import numpy as np
import sklearn
from scipy.ndimage import rotate
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from minimalml.resampling import SelectedSamplesEstimator, TransportCoresetSelector
from minimalml.transport import SparseTransportMapper, TransportedEstimator

sklearn.set_config(enable_metadata_routing=True)
digits = load_digits()
rng = np.random.default_rng(0)
order = rng.permutation(len(digits.target))
source, rest = order[:600], order[600:]
shares = np.where(digits.target[rest] < 5, 4.0, 0.5)
target = rng.choice(rest, 150, replace=False, p=shares / shares.sum())

rows = np.r_[source, target]
X, y = digits.data[rows], digits.target[rows]
domain = np.repeat([1, -1], [len(source), len(target)])
folds = PredefinedSplit(np.r_[np.full(len(source), -1), np.arange(len(target)) % 2])

selector = TransportCoresetSelector(max_exchanges=2).set_fit_request(sample_domain=True)
model = make_pipeline(
    FunctionTransformer(lambda X: X / 16),
    SelectedSamplesEstimator(LogisticRegression(max_iter=300), selector),
)
step = "selectedsamplesestimator__selector__n_samples_to_select"
budgets = [20, 60, 180]
search = GridSearchCV(model, {step: budgets}, cv=folds).fit(X, y, sample_domain=domain)
by_budget = search.cv_results_["mean_test_score"]
print(
    "accuracy on the target, by budget:",
    dict(zip(budgets, by_budget.round(2).tolist(), strict=True)),
)

# %%
# ``X_target=`` gives the same rows, where there is nothing to split.

fitted = TransportCoresetSelector(40, max_exchanges=2)
by_domain = fitted.fit(X, sample_domain=domain).sample_indices_
by_target = fitted.fit(X[:600], X_target=X[600:]).sample_indices_
print("the same rows:", np.array_equal(by_domain, by_target))

# %%
# A rotation: how many partners a target may have
# -----------------------------------------------
# Now the target's digits are turned by 25 degrees. The labelled ones are moved onto them, and
# a classifier is fitted to what was moved. The fewer partners a target may have, the less
# is averaged. (Where few partners bind, some rows are off, and a warning says so.)

warnings.simplefilter("ignore", ConvergenceWarning)
turned = np.array(
    [rotate(x, 25, reshape=False, order=1) for x in digits.images[rest[:200]]]
)
X = np.vstack([digits.data[source[:200]], turned.reshape(200, 64)]) / 16
y = np.r_[digits.target[source[:200]], digits.target[rest[:200]]]
domain = np.repeat([1, -1], 200)
folds = PredefinedSplit(np.r_[np.full(200, -1), np.arange(200) % 2])

mapper = SparseTransportMapper(reg=8.0, max_iter=50)
model = TransportedEstimator(KNeighborsClassifier(1), mapper)
model.set_fit_request(sample_domain=True)
partners = [5, 20, 80]
search = GridSearchCV(model, {"mapper__max_nonzeros": partners}, cv=folds)
search.fit(X, y, sample_domain=domain)
by_partners = search.cv_results_["mean_test_score"]
plain = KNeighborsClassifier(1).fit(X[:200], y[:200]).score(X[200:], y[200:])

figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
axes[0].plot(budgets, by_budget, "o-")
axes[0].set(xscale="log", xlabel="rows chosen", ylabel="accuracy on the target",
            title="classes shift", xticks=budgets, xticklabels=budgets)  # fmt: skip
axes[1].plot(partners, by_partners, "o-", label="moved")
axes[1].axhline(plain, color="0.6", linestyle=":", label="as they are")
axes[1].set(xscale="log", xlabel="partners of a target at most", title="digits turn",
            xticks=partners, xticklabels=partners)  # fmt: skip
axes[1].legend()
for ax in axes:
    ax.minorticks_off()

# %%
# ``fit_samples`` is the same map.

again = SparseTransportMapper(reg=8.0, max_iter=50).fit_samples(X[:200], X[200:])
one = SparseTransportMapper(reg=8.0, max_iter=50).fit(X, sample_domain=domain)
print("the same map:", np.array_equal(one.transform(X[:9]), again.transform(X[:9])))

sklearn.set_config(enable_metadata_routing=False)
plt.show()
