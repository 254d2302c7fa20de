"""Laws beside curve_fit, the search beside a whole grid, ensembles beside members in turn."""

import warnings

import numpy as np
from scipy.optimize import curve_fit
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from benchmarks.compare import Comparison
from minimalml.ensemble import (
    EnsembleScalingAnalysis,
    LocallyOptimalSearchCV,
    RegularizedEnsembleClassifier,
    RegularizedEnsembleRegressor,
    ScalingLawRegressor,
    ensemble_loss_curve,
)

N_MEMBERS, N_EPOCHS, N_BOOTSTRAP = 4, 20, 1000
OPTIONS = dict(max_epochs=N_EPOCHS, batch_size=50, device="cpu", random_state=0)
# Asymptote, coefficient, exponent, range of x, and whether noise is of the excess.
LAWS = (
    (1.0, 1.0, 0.5, (1, 100), False),
    (1.5, 2.0, 0.3, (1, 100), False),
    (3.43, 0.05, 1.02, (0.1, 10), True),
)


# --- laws ---


def law(x, coefficient, exponent, asymptote):
    return asymptote + coefficient * x**-exponent


def points(n):
    x = np.geomspace(1, 100, n)
    noise = 0.01 * np.random.default_rng(0).normal(size=n)
    return x, law(x, 1.0, 0.5, 1.0) * (1 + noise)


def bootstrap(data):
    x, y = data
    options = dict(interval="bootstrap", n_bootstrap=N_BOOTSTRAP, random_state=0)
    ScalingLawRegressor(**options).fit(x[:, None], y)


def bootstrap_by_curve_fit(data):
    """Fit as the paper does, bounded at 0, replicates with resampled residuals."""
    x, y = data
    start, bounds = (1.0, 0.5, 2.0), (0, np.inf)
    found, _ = curve_fit(law, x, y, p0=start, bounds=bounds, maxfev=10_000)
    fitted, rng = law(x, *found), np.random.default_rng(0)
    for _ in range(N_BOOTSTRAP):
        drawn = fitted + rng.choice(y - fitted, len(y))
        curve_fit(law, x, drawn, p0=start, bounds=bounds, maxfev=100_000)


def profile(data):
    x, y = data
    ScalingLawRegressor().fit(x[:, None], y)


def print_facts():
    """Print what noiseless laws, intervals and loss curves do."""
    rng, worst = np.random.default_rng(0), 0.0
    warnings.simplefilter("ignore")
    for _ in range(200):
        exponent, asymptote = (
            np.exp(rng.uniform(np.log(0.05), np.log(3))),
            rng.uniform(1, 9),
        )
        x, size = np.geomspace(1, 1000, 7), 10 ** rng.uniform(-80, 80)
        unit = 10 ** rng.uniform(-12, 12)
        y = size * law(x, 1.0, exponent, asymptote)
        fitted = ScalingLawRegressor().fit(unit * x[:, None], y)
        errors = fitted.asymptote_ / size / asymptote, fitted.exponent_[0] / exponent
        worst = max(worst, *np.abs(np.array(errors) - 1))
    print(f"200 laws without noise, scales 1e-80 to 1e80: largest error {worst:.1e}")
    for asymptote, coefficient, exponent, (low, high), is_of_excess in LAWS:
        x = np.geomspace(low, high, 6)
        mean = law(x, coefficient, exponent, asymptote)
        noise = 0.01 * (mean - asymptote if is_of_excess else mean)
        covers = []
        for _ in range(400):
            y = mean + noise * rng.normal(size=6)
            lower, upper = ScalingLawRegressor().fit(x[:, None], y).interval_
            covers.append(lower <= asymptote <= upper)
        print(f"{asymptote} + {coefficient} x^-{exponent}: 95 % profile intervals cover "
              f"{np.mean(covers):.3f} of 400")  # fmt: skip
    rises = []
    for _ in range(200):
        probas = rng.dirichlet(np.full(3, 0.3), size=(6, 10))
        for combine in ("logit", "probability"):
            losses = ensemble_loss_curve(
                probas, rng.integers(0, 3, 10), combine=combine
            )
            rises.append(np.diff(losses).max())
    print(
        f"400 loss curves over all subsets of 6 members: largest rise {max(rises):.1e}"
    )


