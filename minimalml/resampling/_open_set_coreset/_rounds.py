"""Rounds in which every centre takes its nearest row that is left.

Only the rows nearest to each centre are kept, streamed from blocks of similarities.
"""

from math import ceil
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_array

from minimalml._core.validation import Integral
from minimalml.resampling._sample_selector import number_to_select


class CoresetRounds(NamedTuple):
    """Rows of a coreset in the order of selection, and why it ended.

    indices, round, center_indices, similarities : ndarray of shape (n_selected,)
        The row, the round that took it (from 0), the centre that it is recorded with,
        and the similarity to that.
    round_values : ndarray of shape (n_rounds,)
        Mean over the centres of the similarity to what they took.
    reference_value : float
        What later rounds are compared with; NaN if that round was not reached.
    stopped_by : {"ratio", "budget", "exhausted"}
    """

    indices: np.ndarray
    round: np.ndarray
    round_values: np.ndarray
    center_indices: np.ndarray
    similarities: np.ndarray
    reference_value: float
    stopped_by: str


def iterative_coreset(
    similarity, n_samples_to_select=None, *, stopping_ratio=None, patience=1
):
    """Select rows round by round: in each, every column takes its most similar row.

    Facility location is served by one row a column and then gains nothing more; each
    round serves it once more with the rows that are left. Within a round columns may
    share a row. O(n_rows n_columns) time beside sorting what is selected.

    Parameters
    ----------
    similarity : array-like of shape (n_rows, n_columns)
        Similarities of rows to centres, of any sign.

    n_samples_to_select : int or float, default=None
        Budget: a count, or a fraction of the rows. The last round is cut to its most
        similar rows.

    stopping_ratio : float, default=None
        In (0, 1]: stop before the first round after ``patience`` whose value is below
        this share of the value of round ``patience``. None: never.

    patience : int, default=1
        Round whose value is the reference, counted from 1.

    Returns
    -------
    CoresetRounds
        A smaller budget gives a prefix of a larger one's rows.

    Raises
    ------
    ValueError
        If there is neither a budget nor a ratio, or one is out of range.

    References
    ----------
    .. [1] S. Kim, S. Bae, S.-Y. Yun, "Coreset Sampling from Open-Set for Fine-Grained
       Self-Supervised Learning", CVPR 2023. arXiv:2303.11101

    Examples
    --------
    >>> from minimalml.resampling import iterative_coreset
    >>> similarity = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.7], [0.0, 0.1]]
    >>> coreset = iterative_coreset(similarity, stopping_ratio=0.6)
    >>> coreset.indices, coreset.round_values, coreset.stopped_by
    (array([0, 2, 1]), array([0.8, 0.5]), 'ratio')
    """
    similarity = check_array(
        similarity, dtype=[np.float64, np.float32], input_name="similarity"
    )
    n_rows = len(similarity)
    if n_samples_to_select is None and stopping_ratio is None:
        raise ValueError(
            "n_samples_to_select and stopping_ratio are both None: give a budget or a "
            "ratio."
        )
    if stopping_ratio is not None and not 0 < stopping_ratio <= 1:
        raise ValueError(f"stopping_ratio must be in (0, 1], got {stopping_ratio!r}.")
    if not isinstance(patience, Integral) or patience < 1:
        raise ValueError(
            f"patience must be an integer of at least 1, got {patience!r}."
        )
    budget = n_rows
    if n_samples_to_select is not None:
        highest = np.inf if isinstance(n_samples_to_select, Integral) else 1
        if not 0 < n_samples_to_select <= highest:
            raise ValueError(
                "n_samples_to_select must be an integer of at least 1 or a fraction in "
                f"(0, 1], got {n_samples_to_select!r}."
            )
        budget = number_to_select(n_samples_to_select, n_rows)
    whole = slice(0, n_rows)
    return rounds_of_blocks(
        lambda: [(whole, similarity)],
        similarity.shape,
        budget,
        stopping_ratio,
        patience,
    )


