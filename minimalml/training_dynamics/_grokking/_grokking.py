"""The paper's model of grokking, simulated exactly: lazy at first, rich later.

A committee of units with a quadratic term learns a quadratic target. Its output scale
``alpha`` says how lazily: a large one fits the data before the features move. Descent
closes on the mean and the second moment of the weights, so that units need not be formed.

Kumar, Bordelon, Gershman, Pehlevan: "Grokking as the Transition from Lazy to Rich Training
Dynamics", ICLR 2024.
"""

import warnings
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import linalg
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state, check_X_y

from minimalml._core.threads import few_blas_threads
from minimalml._core.validation import (
    Integral,
    Interval,
    Options,
    Real,
    StrOptions,
    validate_params,
)
from minimalml.training_dynamics._grokking._curves import POSITIVE, log_spaced
from minimalml.training_dynamics._grokking._lazy_rich_descent import descend

N_RECORDS = 120  # with record="log"
# A training loss that is so many times that of the start has diverged.
DIVERGED = 1e3
# Of the kernel's mean diagonal: what it gains by, to be solved where it is singular.
RIDGE = 1e-10


class LazyRichHistory(NamedTuple):
    """A simulated run.

    Parameters
    ----------
    step : ndarray of int of shape (n_records,)
        Steps taken before each record.
    train_loss : ndarray of shape (n_records,)
        Mean squared error on the rows.
    test_loss : ndarray of shape (n_records,)
        Its exact expectation over new rows.
    terms : ndarray of shape (n_records, 3)
        What the test loss is the sum of: error of the mean, misalignment, linear part.
    alignment : ndarray of shape (n_records,)
        Of the features with the target, from 0 to 1.
    w_bar : ndarray of shape (n_features,)
        Mean weights at the last record.
    M : ndarray of shape (n_features, n_features)
        Second moment of the weights at the last record.
    kernel_test_loss : float
        Test loss at which the network would end if its features never moved.
    """

    step: np.ndarray
    train_loss: np.ndarray
    test_loss: np.ndarray
    terms: np.ndarray
    alignment: np.ndarray
    w_bar: np.ndarray
    M: np.ndarray
    kernel_test_loss: float


