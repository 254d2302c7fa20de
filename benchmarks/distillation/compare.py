"""A student beside the vote of its teachers, and its fit beside a student's of labels."""

import warnings

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier

from benchmarks.compare import Comparison
from minimalml._core.training.network import NetworkClassifier
from minimalml.ensemble import EnsembleDistillationClassifier

warnings.simplefilter("ignore", ConvergenceWarning)  # of scikit-learn's default network
N_TRAIN = 300
STUDENT = dict(hidden_layer_sizes=(32,), device="cpu", random_state=0)


def default_teachers():
    """Return the teachers that the estimator has by default, by name."""
    return [
        ("forest", RandomForestClassifier(random_state=0)),
        ("boosting", HistGradientBoostingClassifier(random_state=0)),
        ("network", MLPClassifier(random_state=0)),
    ]


def table(n):
    X, y = make_classification(n, n_features=20, n_informative=10, random_state=0)
    return X.astype(np.float32), y


def fitted(n):
    """Fit all on the same rows; predictions of n others are timed."""
    X, y = table(N_TRAIN + n)
    tree = DecisionTreeClassifier(max_depth=8, random_state=0)
    models = {
        "student": EnsembleDistillationClassifier(
            default_teachers(), cv=None, **STUDENT
        ),
        "tree": EnsembleDistillationClassifier(default_teachers(), tree, cv=None),
        "vote": VotingClassifier(default_teachers(), voting="soft"),
    }
    for model in models.values():
        model.fit(X[:N_TRAIN], y[:N_TRAIN])
    return models, X[N_TRAIN:]


def predict_with(name):
    return lambda data: data[0][name].predict_proba(data[1])


def distil(data):
    EnsembleDistillationClassifier(default_teachers(), cv=None, **STUDENT).fit(*data)


def distil_out_of_fold(data):
    EnsembleDistillationClassifier(default_teachers(), **STUDENT).fit(*data)


def teachers_and_labels(data):
    """Fit the teachers, and the student on labels for the epochs of both its stages."""
    VotingClassifier(default_teachers(), voting="soft").fit(*data)
    NetworkClassifier(max_epochs=200, **STUDENT).fit(*data)


COMPARISONS = [
    Comparison(
        title=f"Predict n rows, after {N_TRAIN} rows of training",
        setup=fitted,
        ours=predict_with("student"),
        peers={
            "VotingClassifier of the teachers": predict_with("vote"),
            "a tree of depth 8 as student": predict_with("tree"),
        },
        sizes=(100, 1_000, 10_000),
        threads=(1,),
        repeats=5,
        target="a twentieth of the vote's time",
    ),
    Comparison(
        title="Fit on n rows, targets in sample",
        setup=table,
        ours=distil,
        peers={
            "teachers, and as many epochs on labels": teachers_and_labels,
            "targets out of fold (cv=5)": distil_out_of_fold,
        },
        sizes=(200, 600),
        threads=(1,),
        repeats=2,
        target="1.2 times the teachers and the same epochs on labels",
    ),
]
