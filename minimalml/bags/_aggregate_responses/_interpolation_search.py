"""The best weight between the bag level and the instance level, by held-out bags.

All folds and all weights are solved from sums; no row is looked at twice.
"""

from functools import reduce
from operator import add

import numpy as np
from sklearn.model_selection import GroupKFold, check_cv

from minimalml.bags._aggregate_responses._aggregate_statistics import squared_error

INTERPOLATION_GRID = np.array(
    [0, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3], dtype=np.float64
)


def choose_interpolation(pairs, alpha, rounding):
    """Return the weight of the least error on held-out bags, and all mean errors.

    ``pairs`` are statistics to solve and of the bags to predict. Of errors that differ
    by no more than ``rounding`` the largest weight wins; without pairs it is 1.
    """
    errors = np.zeros(len(INTERPOLATION_GRID))
    for train, test in pairs:
        for place, interpolation in enumerate(INTERPOLATION_GRID):
            errors[place] += squared_error(test, *train.solve(alpha, interpolation))
    if not pairs:
        return 1.0, np.full(len(errors), np.nan)
    errors /= sum(test.weight for _, test in pairs)
    best = np.flatnonzero(errors <= errors.min() + rounding)[-1]
    return float(INTERPOLATION_GRID[best]), errors


def merged(parts):
    """Add up statistics, of which some may be None."""
    return reduce(add, (part for part in parts if part is not None))


def deal_bags(n_bags, n_folds, n_seen, random_state):
    """Return the fold of each bag: shuffled, or in turn if there are fewer than folds."""
    if n_bags < n_folds:
        return (n_seen + np.arange(n_bags)) % n_folds
    bags, folds = np.arange(n_bags), np.empty(n_bags, dtype=np.intp)
    splitter = GroupKFold(n_folds, shuffle=True, random_state=random_state)
    for fold, (_, test) in enumerate(splitter.split(bags, groups=bags)):
        folds[test] = fold
    return folds


def pairs_of_folds(folds):
    """Return the statistics of all other folds, and of each fold.

    Others are added, not taken off the total, which would cancel.
    """
    return [
        (merged([*folds[:k], *folds[k + 1 :]]), folds[k]) for k in range(len(folds))
    ]


def pairs_of_splits(cv, X, y, bags, kept, index, measure):
    """Return the statistics of the training and the test bags of each split of rows."""
    groups = np.arange(len(X)) if bags is None else bags
    return [
        tuple(
            measure(bags=_whole_bags(rows, len(X), kept, index))
            for rows in (train, test)
        )
        for train, test in check_cv(cv).split(X, y, groups)
    ]


def _whole_bags(rows, n_rows, kept, index):
    """Return the numbers of the bags that some rows make up."""
    is_in = np.zeros(n_rows, dtype=bool)
    is_in[rows] = True
    counts = np.bincount(index.codes, is_in[kept], minlength=len(index))
    cut = np.flatnonzero((counts > 0) & (counts < index.sizes))
    if len(cut):
        raise ValueError(
            f"cv cuts bag {index.ids[cut[0]]!s}: {counts[cut[0]]:.0f} of its "
            f"{index.sizes[cut[0]]} rows are in one part. A split must keep bags whole, as "
            "GroupKFold does."
        )
    if not counts.any():
        raise ValueError("cv has a split without rows of weight above 0 in one part.")
    return np.flatnonzero(counts)
