"""The seen-unseen trade-off of a compositional classifier, exactly.

Unseen pairs score lower than seen ones, for no better reason than that training never
named them. The field's protocol adds a bias to the scores of unseen pairs and sweeps it
from minus to plus infinity. A row changes its answer once, where the bias passes the gap
between its best seen and its best unseen pair, so sorting the gaps gives the whole curve.
"""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import Bunch, check_array, check_consistent_length, column_or_1d

from minimalml._core.threads import effective_n_threads
from minimalml.compositional._czsl_kernel import update_top_pairs

SECONDS_PER_SCORE = 1e-9
OFFICIAL_END_BIAS = 1e3
OFFICIAL_STEP_BACK = 1e-4


class BiasGaps(NamedTuple):
    """What a row's evaluation needs; results of blocks of rows concatenate.

    Parameters
    ----------
    gap : ndarray of shape (n,)
        The row's answer is right for biases up to the gap (seen rows) or above it
        (unseen rows); nan where no bias makes it right.
    hit : ndarray of bool of shape (n,)
        Whether any bias makes the row's answer right.
    is_seen : ndarray of bool of shape (n,)
        Whether the row's true pair is a seen one.
    """

    gap: np.ndarray
    hit: np.ndarray
    is_seen: np.ndarray


class TopPairs:
    """The k best seen and unseen pairs of each row, fed by blocks of columns.

    Open-world candidates (every attribute with every object) can be too many for one
    score matrix: compute it block by block and call `update` for each.

    Parameters
    ----------
    n_rows : int
        Number of rows.

    k : int, default=1
        How many pairs of either group to keep.
    """

    def __init__(self, n_rows, k=1):
        self.n_columns = 0
        self.seen_values, self.unseen_values = np.full((2, n_rows, k), -np.inf)
        self.seen_indices, self.unseen_indices = np.full((2, n_rows, k), -1, np.intp)

    def update(self, scores, seen_group, n_threads=None):
        """Merge the next block of columns.

        Parameters
        ----------
        scores : ndarray of shape (n_rows, n_block), float32 or float64
            Scores of the block's pairs.

        seen_group : ndarray of uint8 of shape (n_block,)
            1 for a seen pair, 0 for an unseen one, 2 for no candidate.

        n_threads : int, default=None
            Threads; None lets the library decide.
        """
        threads = effective_n_threads(scores.size, SECONDS_PER_SCORE, n_threads)
        update_top_pairs(
            scores,
            seen_group,
            self.n_columns,
            self.seen_values,
            self.seen_indices,
            self.unseen_values,
            self.unseen_indices,
            threads,
        )
        self.n_columns += scores.shape[1]
        return self

    def gaps(self, pair_index, seen_mask):
        """Return the `BiasGaps` of the rows, given their true pairs.

        A row is right as soon as its true pair is among the k best of both groups
        together. With r pairs of its own group above it, that is so while fewer than
        k - r pairs of the other group are: the (k - r)-th best of them decides.

        Parameters
        ----------
        pair_index : ndarray of int of shape (n_rows,)
            Column of each row's true pair; -1 for none of the candidates, which makes
            the row an unseen one that is never right.

        seen_mask : ndarray of bool of shape (n_columns,)
            Which pairs occurred in training.
        """
        is_seen = (pair_index >= 0) & seen_mask[pair_index]
        own = np.where(is_seen[:, None], self.seen_indices, self.unseen_indices)
        own_values = np.where(is_seen[:, None], self.seen_values, self.unseen_values)
        other = np.where(is_seen[:, None], self.unseen_values, self.seen_values)
        matches = (own == pair_index[:, None]) & (pair_index >= 0)[:, None]
        hit, rank = matches.any(axis=1), matches.argmax(axis=1)
        rows, k = np.arange(len(pair_index)), own.shape[1]
        # -inf for a group without enough pairs: the gap is then infinite, as it should
        margin = own_values[rows, rank] - np.where(hit, other[rows, k - 1 - rank], 0)
        gap = np.where(hit, np.where(is_seen, margin, -margin), np.nan)
        return BiasGaps(gap, hit, is_seen)


