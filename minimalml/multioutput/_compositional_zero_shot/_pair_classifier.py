"""What classifiers of pairs share: candidates, bias and predictions."""

import numpy as np
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.utils import check_consistent_length, gen_batches

from minimalml._core.arrays import is_torch_tensor, to_numpy
from minimalml._core.validation import check_is_fitted, validate_data
from minimalml.multioutput._compositional_zero_shot import _czsl_gaps, _pairs
from minimalml.multioutput._compositional_zero_shot._czsl_curve import curve_from_gaps

# So many scores are in memory at a time (32 MB of float64), whatever the open world.
ROW_BLOCK, PAIR_BLOCK = 2048, 2048
FLOATS = [np.float64, np.float32]


class PairClassifierMixin(ClassifierMixin):
    """Predictions over candidate pairs.

    A class that mixes it in calls ``_read_pairs`` and ``_set_pairs`` in fit, sets
    ``seen_bias_`` and ``_proba_scale``, and writes ``_represent(X)``, a list of arrays
    or tensors of rows, and ``_score_codes(these, pairs)``, scores of coded pairs (n, P).
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _read_pairs(self, X, y, reset=True):
        """Validate training features and code their labels, of any type."""
        if y is None:
            validate_data(self, X, y)  # raises scikit-learn's own error
        X = validate_data(self, X, dtype=FLOATS, ensure_min_samples=2, reset=reset)
        labels = _pairs.PairLabels.read(y)
        check_consistent_length(X, labels.codes)
        return X, labels

    def _set_pairs(self, labels, more_codes=()):
        """Store the labels and the candidate pairs, with coded ones added if any."""
        codes = _pairs.candidate_codes(labels, self.unseen_pairs, more_codes)
        self.attributes_, self.objects_ = labels.values
        self._is_single, self._pair_codes = labels.is_single, codes
        self.seen_mask_ = np.arange(len(codes)) < len(labels.seen_pairs)
        self.pairs_ = self._decode(codes)
        self.classes_ = self.objects_ if labels.is_single else list(labels.values)

    def _decode(self, codes):
        """Return coded pairs as labels (P, 2), objects where the dtypes differ."""
        attribute, objects = self.attributes_[codes[:, 0]], self.objects_[codes[:, 1]]
        dtype = None if attribute.dtype.kind == objects.dtype.kind else object
        return np.stack([attribute, objects], axis=1, dtype=dtype, casting="unsafe")

    def _check_rows(self, X):
        check_is_fitted(self)
        return validate_data(self, X, reset=False, dtype=FLOATS)

    def _pair_scores(self, X):
        X = self._check_rows(X)
        scores = to_numpy(self._score_codes(self._represent(X), self._pair_codes))
        _refuse_unscored(~np.isfinite(scores).all(axis=1))
        return scores.astype(X.dtype, copy=False)

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
        scores = self._pair_scores(X)
        if self._is_single and scores.shape[1] == 2:
            return scores[:, 1] - scores[:, 0]
        return scores

    def predict_pair_proba(self, X):
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
        scores = self._pair_scores(X)
        scores[:, ~self.seen_mask_] += self.seen_bias_
        return softmax(self._proba_scale * scores, axis=1)

    def predict_proba(self, X):
        """Give each attribute and each object a probability, as ``classes_`` lists them.

        They are sums of `predict_pair_proba` over the candidate pairs with the label.
        The likeliest attribute and object together need not be the likeliest pair,
        which `predict` answers.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features.

        Returns
        -------
        list of ndarray of shape (n, A), (n, O)
            Of attributes and of objects, as scikit-learn's classifiers of several
            outputs have it; an array of shape (n, O) after a fit on one column.
        """
        probabilities = self.predict_pair_proba(X)
        marginals = []
        for values, code in zip(
            (self.attributes_, self.objects_), self._pair_codes.T, strict=True
        ):
            has_label = code[:, None] == np.arange(len(values))  # (P, n_labels)
            marginals.append(probabilities @ has_label.astype(probabilities.dtype))
        return marginals[1] if self._is_single else marginals

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
        return self.objects_[codes[:, 1]] if self._is_single else self._decode(codes)

    def predict_attribute(self, X):
        """Return the attribute, shape (n,), of what `predict` answers to X (n, d)."""
        return self.attributes_[self._predicted_codes(X)[:, 0]]

    def predict_object(self, X):
        """Return the object, shape (n,), of what `predict` answers to X (n, d)."""
        return self.objects_[self._predicted_codes(X)[:, 1]]

    def _predicted_codes(self, X):
        codes = self._answers(self._check_rows(X))
        _refuse_unscored(codes[:, 0] < 0)
        return codes

    def _answers(self, X):
        blocks = self._top_pairs(X, self._pair_codes, self.seen_mask_)
        return self._best_codes(blocks, self._pair_codes)

    def _best_codes(self, blocks, codes):
        """Return the best coded pair of each row at the own bias, -1 where none is."""
        best = np.concatenate([to_numpy(t.best(self.seen_bias_)) for t in blocks])
        return np.where(best[:, None] < 0, -1, codes[best])

    def _top_pairs(self, X, codes, seen_mask, k=1):
        """Return the best pairs of each block of validated rows."""
        groups, blocks = _czsl_gaps.seen_groups(seen_mask), []
        for rows in gen_batches(len(X), ROW_BLOCK):
            parts = self._represent(X[rows])
            device = parts[0].device if is_torch_tensor(parts[0]) else None
            tops = _czsl_gaps.TopPairs(len(parts[0]), k, device)
            for pairs in gen_batches(len(codes), PAIR_BLOCK):
                tops.update(self._score_codes(parts, codes[pairs]), groups[pairs])
            blocks.append(tops)
        return blocks

    def score(self, X, y, sample_weight=None):
        """Return the share of rows whose pair is right in both parts.

        Parameters
        ----------
        X, y : array-like of shape (n, d), (n, 2) or (n,)
            Features, and true pairs or objects.

        sample_weight : array-like of shape (n,), default=None
            Weights of the rows.

        Returns
        -------
        float
            In [0, 1].
        """
        codes = self._predicted_codes(X)
        (attribute, objects), _ = _pairs.split_columns(y)
        check_consistent_length(X, objects, sample_weight)
        right = self.objects_[codes[:, 1]] == objects
        if not self._is_single:
            right &= self.attributes_[codes[:, 0]] == attribute
        return float(np.average(right, weights=sample_weight))

    def czsl_curve(self, X, y, *, n_biases=None, top_k=1):
        """Trade seen against unseen accuracy on labelled rows.

        Candidates are ``pairs_`` and the pairs of y: the closed-world protocol lets a
        classifier know which pairs the test holds. They are scored block by block, so
        that memory does not grow with their number.

        Parameters
        ----------
        X, y : array-like of shape (n, d), (n, 2)
            Features, and true pairs of attributes and objects that training shows.

        n_biases, top_k : int
            As `minimalml.multioutput.czsl_curve` takes them.

        Returns
        -------
        Bunch
            As `minimalml.multioutput.czsl_curve` returns it, and
            ``attribute_accuracy`` and ``object_accuracy``: shares of rows whose best
            pair, at the bias ``seen_bias_``, has the right attribute or object.
        """
        X = self._check_rows(X)
        true_codes = _pairs.encode_pairs((self.attributes_, self.objects_), y, "y")
        check_consistent_length(X, true_codes)
        curve, best_codes = self._curve(X, true_codes, n_biases, top_k)
        _refuse_unscored(best_codes[:, 0] < 0)
        right = best_codes == true_codes
        curve.attribute_accuracy, curve.object_accuracy = right.mean(axis=0).tolist()
        return curve

    def _curve(self, X, true_codes, n_biases=None, top_k=1):
        """Sweep the bias over validated rows; return their coded answers, too."""
        more = np.unique(true_codes, axis=0)
        more = more[~_pairs.is_among(more, self._pair_codes)]
        codes = np.concatenate([self._pair_codes, more])
        _czsl_gaps.check_top_k(top_k, len(codes))
        seen_mask = np.arange(len(codes)) < self.seen_mask_.sum()
        positions = _pairs.pair_positions(true_codes, codes)
        blocks = self._top_pairs(X, codes, seen_mask, top_k)
        parts = [
            tops.gaps(positions[rows], seen_mask)
            for tops, rows in zip(blocks, gen_batches(len(X), ROW_BLOCK), strict=True)
        ]
        gaps = [_czsl_gaps.BiasGaps(*map(to_numpy, part)) for part in parts]
        return curve_from_gaps(gaps, n_biases), self._best_codes(blocks, codes)


def _refuse_unscored(is_unscored):
    if is_unscored.any():
        raise ValueError(
            f"X has {is_unscored.sum()} rows whose scores are not finite: their values "
            "are too large for the model's float type; scale X."
        )
