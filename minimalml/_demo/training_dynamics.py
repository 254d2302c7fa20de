"""The end of training in closed form, beside networks that are trained, and a forest."""

from functools import partial

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from minimalml._core.optional import import_pyplot
from minimalml._demo._measure import Demo
from minimalml.training_dynamics import InfiniteWidthRegressor

CODE = """
from minimalml.training_dynamics import InfiniteWidthRegressor
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale

X, y = load_diabetes(return_X_y=True)
grid = {"depth": [1, 3], "alpha": [0.1, 1.0, 10.0]}
search = GridSearchCV(InfiniteWidthRegressor(), grid).fit(scale(X), y - y.mean())
"""
OURS = "networks of infinite width, in closed form"
N_ROWS = 150


def digits(seed):
    """Return 150 digits to learn, and the others."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(X))
    X, y = X[order] / 16, y[order]
    return X[:N_ROWS], y[:N_ROWS], X[N_ROWS:], y[N_ROWS:]


def infinite_width(seed):
    X, y, X_test, y_test = digits(seed)
    model = InfiniteWidthRegressor(depth=3, alpha=0.1).fit(X, np.eye(10)[y] - 0.1)
    return (model.predict(X_test).argmax(axis=1) == y_test).mean()


def accuracy(make, seed):
    X, y, X_test, y_test = digits(seed)
    return make(seed).fit(X, y).score(X_test, y_test)


def trained_network(seed):
    return MLPClassifier((200,), max_iter=1000, random_state=seed)


def forest(seed):
    return RandomForestClassifier(random_state=seed)


def support_vectors(seed):
    return SVC()


def demo(quick=False):
    """Return the demo of this family."""
    peers = {"a random forest": forest, "support vectors": support_vectors}
    if not quick:
        peers["a network of 200 units, trained"] = trained_network
    return Demo(
        title="What would an infinitely wide network learn?",
        question=f"{N_ROWS} digits to learn from. Networks of three hidden layers, of "
        "infinite width, are solved for at the cost of one linear system.",
        data="scikit-learn's digits, drawn anew for each seed; the others for the test.",
        but="on larger tables it is about a Gaussian process, no more: "
        "python -m minimalml claims permutation_learning.",
        contenders={
            OURS: infinite_width,
            **{name: partial(accuracy, make) for name, make in peers.items()},
        },
        ours=OURS,
        metric="accuracy",
        n_seeds=2 if quick else 4,
        code=CODE,
        figure=spread_figure,
    )


def spread_figure():
    """Draw what networks of several starts end at, and how far they differ."""
    rng = np.random.default_rng(0)
    X = np.sort(rng.uniform(-2, 2, 12))[:, None]
    grid = np.linspace(-3, 3, 200)[:, None]
    model = InfiniteWidthRegressor(depth=3).fit(X, np.sin(3 * X[:, 0]))
    mean, deviation = model.predict(grid, return_std=True)
    figure, ax = import_pyplot("The demo").subplots(figsize=(7.2, 3.4))
    ax.fill_between(
        grid[:, 0],
        mean - 2 * deviation,
        mean + 2 * deviation,
        color="#2f5d8a",
        alpha=0.2,
    )
    ax.plot(grid, model.sample_y(grid, 5), color="#9aa3ad", linewidth=0.7)
    ax.plot(grid, mean, color="#2f5d8a")
    ax.plot(X, np.sin(3 * X[:, 0]), "k.")
    ax.set(xlabel="input", ylabel="output")
    return (
        "Five networks that saw the same twelve points, their mean, two deviations.",
        figure,
    )
