"""Rank the columns of a wide table by their mutual information with the target.

Linear or not, any dependence counts. Yang, Asgharian, Bhagwat, Poline and Greenwood,
"fastHDMI: Fast Mutual Information Estimation for High-Dimensional Data", 2024.
"""

import warnings
from functools import partial
from math import ceil

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import check_array, check_X_y

from minimalml._core.groups import GroupIndex
from minimalml._core.threads import effective_n_threads, for_each_chunk
from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    StrOptions,
    _fit_context,
    check_is_fitted,
    validate_data,
    validate_params,
)
from minimalml.linear_model._screening._binning import Histograms, to_unit_interval
from minimalml.linear_model._screening._density import axes, density_information

# Seconds on one thread: python -m benchmarks screening
SECONDS_PER_COLUMN, SECONDS_PER_NUMBER, SECONDS_PER_NODE = 5e-6, 5e-9, 1.2e-8
# Columns are copied together: a millisecond's work, and at least a cache line of a row.
SECONDS_PER_CHUNK, FEWEST_COLUMNS = 1e-3, 8
# Fewer rows say too little about a density.
FEWEST_ROWS = 10

PARAMETER_CONSTRAINTS = {
    "method": [StrOptions({"auto", "kde", "binning"})],
    "grid_size": [Interval(Integral, 8, None, closed="left")],
    "discrete_target": ["boolean", StrOptions({"auto"})],
}

__all__ = ["MutualInformationScreener", "mutual_information_scores"]


@validate_params(
    {"X": ["array-like"], "y": ["array-like"], **PARAMETER_CONSTRAINTS},
    prefer_skip_nested_validation=True,
)
def mutual_information_scores(
    X, y, *, method="auto", grid_size=128, discrete_target="auto"
):
    """Measure the mutual information of each column and the target.

    It is 0 for independent variables, and grows with how well one can be told from the
    other, along whatever curve. Its time is O(n + G^2 log G) a column with densities on
    a grid of G x G nodes, O(n) with histograms; its memory that of one copy of a few
    columns. Also a ``score_func`` of :class:`~sklearn.feature_selection.SelectKBest`.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows of continuous features.

    y : array-like of shape (n_samples,)
        Numbers or classes.

    method : {"auto", "kde", "binning"}, default="auto"
        Kernel densities, for a continuous target, or histograms. "auto" takes "kde" for
        a continuous target and "binning" for a discrete one.

    grid_size : int, default=128
        Nodes a side of the grid of densities, from 8. More resolve heavier tails and
        take longer.

    discrete_target : "auto" or bool, default="auto"
        Whether the values of ``y`` are classes. "auto" says so of booleans, strings and
        objects other than numbers, and of up to 20 different whole numbers that come
        five times each on average.

    Returns
    -------
    ndarray of shape (n_features,)
        Nats, in float64; 0 for constant columns.

    Raises
    ------
    ValueError
        If ``X`` or ``y`` is not finite, lengths differ, there is one row, ``y`` is
        discrete and ``method="kde"``, or ``y`` has no numbers and ``discrete_target``
        is False.

    Warns
    -----
    UserWarning
        If ``y`` is constant, or there are fewer than 10 rows for a density: then
        histograms are taken.

    See Also
    --------
    MutualInformationScreener : Keep the columns with the largest scores.
    sklearn.feature_selection.mutual_info_regression : Scores from nearest neighbours.

    Notes
    -----
    Neither units nor offsets of columns matter, since bandwidths and bins follow their
    spread. Bandwidths are Silverman's, the kernel is Epanechnikov's; the number of bins
    is that of `birge_rozenholc_bins`.

    References
    ----------
    K. Yang, M. Asgharian, N. Bhagwat, J.-B. Poline and C. Greenwood, "fastHDMI: Fast
    Mutual Information Estimation for High-Dimensional Data", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.linear_model import mutual_information_scores
    >>> X = np.random.default_rng(0).normal(size=(500, 3))
    >>> mutual_information_scores(X, X[:, 1] ** 2).round(1)
    array([0. , 0.7, 0. ])
    """
    X, y = check_X_y(X, y, dtype=[np.float64, np.float32], ensure_min_samples=2)
    return _scores(X, y, method, grid_size, discrete_target)


def _scores(X, y, method, grid_size, discrete_target):
    """Score checked columns."""
    target = _target(y, discrete_target)
    is_discrete = isinstance(target, GroupIndex)
    if is_discrete and method == "kde":
        raise ValueError(
            'method="kde" needs a continuous y, got a discrete one: use '
            'method="binning", or discrete_target=False if its numbers are quantities.'
        )
    if len(target) == 1 or (not is_discrete and (target == target[0]).all()):
        warnings.warn("y is constant: all scores are 0.", UserWarning, stacklevel=4)
        return np.zeros(X.shape[1])
    if is_discrete or method == "binning":
        return _binning_scores(X, target)
    if len(y) < FEWEST_ROWS:
        warnings.warn(
            f"A density needs {FEWEST_ROWS} rows or more, got {len(y)}: the scores are "
            "those of histograms.",
            UserWarning,
            stacklevel=4,
        )
        return _binning_scores(X, target)
    return _density_scores(X, target, grid_size)


def _target(y, discrete_target):
    """Return quantities in float64, or the index of the rows by their classes."""
    numbers = _as_numbers(y)
    if discrete_target == "auto":
        discrete_target = numbers is None or y.dtype.kind == "b" or _are_codes(numbers)
    if discrete_target:
        return GroupIndex(y, len(y), name="y")
    if numbers is None:
        raise ValueError(
            f"discrete_target=False needs numbers as y, got values such as {y[0]!r}."
        )
    return numbers


