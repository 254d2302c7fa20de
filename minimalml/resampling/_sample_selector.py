"""What every selector of rows shares: its budget, its target, and what it selected."""

import warnings
from math import ceil
from numbers import Integral, Real

import numpy as np
from sklearn.utils import _safe_indexing, check_array, get_tags

from minimalml._core.sample_domain import split_domains
from minimalml._core.validation import (
    Interval,
    check_is_fitted,
    validate_data,
)

BUDGET_CONSTRAINT = [
    Interval(Integral, 1, None, closed="left"),
    Interval(Real, 0, 1, closed="right"),
]
# A fraction such as .1 of 30 rows is 3.0000000000000004 of them.
FRACTION_TOLERANCE = 1e-9


class SampleSelectorMixin:
    """A mixin for selectors of rows: masks, and imbalanced-learn's ``fit_resample``.

    A selector changes the number of rows, so it is no transformer: use it by
    `SelectedSamplesEstimator` in a Pipeline or a search, or by ``fit_resample`` in
    imbalanced-learn's Pipeline. A class that inherits this defines ``fit(X, y=None, ...)``
    and sets there ``sample_indices_``, rows of X in the order of selection, and
    ``n_samples_in_``, the number of rows of X as given.

    Attributes
    ----------
    support_ : ndarray of bool of shape (n_samples,)
        Which rows are selected.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.base import BaseEstimator
    >>> from minimalml.resampling import SampleSelectorMixin
    >>> class Brightest(SampleSelectorMixin, BaseEstimator):
    ...     def fit(self, X, y=None):
    ...         self.n_samples_in_ = len(X)
    ...         self.sample_indices_ = np.argsort(-np.sum(X, axis=1))[:2]
    ...         return self
    >>> Brightest().fit([[1.0], [3.0], [2.0]]).get_support()
    array([False,  True,  True])
    """

    @property
    def support_(self):
        """Which rows are selected, bool of shape (n_samples,)."""
        if not hasattr(self, "sample_indices_"):
            raise AttributeError("support_ is available after fit.")
        support = np.zeros(self.n_samples_in_, dtype=bool)
        support[self.sample_indices_] = True
        return support

    def get_support(self, indices=False):
        """Return which rows are selected.

        Parameters
        ----------
        indices : bool, default=False
            Whether to return row numbers, ascending, in place of a mask.

        Returns
        -------
        ndarray of bool of shape (n_samples,), or of int of shape (n_selected,)
        """
        check_is_fitted(self, "sample_indices_")
        return np.flatnonzero(self.support_) if indices else self.support_

    def fit_resample(self, X, y, **fit_params):
        """Fit, and return the selected rows in the order of selection.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows to select from.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.

        **fit_params : dict
            Passed to ``fit``.

        Returns
        -------
        X_selected, y_selected
            In the containers of X and y, with the index of frames kept.
        """
        rows = self.fit(X, y, **fit_params).sample_indices_
        return _safe_indexing(X, rows), _safe_indexing(y, rows)


def pool_and_target(selector, X, X_target=None, sample_domain=None):
    """Check what a selector is given and tell the pool from the target.

    Parameters
    ----------
    selector : estimator
        ``n_samples_in_``, ``n_features_in_`` and the feature names are set on it; its
        tags say whether X may be sparse.

    X : array-like or sparse matrix of shape (n_samples, n_features)
        The pool, with target rows where ``sample_domain`` is negative.

    X_target : array-like of shape (n_target, n_features), default=None
        The target, if it is not in X.

    sample_domain : array-like of shape (n_samples,), default=None
        See `split_domains`.

    Returns
    -------
    X : ndarray or CSR matrix
        All rows as given.

    pool : ndarray of int
        Rows that may be selected.

    target : ndarray or CSR matrix of shape (n_target, n_features)
        The target rows; the pool itself where none was given.

    Raises
    ------
    ValueError
        If both ways to give a target are used, or X_target does not go with X.
    """
    is_sparse_taken = get_tags(selector).input_tags.sparse
    kinds = dict(
        accept_sparse="csr" if is_sparse_taken else False,
        dtype=[np.float64, np.float32],
        order="C",  # the order of rows in memory must not change a rounding
    )
    X = validate_data(selector, X, **kinds)
    selector.n_samples_in_ = X.shape[0]
    if X_target is None:
        pool, target = split_domains(sample_domain, X.shape[0])
        return X, pool, X[target]
    if sample_domain is not None:
        raise ValueError(
            "X_target and sample_domain both tell the target: give one of them."
        )
    n_features = selector.n_features_in_
    target = check_array(X_target, **kinds, input_name="X_target", ensure_min_samples=0)
    if not target.shape[0]:
        raise ValueError("X_target has no rows: at least one is needed.")
    if target.shape[1] != n_features:
        raise ValueError(
            f"X_target has {target.shape[1]} features, but X has {n_features}."
        )
    # names, where both have them
    validate_data(selector, X_target, reset=False, skip_check_array=True)
    return X, np.arange(X.shape[0]), target


def number_to_select(n_samples_to_select, n_pool):
    """Return how many of ``n_pool`` rows a count or a fraction (rounded up) means.

    Warns where a count asks for more than there are.
    """
    if not isinstance(n_samples_to_select, Integral):
        return max(1, ceil(n_samples_to_select * n_pool - FRACTION_TOLERANCE))
    if n_samples_to_select > n_pool:
        warnings.warn(
            f"n_samples_to_select={n_samples_to_select} is more than the {n_pool} rows "
            "that there are: all of them are selected.",
            UserWarning,
            stacklevel=4,
        )
    return min(int(n_samples_to_select), n_pool)
