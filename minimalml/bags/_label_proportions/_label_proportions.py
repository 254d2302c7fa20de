"""Learn a classifier of rows where only shares of bags are known.

Similar rows should agree, and every bag holds its share: belief propagation finds out
which rows are the positive ones, and any classifier learns these. Havaldar, Sharma,
Sareen, Shanmugam, Raghuveer, ICLR 2024.
"""

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils.metaestimators import available_if

from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.training.documentation import complete_docstring
from minimalml._core.validation import (
    HasMethods,
    _fit_context,
    check_is_fitted,
    has_fit_parameter,
    validate_data,
)
from minimalml.bags._label_proportions._propagation import PROPAGATION_CONSTRAINTS
from minimalml.bags._label_proportions._pseudo_labels import (
    ATTRIBUTES,
    LABELLING_CONSTRAINTS,
    PARAMETERS,
    PseudoLabelMixin,
    check_bags,
)

FLOATS = [np.float64, np.float32]


def _inner_has(method):
    def check(self):
        getattr(getattr(self, "estimator_", None) or self._template(), method)
        return True

    return check


class LabelProportionClassifier(
    PseudoLabelMixin, MetaEstimatorMixin, CallbackSupportMixin, BaseEstimator
):
    """Find the positive rows of bags of known shares, and let a classifier learn them.

    For bags that are small or differ, of rows whose neighbours mostly have the same
    label; with few large random bags (a hundred rows and more) it guesses, as others
    do, and `AggregateMLPClassifier` is the better choice. Where each bag has one row,
    the shares are labels and ``estimator`` learns them as they are.

    Finding neighbours takes O(n² d) time with the cosine; a step of belief propagation
    O(n_neighbors n + Σ B √B) for bags of B rows; memory is linear in rows and edges.

    Parameters
    ----------
    estimator : classifier, default=None
        What learns the rows; None is `HistGradientBoostingClassifier` of
        ``random_state=0``. For "soft" its fit must take ``sample_weight``.

    Attributes
    ----------
    estimator_ : classifier
        Fitted to all rows.

    n_iter_ : int
        Steps of belief propagation; 1 where y holds labels.

    See Also
    --------
    LabelProportionMLPClassifier : The same with a network, whose features it uses.
    propagate_label_proportions : The beliefs alone.

    Notes
    -----
    Neighbours are found on X as it is: leave columns of one unit (pixels, spectra) as
    they are, and scale those of different units.

    References
    ----------
    S. Havaldar, N. Sharma, S. Sareen, K. Shanmugam, A. Raghuveer, Learning from label
    proportions: bootstrapping supervised learners via belief propagation, ICLR 2024.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.svm import SVC
    >>> from minimalml.bags import LabelProportionClassifier, aggregate_targets
    >>> from minimalml.datasets import make_bags
    >>> X, digits = load_digits(return_X_y=True)
    >>> is_odd, bags = digits % 2, make_bags(1000, 8, random_state=0)
    >>> shares = aggregate_targets(is_odd[:1000], bags)
    >>> model = LabelProportionClassifier(SVC()).fit(X[:1000], shares, bags=bags)
    >>> bool((model.predict(X[1000:]) == is_odd[1000:]).mean() > 0.9)
    True
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        **LABELLING_CONSTRAINTS,
        **PROPAGATION_CONSTRAINTS,
    }

    def __init__(
        self,
        estimator=None,
        *,
        n_neighbors=5,
        metric="cosine",
        length_scale="median",
        similarity_strength=1.5,
        bag_strength=np.inf,
        pseudo_labels="hard",
        max_iter=200,
        damping=0.5,
        tol=1e-3,
    ):
        self.estimator = estimator
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.length_scale = length_scale
        self.similarity_strength = similarity_strength
        self.bag_strength = bag_strength
        self.pseudo_labels = pseudo_labels
        self.max_iter = max_iter
        self.damping = damping
        self.tol = tol

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, bags=None):
        """Label the rows by belief propagation, and fit the classifier to them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,)
            The share of positive rows in its bag on each row, from 0 to 1. Without bags
            the labels of rows, of two classes.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag. None makes each row a bag.

        Returns
        -------
        self : LabelProportionClassifier

        Raises
        ------
        ValueError
            If a share is outside [0, 1] or varies in a bag, ids are missing or of
            another number, there is one class only, or "soft" meets an estimator
            without ``sample_weight``.

        Warns
        -----
        UserWarning
            If counts have to be rounded by more than 0.001.
        ConvergenceWarning
            If belief propagation did not settle.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS)
        self.classes_, index, shares = check_bags(y, bags)
        self.estimator_ = clone(self._template())
        is_soft = self.pseudo_labels == "soft" and not index.is_singletons
        if is_soft and not has_fit_parameter(self.estimator_, "sample_weight"):
            raise ValueError(
                "pseudo_labels='soft' needs an estimator whose fit takes sample_weight, "
                f"got {type(self.estimator_).__name__}: set 'hard' or 'count', or put "
                "the steps before a classifier outside."
            )
        with fit_task(self, X, y) as task:
            self._label_rows(
                X,
                index,
                shares,
                metric=self.metric,
                task=task,
                max_iter=self.max_iter,
                damping=self.damping,
                tol=self.tol,
            )
            with task.step("estimator", inner=self.estimator_):
                self._fit_estimator(X, is_soft)
        return self

    def _fit_estimator(self, X, is_soft):
        """Fit to labels, or to each row as both classes with their probabilities."""
        if not is_soft:
            self.estimator_.fit(X, self.pseudo_labels_)
            return
        weight = np.concatenate([self.pseudo_labels_, 1.0 - self.pseudo_labels_])
        kept = np.flatnonzero(weight)
        labels = np.repeat([1, 0], len(X))[kept]
        rows = X[kept % len(X)]
        self.estimator_.fit(rows, labels, sample_weight=weight[kept])

    def _template(self):
        if self.estimator is not None:
            return self.estimator
        return HistGradientBoostingClassifier(random_state=0)

    def predict(self, X):
        """Predict the class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels among ``classes_``.
        """
        return self._ask("predict", X)

    @available_if(_inner_has("predict_proba"))
    def predict_proba(self, X):
        """Predict the probability of each class, where the estimator can.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            Probabilities in the order of ``classes_``.
        """
        return self._ask("predict_proba", X)

    @available_if(_inner_has("decision_function"))
    def decision_function(self, X):
        """Return decision values, above 0 for ``classes_[1]``, where the estimator can.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self._ask("decision_function", X)

    def _ask(self, method, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        return getattr(self.estimator_, method)(X)


complete_docstring(LabelProportionClassifier, PARAMETERS, ATTRIBUTES)
