"""Forests that fit their training rows exactly smooth on new ones, and why they err less.

Paper: Curth, Jeffares and van der Schaar, 2024; its simulated functions of five features.
Targets to predict are without noise; nothing is chosen on the new rows.
"""

import numpy as np
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeRegressor

from benchmarks.claims import Outcome, claim
from minimalml.datasets import make_mars
from minimalml.inspection import (
    SmootherAnalysis,
    effective_parameters,
    effective_parameters_by_offset,
    error_mechanisms,
)

N, SEEDS, N_REFITS = 500, range(5), 10
# The ends of the range that studies of forests take (Mentch and Zhou, JMLR 2020)
SIGNAL_TO_NOISE = (6.0, 0.05)
THIRD = {"max_features": 1 / 3}
OFFSETS = [0.0, 0.01, 0.03, 0.1, 0.3]
INTERPOLATING = ("forest of whole samples, a third", "extra trees")
MODELS = {
    "tree": DecisionTreeRegressor(),
    "tree, a third": DecisionTreeRegressor(**THIRD),
    "forest of whole samples, a third": RandomForestRegressor(bootstrap=False, **THIRD),
    "forest": RandomForestRegressor(),
    "forest, a third": RandomForestRegressor(**THIRD),
    "extra trees": ExtraTreesRegressor(),
    "boosting": GradientBoostingRegressor(max_leaf_nodes=8, max_depth=None),
}


def rows_and_targets(seed, noise=1.0, n_new=N):
    """Return training rows with noisy targets, and new rows with targets without."""
    X, signal = make_mars(N + n_new, noise=0.0, random_state=seed)
    _, y = make_mars(N + n_new, noise=noise, random_state=seed)
    return X[:N], y[:N], X[N:], signal[N:]


def measure(model, seed):
    """Return p0 on training rows and on new ones, along trees too, and the error."""
    X, y, X_new, target = rows_and_targets(seed)
    analysis = SmootherAnalysis(model, random_state=seed).fit(X, y)
    p0_new = analysis.effective_parameters(X_new)
    is_forest = hasattr(model, "n_estimators") and hasattr(model, "bootstrap")
    return {
        "p0_train": analysis.p0_train_,
        "p0_new": p0_new,
        "mse": np.mean((analysis.predict(X_new) - target) ** 2),
        "staged": analysis.effective_parameters(X_new, staged=True)
        if is_forest
        else None,
        "model": analysis.estimator_,
    }


def span(values):
    """Write mean and standard deviation."""
    return f"{np.mean(values):.3g} ± {np.std(values, ddof=1):.2g}"


def verdict(passed):
    return (
        "reproduced" if all(passed) else "partly" if any(passed) else "not reproduced"
    )


@claim(
    "Ensembles that fit the training rows exactly have n effective parameters there and less "
    "than n/5 on new rows; those fall with the number of trees and with the distance from "
    "the training rows, and forests err less than their trees"
)
def smooth_on_new_rows():
    """Take the settings of the paper: 500 training rows, 500 new ones, 100 trees."""
    found = {
        name: [measure(model, seed) for seed in SEEDS] for name, model in MODELS.items()
    }
    values = {
        name: {key: np.array([run[key] for run in runs]) for key in ("p0_train", "p0_new", "mse")}
        for name, runs in found.items()
    }  # fmt: skip
    steps = [0, 4, 9, 29, 99]
    staged = {
        name: np.array([run["staged"][steps] for run in runs])
        for name, runs in found.items()
        if runs[0]["staged"] is not None
    }
    curves = {
        name: np.array([
            effective_parameters_by_offset(
                run["model"], rows_and_targets(seed)[0], OFFSETS, n_repeats=3,
                random_state=seed,
            )
            for seed, run in zip(SEEDS, found[name], strict=True)
        ])
        for name in INTERPOLATING
    }  # fmt: skip
    passed = [
        all(np.allclose(values[name]["p0_train"], N) for name in INTERPOLATING),
        all((values[name]["p0_new"] <= N / 5).all() for name in INTERPOLATING),
        all((np.diff(curve, axis=1) < 0).all() for curve in staged.values()),
        all((np.diff(curve, axis=1) < 0).all() for curve in curves.values()),
        all(
            (values["forest, a third"][k] < values["forest"][k]).all()
            for k in ("p0_new",)
        ),
        (values["forest"]["mse"] < values["tree"]["mse"]).all(),
        (values["forest, a third"]["mse"] < values["tree, a third"]["mse"]).all(),
    ]
    whole, extra = (values[name] for name in INTERPOLATING)
    return Outcome(
        verdict(passed),
        summary=(
            f"{len(SEEDS)} seeds, n = {N}: on training rows {N} effective parameters, on new "
            f"ones {span(whole['p0_new'])} (forest of whole samples) and "
            f"{span(extra['p0_new'])} (extra trees); full trees {N} on both. Squared error "
            f"{span(values['forest']['mse'])} (forest) against "
            f"{span(values['tree']['mse'])} (tree)."
        ),
        measured={
            "model: p0 of training rows; of new rows; squared error": {
                name: "; ".join(span(column) for column in columns.values())
                for name, columns in values.items()
            },
            f"p0 of new rows after {[step + 1 for step in steps]} trees": {
                name: curve.mean(axis=0).round(1).tolist()
                for name, curve in staged.items()
            },
            f"p0 at offsets {OFFSETS}": {
                name: curve.mean(axis=0).round(1).tolist()
                for name, curve in curves.items()
            },
        },
    )


