"""What learning from means of random bags costs a linear model, by theory."""

import numpy as np

HALVINGS = 200  # from 1 to the smallest floats; most roots need 60


def aggregate_risk(
    sample_ratio, bag_size, interpolation, *, signal=1.0, noise=1.0, alpha=0.0
):
    """Return the error that `AggregateRidge` has on new rows, before data are collected.

    Exact for many rows and features: rows are normal, responses linear in them, and bags
    random, all of one size. Then nothing else matters: not the covariance of the rows
    either, but for ``alpha > 0`` and where the solution is one of many. O(1) time for each
    set of parameters, which are broadcast.

    Parameters
    ----------
    sample_ratio : array-like
        Rows a feature, above 0.

    bag_size : array-like
        Rows a bag, at least 1.

    interpolation : array-like
        Weight of the spread within bags, at least 0; see `AggregateRidge`.

    signal : array-like, default=1.0
        Variance of the responses without noise, at least 0.

    noise : array-like, default=1.0
        Variance of the noise of each response, at least 0.

    alpha : array-like, default=0.0
        Ridge penalty a row, at least 0: `AggregateRidge` takes it times the number of
        rows.

    Returns
    -------
    float or ndarray
        Mean squared error of predictions about the responses without noise; infinity
        where there are exactly as many equations as features.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Notes
    -----
    The means of bags and the differences within them are independent, so a solution is
    ridge regression on the means, with a random penalty that does not depend on them and
    has the spectrum of Marchenko and Pastur. An equation in one unknown remains.

    Examples
    --------
    >>> from minimalml.bags import aggregate_risk
    >>> aggregate_risk(6, bag_size=4, interpolation=[0, 0.3, 1]).round(3)
    array([2.   , 0.538, 0.65 ])
    """
    values = {
        "sample_ratio": sample_ratio,
        "bag_size": bag_size,
        "interpolation": interpolation,
        "signal": signal,
        "noise": noise,
        "alpha": alpha,
    }
    for name, value in values.items():
        check_range(name, value, least=1 if name == "bag_size" else 0,
                    is_open=name == "sample_ratio")  # fmt: skip
    arrays = np.broadcast_arrays(*values.values())
    shape = arrays[0].shape
    ratio, size, rho, signal, noise, alpha = (
        np.array(array, dtype=np.float64).ravel() for array in arrays
    )
    is_bag_level = (size == 1) | (rho == 0)
    routes = (
        (is_bag_level & (alpha == 0), _bag_level),
        (~is_bag_level & (alpha == 0) & (ratio <= 1), _rows_fitted_exactly),
    )
    risk, is_left = np.empty(len(ratio)), np.ones(len(ratio), dtype=bool)
    for chosen, route in (*routes, (is_left, _general)):
        chosen = chosen & is_left
        columns = (array[chosen] for array in (ratio, size, signal, noise, rho, alpha))
        risk[chosen] = route(*columns)
        is_left &= ~chosen
    return risk.reshape(shape) if shape else float(risk[0])


def check_range(name, value, *, least=0, is_open=False, allows_infinity=False):
    """Refuse numbers below ``least``, or at it, and what is no number."""
    value = np.asarray(value)
    is_number = value.dtype.kind in "biuf"
    if is_number:
        is_valid = value > least if is_open else value >= least
        is_valid &= (value < np.inf) | allows_infinity
    if not is_number or not is_valid.all():
        words = "above" if is_open else "at least"
        got = value if value.size == 1 else value[~is_valid][0] if is_number else value
        raise ValueError(f"{name} must be a number {words} {least}, got {got!s}.")


def _bag_level(ratio, size, signal, noise, *_):
    """Least squares on the means of bags; of the smallest norm if they are too few."""
    load = size / ratio
    with np.errstate(divide="ignore", invalid="ignore"):
        few = noise * load / (1 - load)
        many = signal * (1 - 1 / load) + noise / (load - 1)
    return np.select([load < 1, load > 1], [few, many], np.inf)


def _rows_fitted_exactly(ratio, size, signal, noise, *_):
    """Fewer rows than features: each row gets the mean of its bag, for any weight."""
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = ratio**2 * (size - 1) / (size**2 * (1 - ratio))
        risk = signal * (1 - ratio / size + excess)
        risk += noise * ratio / (size * (1 - ratio))
    return np.where(ratio < 1, risk, np.inf)


def _general(ratio, size, signal, noise, rho, alpha):
    """Solve ``c (1 + h1(c) / ratio) = 1 / size`` by bisection; the left side rises."""
    low, high = np.zeros(len(ratio)), 1 / size
    for _ in range(HALVINGS):
        c = (low + high) / 2
        h1, _ = _traces(c, ratio, size, rho, alpha)
        is_above = c * (1 + h1 / ratio) > 1 / size
        low, high = np.where(is_above, low, c), np.where(is_above, c, high)
        if (high - low <= np.spacing(high)).all():
            break
    c = (low + high) / 2
    h1, h2 = _traces(c, ratio, size, rho, alpha)
    variance = size * c**2 * h2 / ratio
    bias = signal * (1 - 2 * c * h1 + c**2 * h2)
    return (bias + noise * variance) / (1 - variance)


def _traces(c, ratio, size, rho, alpha):
    """Mean traces of the inverse of ``(c + alpha) I + rho W`` and of its square.

    W is the scatter within bags, by row.
    """
    is_plain = rho == 0
    z = (c + alpha) / np.where(is_plain, 1.0, rho)
    g, within = 1 / ratio, 1 - 1 / size
    beta = z + within - g
    root = np.sqrt(beta**2 + 4 * g * z)
    with np.errstate(divide="ignore"):  # of the form that is not taken
        m = np.where(beta < 0, (root - beta) / (2 * g * z), 2 / (beta + root))
    slope = -(g * m**2 + m) / (2 * g * z * m + beta)
    h1 = np.where(is_plain, 1 / (c + alpha), m / np.where(is_plain, 1.0, rho))
    h2 = np.where(is_plain, h1**2, -slope / np.where(is_plain, 1.0, rho**2))
    return h1, h2
