"""NAME: the idea of the paper in two to five lines of plain words.

Authors, title, venue.
"""

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_array

# KERNEL
from minimalml._core.threads import effective_n_threads, for_each_chunk
# END
from minimalml._core.validation import (
    Interval,
    Real,
    _fit_context,
    check_is_fitted,
    validate_data,
)
# KERNEL
from minimalml.FAMILY._STEM._column_sums import add_column_sums

# A row and column, on one thread: python -m benchmarks STEM
SECONDS_PER_NUMBER = 1e-9
# END

__all__ = ["CLASS", "STEM_means"]


def STEM_means(X):
    """Return the mean of each column.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows; float32 and float64 are taken as they are.

    Returns
    -------
    ndarray of shape (n_features,)
        In the float type of ``X``.

    Raises
    ------
    ValueError
        If ``X`` is empty, not two-dimensional or not finite.

    Notes
    -----
    Time O(n d), memory O(d).

    Examples
    --------
    >>> from minimalml.FAMILY import STEM_means
    >>> STEM_means([[0.0, 1.0], [2.0, 3.0]])
    array([1., 2.])
    """
    return _STEM_means(check_array(X, dtype=[np.float64, np.float32]))


def _STEM_means(X):
    # NUMPY
    return X.mean(axis=0)
    # KERNEL
    X = np.ascontiguousarray(X)
    chunk_size = max(1, 100_000 // X.shape[1])
    sums = np.zeros((-(-len(X) // chunk_size), X.shape[1]))

    def work(start, stop):
        add_column_sums(X[start:stop], sums[start // chunk_size])

    n_threads = effective_n_threads(X.size, SECONDS_PER_NUMBER)
    for_each_chunk(work, len(X), chunk_size=chunk_size, n_threads=n_threads)
    return (sums.sum(axis=0) / len(X)).astype(X.dtype)
    # END


class CLASS(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Say in one line what it does for the user.

    When to use it, when not, and what it costs.

    Parameters
    ----------
    strength : float, default=1.0
        Share of the mean that is taken away.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features_in_,)
        Means of the columns.

    References
    ----------
    Authors, title, venue.

    Examples
    --------
    >>> from minimalml.FAMILY import CLASS
    >>> CLASS().fit_transform([[0.0, 1.0], [2.0, 3.0]])
    array([[-1., -1.],
           [ 1.,  1.]])
    """

    _parameter_constraints = {"strength": [Interval(Real, 0, 1, closed="both")]}

    def __init__(self, strength=1.0):
        self.strength = strength

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Measure the means.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.

        y : None
            Ignored.

        Returns
        -------
        self
        """
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        self.mean_ = _STEM_means(X)
        return self

    def transform(self, X):
        """Take the means away.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return (X - self.strength * self.mean_).astype(X.dtype)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
