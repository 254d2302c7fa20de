"""
From one shape to another, and all that lies between
====================================================

Two samples of rows, none of which belongs to a row of the other: cells today and cells
tomorrow, one style of image and another. A bridge learns where each row may end, with
what spread, and the way there.
"""

# %%
# A way between two shapes
# ------------------------
# The fit sees two arrays. Paths are then drawn for rows that it has never seen, exactly
# at whatever times one asks for.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons, make_swiss_roll

from minimalml.transport import LightSchrodingerBridge


def moons(n, seed):
    X, _ = make_moons(n, noise=0.06, random_state=seed)
    return (X - [0.5, 0.25]) * 1.7


def swiss_roll(n, seed):
    X, _ = make_swiss_roll(n, noise=0.4, random_state=seed)
    return X[:, [0, 2]] / 7.5 + [11, 0]


bridge = LightSchrodingerBridge(100, epsilon=0.1, tol=1e-3, random_state=0)
bridge.fit_samples(moons(1500, seed=0), swiss_roll(1500, seed=0))

times = np.linspace(0, 1, 41)
path = bridge.sample_path(moons(1000, seed=1), times, random_state=0)

figure, ax = plt.subplots(figsize=(9, 3), layout="constrained")
for row in path[:60]:
    ax.plot(*row.T, color="0.6", linewidth=0.5, alpha=0.7)
for number, color in zip((0, 10, 20, 30, 40), plt.cm.viridis(np.linspace(0, 0.9, 5)), strict=True):  # fmt: skip
    ax.scatter(*path[:, number].T, s=3, color=color, label=f"t = {times[number]:g}")
ax.set(aspect="equal", xticks=[], yticks=[])
ax.legend(loc="upper center", ncols=5, markerscale=3, bbox_to_anchor=(0.5, -0.02))

# %%
# How much entropy
# ----------------
# ``epsilon`` is the variance that the diffusion adds on its way. With little of it a row
# has nearly one place to go to, with much of it the end forgets the start: dots of one
# color are the ends of one row, the cross is ``transform``, their mean.

X0 = np.random.default_rng(0).normal(size=(1500, 2))
X1 = swiss_roll(1500, seed=0) - [11, 0]
some = np.array([[-1.2, 0.4], [0.3, 1.2], [1.0, -0.8]])

figure, axes = plt.subplots(
    1, 3, figsize=(9, 3.3), sharex=True, sharey=True, layout="constrained"
)
for ax, epsilon in zip(axes, (0.03, 0.3, 10), strict=True):
    bridge = LightSchrodingerBridge(50, epsilon=epsilon, tol=1e-3, random_state=0)
    bridge.fit_samples(X0, X1)
    ends = bridge.sample_conditional(some, 150, random_state=0)
    ax.scatter(*X1.T, s=1, color="0.85")
    for start, mean, drawn, color in zip(
        some, bridge.transform(some), ends, ("tab:blue", "tab:orange", "tab:green"),
        strict=True,
    ):  # fmt: skip
        ax.scatter(*drawn.T, s=4, color=color, alpha=0.6)
        ax.plot(*start, "o", color=color, markeredgecolor="black")
        ax.plot(*mean, "X", color=color, markeredgecolor="black", markersize=9)
    ax.set(title=f"epsilon = {epsilon}", aspect="equal", xticks=[], yticks=[])

plt.show()