def czsl_gaps(
    scores, pair_index, seen_mask, *, pair_mask=None, top_k=1, n_threads=None
):
    """Reduce scores to a gap and two flags a row, all that the curve needs.

    Parameters
    ----------
    scores : array-like of shape (n, P), float32 or float64
        Score of each candidate pair.

    pair_index : array-like of int of shape (n,)
        Column of each row's true pair; -1 where it is no candidate.

    seen_mask : array-like of bool of shape (P,)
        Which pairs occurred in training.

    pair_mask : array-like of bool of shape (P,), default=None
        Which pairs are candidates; None means all.

    top_k : int, default=1
        A row is right if its true pair is among the ``top_k`` best.

    n_threads : int, default=None
        Threads; None lets the library decide.

    Returns
    -------
    BiasGaps
        Named tuple ``(gap, hit, is_seen)`` of arrays of shape (n,).

    Raises
    ------
    ValueError
        If shapes disagree, scores are NaN, an index is out of range, or ``top_k``
        is not in 1..P.
    """
    scores = check_array(
        scores, dtype=[np.float64, np.float32], order="C", input_name="scores"
    )
    pair_index = column_or_1d(pair_index, dtype=np.intp, input_name="pair_index")
    check_consistent_length(scores, pair_index)
    n_pairs = scores.shape[1]
    seen_mask = _check_mask(seen_mask, n_pairs, "seen_mask")
    seen_group = seen_mask.astype(np.uint8)
    if pair_mask is not None:
        seen_group[~_check_mask(pair_mask, n_pairs, "pair_mask")] = 2
    if pair_index.min() < -1 or pair_index.max() >= n_pairs:
        raise ValueError(
            f"pair_index must be in -1..{n_pairs - 1}, the columns of scores, got "
            f"{pair_index.min()}..{pair_index.max()}."
        )
    if not 1 <= top_k <= n_pairs:
        raise ValueError(f"top_k must be in 1..{n_pairs}, got {top_k}.")
    tops = TopPairs(len(scores), top_k).update(scores, seen_group, n_threads)
    return tops.gaps(pair_index, seen_mask)


