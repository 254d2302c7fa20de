"""Small networks trained to differ, beside networks trained apart and one network."""

from functools import partial

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss

from minimalml._core.optional import import_pyplot
from minimalml._demo._measure import Demo
from minimalml.ensemble import DiversityRegularizedClassifier

CODE = """
from minimalml.ensemble import DiversityRegularizedClassifier
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

X, y = load_digits(return_X_y=True)
model = DiversityRegularizedClassifier(4, hidden_layer_sizes=(3,), random_state=0)
grid = {"gamma": [-0.5, 0.0, 0.5, 0.75, 0.95]}
search = GridSearchCV(model, grid, scoring="neg_log_loss").fit(X / 16, y)
"""
OURS, APART = "four networks, pushed to differ", "four networks, trained apart"
SMALL = 3


def parts(seed):
    """Return 400 noisy digits to train on, and the others."""
    rng = np.random.default_rng(seed)
    X, y = load_digits(return_X_y=True)
    order = rng.permutation(len(X))
    X, y = X[order] / 16 + rng.normal(0, 0.3, X.shape), y[order]
    return X[:400], y[:400], X[400:], y[400:]


def loss(n_members, gamma, width, max_epochs, seed):
    """Return the log loss on the other digits."""
    X, y, X_test, y_test = parts(seed)
    model = DiversityRegularizedClassifier(
        n_members, gamma=gamma, hidden_layer_sizes=(width,), max_epochs=max_epochs,
        batch_size=50, learning_rate=3e-3, device="cpu", random_state=seed,
    )  # fmt: skip
    return log_loss(y_test, model.fit(X, y).predict_proba(X_test))


def demo(quick=False):
    """Return the demo of this family."""
    max_epochs = 5 if quick else 100
    return Demo(
        title="Should members of an ensemble be more different?",
        question=f"Four networks of {SMALL} hidden units vote. Is the vote better if they "
        "are trained to differ?",
        data="400 noisy digits, drawn anew for each seed; the others for the test.",
        but="large networks are better left alone, or pushed together: "
        "python -m minimalml claims diversity.",
        contenders={
            OURS: partial(loss, 4, 0.75, SMALL, max_epochs),
            APART: partial(loss, 4, 0.0, SMALL, max_epochs),
            f"one network of {SMALL} units": partial(loss, 1, 0.0, SMALL, max_epochs),
        },
        ours=OURS,
        metric="log loss",
        n_seeds=2 if quick else 4,
        code=CODE,
        figure=partial(push_figure, quick),
        lower_is_better=True,
    )


def push_figure(quick):
    """Draw the loss over the push, for small and for larger networks."""
    figure, ax = import_pyplot("The demo").subplots(figsize=(7.2, 3.4))
    pushes = [0.0, 0.75] if quick else [-1.0, -0.5, 0.0, 0.5, 0.9]
    max_epochs = 5 if quick else 60
    for width, color in ((SMALL, "#2f5d8a"), (100, "#9aa3ad")):
        curve = np.array([loss(4, gamma, width, max_epochs, 100) for gamma in pushes])
        gaps = curve - curve[pushes.index(0.0)]
        ax.plot(pushes, gaps, "o-", color=color, label=f"{width} hidden units")
    ax.axhline(0, color="#cccccc", linewidth=0.8)
    ax.set(xlabel="push to differ (gamma)", ylabel="log loss against no push")
    ax.legend(frameon=False)
    ax.grid(alpha=0.25)
    return "Loss of the vote over the push, on one more draw.", figure
