"""Cross-validation that holds out whole pairs, as the task of unseen pairs asks."""

import numpy as np
from sklearn.model_selection import BaseCrossValidator, train_test_split
from sklearn.utils import check_random_state, indexable
from sklearn.utils.validation import _num_samples

from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    validate_parameter_constraints,
)
from minimalml.multioutput._compositional_zero_shot import _pairs


class PairHoldoutSplit(BaseCrossValidator):
    """Split rows so that the test part has pairs that training never shows.

    Each split holds out a share of the distinct pairs with all their rows, but never
    the last pair of an attribute or an object. The same share of the other pairs' rows
    joins the test part, so that accuracy on seen pairs is measured as well. Use it as
    ``cv`` of a search with y of two columns.

    Parameters
    ----------
    n_splits : int, default=5
        Number of independent random splits.

    unseen_fraction : float, default=0.2
        Share of the distinct pairs to hold out, in (0, 1), at least one pair; and of
        the rows of each other pair, whose last row stays in training.

    random_state : int, RandomState instance or None, default=None
        Seed of the splits.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.multioutput import PairHoldoutSplit
    >>> y = np.array([["red", "apple"], ["red", "car"], ["green", "apple"],
    ...               ["green", "car"]] * 2)
    >>> split = PairHoldoutSplit(n_splits=1, unseen_fraction=0.25, random_state=0)
    >>> for train, test in split.split(y, y):
    ...     print(len(train), len(test))
    6 2
    """

    _parameter_constraints = {
        "n_splits": [Interval(Integral, 1, None, closed="left")],
        "unseen_fraction": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(self, n_splits=5, *, unseen_fraction=0.2, random_state=None):
        self.n_splits = n_splits
        self.unseen_fraction = unseen_fraction
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return ``n_splits``; the arguments are not used."""
        return self.n_splits

    def split(self, X, y, groups=None):
        """Generate row indices of training and test parts.

        Parameters
        ----------
        X, y : array-like of shape (n, d), (n, 2)
            Features, whose number of rows is used, and attribute and object of each row.

        groups : object
            Not used, present for API consistency.

        Yields
        ------
        train, test : ndarray of int
            Row indices.

        Raises
        ------
        ValueError
            If a parameter is out of range, or so many pairs can't be held out without
            losing a primitive.
        """
        validate_parameter_constraints(
            self._parameter_constraints, vars(self), type(self).__name__
        )
        X, y = indexable(X, y)
        labels = _pairs.PairLabels.read(y)
        rng = check_random_state(self.random_state)
        sizes = np.bincount(labels.pair_index)
        n_test = np.minimum(np.rint(self.unseen_fraction * sizes), sizes - 1)
        for _ in range(self.n_splits):
            held_out = self._draw_pairs(labels.seen_pairs, rng)
            is_test = held_out[labels.pair_index]
            order = rng.permutation(_num_samples(X))
            order = order[np.argsort(labels.pair_index[order], kind="stable")]
            rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            is_test[order] |= rank < n_test[labels.pair_index[order]]
            yield np.flatnonzero(~is_test), np.flatnonzero(is_test)

    def _draw_pairs(self, pairs, rng):
        """Hold out pairs in random order while each primitive keeps another pair."""
        n_wanted = max(1, round(self.unseen_fraction * len(pairs)))
        held_out = np.zeros(len(pairs), dtype=bool)
        left = [np.bincount(pairs[:, column]) for column in (0, 1)]
        for pair in rng.permutation(len(pairs)):
            attribute, obj = pairs[pair]
            if left[0][attribute] > 1 and left[1][obj] > 1:
                held_out[pair] = True
                left[0][attribute] -= 1
                left[1][obj] -= 1
                if held_out.sum() == n_wanted:
                    return held_out
        raise ValueError(
            f"unseen_fraction={self.unseen_fraction} asks to hold out {n_wanted} of "
            f"{len(pairs)} pairs, but after {held_out.sum()} each other pair is the "
            "last of its attribute or object: lower unseen_fraction."
        )


def hold_out_rows(labels, fraction, seed):
    """Return training rows and validation rows, with whole pairs among the latter.

    Labels of one column have no unseen pairs: a stratified share of their rows.
    """
    rows = np.arange(len(labels.codes))
    if labels.is_single:
        return train_test_split(
            rows, test_size=fraction, stratify=labels.pair_index, random_state=seed
        )
    split = PairHoldoutSplit(1, unseen_fraction=fraction, random_state=seed)
    rows, held_out = next(split.split(rows, labels.codes))
    if not _pairs.is_among(labels.codes[held_out], labels.take(rows).seen_pairs).any():
        raise ValueError(
            f"training.validation_fraction={fraction} holds out no row of the pairs that "
            "stay in training, since each has few rows: raise it."
        )
    return rows, held_out
