"""
What remains of three teachers in one small network
===================================================

A forest, a boosting and a network teach a student of 32 hidden units, with few labels and many
rows without.
"""

# %%
# A vote of the teachers, and a student of them
# ---------------------------------------------
# One line differs. The student also learns from rows that have no label.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.neural_network import MLPClassifier

from minimalml.ensemble import EnsembleDistillationClassifier

X, y = make_moons(3200, noise=0.3, random_state=0)
X_train, y_train, X_unlabeled = X[:200], y[:200], X[200:1200]
X_test, y_test = X[1200:], y[1200:]
teachers = [
    ("forest", RandomForestClassifier(min_samples_leaf=3, random_state=0)),
    ("boosting", HistGradientBoostingClassifier(max_iter=50, random_state=0)),
    ("network", MLPClassifier((64,), max_iter=1000, random_state=0)),
]
vote = VotingClassifier(teachers, voting="soft").fit(X_train, y_train)
student = EnsembleDistillationClassifier(teachers, learning_rate=0.01, random_state=0)
student.fit(X_train, y_train, X_unlabeled=X_unlabeled)

# %%
# What it costs to predict, and what it keeps
# -------------------------------------------

report = student.report(X_test, y_test)
for row in zip(*report.values(), strict=True):
    values = dict(zip(report, row, strict=True))
    print(
        f"{values['model']:17} {1e3 * values['seconds']:6.1f} ms {values['bytes']:9,} bytes"
        f"  accuracy {values['accuracy']:.3f}  log loss {values['log_loss']:.3f}"
    )

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
limits = np.array([X.min(axis=0), X.max(axis=0)])
grid = np.meshgrid(*[np.linspace(low, high, 120) for low, high in limits.T])
points = np.stack([g.ravel() for g in grid], axis=1)
for ax, model, title in [
    (axes[0], vote, "the vote of the teachers"),
    (axes[1], student, "the student"),
]:
    P = model.predict_proba(points)[:, 1].reshape(grid[0].shape)
    ax.contourf(*grid, P, levels=np.linspace(0, 1, 11), cmap="RdBu", alpha=0.8)
    ax.scatter(*X_train.T, c=y_train, cmap="RdBu", edgecolor="k", s=12, linewidth=0.4)
    ax.set(title=title, xticks=[], yticks=[])
n_models = len(report["model"])
axes[2].barh(
    range(n_models), 1e3 * report["seconds"], color=["C0"] * (n_models - 1) + ["C3"]
)
for place, (seconds, accuracy) in enumerate(
    zip(report["seconds"], report["accuracy"], strict=True)
):
    axes[2].annotate(f"  {100 * accuracy:.1f} %", (1e3 * seconds, place), va="center")
axes[2].set(xscale="log", xlim=(0.1, 500), xlabel="ms to predict 2,000 rows",
            title="time and accuracy", yticks=range(n_models))  # fmt: skip
axes[2].set_yticklabels(report["model"])
axes[2].invert_yaxis()
plt.show()
