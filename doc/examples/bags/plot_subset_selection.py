"""
Find the rows that stand apart from their set
=============================================

A set has fifty points, most of them on one half moon and eight on the other; which moon
is the common one changes from set to set. A point by itself does not tell whether it
stands apart. :class:`~minimalml.bags.SubsetSelector` learns from sets whose odd points
are marked, and finds those of new sets.
"""

# %%
# Train on sets
# -------------
# Rows, marks and the set of each row: three arrays of one length.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.neural_network import MLPClassifier

from minimalml.bags import SubsetSelector, mean_jaccard_score
from minimalml.datasets import make_two_moons_subsets

sizes = {"set_size": 50, "subset_size": 8}
X, y, bags = make_two_moons_subsets(100, **sizes, random_state=0)
X_new, y_new, bags_new = make_two_moons_subsets(50, **sizes, random_state=1)

selector = SubsetSelector(
    n_components=32, hidden_layer_sizes=(64,), learning_rate=0.005, max_epochs=20,
    random_state=0,
).fit(X, y, bags)  # fmt: skip
rows_alone = MLPClassifier((64,), max_iter=20, tol=0.1, random_state=0).fit(X, y)

# %%
# The score is the share of common members in both subsets, the true one and the found
# one, averaged over sets. A classifier of single points selects nothing.

for name, found in {
    "selector": selector.predict(X_new, bags_new),
    "classifier of points": rows_alone.predict(X_new),
}.items():
    print(f"{name}: {mean_jaccard_score(y_new, found, bags_new):.2f}")

# %%
# The same place, two answers
# ---------------------------
# The chance that a point is in the subset depends on the set it is in: the upper moon is
# odd on the left and common on the right. Rings mark the true subset.

chance = selector.predict_proba(X_new, bags_new)[:, 1]
upper = np.isclose(np.hypot(X_new[:, 0] + 1, X_new[:, 1] + 0.2), 2, atol=0.5)
share = np.bincount(bags_new, upper) / 50
figure, axes = plt.subplots(
    1, 2, figsize=(8, 3.4), sharex=True, sharey=True, layout="constrained"
)
for ax, bag in zip(axes, (share.argmin(), share.argmax()), strict=True):
    own = bags_new == bag
    points = ax.scatter(*X_new[own].T, c=chance[own], cmap="viridis", vmin=0, vmax=1)
    odd = own & (y_new == 1)
    ax.scatter(*X_new[odd].T, s=110, facecolors="none", edgecolors="tab:red")
    ax.set(xticks=[], yticks=[])
figure.colorbar(points, ax=axes, label="chance to be in the subset")
plt.show()
