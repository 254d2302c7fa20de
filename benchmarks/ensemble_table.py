"""What to make of several models: one table of the family on real sets.

``python -m benchmarks.ensemble_table``: letters, spam mails and clothes, and times of food
deliveries as a regression, 1,500 rows each of which 375 validate, five seeds. Twelve networks go on from one start (a sweep of learning rates
and penalties); what is made of them, and what is trained in their place, is asked about
2,000 other rows. Time is that of predicting them, as a ratio to one network.
"""

import pickle
import sys
import time
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
from sklearn.base import is_classifier
from sklearn.ensemble import (
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, mean_squared_error, r2_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, StandardScaler

from benchmarks import _data
from minimalml._core.models.prefit import copy_of_trained
from minimalml.ensemble import (
    ConcatenatedRepresentation,
    DiversityRegularizedClassifier,
    DiversityRegularizedRegressor,
    EnsembleDistillationClassifier,
    EnsembleDistillationRegressor,
    ModelSoupClassifier,
    ModelSoupRegressor,
    RegularizedEnsembleClassifier,
    RegularizedEnsembleRegressor,
)
from minimalml.ensemble._model_soup._averages import set_model_state

HIDDEN, N_MEMBERS, N_SEEDS = (64, 64), 5, 5
SWEEP = {
    "learning_rate_init": np.geomspace(3e-4, 1e-2, 4).tolist(),
    "alpha": [1e-4, 1e-2, 0.1],
    "max_iter": [20],
}
PUSHES = [-1, -0.5, 0, 0.5, 0.9]

CLASSIFIERS = SimpleNamespace(
    network=MLPClassifier, vote=partial(VotingClassifier, voting="soft"),
    stack=partial(StackingClassifier, final_estimator=LogisticRegression(max_iter=1000)),
    probe=LogisticRegression(C=0.1, max_iter=1000), soup=ModelSoupClassifier,
    student=EnsembleDistillationClassifier, pushed=DiversityRegularizedClassifier,
    regularised=RegularizedEnsembleClassifier, scoring="neg_log_loss",
    figures=("accuracy %", "log loss", "calibration %"),
)  # fmt: skip
REGRESSORS = SimpleNamespace(
    network=MLPRegressor, vote=VotingRegressor, stack=StackingRegressor, probe=Ridge(10.0),
    soup=ModelSoupRegressor, student=EnsembleDistillationRegressor,
    pushed=DiversityRegularizedRegressor, regularised=RegularizedEnsembleRegressor,
    scoring="neg_mean_squared_error", figures=("R^2 %", "squared error"),
)  # fmt: skip


def letters():
    return _data.letters()


def spambase():
    X, y = _data.spambase()
    return np.log1p(X), y


def fashion_mnist():
    split = _data.fashion_mnist()
    return split.X_test / 255, split.y_test


def deliveries():
    import pandas as pd

    X, y = _data.deliveries()
    return pd.get_dummies(X).to_numpy(np.float64), (y - y.mean()) / y.std()


def parts(X, y, seed, is_class):
    """Return rows to fit, to validate on, and to test on, scaled by the first."""
    y = LabelEncoder().fit_transform(y) if is_class else y
    X, X_test, y, y_test = train_test_split(
        X, y, train_size=1500, test_size=2000, stratify=y if is_class else None,
        random_state=seed,
    )  # fmt: skip
    X, X_val, y, y_val = train_test_split(
        X, y, stratify=y if is_class else None, random_state=seed
    )
    scale = StandardScaler().fit(X).transform
    return (scale(X), y), (scale(X_val), y_val), (scale(X_test), y_test)


def swept(soup):
    """Return the networks of a soup's candidates."""
    return [
        set_model_state(copy_of_trained(soup.estimator_), state)
        for state in soup.candidates_
    ]


def models(kit, fit, val, seed):
    """Yield names and models, all fitted."""
    network = partial(kit.network, hidden_layer_sizes=HIDDEN)
    start = network(max_iter=10, random_state=seed).fit(*fit)
    soup = partial(
        kit.soup, param_distributions=SWEEP, init=FrozenEstimator(start),
        scoring=kit.scoring, random_state=seed,
    )  # fmt: skip
    greedy = soup().fit(*fit, *val)
    networks = swept(greedy)
    frozen = [(str(i), FrozenEstimator(model)) for i, model in enumerate(networks)]
    yield "best of sweep", networks[greedy.best_index_]
    yield "vote of sweep", kit.vote(frozen).fit(*val)
    best = greedy.best_params_ | {"max_iter": 30}  # the epochs of start and sweep
    others = [
        (str(i), network(random_state=i).set_params(**best)) for i in range(N_MEMBERS)
    ]
    yield "vote of five seeds", kit.vote(others).fit(*fit)
    yield "stack of sweep", kit.stack(frozen, cv="prefit").fit(*val)
    yield "uniform soup", soup(method="uniform").fit(*fit, *val).estimator_
    yield "greedy soup", greedy.estimator_
    student = kit.student(
        networks, prefit=True, hidden_layer_sizes=HIDDEN, learning_rate=3e-3,
        random_state=seed,
    )  # fmt: skip
    yield "distilled student", student.fit(*fit)
    split = [(np.arange(len(fit[0])), len(fit[0]) + np.arange(len(val[0])))]
    both = tuple(map(np.concatenate, zip(fit, val, strict=True)))
    pushed = kit.pushed(
        N_MEMBERS, hidden_layer_sizes=HIDDEN, max_epochs=30, batch_size=50,
        random_state=seed,
    )  # fmt: skip
    search = GridSearchCV(
        pushed, {"gamma": PUSHES}, scoring=kit.scoring, cv=split, refit=False
    )
    gamma = search.fit(*both).cv_results_["param_gamma"][
        search.cv_results_["rank_test_score"].argmin()
    ]
    yield "diversity searched", pushed.set_params(gamma=gamma).fit(*fit)
    regularised = kit.regularised(
        N_MEMBERS, hidden_layer_sizes=HIDDEN, random_state=seed
    )
    yield "regularised ensemble", regularised.fit(*fit)
    cat = ConcatenatedRepresentation(
        network(max_iter=30), N_MEMBERS, random_state=seed
    ).fit(*fit)
    probe = make_pipeline(FrozenEstimator(cat), StandardScaler(), kit.probe)
    yield "Cat-5 probe", probe.fit(*both)


def calibration_error(P, y, n_bins=15):
    """Return the mean gap of confidence and accuracy over bins of confidence."""
    confidence, right = P.max(axis=1), P.argmax(axis=1) == y
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = np.bincount(bins, confidence - right, n_bins)
    return np.abs(gaps).sum() / len(y)


def seconds(predict, X, repeats=5):
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        predict(X)
        times.append(time.perf_counter() - begin)
    return min(times)


def figures(model, X, y):
    """Return qualities, then the time to predict and the pickled size."""
    if is_classifier(model):
        predict, P = model.predict_proba, model.predict_proba(X)
        found = [100 * (P.argmax(axis=1) == y).mean(), log_loss(y, P),
                 100 * calibration_error(P, y)]  # fmt: skip
    else:
        predict, said = model.predict, model.predict(X)
        found = [100 * r2_score(y, said), mean_squared_error(y, said)]
    student = getattr(model, "student_", model)  # teachers are not shipped
    return [*found, seconds(predict, X), len(pickle.dumps(student)) / 1e3]


def main(names):
    for load in (letters, spambase, fashion_mnist, deliveries):
        if names and load.__name__ not in names:
            continue
        X, y = load()
        kit, found = REGRESSORS if load is deliveries else CLASSIFIERS, {}
        for seed in range(N_SEEDS):
            fit, val, test = parts(X, y, seed, kit is CLASSIFIERS)
            for name, model in models(kit, fit, val, seed):
                found.setdefault(name, []).append(figures(model, *test))
        one = np.mean(found["best of sweep"], axis=0)[-2]
        head = (*kit.figures, "time", "kB")
        print(f"{load.__name__:22}" + "".join(f"{h:>16}" for h in head))
        for name, rows in found.items():
            mean, spread = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1)
            cells = [
                f"{m:.{d}f} +- {s:.{d}f}"
                for m, s, d in zip(mean[:-2], spread, (2, 3, 2), strict=False)
            ]
            cells += [f"{mean[-2] / one:.1f}", f"{mean[-1]:.0f}"]
            print(f"{name:22}" + "".join(f"{cell:>16}" for cell in cells), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    main(sys.argv[1:])
