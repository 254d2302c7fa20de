"""A scaling law fitted to losses: what they tend to, and how sure one can be of it."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state

from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    StrOptions,
    _fit_context,
    check_is_fitted,
    check_sample_weight,
    validate_data,
)
from minimalml.ensemble._infinite_compute._asymptote_interval import (
    bootstrap_interval,
    is_at_floor,
    profile_interval,
)
from minimalml.ensemble._infinite_compute._power_law import (
    Points,
    fit_log_huber,
    fit_squared,
    law_values,
)

FLOATS = [np.float64, np.float32]


class ScalingLawRegressor(RegressorMixin, BaseEstimator):
    """Fit ``y = E + A x^-alpha`` to losses, and say where they end.

    For losses over model sizes, ensemble sizes or rows of data: E is the loss in the limit,
    and its interval says whether the points show it. No start is needed, and the squared fit
    of one x is the best there is; several columns are terms of one sum,
    ``E + sum_j A_j x_j^-alpha_j``. Not for curves that bend twice. A fit takes milliseconds.

    Parameters
    ----------
    loss : {"squared", "log_huber"}, default="squared"
        "log_huber" is robust: Huber's loss of log-ratios; y must be above 0.

    delta : float, default=1e-3
        Log-ratio, about a relative error, from which "log_huber" is linear.

    exponent : float, default=None
        Fix alpha, as at 1 for squared errors over members. None fits it, in [0.01, 10].

    asymptote : float, default=None
        Fix E; at least 0 unless ``increasing``.

    increasing : bool, default=False
        Whether y rises, ``y = E - A x^-alpha``, as a score does. E may then be any number.

    interval : {"profile", "bootstrap"} or None, default="profile"
        Of E, by loss "squared" and one x: what an F-test does not refuse, or percentiles of
        replicates, which are too narrow for few points.

    n_bootstrap : int, default=1000
        Replicates.

    confidence : float, default=0.95
        Of the interval, in (0, 1).

    random_state : int, RandomState instance or None, default=None
        Of replicates.

    Attributes
    ----------
    asymptote_ : float
        E.

    coefficient_, exponent_ : ndarray of shape (n_features_in_,)
        A and alpha of each x; 0 and, if it was to be fitted, NaN where y does not fall.

    interval_ : tuple of float
        Lower and upper end of the interval of E; NaN where there is none.

    identifiable_ : bool
        False where the interval reaches 0 (``increasing``: infinity) or a fitted exponent
        is 0.01 or NaN: the curve has not begun to flatten, and E is a guess.

    References
    ----------
    .. [1] K. Kim, S. Kotha, P. Liang, T. Hashimoto, "Pre-training under infinite compute",
       2025. arXiv:2509.14786

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.ensemble import ScalingLawRegressor
    >>> X = np.array([[0.15], [0.3], [0.6], [1.4]])
    >>> y = np.round(0.05 / X[:, 0] ** 1.02 + 3.43, 3)
    >>> law = ScalingLawRegressor().fit(X, y)
    >>> round(law.asymptote_, 3), tuple(round(end, 3) for end in law.interval_)
    (3.429, (3.425, 3.433))
    """

    _parameter_constraints = {
        "loss": [StrOptions({"squared", "log_huber"})],
        "delta": [Interval(Real, 0, None, closed="neither")],
        "exponent": [Interval(Real, 0, None, closed="neither"), None],
        "asymptote": [Interval(Real, None, None, closed="neither"), None],
        "increasing": ["boolean"],
        "interval": [StrOptions({"profile", "bootstrap"}), None],
        "n_bootstrap": [Interval(Integral, 1, None, closed="left")],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self, *, loss="squared", delta=1e-3, exponent=None, asymptote=None,
        increasing=False, interval="profile", n_bootstrap=1000, confidence=0.95,
        random_state=None,
    ):  # fmt: skip
        self.loss = loss
        self.delta = delta
        self.exponent = exponent
        self.asymptote = asymptote
        self.increasing = increasing
        self.interval = interval
        self.n_bootstrap = n_bootstrap
        self.confidence = confidence
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the law.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Sizes, above 0.

        y : array-like of shape (n_samples,)
            Losses.

        sample_weight : array-like of shape (n_samples,), default=None
            What a row's loss counts for. Rows of weight 0 are none.

        Returns
        -------
        self : object
            The fitted law.

        Raises
        ------
        ValueError
            If X is not above 0, or has fewer distinct values than the law has numbers.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS, y_numeric=True)
        _refuse_negative(X)
        sample_weight = check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True,
            allow_all_zero_weights=True,
        )  # fmt: skip
        if not sample_weight.any():
            raise ValueError("sample_weight must have a number above 0, got all zero.")
        is_kept = sample_weight > 0
        points, size = self._scaled_points(
            X[is_kept], y[is_kept], sample_weight[is_kept], len(X)
        )
        if self.loss == "squared":
            law = fit_squared(points)
        else:
            law = fit_log_huber(points, self.delta)
        self._law = law._replace(
            asymptote=law.asymptote * size, coefficient=law.coefficient * size
        )
        self.asymptote_ = float(self._law.asymptote)
        self.coefficient_ = self._law.coefficient * self._scale**law.exponent
        is_known = law.coefficient > 0 if self.exponent is None else True
        self.exponent_ = np.where(is_known, law.exponent, np.nan)
        ends = self._interval_of(points, law)
        self.interval_ = tuple(float(end * size) for end in ends)
        self.identifiable_ = self._is_identifiable()
        return self

    def _scaled_points(self, X, y, weight, n_samples):
        """Return rows with x of geometric mean 1 and |y| up to 1, and what y was divided by."""
        asymptote, y = self.asymptote, y.astype(np.float64)
        if asymptote is not None and asymptote < 0 and not self.increasing:
            raise ValueError(
                f"asymptote must be at least 0 unless increasing=True, got {asymptote}."
            )
        if self.loss == "log_huber" and y.min() <= 0:
            raise ValueError(
                f"y must be above 0 for loss='log_huber', got {y.min():g}."
            )
        n_needed = 1 + (self.exponent is None) + (asymptote is None)
        is_single = X.shape[1] == 1
        n_found = len(np.unique(X)) if is_single else len(X)
        if n_found < n_needed:
            what = "distinct x" if is_single else "rows"
            advice = "" if self.exponent is not None else ", or set exponent=1.0"
            raise ValueError(
                f"X has {n_found} {what} of positive weight (n_samples={n_samples}), but a "
                f"law of {n_needed} numbers needs {n_needed}: give more{advice}."
            )
        log_x = np.log(X, dtype=np.float64)
        log_scale = np.average(log_x, axis=0, weights=weight)
        self._scale, size = np.exp(log_scale), np.abs(y).max() or 1.0
        asymptote = None if asymptote is None else asymptote / size
        sign = -1.0 if self.increasing else 1.0
        x = np.exp(log_x - log_scale)
        return Points(x, y / size, weight, sign, self.exponent, asymptote), size

    def _interval_of(self, points, law):
        """Return both ends, scaled as the points."""
        is_plain = self.loss == "squared" and points.x.shape[1] == 1
        if self.interval is None or not is_plain:
            return np.nan, np.nan
        if self.asymptote is not None:
            return law.asymptote, law.asymptote
        n_points, n_free = len(points.y), 3 if self.exponent is None else 2
        if n_points <= n_free:
            _warn(f"interval_ is NaN: it needs over {n_free} rows of positive weight, got "
                  f"{n_points}.")  # fmt: skip
            return np.nan, np.nan
        if self.interval == "profile":
            return profile_interval(points, law, self.confidence)
        draws = check_random_state(self.random_state)
        return bootstrap_interval(points, law, self.confidence, self.n_bootstrap, draws)

    def _is_identifiable(self):
        """Whether the points say where the curve ends; warn if not."""
        lower, upper = self.interval_
        is_open = upper == np.inf if self.increasing else lower == 0
        is_unseen = np.isnan(self.exponent_) | is_at_floor(self.exponent_)
        is_guess = self.asymptote is None and is_open
        is_guess |= self.exponent is None and is_unseen.any()
        if not self.coefficient_.any():
            goes = "rise" if self.increasing else "fall"
            _warn(
                f"y does not {goes} with X: the law is the constant {self.asymptote_:g}."
            )
        elif is_guess:
            _warn("The asymptote is not identifiable: the curve has not begun to flatten. "
                  "Give points at larger X.")  # fmt: skip
        return not is_guess

    def predict(self, X):
        """Predict losses at other sizes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Sizes, above 0.

        Returns
        -------
        ndarray of shape (n_samples,)
            In the float type of ``X``.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        _refuse_negative(X)
        sign = -1.0 if self.increasing else 1.0
        y = law_values(self._law, X.astype(np.float64) / self._scale, sign)
        return y.astype(X.dtype, copy=False)

    def inverse(self, loss):
        """Return the x that has a loss: how large one must be to reach it.

        Parameters
        ----------
        loss : float or array-like
            Losses.

        Returns
        -------
        float or ndarray of the same shape
            Infinity for ``asymptote_`` and better, NaN where the law is a constant.

        Raises
        ------
        ValueError
            If the law is one of several columns.
        """
        check_is_fitted(self)
        n_columns = self.n_features_in_
        if n_columns > 1:
            raise ValueError(f"inverse needs a law of one column, got {n_columns}.")
        excess = np.asarray(loss, dtype=np.float64) - self.asymptote_
        excess = np.maximum(-excess if self.increasing else excess, 0.0)
        coefficient, exponent = self._law.coefficient[0], self._law.exponent[0]
        if coefficient == 0:
            return (excess * np.nan)[()]
        with np.errstate(divide="ignore", over="ignore"):
            return (self._scale[0] * (coefficient / excess) ** (1 / exponent))[()]

    def efficiency(self, loss_new, loss_base):
        """Return by how much more data, or size, the gain from one loss to another is worth.

        Parameters
        ----------
        loss_new, loss_base : float or array-like
            Losses, as of a recipe and of the baseline that the law was fitted to.

        Returns
        -------
        float or ndarray
            ``inverse(loss_new) / inverse(loss_base)``, NaN where both are infinite.
        """
        with np.errstate(invalid="ignore"):
            return self.inverse(loss_new) / self.inverse(loss_base)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.regressor_tags.poor_score = True
        return tags


def _refuse_negative(X):
    if X.min() <= 0:
        raise ValueError(f"Negative values in data: X must be > 0, got {X.min():g}.")


def _warn(message):
    warnings.warn(message, UserWarning, stacklevel=5)
