"""
How many networks permute ten bits without an error?
====================================================

Infinitely wide networks have seen ten examples, the unit vectors and where they go. Asked about
the other 1,013 inputs, the mean of all networks is right about each; a few are not.
"""

# %%
# Two means and a variance
# ------------------------
# By symmetry all inputs with as many ones are alike. Outputs that shall be 1 have a mean above
# 0, others one below, and both vary with the start of the network.

from itertools import product

import matplotlib.pyplot as plt
import numpy as np

from minimalml.training_dynamics import PermutationEnsemble, permutation_moments

k = 10
n_ones = np.arange(1, k + 1)
mean_in, mean_out, variance = permutation_moments(k, n_ones)

figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for mean, color, name in (
    (mean_in, "C0", "shall be 1"),
    (mean_out, "C3", "shall be 0"),
):
    for n_networks, alpha in ((1, 0.15), (100, 0.35)):
        spread = 2 * np.sqrt(variance / n_networks)
        axes[0].fill_between(n_ones, mean - spread, mean + spread, color=color,
                             alpha=alpha, linewidth=0)  # fmt: skip
    axes[0].plot(
        n_ones, mean, "o-", color=color, markersize=3, label=f"outputs that {name}"
    )
axes[0].axhline(0, color="0.4", linewidth=0.8)
axes[0].set(xlabel="ones among ten bits", ylabel="output",
            title="mean, and two deviations of 1 and of 100")  # fmt: skip
axes[0].legend()

# %%
# Averages of more and more
# -------------------------
# Draw such averages, and count which of them permute all 1,023 inputs. The certified size is
# where at most one of twenty fails; a threshold in the middle of the means needs fewer.

inputs = np.array(list(product([0, 1], repeat=k))[1:])
permutation = np.random.default_rng(0).permutation(k)
examples, answers = np.eye(k), np.eye(k)[permutation]
expected = np.empty_like(inputs)
some = np.random.default_rng(1).permutation(len(inputs))[:200]
sizes = np.unique(np.geomspace(5, 2000, 12).astype(int))
for rounding, color in (("sign", "C2"), ("midpoint", "C4")):
    right = []
    for n_networks in sizes:
        model = PermutationEnsemble(
            int(n_networks), mode="gaussian", rounding=rounding, random_state=0
        ).fit(examples, answers)
        expected[:, model.permutation_] = inputs
        wrong = (model.predict(inputs[some]) != expected[some]).any(axis=1)
        right.append(1 - wrong.mean())
    axes[1].plot(sizes, right, "o-", color=color, markersize=3, label=rounding)
    axes[1].axvline(model.certified_size_, color=color, linestyle=":")
    axes[1].annotate(
        f" {model.certified_size_}", (model.certified_size_, 0.02), color=color
    )
    print(f"{rounding}: {model.certified_size_} networks for all inputs, at 95 %")
axes[1].set(xscale="log", ylim=(-0.03, 1.03), xlabel="networks in the average",
            ylabel="inputs permuted right", title="drawn averages, and certified sizes")  # fmt: skip
axes[1].legend(title="rounding", loc="center right")

# %%
# Any other regression
# --------------------
# The same limit fits any rows and targets: what training would end at, and how far networks of
# other seeds would differ from it.

from minimalml.training_dynamics import InfiniteWidthRegressor

rng = np.random.default_rng(0)
X = np.sort(rng.uniform(-2, 2, 12))[:, None]
y = np.sin(3 * X[:, 0])
grid = np.linspace(-3, 3, 200)[:, None]

figure, axes = plt.subplots(1, 3, figsize=(10, 3), sharey=True, layout="constrained")
for ax, time in zip(axes, (1, 30, np.inf), strict=True):
    model = InfiniteWidthRegressor(depth=3, training_time=time).fit(X, y)
    mean, deviation = model.predict(grid, return_std=True)
    ax.fill_between(grid[:, 0], mean - 2 * deviation, mean + 2 * deviation, alpha=0.2)
    ax.plot(grid, model.sample_y(grid, 4), color="0.6", linewidth=0.6)
    ax.plot(grid, mean)
    ax.plot(X, y, "k.")
    ax.set(title=f"trained for t = {time:g}", ylim=(-2.2, 1.6))
plt.show()
