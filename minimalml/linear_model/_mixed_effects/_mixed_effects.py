"""Regression of groups with heavy tails: a bad group counts little, and a row with it.

Groups are independent draws of a q-Gaussian with a random intercept. Were all rows one
draw, the coefficients would be those of least squares, and no data could tell how heavy
the tails are.

Yang, "Contributions to Robust and Efficient Methods for Analysis of High Dimensional
Data", McGill University, 2025, arXiv:2509.08155.
"""

import warnings
from functools import partial
from itertools import count

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning

from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.groups import GroupIndex
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
from minimalml.linear_model._mixed_effects._ecm import GroupedRows, ecm_steps
from minimalml.linear_model._mixed_effects._units import standardise
from minimalml.linear_model._penalties import make_penalty

FLOATS = [np.float64, np.float32]


class QGaussianMixedRegressor(CallbackSupportMixin, RegressorMixin, BaseEstimator):
    r"""Linear regression of groups, which bad groups do not pull away.

    For rows that come in groups (patients, schools, batches) with a level of their own,
    of which some are far noisier than the others. How heavy the tails are is estimated:
    without bad groups it is the Gaussian mixed model. Without groups it is a robust
    regression of single rows. Not against rows that are far off in X.

    O(n p²) time an iteration, of which there are some ten, and O(n p) memory.

    Parameters
    ----------
    random_effects : {"intercept", None}, default="intercept"
        "intercept" gives each group a random level. With None its rows only share their
        weight.

    degrees_of_freedom : float or "estimate", default="estimate"
        Above 0: the smaller, the heavier the tails, and the less bad groups count. 4 is
        common; ``inf`` is the Gaussian model.

    penalty : {"l1", "scad", "mcp"}, default=None
        Makes coefficients 0, as in `NonconvexRegressor`: for many columns.

    alpha : float, default=0.1
        Slope of the penalty at zero, at least 0, in units of y times those of a column:
        scale the columns alike before. More makes more zeros.

    fit_intercept : bool, default=True
        Whether there is an intercept, which is not penalised.

    max_iter : int, default=500
        Largest number of iterations.

    tol : float, default=1e-10
        An iteration that adds no more to the log-likelihood, for each row, is the last.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features_in_,)
        Coefficients, in the float type of the rows.

    intercept_ : float
        The intercept.

    scale_ : float
        Scale of the noise; its variance is ``m / (m - 2)`` times this, where m, the
        degrees of freedom, is above 2.

    random_effect_variance_ : float
        Scale of the levels of groups, likewise; 0 without random effects.

    degrees_of_freedom_ : float
        Estimated, from 0.3 to 10,000, or as given. 10,000 is as good as Gaussian.

    groups_ : ndarray of shape (n_groups,)
        Ids of the groups, sorted; numbers of rows where none were given.

    random_effects_ : ndarray of shape (n_groups,)
        Predicted level of each group beside the intercept.

    group_weights_ : ndarray of shape (n_groups,)
        How much each group counts, 1 on average; bad groups have small ones.

    log_likelihood_ : float
        Logarithm of the likelihood, without the penalty.

    n_iter_ : int
        Number of iterations.

    n_features_in_ : int
        Number of features seen by `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by `fit`, if all are strings.

    See Also
    --------
    q_gaussian_logpdf : The density.
    NonconvexRegressor : Penalties, for independent rows without bad ones.
    sklearn.linear_model.HuberRegressor : Robust regression of independent rows.

    Notes
    -----
    A group of n rows is one draw of the q-Gaussian with centre
    :math:`X_g \theta + b`, scale matrix :math:`\sigma^2 (I + D 1 1^T)` and m degrees of
    freedom; its Tsallis index is :math:`q = 1 + 2 / (m + n)`. With the squared distance
    :math:`\delta_g` of its residuals by that matrix, it counts
    :math:`\tau_g = (m + n) / (m + \delta_g)`. An iteration finds weights, then
    coefficients by weighted least squares,

    .. math::

       \min_\theta \frac{1}{2 N} \sum_g \tau_g \| (I + D 1 1^T)^{-1/2} (y_g - X_g \theta)
       \|^2 + \sum_j p(|\theta_j|)

    for all N rows, then :math:`\sigma^2`, and D and m each at the maximum of the
    likelihood, which never falls without a penalty. :math:`\sigma^2` is divided by the
    mean weight [2]_, which is 1 in the end and saves most of the iterations.

    Where many coefficients meet few groups, some groups can be fitted exactly, and the
    likelihood has no maximum. A ConvergenceWarning says so: give ``degrees_of_freedom``.

    References
    ----------
    .. [1] K. Yang, "Contributions to Robust and Efficient Methods for Analysis of High
       Dimensional Data", McGill University, 2025. arXiv:2509.08155

    .. [2] C. Liu, D. B. Rubin, Y. N. Wu, "Parameter Expansion to Accelerate EM: The PX-EM
       Algorithm", Biometrika, 1998.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.linear_model import QGaussianMixedRegressor
    >>> rng = np.random.default_rng(0)
    >>> X, groups = rng.normal(size=(300, 2)), np.repeat(np.arange(60), 5)
    >>> noise = rng.normal(size=60)[groups] + rng.normal(size=300)
    >>> noise[groups < 6] *= 20
    >>> y = X @ [1.0, -2.0] + noise
    >>> model = QGaussianMixedRegressor().fit(X, y, groups)
    >>> model.coef_.round(1).tolist()
    [1.0, -2.0]
    >>> np.flatnonzero(model.group_weights_ < 0.1).tolist()
    [0, 1, 2, 3, 4, 5]
    """

    _parameter_constraints = {
        "random_effects": [StrOptions({"intercept"}), None],
        "degrees_of_freedom": [
            StrOptions({"estimate"}),
            Interval(Real, 0, None, closed="right"),
        ],
        "penalty": [StrOptions({"l1", "scad", "mcp"}), None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "fit_intercept": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        random_effects="intercept",
        *,
        degrees_of_freedom="estimate",
        penalty=None,
        alpha=0.1,
        fit_intercept=True,
        max_iter=500,
        tol=1e-10,
    ):
        self.random_effects = random_effects
        self.degrees_of_freedom = degrees_of_freedom
        self.penalty = penalty
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, groups=None):
        """Find coefficients, variances, tails and weights of groups.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,)
            Targets.

        groups : array-like of shape (n_samples,), default=None
            The id of each row's group, of any kind that sorts. None makes each row a
            group, without random effects.

        Returns
        -------
        self : QGaussianMixedRegressor

        Raises
        ------
        ValueError
            If there are as many coefficients as rows and no penalty, or one group whose
            degrees of freedom are to be estimated; if ids are missing, or squares leave
            the range of floats.
        TypeError
            If ids of several kinds can't be sorted.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS, y_numeric=True)
        index = GroupIndex(groups, len(X), "groups")
        self._check_determined(X, index)
        has_random_effect = groups is not None and self._has_random_effect(index)
        with (
            few_blas_threads(X.size),
            np.errstate(over="ignore", invalid="ignore"),
            fit_task(self, X, y, self.max_iter) as task,
        ):
            table = standardise(
                X, y, has_intercept=self.fit_intercept, has_penalty=bool(self.penalty)
            )
            rows = GroupedRows(table.design, table.target, index)
            df = self.degrees_of_freedom
            steps = ecm_steps(
                rows, self._make_penalty(table), table.smallest_scale,
                df=None if df == "estimate" else df,
                has_random_effect=has_random_effect,
            )  # fmt: skip

            def attributes(estimates):
                return _attributes(table, rows, index, estimates, X.dtype)

            self._iterate(steps, attributes, len(X), task)
        return self

    def _check_determined(self, X, index):
        """Raise where the data can't tell the parameters."""
        n_rows, n_coefficients = len(X), X.shape[1] + self.fit_intercept
        if self.penalty is None and n_coefficients >= n_rows:
            raise ValueError(
                f"{n_coefficients} coefficients fit n_samples={n_rows} rows exactly: "
                "set penalty, or take fewer columns."
            )
        if self.degrees_of_freedom == "estimate" and len(index) == 1:
            raise ValueError(
                f"One group (here of n_samples={n_rows} rows) can't tell the degrees of "
                "freedom: give more groups, or a number as degrees_of_freedom."
            )

    def _has_random_effect(self, index):
        """Whether groups have levels, which no data can tell for groups of one row."""
        if self.random_effects is None or not index.is_singletons:
            return self.random_effects is not None
        warnings.warn(
            "groups has one row of each group, which can't tell its level from noise: "
            "random effects are left out.",
            stacklevel=5,
        )
        return False

    def _make_penalty(self, table):
        """Return the penalty of scaled targets, None for none."""
        if self.penalty is None:
            return None
        is_penalised = np.arange(table.design.shape[1]) < len(table.X_means)
        return make_penalty(self.penalty, self.alpha / table.y_size * is_penalised)

    def _iterate(self, steps, attributes, n_rows, task):
        """Take steps until the likelihood settles, and set the fitted attributes."""
        before = -np.inf
        for n_iter in count(1):
            estimates = next(steps)
            with task.step("iteration", attributes=partial(attributes, estimates)):
                pass  # its work is done
            change = (estimates.log_likelihood - before) / n_rows
            before = estimates.log_likelihood
            has_settled = abs(change) <= self.tol
            if has_settled or task.is_stopped or n_iter == self.max_iter:
                break
        for name, value in attributes(estimates).items():
            setattr(self, name, value)
        self.n_iter_ = n_iter
        if not task.is_stopped:
            self._warn(estimates, change)

    def _warn(self, estimates, change):
        """Say what there is no maximum of, or what did not settle."""
        if self.degrees_of_freedom == "estimate" and estimates.is_degenerate:
            reason = (
                "The degrees of freedom fell to 0.3, the smallest: some groups are fitted "
                "exactly, and the likelihood has no maximum. Give degrees_of_freedom, "
                "such as 4, raise alpha, or take fewer columns."
            )
        elif not estimates.has_converged:
            reason = (
                "The solver of the penalised coefficients did not converge: scale the "
                "columns of X, or raise alpha."
            )
        elif abs(change) > self.tol:
            reason = (
                f"The log-likelihood still changed by {change:.1e} a row after "
                f"{self.n_iter_} iterations, more than tol={self.tol:g}: raise max_iter "
                "or tol."
            )
        else:
            return
        warnings.warn(reason, ConvergenceWarning, stacklevel=6)

    def predict(self, X, groups=None):
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        groups : array-like of shape (n_samples,), default=None
            The id of each row's group. Groups that `fit` has seen have a level of their
            own, others, and all where None, that of the intercept.

        Returns
        -------
        ndarray of shape (n_samples,)
            Predictions, in the float type of ``X``.

        Raises
        ------
        TypeError
            If ids are of another kind than those that `fit` has seen.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        levels = self.intercept_
        if groups is not None:
            index = GroupIndex(groups, len(X), "groups")
            levels = levels + index.expand(self._levels(index.ids))
        return X @ self.coef_.astype(X.dtype, copy=False) + np.asarray(levels, X.dtype)

    def _levels(self, ids):
        """Return random effects by id, 0 for unknown ones."""
        # as objects, so that text and numbers are not compared as text
        known, ids = self.groups_.astype(object), ids.astype(object)
        try:
            places = np.searchsorted(known, ids).clip(max=len(known) - 1)
        except TypeError as error:
            raise TypeError(
                "groups must be ids of the kind that fit has seen, such as "
                f"{known[0]!r}, got {ids[0]!r}."
            ) from error
        return np.where(known[places] == ids, self.random_effects_[places], 0.0)


def _attributes(table, rows, index, estimates, dtype):
    """Return the fitted attributes, in the units of the rows as they came."""
    coef, intercept = table.restore(estimates.coef)
    coef = coef.astype(dtype)
    if not np.isfinite([*coef, intercept]).all():
        raise ValueError(f"X varies too little beside y for {dtype}: scale X.")
    scale = estimates.scale * table.y_size**2
    log_likelihood = estimates.log_likelihood - len(index.codes) * np.log(table.y_size)
    return {
        "coef_": coef,
        "intercept_": intercept,
        "scale_": scale,
        "random_effect_variance_": estimates.ratio * scale,
        "degrees_of_freedom_": float(estimates.df),
        "groups_": index.ids,
        "random_effects_": table.y_size * rows.levels(estimates),
        "group_weights_": estimates.weights,
        "log_likelihood_": log_likelihood,
    }
