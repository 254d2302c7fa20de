"""
Twelve experts into four, and why they have to be aligned
=========================================================

A trained mixture of experts holds several that do nearly the same. They can't be
averaged as they stand: the order of their hidden units is arbitrary.
"""

import matplotlib.pyplot as plt
import numpy as np

from minimalml.compression import (
    ExpertMerger,
    MixtureOfExpertsClassifier,
    align_experts,
    expert_weights,
)
from minimalml.datasets import make_expert_families

X, y = make_expert_families(3500, random_state=3)
train, test = slice(0, 2000), slice(2000, None)
mixture = MixtureOfExpertsClassifier(12, batch_size=64, max_epochs=15, random_state=0)
mixture.fit(X[train], y[train])

# %%
# What the router knows
# ---------------------
# It says which experts matter, by how often it chooses them, and which are alike, by how
# similar its outputs for them are over all rows. Each expert joins one of the four most
# frequent.

merger = ExpertMerger(mixture, n_experts=4, random_state=0).fit(X[train], y[train])
labels, frequency = merger.labels_[0], merger.frequencies_[0]
order = np.lexsort([-frequency, labels])
edges = np.flatnonzero(np.diff(labels[order])) + 0.5

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.6), layout="constrained", width_ratios=[1, 1.3]
)
image = left.imshow(merger.similarities_[0][np.ix_(order, order)], cmap="viridis")
for edge in edges:
    left.axhline(edge, color="white")
    left.axvline(edge, color="white")
left.set(title="similarity of the router's outputs", xlabel="expert", ylabel="expert")
left.set_xticks(range(12), labels=order)
left.set_yticks(range(12), labels=order)
figure.colorbar(image, ax=left, shrink=0.8)
colors = [f"C{label}" for label in labels[order]]
right.bar(range(12), frequency[order], color=colors)
right.set_xticks(range(12), labels=order)
right.set(title="share of the choices, colours are groups", xlabel="expert")

# %%
# Accuracy over the number of experts
# -----------------------------------
# Without fine-tuning, alignment and frequencies make most of the difference. A few epochs
# of distillation win back much of what is lost, either way.

counts = (1, 2, 4, 8)
ways = {
    "aligned, by frequency": {},
    "not aligned": {"align": False},
    "plain average": {"align": False, "weighting": "uniform"},
}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
for ax, epochs in zip(axes, (0, 5), strict=True):
    for name, options in ways.items():
        scores = [
            ExpertMerger(
                mixture, n_experts=n, fine_tune_epochs=epochs, random_state=0, **options
            )
            .fit(X[train], y[train])
            .score(X[test], y[test])
            for n in counts
        ]
        ax.plot(counts, scores, "o-", label=name)
    ax.axhline(mixture.score(X[test], y[test]), color="0.6", linestyle=":")
    ax.set(title=f"{epochs} epochs of fine-tuning", xlabel="experts that are left")
axes[0].set_ylabel("accuracy on other rows")
axes[1].legend()

# %%
# Alignment moves units, and no output: the squared distance of each expert to the most
# frequent one of its group falls.

[experts] = expert_weights(mixture)
dominant = merger.dominant_experts_[0][labels]
aligned, _ = align_experts(experts, reference=dominant)
for name, stacks in (("as they stand", experts), ("aligned", aligned)):
    w_in = stacks.hidden_in[0]
    distances = ((w_in - experts.hidden_in[0][dominant]) ** 2).sum(axis=(1, 2))
    others = np.arange(12) != dominant
    print(f"{name}: mean squared distance {distances[others].mean():.1f}")

plt.show()
