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

DOCSTRING = """{does} with the pruned estimator.

Parameters
----------
X : array-like of shape (n_samples, n_features)
    Rows, as the estimator takes them.

Returns
-------
{returns}
"""


def _estimator_has(method):
    def check(self):
        estimator = getattr(self, "estimator_", None)
        getattr(self._estimator() if estimator is None else estimator, method)
        return True

    return check


def _delegated(method, does, returns):
    """Make the method that calls ``estimator_``'s of the same name."""

    def call(self, X):
        check_is_fitted(self)
        return getattr(self.estimator_, method)(X)

    call.__name__, call.__qualname__ = method, f"GlobalMagnitudePruner.{method}"
    call.__doc__ = DOCSTRING.format(does=does, returns=returns)
    return available_if(_estimator_has(method))(call)


class DelegatesToPruned:
    """Methods of ``estimator_``, where it has them.

    The class must have ``_estimator()``, the unfitted estimator.
    """

    predict = _delegated(
        "predict", "Predict", "ndarray of shape (n_samples,) or (n_samples, n_outputs)"
    )
    predict_proba = _delegated(
        "predict_proba",
        "Predict class probabilities",
        "ndarray of shape (n_samples, n_classes)",
    )
    predict_log_proba = _delegated(
        "predict_log_proba",
        "Predict logarithms of class probabilities",
        "ndarray of shape (n_samples, n_classes)",
    )
    decision_function = _delegated(
        "decision_function",
        "Compute decision values",
        "ndarray of shape (n_samples,) or (n_samples, n_classes)",
    )
    transform = _delegated(
        "transform", "Transform", "array of shape (n_samples, n_features_out)"
    )

    @property
    def classes_(self):
        """Classes of the pruned classifier."""
        return self.estimator_.classes_

    @available_if(_estimator_has("score"))
    def score(self, X, y=None, **params):
        """Score the pruned estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to predict.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Their targets.

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
