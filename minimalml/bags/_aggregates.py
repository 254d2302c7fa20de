"""From rows to bags and back: aggregates by bag, and the targets that ``fit`` takes."""

import numpy as np
from sklearn.utils import check_array, column_or_1d

from minimalml._core.groups import GroupIndex, checked_ids
from minimalml._core.validation import check_sample_weight

HOWS = ("mean", "sum", "max", "min", "first", "size")


def aggregate_by_bag(values, bags=None, *, how="mean", sample_weight=None):
    """Reduce values by row to one a bag.

    O(n log n) time, O(n) where the ids are integers that are close together.

    Parameters
    ----------
    values : array-like of shape (n_samples,) or (n_samples, n_columns)
        Numbers; for "max", "min" and "first" of any type that sorts.

    bags : array-like of shape (n_samples,), default=None
        The id of each row's bag: integers, text, finite floats, in any order. None
        makes each row a bag.

    how : {"mean", "sum", "max", "min", "first", "size"}, default="mean"
        "first" is the value of a bag's first row, "size" its number of rows.

    sample_weight : array-like of shape (n_samples,), default=None
        At least 0; a weight counts as so many equal rows of the bag. Rows of weight 0
        are dropped first, and bags of such rows.

    Returns
    -------
    ids : ndarray of shape (n_bags,)
        Ids of the bags, sorted.

    aggregates : ndarray of shape (n_bags,) or (n_bags, n_columns)
        "mean" and "sum" keep float32 and make float64 of other numbers, "max", "min"
        and "first" keep the type; "size" gives integers, with weights floats.

    Raises
    ------
    ValueError
        If ``how`` is unknown, lengths differ, an id is missing, weights are negative or
        all 0, or values are missing or no numbers where numbers are needed.

    Examples
    --------
    >>> from minimalml.bags import aggregate_by_bag
    >>> aggregate_by_bag([1.0, 2.0, 6.0], ["b", "a", "b"])
    (array(['a', 'b'], dtype='<U1'), array([2. , 3.5]))
    >>> aggregate_by_bag([1.0, 2.0, 6.0], ["b", "a", "b"], how="size")[1]
    array([1, 2])
    """
    check_how(how)
    values = check_array(values, ensure_2d=False, dtype=None, input_name="values")
    kept, index, weight = weighted_index(bags, len(values), sample_weight)
    return index.ids, reduce_by(index, values[kept], how, weight)


def aggregate_targets(y, bags, *, how="mean"):
    """Give each row the aggregate of its bag: the y that ``fit`` takes.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Responses of single rows. Proportions are made of ``y == positive``, the labels
        of multiple-instance learning by ``how="max"``.

    bags : array-like of shape (n_samples,) or None
        The id of each row's bag; see `aggregate_by_bag`.

    how : {"mean", "sum", "max", "min", "first", "size"}, default="mean"
        How the responses of a bag make one.

    Returns
    -------
    ndarray of shape (n_samples,)
        The aggregate of its bag on each row, of the type that `aggregate_by_bag` gives.

    Raises
    ------
    ValueError
        As `aggregate_by_bag`.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.bags import aggregate_targets
    >>> labels = np.array(["no", "yes", "yes", "yes"])
    >>> aggregate_targets(labels == "yes", bags=[0, 0, 1, 1])
    array([0.5, 0.5, 1. , 1. ])
    """
    check_how(how)
    y = check_array(column_or_1d(y), ensure_2d=False, dtype=None, input_name="y")
    index = GroupIndex(bags, len(y))
    return index.expand(reduce_by(index, y, how))


def check_how(how):
    """Refuse a reduction that does not exist."""
    if how not in HOWS:
        raise ValueError(f"how must be one of {', '.join(HOWS)}, got {how!r}.")


def weighted_index(bags, n_rows, sample_weight=None):
    """Return rows of weight above 0, the index of their bags, and their weights.

    Without weights these are all rows, as a slice, and None.
    """
    if sample_weight is None:
        return slice(None), GroupIndex(bags, n_rows), None
    rows = np.arange(n_rows)
    weight = check_sample_weight(sample_weight, rows, ensure_non_negative=True)
    kept = np.flatnonzero(weight)
    ids = rows if bags is None else checked_ids(bags, n_rows, "bags")
    return kept, GroupIndex(ids[kept], len(kept)), weight[kept]


def reduce_by(index, values, how, weight=None):
    """Return one value a bag."""
    if how == "size":
        return index.sizes if weight is None else index.sum(weight)
    if how == "first":
        return index.first(values)
    if how in ("max", "min"):
        return _extreme(index, values, how)
    if values.dtype.kind not in "biuf":
        raise ValueError(
            f"values must be numbers for how={how!r}, got dtype {values.dtype}."
        )
    return getattr(index, how)(values, weight)


def _extreme(index, values, how):
    """Return maxima or minima of any type that sorts."""
    if values.dtype in (np.float32, np.float64):
        return index.max(values) if how == "max" else -index.max(-values)
    sorted_values, ranks = np.unique(values, return_inverse=True)
    ranks = ranks.reshape(values.shape)
    found = index.max(ranks) if how == "max" else -index.max(-ranks)
    return sorted_values[found.astype(np.intp)]
