"""Exact cross-validation of naive Bayes: what all rows say, minus what a fold says."""

import numpy as np
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, check_array, column_or_1d, indexable

from minimalml.linear_model._naive_bayes_probe._input import (
    ROWS,
    check_weights,
    unique_labels,
)
from minimalml.linear_model._naive_bayes_probe._moments_functions import class_moments
from minimalml.linear_model._naive_bayes_probe._naive_bayes_probe import NaiveBayesProbe


def cross_validate_naive_bayes(
    X, y, cv=None, *, estimator=None, scoring=None, sample_weight=None, groups=None
):
    """Score a `NaiveBayesProbe` by exact cross-validation, for the price of one fit.

    The moments of a fold's training rows are those of all rows minus those of its
    test rows, so each row is read twice, however many folds there are: O(n d) time
    beside the scoring. The scores are those of ``cross_val_score``.

    Parameters
    ----------
    X : array or CSR matrix of shape (n_samples, n_features)
        Features.

    y : array-like of shape (n_samples,)
        Class labels.

    cv : int, cross-validation generator or iterable, default=None
        As in ``cross_val_score``: None means 5 stratified folds. A split whose
        training rows are not all rows outside its test rows is measured directly.

    estimator : NaiveBayesProbe, default=None
        Whose parameters to use; None means the defaults.

    scoring : str or callable, default=None
        A scorer; None means accuracy.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows in training.

    groups : array-like of shape (n_samples,), default=None
        Groups for splitters that keep them whole.

    Returns
    -------
    ndarray of shape (n_splits,)
        Scores of the test rows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from minimalml.linear_model import cross_validate_naive_bayes
    >>> X, y = load_iris(return_X_y=True)
    >>> cross_validate_naive_bayes(X, y, cv=3)
    array([0.96, 0.94, 0.96])
    """
    estimator = NaiveBayesProbe() if estimator is None else estimator
    estimator._validate_params()
    X = check_array(X, **ROWS)
    X, y, groups = indexable(X, y, groups)
    y = column_or_1d(y, warn=True)
    classes, codes = unique_labels(y)
    weights = check_weights(sample_weight, X)
    scorer = check_scoring(estimator, scoring)

    def measured(rows):
        return class_moments(
            _safe_indexing(X, rows),
            codes[rows],
            len(classes),
            weights[rows],
            per_class=estimator.variance == "per_class",
        ).with_classes(classes)

    total = measured(slice(None))
    scores = []
    for train, test in check_cv(cv, y, classifier=True).split(X, y, groups):
        if is_partition(train, test, len(y)):
            moments = total.remove(measured(test))
        else:
            moments = measured(train)
        probe = estimator.from_statistics(moments, **estimator.get_params())
        scores.append(scorer(probe, _safe_indexing(X, test), y[test]))
    return np.array(scores)


def is_partition(train, test, n_samples):
    """Whether each row is in exactly one of the two."""
    times = np.bincount(np.concatenate([train, test]), minlength=n_samples)
    return bool((times == 1).all())
