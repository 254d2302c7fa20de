"""How near the plan of a light bridge comes to a known one.

Paper: Korotin, Gushchin, Burnaev, ICLR 2024; pairs as in its benchmark, `pairs.py`. The
estimator's defaults throughout, so nothing is chosen on new rows; the paper's solver is
``solver="adam", init="samples"``, and takes 10,000 steps there, 2,000 here.
"""

import time
import warnings

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestNeighbors

from benchmarks.claims import Outcome, claim
from benchmarks.light_bridge.pairs import errors, independent, known_pair
from minimalml.transport import LightSchrodingerBridge
from minimalml.transport._light_bridge._adam import (
    _pack,
    _unpack,
    loss_and_gradient,
)

N_ROWS, N_NEW, N_COMPONENTS = 5_000, 1_000, 10
EPSILONS = (0.1, 1.0, 10.0)
SEEDS = {2: range(5), 16: range(3)}
ROUTES = {
    "em, diag": {},
    "em, full": {"covariance_type": "full"},
    "adam, diag": {"solver": "adam", "init": "samples"},
}


def fit(X0, X1, epsilon, **options):
    """Fit a bridge; whether the last iteration was needed is no matter here."""
    options = {"epsilon": epsilon, "random_state": 0} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LightSchrodingerBridge(N_COMPONENTS, **options).fit_samples(X0, X1)


def fit_by_gradients(X0, X1, epsilon):
    """L-BFGS on 2,000 rows, from the start at rows of the target."""
    X0, X1 = X0[:2_000], X1[:2_000]
    options = {"init": "samples", "solver": "adam", "learning_rate": 1e-12}
    start = _pack(fit(X0, X1, epsilon, max_iter=1, **options)._potential)

    def objective(flat):
        potential = _unpack(flat.reshape(start.shape), epsilon)
        loss, gradient = loss_and_gradient(X0, X1, potential)
        return loss, gradient.ravel()

    found = minimize(
        objective, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500}
    )
    potential = _unpack(found.x.reshape(start.shape), epsilon)
    return LightSchrodingerBridge.from_parameters(*potential[:3], epsilon=epsilon)


def one_pair(n_features, epsilon, seed, together, with_gradients=True):
    """Errors of all of the target, of it given each new row, and seconds, by route."""
    truth, X0, X1 = known_pair(N_ROWS, n_features, epsilon, seed, together)
    new = np.random.RandomState(1_000 + seed).normal(size=(N_NEW, n_features))
    found = {"independent": (*errors(independent(X1, N_NEW), truth, new), 0.0)}
    fits = {name: (fit, options) for name, options in ROUTES.items()}
    if with_gradients:
        fits["L-BFGS, diag, 2000 rows"] = (fit_by_gradients, {})
    for name, (function, options) in fits.items():
        start = time.perf_counter()
        bridge = function(X0, X1, epsilon, **options)
        seconds = time.perf_counter() - start
        found[name] = *errors(bridge.conditional_moments(new), truth, new), seconds
    return found


def in_figures(runs):
    """Median, least and largest error given new rows, error of all, and seconds."""
    figures = {}
    for name in runs[0]:
        of_all, of_rows, seconds = np.array([run[name] for run in runs]).T
        figures[name] = (
            f"{np.median(of_rows):.3g} ({of_rows.min():.3g} to {of_rows.max():.3g}) / "
            f"{np.median(of_all):.2g} / {np.median(seconds):.1f} s"
        )
    return figures


def judge(runs_by_epsilon):
    """Return verdict and summary of the pairs of two features."""
    medians = {
        epsilon: {name: np.median([run[name][1] for run in runs]) for name in runs[0]}
        for epsilon, runs in runs_by_epsilon.items()
    }
    is_far = all(
        m[name] <= 0.1 * m["independent"] for m in medians.values() for name in ROUTES
    )
    is_no_worse = all(
        m["em, diag"] <= m["adam, diag"]
        for epsilon, m in medians.items()
        if epsilon >= 1
    )
    verdict = "reproduced" if is_no_worse else "partly"
    figures = "; ".join(
        f"epsilon {epsilon:g}: em {m['em, diag']:.2g} %, adam {m['adam, diag']:.2g} %, "
        f"independent {m['independent']:.3g} %"
        for epsilon, m in medians.items()
    )
    return (
        verdict if is_far else "not reproduced",
        f"{len(SEEDS[2])} pairs of 2 features, median cBW2-UVP: {figures}.",
    )


