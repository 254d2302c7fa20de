"""SCAD by gradients beside coordinate descent, plain proximal gradient and the Lasso.

skglm's coordinate descent with working sets is the fastest tool for the same penalties;
scikit-learn's Lasso and LogisticRegression are what one has at hand.
"""

import time
import warnings
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LogisticRegression

from benchmarks.compare import Comparison
from benchmarks.nonconvex._tables import (
    ALPHA_SHARE,
    CoordinateDescent,
    autoregressive_rows,
    largest_alpha,
    paper_table,
    scattered_table,
)
from minimalml.linear_model import NonconvexClassifier, NonconvexRegressor
from minimalml.linear_model._penalised_loss import SquaredLoss
from minimalml.linear_model._penalties import make_penalty
from minimalml.linear_model._proximal import soft_threshold, stationarity

PREPARED = {"fit_intercept": False, "standardize": False}


def wide(n):
    """Draw ``n`` rows of 2.5 n columns with correlation 0.9."""
    X, y, _ = scattered_table(n, 5 * n // 2, 0.9, seed=0)
    return X, y, ALPHA_SHARE * largest_alpha(X, y)


def tall(n):
    """Draw ``n`` rows of 50 columns with correlation 0.9."""
    X, y, _ = scattered_table(n, 50, 0.9, seed=0)
    return X, y, ALPHA_SHARE * largest_alpha(X, y)


def labelled(n):
    """Draw ``n`` rows of 200 columns with correlation 0.5, and classes that overlap."""
    rng = np.random.default_rng(0)
    X = autoregressive_rows(n, 200, 0.5, rng)
    logits = X[:, ::20] @ np.resize([2.0, -1.0], 10)
    return X, rng.random(n) < 1 / (1 + np.exp(-logits)), 0.03


def fit(data, penalty="scad", solver="accelerated"):
    X, y, alpha = data
    return NonconvexRegressor(penalty, alpha, solver=solver, **PREPARED).fit(X, y).coef_


def fit_by_proximal_gradient(data):
    """Take the steps of the accelerated solver without acceleration."""
    X, y, alpha = data
    loss = SquaredLoss(X / np.sqrt(len(y)), y / np.sqrt(len(y)))
    penalty, x, gap = make_penalty("scad", alpha), np.zeros(X.shape[1]), np.inf
    step = 0.99 / loss.curvature()
    while gap > 1e-6:
        slope = loss.gradient(x) + penalty.concave_gradient(x)
        before, x = x, soft_threshold(x - step * slope, step * alpha)
        gap = np.abs(x - before).max() / step


def fit_by_coordinates(data, penalty="scad"):
    return CoordinateDescent(penalty).fit(*data)


def fit_lasso(data):
    X, y, alpha = data
    return Lasso(alpha, fit_intercept=False, max_iter=10_000).fit(X, y).coef_


def fit_classes(data, penalty="scad", solver="accelerated"):
    X, y, alpha = data
    NonconvexClassifier(penalty, alpha, solver=solver).fit(X, y)


def fit_l1_classes(data):
    X, y, alpha = data
    LogisticRegression(
        l1_ratio=1, C=1 / (alpha * len(y)), solver="liblinear", tol=1e-6
    ).fit(X, y)


FITS = {
    "minimalml SCAD": fit,
    "minimalml SCAD, conjugate": partial(fit, solver="conjugate_gradient"),
    "skglm SCAD": fit_by_coordinates,
    "minimalml MCP": partial(fit, penalty="mcp"),
    "skglm MCP": partial(fit_by_coordinates, penalty="mcp"),
    "scikit-learn Lasso": fit_lasso,
}


def figures(name, fit, data, coef):
    """Return objective, stationarity, support, error and seconds of one fit."""
    X, y, alpha = data
    fit(data)  # compiles
    start = time.perf_counter()
    found = fit(data)
    seconds = time.perf_counter() - start
    loss = SquaredLoss(X / np.sqrt(len(y)), y / np.sqrt(len(y)))
    kind = next((kind for kind in ("scad", "mcp") if kind.upper() in name), "l1")
    penalty = make_penalty(kind, alpha)
    slope = loss.gradient(found) + penalty.concave_gradient(found)
    return (
        loss.value(found) + penalty.value(found), stationarity(slope, found, alpha),
        np.count_nonzero(found), np.count_nonzero(found * coef),
        ((found - coef) ** 2).sum() / (coef @ coef), seconds,
    )  # fmt: skip


def print_tables():
    """Print what each fit finds at the same strength, from zero coefficients."""
    heading = ("objective", "0 to within", "kept", "true", "error", "seconds")
    tables = {
        "ten scattered columns of 500, 200 rows": scattered_table(
            200, 500, 0.9, seed=0
        ),
        "the paper's five runs of ten, 530 columns, 600 rows": paper_table(
            300, 120, 0.9, 10, seed=0
        ),
    }
    for title, (X, y, coef) in tables.items():
        print(f"\nOne fit at correlation 0.9: {title}")
        print(f"{'':<28}" + "".join(f"{name:>13}" for name in heading))
        data = X, y, ALPHA_SHARE * largest_alpha(X, y)
        for name, route in FITS.items():
            value, violation, *rest = figures(name, route, data, coef)
            print(
                f"{name:<28}{value:>13.4f}{violation:>13.0e}{rest[0]:>13}{rest[1]:>13}"
                f"{rest[2]:>13.3f}{rest[3]:>13.4f}"
            )
    print("true: true columns among those kept; error: |coef - truth|² / |truth|²")


warnings.simplefilter("ignore", ConvergenceWarning)  # of the Lasso, at its defaults

COMPARISONS = [
    Comparison(
        title="SCAD on n rows of 2.5 n columns, correlation 0.9",
        setup=wide,
        ours=fit,
        peers={
            "conjugate gradients": FITS["minimalml SCAD, conjugate"],
            "plain proximal gradient": fit_by_proximal_gradient,
            "skglm SCAD": fit_by_coordinates,
            "scikit-learn Lasso": fit_lasso,
        },
        sizes=(100, 200, 800),
        threads=(1,),
        target="at most 5 times skglm, at an objective that is no higher",
        afterwards=print_tables,
    ),
    Comparison(
        title="SCAD on n rows of 50 columns, correlation 0.9",
        setup=tall,
        ours=fit,
        peers={"skglm SCAD": fit_by_coordinates, "scikit-learn Lasso": fit_lasso},
        sizes=(10_000, 100_000),
        threads=(1,),
    ),
    Comparison(
        title="Logistic regression on n rows of 200 columns, correlation 0.5",
        setup=labelled,
        ours=fit_classes,
        peers={
            "ours, conjugate gradients": partial(
                fit_classes, solver="conjugate_gradient"
            ),
            "ours, l1": partial(fit_classes, penalty="l1"),
            "scikit-learn l1, liblinear": fit_l1_classes,
        },
        sizes=(1_000, 10_000),
        threads=(1,),
    ),
]
