"""What sparse regressors and classifiers share: parameters, the fit, linear scores."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning

from minimalml._core.callbacks import CallbackSupportMixin, fit_task
from minimalml._core.threads import few_blas_threads
from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    StrOptions,
    check_is_fitted,
    validate_data,
)
from minimalml.linear_model._nonconvex._weighted_rows import weigh_rows
from minimalml.linear_model._penalised_loss import minimise
from minimalml.linear_model._penalties import make_penalty

FLOATS = [np.float64, np.float32]
SEPARATION = (
    "The coefficients separate the classes, and the penalty is flat where they are: the "
    "objective falls along them without end, so their size is where the solver ended. "
    "Raise alpha, or take penalty='l1' with a positive alpha."
)


class NonconvexModel(CallbackSupportMixin, BaseEstimator):
    """Linear scores of which each has a loss and a penalty of its own."""

    _parameter_constraints = {
        "penalty": [StrOptions({"scad", "mcp", "l1"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "concavity": [Interval(Real, 1, None, closed="neither"), None],
        "solver": [StrOptions({"accelerated", "conjugate_gradient"})],
        "fit_intercept": ["boolean"],
        "standardize": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        penalty="scad",
        alpha=0.1,
        *,
        concavity=None,
        solver="accelerated",
        fit_intercept=True,
        standardize=True,
        max_iter=5000,
        tol=1e-6,
        warm_start=False,
    ):
        self.penalty = penalty
        self.alpha = alpha
        self.concavity = concavity
        self.solver = solver
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start

    def _weigh(self, X, y, sample_weight):
        center, scale = self.fit_intercept, self.standardize
        with np.errstate(over="ignore", invalid="ignore"):
            return weigh_rows(X, y, sample_weight, center=center, scale=scale)

    def _earlier(self, shape):
        """Return coefficients and intercepts of the fit before, None for a cold start."""
        if not (self.warm_start and hasattr(self, "coef_")):
            return None
        coef = np.atleast_2d(self.coef_).astype(np.float64)
        if coef.shape != shape:
            raise ValueError(
                f"warm_start=True needs coefficients of shape {shape}, but those of the "
                f"fit before have {coef.shape}: set warm_start=False for other features "
                "or classes."
            )
        return coef, np.atleast_1d(self.intercept_)

    def _solve(self, data, rows, losses, points, attributes, offset=0.0):
        """Minimise each loss from its row of ``points``, and set the fitted attributes.

        Columns of points beyond those of the rows are of ones, and free of the penalty.
        ``attributes(coef, intercept)`` names what is needed to predict.
        """
        n_features, dtype = rows.columns.shape[1], data[0].dtype

        def fitted():
            constants = offset + points[:, n_features:].sum(axis=1)
            coef, intercept = rows.restore(points[:, :n_features], constants)
            return attributes(coef.astype(dtype), intercept)

        alphas = np.where(np.arange(points.shape[1]) < n_features, self.alpha, 0.0)
        n_steps = self.max_iter * len(losses)
        with (
            few_blas_threads(rows.columns.size),
            np.errstate(over="ignore", invalid="ignore"),
            fit_task(self, *data, n_steps) as task,
        ):
            penalty = make_penalty(self.penalty, alphas, self.concavity)
            curvature = losses[0].curvature()  # of them all
            fits = [
                self._minimise(loss, penalty, points, number, curvature, task, fitted)
                for number, loss in enumerate(losses)
            ]
            found = fitted()
        if not all(np.isfinite(found[name]).all() for name in ("coef_", "intercept_")):
            raise ValueError(f"X varies too little beside y for {dtype}: scale X.")
        results, objectives = zip(*fits, strict=True)
        found["n_iter_"] = max(result.n_iter for result in results)
        found["stationarity_"] = max(result.stationarity for result in results)
        found["objective_"] = sum(objectives)
        for name, value in found.items():
            setattr(self, name, value)
        is_separated = any(
            loss.is_separated(point, penalty.cap)
            for loss, point in zip(losses, points, strict=True)
        )
        if not task.is_stopped:
            self._warn(is_separated, all(result.converged for result in results))

    def _warn(self, is_separated, has_converged):
        """Say that there may be no minimum, or else that none was reached."""
        if is_separated:
            warnings.warn(SEPARATION, ConvergenceWarning, stacklevel=4)
        elif not has_converged:
            warnings.warn(
                f"The solver ended after {self.n_iter_} iterations with a stationarity "
                f"of {self.stationarity_:.1e}, not below tol={self.tol:g}: raise max_iter "
                "or tol.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _minimise(self, loss, penalty, points, number, curvature, task, fitted):
        """Minimise one loss in its row of ``points``; return result and objective."""

        def show(point):
            points[number] = point
            with task.step("iteration", attributes=fitted):
                pass  # its work is done
            return task.is_stopped

        result, objective = minimise(
            loss, penalty, points[number].copy(), solver=self.solver,
            curvature=curvature, max_iter=0 if task.is_stopped else self.max_iter,
            tol=self.tol, after_iteration=show,
        )  # fmt: skip
        points[number] = result.x
        return result, objective

    def _scores(self, X):
        """Return one score for each row and row of ``coef_``."""
        check_is_fitted(self, "coef_")
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        coef = np.atleast_2d(self.coef_).astype(X.dtype, copy=False)
        return X @ coef.T + np.asarray(self.intercept_, dtype=X.dtype)
