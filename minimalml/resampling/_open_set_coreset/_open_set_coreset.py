"""Rows of an open set that help a small target set, and how many of them (SimCore)."""

import warnings

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.utils import gen_batches, get_tags
from sklearn.utils.extmath import row_norms, safe_sparse_dot

from minimalml._core.validation import (
    HasMethods,
    Integral,
    Interval,
    Real,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.resampling._open_set_coreset._rounds import rounds_of_blocks
from minimalml.resampling._sample_selector import (
    BUDGET_CONSTRAINT,
    SampleSelectorMixin,
    number_to_select,
    pool_and_target,
)

# Similarities that are computed at once: some MB.
BLOCK_NUMBERS = 1 << 20
# Budget where only the ratio stops, in target rows; the authors'.
ROWS_PER_TARGET = 50


class OpenSetCoresetSelector(SampleSelectorMixin, BaseEstimator):
    """Select the rows of an open set that resemble a small target set.

    Before unsupervised training on a small set (PCA, NMF, an autoencoder, clustering),
    when "more data" is large and mostly off the topic: all of it, or a random part,
    dilutes. Rows are taken in rounds, in each the most similar row to each centre of the
    target, until the rounds become too dissimilar. With n centres it takes the product
    of all rows and centres, in blocks; memory does not grow with the open set beside
    one norm a row.

    Parameters
    ----------
    n_samples_to_select : int or float, default=None
        Budget: a count, or a fraction of the open set in (0, 1]. None: only
        ``stopping_ratio`` ends, at the latest at 50 rows for each target row.

    stopping_ratio : float, default=0.95
        In (0, 1]: stop before the first round whose mean similarity is below this share
        of the reference. None: take the whole budget.

    patience : int, default=1
        The round, counted from 1, whose value is the reference; rounds up to it don't
        stop. The authors' code has 20, for pools of a million images.

    n_clusters : int, default=100
        Centres of k-means that stand for the target rows, where there are more of them.

    embedding : transformer, default=None
        Rows are compared after it. A fitted one is used as it is; one that is not fitted
        is cloned and fitted on the target rows. None: rows as they are.

    random_state : int, RandomState instance or None, default=None
        For k-means.

    Attributes
    ----------
    sample_indices_ : ndarray of int of shape (n_selected,)
        Selected rows of X: round by round, the most similar first. Those of a smaller
        budget are the first of them.

    round_ : ndarray of int of shape (n_selected,)
        The round that took each, from 0.

    round_values_ : ndarray of shape (n_rounds,)
        Mean over the centres of the cosine to the row that each took.

    center_indices_ : ndarray of int of shape (n_selected,)
        The most similar centre among those that took the row.

    similarities_ : ndarray of shape (n_selected,)
        The cosine to it.

    reference_value_ : float
        Value of round ``patience``; NaN if it was not reached.

    stopped_by_ : {"ratio", "budget", "exhausted"}
        What ended the rounds; "exhausted": all rows are taken.

    cluster_centers_ : ndarray of shape (n_centers, n_features_embedded)
        Of length 1.

    embedding_ : transformer or None
        What rows are compared by.

    n_samples_in_ : int
        Number of rows of X.

    n_features_in_ : int
        Number of features of X.

    feature_names_in_ : ndarray of str of shape (n_features_in_,)
        Names of the features, if X had names.

    See Also
    --------
    CoresetAugmentedTransformer : Fit a transformer on the target and the coreset.
    iterative_coreset : The rounds on similarities of your own.
    TransportCoresetSelector : Select for a target in its proportions.

    Notes
    -----
    The rounds serve facility location, ``f(S) = mean_k max_{u in S} cos(u, c_k)``: each
    takes the best rows of those that are left. Rows of zeros have the cosine 0.

    References
    ----------
    .. [1] S. Kim, S. Bae, S.-Y. Yun, "Coreset Sampling from Open-Set for Fine-Grained
       Self-Supervised Learning", CVPR 2023. arXiv:2303.11101

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from minimalml.resampling import OpenSetCoresetSelector
    >>> X, y = load_digits(return_X_y=True)
    >>> target, X_open, y_open = X[y == 3][:30], X[200:], y[200:]
    >>> selector = OpenSetCoresetSelector(100).fit(X_open, X_target=target)
    >>> float((y_open == 3).mean().round(2))
    0.1
    >>> float((y_open[selector.sample_indices_] == 3).mean()) > 0.9
    True
    """

    _parameter_constraints = {
        "n_samples_to_select": [*BUDGET_CONSTRAINT, None],
        "stopping_ratio": [Interval(Real, 0, 1, closed="right"), None],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "embedding": [HasMethods(["fit", "transform"]), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_samples_to_select=None,
        *,
        stopping_ratio=0.95,
        patience=1,
        n_clusters=100,
        embedding=None,
        random_state=None,
    ):
        self.n_samples_to_select = n_samples_to_select
        self.stopping_ratio = stopping_ratio
        self.patience = patience
        self.n_clusters = n_clusters
        self.embedding = embedding
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, *, X_target=None, sample_domain=None):
        """Select rows of X.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The open set, with the target's rows where ``sample_domain`` says so.

        y : None
            Ignored.

        X_target : array-like of shape (n_target, n_features), default=None
            The target, where it is not in X. Cross-validation does not split it.

        sample_domain : array-like of shape (n_samples,), default=None
            At least 0: open set; below 0: target, never selected. Without it and X_target
            the open set is its own target.

        Returns
        -------
        self : OpenSetCoresetSelector

        Raises
        ------
        ValueError
            If budget and ratio are both None, or both ways to give a target are used.
        """
        if self.n_samples_to_select is None and self.stopping_ratio is None:
            raise ValueError(
                "n_samples_to_select and stopping_ratio are both None: give a budget or "
                "a ratio."
            )
        X, pool, target = pool_and_target(self, X, X_target, sample_domain)
        self.embedding_ = self._fit_embedding(target)
        self._set_centers(self._embed(target))
        rows = self._embed(X if len(pool) == X.shape[0] else X[pool])
        budget = self._budget(len(pool), target.shape[0])
        coreset = rounds_of_blocks(
            lambda: self._cosine_blocks(rows),
            (len(pool), len(self.cluster_centers_)),
            budget,
            self.stopping_ratio,
            self.patience,
        )
        self._warn_of_zeros(rows)
        self.sample_indices_ = pool[coreset.indices]
        self.round_, self.round_values_ = coreset.round, coreset.round_values
        self.center_indices_ = coreset.center_indices
        self.similarities_ = coreset.similarities
        self.reference_value_ = coreset.reference_value
        self.stopped_by_ = coreset.stopped_by
        return self

    def _budget(self, n_pool, n_target):
        if self.n_samples_to_select is None:
            return min(n_pool, ROWS_PER_TARGET * n_target)
        return number_to_select(self.n_samples_to_select, n_pool)

    def _fit_embedding(self, target):
        if self.embedding is None:
            return None
        try:
            check_is_fitted(self.embedding)
        except NotFittedError:
            return clone(self.embedding).fit(target)
        return self.embedding

    def _embed(self, X):
        return X if self.embedding_ is None else self.embedding_.transform(X)

    def _set_centers(self, target):
        centers = _unit_rows(target)
        if centers.shape[0] > self.n_clusters:
            k_means = KMeans(self.n_clusters, n_init=10, random_state=self.random_state)
            centers = _unit_rows(k_means.fit(centers).cluster_centers_)
        self.cluster_centers_ = (
            centers if isinstance(centers, np.ndarray) else centers.toarray()
        )

    def _cosine_blocks(self, rows):
        """Yield slices of rows and their cosines to the centres."""
        size = max(1, BLOCK_NUMBERS // max(self.cluster_centers_.shape))
        for part in gen_batches(rows.shape[0], size):
            yield part, safe_sparse_dot(_unit_rows(rows[part]), self.cluster_centers_.T)

    def _warn_of_zeros(self, rows):
        filled = (rows != 0).sum(axis=1) if sparse.issparse(rows) else rows.any(axis=1)
        n_zeros = rows.shape[0] - np.count_nonzero(filled)
        if n_zeros:
            warnings.warn(
                f"{n_zeros} rows are 0 in all features: their similarity to any other "
                "is taken as 0.",
                UserWarning,
                stacklevel=4,
            )

    def score_samples(self, X):
        """Return how relevant rows are: the largest cosine to a centre.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Any rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            From -1 to 1.
        """
        check_is_fitted(self)
        X = validate_data(
            self, X, reset=False, accept_sparse="csr", dtype=[np.float64, np.float32]
        )
        blocks = self._cosine_blocks(self._embed(X))
        return np.concatenate([block.max(axis=1) for _, block in blocks])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.embedding is None:
            tags.input_tags.sparse = True
        else:
            tags.input_tags.sparse = get_tags(self.embedding).input_tags.sparse
        return tags


def _unit_rows(X):
    """Scale rows to length 1, huge and tiny ones too; rows of zeros stay.

    scikit-learn's ``normalize`` takes rows of 1e-16 for zeros, and squares overflow.
    """
    lengths = row_norms(X)
    smallest = np.sqrt(np.finfo(X.dtype).tiny) / np.finfo(X.dtype).eps
    if not (np.isfinite(lengths) & (lengths > smallest)).all():
        largest = abs(X).max(axis=1)
        largest = largest.toarray().ravel() if sparse.issparse(X) else largest
        X = _divided(X, np.exp2(np.frexp(largest)[1] - 1.0))  # exact
        lengths = row_norms(X)
    return _divided(X, lengths)


def _divided(X, scales):
    scales = np.where(scales > 0, scales, 1).astype(X.dtype)
    if not sparse.issparse(X):
        return X / scales[:, None]
    X = sparse.csr_array(X, copy=True)
    X.data /= np.repeat(scales, np.diff(X.indptr))
    return X
