"""A distilled student beside the vote of its teachers, and beside training on labels alone."""

import pickle

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier

from benchmarks.compare import Comparison
from minimalml._core.training.network import NetworkClassifier
from minimalml.ensemble import EnsembleDistillationClassifier

N_TRAIN = 1000
STUDENT = dict(hidden_layer_sizes=(32,), device="cpu", random_state=0)


def named_teachers():
    return [
        ("forest", RandomForestClassifier(random_state=0)),
        ("boosting", HistGradientBoostingClassifier(random_state=0)),
        ("network", MLPClassifier(random_state=0)),
    ]


def table(n):
    X, y = make_classification(
        n, n_features=20, n_informative=10, n_classes=4, random_state=0
    )
    return X.astype(np.float32), y


def fitted(n):
    """Fit everyone on the same rows; what is timed are predictions of n others."""
    X, y = table(N_TRAIN + n)
    rows = X[:N_TRAIN], y[:N_TRAIN]
    models = {
        "student": EnsembleDistillationClassifier(named_teachers(), **STUDENT),
        "tree": EnsembleDistillationClassifier(
            named_teachers(), DecisionTreeClassifier(max_depth=8, random_state=0)
        ),
        "vote": VotingClassifier(named_teachers(), voting="soft"),
        "stack": StackingClassifier(named_teachers(), cv=2),
    }
    for name, model in models.items():
        model.fit(*rows)
        kept = getattr(model, "student_", model)
        print(f"{name}: {len(pickle.dumps(kept)):,} bytes, "
              f"accuracy {model.score(X[N_TRAIN:], y[N_TRAIN:]):.3f}")  # fmt: skip
    return models, X[N_TRAIN:]


def predict_with(name):
    return lambda data: data[0][name].predict_proba(data[1])


def distil(data):
    X, y = data
    EnsembleDistillationClassifier(named_teachers(), cv=None, **STUDENT).fit(X, y)


def teachers_and_labels(data):
    X, y = data
    VotingClassifier(named_teachers(), voting="soft").fit(X, y)
    NetworkClassifier(**STUDENT).fit(X, y)


def teachers_and_labels_twice(data):
    """Train as many epochs as the start and the second stage of the student."""
    teachers_and_labels(data)
    X, y = data
    NetworkClassifier(**STUDENT).fit(X, y)


COMPARISONS = [
    Comparison(
        title=f"Predict n rows, after {N_TRAIN} rows of training",
        setup=fitted,
        ours=predict_with("student"),
        peers={
            "VotingClassifier of the teachers": predict_with("vote"),
            "StackingClassifier of the teachers": predict_with("stack"),
            "a tree of depth 8 as student": predict_with("tree"),
        },
        sizes=(100, 1_000, 10_000),
        threads=(1,),
        repeats=3,
        target="a twentieth of the vote's time",
    ),
    Comparison(
        title="Fit on n rows, targets in sample",
        setup=table,
        ours=distil,
        peers={
            "the teachers, and the student on labels": teachers_and_labels,
            "the same, the student twice": teachers_and_labels_twice,
        },
        sizes=(500, 2_000),
        threads=(1,),
        repeats=1,
        target="1.2 times the teachers and two trainings of the student",
    ),
]