def _as_numbers(y):
    """Return ``y`` in float64, or None if it has something else than numbers."""
    is_numeric = y.dtype.kind in "biuf" or (
        y.dtype.kind == "O" and all(isinstance(value, Real) for value in y)
    )
    if not is_numeric:
        return None
    return check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")


def _are_codes(numbers):
    """Whether numbers look like those of classes."""
    different = np.unique(numbers)
    is_whole = (different == np.floor(different)).all()
    return len(different) <= min(20, len(numbers) // 5) and is_whole


def _density_scores(X, y, grid_size):
    [target] = axes(to_unit_interval(y[None]), grid_size)
    score = partial(density_information, target=target, grid_size=grid_size)
    seconds = SECONDS_PER_NODE * grid_size**2 + SECONDS_PER_NUMBER * len(y)
    return _by_chunks(score, X, seconds)


def _binning_scores(X, target):
    n_rows = len(X)
    histograms = Histograms(n_rows)
    if not isinstance(target, GroupIndex):
        target = histograms.group(to_unit_interval(target[None])[0])
    score = partial(histograms.information, groups=target)
    return _by_chunks(score, X, SECONDS_PER_COLUMN + SECONDS_PER_NUMBER * n_rows)


def _by_chunks(score, X, seconds_per_column):
    """Let threads score a few columns at a time, each copied and scaled."""
    scores = np.empty(X.shape[1])

    def work(start, stop):
        scores[start:stop] = score(to_unit_interval(X[:, start:stop].T))

    chunk_size = max(FEWEST_COLUMNS, int(SECONDS_PER_CHUNK / seconds_per_column))
    n_threads = effective_n_threads(X.shape[1], seconds_per_column)
    for_each_chunk(work, X.shape[1], chunk_size=chunk_size, n_threads=n_threads)
    return scores


class MutualInformationScreener(SelectorMixin, BaseEstimator):
    """Keep the columns that tell most about the target, linearly or not.

    For tables of more columns than a model can take: a column is looked at by itself,
    so what only says something together with others is lost, and columns that say the
    same are kept together. Where all dependence is linear, correlation
    (:func:`~sklearn.feature_selection.f_regression`) finds more. Time and memory are
    those of `mutual_information_scores`.

    Parameters
    ----------
    n_features_to_select : int or float, default=0.1
        How many columns to keep, from 1 to all; a float in (0, 1] is their share,
        rounded up.

    method : {"auto", "kde", "binning"}, default="auto"
        Kernel densities, for a continuous target, or histograms. "auto" takes "kde" for
        a continuous target and "binning" for a discrete one.

    grid_size : int, default=128
        Nodes a side of the grid of densities, from 8.

    discrete_target : "auto" or bool, default="auto"
        Whether the values of ``y`` are classes; see `mutual_information_scores`.

    Attributes
    ----------
    scores_ : ndarray of shape (n_features_in_,)
        Mutual information of each column and the target, in nats.

    support_ : ndarray of bool of shape (n_features_in_,)
        Whether each column is kept; of equal scores the first columns.

    n_features_in_ : int
        Number of columns seen by ``fit``.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if ``fit`` saw a table that has names.

    See Also
    --------
    mutual_information_scores : The scores by themselves.
    sklearn.feature_selection.SelectKBest : Keep the best by other scores.

    References
    ----------
    K. Yang, M. Asgharian, N. Bhagwat, J.-B. Poline and C. Greenwood, "fastHDMI: Fast
    Mutual Information Estimation for High-Dimensional Data", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.linear_model import MutualInformationScreener
    >>> X = np.random.default_rng(0).normal(size=(300, 50))
    >>> y = X[:, 3] ** 2 + np.abs(X[:, 8])
    >>> MutualInformationScreener(2).fit(X, y).get_support(indices=True)
    array([3, 8])
    """

    _parameter_constraints = {
        "n_features_to_select": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="right"),
        ],
        **PARAMETER_CONSTRAINTS,
    }

    def __init__(
        self,
        n_features_to_select=0.1,
        *,
        method="auto",
        grid_size=128,
        discrete_target="auto",
    ):
        self.n_features_to_select = n_features_to_select
        self.method = method
        self.grid_size = grid_size
        self.discrete_target = discrete_target

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Score the columns and choose the best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of continuous features.

        y : array-like of shape (n_samples,)
            Numbers or classes.

        Returns
        -------
        self
            Fitted.

        Raises
        ------
        ValueError
            If there are fewer columns than ``n_features_to_select``, or as in
            `mutual_information_scores`.
        """
        X, y = validate_data(
            self, X, y, dtype=[np.float64, np.float32], ensure_min_samples=2
        )
        n_selected = self._count(X.shape[1])
        self.scores_ = _scores(X, y, self.method, self.grid_size, self.discrete_target)
        self.support_ = np.zeros(X.shape[1], dtype=bool)
        self.support_[np.argsort(-self.scores_, kind="stable")[:n_selected]] = True
        return self

    def _count(self, n_features):
        """Return how many columns are to be kept."""
        wanted = self.n_features_to_select
        if not isinstance(wanted, Integral):
            # 0.07 * 100 is a little above 7
            return max(1, ceil(wanted * n_features - 1e-9))
        if wanted > n_features:
            raise ValueError(
                f"n_features_to_select must be at most the {n_features} features of X, "
                f"got {wanted}."
            )
        return wanted

    def _get_support_mask(self):
        check_is_fitted(self)
        return self.support_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
