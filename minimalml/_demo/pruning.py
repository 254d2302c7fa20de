"""Global magnitude pruning of a small network on digits, beside other ways to shrink."""

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, ShuffleSplit, train_test_split
from sklearn.neural_network import MLPClassifier

from minimalml._core.optional import import_pyplot
from minimalml._demo._compare import Contender, Demo, pipeline_for
from minimalml.pruning import GlobalMagnitudePruner

CODE = """
from minimalml.pruning import GlobalMagnitudePruner
from sklearn.callback import ProgressBar
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_digits(return_X_y=True)
pruner = GlobalMagnitudePruner(MLPClassifier((64,)), fine_tune_epochs=5)
model = Pipeline([("scale", StandardScaler()), ("model", pruner)])
search = GridSearchCV(model, {"model__sparsity": [0.5, 0.9, 0.95]}, cv=2)
search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
"""
SPARSITY = 0.9
# 64 x 64 + 64 x 10 weights, of which a tenth is left: as many as six hidden units have
SMALL = 6


def demo(quick=False):
    """Return the demo of this family."""
    X, y = load_digits(return_X_y=True)
    settings = dict(max_iter=5 if quick else 30, random_state=0)
    network = MLPClassifier((64,), **settings)
    penalty = [1e-4, 1e-1]

    def pruned(scope):
        return GlobalMagnitudePruner(
            network, sparsity=SPARSITY, scope=scope, fine_tune_epochs=5, random_state=0
        )

    contenders = [
        Contender("whole network", network, {"alpha": penalty}),
        Contender(
            "global pruning", pruned("global"), {"estimator__alpha": penalty}, True
        ),
        Contender("layer by layer", pruned("layer"), {"estimator__alpha": penalty}),
        Contender("random pruning", pruned("random"), {"estimator__alpha": penalty}),
        Contender(
            "small dense network",
            MLPClassifier((SMALL,), **settings | {"max_iter": 5 if quick else 150}),
            {"alpha": penalty},
        ),
    ]
    return Demo(
        title="Throwing away nine weights in ten",
        question="Is a large network, with only its largest weights kept, as good as "
        "the whole one, and better than a small one with as many weights?",
        data="Digits: 1797 images of 8 x 8 pixels, ten classes; a network of 64 hidden "
        "units, trained for 30 epochs and 5 more after pruning; the small one for 150.",
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
        figures=lambda search: [sparsity_figure(X, y, network)],
        splits=ShuffleSplit(2 if quick else 3, test_size=0.25, random_state=0),
    )


def sparsity_figure(X, y, network):
    """Draw accuracy over sparsity, one network pruned in one shot."""
    plt = import_pyplot("The demo")
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = FrozenEstimator(pipeline_for(network).fit(X_train, y_train))
    sparsities = np.array([0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98])
    figure, ax = plt.subplots(figsize=(7.2, 3.4))
    styles = {"global": ("#2f5d8a", "o-"), "layer": ("#9aa3ad", "s-"),
              "random": ("#c9ced4", "^-")}  # fmt: skip
    for scope, (color, style) in styles.items():
        accuracy = []
        for sparsity in sparsities:
            pruner = GlobalMagnitudePruner(
                fitted, sparsity=sparsity, scope=scope, random_state=0
            )
            with warnings.catch_warnings():
                # a layer without weights is what the picture is about
                warnings.simplefilter("ignore", UserWarning)
                accuracy.append(pruner.fit(X_train, y_train).score(X_test, y_test))
        ax.plot(sparsities, accuracy, style, color=color, label=scope)
    ax.set_xlabel("share of weights removed")
    ax.set_ylabel("accuracy")
    ax.legend(frameon=False, title="weights ranked")
    ax.grid(alpha=0.25)
    caption = (
        "Accuracy on a quarter of the digits over the share of weights removed from "
        "one network, in one shot and without any training after it."
    )
    return caption, figure
