"""
Which rows of an open set help, and how many
============================================

Thirty images of a three and an eight, and a heap of other digits in which a few more lie
hidden. More rows help to find good components, if they are of the right kind.
"""

# %%
# The rounds tell when to stop
# ----------------------------
# In each round every centre of the target takes its nearest image that is left. The mean
# similarity of a round falls as the relevant images run out.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from minimalml.resampling import OpenSetCoresetSelector, greedy_facility_location

X, y = load_digits(return_X_y=True)
wanted = np.isin(y, (3, 8))
target = np.flatnonzero(wanted)[:60]
rest = np.r_[np.flatnonzero(wanted)[60:200], np.flatnonzero(~wanted)]
rest = np.random.default_rng(0).permutation(rest)
X_open, is_relevant = X[rest], wanted[rest]

selector = OpenSetCoresetSelector(
    400, stopping_ratio=None, n_clusters=20, random_state=0
)
selector.fit(X_open, X_target=X[target])
shares = [
    is_relevant[selector.sample_indices_[selector.round_ == number]].mean()
    for number in range(selector.round_.max() + 1)
]
figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
ax.plot(
    selector.round_values_ / selector.round_values_[0], "o-", label="value of the round"
)
ax.plot(shares, "o-", label="share that is relevant")
ax.axhline(0.95, color="0.7", linestyle=":")
ax.annotate("stopping_ratio=0.95", (len(shares) * 0.7, 0.96), color="0.4")
ax.set(xlabel="round", ylim=(0, 1.05))
ax.legend(loc="lower left")

# %%
# What each way takes
# -------------------
# Facility location is content with one image a centre, and then takes anything: the last
# sixty of two hundred.

similarity = X_open / np.linalg.norm(X_open, axis=1, keepdims=True)
similarity = similarity @ selector.cluster_centers_.T
selections = {
    "coreset": selector.sample_indices_[:200],
    "facility location": greedy_facility_location(similarity, 200),
    "random": np.arange(200),
}
figure, axes = plt.subplots(3, 1, figsize=(7, 4), layout="constrained")
for ax, (name, rows) in zip(axes, selections.items(), strict=True):
    pictures = X_open[rows[-60:]].reshape(3, 20, 8, 8).transpose(0, 2, 1, 3)
    ax.imshow(pictures.reshape(24, 160), cmap="gray_r")
    ax.set(
        xticks=[], yticks=[], title=f"{name}: {is_relevant[rows].mean():.0%} relevant"
    )

plt.show()
