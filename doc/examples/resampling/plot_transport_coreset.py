"""
What a coreset covers
=====================

A pool of two thousand rows, a small target sample of where the model will be used, and a
budget of twelve. Which rows?
"""

# %%
# Rows near the target one by one are near each other; rows of the whole pool are not where
# the target is. The selection by transport stands for the target in its proportions: lines
# lead from each selected row to the target rows that it stands for.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances, pairwise_distances_argmin

from minimalml.resampling import TransportCoresetSelector

rng = np.random.default_rng(0)
pool = rng.normal(0, 2, size=(2000, 2))
angles = rng.uniform(0, np.pi, 60)
target = np.column_stack([3 * np.cos(angles), 3 * np.sin(angles)]) - [0, 1.5]
target[:30] = rng.normal([-0.8, -0.6], 0.35, size=(30, 2))
target += rng.normal(0, 0.15, size=target.shape)

selector = TransportCoresetSelector(12).fit(pool, X_target=target)
nearest = pairwise_distances(pool, target).min(axis=1).argsort()[:12]
centers = KMeans(12, n_init=1, random_state=0).fit(pool).cluster_centers_
selections = {
    "nearest to the target": nearest,
    "medoids of the pool": pairwise_distances_argmin(centers, pool),
    "by transport": selector.sample_indices_,
}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
for ax, (name, rows) in zip(axes, selections.items(), strict=True):
    ax.scatter(*pool.T, s=2, color="0.8")
    ax.scatter(*target.T, s=12, color="tab:orange", label="target")
    ax.scatter(*pool[rows].T, s=40, color="tab:blue", edgecolor="white", label="selected",
               zorder=3)  # fmt: skip
    ax.set(title=name, xlim=(-5, 5), ylim=(-4.2, 4.2), xticks=[], yticks=[])
plan = selector.plan_.tocoo()
for row, column in zip(plan.row, plan.col, strict=True):
    line = np.stack([pool[selector.sample_indices_[row]], target[column]])
    axes[2].plot(*line.T, color="tab:blue", linewidth=0.6)
axes[0].legend(loc="lower right")

# %%
# Exchanges bring the greedy start nearer to the target.

figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(selector.objective_path_, "o-")
ax.set(xlabel="exchanges", ylabel="transport, in units of the longest distance")

# %%
# The selector goes into a pipeline, and its budget into a search, by
# :class:`~minimalml.resampling.SelectedSamplesEstimator`.

plt.show()
