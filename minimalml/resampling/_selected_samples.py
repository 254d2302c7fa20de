"""Fit any estimator on the rows that a selector picks."""

from inspect import signature

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.utils import _safe_indexing, column_or_1d, get_tags, indexable
from sklearn.utils.metadata_routing import (
    MethodMapping,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.validation import _check_method_params, _num_samples

from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.models.delegation import DelegatingMixin
from minimalml._core.sample_domain import split_domains
from minimalml._core.validation import (
    HasMethods,
    _fit_context,
    has_fit_parameter,
)


class SelectedSamplesEstimator(
    CallbackSupportMixin, DelegatingMixin, MetaEstimatorMixin, BaseEstimator
):
    """Fit an estimator on the rows that a selector picks.

    The way to put a selector of rows into a Pipeline and to search its parameters as
    ``selector__*``. Methods, classes and tags are those of ``estimator``. Costs the
    selection and a fit on the selected rows.

    Parameters
    ----------
    estimator : estimator
        A clone is fitted on the selected rows.

    selector : selector
        Its clone picks them: anything with ``fit(X, y)`` that sets ``sample_indices_``,
        such as a `SampleSelectorMixin`.

    Attributes
    ----------
    estimator_ : estimator
        Fitted on the selected rows.

    selector_ : selector
        What selected them.

    sample_indices_ : ndarray of int of shape (n_selected,)
        The rows of X that ``estimator_`` saw, in the order of selection.

    classes_ : ndarray of shape (n_classes,)
        Classes of all rows of the pool, of a classifier.

    n_features_in_ : int
        Number of features of X.

    See Also
    --------
    SampleSelectorMixin : To write a selector.

    Notes
    -----
    Each class of a classifier keeps a row: one that the selection lost gets its first row
    of the pool, at the end of ``sample_indices_``. Rows with a negative
    ``sample_domain`` are the selector's target and are not fitted on; their ``y`` is not
    read. Without metadata routing, a parameter of ``fit`` goes to the selector if its
    ``fit`` names it and to the estimator if not; ``sample_weight`` goes to the estimator.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from minimalml.resampling import (
    ...     SelectedSamplesEstimator, TransportCoresetSelector)
    >>> X, y = load_digits(return_X_y=True)
    >>> selector = TransportCoresetSelector(60, max_exchanges=0)
    >>> model = SelectedSamplesEstimator(LogisticRegression(max_iter=1000), selector)
    >>> model.fit(X[:900] / 16, y[:900]).score(X[900:] / 16, y[900:]) > 0.8
    True
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit"])],
        "selector": [HasMethods(["fit"])],
    }

    def __init__(self, estimator, selector):
        self.estimator = estimator
        self.selector = selector

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, **params):
        """Select rows and fit the estimator on them.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows, as selector and estimator take them.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets.

        **params : dict
            For the selector and for the estimator; what holds a value a row is cut to the
            selected rows for the estimator.

        Returns
        -------
        self : SelectedSamplesEstimator
        """
        X, y = indexable(X, y)
        of_selector, of_estimator = self._split_params(params)
        with fit_task(self, X, y, n_steps=2) as task:
            self.selector_ = clone(self.selector)
            with task.step("select", inner=self.selector_):
                self.selector_.fit(X, y, **of_selector)
            rows = self._with_all_classes(
                self.selector_.sample_indices_, y, of_selector.get("sample_domain")
            )
            of_estimator = _check_method_params(X, of_estimator, indices=rows)
            self.estimator_ = clone(self.estimator)
            with task.step("fit-estimator", inner=self.estimator_):
                self.estimator_.fit(
                    _safe_indexing(X, rows),
                    None if y is None else _safe_indexing(y, rows),
                    **of_estimator,
                )
        self.sample_indices_ = rows
        self._take_feature_names()
        return self

    def _split_params(self, params):
        """Return what the selector's fit takes, and what the estimator's does."""
        if _routing_enabled():
            routed = process_routing(self, "fit", **params)
            return dict(routed.selector.fit), dict(routed.estimator.fit)
        of_selector = {
            name: value
            for name, value in params.items()
            if name in signature(self.selector.fit).parameters
            and name != "sample_weight"
        }
        of_estimator = {
            name: value
            for name, value in params.items()
            if name not in of_selector or has_fit_parameter(self.estimator, name)
        }
        return of_selector, of_estimator

    def _with_all_classes(self, rows, y, sample_domain):
        """Append the first row of each class of the pool that has none in ``rows``."""
        n_columns = y.shape[1] if np.ndim(y) == 2 else 1
        if y is None or not is_classifier(self.estimator) or n_columns > 1:
            return rows
        pool, _ = split_domains(sample_domain, _num_samples(y))
        labels = column_or_1d(_safe_indexing(y, pool))
        classes, first = np.unique(labels, return_index=True)
        chosen = column_or_1d(_safe_indexing(y, rows))
        is_lost = ~np.isin(classes, chosen)
        return np.concatenate([rows, np.sort(pool[first[is_lost]])])

    def get_metadata_routing(self):
        """Get how metadata is passed on to selector and estimator.

        Returns
        -------
        MetadataRouter
        """
        to_fit = MethodMapping().add(caller="fit", callee="fit")
        return (
            super()
            .get_metadata_routing()
            .add(selector=self.selector, method_mapping=to_fit)
        )

    def __sklearn_tags__(self):
        tags, of_selector = super().__sklearn_tags__(), get_tags(self.selector)
        tags.input_tags.sparse &= of_selector.input_tags.sparse
        tags.input_tags.allow_nan &= of_selector.input_tags.allow_nan
        return tags
