"""Sets of rows with the subset of each that does not look like the rest."""

import numpy as np
from sklearn.datasets import make_moons
from sklearn.utils import check_random_state, check_X_y

from minimalml._core.validation import Integral, Interval, Real, validate_params

_N_SETS = {
    "n_sets": [Interval(Integral, 1, None, closed="left")],
    "set_size": [Interval(Integral, 1, None, closed="left")],
    "random_state": ["random_state"],
}


@validate_params(
    {
        "X": ["array-like"],
        "y": ["array-like"],
        **_N_SETS,
        "subset_size": [Integral, tuple, list],
    },
    prefer_skip_nested_validation=True,
)
def make_odd_one_out_subsets(
    X, y, n_sets=300, *, set_size=8, subset_size=(2, 3), random_state=None
):
    """Compose sets of a labelled table: rows of one class, and a few odd ones.

    Which class is the common one is drawn for each set, so a row does not tell by
    itself whether it is odd.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows to draw from, within a set without repetition.

    y : array-like of shape (n_samples,)
        Their classes.

    n_sets : int, default=300
        Number of sets.

    set_size : int, default=8
        Rows of a set.

    subset_size : int or tuple of (int, int), default=(2, 3)
        Number of odd rows of a set, or the smallest and largest, between which it is
        drawn; less than ``set_size``.

    random_state : int, RandomState instance or None, default=None
        Seed of everything.

    Returns
    -------
    X : ndarray of shape (n_sets * set_size, n_features)
        Rows, those of a set together and in random order.

    y : ndarray of int of shape (n_sets * set_size,)
        1 for the odd rows, else 0.

    bags : ndarray of int of shape (n_sets * set_size,)
        The set of each row.

    Raises
    ------
    ValueError
        If sizes do not fit each other, or no class has enough rows.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from minimalml.datasets import make_odd_one_out_subsets
    >>> X, y, bags = make_odd_one_out_subsets(
    ...     *load_digits(return_X_y=True), 2, set_size=5, random_state=0)
    >>> X.shape, y.tolist(), bags.tolist()
    ((10, 64), [1, 0, 1, 0, 0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    """
    X, y = check_X_y(X, y, dtype=None, y_numeric=False)
    low, high = _check_subset_size(subset_size, set_size)
    _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    common = np.flatnonzero((counts >= set_size - low) & (len(y) - counts >= high))
    if not len(common):
        raise ValueError(
            f"set_size={set_size} needs a class of {set_size - low} rows and {high} "
            f"rows of others; y has classes of {counts.tolist()} rows."
        )
    rng = check_random_state(random_state)
    rows = np.empty((n_sets, set_size), dtype=np.intp)
    is_odd = np.zeros((n_sets, set_size), dtype=np.intp)
    for row, odd in zip(rows, is_odd, strict=True):
        is_common = codes == rng.choice(common)
        n_odd = rng.randint(low, high + 1)
        odd[rng.permutation(set_size)[:n_odd]] = 1
        row[odd == 1] = rng.choice(np.flatnonzero(~is_common), n_odd, replace=False)
        row[odd == 0] = rng.choice(
            np.flatnonzero(is_common), set_size - n_odd, replace=False
        )
    return X[rows.ravel()], is_odd.ravel(), np.repeat(np.arange(n_sets), set_size)


@validate_params(
    {
        **_N_SETS,
        "subset_size": [Integral, tuple, list],
        "noise": [Interval(Real, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def make_two_moons_subsets(
    n_sets=300, *, set_size=100, subset_size=10, noise=0.1, random_state=None
):
    """Draw sets of points of one half moon, with a few of the other.

    Parameters
    ----------
    n_sets : int, default=300
        Number of sets.

    set_size : int, default=100
        Points of a set.

    subset_size : int or tuple of (int, int), default=10
        Number of points of the other moon, or the smallest and largest, between which
        it is drawn; less than ``set_size``.

    noise : float, default=0.1
        Standard deviation of the noise before points are doubled.

    random_state : int, RandomState instance or None, default=None
        Seed of everything; which moon is the common one is drawn for each set.

    Returns
    -------
    X : ndarray of shape (n_sets * set_size, 2)
        Points, those of a set together and in random order.

    y : ndarray of int of shape (n_sets * set_size,)
        1 for the points of the other moon, else 0.

    bags : ndarray of int of shape (n_sets * set_size,)
        The set of each point.

    Raises
    ------
    ValueError
        If ``subset_size`` does not fit ``set_size``.

    Examples
    --------
    >>> from minimalml.datasets import make_two_moons_subsets
    >>> X, y, bags = make_two_moons_subsets(3, set_size=20, subset_size=4)
    >>> X.shape, y.reshape(3, 20).sum(axis=1)
    ((60, 2), array([4, 4, 4]))
    """
    low, high = _check_subset_size(subset_size, set_size)
    rng = check_random_state(random_state)
    sets, is_odd = [], np.zeros((n_sets, set_size), dtype=np.intp)
    for odd in is_odd:
        points, moon = make_moons(2 * set_size, noise=noise, random_state=rng)
        points = 2.0 * points + (-1.0, -0.2)
        common = rng.randint(2)
        chosen, others = points[moon == common], points[moon != common]
        odd[rng.permutation(set_size)[: rng.randint(low, high + 1)]] = 1
        sets.append(np.where(odd[:, None] == 1, others, chosen))
    bags = np.repeat(np.arange(n_sets), set_size)
    return np.concatenate(sets), is_odd.ravel(), bags


def _check_subset_size(subset_size, set_size):
    """Return the smallest and the largest number of odd rows."""
    sizes = (subset_size,) * 2 if isinstance(subset_size, Integral) else subset_size
    are_integers = len(sizes) == 2 and all(isinstance(s, Integral) for s in sizes)
    if not are_integers or not 0 <= sizes[0] <= sizes[1] < set_size:
        raise ValueError(
            "subset_size must be an integer or a pair of such, the smaller first, from "
            f"0 and less than set_size={set_size}, got {subset_size!r}."
        )
    return tuple(sizes)
