"""Measure where mixing rows of close labels helps, and where it does not.

Paper: Yao et al., NeurIPS 2022, whose own tables (airfoil, NO2 and others) ship with no
package. Bandwidths are chosen on a validation part, never on the test part; all
differences are paired by seed: the methods share splits and initial weights.
"""

import warnings

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits

from benchmarks import _data
from benchmarks.c_mixup._network import rotated_digits, tables_by_networks
from benchmarks.claims import Outcome, claim
from minimalml.resampling import CMixupRegressor

__all__ = [
    "few_and_noisy_rows",
    "rotated_digits",
    "shifted_months",
    "small_clean_tables",
    "tables_by_networks",
]

N_SEEDS = 10
BANDWIDTHS = (0.1, 0.3, 1.0)
METHODS = ("plain", "mixup", "C-Mixup")


def network(seed, max_iter):
    layers = MLPRegressor(
        hidden_layer_sizes=(64, 64), batch_size=32, learning_rate_init=3e-3, tol=0,
        max_iter=max_iter, n_iter_no_change=1000, random_state=seed,
    )  # fmt: skip
    return TransformedTargetRegressor(layers, transformer=StandardScaler())


def rmse(y, prediction):
    return float(np.sqrt(np.mean((y - prediction) ** 2)))


def predictions(train, validation, X_test, seed):
    """Test predictions of each method; all train on ``train``, for as many steps.

    Returns
    -------
    predictions : dict of str to ndarray
    """
    X, y = train

    def fitted(ratio=2.0, **options):
        layers = network(seed, max_iter=round(60 / (1 + ratio)))
        model = CMixupRegressor(layers, ratio=ratio, random_state=seed, **options)
        # the network always uses up its epochs: its warning says nothing here
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return make_pipeline(StandardScaler(), model).fit(X, y)

    candidates = [fitted(bandwidth=h) for h in BANDWIDTHS]
    errors = [rmse(validation[1], c.predict(validation[0])) for c in candidates]
    best = candidates[int(np.argmin(errors))]
    chosen = (fitted(ratio=0.0), fitted(kernel="uniform"), best)
    return {
        name: model.predict(X_test) for name, model in zip(METHODS, chosen, strict=True)
    }


def over_seeds(experiment, *arguments):
    """Run ``experiment(seed, *arguments)`` for all seeds on two cores."""

    def one(seed):
        with threadpool_limits(1):
            return experiment(seed, *arguments)

    return Parallel(n_jobs=2)(delayed(one)(seed) for seed in range(N_SEEDS))


def compare(runs):
    """Mean error of each method, and C-Mixup's paired differences with s.e."""
    errors = {name: np.array([run[name] for run in runs]) for name in METHODS}
    figures = {name: round(float(e.mean()), 4) for name, e in errors.items()}
    for other in METHODS[:2]:
        difference = errors["C-Mixup"] - errors[other]
        figures[f"minus {other}"] = [
            round(float(difference.mean()), 4),
            round(float(difference.std(ddof=1) / np.sqrt(len(difference))), 4),
        ]
    return figures


def is_better(figures, other):
    """Whether C-Mixup's error is lower by two standard errors."""
    mean, error = figures[f"minus {other}"]
    return mean < -2 * error


def is_worse(figures, other):
    mean, error = figures[f"minus {other}"]
    return mean > 2 * error


def in_words(name, figures):
    means = ", ".join(f"{m} {figures[m]:.4g}" for m in METHODS)
    (a, b), (c, d) = (figures[f"minus {m}"] for m in METHODS[:2])
    return f"{name}: {means} (C-Mixup minus plain {a:+.3g} ± {b:.2g}, minus mixup {c:+.3g} ± {d:.2g})"


def verdict_of(cells):
    """Reproduced: better than both in each cell; partly: in some, or than one of them."""
    both = [all(is_better(c, m) for m in METHODS[:2]) for c in cells.values()]
    if all(both):
        return "reproduced"
    mixup_only = all(is_better(c, "mixup") for c in cells.values())
    harmless = not any(is_worse(c, "plain") for c in cells.values())
    return "partly" if any(both) or (mixup_only and harmless) else "not reproduced"


