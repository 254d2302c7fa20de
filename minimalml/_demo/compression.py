"""Global magnitude pruning of a small network on digits, beside other ways to shrink."""

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, ShuffleSplit, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.utils.parallel import Parallel, delayed

from minimalml._core.optional import import_pyplot
from minimalml._demo._compare import Contender, Demo, pipeline_for
from minimalml.compression import GlobalMagnitudePruner

CODE = """
from minimalml.compression import GlobalMagnitudePruner
from sklearn.callback import ProgressBar
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_digits(return_X_y=True)
pruner = GlobalMagnitudePruner(MLPClassifier((64,)), fine_tune_epochs=20)
model = Pipeline([("scale", StandardScaler()), ("model", pruner)])
search = GridSearchCV(model, {"model__sparsity": [0.5, 0.9, 0.95]}, cv=2)
search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
"""
SPARSITY = 0.9
HIDDEN, SMALL = 64, 6  # 6 * (64 + 10) weights; pruning leaves 474 of 64 * (64 + 10)
EPOCHS, FINE_TUNE_EPOCHS = 80, 20


def demo(quick=False):
    """Return the demo of this family."""
    X, y = load_digits(return_X_y=True)
    epochs, fine_tune_epochs = (5, 2) if quick else (EPOCHS, FINE_TUNE_EPOCHS)
    # by the default 0.001 a network of six units is far from done in 100 epochs
    rates = [1e-3, 1e-2]

    def network(hidden, max_iter=epochs + fine_tune_epochs):
        return MLPClassifier((hidden,), max_iter=max_iter, random_state=0)

    def pruned(scope):
        return GlobalMagnitudePruner(
            network(HIDDEN, epochs),
            sparsity=SPARSITY,
            scope=scope,
            fine_tune_epochs=fine_tune_epochs,
            random_state=0,
        )

    contenders = [
        Contender("whole network", network(HIDDEN), {"learning_rate_init": rates}),
        Contender(
            "global pruning",
            pruned("global"),
            {"estimator__learning_rate_init": rates},
            True,
        ),
        Contender(
            "layer by layer", pruned("layer"), {"estimator__learning_rate_init": rates}
        ),
        Contender("small dense network", network(SMALL), {"learning_rate_init": rates}),
    ]
    return Demo(
        title="Throwing away nine weights in ten",
        question="Is a large network, with only its largest weights kept, as good as "
        "the whole one, and better than a small one with as many weights?",
        data="Digits: 1797 images of 8 x 8 pixels, ten classes; a network of "
        f"{HIDDEN} hidden units, and one of {SMALL}, which has as many weights as are "
        f"left of it. Each is trained for {epochs + fine_tune_epochs} epochs in all, "
        f"pruned ones for the last {fine_tune_epochs} of them with what is left.",
        X=X,
        y=y,
        contenders=contenders,
        baseline="whole network",
        scoring="accuracy",
        metric="accuracy",
        code=CODE,
        showcase=GridSearchCV(
            pipeline_for(pruned("global")),
            {"model__sparsity": [0.5, 0.9, 0.95]},
            cv=2,
        ),
        figures=lambda search: [
            sparsity_figure(X, y, network(HIDDEN, epochs), fine_tune_epochs)
        ],
        splits=ShuffleSplit(2 if quick else 3, test_size=0.4, random_state=0),
        inner_folds=2,
    )


def sparsity_figure(X, y, network, fine_tune_epochs):
    """Draw accuracy over sparsity of one network, pruned in one shot and trained."""
    plt = import_pyplot("The demo")
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.4, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = FrozenEstimator(pipeline_for(network).fit(X_train, y_train))
    sparsities = [0.5, 0.8, 0.9, 0.95, 0.98]

    def accuracy(scope, sparsity, epochs):
        pruner = GlobalMagnitudePruner(
            fitted,
            sparsity=sparsity,
            scope=scope,
            fine_tune_epochs=epochs,
            random_state=0,
        )
        with warnings.catch_warnings():
            # a layer without weights is what the picture is about
            warnings.simplefilter("ignore", UserWarning)
            return pruner.fit(X_train, y_train).score(X_test, y_test)

    figure, ax = plt.subplots(figsize=(7.2, 3.4))
    colors = {"global": "#2f5d8a", "layer": "#9aa3ad", "random": "#c9ced4"}
    for epochs, line in ((fine_tune_epochs, "-"), (0, ":")):
        curves = Parallel(n_jobs=-1)(
            delayed(accuracy)(scope, sparsity, epochs)
            for scope in colors
            for sparsity in sparsities
        )
        curves = np.reshape(curves, (len(colors), len(sparsities)))
        for (scope, color), curve in zip(colors.items(), curves, strict=True):
            label = scope if epochs else None
            ax.plot(sparsities, curve, line, marker="o", ms=4, color=color, label=label)
    ax.axhline(fitted.score(X_test, y_test), color="0.6", lw=0.8)
    ax.set_xlabel("share of weights removed")
    ax.set_ylabel("accuracy")
    ax.legend(frameon=False, title="weights ranked", loc="lower left")
    ax.grid(alpha=0.25)
    caption = (
        "Accuracy on two fifths of the digits over the share of weights removed from "
        f"one network: after {fine_tune_epochs} epochs of training with what is left "
        "(lines), and at once (dotted). The thin line is the whole network."
    )
    return caption, figure
