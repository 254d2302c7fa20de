"""Members trained together beside one wide network and beside members in turn."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from benchmarks.compare import Comparison
from minimalml._core.training.network import NetworkClassifier
from minimalml.ensemble import DiversityRegularizedClassifier

N_MEMBERS, N_EPOCHS = 4, 20
OPTIONS = dict(max_epochs=N_EPOCHS, batch_size=50, device="cpu", random_state=0)


def digits(width):
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y, width


def together(data, gamma=0.5):
    X, y, width = data
    DiversityRegularizedClassifier(
        N_MEMBERS, gamma=gamma, hidden_layer_sizes=(width,), **OPTIONS
    ).fit(X, y)


def one_wide(data):
    X, y, width = data
    NetworkClassifier((N_MEMBERS * width,), **OPTIONS).fit(X, y)


def in_turn(data):
    X, y, width = data
    for _ in range(N_MEMBERS):
        NetworkClassifier((width,), **OPTIONS).fit(X, y)


def in_turn_by_scikit_learn(data):
    X, y, width = data
    for seed in range(N_MEMBERS):
        MLPClassifier(
            hidden_layer_sizes=(width,), batch_size=50, max_iter=N_EPOCHS,
            n_iter_no_change=N_EPOCHS, random_state=seed,
        ).fit(X, y)  # fmt: skip


def no_push(data):
    together(data, gamma=0.0)


COMPARISONS = [
    Comparison(
        title=f"{N_MEMBERS} networks of width n on digits, {N_EPOCHS} epochs, gamma=0.5",
        setup=digits,
        ours=together,
        peers={
            "the same, gamma=0": no_push,
            "one network of width 4 n": one_wide,
            "four, one after the other": in_turn,
            "four by scikit-learn": in_turn_by_scikit_learn,
        },
        sizes=(16, 64, 256),
        threads=(1,),
        repeats=2,
        target="1.3 times the wide network; half the time of four in turn to width 64",
    ),
]
