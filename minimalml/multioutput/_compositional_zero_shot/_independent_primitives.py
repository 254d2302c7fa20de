"""The plain baseline: an attribute classifier and an object classifier, multiplied."""

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from minimalml._core.validation import (
    HasMethods,
    Interval,
    Real,
    StrOptions,
    _fit_context,
)
from minimalml.multioutput._compositional_zero_shot._pair_classifier import (
    PairClassifierMixin,
)


class IndependentPrimitives(PairClassifierMixin, BaseEstimator):
    """Recognise attribute and object apart and multiply their probabilities.

    The plain baseline of compositional recognition: two classifiers, each trained on
    all rows. It can name unseen pairs, but is blind to what an attribute looks like on
    a particular object.

    Parameters
    ----------
    estimator : classifier, default=None
        What is fitted to either kind of label; needs ``predict_proba``. None takes
        ``LogisticRegression``. It is fitted to standardised features.

    unseen_pairs : None, "all" or array-like of shape (P_unseen, 2), default=None
        Pairs of known labels that may be answered beside those of training; "all" is
        each attribute with each object (open world).

    bias : float, default=0.0
        Added to the log-probabilities of unseen pairs.

    Attributes
    ----------
    attributes_, objects_, classes_, pairs_, seen_mask_, seen_bias_ : object
        Labels, candidates and bias, as `CompositionalZeroShotClassifier` has them.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (d,)
        Names of the features, where X had names.

    See Also
    --------
    make_czsl_scorer : Score it over all biases of the unseen pairs.

    Examples
    --------
    >>> from minimalml.multioutput import IndependentPrimitives
    >>> from minimalml.datasets import make_compositions
    >>> data = make_compositions(4, 5, n_features=8, random_state=0)
    >>> model = IndependentPrimitives(unseen_pairs="all")
    >>> curve = model.fit(data.X_train, data.y_train).czsl_curve(
    ...     data.X_test, data.y_test)
    >>> print(f"{curve.auc:.2f}")
    0.11
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "predict_proba"]), None],
        "unseen_pairs": [StrOptions({"all"}), "array-like", None],
        "bias": [Interval(Real, None, None, closed="neither")],
    }
    _proba_scale = 1.0

    def __init__(self, estimator=None, *, unseen_pairs=None, bias=0.0):
        self.estimator = estimator
        self.unseen_pairs = unseen_pairs
        self.bias = bias

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y):
        """Fit both classifiers.

        Parameters
        ----------
        X, y : array-like of shape (n, d), (n, 2) or (n,)
            Features, and attribute and object of each row, of any label type; one
            column holds objects under one constant attribute.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            If labels are missing or have 3 columns, or a pair names an unknown label.
        """
        X, labels = self._read_pairs(X, y)
        self._set_pairs(labels)
        self.seen_bias_ = self.bias
        base = LogisticRegression() if self.estimator is None else self.estimator
        self._exponents = np.frexp(np.abs(X).max(axis=0))[1]
        self._scaler = StandardScaler().set_output(transform="default")
        Z = self._scaler.fit_transform(self._within_one(X))
        self._primitives = [
            clone(base).fit(Z, codes) if codes.any() else None
            for codes in labels.codes.T
        ]
        return self

    def _within_one(self, X):
        """Divide features by powers of two, so that the squares of any are finite."""
        return np.ldexp(X, -self._exponents)

    def _represent(self, X):
        """Return log-probabilities of attributes (n, A) and of objects (n, O)."""
        Z = self._scaler.transform(self._within_one(X))
        tiny = np.finfo(Z.dtype).tiny
        return [
            # None: a single label, certain everywhere
            np.zeros((len(Z), 1), Z.dtype)
            if primitive is None
            else np.log(np.maximum(primitive.predict_proba(Z).astype(Z.dtype), tiny))
            for primitive in self._primitives
        ]

    def _score_codes(self, rows, codes):
        log_attribute, log_object = rows
        return log_attribute[:, codes[:, 0]] + log_object[:, codes[:, 1]]