def table_error(seed, X, y):
    X_rest, X_test, y_rest, y_test = train_test_split(
        X, y, test_size=0.2, random_state=seed
    )
    X_train, X_valid, y_train, y_valid = train_test_split(
        X_rest, y_rest, test_size=0.125, random_state=seed
    )
    found = predictions((X_train, y_train), (X_valid, y_valid), X_test, seed)
    return {name: rmse(y_test, p) for name, p in found.items()}


@claim("C-Mixup beats mixup and plain training on small clean tables (test RMSE)")
def small_clean_tables():
    concrete_X, concrete_y = _data.concrete()
    tables = {
        "diabetes": load_diabetes(return_X_y=True),
        "concrete": (np.asarray(concrete_X, float), np.asarray(concrete_y, float)),
    }
    cells = {
        name: compare(over_seeds(table_error, X, y)) for name, (X, y) in tables.items()
    }
    summary = "; ".join(in_words(name, figures) for name, figures in cells.items())
    return Outcome(verdict_of(cells), f"{N_SEEDS} seeds. {summary}.", cells)


def friedman_error(seed, n_rows, noise):
    X, y = make_friedman1(n_rows + n_rows // 4, noise=noise, random_state=seed)
    X_test, y_test = make_friedman1(2000, noise=0.0, random_state=1000 + seed)
    train, validation = (X[:n_rows], y[:n_rows]), (X[n_rows:], y[n_rows:])
    found = predictions(train, validation, X_test, seed)
    return {name: rmse(y_test, p) for name, p in found.items()}


@claim(
    "C-Mixup beats mixup and plain training on few or noisy rows (RMSE to the truth)"
)
def few_and_noisy_rows():
    cells = {
        f"n={n} noise={noise:g}": compare(over_seeds(friedman_error, n, noise))
        for n in (50, 150, 450)
        for noise in (0.5, 5.0)
    }
    helps = {
        other: " and ".join(name for name, c in cells.items() if is_better(c, other))
        for other in METHODS[:2]
    }
    summary = "; ".join(in_words(name, figures) for name, figures in cells.items())
    summary = (
        f"{N_SEEDS} seeds, friedman1. Better by two s.e. than plain training at "
        f"{helps['plain'] or 'none'}, than mixup at {helps['mixup'] or 'none'}; {summary}."
    )
    return Outcome(verdict_of(cells), summary, cells)


def bike_error(seed, X, y, month, trained):
    rng = np.random.default_rng(seed)
    is_train = np.isin(month, trained)
    rows = rng.permutation(np.flatnonzero(is_train))[:625]
    train, valid = rows[:500], rows[500:]
    found = predictions((X[train], y[train]), (X[valid], y[valid]), X[~is_train], seed)
    tested = np.unique(month[~is_train])
    return {
        name: max(
            rmse(y[month == m], p[month[~is_train] == m]) for m in tested
        )
        for name, p in found.items()
    }  # fmt: skip


@claim(
    "C-Mixup is best in the worst month of a season not trained on (bike share, RMSE)"
)
def shifted_months():
    frame, y = _data.bike_share()
    y, month = np.asarray(y, float), frame["mnth"].to_numpy()
    frame = frame.drop(columns=["mnth", "season", "day"])
    X = frame.assign(
        weathersit=frame["weathersit"].astype("category").cat.codes,
        hour_sine=np.sin(frame["hr"] * np.pi / 12),
        hour_cosine=np.cos(frame["hr"] * np.pi / 12),
    ).to_numpy(float)
    seasons = {
        "trained on October to March": ["Oct", "Nov", "Dec", "Jan", "Feb", "March"],
        "trained on April to September": [
            "April",
            "May",
            "June",
            "July",
            "Aug",
            "Sept",
        ],
    }
    cells = {
        name: compare(over_seeds(bike_error, X, y, month, months))
        for name, months in seasons.items()
    }
    summary = "; ".join(in_words(name, figures) for name, figures in cells.items())
    return Outcome(verdict_of(cells), f"{N_SEEDS} seeds. {summary}.", cells)
