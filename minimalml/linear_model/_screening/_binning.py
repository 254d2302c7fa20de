"""Mutual information of histograms, whose number of bins the data choose.

L. Birgé and Y. Rozenholc, "How many bins should be put in a regular histogram", ESAIM:
Probability and Statistics, 2006.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.special import xlogy
from sklearn.utils import check_array, column_or_1d

from minimalml._core.groups import GroupIndex
from minimalml.linear_model._screening._histograms import (
    birge_rozenholc,
    joint_information,
)

MOST_BINS = 99
# Edges are 1 / 9702 apart at least, so one at most is inside a bucket; a power of two
# multiplies without rounding.
N_BUCKETS = 1 << 14


class Edges(NamedTuple):
    """The edges of all histograms of up to 99 bins on [0, 1], as one sorted list."""

    edges: np.ndarray  # (n_edges + 1,) then infinity
    first_edge: np.ndarray  # (N_BUCKETS + 1,) number of edges up to a bucket's start
    places: np.ndarray  # numbers of the edges of 2 bins, 3 bins...
    bin_of_cell: np.ndarray  # (MOST_BINS + 1, n_edges + 1) by number of bins


@cache
def all_edges():
    """Return the edges, and where those of each histogram stand among them."""
    of_each = [np.arange(1, n_bins) / n_bins for n_bins in range(1, MOST_BINS + 1)]
    edges = np.unique(np.concatenate(of_each))
    buckets = np.arange(N_BUCKETS + 1) / N_BUCKETS
    cells = np.append(0.0, edges)  # where each begins
    return Edges(
        np.append(edges, np.inf),
        np.searchsorted(edges, buckets, side="right").astype(np.uint16),
        np.searchsorted(edges, np.concatenate(of_each)).astype(np.uint16),
        np.array(
            [np.searchsorted(own, cells, side="right") for own in [[], *of_each]],
            dtype=np.uint8,
        ),
    )


class Histograms:
    """Bins of columns of ``n_rows`` numbers."""

    def __init__(self, n_rows):
        n_bins = np.arange(1, MOST_BINS + 1)
        penalty = n_bins - 1 + np.log(n_bins) ** 2.5
        self.rewards = np.append(0.0, n_rows * np.log(n_bins) - penalty)
        counts = np.arange(n_rows + 1.0)
        self.x_log_x = xlogy(counts, counts)

    def choose(self, columns):
        """Return the cell of each number among all edges, and the bins a column."""
        edges, first_edge, places, _ = all_edges()
        cells = np.empty(columns.shape, dtype=np.uint16)
        n_bins = np.empty(len(columns), dtype=np.intp)
        below = np.empty(len(edges), dtype=np.intp)
        birge_rozenholc(
            columns, edges, first_edge, places, self.rewards, self.x_log_x, below,
            cells, n_bins,
        )  # fmt: skip
        return cells, n_bins

    def group(self, values):
        """Return the index of the bins of one variable in [0, 1]."""
        cells, n_bins = self.choose(values[None])
        return GroupIndex(all_edges().bin_of_cell[n_bins[0], cells[0]], len(values))

    def information(self, columns, groups):
        """Return the mutual information of each column and ``groups``, in nats."""
        cells, n_bins = self.choose(columns)
        scores = np.empty(len(columns))
        joint_information(
            cells, n_bins, all_edges().bin_of_cell, groups.order, groups.offsets,
            self.x_log_x, scores,
        )  # fmt: skip
        return scores


def to_unit_interval(rows):
    """Return a copy of the rows in float64, each from 0 to 1, or 0 if it is constant."""
    rows = np.array(rows, dtype=np.float64, order="C")
    with np.errstate(over="ignore"):
        overflows = np.isinf(np.ptp(rows, axis=1, keepdims=True))
    rows *= np.where(overflows, 0.5, 1.0)
    rows -= rows.min(axis=1, keepdims=True)
    span = rows.max(axis=1, keepdims=True)
    rows /= np.where(span > 0, span, 1.0)
    return rows


def birge_rozenholc_bins(x):
    r"""Choose the number of bins of a histogram of equal widths.

    The likelihood of the histogram, less a penalty that is right for few numbers too.
    No shape is assumed; time O(n).

    Parameters
    ----------
    x : array-like of shape (n_samples,)
        Numbers.

    Returns
    -------
    int
        From 2 to 99, the smallest of those that are equally good; 1 if all numbers are
        the same.

    Raises
    ------
    ValueError
        If ``x`` is empty, not one-dimensional or not finite.

    Notes
    -----
    With :math:`N_b` numbers in bin b, it maximises over D

    .. math:: \sum_{b \le D} N_b \log N_b + n \log D - (D - 1 + \log^{2.5} D).

    Bins hold their left edge, the last one its right edge too.

    References
    ----------
    L. Birgé and Y. Rozenholc, "How many bins should be put in a regular histogram",
    ESAIM: Probability and Statistics 10, 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.linear_model import birge_rozenholc_bins
    >>> birge_rozenholc_bins(np.random.default_rng(0).normal(size=1000))
    18
    """
    x = check_array(x, ensure_2d=False, dtype=np.float64, input_name="x")
    x = column_or_1d(x, warn=True)
    _, n_bins = Histograms(len(x)).choose(to_unit_interval(x[None]))
    return int(n_bins[0])
