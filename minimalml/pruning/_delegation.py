# SPDX-License-Identifier: BSD-3-Clause
"""What a pruner hands on to the estimator that it pruned: methods, tags, metadata."""

from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.metaestimators import available_if

from minimalml._core.arrays import is_torch_module
from minimalml._core.validation import check_is_fitted


def _estimator_has(method):
    def check(self):
        estimator = getattr(self, "estimator_", None)
        getattr(self._estimator() if estimator is None else estimator, method)
        return True

    return check


class DelegatesToPruned:
    """Methods of ``estimator_``, where it has them.

    The class must have ``_estimator()``, the unfitted estimator.
    """

    @property
    def classes_(self):
        """Classes of the pruned classifier."""
        return self.estimator_.classes_

    @available_if(_estimator_has("predict"))
    def predict(self, X):
        """Predict with the pruned estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X):
        """Predict class probabilities with the pruned estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X):
        """Predict logarithms of class probabilities with the pruned estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        check_is_fitted(self)
        return self.estimator_.predict_log_proba(X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X):
        """Compute decision values with the pruned estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

    @available_if(_estimator_has("transform"))
    def transform(self, X):
        """Transform with the pruned estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_features_out)
        """
        check_is_fitted(self)
        return self.estimator_.transform(X)

    @available_if(_estimator_has("score"))
    def score(self, X, y=None, **params):
        """Score the pruned estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None

        **params : dict
            Passed to the estimator's ``score``.

        Returns
        -------
        float
        """
        check_is_fitted(self)
        return self.estimator_.score(X, y, **self._route("score", params))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if is_torch_module(self.estimator):
            return tags
        inner = get_tags(self._estimator())
        for name in ("estimator_type", "classifier_tags", "regressor_tags",
                     "transformer_tags", "target_tags", "non_deterministic"):  # fmt: skip
            setattr(tags, name, getattr(inner, name))
        for name in ("sparse", "allow_nan", "positive_only", "string", "categorical"):
            setattr(tags.input_tags, name, getattr(inner.input_tags, name))
        return tags

    def get_metadata_routing(self):
        """Get how metadata is passed on to the estimator.

        Returns
        -------
        MetadataRouter
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        mapping.add(caller="score", callee="score")
        router = MetadataRouter(owner=self)
        return router.add(estimator=self._estimator(), method_mapping=mapping)

    def _route(self, method, params):
        if _routing_enabled():
            return process_routing(self, method, **params).estimator[method]
        return params
