"""Global magnitude pruning at 90 to 98 %, beside pruning each layer by itself."""

import warnings
from functools import cache, partial

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from minimalml._core.optional import import_pyplot
from minimalml._demo._measure import Demo
from minimalml.compression import GlobalMagnitudePruner

CODE = """
from minimalml.compression import GlobalMagnitudePruner
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

X, y = load_digits(return_X_y=True)
pruner = GlobalMagnitudePruner(MLPClassifier((64,)), fine_tune_epochs=20)
model = make_pipeline(MinMaxScaler(), pruner)
search = GridSearchCV(model, {"globalmagnitudepruner__sparsity": [0.8, 0.95]}, cv=2)
search.fit(X, y)
"""
WHOLE = "the whole network"
OURS = "ranked together (global)"
SCOPES = {
    OURS: "global",
    "ranked layer by layer": "layer",
    "chosen at random": "random",
}
EPOCHS, FINE_TUNE_EPOCHS = 60, 15


def split(seed):
    """Return training and test rows."""
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, test_size=0.4, random_state=seed, stratify=y)


@cache
def dense_network(epochs, seed):
    """Train the whole network, once a process."""
    X, _, y, _ = split(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network = MLPClassifier((256, 256, 32), max_iter=epochs, random_state=seed)
        return network.fit(X, y)


def dense_accuracy(epochs, seed):
    """Score the whole network."""
    _, X_test, _, y_test = split(seed)
    return dense_network(epochs, seed).score(X_test, y_test)


def pruned_accuracy(scope, sparsity, epochs, seed):
    """Prune the network, train what is left for some epochs, and score it."""
    X, X_test, y, y_test = split(seed)
    pruner = GlobalMagnitudePruner(
        dense_network(epochs, seed), sparsity=sparsity, scope=scope,
        fine_tune_epochs=min(FINE_TUNE_EPOCHS, epochs), random_state=seed,
    )  # fmt: skip
    with warnings.catch_warnings():
        # a layer without weights is what the comparison is about
        warnings.simplefilter("ignore", UserWarning)
        return pruner.fit(X, y).score(X_test, y_test)


def demo(quick=False):
    """Return the demo of this family."""
    epochs, sparsity = (3, 0.9) if quick else (EPOCHS, 0.95)
    # first, so that its training counts as its own time
    contenders = {WHOLE: partial(dense_accuracy, epochs)} | {
        name: partial(pruned_accuracy, scope, sparsity, epochs)
        for name, scope in SCOPES.items()
    }
    return Demo(
        title=f"Throwing away {sparsity:.0%} of the weights",
        question="When nearly all weights go, does it matter that all layers' weights "
        "are ranked together?",
        data="Digits: 1797 images of 8 x 8 pixels, three fifths for training; a network "
        f"of 256, 256 and 32 hidden units. What is left trains for {FINE_TUNE_EPOCHS} "
        "more epochs.",
        but="up to about 80 % any ranking will do, and without a floor a layer of small "
        "weights can vanish: python -m minimalml claims global_magnitude_pruning.",
        contenders=contenders,
        ours=OURS,
        metric="accuracy",
        n_seeds=2 if quick else 4,
        code=CODE,
        figure=partial(sparsity_figure, epochs),
        yardstick=WHOLE,
    )


def sparsity_figure(epochs):
    """Draw accuracy over sparsity of one network."""
    figure, ax = import_pyplot("The demo").subplots(figsize=(7.2, 3.4))
    sparsities = [0.8, 0.9, 0.95, 0.98]
    for (name, scope), color in zip(
        SCOPES.items(), ("#2f5d8a", "#9aa3ad", "#c9ced4"), strict=True
    ):
        curve = [pruned_accuracy(scope, share, epochs, 100) for share in sparsities]
        ax.plot(sparsities, curve, "o-", color=color, label=name)
    ax.axhline(dense_accuracy(epochs, 100), color="0.6", lw=0.8)
    ax.set(xlabel="share of weights removed", ylabel="accuracy")
    ax.legend(frameon=False, loc="lower left")
    ax.grid(alpha=0.25)
    return (
        "Accuracy over the share of weights removed, one more split; the thin line is "
        "the whole network.",
        figure,
    )
