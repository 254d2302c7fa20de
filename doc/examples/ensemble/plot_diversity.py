"""
Should members be more different?
=================================

Ensembles of networks of three hidden units, and of large ones, on noisy digits; members are
pushed together (gamma below 0) or apart (above).
"""

# %%
# The plane of members' loss and diversity
# ----------------------------------------
# An ensemble's loss is the mean loss of its members less their diversity, so lines of slope 1
# are equally good. Moving right buys diversity; moving up pays with worse members.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from minimalml.ensemble import DiversityRegularizedClassifier, diversity_decomposition

rng = np.random.default_rng(0)
X, y = load_digits(return_X_y=True)
order = rng.permutation(len(X))
X, y = X[order] / 16 + rng.normal(0, 0.3, X.shape), y[order]
X_test, y_test = X[400:], y[400:]
pushes = [-1, -0.5, 0, 0.5, 0.9]

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for ax, sizes in zip(axes, [(3,), (64, 64)], strict=False):
    points = []
    for gamma in pushes:
        model = DiversityRegularizedClassifier(
            4, gamma=gamma, hidden_layer_sizes=sizes, max_epochs=30, batch_size=50,
            learning_rate=5e-3, random_state=0,
        ).fit(X[:400], y[:400])  # fmt: skip
        parts = diversity_decomposition(model.member_predict_proba(X_test), y_test)
        points.append(
            [parts["diversity"], parts["average_loss"], parts["ensemble_loss"]]
        )
    gaps, averages, losses = np.transpose(points)
    ax.plot(gaps, averages, "-", color="0.8")
    ax.scatter(gaps, averages, c=pushes, cmap="coolwarm", zorder=3)
    for gamma, gap, average in zip(pushes, gaps, averages, strict=True):
        ax.annotate(
            f"{gamma:g}", (gap, average), xytext=(4, 4), textcoords="offset points"
        )
    limits = np.array(ax.get_xlim())
    for loss in np.linspace(losses.min(), losses.max(), 4):
        ax.plot(limits, limits + loss, ":", color="0.6", linewidth=0.8)
    ax.set(xlim=limits, ylim=(averages.min() - 0.05, averages.max() + 0.1),
           xlabel="diversity", title=f"hidden layers {sizes}")  # fmt: skip
    axes[2].plot(pushes, losses - losses[pushes.index(0)], "o-", label=str(sizes))
axes[0].set_ylabel("mean loss of the members")
axes[2].axhline(0, color="0.7", linestyle=":")
axes[2].set(xlabel="gamma", title="loss less that of no push")
axes[2].legend(title="hidden layers")

# %%
# The same question of any models: which subsets make good ensembles, those of good members
# or those of different ones?

from sklearn.ensemble import RandomForestClassifier

from minimalml.ensemble import subset_report

forest = RandomForestClassifier(30, min_samples_leaf=3, random_state=0).fit(
    X[:400], y[:400]
)
trees = np.stack([tree.predict_proba(X_test) for tree in forest.estimators_])
report = subset_report(trees, y_test, loss="brier", subset_size=5, random_state=0)
print(
    f"correlation of the ensemble's loss with its members' {report['rank_average_loss']:.2f}"
)
print(f"and with diversity {report['rank_diversity']:.2f}")

plt.show()
