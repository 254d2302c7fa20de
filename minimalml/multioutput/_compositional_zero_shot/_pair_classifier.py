"""What classifiers of pairs share: candidates, bias, predictions and scorers."""

from itertools import count

import numpy as np
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.utils import check_consistent_length

from minimalml._core.arrays import array_namespace, is_torch_tensor, to_numpy
from minimalml._core.validation import check_is_fitted, validate_data
from minimalml.multioutput._compositional_zero_shot._czsl_curve import curve_from_gaps
from minimalml.multioutput._compositional_zero_shot._czsl_gaps import (
    BiasGaps,
    TopPairs,
    check_top_k,
    seen_groups,
)
from minimalml.multioutput._compositional_zero_shot._pairs import (
    PairLabels,
    candidate_codes,
    encode_pairs,
    is_among,
    pair_positions,
    split_columns,
)

# So many scores are in memory at a time (32 MB of float64), whatever the open world.
ROW_BLOCK, PAIR_BLOCK = 2048, 2048

CZSL_METRICS = {
    "auc": "auc",
    "harmonic_mean": "best_harmonic_mean",
    "best_seen": "best_seen",
    "best_unseen": "best_unseen",
    "attribute_accuracy": "attribute_accuracy",
    "object_accuracy": "object_accuracy",
}


class PairClassifierMixin(ClassifierMixin):
    """Predictions over candidate pairs.

    A class that mixes it in calls ``_set_pairs`` in fit and writes two methods:
    ``_represent``, which maps validated X (n, d) to a list of arrays or tensors with
    what it needs of the rows, and ``_score_codes``, which maps these and coded pairs
    (P, 2) to scores (n, P).
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
        X = self._check_rows(X)
        codes = self._pair_codes
        if pairs is not None:
            codes = encode_pairs(self._labels, pairs, "pairs")
        scores = self._score_codes(self._represent(X), codes)
        return to_numpy(scores).astype(X.dtype, copy=False)

    def _check_rows(self, X):
        check_is_fitted(self)
        return validate_data(self, X, reset=False, dtype=[np.float64, np.float32])

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
        scores = self.pair_scores(X)
        scores[:, ~self.seen_mask_] += self.seen_bias_
        return softmax(self._proba_scale * scores, axis=1)

    def _predicted_codes(self, X):
        return self._best_codes(self._represent(self._check_rows(X)))

    def _best_codes(self, rows):
        blocks = self._top_pairs(rows, self._pair_codes, self.seen_mask_)
        return self._pair_codes[self._best_of(blocks)]

    def _best_of(self, blocks):
        """Return the best column of each row, at the classifier's own bias."""
        best = [tops.best(self.seen_bias_) for tops in blocks]
        return to_numpy(array_namespace(best[0]).concatenate(best))

    def _top_pairs(self, rows, codes, seen_mask, k=1):
        """Yield the best pairs of one block of rows after the other."""
        device = rows[0].device if is_torch_tensor(rows[0]) else None
        groups = seen_groups(seen_mask)
        for first_row in range(0, len(rows[0]), ROW_BLOCK):
            block = [part[first_row : first_row + ROW_BLOCK] for part in rows]
            tops = TopPairs(len(block[0]), k, device)
            for first in range(0, len(codes), PAIR_BLOCK):
                pairs = slice(first, first + PAIR_BLOCK)
                tops.update(self._score_codes(block, codes[pairs]), groups[pairs])
            yield tops

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
        classifier know which pairs the test holds. They are scored block by block, so
        that memory does not grow with their number.

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
            As `minimalml.multioutput.czsl_curve` returns it, and
            ``attribute_accuracy`` and ``object_accuracy``: shares of rows whose best
            pair, at the bias ``seen_bias_``, has the right attribute or object.
        """
        X, true_codes = self._check_rows(X), encode_pairs(self._labels, y, "y")
        check_consistent_length(X, true_codes)
        return self._curve(self._represent(X), true_codes, n_biases, top_k)

    def _curve(self, rows, true_codes, n_biases=None, top_k=1):
        """Sweep the bias over rows that `_represent` returned."""
        codes = np.unique(np.concatenate([self._pair_codes, true_codes]), axis=0)
        check_top_k(top_k, len(codes))
        seen_mask = is_among(codes, self._labels.seen_pairs)
        positions = pair_positions(true_codes, codes)
        blocks = list(self._top_pairs(rows, codes, seen_mask, top_k))
        gaps = [
            tops.gaps(positions[start : start + ROW_BLOCK], seen_mask)
            for tops, start in zip(blocks, count(0, ROW_BLOCK), strict=False)
        ]
        gaps = BiasGaps(*map(to_numpy, BiasGaps.concatenate(gaps)))
        curve = curve_from_gaps(gaps, n_biases)
        right = codes[self._best_of(blocks)] == true_codes
        curve.attribute_accuracy, curve.object_accuracy = right.mean(axis=0).tolist()
        return curve


def make_czsl_scorer(metric="auc", *, n_biases=None, top_k=1):
    """Make a scorer of the seen-unseen trade-off, for searches over pair classifiers.

    Use it with `PairHoldoutSplit`, which puts unseen pairs into the test part.

    Parameters
    ----------
    metric : {"auc", "harmonic_mean", "best_seen", "best_unseen", \
            "attribute_accuracy", "object_accuracy"}, default="auc"
        Which figure of the estimator's ``czsl_curve`` to return.

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
        If ``metric`` is none of these.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> from minimalml.multioutput import (
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
