"""From scores of rows to the subset of each bag, and how well subsets agree."""

import warnings

import numpy as np
from scipy.special import expit
from sklearn.utils import check_consistent_length, column_or_1d

from minimalml._core.groups import GroupIndex


def mean_jaccard_score(y_true, y_pred, bags):
    """Average over bags how much of the true and the chosen subset is in both.

    Of a bag it is the size of the intersection of the two subsets divided by that of
    their union, and 1 where both are empty. O(n log n) time.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Whether each row is in the subset of its bag: booleans, or 0 and 1. Other labels
        are compared first: ``y == positive``.

    bags : array-like of shape (n_samples,) or None
        The id of each row's bag; None makes each row one.

    Returns
    -------
    float
        From 0 to 1; 1 only if all subsets are equal.

    Raises
    ------
    ValueError
        If lengths differ, an id is missing, or a value is neither 0 nor 1.

    Examples
    --------
    >>> from minimalml.bags import mean_jaccard_score
    >>> mean_jaccard_score([1, 1, 0, 1, 0], [1, 0, 1, 1, 0], ["a", "a", "a", "b", "b"])
    0.6666666666666666
    """
    check_consistent_length(y_true, y_pred)
    y_true, y_pred = _as_mask(y_true, "y_true"), _as_mask(y_pred, "y_pred")
    index = GroupIndex(bags, len(y_true))
    in_both, in_one = index.sum(y_true & y_pred), index.sum(y_true | y_pred)
    return float(np.where(in_one > 0, in_both / np.maximum(in_one, 1), 1.0).mean())


def _as_mask(values, name):
    """Return zeros and ones as booleans."""
    values = column_or_1d(values)
    is_number = values.dtype.kind in "biuf"
    wrong = (values != 0) & (values != 1) if is_number else np.ones(len(values), bool)
    if wrong.any():
        raise ValueError(
            f"{name} must be booleans, or 0 and 1, got {values[wrong.argmax()]!s}: "
            f"compare labels first, as in {name} == positive."
        )
    return values.astype(bool)


def choose(logits, index, rule, threshold):
    """Return whether each row is in the subset of its bag.

    ``rule`` is "size", the expected size of the subset, or an int: so many rows of each
    bag with the largest logits. Others compare chances with ``threshold``.
    """
    if rule in ("threshold", "optimal"):
        return expit(logits.astype(np.float64)) > threshold
    if rule == "size":
        sizes = np.rint(index.sum(expit(logits)))
    else:
        sizes = np.full(len(index), rule)
        n_short = int((index.sizes < rule).sum())
        if n_short:
            warnings.warn(
                f"{n_short} bags have fewer than selection={rule} rows: all their rows "
                "are selected.",
                UserWarning,
                stacklevel=3,
            )
    rank = np.empty(len(logits), dtype=np.intp)
    order = np.lexsort((-logits, index.codes))  # stable: of ties the earlier row
    rank[order] = np.arange(len(logits)) - index.offsets[index.codes[order]]
    return rank < sizes[index.codes]


def best_threshold(logits, is_member, index):
    """Return the chance above which rows are selected for the best mean Jaccard score.

    Bags are sorted by rows: taking rows in by falling chance, each changes the score of
    its own bag only.
    """
    order = np.lexsort((-logits, index.codes))
    member, codes = is_member[order], index.codes[order]
    n_taken = np.arange(len(order)) - index.offsets[codes] + 1
    hits = np.cumsum(member)
    n_members = index.sum(is_member)
    hits -= (np.cumsum(n_members) - n_members)[codes].astype(hits.dtype)
    jaccard = hits / (n_members[codes] + n_taken - hits)
    empty = (n_members == 0).astype(np.float64)  # the score of a bag of no taken row
    before = np.where(n_taken == 1, empty[codes], np.roll(jaccard, 1))
    falling = np.argsort(-logits[order], kind="stable")
    scores = empty.sum() + np.cumsum((jaccard - before)[falling])
    scores = np.concatenate([[empty.sum()], scores])
    chances = expit(logits[order][falling].astype(np.float64))
    bounds = np.concatenate([[1.0], chances, [0.0]])
    is_between = bounds[:-1] > bounds[1:]  # no threshold parts equal chances
    best = np.flatnonzero(is_between)[scores[is_between].argmax()]
    return float((bounds[best] + bounds[best + 1]) / 2)
