"""Codebooks of column segments by weighted k-means.

A column of a weight matrix is cut into segments of consecutive outputs; the last one may be
short, and counts over the entries that it has.
"""

import numpy as np
from sklearn.cluster import kmeans_plusplus
from sklearn.utils import check_array, check_random_state

from minimalml._core.validation import Integral, Interval, Real, validate_params
from minimalml.compression._nearest_codeword import nearest_checked
from minimalml.compression._weight_codec import check_weight_and_hessian

POSITIVE = Interval(Integral, 1, None, closed="left")


def nearest_segments(column, codebook):
    """Return the number of the word that is nearest to each segment of a column."""
    length = codebook.shape[1]
    n_full = len(column) // length
    full = np.ascontiguousarray(column[: n_full * length]).reshape(n_full, length)
    labels, _ = nearest_checked(full, codebook)
    rest = column[n_full * length :]
    if not len(rest):
        return labels
    short = np.ascontiguousarray(codebook[:, : len(rest)])
    last, _ = nearest_checked(np.ascontiguousarray(rest[None]), short)
    return np.concatenate([labels, last])


def words_of(codebook, labels, n_outputs):
    """Return the columns that labels (n_segments, n_columns) stand for."""
    words = codebook[labels]  # (n_segments, n_columns, length)
    columns = words.transpose(0, 2, 1).reshape(-1, labels.shape[1])
    return columns[:n_outputs]


@validate_params(
    {
        "weight": ["array-like"],
        "column_weight": ["array-like", None],
        "vector_length": [POSITIVE],
        "n_centroids": [POSITIVE],
        "max_iter": [POSITIVE],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def fit_codebook(
    weight,
    column_weight,
    vector_length,
    n_centroids,
    *,
    max_iter=100,
    tol=1e-4,
    random_state=None,
):
    """Find words for the column segments of a weight matrix, by weighted k-means.

    O(max_iter m n n_centroids) time for an (m, n) matrix.

    Parameters
    ----------
    weight : array-like of shape (m, n)
        The matrix, of floating-point numbers.

    column_weight : array-like of shape (n,) or None
        What an error in a column costs, such as `conditional_weights`; None: all alike.

    vector_length : int
        Entries of a word; at most m are used.

    n_centroids : int
        Number of words; fewer where there are fewer different segments.

    max_iter : int, default=100
        Iterations.

    tol : float, default=1e-4
        Stop once the inertia falls by no more than this share of it.

    random_state : int, RandomState instance or None, default=None
        For the start (k-means++).

    Returns
    -------
    codebook : ndarray of float64 of shape (n_words, min(vector_length, m))

    inertia : float
        Weighted sum of squared distances to the nearest words.

    Raises
    ------
    ValueError
        If numbers are not finite, or column weights are negative, all 0 or not n.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import fit_codebook
    >>> weight = np.tile([[0.0, 1.0], [2.0, 3.0]], (3, 1))
    >>> fit_codebook(weight, None, 2, 8)
    (array([[0., 2.],
           [1., 3.]]), 0.0)
    """
    weight, _ = check_weight_and_hessian(weight, None)
    column_weight = _checked_column_weight(column_weight, weight.shape[1])
    generator = check_random_state(random_state)
    return k_means(weight, column_weight, vector_length, n_centroids, max_iter, tol,
                   generator)  # fmt: skip


def _checked_column_weight(column_weight, n_columns):
    if column_weight is None:
        return np.ones(n_columns)
    column_weight = check_array(
        column_weight, dtype=np.float64, ensure_2d=False, input_name="column_weight"
    )
    if column_weight.shape != (n_columns,):
        raise ValueError(
            f"column_weight must have shape ({n_columns},), got {column_weight.shape}."
        )
    if column_weight.min() < 0 or not column_weight.any():
        raise ValueError(
            "column_weight must be at least 0, and not all 0, got "
            f"{column_weight.min()} as the smallest."
        )
    return column_weight


def k_means(weight, column_weight, length, n_words, max_iter, tol, generator):
    """Do the work of `fit_codebook`."""
    segments = _Segments(weight, column_weight, min(length, len(weight)))
    distinct = np.unique(segments.padded, axis=0)
    if n_words >= len(distinct):
        return distinct, 0.0
    words = segments.start(n_words, generator)
    before = np.inf
    for _ in range(max_iter):
        labels, costs = segments.assign(words)
        inertia = costs.sum()
        if inertia >= (1 - tol) * before:
            break
        before = inertia
        words = segments.means(words, _refill(labels, costs, n_words))
    _, costs = segments.assign(words)
    return words, float(costs.sum())


def _refill(labels, costs, n_words):
    """Give each word without members the segment that costs most."""
    empty = np.flatnonzero(np.bincount(labels, minlength=n_words) == 0)
    if not len(empty):
        return labels
    costly = np.argsort(-costs, kind="stable")[: len(empty)]
    costly = costly[costs[costly] > 0]
    labels = labels.copy()
    labels[costly] = empty[: len(costly)]
    return labels


class _Segments:
    """Segment after segment, columns within; short ones after the full ones."""

    def __init__(self, weight, column_weight, length):
        n_outputs, n_columns = weight.shape
        n_full = n_outputs // length
        full = weight[: n_full * length].reshape(n_full, length, n_columns)
        self.full = np.ascontiguousarray(full.transpose(0, 2, 1)).reshape(-1, length)
        self.short = np.ascontiguousarray(weight[n_full * length :].T)
        self.weights = np.tile(column_weight, n_full + (self.short.shape[1] > 0))
        self.padded = self.full
        if self.short.shape[1]:
            rest = np.zeros((n_columns, length))
            rest[:, : self.short.shape[1]] = self.short
            self.padded = np.vstack([self.full, rest])

    def start(self, n_words, generator):
        """Draw words by k-means++, among the full segments where these suffice."""
        rows = self.full if len(self.full) >= n_words else self.padded
        words, _ = kmeans_plusplus(
            rows,
            n_words,
            sample_weight=self.weights[: len(rows)],
            random_state=generator,
        )
        return words

    def assign(self, words):
        """Return the nearest word of each segment, and what its distance costs."""
        labels, distances = nearest_checked(self.full, words)
        if self.short.shape[1]:
            beginning = np.ascontiguousarray(words[:, : self.short.shape[1]])
            of_short, far = nearest_checked(self.short, beginning)
            labels = np.concatenate([labels, of_short])
            distances = np.concatenate([distances, far])
        return labels, self.weights * distances

    def means(self, words, labels):
        """Average the segments of each word, entry by entry over those that have it."""
        new = words.copy()
        for entry in range(words.shape[1]):
            rows = slice(None if entry < self.short.shape[1] else len(self.full))
            weights, of_row = self.weights[rows], labels[rows]
            values = weights * self.padded[rows, entry]
            total = np.bincount(of_row, weights=weights, minlength=len(words))
            sums = np.bincount(of_row, weights=values, minlength=len(words))
            new[:, entry] = np.divide(sums, total, out=new[:, entry], where=total > 0)
        return new