# --- the search ---


def grid(n):
    X, y = load_digits(return_X_y=True)
    steps = {
        "C": np.logspace(-3, 4, n).tolist(),
        "gamma": np.logspace(-4, 1, n).tolist(),
    }
    return X[:600] / 16, y[:600], steps


def climb(data):
    X, y, steps = data
    return LocallyOptimalSearchCV(SVC(), steps, cv=3).fit(X, y)


def whole_grid(data):
    X, y, steps = data
    return GridSearchCV(SVC(), steps, cv=3).fit(X, y)


def print_scores():
    """Print what both searches reach, and whether the certificate holds."""
    for n in (4, 8, 16):
        data = grid(n)
        ours, whole = climb(data), whole_grid(data)
        scores = whole.cv_results_["mean_test_score"].reshape(n, n)
        i, j = (v.index(ours.best_params_[k]) for k, v in data[2].items())
        around = [
            scores[a, b]
            for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1))
            if 0 <= a < n and 0 <= b < n
        ]
        print(f"{n} x {n}: {ours.n_evaluations_} of {n * n} points, score "
              f"{ours.best_score_:.4f}, of the whole grid {whole.best_score_:.4f}; "
              f"certificate {ours.certificate_}, {sum(s > scores[i, j] for s in around)} "
              "neighbours are better")  # fmt: skip


# --- ensembles ---


def digits(width):
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y, width


def together(data, kind=RegularizedEnsembleClassifier):
    X, y, width = data
    kind(N_MEMBERS, hidden_layer_sizes=(width,), weight_decay=0.4, **OPTIONS).fit(X, y)


def regressors(data):
    together(data, RegularizedEnsembleRegressor)


def in_turn(data):
    X, y, width = data
    for seed in range(N_MEMBERS):
        RegularizedEnsembleClassifier(
            1, hidden_layer_sizes=(width,), weight_decay=0.4, **OPTIONS | dict(random_state=seed)
        ).fit(X, y)  # fmt: skip


def in_turn_by_scikit_learn(data):
    X, y, width = data
    warnings.simplefilter("ignore")  # that 20 epochs are few
    for seed in range(N_MEMBERS):
        MLPClassifier(
            hidden_layer_sizes=(width,), batch_size=50, max_iter=N_EPOCHS,
            n_iter_no_change=N_EPOCHS, random_state=seed,
        ).fit(X, y)  # fmt: skip


def analysis(data):
    X, y, width = data
    recipe = RegularizedEnsembleClassifier(weight_decay=0.4, **OPTIONS)
    EnsembleScalingAnalysis(
        recipe, sizes=[(width,)], n_members=N_MEMBERS, random_state=0
    ).fit(X, y)


COMPARISONS = [
    Comparison(
        title="1,000 bootstraps of a law fitted to n points",
        setup=points,
        ours=bootstrap,
        peers={"curve_fit, one by one": bootstrap_by_curve_fit, "profile": profile},
        sizes=(6, 12, 50),
        threads=(1,),
        repeats=2,
        target="at most 0.5 s at n = 6, and 50 times as fast as curve_fit",
        afterwards=print_facts,
    ),
    Comparison(
        title="Search of n x n values for SVC on digits, 3 folds",
        setup=grid,
        ours=climb,
        peers={"GridSearchCV": whole_grid},
        sizes=(4, 8, 16),
        threads=(1,),
        repeats=1,
        target="fewer points, no better neighbour",
        afterwards=print_scores,
    ),
    Comparison(
        title=f"{N_MEMBERS} networks of width n on digits, {N_EPOCHS} epochs",
        setup=digits,
        ours=together,
        peers={
            "the regressor": regressors,
            "four, one after the other": in_turn,
            "four by scikit-learn": in_turn_by_scikit_learn,
            "EnsembleScalingAnalysis of one size": analysis,
        },
        sizes=(16, 64, 256),
        threads=(1,),
        repeats=2,
        target="half the time of four in turn to width 64",
    ),
]