@claim(
    "On pairs with a known plan the bridge gives the law of the target given a new row, "
    "far from what ignoring the source gives, in seconds on one core; em is no worse "
    "than the paper's adam for epsilon of at least 1"
)
def known_pairs():
    """Two features decide the verdict: the spread over pairs is large, so medians do."""
    figures, found = {}, {}
    for n_features, seeds in SEEDS.items():
        for epsilon in EPSILONS:
            runs = [one_pair(n_features, epsilon, seed, True) for seed in seeds]
            title = f"{n_features} features, epsilon {epsilon:g}"
            figures[f"{title}: cBW2-UVP % / BW2-UVP % / time"] = in_figures(runs)
            found[n_features, epsilon] = runs
    verdict, summary = judge({epsilon: found[2, epsilon] for epsilon in EPSILONS})
    return Outcome(verdict, summary, figures)


@claim("The same where both samples are drawn apart, so that chance is in their plan")
def drawn_apart():
    """Two features; the error that no fit can avoid hides most of what sets two apart."""
    found = {
        epsilon: [one_pair(2, epsilon, seed, False, False) for seed in SEEDS[2]]
        for epsilon in EPSILONS
    }
    figures = {
        f"epsilon {epsilon:g}: cBW2-UVP % / BW2-UVP % / time": in_figures(runs)
        for epsilon, runs in found.items()
    }
    return Outcome(*judge(found), figures)


def sinkhorn_moments(X0, X1, epsilon, new):
    """Moments of the discrete plan at the source row that is nearest to each new row."""
    import ot as pot  # codespell:ignore ot

    n = len(X0)
    plan = pot.sinkhorn(
        np.full(n, 1 / n), np.full(n, 1 / n), pot.dist(X0, X1) / 2, epsilon,
        method="sinkhorn_log", numItermax=300, stopThr=1e-6, warn=False,
    )  # fmt: skip
    nearest = NearestNeighbors(n_neighbors=1).fit(X0).kneighbors(new)[1][:, 0]
    laws = plan[nearest] / plan[nearest].sum(axis=1, keepdims=True)
    mean = laws @ X1
    products = (X1[:, :, None] * X1[:, None]).reshape(n, -1)
    second = (laws @ products).reshape(len(new), X1.shape[1], -1)
    return mean, second - mean[:, :, None] * mean[:, None]


@claim(
    "For new rows the bridge is nearer to the known plan than Sinkhorn's plan at the "
    "nearest row, on the same data"
)
def sinkhorn():
    """1,000 rows of each sample; the same bridges as above."""
    gaps, figures = [], {}
    for n_features in SEEDS:
        pairs = []
        for seed in range(3):
            truth, X0, X1 = known_pair(1_000, n_features, 1.0, seed)
            new = np.random.RandomState(1_000 + seed).normal(size=(500, n_features))
            bridge = fit(X0, X1, 1.0).conditional_moments(new)
            discrete = sinkhorn_moments(X0, X1, 1.0, new)
            pairs.append([errors(m, truth, new)[1] for m in (bridge, discrete)])
        gaps += [bridge < discrete for bridge, discrete in pairs]
        figures[f"{n_features} features, cBW2-UVP %"] = {
            name: [round(pair[i], 2) for pair in pairs]
            for i, name in enumerate(("em, diag", "Sinkhorn, nearest row"))
        }
    return Outcome(
        "reproduced" if all(gaps) else "partly" if any(gaps) else "not reproduced",
        summary=f"The bridge is nearer in {sum(gaps)} of {len(gaps)} pairs, epsilon 1.",
        measured=figures,
    )
