"""
From a table with a group column to a searched model
====================================================

A study knows the measurements of single patients, but the practices report only the mean
progress of their patients. The whole way: from that table to a model of single patients,
chosen by what is known of practices alone, and at the end a look at how good it is on
patients.
"""

# %%
# The table
# ---------
# The diabetes data, each patient at one of many small practices; patients of a practice are
# of a like age. How single patients fare is set aside: it is used at the very end, to see
# what the search could not.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from sklearn.datasets import load_diabetes
from sklearn.linear_model import RidgeCV
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold, GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from minimalml.bags import (
    AggregateRidge,
    LabelProportionClassifier,
    aggregate_by_bag,
    aggregate_targets,
    make_bag_scorer,
)
from minimalml.datasets import make_bags

patients, progress = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
numbers = make_bags(
    len(patients), (3, 9), by=patients["age"], correlation=0.3, random_state=0
)
patients["practice"] = [f"practice {number:02d}" for number in numbers]

names, means = aggregate_by_bag(progress, patients["practice"])
reported = pd.Series(means, index=names, name="mean progress")
reported.head()

# %%
# From reported means to a target
# -------------------------------
# ``fit`` takes one entry a row: the id of the patient's practice, and what the practice
# reported, repeated on each of its patients. A join makes it. The test set is made of whole
# practices, too.

bags = patients["practice"].to_numpy()
X, y = patients.drop(columns="practice"), reported[bags].to_numpy()
split = GroupShuffleSplit(1, test_size=0.3, random_state=0)
train, test = next(split.split(X, groups=bags))

# %%
# A search that sees practices only
# ---------------------------------
# With metadata routing on, ``bags`` reach learner and scorer without a request, and
# ``groups`` the splitter, so that no practice is cut. The score compares one reported mean
# with one predicted mean a practice.

sklearn.set_config(enable_metadata_routing=True)
alphas = np.logspace(-1, 3, 5)
search = GridSearchCV(
    make_pipeline(StandardScaler(), AggregateRidge(random_state=0)),
    {"aggregateridge__alpha": alphas},
    cv=GroupKFold(5),
    scoring=make_bag_scorer(r2_score, weight_by_size=True),
)
search.fit(X.iloc[train], y[train], bags=bags[train], groups=bags[train])
results = pd.DataFrame(search.cv_results_)
results[["param_aggregateridge__alpha", "mean_test_score", "std_test_score"]].round(2)

# %%
# How good is it on single patients?
# ----------------------------------
# Three models answer for the patients of practices that none has seen: the one that was
# searched, a ridge regression that takes the practice's mean for the patient's own progress,
# and one that was told the progress of each patient, which is out of reach.


def rows_quality(model, y_train):
    model.fit(X.iloc[train], y_train)
    return r2_score(progress.iloc[test], model.predict(X.iloc[test]))


ridge = make_pipeline(StandardScaler(), RidgeCV(alphas))
quality = pd.Series(
    {
        "means, AggregateRidge": r2_score(
            progress.iloc[test], search.predict(X.iloc[test])
        ),
        "means, taken for the patient's": rows_quality(ridge, y[train]),
        "each patient's progress": rows_quality(ridge, progress.iloc[train]),
    },
    name="R² on patients",
)
quality.round(2)

# %%
# The same way with shares
# ------------------------
# Had the practices reported the share of patients whose illness progressed badly, another
# learner would take its place, and nothing else would change. Its own ``score`` compares
# shares of practices, with no scorer needed.

is_bad = (progress > 150).to_numpy()
shares = aggregate_targets(is_bad, bags)
share_search = GridSearchCV(
    make_pipeline(StandardScaler(), LabelProportionClassifier(SVC())),
    {"labelproportionclassifier__similarity_strength": [0.5, 1.5, 3.0]},
    cv=GroupKFold(5),
)
share_search.fit(X.iloc[train], shares[train], bags=bags[train], groups=bags[train])
told_all = make_pipeline(StandardScaler(), SVC()).fit(X.iloc[train], is_bad[train])
accuracy = pd.Series(
    {
        "shares, LabelProportionClassifier": accuracy_score(
            is_bad[test], share_search.predict(X.iloc[test])
        ),
        "each patient's label": told_all.score(X.iloc[test], is_bad[test]),
        "the more frequent label": max(is_bad[test].mean(), 1 - is_bad[test].mean()),
    },
    name="accuracy on patients",
)
accuracy.round(2)

# %%
# The larger the practices, the less is known
# -------------------------------------------
# The same with practices of other sizes, five times each. The score of the search is one of
# practices: it tells good models from bad ones, and is no measure of the quality on
# patients.


def whole_way(size, seed):
    """Return R² on held-out practices and on their patients."""
    bags = make_bags(len(X), size, by=X["age"], correlation=0.3, random_state=seed)
    y = aggregate_targets(progress, bags)
    split = GroupShuffleSplit(1, test_size=0.3, random_state=seed)
    train, test = next(split.split(X, groups=bags))
    model = make_pipeline(StandardScaler(), AggregateRidge(10.0, random_state=0))
    model.fit(X.iloc[train], y[train], bags=bags[train])
    return (
        model.score(X.iloc[test], y[test], bags=bags[test]),
        r2_score(progress.iloc[test], model.predict(X.iloc[test])),
    )


sizes = [1, 2, 4, 8, 16]
scores = np.array([[whole_way(size, seed) for seed in range(5)] for size in sizes])

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for k, label in enumerate(["means of practices", "patients"]):
    ax.errorbar(
        sizes, scores[..., k].mean(axis=1), scores[..., k].std(axis=1),
        marker="o", capsize=3, label=label,
    )  # fmt: skip
ax.set_xscale("log", base=2)
ax.set_xticks(sizes, sizes)
ax.set(xlabel="patients a practice", ylabel="R² on held-out practices")
ax.legend()
plt.show()
