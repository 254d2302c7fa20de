"""
Columns that correlation can't see
==================================

Of 300 columns six act on the target: two along a line, two along a parabola, two along a
wave. Which of them does a screening find before any model is fitted?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_selection import SelectKBest, f_regression, r_regression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline

from minimalml.linear_model import MutualInformationScreener

rng = np.random.default_rng(0)
X = rng.normal(size=(500, 300))
columns = {"line": [20, 170], "parabola": [70, 220], "wave": [120, 270]}
shapes = {
    "line": lambda x: x,
    "parabola": lambda x: (x**2 - 1) / np.sqrt(2),
    "wave": lambda x: np.sqrt(2) * np.cos(3 * x),
}
y = sum(shapes[kind](X[:, columns[kind]]).sum(axis=1) for kind in columns)
y = y + rng.normal(size=500)

# %%
# Scores
# ------
# The scores are those of one column at a time. Correlation sees the lines alone.

screener = MutualInformationScreener(6).fit(X, y)
scores = {
    "correlation, absolute": np.abs(r_regression(X, y)),
    "mutual information, nats": screener.scores_,
}
figure, axes = plt.subplots(2, 1, figsize=(7, 4.5), sharex=True, layout="constrained")
for ax, (name, values) in zip(axes, scores.items(), strict=True):
    ax.vlines(np.arange(300), 0, values, color="0.75", linewidth=1)
    for kind, numbers in columns.items():
        ax.plot(numbers, values[numbers], "o", label=kind)
    ax.set(ylabel=name, ylim=(0, 1.1 * values.max()), xlim=(-3, 302))
axes[0].legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
axes[1].set_xlabel("column")
print("kept:", screener.get_support(indices=True))

# %%
# What a model makes of it
# ------------------------
# Nearest neighbours drown in columns that say nothing. With six left they do well, if
# these are the right ones. The screening is a step of the pipeline: it sees the
# training rows of each fold only.

models = {
    "all columns": KNeighborsRegressor(),
    "six by correlation": make_pipeline(
        SelectKBest(f_regression, k=6), KNeighborsRegressor()
    ),
    "six by mutual information": make_pipeline(
        MutualInformationScreener(6), KNeighborsRegressor()
    ),
}
for name, model in models.items():
    r2 = cross_val_score(model, X, y, cv=5, scoring="r2")
    print(f"{name:<26} R2 {r2.mean():.2f} ± {r2.std():.2f}")

plt.show()
