"""Ensembles that permute bits exactly: how large they must be, and real networks.

Paper: Giapitzakis, Back de Luca and Fountoulakis, 2025, with networks of width 50,000. What is
counted and drawn here is the limit itself, exactly; nothing is chosen on test inputs.
"""

import warnings
from itertools import combinations

import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks.claims import Outcome, claim
from minimalml.training_dynamics import (
    InfiniteWidthRegressor,
    PermutationEnsemble,
    permutation_ensemble_size,
    permutation_moments,
)

BITS = (5, 10, 20, 30, 50, 100, 200, 400)
DELTA, N_ASKED = 0.05, 1000
# Ensembles that are drawn, by number of bits.
N_DRAWS = {5: 1000, 10: 1000, 20: 200, 30: 200}
SEEDS = range(5)


def inputs_of_two(k, rng):
    """Return 1,000 inputs with two ones, as in the paper's experiment; fewer if there are."""
    pairs = np.array(list(combinations(range(k), 2)))
    pairs = pairs[rng.permutation(len(pairs))[:N_ASKED]]
    B = np.zeros((len(pairs), k))
    np.put_along_axis(B, pairs, 1.0, axis=1)
    return B


def failure_rate(k, rounding):
    """Share of drawn ensembles of the certified size with a wrong output."""
    failures = 0
    for seed in range(N_DRAWS[k]):
        rng = np.random.default_rng(seed)
        permutation = rng.permutation(k)
        B = inputs_of_two(k, rng)
        model = PermutationEnsemble(
            mode="gaussian", rounding=rounding, delta=DELTA, random_state=seed
        ).fit(np.eye(k), np.eye(k)[permutation])
        failures += (model.predict(B)[:, permutation] != B).any()
    return failures / N_DRAWS[k]


@claim(
    "Trained on k unit vectors, an ensemble of at most O(k^2) networks permutes all nonzero "
    "inputs of k bits with high probability, and O(k log k) do for a single one"
)
def sizes_grow_below_the_square():
    """Exact sizes, and how often drawn ensembles of them fail."""
    single = [permutation_ensemble_size(k, DELTA, weight=2) for k in BITS]
    every = [permutation_ensemble_size(k, DELTA) for k in BITS]
    middle = [permutation_ensemble_size(k, DELTA, rounding="midpoint") for k in BITS]
    by_log = np.array(single) / (BITS * np.log(BITS))
    by_square = np.array(every) / np.square(BITS, dtype=float)
    rates = {
        f"{k} bits, {rounding}": failure_rate(k, rounding)
        for k in N_DRAWS
        for rounding in ("sign", "midpoint")
    }
    deviation = np.sqrt(DELTA * (1 - DELTA) / min(N_DRAWS.values()))
    passed = [
        (np.diff(by_log) < 0).all(), (np.diff(by_square) < 0).all(),
        max(rates.values()) <= DELTA + 3 * deviation,
    ]  # fmt: skip
    return Outcome(
        "reproduced" if all(passed) else "partly" if any(passed) else "not reproduced",
        summary=(
            f"For all inputs of {BITS[1]}, {BITS[5]} and {BITS[7]} bits {every[1]}, "
            f"{every[5]} and {every[7]} networks, a share of k^2 that falls from "
            f"{by_square[0]:.1f} to {by_square[-1]:.2f}; for one input of two ones "
            f"{single[1]}, {single[5]} and {single[7]}. Drawn ensembles fail at "
            f"{max(rates.values()):.2f} at most, where {DELTA} is allowed."
        ),
        measured={
            "networks": {
                f"{k} bits": f"{n} for all inputs ({n / k**2:.2f} k^2, "
                f"{n / k / np.log(k):.1f} k log k), {one} for one of two ones, {half} for "
                "all by midpoints"
                for k, n, one, half in zip(BITS, every, single, middle, strict=True)
            },
            "failures of drawn ensembles on inputs of two ones": rates,
        },
    )


