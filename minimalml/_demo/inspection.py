"""QuadAttacK's order of nine classes, beside the losses of other attacks."""

import warnings
from functools import cache, partial

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from minimalml._core.optional import import_pyplot
from minimalml._demo._measure import Demo
from minimalml.inspection import QuadAttack

CODE = """
from minimalml.inspection import QuadAttack
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier

# score() is robustness: which regularisation makes a network hardest to steer?
X, y = load_digits(return_X_y=True)
attack = QuadAttack(MLPClassifier((64,)), k=3)
search = GridSearchCV(attack, {"estimator__alpha": [1e-4, 1e-1, 10.0]}, cv=3)
search.fit(X / 16, y)
"""
OURS = "quadratic programme"
LOSSES = {
    OURS: {"loss": "quad"},
    "Carlini-Wagner's loss": {"loss": "cw"},
    "adversarial distillation": {"loss": "distillation"},
}


@cache
def network_and_images(n_images, seed):
    """Return a trained network and test images that it gets right."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(
        X / 16, y, test_size=0.4, stratify=y, random_state=seed
    )
    network = MLPClassifier((128, 64), alpha=1e-3, max_iter=120, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(X, y)
    is_right = network.predict(X_test) == y_test
    return network, X_test[is_right][:n_images], y_test[is_right][:n_images]


def attack_images(options, n_images, max_iter, seed):
    """Attack the images; return what `QuadAttack.attack` does."""
    network, X, y = network_and_images(n_images, seed)
    attack = QuadAttack(network, k=9, max_iter=max_iter, learning_rate=0.02,
                        targets="random", random_state=seed, **options)  # fmt: skip
    return attack.fit(X).attack(X, y)


def success_rate(options, n_images, max_iter, seed):
    """Return the share of images whose nine wrong classes come in the asked order."""
    return attack_images(options, n_images, max_iter, seed).success.mean()


def demo(quick=False):
    """Return the demo of this family."""
    n_images, max_iter = (5, 3) if quick else (60, 60)
    return Demo(
        title="All nine wrong classes, in a given order",
        question="How often does a small change of an image make a network rank all "
        "nine wrong classes in an order drawn at random?",
        data=f"Digits: 8 x 8 pixels; a network of 128 and 64 hidden units; {n_images} "
        f"test images that it gets right, {max_iter} steps.",
        but="for a single class every loss succeeds, and the lead needs the margin: "
        "python -m minimalml claims quad_attack.",
        contenders={
            name: partial(success_rate, options, n_images, max_iter)
            for name, options in LOSSES.items()
        },
        ours=OURS,
        metric="success rate",
        n_seeds=2 if quick else 4,
        code=CODE,
        figure=partial(images_figure, max_iter),
    )


def images_figure(max_iter):
    """Show images before and after, with the classes that lead."""
    network, X, _ = network_and_images(8, 100)
    X_attacked = attack_images(LOSSES[OURS], 8, max_iter, 100).X_adversarial
    figure, axes = import_pyplot("The demo").subplots(2, 8, figsize=(7.2, 2.4))
    for row, images in enumerate((X, X_attacked)):
        order = np.argsort(-network.predict_proba(images), axis=1)
        for ax, image, classes in zip(axes[row], images, order, strict=True):
            ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
            ax.set_title("".join(map(str, network.classes_[classes])), fontsize=6)
            ax.set_axis_off()
    return (
        "Images before (above) and after: over each the classes as the network ranks "
        "them, the likeliest first.",
        figure,
    )
