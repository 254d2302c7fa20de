"""Digits of which only shares by bag are known, beside other ways to learn from shares."""

from functools import partial

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.svm import SVC

from minimalml._core.optional import import_pyplot
from minimalml._demo._measure import Demo
from minimalml.bags import (
    AggregateMLPClassifier,
    LabelProportionClassifier,
    aggregate_targets,
)

CODE = """
import sklearn
from minimalml.bags import LabelProportionClassifier, aggregate_targets
from minimalml.datasets import make_bags
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.svm import SVC

sklearn.set_config(enable_metadata_routing=True)
X, y = load_digits(return_X_y=True)
bags = make_bags(len(y), 16, random_state=0)
shares = aggregate_targets(y % 2, bags)  # all that is known of the labels
model = LabelProportionClassifier(SVC())
search = GridSearchCV(model, {"similarity_strength": [0.5, 1.5]}, cv=GroupKFold(2))
search.fit(X, shares, bags=bags, groups=bags)
sklearn.set_config(enable_metadata_routing=False)
"""
OURS, ALL_LABELS = "beliefs of rows, then a classifier", "all labels known"
N_TRAIN = 1280


def split(bag_size, seed):
    """Return rows, oddness and bags for training, and rows and oddness for the test."""
    X, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(X))
    X, y, bags = X[order], digits[order] % 2, np.arange(N_TRAIN) // bag_size
    return X[:N_TRAIN], y[:N_TRAIN], bags, X[N_TRAIN:], y[N_TRAIN:]


def by_beliefs(X, shares, bags):
    """Find the odd rows by belief propagation, then learn them."""
    return LabelProportionClassifier(SVC()).fit(X, shares, bags=bags).predict


def by_mean_probability(max_epochs, X, shares, bags):
    """Compare the network's mean probability of a bag with its share (DLLP)."""
    model = AggregateMLPClassifier(max_epochs=max_epochs, random_state=0, device="cpu")
    model.fit(X / 16, shares, bags=bags)
    return lambda X: model.predict(X / 16)


def by_shares_of_rows(X, shares, bags):
    """Take a bag's share for the label of each of its rows."""
    model = HistGradientBoostingRegressor(random_state=0).fit(X, shares)
    return lambda X: model.predict(X) > np.median(shares)


def accuracy(learn, bag_size, seed):
    """Learn from shares, and test on single rows; None learns from all labels."""
    X, y, bags, X_test, y_test = split(bag_size, seed)
    if learn is None:
        return SVC().fit(X, y).score(X_test, y_test)
    return np.mean(learn(X, aggregate_targets(y, bags), bags)(X_test) == y_test)


def demo(quick=False):
    """Return the demo of this family."""
    bag_size, max_epochs = (8, 3) if quick else (32, 100)
    learners = {
        ALL_LABELS: None,
        OURS: by_beliefs,
        "mean probability of a bag (DLLP)": partial(by_mean_probability, max_epochs),
        "shares as labels of rows": by_shares_of_rows,
    }
    return Demo(
        title="Only shares of groups are known",
        question=f"Of bags of {bag_size} digits only the share of odd ones is known. How "
        "well can single digits be told?",
        data=f"Digits: 1797 images of 8 x 8 pixels, {N_TRAIN} of them in random bags of "
        f"{bag_size} for training.",
        but="in bags of a hundred rows and more the network that compares mean "
        "probabilities is ahead: python -m minimalml claims label_proportions.",
        contenders={
            name: partial(accuracy, learn, bag_size) for name, learn in learners.items()
        },
        ours=OURS,
        metric="accuracy",
        n_seeds=2 if quick else 6,
        code=CODE,
        figure=partial(sizes_figure, learners, quick),
        yardstick=ALL_LABELS,
    )


def sizes_figure(learners, quick):
    """Draw accuracy over the size of bags, on one more split."""
    figure, ax = import_pyplot("The demo").subplots(figsize=(7.2, 3.4))
    sizes = [8, 32] if quick else [8, 16, 32, 64, 128]
    colors = ("0.6", "#2f5d8a", "#9aa3ad", "#c9ced4")
    for (name, learn), color in zip(learners.items(), colors, strict=True):
        curve = [accuracy(learn, size, 100) for size in sizes]
        ax.plot(sizes, curve, "o-", color=color, label=name)
    ax.set_xscale("log")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    ax.set(xlabel="rows in a bag", ylabel="accuracy of single rows")
    ax.legend(frameon=False)
    ax.grid(alpha=0.25)
    return "Accuracy over the size of bags, on one more split.", figure