@claim("Finite networks, trained, have the means and variances of the infinitely wide")
def finite_networks_are_near_the_limit():
    """150 networks of width 3,000 on 5 bits, trained one ensemble each to see them vary."""
    k, n_networks = 5, 150
    B = np.tril(np.ones((k, k)))
    outputs = np.array([
        PermutationEnsemble(
            1, mode="networks", width=3000, max_epochs=400, random_state=seed,
        ).fit(np.eye(k), np.eye(k)).decision_function(B)
        for seed in range(n_networks)
    ])  # fmt: skip
    cells, gaps, ratios = {}, [], []
    for m in range(2, k + 1):
        mean_in, mean_out, variance = permutation_moments(k, m)
        found = outputs[:, m - 1]
        means = [found[:, :m].mean()] + ([found[:, m:].mean()] if m < k else [])
        limits = [mean_in, mean_out][: len(means)]
        spread = found.var(axis=0, ddof=1).mean()
        gaps += np.abs(np.subtract(means, limits)).tolist()
        ratios.append(spread / variance)
        cells[f"{m} ones"] = (
            f"means {np.round(means, 4).tolist()} for {np.round(limits, 4).tolist()}, "
            f"variance {spread:.4f} for {variance:.4f}"
        )
    passed = [max(gaps) <= 0.03, max(abs(np.log(ratios))) <= np.log(1.15)]
    return Outcome(
        "reproduced" if all(passed) else "partly" if any(passed) else "not reproduced",
        summary=(
            f"{n_networks} networks of width 3,000 on 5 bits: means miss the limit by "
            f"{max(gaps):.3f} at most, variances are {min(ratios):.2f} to "
            f"{max(ratios):.2f} of it."
        ),
        measured={"trained for the limit": cells},
    )


def tables():
    """Yield two tables: names, rows, and targets of mean 0."""
    X, y = load_diabetes(return_X_y=True)
    yield "diabetes, R^2", X, (y - y.mean()) / y.std(), False
    X, y = load_digits(return_X_y=True)
    yield "digits, accuracy", X[:1000], np.eye(10)[y[:1000]] - 0.1, True


def quality(predicted, Y, is_class):
    if is_class:
        return (predicted.argmax(axis=1) == Y.argmax(axis=1)).mean()
    return r2_score(Y, predicted)


def regressors():
    alphas = {"alpha": [0.001, 0.01, 0.1, 1.0, 10.0]}
    kernel = ConstantKernel() * RBF(8.0) + WhiteKernel(0.1)
    grid = {"depth": [1, 3], **alphas}
    return {
        "infinite width": GridSearchCV(InfiniteWidthRegressor(), grid),
        "Gaussian process": GaussianProcessRegressor(kernel, random_state=0),
        "kernel ridge": GridSearchCV(
            KernelRidge(kernel="rbf"), {**alphas, "gamma": [0.001, 0.01, 0.1]}
        ),
        "random forest": RandomForestRegressor(random_state=0),
    }


@claim("As a regressor on small tables the infinite width keeps up with kernel methods")
def regression_on_small_tables():
    """Five halves, settings by five folds of each."""
    warnings.simplefilter(
        "ignore", ConvergenceWarning
    )  # noise of a process at its bound
    cells, means = {}, {}
    for name, X, Y, is_class in tables():
        found = {model: [] for model in regressors()}
        for seed in SEEDS:
            parts = train_test_split(X, Y, test_size=0.5, random_state=seed)
            scale = StandardScaler().fit(parts[0])
            train, test = scale.transform(parts[0]), scale.transform(parts[1])
            for model, regressor in regressors().items():
                predicted = regressor.fit(train, parts[2]).predict(test)
                found[model].append(quality(predicted, parts[3], is_class))
        means[name] = {model: np.mean(values) for model, values in found.items()}
        cells[name] = {
            model: f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
            for model, values in found.items()
        }
    passed = [
        of["infinite width"] > of["Gaussian process"] - 0.01 for of in means.values()
    ]
    return Outcome(
        "reproduced" if all(passed) else "partly" if any(passed) else "not reproduced",
        summary="; ".join(
            f"{name}: {of['infinite width']:.3f}, Gaussian process "
            f"{of['Gaussian process']:.3f}, kernel ridge {of['kernel ridge']:.3f}, forest "
            f"{of['random forest']:.3f}"
            for name, of in means.items()
        )
        + ".",
        measured=cells,
    )
