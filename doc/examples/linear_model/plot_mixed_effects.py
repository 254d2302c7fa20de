"""
Bad groups pull a Gaussian fit, and not a q-Gaussian one
========================================================

Rows come in groups (clinics, classes, batches), each with a level of its own. A few groups
are bad: all their rows are far off. The Gaussian mixed model counts them like the others.
"""

# %%
# Two bad groups of twelve
# ------------------------
# Each group counts by how well it fits, as the size of the dots shows. How heavy the tails
# are, and so how little a bad group counts, is estimated from the rows.

import matplotlib.pyplot as plt
import numpy as np

from minimalml.linear_model import QGaussianMixedRegressor

GAUSSIAN = {"degrees_of_freedom": np.inf}


def draw_table(n_groups, n_bad, seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), 6)
    x = rng.uniform(-2, 2, size=len(groups))
    noise = rng.normal(size=n_groups)[groups] + rng.normal(size=len(groups))
    return x[:, None], x + np.where(groups < n_bad, 8, 1) * noise, groups


X, y, groups = draw_table(n_groups=12, n_bad=2, seed=4)
ours = QGaussianMixedRegressor().fit(X, y, groups)
gaussian = QGaussianMixedRegressor(**GAUSSIAN).fit(X, y, groups)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
is_bad = groups < 2
sizes = 8 + 30 * ours.group_weights_[groups]
for rows, color, label in (
    (~is_bad, "0.6", "good groups"),
    (is_bad, "tab:red", "bad groups"),
):
    left.scatter(X[rows, 0], y[rows], sizes[rows], color=color, label=label)
line = np.array([[-2.0], [2.0]])
left.plot(line, line, color="black", linestyle=":", label="truth")
left.plot(line, gaussian.predict(line), color="tab:orange", label="Gaussian")
left.plot(line, ours.predict(line), color="tab:blue", label="q-Gaussian")
left.set(xlabel="x", ylabel="y", title="dots are as large as their group's weight")
left.legend(fontsize="small", ncols=2)

print(
    f"slope, truth 1: q-Gaussian {ours.coef_[0]:.2f}, Gaussian {gaussian.coef_[0]:.2f}"
)
print(f"weights: bad groups {ours.group_weights_[:2].round(3)}, "
      f"good groups at least {ours.group_weights_[2:].min():.2f}")  # fmt: skip
print(f"degrees of freedom: {ours.degrees_of_freedom_:.1f}")

# %%
# The more bad groups, the more it matters
# ----------------------------------------
# Without bad groups the degrees of freedom go to infinity, and both fits are the same:
# nothing is lost.

shares = np.array([0, 0.05, 0.1, 0.2, 0.3, 0.4])
for options, color, label in (
    (GAUSSIAN, "tab:orange", "Gaussian"),
    ({}, "tab:blue", "q-Gaussian"),
):
    errors = np.array([
        [abs(QGaussianMixedRegressor(**options).fit(*draw_table(40, round(40 * share), seed)).coef_[0] - 1)
         for seed in range(20)]
        for share in shares
    ])  # fmt: skip
    means, deviations = errors.mean(axis=1), errors.std(axis=1) / np.sqrt(20)
    right.errorbar(
        100 * shares, means, deviations, color=color, marker="o", label=label
    )
right.set(
    xlabel="bad groups of 40, per cent", ylabel="mean error of the slope, 20 tables"
)
right.set_ylim(bottom=0)
right.legend(loc="upper left")

plt.show()
