"""Fit a transformer on the rows at hand and the relevant part of an open set."""

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, MetaEstimatorMixin, TransformerMixin, clone
from sklearn.utils import check_array
from sklearn.utils.validation import _check_feature_names_in

from minimalml._core.models.delegation import DelegatingMixin
from minimalml._core.validation import (
    HasMethods,
    _fit_context,
    check_is_fitted,
    validate_data,
)


class CoresetAugmentedTransformer(
    DelegatingMixin, TransformerMixin, MetaEstimatorMixin, BaseEstimator
):
    """Fit a transformer on X and on the rows of an open set that resemble X.

    For a small X beside a large set of rows without labels: PCA, a scaler, NMF or an
    autoencoder sees more, but not what is off the topic. Goes into a Pipeline before a
    classifier, where ``selector__stopping_ratio`` can be searched.

    Parameters
    ----------
    transformer : transformer
        A clone is fitted, without y: open rows have none.

    selector : OpenSetCoresetSelector or other selector
        A clone selects from the open set, with X as its target.

    Attributes
    ----------
    transformer_ : transformer
        Fitted on X and, below it, the selected open rows in the order of selection.

    selector_ : selector or None
        What selected; None without an open set.

    n_features_in_ : int
        Number of features of X.

    feature_names_in_ : ndarray of str of shape (n_features_in_,)
        Names of the features, if X had names.

    See Also
    --------
    OpenSetCoresetSelector : The selection.

    Notes
    -----
    Under metadata routing ``set_fit_request(X_open=True)`` lets the open set pass. It is
    handed on whole, unless it has as many rows as X: then scikit-learn's cross-validation
    takes it for values of rows, and splits it.

    References
    ----------
    .. [1] S. Kim, S. Bae, S.-Y. Yun, "Coreset Sampling from Open-Set for Fine-Grained
       Self-Supervised Learning", CVPR 2023. arXiv:2303.11101

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from minimalml.resampling import (
    ...     CoresetAugmentedTransformer, OpenSetCoresetSelector)
    >>> X, y = load_digits(return_X_y=True)
    >>> model = CoresetAugmentedTransformer(PCA(5), OpenSetCoresetSelector(60))
    >>> model.fit(X[y == 3][:30], X_open=X[200:]).transform(X).shape
    (1797, 5)
    """

    _parameter_constraints = {
        "transformer": [HasMethods(["fit", "transform"])],
        "selector": [HasMethods(["fit"])],
    }

    def __init__(self, transformer, selector):
        self.transformer = transformer
        self.selector = selector

    @property
    def estimator_(self):
        """The fitted transformer, under the name that delegation looks for."""
        if "transformer_" not in vars(self):
            raise AttributeError("estimator_ is available after fit.")
        return self.transformer_

    def _estimator(self):
        return self.transformer

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, *, X_open=None):
        """Select open rows and fit the transformer on X and them.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The rows at hand.

        y : None
            Ignored.

        X_open : array-like or sparse matrix of shape (n_open, n_features), default=None
            The open set; None: fit on X alone.

        Returns
        -------
        self : CoresetAugmentedTransformer

        Raises
        ------
        ValueError
            If X_open has other features than X.
        """
        kinds = dict(accept_sparse="csr", dtype=[np.float64, np.float32])
        rows = validate_data(self, X, **kinds)
        self.selector_ = None
        if X_open is not None:
            X_open = check_array(X_open, **kinds, input_name="X_open")
            if X_open.shape[1] != rows.shape[1]:
                raise ValueError(
                    f"X_open has {X_open.shape[1]} features, but X has {rows.shape[1]}."
                )
            self.selector_ = clone(self.selector).fit(X_open, X_target=rows)
            chosen = X_open[self.selector_.sample_indices_]
            stack = sparse.vstack if sparse.issparse(rows) else np.vstack
            if sparse.issparse(chosen) and not sparse.issparse(rows):
                chosen = chosen.toarray()
            rows = stack([rows, chosen])
        self.transformer_ = clone(self.transformer).fit(rows)
        return self

    def transform(self, X):
        """Transform rows with the fitted transformer.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray or sparse matrix of shape (n_samples, n_features_out)
        """
        check_is_fitted(self)
        X = validate_data(
            self, X, reset=False, accept_sparse="csr", dtype=[np.float64, np.float32]
        )
        return self.transformer_.transform(X)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the transformer's outputs.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the inputs; None: ``feature_names_in_`` where X had names.

        Returns
        -------
        ndarray of str of shape (n_features_out,)
        """
        check_is_fitted(self)
        input_features = _check_feature_names_in(
            self, input_features, generate_names=False
        )
        return self.transformer_.get_feature_names_out(input_features)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False  # no similarity of NaN
        return tags