def curve_from_gaps(gaps, n_biases=None):
    """Turn gaps and flags into the curve and its summary figures.

    Parameters
    ----------
    gaps : BiasGaps
        From `czsl_gaps`; results of several blocks of rows may be concatenated.

    n_biases : int, default=None
        None gives the exact curve; a number reproduces the approximation that is
        common in the field's code, with about so many biases.

    Returns
    -------
    Bunch
        As described in `czsl_curve`.
    """
    gap, hit, is_seen = (np.asarray(part) for part in gaps)
    biases = _exact_biases(gap) if n_biases is None else None
    if biases is None:
        biases = _official_biases(gap[~is_seen & hit], n_biases)
    seen = _share(np.sort(gap[is_seen & hit]), biases, is_seen.sum(), above=True)
    unseen = _share(np.sort(gap[~is_seen & hit]), biases, (~is_seen).sum(), above=False)
    if is_seen.all() or not is_seen.any():
        missing = "unseen" if is_seen.all() else "seen"
        warnings.warn(
            f"no row has {'an' if missing == 'unseen' else 'a'} {missing} pair: auc and "
            "harmonic mean are undefined and set to nan.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
    total = seen + unseen
    harmonic_mean = 2 * seen * unseen / np.where(total == 0, 1, total)
    best = 0 if np.isnan(harmonic_mean).any() else int(np.argmax(harmonic_mean))
    return Bunch(
        seen_accuracy=seen,
        unseen_accuracy=unseen,
        biases=biases,
        auc=float(np.trapezoid(seen, unseen)),
        best_seen=float(seen.max()),
        best_unseen=float(unseen.max()),
        best_harmonic_mean=float(harmonic_mean[best]),
        bias_at_best=float(biases[best]),
    )


def czsl_curve(
    scores,
    pair_index,
    seen_mask,
    *,
    pair_mask=None,
    n_biases=None,
    top_k=1,
    n_threads=None,
):
    """Trade seen against unseen accuracy over all biases of the unseen pairs.

    Exact: every distinct point of the curve, in O(nP + n log n) time and O(n) memory
    beside the scores.

    Parameters
    ----------
    scores : array-like of shape (n, P), float32 or float64
        Score of each candidate pair.

    pair_index : array-like of int of shape (n,)
        Column of each row's true pair; -1 where it is no candidate, which makes the
        row an unseen one that is never right.

    seen_mask : array-like of bool of shape (P,)
        Which pairs occurred in training.

    pair_mask : array-like of bool of shape (P,), default=None
        Which pairs are candidates; None means all.

    n_biases : int, default=None
        None gives the exact curve. A number (20 in most published code) takes about
        so many biases from the gaps of the unseen rows, and leaves out the part of
        the area that lies left of the first.

    top_k : int, default=1
        A row is right if its true pair is among the ``top_k`` best.

    n_threads : int, default=None
        Threads; None lets the library decide.

    Returns
    -------
    Bunch
        - ``seen_accuracy``, ``unseen_accuracy``, ``biases``: ndarrays of shape (m,),
          the curve in order of rising bias; adding ``biases[i]`` to the scores of
          unseen pairs gives point i.
        - ``auc``: area under seen accuracy over unseen accuracy.
        - ``best_seen``, ``best_unseen``: the ends of the curve.
        - ``best_harmonic_mean`` and ``bias_at_best``, where it is reached.

    Raises
    ------
    ValueError
        If shapes disagree, scores are NaN, an index is out of range, or ``top_k``
        is not in 1..P.

    Warns
    -----
    UndefinedMetricWarning
        If there are only seen or only unseen rows; ``auc`` is nan then.

    References
    ----------
    .. [1] Purushwalkam, Nickel, Gupta, Ranzato, "Task-Driven Modular Networks for
       Zero-Shot Compositional Learning", ICCV 2019: the protocol.

    Examples
    --------
    >>> from minimalml.compositional import czsl_curve
    >>> scores = [[0.9, 0.1, 0.2], [0.3, 0.2, 0.1], [0.6, 0.2, 0.5]]
    >>> curve = czsl_curve(scores, [0, 1, 2], seen_mask=[True, True, False])
    >>> print(curve.seen_accuracy, curve.unseen_accuracy)
    [0.5 0.5 0. ] [0. 1. 1.]
    >>> print(curve.auc)
    0.5
    """
    gaps = czsl_gaps(
        scores,
        pair_index,
        seen_mask,
        pair_mask=pair_mask,
        top_k=top_k,
        n_threads=n_threads,
    )
    return curve_from_gaps(gaps, n_biases)


def czsl_auc_score(
    scores, pair_index, seen_mask, *, pair_mask=None, n_biases=None, top_k=1
):
    """Compute the area under the seen-unseen curve, see `czsl_curve`.

    Parameters
    ----------
    scores : array-like of shape (n, P), float32 or float64
        Score of each candidate pair.

    pair_index : array-like of int of shape (n,)
        Column of each row's true pair; -1 where it is no candidate.

    seen_mask : array-like of bool of shape (P,)
        Which pairs occurred in training.

    pair_mask : array-like of bool of shape (P,), default=None
        Which pairs are candidates; None means all.

    n_biases : int, default=None
        None for the exact area, a number for the common approximation.

    top_k : int, default=1
        A row is right if its true pair is among the ``top_k`` best.

    Returns
    -------
    float
        In [0, best_seen * best_unseen], nan where it is undefined.

    Examples
    --------
    >>> from minimalml.compositional import czsl_auc_score
    >>> scores = [[0.9, 0.1, 0.2], [0.3, 0.2, 0.1], [0.6, 0.2, 0.5]]
    >>> czsl_auc_score(scores, [0, 1, 2], seen_mask=[True, True, False])
    0.5
    """
    return czsl_curve(
        scores,
        pair_index,
        seen_mask,
        pair_mask=pair_mask,
        n_biases=n_biases,
        top_k=top_k,
    ).auc


def _check_mask(mask, n_pairs, name):
    mask = column_or_1d(mask, input_name=name)
    if mask.dtype != bool or len(mask) != n_pairs:
        raise ValueError(
            f"{name} must be a boolean array of length {n_pairs}, one entry a column of "
            f"scores, got {mask.dtype} of length {len(mask)}."
        )
    return mask


def _exact_biases(gap):
    """One bias inside each interval on which no row changes its answer."""
    steps = np.unique(gap[np.isfinite(gap)])
    if not len(steps):
        return np.zeros(1)
    middles = steps[:-1] + np.diff(steps) / 2
    # an interval is open below: between neighbouring floats only its end is inside
    middles = np.where(middles > steps[:-1], middles, steps[1:])
    below = min(steps[0] - 1, np.nextafter(steps[0], -np.inf))
    above = max(steps[-1] + 1, np.nextafter(steps[-1], np.inf))
    return np.concatenate([[below], middles, [above]])


def _official_biases(unseen_hit_gaps, n_biases):
    if n_biases < 1:
        raise ValueError(f"n_biases must be None or at least 1, got {n_biases}.")
    right = np.sort(unseen_hit_gaps[unseen_hit_gaps < OFFICIAL_END_BIAS])
    stride = max(len(right) // n_biases, 1)
    return np.append(right[::stride] - OFFICIAL_STEP_BACK, OFFICIAL_END_BIAS)


def _share(sorted_gaps, biases, n_rows, above):
    """Share of ``n_rows`` whose gap is at least (above) or below each bias."""
    if not n_rows:
        return np.full(len(biases), np.nan)
    below = np.searchsorted(sorted_gaps, biases, side="left")
    return (len(sorted_gaps) - below if above else below) / n_rows