def rounds_of_blocks(blocks, shape, budget, stopping_ratio, patience):
    """Run the rounds on ``blocks()``, an iterable of slices of rows and similarities."""
    n_rows, n_columns = shape
    length = min(n_rows, 2 * ceil(budget / n_columns) + 64)
    while True:
        queues = _nearest_rows(blocks(), n_columns, length)
        rounds = _Rounds(queues, n_rows, budget, stopping_ratio, patience)
        if rounds.run():
            return rounds.result()
        length = min(n_rows, 2 * length)  # a queue ran dry


def _nearest_rows(blocks, n_columns, length):
    """Return the ``length`` most similar rows of each column, ties by lower row.

    Returns
    -------
    rows, similarities : ndarray of shape (n_columns, length)
    """
    columns, rows = (np.empty(0, dtype=np.intp) for _ in range(2))
    values, lowest = np.empty(0), None
    for part, block in blocks:
        if lowest is not None:  # of equal rows the earlier ones are there already
            new_rows, new_columns = np.nonzero(block > lowest)
        elif len(block) > length:
            at_least = np.partition(block, len(block) - length, axis=0)[-length]
            new_rows, new_columns = np.nonzero(block >= at_least)
        else:
            new_rows, new_columns = np.indices(block.shape).reshape(2, -1)
        columns = np.concatenate([columns, new_columns])
        rows = np.concatenate([rows, new_rows + part.start])
        values = np.concatenate([values, block[new_rows, new_columns]])
        order = np.lexsort((rows, -values, columns))
        counts = np.bincount(columns, minlength=n_columns)
        starts = np.cumsum(counts) - counts
        places = np.arange(len(order)) - np.repeat(starts, counts)
        order = order[places < length]
        columns, rows, values = columns[order], rows[order], values[order]
        if len(order) == length * n_columns:
            lowest = values[length - 1 :: length]
    return rows.reshape(n_columns, -1), values.reshape(n_columns, -1)


class _Rounds:
    """The queues of the centres, and what was taken from them."""

    def __init__(self, queues, n_rows, budget, stopping_ratio, patience):
        self.rows, self.values = queues
        self.n_rows, self.budget = n_rows, budget
        self.stopping_ratio, self.patience = stopping_ratio, patience
        self.places = np.zeros(len(self.rows), dtype=np.intp)
        self.is_taken = np.zeros(n_rows, dtype=bool)
        self.taken, self.round_values = [], []  # (rows, columns, values) by round
        self.reference, self.stopped_by = np.nan, None

    def run(self):
        """Run all rounds; return False if a queue ran dry before the end."""
        n_taken = 0
        while self.stopped_by is None:
            if not self._advance():
                return False
            each = np.arange(len(self.rows))
            rows, values = self.rows[each, self.places], self.values[each, self.places]
            if self._falls_below(values.mean()):
                self.stopped_by = "ratio"
                break
            self.round_values.append(float(values.mean()))
            # the most similar centre first, the lower one of equals, then unique rows
            order = np.lexsort((each, -values, rows))
            order = order[np.unique(rows[order], return_index=True)[1]]
            order = order[np.lexsort((rows[order], -values[order]))]
            order = order[: self.budget - n_taken]
            self.taken.append((rows[order], each[order], values[order]))
            self.is_taken[rows] = True
            n_taken += len(order)
            if n_taken == self.n_rows:
                self.stopped_by = "exhausted"
            elif n_taken == self.budget:
                self.stopped_by = "budget"
        return True

    def _advance(self):
        """Move each centre to its next row that no earlier round took."""
        length = self.rows.shape[1]
        for column, place in enumerate(self.places):
            while place < length and self.is_taken[self.rows[column, place]]:
                place += 1
            if place == length:
                return False
            self.places[column] = place
        return True

    def _falls_below(self, value):
        number = len(self.round_values) + 1
        if number == self.patience:
            self.reference = float(value)
        if self.stopping_ratio is None or number <= self.patience:
            return False
        room = (1 - self.stopping_ratio) * abs(self.reference)
        return value < self.reference - room

    def result(self):
        rows, columns, values = (
            np.concatenate(parts) for parts in zip(*self.taken, strict=True)
        )
        sizes = [len(part) for part, _, _ in self.taken]
        return CoresetRounds(
            rows, np.repeat(np.arange(len(sizes)), sizes), np.array(self.round_values),
            columns, values, self.reference, self.stopped_by,
        )  # fmt: skip
