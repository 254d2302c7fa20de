"""
A few partners for each target
==============================

Optimal transport moves mass from sources to targets at the least cost. k-sparse transport
limits how many sources a target may have: a warehouse has so many suppliers, an expert
so many tokens, and a plan can be read.
"""

# %%
# The plan as k grows
# -------------------
# Forty sources on a ring serve eight targets, which all get exactly their share. Quadratic
# transport (right) spreads each target over many sources. Five partners are the least that
# reach all forty sources: an assignment. In between the sources give way: where several
# are equally good for a last place, one gets it whole, and its mass is met too well.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import KNeighborsClassifier

from minimalml.transport import (
    SparseTransportMapper,
    TransportedEstimator,
    sparse_transport,
    sparse_transport_routing,
)

rng = np.random.default_rng(0)
angle = rng.uniform(0, 2 * np.pi, 40)
sources = np.column_stack([np.cos(angle), np.sin(angle)])
sources *= rng.uniform(0.85, 1.15, (40, 1))
angle = np.arange(8) * np.pi / 4
targets = 0.4 * np.column_stack([np.cos(angle), np.sin(angle)])
cost = ((sources[:, None] - targets) ** 2).sum(axis=-1)

figure, axes = plt.subplots(1, 4, figsize=(12, 3.9), layout="constrained")
for ax, k in zip(axes, (5, 8, 12, 40), strict=True):
    with warnings.catch_warnings():  # sources are off: the title says so
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = sparse_transport(None, None, cost, max_nonzeros=k, reg=30)
    plan = result.plan.tocoo()
    lines = np.stack([sources[plan.row], targets[plan.col]], axis=1)
    shade = plan.data / plan.data.max()
    ax.add_collection(LineCollection(lines, linewidths=2 * shade, colors="tab:gray"))
    is_left_out = result.plan.sum(axis=1) == 0
    ax.scatter(*sources[~is_left_out].T, s=14, color="tab:blue", label="sources")
    ax.scatter(*sources[is_left_out].T, s=14, facecolors="none", edgecolors="tab:blue")
    ax.scatter(*targets.T, s=40, color="tab:red", marker="s", label="targets")
    most = np.diff(result.plan.indptr).max()
    ax.set_title(
        f"k = {k}: at most {most} partners\n"
        f"cost {result.transport_cost:.2f}, sources off by {result.row_violation:.0%}"
    )
    ax.set(aspect="equal", xticks=[], yticks=[])
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)

# %%
# Learn where labels are, predict where they are not
# --------------------------------------------------
# Two moons with labels, and two others that lie elsewhere, without. The mapper moves
# the labelled rows to where the others are, by few partners each; a nearest neighbour
# learns there.

from sklearn.datasets import make_moons

X, y = make_moons(240, noise=0.06, random_state=0)
turn = np.array([[np.cos(0.6), np.sin(0.6)], [-np.sin(0.6), np.cos(0.6)]])
domain = np.where(np.arange(240) % 2, -1, 1)  # below 0: a target
X[domain < 0] = X[domain < 0] @ turn + [0.8, 0.9]
is_source = domain > 0

model = TransportedEstimator(
    KNeighborsClassifier(1), SparseTransportMapper(10, reg=0.1)
)
model.fit(X, y, sample_domain=domain)
moved = model.mapper_.transform(X[is_source])
unmoved = KNeighborsClassifier(1).fit(X[is_source], y[is_source])
scores = [m.score(X[~is_source], y[~is_source]) for m in (unmoved, model)]
print(f"accuracy on targets: {scores[0]:.2f} without moving, {scores[1]:.2f} with")

figure, axes = plt.subplots(
    1, 2, figsize=(9, 3.5), sharex=True, sharey=True, layout="constrained"
)
for ax, rows, name in zip(
    axes, (X[is_source], moved), ("as given", "moved"), strict=True
):
    ax.scatter(*X[~is_source].T, s=12, color="lightgray", label="targets, no labels")
    ax.scatter(
        *rows.T, s=12, c=y[is_source], cmap="coolwarm", label="sources, by label"
    )
    score = scores[name == "moved"]
    ax.set_title(f"sources {name}: accuracy on targets {score:.2f}")
    ax.set_aspect("equal")
axes[0].legend(fontsize=8)

# %%
# Tokens for experts
# ------------------
# All tokens like the last experts best. Top-1 gating sends them there; transport gives each
# expert its share, and of its tokens those that suit it.

logits = rng.normal(size=(64, 8)) + 0.4 * np.arange(8)
routed = sparse_transport_routing(logits)
print("top-1 gating:", np.bincount(logits.argmax(axis=1), minlength=8))
print("k-sparse:    ", routed.dispatch.sum(axis=0))

plt.show()
