"""Sparse linear and logistic regression whose large coefficients are not shrunk.

SCAD and MCP penalties, minimised to stationary points by solvers that hold their pace
where columns are correlated.

Yang, Asgharian, Bhatnagar, "Accelerated Gradient Methods for Sparse Statistical Learning
with Nonconvex Penalties", 2020, arXiv:2009.10629; Yang, "Contributions to Robust and
Efficient Methods for Analysis of High Dimensional Data", McGill University, 2025.
"""

import warnings
from functools import partial

import numpy as np
from scipy.special import expit, log_expit, logit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning

from minimalml._core.array_checks import unique_labels
from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.threads import few_blas_threads
from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    StrOptions,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.linear_model._nonconvex._weighted_rows import weigh_rows
from minimalml.linear_model._penalised_loss import LogisticLoss, SquaredLoss, minimise
from minimalml.linear_model._penalties import make_penalty

FLOATS = [np.float64, np.float32]
SEPARATION = (
    "The coefficients separate the classes, and the penalty is flat where they are: the "
    "objective falls along them without end, so their size is where the solver ended. "
    "Raise alpha, or take penalty='l1' with a positive alpha."
)


class _NonconvexModel(CallbackSupportMixin, BaseEstimator):
    """What the regressor and the classifier share: parameters, rows, linear scores."""

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
        return weigh_rows(
            X, y, sample_weight, center=self.fit_intercept, scale=self.standardize
        )

    def _start(self, shape):
        """Return coefficients and intercepts of the fit before, or None for a cold start."""
        if not (self.warm_start and hasattr(self, "coef_")):
            return None
        if self.coef_.shape != shape:
            raise ValueError(
                f"warm_start=True needs coefficients of shape {shape}, but the fit before "
                f"had {self.coef_.shape}: set warm_start=False for other features or "
                "classes."
            )
        return self.coef_.astype(np.float64), self.intercept_

    def _minimise(self, loss, penalty, start, task, curvature=None):
        with np.errstate(over="ignore", invalid="ignore"):
            return minimise(
                loss, penalty, start, solver=self.solver, curvature=curvature,
                max_iter=self.max_iter, tol=self.tol, task=task,
            )  # fmt: skip

    def _keep(self, coef, intercept, results, objectives, dtype):
        """Set the fitted attributes."""
        with np.errstate(over="ignore"):
            self.coef_, self.intercept_ = coef.astype(dtype), intercept
        self.n_iter_ = max(result.n_iter for result in results)
        self.stationarity_ = max(result.stationarity for result in results)
        self.objective_ = sum(objectives)
        if not (np.isfinite(self.coef_).all() and np.isfinite(intercept).all()):
            raise ValueError(f"X varies too little beside y for {dtype}: scale X.")

    def _warn_if_not_converged(self, results, task):
        if not (task.is_stopped or all(result.converged for result in results)):
            warnings.warn(
                f"The solver ended after {self.n_iter_} iterations with a stationarity "
                f"of {self.stationarity_:.1e}, not below tol={self.tol:g}: raise max_iter "
                "or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _scores(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        return X @ self.coef_.T.astype(X.dtype) + np.asarray(self.intercept_, X.dtype)


class NonconvexRegressor(RegressorMixin, _NonconvexModel):
    r"""Sparse linear regression that leaves large coefficients as they are.

    For many features of which few matter, where Lasso would shrink the coefficients that
    it keeps, and keep too many. The objective is not convex: the result is a stationary
    point, exactly sparse. Where columns are hardly correlated coordinate descent is
    faster; for prediction alone, of dense effects, take Ridge.

    O(n p) time an iteration, with at most 2 p rows after one pass of O(n p²) over
    longer tables, and O(n p) memory.

    Parameters
    ----------
    penalty : {"scad", "mcp", "l1"}, default="scad"
        SCAD is flat from ``concavity * alpha`` on, MCP too, "l1" is the Lasso.

    alpha : float, default=0.1
        Slope of the penalty at zero, at least 0, in units of y for columns of unit
        spread. More makes more zeros.

    concavity : float, default=None
        The larger, the farther coefficients are shrunk, and the closer the problem is to
        the convex one. Above 2 for "scad", above 1 for "mcp"; None is 3.7 and 3.
        Ignored by "l1".

    solver : {"accelerated", "conjugate_gradient"}, default="accelerated"
        The second takes fewer iterations, of about three gradients each.

    fit_intercept : bool, default=True
        Whether there is an intercept, which is not penalised.

    standardize : bool, default=True
        Divide columns by their standard deviation, so that the penalty treats them alike.

    max_iter : int, default=5000
        Largest number of iterations.

    tol : float, default=1e-6
        Largest ``stationarity_``, in units of y for columns of unit spread.

    warm_start : bool, default=False
        Start from the coefficients of the fit before instead of zeros.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features_in_,)
        Coefficients, in the float type of the rows.

    intercept_ : float
        The intercept.

    n_iter_ : int
        Number of iterations.

    objective_ : float
        What was minimised, of the standardised columns.

    stationarity_ : float
        Largest violation of the optimality conditions: 0 at a stationary point.

    n_features_in_ : int
        Number of features seen by `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by `fit`, if all are strings.

    See Also
    --------
    NonconvexClassifier : The same for classes.
    accelerated_proximal_gradient : The solver, for any smooth function.

    Notes
    -----
    With weights w of sum 1, it minimises
    :math:`\frac12 \sum_i w_i (y_i - x_i^T \theta - b)^2 + \sum_j p(|\theta_j|)`. The
    slope of p at t is :math:`\lambda` up to :math:`\lambda` (SCAD) or 0 (MCP), and then
    falls linearly to 0 at :math:`a \lambda`. Beyond it there is no shrinkage.

    References
    ----------
    .. [1] K. Yang, M. Asgharian, S. Bhatnagar, "Accelerated Gradient Methods for Sparse
       Statistical Learning with Nonconvex Penalties", 2020. arXiv:2009.10629

    .. [2] K. Yang, "Contributions to Robust and Efficient Methods for Analysis of High
       Dimensional Data", McGill University, 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.linear_model import NonconvexRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 200))
    >>> y = 3 * X[:, 0] - 2 * X[:, 1] + 0.1 * rng.normal(size=100)
    >>> model = NonconvexRegressor(alpha=0.3).fit(X, y)
    >>> np.flatnonzero(model.coef_).tolist(), model.coef_[:2].round(1).tolist()
    ([0, 1], [3.0, -2.0])
    """

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Find coefficients.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            At least 0; counts as repetition of the row.

        Returns
        -------
        self : NonconvexRegressor

        Raises
        ------
        ValueError
            If ``concavity`` is too small for the penalty, weights are negative or all 0,
            squares of X or y leave the range of floats, or a warm start meets another
            number of features.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS, y_numeric=True)
        penalty = make_penalty(self.penalty, self.alpha, self.concavity)
        rows = self._weigh(X, y.astype(np.float64), sample_weight)
        # columns are centred where there is an intercept, so the mean is all it needs
        mean = rows.y[0] + rows.weights @ (rows.y - rows.y[0])
        offset = mean if self.fit_intercept else 0.0
        start = self._start((X.shape[1],))
        start = np.zeros(X.shape[1]) if start is None else rows.prepare(*start)[0]
        roots = np.sqrt(rows.weights)
        with few_blas_threads(X.size), fit_task(self, X, y, self.max_iter) as task:
            loss = SquaredLoss(roots[:, None] * rows.columns, roots * (rows.y - offset))
            result, objective = self._minimise(loss, penalty, start, task)
        self._keep(*rows.restore(result.x, offset), [result], [objective], X.dtype)
        self._warn_if_not_converged([result], task)
        return self

    def predict(self, X):
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Predictions, in the float type of ``X``.
        """
        return self._scores(X)


class NonconvexClassifier(ClassifierMixin, _NonconvexModel):
    r"""Sparse logistic regression that leaves large coefficients as they are.

    For many features of which few matter. More than two classes are fitted one against
    the rest. The objective is not convex: the result is a stationary point, exactly
    sparse. If the classes can be separated, there may be no minimum, since the penalty
    is flat: a ConvergenceWarning says so; raise ``alpha``, or take "l1".

    O(n p) time an iteration and class, and O(n p) memory.

    Parameters
    ----------
    penalty : {"scad", "mcp", "l1"}, default="scad"
        SCAD is flat from ``concavity * alpha`` on, MCP too, "l1" is the Lasso's.

    alpha : float, default=0.1
        Slope of the penalty at zero, at least 0, for columns of unit spread. More makes
        more zeros.

    concavity : float, default=None
        The larger, the farther coefficients are shrunk, and the closer the problem is to
        the convex one. Above 2 for "scad", above 1 for "mcp"; None is 3.7 and 3.
        Ignored by "l1".

    solver : {"accelerated", "conjugate_gradient"}, default="accelerated"
        The second takes fewer iterations, of about three gradients each.

    fit_intercept : bool, default=True
        Whether there is an intercept, which is not penalised.

    standardize : bool, default=True
        Divide columns by their standard deviation, so that the penalty treats them alike.

    max_iter : int, default=5000
        Largest number of iterations for each class.

    tol : float, default=1e-6
        Largest ``stationarity_``.

    warm_start : bool, default=False
        Start from the coefficients of the fit before instead of zeros.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.

    coef_ : ndarray of shape (1, n_features_in_) or (n_classes, n_features_in_)
        Coefficients of ``classes_[1]``, or of each class if there are more than two, in
        the float type of the rows.

    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.

    n_iter_ : int
        Number of iterations, the largest of the classes.

    objective_ : float
        What was minimised, of the standardised columns; the sum over classes.

    stationarity_ : float
        Largest violation of the optimality conditions: 0 at a stationary point.

    n_features_in_ : int
        Number of features seen by `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by `fit`, if all are strings.

    See Also
    --------
    NonconvexRegressor : The same for numbers.
    proximal_conjugate_gradient : The other solver, for any smooth function.

    Notes
    -----
    With weights w of sum 1, labels 0 and 1 and :math:`\eta = x^T \theta + b`, it minimises
    :math:`\sum_i w_i (\log(1 + e^{\eta_i}) - y_i \eta_i) + \sum_j p(|\theta_j|)`, with p
    as in `NonconvexRegressor`.

    References
    ----------
    .. [1] K. Yang, M. Asgharian, S. Bhatnagar, "Accelerated Gradient Methods for Sparse
       Statistical Learning with Nonconvex Penalties", 2020. arXiv:2009.10629

    .. [2] K. Yang, "Contributions to Robust and Efficient Methods for Analysis of High
       Dimensional Data", McGill University, 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.linear_model import NonconvexClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 100))
    >>> y = X[:, 0] - X[:, 1] + 0.5 * rng.normal(size=200) > 0
    >>> model = NonconvexClassifier().fit(X, y)
    >>> np.flatnonzero(model.coef_).tolist()
    [0, 1]
    """

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Find coefficients.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,)
            Labels of any kind, two different ones or more.

        sample_weight : array-like of shape (n_samples,), default=None
            At least 0; counts as repetition of the row.

        Returns
        -------
        self : NonconvexClassifier

        Raises
        ------
        ValueError
            If ``concavity`` is too small for the penalty, y has one class, weights are
            negative or 0 for all rows of a class, squares of X leave the range of floats,
            or a warm start meets other features or classes.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS)
        classes, codes = unique_labels(y)
        rows = self._weigh(X, codes, sample_weight)
        targets = _one_against_rest(classes, rows.y)
        starts = self._starts(classes, rows, targets)
        # intercepts are coefficients of a column of ones, without penalty
        ones = np.ones((len(targets[0]), int(self.fit_intercept)))
        design = np.hstack([rows.columns, ones])
        alphas = np.repeat([self.alpha, 0.0], [X.shape[1], ones.shape[1]])
        penalty = make_penalty(self.penalty, alphas, self.concavity)
        with few_blas_threads(X.size), fit_task(self, X, y) as task:
            losses = [LogisticLoss(design, target, rows.weights) for target in targets]
            curvature = losses[0].curvature()  # of them all
            fits = [
                self._minimise(loss, penalty, start[: len(alphas)], task, curvature)
                for loss, start in zip(losses, starts, strict=True)
            ]
        results, objectives = zip(*fits, strict=True)
        coef = np.array([result.x for result in results])
        constant = coef[:, -1] if self.fit_intercept else np.zeros(len(coef))
        restored = rows.restore(coef[:, : X.shape[1]], constant)
        self.classes_ = classes
        self._keep(*restored, results, objectives, X.dtype)
        if any(map(partial(_is_separated, penalty), losses, coef)):
            warnings.warn(SEPARATION, ConvergenceWarning, stacklevel=2)
        else:
            self._warn_if_not_converged(results, task)
        return self

    def decision_function(self, X):
        """Return the logits.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Of ``classes_[1]``, or of each class against the rest if there are more than
            two, in the float type of ``X``.
        """
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict_proba(self, X):
        """Return probabilities of classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of ``classes_`` and the float type of ``X``; those of more than
            two classes are normalised.
        """
        scores = self._scores(X)
        if scores.shape[1] == 1:
            return expit(np.hstack([-scores, scores]))
        # as logarithms, since all of them may be too small for a float
        return softmax(log_expit(scores), axis=1)

    def predict(self, X):
        """Predict the likeliest class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels out of ``classes_``.
        """
        scores = self._scores(X)
        is_binary = scores.shape[1] == 1
        codes = (scores[:, 0] > 0).astype(int) if is_binary else scores.argmax(axis=1)
        return self.classes_[codes]

    def _starts(self, classes, rows, targets):
        """Return where to start for each target: coefficients and, last, the constant."""
        n_features = rows.columns.shape[1]
        warm = self._start((len(targets), n_features))
        if warm is None:
            constants = logit(targets @ rows.weights)
            return np.column_stack([np.zeros((len(targets), n_features)), constants])
        if not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start=True needs the classes of the fit before, {self.classes_}, "
                f"got {classes}: set warm_start=False."
            )
        return np.column_stack(rows.prepare(*warm))


def _one_against_rest(classes, codes):
    """Return 0 and 1 of each class, or of the second of two, a row for each target."""
    if len(classes) < 2:
        raise ValueError(
            f"NonconvexClassifier needs at least two classes, got one class: {classes[0]!r}."
        )
    absent = classes[np.bincount(codes, minlength=len(classes)) == 0]
    if len(absent):
        raise ValueError(
            f"sample_weight is 0 on all rows of the classes {absent.tolist()}: leave "
            "these rows out, or give them weight."
        )
    which = [1] if len(classes) == 2 else range(len(classes))
    return np.array([codes == code for code in which], dtype=np.float64)


def _is_separated(penalty, loss, coef):
    """Whether larger multiples of ``coef`` are better for ever."""
    margins = (2 * loss.target - 1) * (loss.design @ coef)
    is_flat = (np.abs(coef) >= penalty.cap) | (coef == 0)
    return bool((margins > 0).all() and is_flat.all())