def mechanisms(n_trees, noise, seed, max_features=1 / 3):
    """Refit on the same rows; add the variance from noise at fixed weights."""
    X, y, X_new, target = rows_and_targets(seed, noise)
    forests = [
        RandomForestRegressor(n_trees, max_features=max_features, random_state=refit)
        for refit in range(N_REFITS)
    ]
    predictions = [forest.fit(X, y).predict(X_new) for forest in forests]
    parts = error_mechanisms(predictions, target)
    p0 = effective_parameters(forests[0], X_new, X_train=X)
    return {
        "statistical variance": noise**2 * p0 / N,
        "model variability": parts["model_variability"],
        "representation bias": parts["representation_bias"],
        "squared error": parts["mse"].mean(),
    }


@claim(
    "Forests lower all three mechanisms of error of their trees: variance from noise, "
    "variability of what is learnt, and bias; few features at a split pay off where noise "
    "is high"
)
def three_mechanisms():
    """Refit 1, 10 and 100 trees ten times on the same rows, with little noise and much."""
    signal = make_mars(100_000, noise=0.0, random_state=0)[1]
    cells, passed, gains = {}, [], {}
    for ratio in SIGNAL_TO_NOISE:
        noise, at = np.sqrt(signal.var() / ratio), f"signal to noise {ratio:g}"
        runs = {
            n_trees: [mechanisms(n_trees, noise, seed) for seed in SEEDS]
            for n_trees in (1, 10, 100)
        }
        for part in runs[1][0]:
            values = [
                np.array([run[part] for run in of_size]) for of_size in runs.values()
            ]
            cells[f"{at}: {part}"] = [float(f"{value.mean():.3g}") for value in values]
            passed.append((values[-1] < values[0]).all())
        of_all = [mechanisms(100, noise, seed, 1.0)["squared error"] for seed in SEEDS]
        of_third = [run["squared error"] for run in runs[100]]
        gains[ratio] = np.array(of_third) / of_all
        cells[f"{at}: error, a third of the features over all"] = span(gains[ratio])
    clear, noisy = SIGNAL_TO_NOISE
    passed.append((gains[noisy] < 1).all() and (gains[noisy] < gains[clear]).all())
    bias = {
        ratio: cells[f"signal to noise {ratio:g}: representation bias"]
        for ratio in gains
    }
    return Outcome(
        verdict(passed),
        summary=(
            f"{len(SEEDS)} seeds, {N_REFITS} refits; bias of 1, 10 and 100 trees "
            f"{bias[clear]} where signal to noise is {clear:g} and {bias[noisy]} where it "
            f"is {noisy:g}. A third of the features at a split multiplies the error by "
            f"{span(gains[clear])} and {span(gains[noisy])}."
        ),
        measured={"1, 10 and 100 trees": cells},
    )


def degrees_of_freedom(model, seed, n_rows=200, n_draws=60):
    """Return those by refits with new noise, the trace of weights, and p0."""
    X, signal = make_mars(n_rows, noise=0.0, random_state=seed)
    rng = np.random.default_rng(seed)
    Y = signal + rng.standard_normal((n_draws, n_rows))
    runs = [SmootherAnalysis(model, random_state=seed).fit(X, y) for y in Y]
    predictions = np.array([run.predict(X) for run in runs])
    noise = Y - signal
    by_refits = ((predictions - predictions.mean(axis=0)) * noise).sum() / (n_draws - 1)
    traces = np.mean([np.trace(run.weights()) for run in runs])
    return by_refits, traces, np.mean([run.p0_train_ for run in runs])


@claim(
    "Effective parameters hold the weights fixed: degrees of freedom by refitting are more, "
    "since splits follow the targets as well"
)
def degrees_of_freedom_by_refitting():
    """Take 200 rows, 60 refits with new noise; forests of 50 trees, leaves of at least 5 rows."""
    cells, passed = {}, []
    for max_features in (1 / 5, 3 / 5, 1.0):
        model = RandomForestRegressor(50, min_samples_leaf=5, max_features=max_features)
        table = np.array([degrees_of_freedom(model, seed) for seed in SEEDS])
        cells[f"{max_features:.1f} of the features at a split"] = "; ".join(
            span(column) for column in table.T
        )
        passed.append((table[:, 0] > table[:, 1]).all())
    return Outcome(
        verdict(passed),
        summary=(
            f"{len(SEEDS)} seeds; by refitting, trace of the weights, p0 of training rows, "
            f"with all features at a split: {cells['1.0 of the features at a split']}."
        ),
        measured={"by refitting; trace of weights; p0": cells},
    )
