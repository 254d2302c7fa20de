"""What to make of several models: one table of the family on three real sets.

``python -m benchmarks.ensemble_table``: letters, spam mails and clothes, 1,500 rows each of
which 375 validate, five seeds. Twelve networks go on from one start (a sweep of learning rates
and penalties); what is made of them, and what is trained in their place, is asked about
2,000 other rows. Time is that of predicting them, as a ratio to one network.
"""

import pickle
import sys
import time
import warnings
from functools import partial

import numpy as np
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, StandardScaler

from benchmarks import _data
from minimalml._core.models.prefit import copy_of_trained
from minimalml.ensemble import (
    ConcatenatedRepresentation,
    DiversityRegularizedClassifier,
    EnsembleDistillationClassifier,
    ModelSoupClassifier,
    RegularizedEnsembleClassifier,
)
from minimalml.ensemble._model_soup._averages import set_model_state

HIDDEN, N_MEMBERS, N_SEEDS = (64, 64), 5, 5
SWEEP = {
    "learning_rate_init": np.geomspace(3e-4, 1e-2, 4).tolist(),
    "alpha": [1e-4, 1e-2, 0.1],
    "max_iter": [20],
}
PUSHES = [-1, -0.5, 0, 0.5, 0.9]


def letters():
    return _data.letters()


def spambase():
    X, y = _data.spambase()
    return np.log1p(X), y


def fashion_mnist():
    split = _data.fashion_mnist()
    return split.X_test / 255, split.y_test


def parts(X, y, seed):
    """Return rows to fit, to validate on, and to test on, scaled by the first."""
    X, X_test, y, y_test = train_test_split(
        X, LabelEncoder().fit_transform(y), train_size=1500, test_size=2000, stratify=y,
        random_state=seed,
    )  # fmt: skip
    X, X_val, y, y_val = train_test_split(X, y, stratify=y, random_state=seed)
    scale = StandardScaler().fit(X).transform
    return (scale(X), y), (scale(X_val), y_val), (scale(X_test), y_test)


def swept(soup):
    """Return the networks of a soup's candidates."""
    return [
        set_model_state(copy_of_trained(soup.estimator_), state)
        for state in soup.candidates_
    ]


def models(fit, val, seed):
    """Yield names and models, all fitted."""
    start = MLPClassifier(HIDDEN, max_iter=10, random_state=seed).fit(*fit)
    soup = partial(
        ModelSoupClassifier, param_distributions=SWEEP, init=FrozenEstimator(start),
        scoring="neg_log_loss", random_state=seed,
    )  # fmt: skip
    greedy = soup().fit(*fit, *val)
    networks = swept(greedy)
    frozen = [(str(i), FrozenEstimator(model)) for i, model in enumerate(networks)]
    yield "best of sweep", networks[greedy.best_index_]
    yield "vote of sweep", VotingClassifier(frozen, voting="soft").fit(*val)
    best = greedy.best_params_ | {"max_iter": 30}  # the epochs of start and sweep
    others = [
        (str(i), MLPClassifier(HIDDEN, random_state=i).set_params(**best))
        for i in range(N_MEMBERS)
    ]
    yield "vote of five seeds", VotingClassifier(others, voting="soft").fit(*fit)
    stack = StackingClassifier(frozen, LogisticRegression(max_iter=1000), cv="prefit")
    yield "stack of sweep", stack.fit(*val)
    yield "uniform soup", soup(method="uniform").fit(*fit, *val).estimator_
    yield "greedy soup", greedy.estimator_
    student = EnsembleDistillationClassifier(
        networks, prefit=True, hidden_layer_sizes=HIDDEN, learning_rate=3e-3,
        random_state=seed,
    )  # fmt: skip
    yield "distilled student", student.fit(*fit).student_
    split = [(np.arange(len(fit[0])), len(fit[0]) + np.arange(len(val[0])))]
    both = tuple(map(np.concatenate, zip(fit, val, strict=True)))
    pushed = DiversityRegularizedClassifier(
        N_MEMBERS, hidden_layer_sizes=HIDDEN, max_epochs=30, batch_size=50,
        random_state=seed,
    )  # fmt: skip
    search = GridSearchCV(
        pushed, {"gamma": PUSHES}, scoring="neg_log_loss", cv=split, refit=False
    )
    gamma = search.fit(*both).cv_results_["param_gamma"][
        search.cv_results_["rank_test_score"].argmin()
    ]
    yield "diversity searched", pushed.set_params(gamma=gamma).fit(*fit)
    yield (
        "regularised ensemble",
        RegularizedEnsembleClassifier(
            N_MEMBERS, hidden_layer_sizes=HIDDEN, random_state=seed
        ).fit(*fit),
    )
    network = MLPClassifier(HIDDEN, max_iter=30)
    cat = ConcatenatedRepresentation(network, N_MEMBERS, random_state=seed).fit(*fit)
    probe = make_pipeline(
        FrozenEstimator(cat), StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)
    )
    yield "Cat-5 probe", probe.fit(*both)


def calibration_error(P, y, n_bins=15):
    """Return the mean gap of confidence and accuracy over bins of confidence."""
    confidence, right = P.max(axis=1), P.argmax(axis=1) == y
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = np.bincount(bins, confidence - right, n_bins)
    return np.abs(gaps).sum() / len(y)


def seconds(model, X, repeats=5):
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        model.predict_proba(X)
        times.append(time.perf_counter() - begin)
    return min(times)


def figures(model, X, y):
    P = model.predict_proba(X)
    return [
        100 * (P.argmax(axis=1) == y).mean(), log_loss(y, P), 100 * calibration_error(P, y),
        seconds(model, X), len(pickle.dumps(model)) / 1e3,
    ]  # fmt: skip


def main(names):
    for load in (letters, spambase, fashion_mnist):
        if names and load.__name__ not in names:
            continue
        X, y = load()
        found = {}
        for seed in range(N_SEEDS):
            fit, val, test = parts(X, y, seed)
            for name, model in models(fit, val, seed):
                found.setdefault(name, []).append(figures(model, *test))
        one = np.mean(found["best of sweep"], axis=0)[3]
        head = ("accuracy %", "log loss", "calibration %", "time", "kB")
        print(f"{load.__name__:22}" + "".join(f"{h:>16}" for h in head))
        for name, rows in found.items():
            mean, spread = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1)
            cells = [
                f"{m:.{d}f} +- {s:.{d}f}"
                for m, s, d in zip(mean, spread, (2, 3, 2), strict=False)
            ]
            cells += [f"{mean[3] / one:.1f}", f"{mean[4]:.0f}"]
            print(f"{name:22}" + "".join(f"{cell:>16}" for cell in cells), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    main(sys.argv[1:])
