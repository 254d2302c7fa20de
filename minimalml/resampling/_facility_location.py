"""Rows that stand for all columns of a similarity: greedy facility location.

Minoux, "Accelerated greedy algorithms for maximizing submodular set functions",
Optimization Techniques, 1978.
"""

import numpy as np
from sklearn.utils import check_array

from minimalml._core.threads import effective_n_threads, for_each_chunk
from minimalml._core.validation import Integral
from minimalml.resampling._lazy_greedy import add_picks, gains_of_rows, weighted_sums

# One number read and compared on one thread.
SECONDS_PER_NUMBER = 1e-9
# Numbers that a chunk of rows holds: some 0.2 ms.
CHUNK_NUMBERS = 1 << 18


def greedy_facility_location(similarity, n_samples_to_select, *, weights=None):
    """Pick rows one by one so that every column has a similar row among them.

    Each pick raises ``sum_j weights_j max_{i picked} similarity_ij`` the most; for
    similarities of at least 0 the picks reach 1 - 1/e of the best value of any set of
    their number. Fewer picks are the first of more picks. Most gains are never evaluated
    twice; at worst it takes O(n_rows n_columns n_samples_to_select) time.

    Parameters
    ----------
    similarity : array-like of shape (n_rows, n_columns)
        Of any sign, float32 or float64. Give the negative of a cost to minimise
        ``sum_j weights_j min_{i picked} cost_ij``.

    n_samples_to_select : int
        Number of picks, from 1 to n_rows.

    weights : array-like of shape (n_columns,), default=None
        What a column counts, at least 0; None: all alike.

    Returns
    -------
    indices : ndarray of int of shape (n_samples_to_select,)
        In the order of the picks; of equal gains the lower row goes first.

    Raises
    ------
    ValueError
        If a number is not finite, a weight is negative or all are 0, or the number of
        picks is no integer from 1 to n_rows.

    References
    ----------
    .. [1] G. Nemhauser, L. Wolsey, M. Fisher, "An analysis of approximations for
       maximizing submodular set functions", Mathematical Programming 14, 1978
    .. [2] M. Minoux, "Accelerated greedy algorithms for maximizing submodular set
       functions", Optimization Techniques, 1978

    Examples
    --------
    >>> from minimalml.resampling import greedy_facility_location
    >>> similarity = [[0.9, 0.8, 0.0], [1.0, 0.0, 0.1], [0.0, 0.0, 0.7]]
    >>> greedy_facility_location(similarity, 2)
    array([0, 2])
    """
    similarity = check_array(
        similarity, dtype=[np.float64, np.float32], order="C", input_name="similarity"
    )
    n_rows, n_columns = similarity.shape
    if not isinstance(n_samples_to_select, Integral) or not (
        1 <= n_samples_to_select <= n_rows
    ):
        raise ValueError(
            f"n_samples_to_select must be an integer from 1 to the {n_rows} rows of "
            f"similarity, got {n_samples_to_select!r}."
        )
    weights = column_shares(weights, n_columns)
    return LazyGreedy(similarity, weights).add(n_samples_to_select)


def column_shares(weights, n_columns, *, name="weights"):
    """Return weights of at least 0 that add up to 1; uniform ones for None."""
    if weights is None:
        return np.full(n_columns, 1 / n_columns)
    weights = check_array(
        weights, dtype=np.float64, ensure_2d=False, input_name=name, copy=True
    )
    if weights.shape != (n_columns,):
        raise ValueError(
            f"{name} must have one number for each of the {n_columns} columns, got "
            f"shape {weights.shape}."
        )
    if weights.min() < 0 or not weights.any():
        raise ValueError(
            f"{name} must be at least 0, and not all 0, got {weights.min()} as the "
            "smallest."
        )
    weights /= weights.max()  # the sum of huge weights overflows
    return weights / weights.sum()


class LazyGreedy:
    """Greedy picks that can be continued.

    Parameters
    ----------
    matrix : ndarray of shape (n_rows, n_columns), C-contiguous, float32 or float64
        Similarities; or costs, with ``sign=-1``, which are not copied.

    weights : ndarray of float64 of shape (n_columns,)
        Shares of the columns.

    sign : float, default=1.0
        What the matrix is multiplied by.

    Attributes
    ----------
    indices : ndarray of int
        All picks so far, in order.

    n_evaluations : int
        Number of row sums that were computed.
    """

    def __init__(self, matrix, weights, *, sign=1.0):
        self.matrix, self.weights, self.sign = matrix, weights, sign
        self.indices = np.empty(0, dtype=np.intp)
        self.n_evaluations = 0

    def add(self, n_picks):
        """Add up to ``n_picks`` rows (as many as there are left); return all picks."""
        n_rows = len(self.matrix)
        n_picks = min(n_picks, n_rows - len(self.indices))
        is_fresh = n_picks > 0 and not len(self.indices)
        if is_fresh:
            self._pick_first()
            n_picks -= 1
        picks = np.empty(n_picks, dtype=np.intp)
        self.n_evaluations += add_picks(
            self.matrix, self.sign, self.weights, self._current, self._gains,
            self._heap, n_rows - len(self.indices), is_fresh, picks,
        )  # fmt: skip
        self.indices = np.concatenate([self.indices, picks])
        return self.indices

    def _pick_first(self):
        first = int(np.argmax(self._by_row(weighted_sums)))
        self._current = self.sign * self.matrix[first].astype(np.float64)
        self._gains = self._by_row(gains_of_rows, self._current)
        order = np.argsort(-self._gains, kind="stable")  # sorted: a heap already
        self._heap = order[order != first]
        self.indices = np.array([first], dtype=np.intp)

    def _by_row(self, kernel, *current):
        n_rows, n_columns = self.matrix.shape
        values = np.empty(n_rows)
        for_each_chunk(
            lambda start, stop: kernel(
                self.matrix, self.sign, self.weights, *current, values, start, stop
            ),
            n_rows,
            chunk_size=max(1, CHUNK_NUMBERS // n_columns),
            n_threads=effective_n_threads(n_rows * n_columns, SECONDS_PER_NUMBER),
        )
        self.n_evaluations += n_rows
        return values