@validate_params(
    {
        "X": ["array-like", "sparse matrix"],
        "y": ["array-like"],
        "alpha": [POSITIVE],
        "epsilon": [Interval(Real, 0, None, closed="left")],
        "n_hidden": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "eta0": [POSITIVE],
        "max_steps": [Interval(Integral, 1, None, closed="left")],
        "record": [Interval(Integral, 1, None, closed="left"), StrOptions({"log"})],
        "center": ["boolean"],
        "beta": ["array-like", None],
        "W0": ["array-like", None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)  # fmt: skip
def simulate_lazy_rich(
    X,
    y,
    *,
    alpha=1.0,
    epsilon=0.25,
    n_hidden=500,
    eta0=1.0,
    max_steps=20_000,
    record="log",
    center=False,
    beta=None,
    W0=None,
    random_state=None,
):
    """Train the paper's model by gradient descent, with its exact test loss.

    Use it to see how laziness, alignment and the number of rows make grokking come and
    go, without noise of a test set. A step takes O(n_samples n_features^2 +
    n_features^3), whatever ``n_hidden`` is.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows. Test losses are those of rows from N(0, I / n_features).

    y : array-like of shape (n_samples,)
        Targets.

    alpha : float, default=1.0
        Output scale, above 0: the larger, the lazier. The learning rate is
        ``eta0 n_hidden / alpha^2``, so that all learn equally fast at first.

    epsilon : float, default=0.25
        Weight of the units' quadratic term, at least 0: how well the initial features go
        with a quadratic target.

    n_hidden : int or infinity, default=500
        Number of units; it only sets how far the start is from its expectation.

    eta0 : float, default=1.0
        Learning rate, above 0.

    max_steps : int, default=20_000
        Steps of gradient descent on all rows.

    record : int or "log", default="log"
        Write down every so many steps; "log": the start and up to 120 log-spaced steps,
        the last among them.

    center : bool, default=False
        Whether to take the initial function away from the network.

    beta : array-like of shape (n_features,), default=None
        The target is ``(beta . x)^2 / 2``; None leaves NaN where it would be needed.

    W0 : array-like of shape (n_hidden, n_features), default=None
        Initial weights, whose number replaces ``n_hidden``; None draws them from N(0, I).

    random_state : int, RandomState instance or None, default=None
        Draws the initial weights.

    Returns
    -------
    LazyRichHistory

    Raises
    ------
    ValueError
        If a parameter is out of its range, a number is not finite, or ``beta`` or ``W0``
        is not as wide as X.

    TypeError
        If X is sparse.

    Warns
    -----
    ConvergenceWarning
        If the training loss diverges; the history ends before.

    UserWarning
        If ``epsilon`` is 0: a linear model can't learn the target.

    See Also
    --------
    LazyRichRegressor : The same knob for any network.
    detect_grokking : Whether the run grokked.

    Notes
    -----
    The network is ``f(x) = alpha / N sum_i phi(w_i . x)`` with
    ``phi(h) = h + epsilon / 2 h^2``, its loss the mean of ``(f(x_p) - y_p)^2``. With
    ``w = mean w_i``, ``M = mean w_i w_i.T``, residuals r, ``g = X.T r / P``,
    ``G = X.T diag(r) X / P`` and ``c = 2 eta0 / alpha``, a step is ``w_i <- A w_i - c g``
    with ``A = I - c epsilon G``, and w and M follow from themselves. For
    ``S = alpha epsilon M - beta beta.T`` the test loss is
    ``(tr S)^2 / (4 D^2) + |S|^2 / (2 D^2) + alpha^2 |w|^2 / D``. Alignment is
    ``beta.T M beta / (|beta|^2 |M|)``.

    References
    ----------
    .. [1] T. Kumar, B. Bordelon, S. J. Gershman, C. Pehlevan, "Grokking as the
       Transition from Lazy to Rich Training Dynamics", ICLR 2024. arXiv:2310.06110

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.training_dynamics import simulate_lazy_rich
    >>> rng = np.random.default_rng(0)
    >>> X, beta = rng.normal(size=(120, 25)) / 5, np.ones(25)
    >>> run = simulate_lazy_rich(X, (X @ beta) ** 2 / 2, eta0=2, beta=beta, random_state=0)
    >>> bool(run.test_loss[-1] < 0.01 < 0.3 < run.kernel_test_loss)
    True
    """
    X, y = check_X_y(X, y, dtype=np.float64, y_numeric=True)
    beta = _check_width(beta, X, "beta")
    if epsilon == 0:
        warnings.warn(
            "epsilon=0 leaves a linear model, which cannot learn a quadratic target.",
            UserWarning,
            stacklevel=3,
        )
    w_bar, M = _initial_moments(X, W0, n_hidden, random_state)
    model = _Committee(X, y, alpha, epsilon, eta0, center, beta, w_bar, M)
    if record == "log":
        steps = log_spaced(max_steps, N_RECORDS)
    else:
        steps = np.arange(0, max_steps + 1, record)
    with few_blas_threads(X.size * X.shape[1]):
        records, w_bar, M = model.run(steps)
        plateau = np.nan if beta is None else model.kernel_test_loss()
    step, train_loss, terms, alignment = map(np.array, zip(*records, strict=True))
    return LazyRichHistory(
        step, train_loss, terms.sum(axis=1), terms, alignment, w_bar, M, plateau
    )


class _Committee:
    """The data, the start, and what is said of a pair of moments."""

    def __init__(self, X, y, alpha, epsilon, eta0, center, beta, w_bar, M):
        self.X, self.beta = X, beta
        self.alpha, self.epsilon, self.eta0 = alpha, epsilon, eta0
        self.w_bar, self.M = w_bar, M
        quadratic = np.einsum("pi,pi->p", X @ M, X)
        self.f_0 = alpha * (X @ w_bar + epsilon / 2 * quadratic)
        # what is taken off the moments before they are compared with the target
        self.origin = (w_bar, M) if center else (0.0, 0.0)
        self.target = y + self.f_0 if center else y

    def run(self, steps):
        """Return records, and the moments at the last of them."""
        X_columns = np.ascontiguousarray(self.X.T)
        w_bar, M = self.w_bar.copy(), self.M.copy()

        def advance(n_steps, limit):
            return descend(
                X_columns, self.target, self.alpha, self.epsilon, self.eta0,
                w_bar, M, n_steps, limit,
            )  # fmt: skip

        _, loss = advance(0, np.inf)
        limit, records = DIVERGED * loss, [self._record(0, loss, w_bar, M)]
        for start, stop in pairwise(steps):
            before = w_bar.copy(), M.copy()
            n_taken, loss = advance(stop - start, limit)
            if not loss <= limit:
                self._warn(start + n_taken - 1)
                return records, *before
            records.append(self._record(stop, loss, w_bar, M))
        return records, w_bar, M

    def _warn(self, step):
        warnings.warn(
            f"The training loss diverged, step {step} is the last stable one and the "
            f"history ends there or before: lower eta0={self.eta0}.",
            ConvergenceWarning,
            stacklevel=5,
        )

    def _record(self, step, loss, w_bar, M):
        if self.beta is None:
            return step, loss, np.full(3, np.nan), np.nan
        terms, beta = self._terms(*self._coefficients(w_bar, M)), self.beta
        with np.errstate(invalid="ignore"):  # beta may be 0
            alignment = (beta @ M @ beta) / (beta @ beta * np.linalg.norm(M))
        return step, loss, terms, alignment

    def _coefficients(self, w_bar, M):
        """Return those of the function: ``linear . x + x.T quadratic x / 2``."""
        w_origin, M_origin = self.origin
        alpha = self.alpha
        return alpha * (w_bar - w_origin), alpha * self.epsilon * (M - M_origin)

    def _terms(self, linear, quadratic):
        """Return the parts of the test loss of a function by its coefficients."""
        D = len(linear)
        S = quadratic - np.outer(self.beta, self.beta)
        return np.array(
            [
                np.trace(S) ** 2 / (4 * D**2),
                np.sum(S**2) / (2 * D**2),
                linear @ linear / D,
            ]
        )

    def kernel_test_loss(self):
        """Return the test loss of regression with the initial tangent kernel."""
        X, w_bar, M, epsilon = self.X, self.w_bar, self.M, self.epsilon
        slope = 1 + epsilon * (X @ w_bar)
        # the factor alpha^2 / N of the kernel cancels
        K = (X @ X.T) * (slope[:, None] + slope - 1 + epsilon**2 * (X @ M @ X.T))
        K[np.diag_indices_from(K)] += RIDGE * np.trace(K) / len(K) or 1.0
        a = linalg.solve(K, self.target - self.f_0, assume_a="pos")
        B = np.outer(X.T @ a, epsilon * w_bar) + epsilon**2 * (X.T * a) @ X @ M
        linear, quadratic = self._coefficients(w_bar, M)
        terms = self._terms(linear + X.T @ (a * slope), quadratic + B + B.T)
        return float(terms.sum())


def _check_width(values, X, name):
    """Return a vector or matrix as wide as X, or None."""
    if values is None:
        return None
    is_vector = name == "beta"
    values = check_array(
        values, dtype=np.float64, ensure_2d=not is_vector, input_name=name
    )
    if values.shape[-1] != X.shape[1] or values.ndim != 2 - is_vector:
        raise ValueError(
            f"{name} must have {X.shape[1]} columns as X has, got shape {values.shape}."
        )
    return values


def _initial_moments(X, W0, n_hidden, random_state):
    """Return mean and second moment of the initial weights."""
    D = X.shape[1]
    if W0 is None and n_hidden == np.inf:
        return np.zeros(D), np.eye(D)
    if W0 is None:
        W0 = check_random_state(random_state).standard_normal((n_hidden, D))
    W0 = _check_width(W0, X, "W0")
    return W0.mean(axis=0), W0.T @ W0 / len(W0)
