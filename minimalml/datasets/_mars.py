"""The smooth functions of five features on which forests and splines are compared."""

import numpy as np
from scipy.special import expit
from sklearn.utils import check_random_state

from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    StrOptions,
    validate_params,
)


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 5, None, closed="left")],
        "kind": [StrOptions({"additive", "multiplicative"})],
        "noise": [Interval(Real, 0, None, closed="left")],
        "center": [Interval(Real, None, None, closed="neither")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_mars(
    n_samples=500,
    *,
    n_features=5,
    kind="additive",
    noise=1.0,
    center=0.05,
    random_state=None,
):
    """Draw rows of a smooth function of five features, with noise.

    The functions of Friedman's "Multivariate Adaptive Regression Splines", 1991. With ``kind="additive"`` the targets are ``0.1 exp(4 x1) + 4 / (1 + exp(-20 (x2 -
    0.5))) + 3 x3 + 2 x4 + x5``; with "multiplicative", ``10 sin(pi x1 x2) + 20 (x3 -
    center)^2 + 10 x4 + 5 x5``.

    Parameters
    ----------
    n_samples : int, default=500
        Number of rows.

    n_features : int, default=5
        At least 5; those beyond have no effect.

    kind : {"additive", "multiplicative"}, default="additive"
        Which function.

    noise : float, default=1.0
        Standard deviation of the noise.

    center : float, default=0.05
        Lowest point of the parabola in x3 of "multiplicative". Friedman's is 0.5, as in
        :func:`~sklearn.datasets.make_friedman1`; studies of forests have taken 0.05.

    random_state : int, RandomState instance or None, default=None
        Makes the data repeatable: the rows are the same for every ``noise``.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Uniform in [0, 1].

    y : ndarray of shape (n_samples,)
        Targets.

    Examples
    --------
    >>> from minimalml.datasets import make_mars
    >>> X, y = make_mars(3, noise=0.0, random_state=0)
    >>> X.shape, y.round(2).tolist()
    ((3, 5), [8.17, 7.2, 8.56])
    """
    rng = check_random_state(random_state)
    X = rng.uniform(size=(n_samples, n_features))
    x1, x2, x3, x4, x5 = X[:, :5].T
    if kind == "additive":
        y = 0.1 * np.exp(4 * x1) + 4 * expit(20 * (x2 - 0.5)) + 3 * x3 + 2 * x4 + x5
    else:
        y = 10 * np.sin(np.pi * x1 * x2) + 20 * (x3 - center) ** 2 + 10 * x4 + 5 * x5
    return X, y + noise * rng.standard_normal(n_samples)
