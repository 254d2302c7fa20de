"""
Labels of rows from shares of bags
==================================

Of each bag of rows only the share of positives is known. Belief propagation finds out
which rows they are, and an ordinary classifier learns them. First two features, to see
how; then bags of growing size, to see until when.
"""

# %%
# Who are the positive ones?
# --------------------------
# Every bag of eight says how many, neighbours say who: the colour is the probability that
# comes of both. Alone, a row of a bag has the bag's share.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, make_moons
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils import shuffle

from minimalml.bags import (
    AggregateMLPClassifier,
    LabelProportionClassifier,
    LabelProportionMLPClassifier,
    aggregate_targets,
    propagate_label_proportions,
    similarity_graph,
)
from minimalml.datasets import make_bags

X, labels = make_moons(400, noise=0.15, random_state=0)
bags = make_bags(400, 8, random_state=0)
shares = aggregate_targets(labels, bags)
graph = similarity_graph(X, metric="euclidean")

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
for ax, strength in zip(axes, (0.0, 1.5), strict=True):
    beliefs = propagate_label_proportions(
        graph, shares, bags, similarity_strength=strength
    )
    points = ax.scatter(
        *X.T, c=beliefs.probability, cmap="coolwarm", s=14, vmin=0, vmax=1
    )
    auc = roc_auc_score(labels, beliefs.probability)
    ax.set(title=f"similarity_strength {strength:g}: AUC {auc:.2f}")
figure.colorbar(points, label="probability of being positive")

# %%
# How large may bags be?
# ----------------------
# The same network on digits, odd against even, trained in four ways: on labels that
# belief propagation found; on the shares of bags, by the log loss of their mean
# probability (DLLP) or by an unbiased loss (EasyLLP); and with each row's share as its
# own soft label. Where the lines cross, change the method.

X, digits = shuffle(*load_digits(return_X_y=True), random_state=0)
X, is_odd = StandardScaler().fit_transform(X), digits % 2
train, test = slice(0, 1024), slice(1024, None)
models = {
    "beliefs": LabelProportionMLPClassifier(random_state=0, n_iterations=1),
    "DLLP": AggregateMLPClassifier(random_state=0, max_epochs=40),
    "EasyLLP": AggregateMLPClassifier(random_state=0, max_epochs=30, loss="unbiased"),
    "shares as soft labels": AggregateMLPClassifier(
        random_state=0, max_epochs=30, interpolation=1.0
    ),
}

sizes, curves = (8, 32, 64, 128), {name: [] for name in models}
for size in sizes:
    bags = np.arange(1024) // size
    shares = aggregate_targets(is_odd[train], bags)
    for name, model in models.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # large bags: beliefs that don't settle
            scores = model.fit(X[train], shares, bags=bags).predict_proba(X[test])
        curves[name].append(roc_auc_score(is_odd[test], scores[:, 1]))

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for name, aucs in curves.items():
    ax.plot(sizes, aucs, "o-", label=name)
ax.set(xscale="log", xticks=sizes, xticklabels=sizes)
ax.set(xlabel="rows a bag", ylabel="AUC on single rows")
ax.legend()

# %%
# Any classifier
# --------------
# The labels that were found serve any classifier of scikit-learn.

bags = np.arange(1024) // 8
shares = aggregate_targets(is_odd[train], bags)
model = LabelProportionClassifier(SVC()).fit(X[train], shares, bags=bags)
supervised = SVC().fit(X[train], is_odd[train])
print(f"shares of bags of 8: {np.mean(model.predict(X[test]) == is_odd[test]):.3f}")
print(f"all labels:          {supervised.score(X[test], is_odd[test]):.3f}")

plt.show()
