"""Train a classifier on the samples of each batch that a selector keeps."""

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import (
    _safe_indexing,
    check_random_state,
    column_or_1d,
    gen_batches,
    get_tags,
)
from sklearn.utils.multiclass import check_classification_targets

from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.models.delegation import DelegatingMixin
from minimalml._core.training.partial_fit import check_rows_to_train, ready_for_a_batch
from minimalml._core.validation import (
    HasMethods,
    Integral,
    Interval,
    _fit_context,
    check_y,
)
from minimalml.resampling._utility_diversity._logits import logits_of
from minimalml.resampling._utility_diversity._utility_diversity import (
    UtilityDiversitySelector,
)


class OnlineBatchClassifier(
    CallbackSupportMixin, DelegatingMixin, MetaEstimatorMixin, BaseEstimator
):
    """Train a classifier on the samples of each batch that a selector keeps.

    The rows of a batch are predicted, the selector sees their logits, and the classifier
    goes on with those that it keeps. For redundant rows with several outputs, where
    training costs more than predicting; with a single output the default selector
    prefers confident rows, so look whether it helps. An epoch costs a prediction of all
    rows, the selection, and ``partial_fit`` on what is kept.

    Parameters
    ----------
    estimator : classifier
        A clone is trained: anything with ``partial_fit``, and ``decision_function`` or
        ``predict_proba``. The outputs of a classifier of several, such as
        `~sklearn.multioutput.MultiOutputClassifier`, and the labels of a multilabel one
        are the positions of the logits.

    selector : selector, default=None
        Its clone is asked in each batch: anything with ``select(logits)``, the result of
        which has ``indices``. None: a `UtilityDiversitySelector` with ``random_state``.

    batch_size : int, default=32
        Rows of a candidate batch, of which the selector keeps some.

    max_epochs : int, default=1
        Passes over the rows.

    shuffle : bool, default=True
        Whether each epoch has an order of its own; otherwise rows come as they are.

    random_state : int, RandomState instance or None, default=None
        For the order of rows.

    Attributes
    ----------
    estimator_ : classifier
        Trained on what was kept.

    selector_ : selector
        With what it remembers.

    classes_ : ndarray of shape (n_classes,) or list of them
        Classes; a list, with one for each output, if there are several.

    sample_counts_ : ndarray of int of shape (n_samples,)
        How often each row was trained on, in the latest call of ``fit`` or
        ``partial_fit``.

    n_samples_used_ : int
        Rows that the estimator was trained on since the start, repetitions counted.

    n_features_in_ : int
        Number of features of X.

    feature_names_in_ : ndarray of str of shape (n_features_in_,)
        Names of the features, if X had names.

    See Also
    --------
    UtilityDiversitySelector : The selection, for training loops of your own.
    SelectedSamplesEstimator : Select once, before fit.

    Notes
    -----
    The first batch is kept whole, as there are no logits yet. Kept rows come in the order
    of their batch, so a selector that keeps all gives plain ``partial_fit``. One decision
    f becomes the logits -f/2 and f/2; probabilities become logarithms with mean 0.

    References
    ----------
    .. [1] H. Zou et al., "Utility-Diversity Aware Online Batch Selection for LLM
       Supervised Fine-tuning", ICML 2026. arXiv:2510.16882

    Examples
    --------
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from sklearn.linear_model import SGDClassifier
    >>> from sklearn.multioutput import MultiOutputClassifier
    >>> from minimalml.resampling import OnlineBatchClassifier
    >>> X, y = make_multilabel_classification(2000, n_classes=6, random_state=0)
    >>> inner = MultiOutputClassifier(SGDClassifier(loss="log_loss", random_state=0))
    >>> model = OnlineBatchClassifier(inner, random_state=0).fit(X, y)
    >>> model.n_samples_used_  # the first batch, and a quarter of the others
    524
    >>> model.predict(X[:3]).shape
    (3, 6)
    """

    _routed_methods = ("score",)  # weights are ours: they are cut to what is kept

    _parameter_constraints = {
        "estimator": [HasMethods(["partial_fit"])],
        "selector": [HasMethods(["select"]), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator,
        selector=None,
        *,
        batch_size=32,
        max_epochs=1,
        shuffle=True,
        random_state=None,
    ):
        self.estimator = estimator
        self.selector = selector
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.shuffle = shuffle
        self.random_state = random_state

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None):
        """Train a clone of the estimator, batch by batch.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows, where the estimator's ``partial_fit`` takes them.

        Returns
        -------
        self : OnlineBatchClassifier

        Raises
        ------
        ValueError
            If the estimator gives neither decisions nor probabilities, or takes no
            weights and there are some.
        """
        X, y, weight = self._check(X, y, sample_weight)
        classes = self._classes_of(y)
        self._start()
        self.sample_counts_ = np.zeros(len(y), dtype=int)
        rng = check_random_state(self.random_state)
        with fit_task(self, X, y, self.max_epochs) as task:
            for _ in range(self.max_epochs):
                order = rng.permutation(len(y)) if self.shuffle else np.arange(len(y))
                with task.step("epoch"):
                    for batch in gen_batches(len(y), self.batch_size):
                        self._train(X, y, weight, classes, order[batch])
                if task.is_stopped:
                    break
        self._take_feature_names()
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Go on with one batch of rows, the first of which is kept whole.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            The batch.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Its labels.

        classes : array-like of shape (n_classes,) or list of them, default=None
            All labels, in the first call, as the estimator's ``partial_fit`` takes them.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows, where the estimator's ``partial_fit`` takes them.

        Returns
        -------
        self : OnlineBatchClassifier
        """
        X, y, weight = self._check(X, y, sample_weight)
        if not hasattr(self, "estimator_"):
            self._start()
        self.sample_counts_ = np.zeros(len(y), dtype=int)
        self._train(X, y, weight, classes, np.arange(len(y)))
        self._take_feature_names()
        return self

    @property
    def classes_(self):
        """Classes; a list, with one for each output, if there are several."""
        if hasattr(self.estimator_, "classes_"):
            return self.estimator_.classes_
        # MultiOutputClassifier sets them in fit alone
        return [output.classes_ for output in self.estimator_.estimators_]

    def _check(self, X, y, sample_weight):
        if y is None:
            raise ValueError(
                "OnlineBatchClassifier requires y to be passed, but the target y is None."
            )
        if not any(
            hasattr(self.estimator, m) for m in ("decision_function", "predict_proba")
        ):
            raise ValueError(
                f"estimator ({type(self.estimator).__name__}) has neither "
                "decision_function nor predict_proba, so there are no logits to select by."
            )
        y = check_y(y, multi_output=True)
        y = y.toarray() if issparse(y) else y
        check_classification_targets(y)
        X, flat, weight = check_rows_to_train(self.estimator, X, y, sample_weight)
        if flat.ndim < y.ndim and get_tags(self.estimator).target_tags.single_output:
            y = column_or_1d(y, warn=True)
        return X, y, weight

    def _classes_of(self, y):
        """Return what the estimator's ``partial_fit`` takes as classes."""
        if y.ndim == 1:
            return np.unique(y)
        if get_tags(self.estimator).target_tags.multi_output:
            return [np.unique(column) for column in y.T]
        return np.arange(y.shape[1])  # the labels that a row may have

    def _start(self):
        self.estimator_ = clone(self.estimator)
        self.selector_ = (
            UtilityDiversitySelector(random_state=self.random_state)
            if self.selector is None
            else clone(self.selector)
        )
        self.n_samples_used_ = 0

    def _train(self, X, y, weight, classes, rows):
        """Train on those of a batch's rows that the selector keeps."""
        if self.n_samples_used_:
            candidates = _safe_indexing(X, rows)
            logits = logits_of(self.estimator_, candidates, is_multilabel=y.ndim == 2)
            rows = rows[np.sort(self.selector_.select(logits).indices)]
        options = {} if classes is None else {"classes": classes}
        if weight is not None:
            options["sample_weight"] = weight[rows]
        with ready_for_a_batch(self.estimator_, len(rows)):
            self.estimator_.partial_fit(_safe_indexing(X, rows), y[rows], **options)
        self.sample_counts_[rows] += 1
        self.n_samples_used_ += len(rows)
