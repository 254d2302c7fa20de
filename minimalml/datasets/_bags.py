"""Bags of rows: how rows are put into bags, and a regression of which means are known."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_array, check_random_state

from minimalml._core.groups import GroupIndex


def make_bags(n_samples, bag_size=8, *, by=None, correlation=1.0, random_state=None):
    """Put rows into bags, at random or like to like.

    Parameters
    ----------
    n_samples : int
        Number of rows.

    bag_size : int or tuple of (int, int), default=8
        Rows a bag, or the smallest and largest number, between which sizes are drawn
        uniformly. The last bag takes what is left.

    by : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
        Rows are sorted by it, first column first, before they are cut into bags; None
        orders them at random.

    correlation : float, default=1.0
        Share of the rows, from 0 to 1, that stay where ``by`` puts them; the others
        change places at random.

    random_state : int, RandomState instance or None, default=None
        Seed of the order and the sizes.

    Returns
    -------
    ndarray of int of shape (n_samples,)
        The bag of each row: 0, 1, 2...

    Raises
    ------
    ValueError
        If a size is no positive integer, the range is empty, ``correlation`` is outside
        [0, 1], or ``by`` has another number of rows.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.datasets import make_bags
    >>> make_bags(7, 3, by=[5, 1, 3, 2, 9, 8, 4])
    array([1, 0, 0, 0, 2, 1, 1])
    >>> np.bincount(make_bags(7, 3, random_state=0))
    array([3, 3, 1])
    """
    low, high = _check_sizes(n_samples, bag_size)
    if not 0.0 <= correlation <= 1.0:
        raise ValueError(f"correlation must be in [0, 1], got {correlation}.")
    rng = check_random_state(random_state)
    order = rng.permutation(n_samples)
    if by is not None:
        order = _sorted_by(by, order)
        moved = n_samples - round(correlation * n_samples)
        places = rng.permutation(n_samples)[:moved]
        order[places] = order[rng.permutation(places)]
    n_most = -(-n_samples // low)
    sizes = rng.randint(low, high + 1, size=n_most) if low < high else [low] * n_most
    bags = np.empty(n_samples, dtype=np.intp)
    bags[order] = np.repeat(np.arange(n_most), sizes)[:n_samples]
    return bags


def _check_sizes(n_samples, bag_size):
    """Return the smallest and the largest size."""
    if not isinstance(n_samples, Integral) or n_samples < 1:
        raise ValueError(f"n_samples must be a positive integer, got {n_samples!r}.")
    sizes = (bag_size, bag_size) if isinstance(bag_size, Integral) else bag_size
    try:
        low, high = sizes
    except (TypeError, ValueError):
        low, high = None, None
    are_integers = isinstance(low, Integral) and isinstance(high, Integral)
    if not are_integers or not 1 <= low <= high:
        raise ValueError(
            "bag_size must be a positive integer or a pair of such, the smaller first, "
            f"got {bag_size!r}."
        )
    return low, high


def _sorted_by(by, order):
    """Return ``order`` sorted by the columns of ``by``, the first one first."""
    by = check_array(by, ensure_2d=False, dtype=None, input_name="by")
    if len(by) != len(order):
        raise ValueError(f"by has {len(by)} rows but n_samples is {len(order)}.")
    columns = by.reshape(len(by), -1)[order].T
    ranks = [np.unique(column, return_inverse=True)[1] for column in columns]
    return order[np.lexsort(ranks[::-1])]


def make_aggregate_regression(
    n_samples=1000,
    n_features=100,
    *,
    bag_size=4,
    signal=1.0,
    noise=1.0,
    random_state=None,
):
    """Generate a linear regression of which only the means of bags are known.

    ``y = X @ coef + noise`` with standard normal rows in bags at random; of y the mean
    of its bag stands on each row.

    Parameters
    ----------
    n_samples, n_features : int, default=1000, 100
        Numbers of rows and features.

    bag_size : int or tuple of (int, int), default=4
        As `make_bags` takes it.

    signal : float, default=1.0
        Squared length of the coefficients, which are uniform on the sphere: the
        variance of the responses without noise.

    noise : float, default=1.0
        Variance of the noise.

    random_state : int, RandomState instance or None, default=None
        Seed of everything.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Rows.

    y : ndarray of shape (n_samples,)
        The mean response of its bag on each row.

    bags : ndarray of int of shape (n_samples,)
        The bag of each row.

    coef : ndarray of shape (n_features,)
        Coefficients.

    Raises
    ------
    ValueError
        If ``signal`` or ``noise`` is negative, or as `make_bags`.

    Examples
    --------
    >>> from minimalml.datasets import make_aggregate_regression
    >>> X, y, bags, coef = make_aggregate_regression(8, 3, bag_size=2, random_state=0)
    >>> X.shape, len(set(bags)), len(set(y))
    ((8, 3), 4, 4)
    """
    for name, variance in (("signal", signal), ("noise", noise)):
        if not 0 <= variance < np.inf:
            raise ValueError(f"{name} must be at least 0, got {variance}.")
    rng = check_random_state(random_state)
    X = rng.standard_normal((n_samples, n_features))
    coef = rng.standard_normal(n_features)
    coef *= np.sqrt(signal) / np.linalg.norm(coef)
    y = X @ coef + np.sqrt(noise) * rng.standard_normal(n_samples)
    bags = make_bags(n_samples, bag_size, random_state=rng)
    index = GroupIndex(bags, n_samples)
    return X, index.expand(index.mean(y)), bags, coef
