"""
A model that validates perfectly and is upside down in use
==========================================================

A bag is positive if one of its rows is: a slide with one bad cell, a program with one
malicious file. Attention over rows is the usual model, and it may learn the opposite: a
bag is positive for want of some row.
"""

# %%
# An easy sign that must not count
# --------------------------------
# In the training bags a "poison" row stands in each negative bag. No rule of the form
# "one of the rows is positive" can use it, so a model that keeps to the assumption has
# to find the positive rows, which are harder to see. In the test bags the poison is in
# the positive bags.

import matplotlib.pyplot as plt
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from minimalml.bags import (
    MultipleInstanceClassifier,
    MultipleInstanceMLPClassifier,
    aggregate_by_bag,
)
from minimalml.datasets import make_mil_unit_test
from minimalml.testing import check_bag_score_is_monotone


def unit_test(n_bags=150, min_bag_size=None):
    train, test = (
        make_mil_unit_test("single_concept", n_bags, split=split,
                           min_bag_size=min_bag_size, random_state=seed)
        for seed, split in enumerate(["train", "test"])
    )  # fmt: skip
    scale = StandardScaler().fit(train[0]).transform
    return [(scale(X), y, bags) for X, y, bags in (train, test)]


def scores_by_bag(model, X, y, bags):
    labels = aggregate_by_bag(y, bags, how="first")[1]
    decisions = model.decision_function(X, bags=bags)
    return labels, aggregate_by_bag(decisions, bags, how="first")[1]


models = {
    pooling: MultipleInstanceMLPClassifier(pooling=pooling, max_epochs=20, random_state=0)
    for pooling in ("attention", "noisy_or", "max")
}  # fmt: skip
train, test = unit_test(250)

figure, axes = plt.subplots(2, 2, figsize=(8, 4.5), sharex="col", layout="constrained")
for column, name in zip(axes.T, ("attention", "noisy_or"), strict=True):
    model = models[name].fit(*train)
    for ax, data, part in zip(column, (train, test), ("training", "test"), strict=True):
        labels, scores = scores_by_bag(model, *data)
        auc = roc_auc_score(labels, scores)
        for label, color in ((0, "tab:blue"), (1, "tab:red")):
            ax.hist(scores[labels == label], bins=30, alpha=0.6, color=color,
                    label=["negative", "positive"][label])  # fmt: skip
        ax.set(title=f"{name}: {part} bags, AUC {auc:.2f}", yticks=[])
axes[0, 0].legend()
axes[1, 0].set_xlabel("score of the bag")

# %%
# The check needs no such data: a score that falls when a row is added to a bag gives the
# model away on any data.

X, _, bags = train
check_bag_score_is_monotone(models["noisy_or"], X, bags)
try:
    check_bag_score_is_monotone(models["attention"], X, bags)
except AssertionError as error:
    print(error)

# %%
# Larger bags
# -----------
# The more background there is in a bag, the harder its positive row is to find.
# Attention is wrong at any size. The linear support vector machines keep to the
# assumption as well, but no line tells positive rows, which stand all around the
# background, from the others.

models["MI-SVM, linear"] = MultipleInstanceClassifier()
models["mi-SVM, linear"] = MultipleInstanceClassifier(update="impute")
sizes, aucs = (5, 15, 40), {name: [] for name in models}
for size in sizes:
    train, test = unit_test(min_bag_size=size)
    for name, model in models.items():
        aucs[name].append(roc_auc_score(*scores_by_bag(model.fit(*train), *test)))

figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
for name, values in aucs.items():
    ax.plot(sizes, values, "o-", label=name)
ax.axhline(0.5, color="0.7", linestyle=":")
ax.set(xlabel="rows a bag", ylabel="AUC on test bags", ylim=(-0.05, 1.05))
ax.set_xscale("log")
ax.set_xticks(sizes, labels=map(str, sizes))
ax.minorticks_off()
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))

plt.show()
