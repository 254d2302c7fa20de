"""
Mix rows whose labels are close
===============================

Mixup trains on convex combinations of two rows and their labels. In regression a pair of
unlike labels often makes a wrong example: the label at the middle of two points need not
be the middle of their labels. C-Mixup draws the partner of a row with a probability that
falls with the distance of the labels.
"""

# %%
# Wrong labels halfway between unlike rows
# ----------------------------------------
# On a curve, the straight line between two points leaves the curve the further apart
# their labels are. Plain mixup (an infinite bandwidth) fills the inside of the curve;
# C-Mixup stays near it.

import matplotlib.pyplot as plt
import numpy as np

from minimalml.resampling import CMixup, TargetKernelDisplay, TargetKernelSampler

rng = np.random.default_rng(0)
x = np.sort(rng.uniform(0, 3, 150))
y = np.exp(x) + rng.normal(scale=0.3, size=150)

figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True, layout="constrained")
for ax, bandwidth in zip(axes, (np.inf, 0.5, 0.1), strict=True):
    resampler = CMixup(4.0, keep_original=False, bandwidth=bandwidth, random_state=0)
    x_mixed, y_mixed = resampler.fit_resample(x[:, None], y)
    ax.plot(x_mixed[:, 0], y_mixed, ".", markersize=3, alpha=0.4, label="mixed rows")
    ax.plot(x, np.exp(x), color="black", label="truth")
    error = np.sqrt(np.mean((y_mixed - np.exp(x_mixed[:, 0])) ** 2))
    name = "plain mixup" if np.isinf(bandwidth) else f"bandwidth {bandwidth:g}"
    ax.set(title=f"{name}: labels off by {error:.2f}", xlabel="x")
axes[0].set_ylabel("y")
axes[0].legend()

# %%
# Who is mixed with whom
# ----------------------
# The heat map has the rows in the order of their labels, and the curve says how many
# partners each row effectively has: many where labels crowd, few in the tail.

TargetKernelDisplay.from_estimator(TargetKernelSampler(bandwidth=0.3), y=y)

# %%
# A million exact draws
# ---------------------
# No n x n matrix is built: labels are sorted once, and each draw looks at some forty
# shells of labels around the row's own.

many_labels = rng.gamma(2.0, size=1_000_000)
partners = TargetKernelSampler(bandwidth=0.05).fit(many_labels).sample(random_state=0)
distance = np.abs(many_labels[partners] - many_labels) / many_labels.std()
print(f"{len(partners):,} partners, median distance {np.median(distance):.3f} std")

plt.show()
