"""A linear model of single rows from the mean responses of bags.

Predictions may be held to the mean of each bag (bag level, without bias but noisy), or
each row to the mean of its bag (instance level, shrunk but steady). The second is the
first plus a penalty on the spread of predictions within bags, so that what lies between
the two is one number, and the best of it is found by cross-validation.

Javanmard, Chen, Mirrokni, Badanidiyuru, Fu, "Learning from Aggregate Responses:
Instance Level versus Bag Level Loss Functions", ICLR 2024, arXiv:2401.11081.
"""

import warnings
from functools import partial
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator

from minimalml._core.validation import (
    Interval,
    Real,
    StrOptions,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.bags._aggregate_responses._aggregate_statistics import (
    measure_bags,
    refuse_extremes,
)
from minimalml.bags._aggregate_responses._interpolation_search import (
    INTERPOLATION_GRID,
    choose_interpolation,
    deal_bags,
    merged,
    pairs_of_folds,
    pairs_of_splits,
)
from minimalml.bags._aggregates import weighted_index
from minimalml.bags._bag_estimator import AggregateRegressorMixin

FLOATS = [np.float64, np.float32]


class AggregateRidge(AggregateRegressorMixin, BaseEstimator):
    r"""Ridge regression of single rows where only the means of bags are known.

    For responses that come averaged, for privacy or since pools were measured, when a
    linear model of single rows is wanted. Without bags it is scikit-learn's ``Ridge``.
    Where bags were formed by the responses, as in private learning by sorting them, set
    ``interpolation=1``: the search is misled there.

    O(n p² + p³) time, 65 p³ more with ``interpolation="auto"``, and O(p²) memory.

    Parameters
    ----------
    alpha : float, default=0.0
        Strength of the ridge penalty, on the scale of scikit-learn's ``Ridge``.

    interpolation : float or "auto", default="auto"
        Weight of the spread of predictions within bags, at least 0. 0 is the bag-level
        loss and fits ``Ridge`` to the means of bags, 1 is the instance-level loss and
        fits it to rows that repeat their bag's mean. More shrinks more, which can help
        against strong noise. "auto" takes what predicts held-out bags best.

    fit_intercept : bool, default=True
        Whether there is an intercept; it enters the part between bags only.

    cv : int, splitter or iterable, default=5
        Folds of "auto", of whole bags: a number of folds, in which bags are shuffled,
        or what splits rows by ``groups``, which are then the bags; None is 5 folds.

    random_state : int, RandomState instance or None, default=None
        Seed of the folds if ``cv`` is a number.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features_in_,)
        Coefficients, in the float type of the rows.

    intercept_ : float
        Intercept.

    interpolation_ : float
        The weight that was used.

    interpolation_grid_, interpolation_scores_ : ndarray of shape (13,)
        Weights that "auto" tried, and the mean squared error of held-out bags, each of
        the weight of its rows. Where all bags have one row, or there are less than two
        bags a fold, errors are NaN and the weight is 1.

    statistics_ : AggregateStatistics
        Sums over bags. They add, and solve for other penalties.

    n_features_in_ : int
        Number of features seen by `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by `fit`, if all are strings.

    See Also
    --------
    AggregateMLPRegressor : The same losses for networks.
    aggregate_risk : What the weight of the spread does to the error, by theory.

    Notes
    -----
    With bags a of weight :math:`s_a` (the number of their rows), means
    :math:`\bar x_a, \bar y_a`, and rows i of weight :math:`w_i`, it minimises

    .. math::

       \sum_a s_a (\bar y_a - \bar x_a^T \theta - b)^2
       + \rho \sum_a \sum_{i \in a} w_i ((x_i - \bar x_a)^T \theta)^2
       + \alpha \|\theta\|^2 .

    Sample weights count as repetitions of a row within its bag. At :math:`\rho = 1` and
    bags of k random rows, coefficients are k times too small on average.

    References
    ----------
    A. Javanmard, L. Chen, V. Mirrokni, A. Badanidiyuru, G. Fu, "Learning from Aggregate
    Responses: Instance Level versus Bag Level Loss Functions", ICLR 2024.
    arXiv:2401.11081

    Examples
    --------
    >>> from minimalml.bags import AggregateRidge
    >>> from minimalml.datasets import make_aggregate_regression
    >>> X, y, bags, coef = make_aggregate_regression(600, 100, random_state=0)
    >>> def error(interpolation):
    ...     model = AggregateRidge(interpolation=interpolation, random_state=0)
    ...     return round(float(((model.fit(X, y, bags).coef_ - coef) ** 2).sum()), 1)
    >>> error(0), error(1), error("auto")
    (2.3, 0.7, 0.6)
    """

    _parameter_constraints = {
        "alpha": [Interval(Real, 0, None, closed="left")],
        "interpolation": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "fit_intercept": ["boolean"],
        "cv": ["cv_object"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        alpha=0.0,
        *,
        interpolation="auto",
        fit_intercept=True,
        cv=5,
        random_state=None,
    ):
        self.alpha = alpha
        self.interpolation = interpolation
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, bags=None, sample_weight=None):
        """Fit to the mean responses of bags.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,)
            The mean response of its bag on each row, as `aggregate_targets` makes it.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag; None makes each row a bag.

        sample_weight : array-like of shape (n_samples,), default=None
            At least 0; counts as repetition of the row within its bag.

        Returns
        -------
        self : AggregateRidge

        Raises
        ------
        ValueError
            If y varies within a bag, ids are missing or of another number, weights are
            negative or all 0, a split cuts a bag, or squares of X or y leave the range
            of floats.
        """
        self._measure(X, y, bags, sample_weight, is_first=True)
        if self.fit_intercept and self.statistics_.n_bags == 1:
            warnings.warn(
                "bags has one bag only: with an intercept all coefficients are 0. Give "
                "more bags, or set fit_intercept=False.",
                UserWarning,
                stacklevel=2,
            )
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, bags=None, sample_weight=None):
        """Add bags to those seen before, and fit to all.

        With "auto" the bags of each call are dealt to folds that are kept as sums.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        bags : array-like of shape (n_samples,), default=None
            Whole bags: an id that comes again in a later call is another bag.

        Returns
        -------
        self : AggregateRidge

        Raises
        ------
        ValueError
            As `fit`; and if ``fit_intercept`` or the number of folds changed since the
            first call, "auto" came after it, or ``cv`` is no number of folds.
        """
        is_first = not hasattr(self, "statistics_")
        self._measure(X, y, bags, sample_weight, is_first=is_first, is_partial=True)
        return self

    def predict(self, X):
        """Predict the responses of single rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Responses, in the float type of ``X``.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        return X @ self.coef_.astype(X.dtype, copy=False) + X.dtype.type(
            self.intercept_
        )

    def _measure(self, X, y, bags, sample_weight, *, is_first, is_partial=False):
        """Add rows to the statistics, and solve."""
        folds = self._folds_before(is_first, is_partial)
        X, y = validate_data(self, X, y, dtype=FLOATS, y_numeric=True, reset=is_first)
        kept, index, weight = weighted_index(bags, len(X), sample_weight)
        rows = np.arange(len(X))[kept]
        responses = index.constant(y[kept]).astype(np.float64)
        measure = partial(
            measure_bags, X, responses, index, weight,
            rows=rows, fit_intercept=self.fit_intercept,
        )  # fmt: skip
        with np.errstate(over="ignore", invalid="ignore"):  # looked at right below
            folds = self._add_to_folds(folds, measure, len(index), is_first)
            old = [None if is_first else self.statistics_]
            statistics = merged(folds or [*old, measure()])
        refuse_extremes(statistics, X, responses, rows)
        self.statistics_, self._folds = statistics, folds
        if self.interpolation != "auto":
            self.interpolation_ = float(self.interpolation)
        else:
            splits = partial(pairs_of_splits, self.cv, X, y, bags, kept, index, measure)
            self._search(splits)
        coef, self.intercept_ = statistics.solve(self.alpha, self.interpolation_)
        self.coef_ = coef.astype(X.dtype)

    def _folds_before(self, is_first, is_partial):
        """Return the folds to add to, None where empty; no folds where cv splits rows."""
        if self.interpolation != "auto":
            return []
        n_folds = 5 if self.cv is None else self.cv
        if not isinstance(n_folds, Integral):
            if is_partial:
                raise ValueError(
                    "cv must be a number of folds for partial_fit with "
                    f"interpolation='auto', got {self.cv!r}."
                )
            return []
        if is_first:
            return [None] * n_folds
        if len(self._folds) != n_folds:
            raise ValueError(
                f"partial_fit with interpolation='auto' and cv={n_folds} must go on with "
                f"as many folds, but the calls before kept {len(self._folds)}: call fit, "
                "or set cv and interpolation as they were."
            )
        return self._folds

    def _add_to_folds(self, folds, measure, n_bags, is_first):
        """Deal bags to folds."""
        if not folds:
            return folds
        n_seen = 0 if is_first else self.statistics_.n_bags
        dealt = deal_bags(n_bags, len(folds), n_seen, self.random_state)
        bags_of = [np.flatnonzero(dealt == fold) for fold in range(len(folds))]
        return [
            merged([fold, measure(bags=bags)]) if len(bags) else fold
            for fold, bags in zip(folds, bags_of, strict=True)
        ]

    def _search(self, pairs_of_cv):
        """Choose the interpolation by held-out bags."""
        total, folds = self.statistics_, self._folds
        if total.n_rows == total.n_bags or total.n_bags < 2 * len(folds):
            pairs = []
        else:
            pairs = pairs_of_folds(folds) if folds else pairs_of_cv()
        rounding = 1e-12 * total.response_scatter / total.weight
        chosen = choose_interpolation(pairs, self.alpha, rounding)
        self.interpolation_, self.interpolation_scores_ = chosen
        self.interpolation_grid_ = INTERPOLATION_GRID.copy()
