"""
From a table with a group column to a searched model
====================================================

A register holds the measurements of single tumours, but how many of them are malignant is
told by clinic only. The whole way: from that table to a model for single patients, chosen by
what is known of clinics alone, and at the end a look at how good it is on single patients.
"""

# %%
# The table
# ---------
# The breast cancer data, each patient at one of many small clinics. Patients of a clinic are
# a little alike, as they are in life. The labels of single patients are set aside: they are
# used at the very end, to see what the search could not.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, mean_absolute_error
from sklearn.model_selection import GridSearchCV, GroupKFold, GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.bags import (
    AggregateRidge,
    LabelProportionClassifier,
    aggregate_by_bag,
    aggregate_targets,
    make_bag_scorer,
)
from minimalml.datasets import make_bags

table, benign = load_breast_cancer(return_X_y=True, as_frame=True)
malignant = 1 - benign.to_numpy()
numbers = make_bags(
    len(table), (4, 12), by=table["mean area"], correlation=0.3, random_state=0
)
table["clinic"] = [f"clinic {number:02d}" for number in numbers]

clinics, share = aggregate_by_bag(malignant, table["clinic"])
published = pd.DataFrame({"share": share}, index=clinics)
published.head()

# %%
# From the published shares to a target
# -------------------------------------
# ``fit`` takes one entry a row: the id of the row's clinic, and the clinic's share on each of
# its rows. A join makes it.

bags = table.pop("clinic").to_numpy()
y = published.loc[bags, "share"].to_numpy()

train, test = next(GroupShuffleSplit(1, test_size=0.3, random_state=0).split(table, groups=bags))
X_train, X_test = table.iloc[train], table.iloc[test]

# %%
# A search that sees clinics only
# -------------------------------
# With metadata routing on, the clinics reach scaler, splitter, learner and scorer as they
# need them. Folds are made of whole clinics. The score is the error of the share that is
# predicted for a clinic that the fold held out.

sklearn.set_config(enable_metadata_routing=True)

model = make_pipeline(
    StandardScaler(), LabelProportionClassifier(LogisticRegression())
)
search = GridSearchCV(
    model,
    {
        "labelproportionclassifier__n_neighbors": [3, 10],
        "labelproportionclassifier__similarity_strength": [0.0, 0.5, 1.5],
    },
    cv=GroupKFold(4),
    scoring=make_bag_scorer(mean_absolute_error, greater_is_better=False, weight_by_size=True),
).fit(X_train, y[train], bags=bags[train], groups=bags[train])

columns = ["param_labelproportionclassifier__n_neighbors", "param_labelproportionclassifier__similarity_strength", "mean_test_score"]
pd.DataFrame(search.cv_results_)[columns]
