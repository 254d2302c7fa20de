"""Which scores find the columns that a target depends on, along lines and curves.

Paper: Yang, Asgharian, Bhagwat, Poline and Greenwood, "fastHDMI: Fast Mutual Information
Estimation for High-Dimensional Data", 2024. Its tables of brain images are large and
have to be asked for; these are drawn, of the same kind: neighbouring columns are alike,
few of them count. Nothing is tuned.
"""

import numpy as np
from sklearn.feature_selection import (
    mutual_info_classif,
    mutual_info_regression,
    r_regression,
)
from sklearn.metrics import roc_auc_score

from benchmarks.claims import Outcome, claim
from minimalml.linear_model import mutual_information_scores

SEEDS = range(20)
NEIGHBOURS_SEEDS = range(10)  # nearest neighbours take most of the time
N_ROWS, N_COLUMNS, N_TRUE, CORRELATION = 300, 300, 15, 0.5
SHAPES = {
    "linear": lambda x: x,
    "x^2": np.square,
    "sin 2x": lambda x: np.sin(2 * x),
    "|x|": np.abs,
}
CURVES = ("x^2", "sin 2x", "|x|")


def table(shape, seed):
    """Draw rows, a target that depends on some columns, and which these are."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_ROWS, N_COLUMNS))
    for j in range(1, N_COLUMNS):
        X[:, j] = CORRELATION * X[:, j - 1] + np.sqrt(1 - CORRELATION**2) * X[:, j]
    is_true = np.zeros(N_COLUMNS, dtype=bool)
    is_true[rng.choice(N_COLUMNS, N_TRUE, replace=False)] = True
    signal = SHAPES[shape](X[:, is_true]).sum(axis=1)
    return X, signal + signal.std() / 2 * rng.normal(size=N_ROWS), is_true


def correlation(X, y):
    return np.abs(r_regression(X, y))


CONTINUOUS = {
    "correlation": correlation,
    "kde": mutual_information_scores,
    "binning": lambda X, y: mutual_information_scores(X, y, method="binning"),
    "neighbours": lambda X, y: mutual_info_regression(X, y, random_state=0),
}
BINARY = {
    "correlation": correlation,
    "binning": mutual_information_scores,
    "neighbours": lambda X, y: mutual_info_classif(X, y, random_state=0),
}


def areas(scores, is_binary):
    """AUC of the true columns among all, by shape and score, over seeds."""
    found = {}
    for shape in SHAPES:
        found[shape] = {name: [] for name in scores}
        for seed in SEEDS:
            X, y, is_true = table(shape, seed)
            if is_binary:
                y = (y > np.median(y)).astype(int)
            for name, score in scores.items():
                if name != "neighbours" or seed in NEIGHBOURS_SEEDS:
                    found[shape][name].append(roc_auc_score(is_true, score(X, y)))
    return found


def outcome(found, ours):
    """Compare with the paper: ours leads along curves, correlation along lines."""
    means = {
        shape: {name: float(np.mean(values)) for name, values in of_shape.items()}
        for shape, of_shape in found.items()
    }
    leaders = {
        shape: max(of_shape, key=of_shape.get) for shape, of_shape in means.items()
    }
    as_told = [leaders[shape] == ours for shape in CURVES]
    as_told.append(leaders["linear"] == "correlation")
    verdict = "partly" if any(as_told) else "not reproduced"
    figures = {
        shape: {
            name: f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"
            for name, values in of_shape.items()
        }
        for shape, of_shape in found.items()
    }
    wins = {
        shape: sum(np.greater(found[shape][ours], found[shape]["correlation"]))
        for shape in SHAPES
    }
    told = "; ".join(
        f"{shape} {means[shape][ours]:.2f} against {means[shape]['correlation']:.2f} "
        f"(ahead in {wins[shape]})"
        for shape in SHAPES
    )
    return Outcome(
        "reproduced" if all(as_told) else verdict,
        summary=(
            f"{len(SEEDS)} seeds ({len(NEIGHBOURS_SEEDS)} of nearest neighbours), AUC of "
            f"{N_TRUE} true columns among {N_COLUMNS}, {ours} against correlation: {told}."
        ),
        measured={"AUC": figures, "leader": leaders},
    )


@claim(
    "Continuous target: mutual information by kernel densities finds columns that act "
    "along curves better than correlation, histograms and nearest neighbours; "
    "correlation leads along lines"
)
def continuous_target():
    """Add noise of half the signal's spread."""
    return outcome(areas(CONTINUOUS, is_binary=False), "kde")


@claim(
    "Binary target: mutual information by histograms finds columns that act along curves "
    "better than correlation and nearest neighbours; correlation leads along lines"
)
def binary_target():
    """Cut the same targets at their medians."""
    return outcome(areas(BINARY, is_binary=True), "binning")
