"""The naive Bayes probe on digits with few labels, beside the usual linear probe."""

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit, learning_curve
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from minimalml._core.optional import import_pyplot
from minimalml._demo._compare import Contender, Demo, pipeline_for
from minimalml.linear_model import NaiveBayesProbe

CODE = """
from minimalml.linear_model import NaiveBayesProbe
from sklearn.callback import ProgressBar
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_digits(return_X_y=True)
model = Pipeline([("scale", StandardScaler()), ("model", NaiveBayesProbe())])
search = GridSearchCV(model, {"model__shrinkage": [0.0, 0.3, 0.6, 0.9]}, cv=2)
search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
"""
N_LABELS = 80
SHRINKAGE = {"shrinkage": [0.0, 0.3, 0.6, 0.9]}


def demo(quick=False):
    """Return the demo of this family."""
    X, y = load_digits(return_X_y=True)
    contenders = [
        Contender(
            "naive Bayes probe",
            NaiveBayesProbe(var_smoothing=1e-2),
            SHRINKAGE,
            is_ours=True,
        ),
        Contender(
            "logistic regression",
            LogisticRegression(max_iter=1000),
            {"C": [0.01, 0.1, 1.0, 10.0]},
        ),
        Contender(
            "Gaussian naive Bayes",
            GaussianNB(),
            {"var_smoothing": [1e-9, 1e-3, 1e-2, 1e-1]},
        ),
        Contender(
            "nearest neighbours",
            KNeighborsClassifier(),
            {"n_neighbors": [1, 3, 5, 10]},
        ),
    ]
    return Demo(
        title="A linear classifier from few labels",
        question=f"With {N_LABELS} labelled digits in all, does a classifier that only "
        "measures means and variances do as well as one that is optimised?",
        data=f"Digits: 1797 images of 8 x 8 pixels, ten classes; {N_LABELS} of them "
        "labelled, the rest for the test.",
        X=X,
        y=y,
        contenders=contenders,
        baseline="logistic regression",
        scoring="accuracy",
        metric="accuracy",
        code=CODE,
        showcase=GridSearchCV(
            pipeline_for(NaiveBayesProbe()),
            {"model__shrinkage": [0.0, 0.3, 0.6, 0.9]},
            cv=2,
        ),
        figures=lambda search: [labels_figure(X, y, contenders[:2], quick)],
        splits=StratifiedShuffleSplit(
            2 if quick else 5, train_size=N_LABELS, random_state=0
        ),
    )


def labels_figure(X, y, contenders, quick):
    """Draw accuracy over the number of labels, for the probe and its usual rival."""
    plt = import_pyplot("The demo")
    figure, ax = plt.subplots(figsize=(7.2, 3.4))
    sizes = [20, 40, 80, 160, 320, 640, 1200][: 3 if quick else None]
    splits = StratifiedShuffleSplit(3 if quick else 10, test_size=500, random_state=1)
    for contender, color in zip(contenders, ["#2f5d8a", "#9aa3ad"], strict=True):
        sizes, _, scores = learning_curve(
            clone(pipeline_for(contender.estimator)), X, y,
            train_sizes=sizes, cv=splits, n_jobs=-1,
        )  # fmt: skip
        mean, spread = scores.mean(axis=1), scores.std(axis=1, ddof=1)
        ax.plot(sizes, mean, "o-", color=color, label=contender.name)
        ax.fill_between(
            sizes, mean - spread, mean + spread, color=color, alpha=0.2, lw=0
        )
    ax.set_xscale("log")
    ax.set_xticks(sizes, [str(size) for size in np.asarray(sizes)])
    ax.minorticks_off()
    ax.set_xlabel("labelled digits")
    ax.set_ylabel("accuracy")
    ax.legend(frameon=False, loc="lower right")
    ax.grid(alpha=0.25)
    caption = (
        "Accuracy over the number of labels, both at their default parameters: mean "
        "and one standard deviation over ten splits."
    )
    return caption, figure
