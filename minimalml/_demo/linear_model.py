"""Naive Bayes on very few labels in many dimensions, beside optimised classifiers."""

from functools import partial

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml._core.optional import import_pyplot
from minimalml._demo._measure import Demo
from minimalml.datasets import make_gaussian_classes
from minimalml.linear_model import NaiveBayesProbe

CODE = """
from minimalml.linear_model import NaiveBayesProbe
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_breast_cancer(return_X_y=True)
model = make_pipeline(StandardScaler(), NaiveBayesProbe())
search = GridSearchCV(model, {"naivebayesprobe__shrinkage": [0.0, 0.3, 0.6, 0.9]})
search.fit(X, y)
"""
N_CLASSES, N_TEST = 5, 2000
PROBE, LOGISTIC = "naive Bayes probe", "logistic regression, C searched"


def logistic_regression():
    """Search C on the few labels, as one would."""
    search = GridSearchCV(
        LogisticRegression(max_iter=200), {"C": [0.01, 0.1, 1, 10]}, cv=2
    )
    return make_pipeline(StandardScaler(), search)


def nearest_neighbours():
    """Find neighbours in features of one scale."""
    return make_pipeline(StandardScaler(), KNeighborsClassifier(3))


CLASSIFIERS = {
    PROBE: NaiveBayesProbe,
    LOGISTIC: logistic_regression,
    "Gaussian naive Bayes": GaussianNB,
    "3 nearest neighbours": nearest_neighbours,
}


def accuracy(make, n_features, n_labels, seed):
    """Fit on few labels of a draw of classes, score on many more rows of it."""
    X, y = make_gaussian_classes(
        n_labels + N_TEST, n_features, N_CLASSES, random_state=seed
    )
    return make().fit(X[:n_labels], y[:n_labels]).score(X[n_labels:], y[n_labels:])


def demo(quick=False):
    """Return the demo of this family."""
    n_features, n_labels = (100, 20) if quick else (400, 30)
    return Demo(
        title="A linear classifier from very few labels",
        question=f"With {n_labels} labelled rows of {N_CLASSES} classes and "
        f"{n_features} features, does a classifier that only measures means and a "
        "shared variance do better than one that is optimised?",
        data=f"Gaussian classes in {n_features} dimensions, drawn anew for each seed; "
        f"{n_labels} labelled rows, {N_TEST} for the test.",
        but="with more labels logistic regression overtakes it, and on raw pixels it "
        "is behind from the start: python -m minimalml claims naive_bayes_probe.",
        contenders={
            name: partial(accuracy, make, n_features, n_labels)
            for name, make in CLASSIFIERS.items()
        },
        ours=PROBE,
        metric="accuracy",
        n_seeds=2 if quick else 6,
        code=CODE,
        figure=partial(labels_figure, n_features, quick),
    )


def labels_figure(n_features, quick):
    """Draw accuracy over the number of labels, for the probe and its usual rival."""
    figure, ax = import_pyplot("The demo").subplots(figsize=(7.2, 3.4))
    sizes = [20, 40] if quick else [20, 30, 60, 120, 240]
    for name, color in ((PROBE, "#2f5d8a"), (LOGISTIC, "#9aa3ad")):
        curve = [accuracy(CLASSIFIERS[name], n_features, size, 100) for size in sizes]
        ax.plot(sizes, curve, "o-", color=color, label=name)
    ax.set_xscale("log")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    ax.set(xlabel="labelled rows", ylabel="accuracy")
    ax.legend(frameon=False, loc="lower right")
    ax.grid(alpha=0.25)
    return "Accuracy over the number of labels, on one more draw.", figure
