"""
How much does a forest smooth, and where?
=========================================

Effective parameters of a forest on the rows that it was fitted on, and on new ones.
"""

# %%
# Exact where it has been, smooth elsewhere
# -----------------------------------------
# Each of the extra trees fits the training rows exactly, and so do all of them: as many
# effective parameters as rows, for any number of trees. On new rows one tree still copies one
# training row, while many average over more and more. How far from a training row is new? A
# hundredth of the range of each feature is enough to lose a quarter of the parameters.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    RandomForestRegressor,
)

from minimalml.datasets import make_mars
from minimalml.inspection import SmootherAnalysis, effective_parameters_by_offset

X, y = make_mars(1000, random_state=0)
X_train, y_train, X_new = X[:500], y[:500], X[500:]
models = {
    "extra trees": ExtraTreesRegressor(),
    "forest": RandomForestRegressor(),
    "boosting": GradientBoostingRegressor(),
}
analyses = {
    name: SmootherAnalysis(model, random_state=0).fit(X_train, y_train)
    for name, model in models.items()
}
offsets = np.array([0, 0.01, 0.03, 0.1, 0.3])

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.6), sharey=True, layout="constrained"
)
n_trees = np.arange(1, 101)
for colour, (name, analysis) in zip(("C0", "C1", "C2"), analyses.items(), strict=True):
    left.plot(n_trees, analysis.effective_parameters(staged=True), ":", color=colour)
    new = analysis.effective_parameters(X_new, staged=True)
    left.plot(n_trees, new, color=colour, label=name)
    far = effective_parameters_by_offset(
        analysis.estimator_, X_train, offsets, n_repeats=1, random_state=0
    )
    right.plot(offsets, far, "o-", markersize=4, color=colour)
left.plot([], [], ":", color="0.3", label="on training rows")
left.set(xscale="log", yscale="log", xlabel="trees", ylabel="effective parameters",
         title="Along the trees, 500 new rows")  # fmt: skip
left.legend()
right.set_xscale("symlog", linthresh=0.01)
right.set_xlim(-0.0005, 0.35)
right.set_xticks(offsets, [f"{offset:g}" for offset in offsets])
right.set(xlabel="largest distance from a training row, by feature",
          title="From training rows outwards, 100 trees")  # fmt: skip

# %%
# Which rows made this prediction?
# --------------------------------

forest = analyses["forest"]
rows, weights = forest.nearest_training_rows(X_new[:1], k=4)
print(f"prediction {forest.predict(X_new[:1])[0]:.2f}, a mean over "
      f"{500 / forest.effective_parameters(X_new[:1]):.0f} rows in effect; most count")  # fmt: skip
for row, weight in zip(rows[0], weights[0], strict=True):
    print(f"  row {row:3d} with {weight:.3f}, target {y_train[row]:.2f}")

plt.show()
