"""What classifiers of pairs share: candidates, bias, predictions and scorers."""

import numpy as np
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.utils import check_consistent_length

from minimalml._core.validation import check_is_fitted, validate_data
from minimalml.compositional._czsl_curve import curve_from_gaps
from minimalml.compositional._czsl_gaps import TopPairs
from minimalml.compositional._pairs import (
    PairLabels,
    candidate_codes,
    encode_pairs,
    is_among,
    pair_positions,
    split_columns,
)

# Open-world candidates are scored so many at a time, to bound the memory.
PAIR_BLOCK = 4096

CZSL_METRICS = {
    "auc": "auc",
    "harmonic_mean": "best_harmonic_mean",
    "best_seen": "best_seen",
    "best_unseen": "best_unseen",
}


class PairClassifierMixin(ClassifierMixin):
    """Predictions over candidate pairs.

    A class that mixes it in calls ``_set_pairs`` in fit and writes two methods:
    ``_represent``, which maps validated X (n, d) to whatever it needs of the rows, and
    ``_score_codes``, which maps that and coded pairs (P, 2) to scores (n, P).
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _set_pairs(self, labels, more_codes=None):
        """Store the labels and the candidate pairs, with coded ones added if any."""
        codes, seen_mask = candidate_codes(
            labels, self.candidate_pairs, self.unseen_pairs, more_codes
        )
        self.attributes_, self.objects_ = labels.attributes, labels.objects
        self._labels, self._pair_codes, self.seen_mask_ = labels, codes, seen_mask
        self.pairs_ = self._decode(codes)
        is_single = labels.is_single
        self.classes_ = (
            self.objects_ if is_single else [self.attributes_, self.objects_]
        )

    def _decode(self, codes):
        """Return coded pairs as labels (P, 2), objects where the dtypes differ."""
        attribute, objects = self.attributes_[codes[:, 0]], self.objects_[codes[:, 1]]
        same = attribute.dtype.kind == objects.dtype.kind
        dtype = np.result_type(attribute, objects) if same else object
        pairs = np.empty((len(codes), 2), dtype=dtype)
        pairs[:, 0], pairs[:, 1] = attribute, objects
        return pairs

    def pair_scores(self, X, pairs=None):
        """Score pairs of known attributes and objects, without any bias.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features.

        pairs : array-like of shape (P, 2), default=None
            Attribute and object of each pair; None takes ``pairs_``.

        Returns
        -------
        ndarray of shape (n, P)
            Scores, higher for likelier pairs.
        """
        rows = self._represent_checked(X)
        codes = self._pair_codes
        if pairs is not None:
            codes = encode_pairs(self._labels, pairs, "pairs")
        return self._score_codes(rows, codes)

    def _represent_checked(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return self._represent(X)

    def decision_function(self, X):
        """Score the candidate pairs ``pairs_``, without the bias of unseen pairs.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features.

        Returns
        -------
        ndarray of shape (n, P)
            A column a pair of ``pairs_``; shape (n,) after a fit on one column of two
            classes, as scikit-learn's binary classifiers have it.
        """
        scores = self.pair_scores(X)
        if self._labels.is_single and scores.shape[1] == 2:
            return scores[:, 1] - scores[:, 0]
        return scores

    def _biased_scores(self, X):
        scores = self.pair_scores(X)
        scores[:, ~self.seen_mask_] += self.seen_bias_
        return scores

    def predict_proba(self, X):
        """Give each candidate pair a probability, the bias of unseen pairs included.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features.

        Returns
        -------
        ndarray of shape (n, P)
            Rows sum to 1; columns follow ``pairs_``.
        """
        scores = self._biased_scores(X)
        return softmax(self._proba_scale * scores, axis=1)

    def _predicted_codes(self, X):
        best = self._biased_scores(X).argmax(axis=1)
        return self._pair_codes[best]

    def predict(self, X):
        """Predict the pair of each row.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features.

        Returns
        -------
        ndarray of shape (n, 2), or (n,) after a fit on one column
            Attribute and object, or the object alone.
        """
        codes = self._predicted_codes(X)
        if self._labels.is_single:
            return self.objects_[codes[:, 1]]
        return self._decode(codes)

    def predict_attribute(self, X):
        """Predict the attribute of each row, as part of its most likely pair.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features.

        Returns
        -------
        ndarray of shape (n,)
            Labels of ``attributes_``.
        """
        return self.attributes_[self._predicted_codes(X)[:, 0]]

    def predict_object(self, X):
        """Predict the object of each row, as part of its most likely pair.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features.

        Returns
        -------
        ndarray of shape (n,)
            Labels of ``objects_``.
        """
        return self.objects_[self._predicted_codes(X)[:, 1]]

    def score(self, X, y, sample_weight=None):
        """Return the share of rows whose pair is right in both parts.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features.

        y : array-like of shape (n, 2) or (n,)
            True pairs, or objects.

        sample_weight : array-like of shape (n,), default=None
            Weights of the rows.

        Returns
        -------
        float
            In [0, 1].
        """
        codes = self._predicted_codes(X)
        attribute, objects, _ = split_columns(y)
        check_consistent_length(X, objects, sample_weight)
        right = self.objects_[codes[:, 1]] == objects
        if not self._labels.is_single:
            right &= self.attributes_[codes[:, 0]] == attribute
        return float(np.average(right, weights=sample_weight))

    def czsl_curve(self, X, y, *, n_biases=None, top_k=1):
        """Trade seen against unseen accuracy on labelled rows, see `czsl_curve`.

        Candidates are ``pairs_`` and the pairs of y: the closed-world protocol lets a
        classifier know which pairs the test holds.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features.

        y : array-like of shape (n, 2)
            True pairs, of attributes and objects that training shows.

        n_biases : int, default=None
            None for the exact curve, a number for the common approximation.

        top_k : int, default=1
            A row is right if its true pair is among the ``top_k`` best.

        Returns
        -------
        Bunch
            As `minimalml.compositional.czsl_curve` returns it.
        """
        rows = self._represent_checked(X)
        return self._curve(rows, encode_pairs(self._labels, y, "y"), n_biases, top_k)

    def _curve(self, rows, true_codes, n_biases=None, top_k=1):
        """Sweep the bias over rows that `_represent` returned, by blocks of pairs."""
        codes = np.unique(np.concatenate([self._pair_codes, true_codes]), axis=0)
        seen_mask = is_among(codes, self._labels.seen_pairs)
        tops = TopPairs(len(true_codes), top_k)
        for start in range(0, len(codes), PAIR_BLOCK):
            block = slice(start, start + PAIR_BLOCK)
            scores = np.ascontiguousarray(self._score_codes(rows, codes[block]))
            tops.update(scores, seen_mask[block].astype(np.uint8))
        gaps = tops.gaps(pair_positions(true_codes, codes), seen_mask)
        return curve_from_gaps(gaps, n_biases)


def make_czsl_scorer(metric="auc", *, n_biases=None, top_k=1):
    """Make a scorer of the seen-unseen trade-off, for searches over pair classifiers.

    Use it with `PairHoldoutSplit`, which puts unseen pairs into the test part.

    Parameters
    ----------
    metric : {"auc", "harmonic_mean", "best_seen", "best_unseen"}, default="auc"
        Which figure of `czsl_curve` to return.

    n_biases : int, default=None
        None for the exact curve, a number for the common approximation.

    top_k : int, default=1
        A row is right if its true pair is among the ``top_k`` best.

    Returns
    -------
    callable
        ``scorer(estimator, X, y) -> float``, greater is better.

    Raises
    ------
    ValueError
        If ``metric`` is none of the four.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> from minimalml.compositional import (
    ...     IndependentPrimitives, PairHoldoutSplit, make_czsl_scorer)
    >>> from minimalml.datasets import make_compositions
    >>> data = make_compositions(4, 5, n_features=8, random_state=0)
    >>> scores = cross_val_score(
    ...     IndependentPrimitives(), data.X_train, data.y_train,
    ...     scoring=make_czsl_scorer("auc"),
    ...     cv=PairHoldoutSplit(2, random_state=0))
    >>> scores.shape
    (2,)
    """
    if metric not in CZSL_METRICS:
        raise ValueError(
            f"metric must be one of {sorted(CZSL_METRICS)}, got {metric!r}."
        )
    return CZSLScorer(metric, n_biases, top_k)


class CZSLScorer:
    """Callable ``(estimator, X, y) -> float``; a class, so that it pickles."""

    def __init__(self, metric, n_biases, top_k):
        self.metric = metric
        self.n_biases = n_biases
        self.top_k = top_k

    def __call__(self, estimator, X, y):
        """Score a fitted pair classifier, or a pipeline or search that ends in one."""
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        if hasattr(estimator, "steps"):
            X, estimator = estimator[:-1].transform(X), estimator[-1]
        curve = estimator.czsl_curve(X, y, n_biases=self.n_biases, top_k=self.top_k)
        return curve[CZSL_METRICS[self.metric]]

    def __repr__(self):
        return f"make_czsl_scorer({self.metric!r})"


def validate_pairs(estimator, X, y, reset=True):
    """Validate training features and code their labels, of any type."""
    if y is None:
        validate_data(estimator, X, y)  # raises scikit-learn's own error
    X = validate_data(
        estimator,
        X,
        dtype=[np.float64, np.float32],
        ensure_min_samples=2,
        reset=reset,
    )
    labels = PairLabels.read(y)
    check_consistent_length(X, labels.codes)
    return X, labels
