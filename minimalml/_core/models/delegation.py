"""What a meta-estimator hands on to the estimator inside: methods, tags, metadata, rows.

`RoutingMixin` is for any meta-estimator with a parameter ``estimator``,
`DelegatingMixin` for one whose ``estimator_`` is a model of the same kind.
"""

from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
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

TAGS = ("estimator_type", "classifier_tags", "regressor_tags", "transformer_tags",
        "target_tags", "non_deterministic")  # fmt: skip
INPUT_TAGS = ("sparse", "allow_nan", "positive_only", "string", "categorical")

DOCSTRING = """{does} with the fitted estimator.

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
        estimator = self._estimator() if estimator is None else estimator
        if is_torch_module(estimator):  # whose layers may bear any name
            return False
        getattr(estimator, method)
        return True

    return check


def delegated(method, does, returns):
    """Make a method of ``X`` that calls ``estimator_``'s, where that has it.

    Parameters
    ----------
    method : str
        Its name.

    does : str
        What it does, as "Predict".

    returns : str
        What it returns, as the section of the docstring says.
    """

    def call(self, X):
        check_is_fitted(self)
        return getattr(self.estimator_, method)(self._rows_for_estimator(X))

    call.__name__, call.__qualname__ = method, f"DelegatingMixin.{method}"
    call.__doc__ = DOCSTRING.format(does=does, returns=returns)
    return available_if(_estimator_has(method))(call)


class RoutingMixin:
    """Metadata given to ``fit`` goes to the estimator inside.

    ``self._route("fit", params)`` returns what its ``fit`` takes. A class whose
    parameter ``estimator`` may be None overrides ``_estimator``.
    """

    _routed_methods = ("fit",)

    def _estimator(self):
        return self.estimator

    def get_metadata_routing(self):
        """Get how metadata is passed on to the estimator.

        Returns
        -------
        MetadataRouter
        """
        mapping = MethodMapping()
        for method in self._routed_methods:
            mapping.add(caller=method, callee=method)
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(estimator=self._estimator(), method_mapping=mapping)

    def _route(self, method, params):
        if _routing_enabled():
            return process_routing(self, method, **params).estimator[method]
        return params


class DelegatingMixin(RoutingMixin):
    """Methods, tags and classes of ``estimator_``, where it has them."""

    _routed_methods = ("fit", "score")
    # Pipeline.score asks for it, None at least; whether it is used, the estimator decides
    __metadata_request__score = {"sample_weight": True}

    predict = delegated(
        "predict", "Predict", "ndarray of shape (n_samples,) or (n_samples, n_outputs)"
    )
    predict_proba = delegated(
        "predict_proba",
        "Predict class probabilities",
        "ndarray of shape (n_samples, n_classes)",
    )
    predict_log_proba = delegated(
        "predict_log_proba",
        "Predict logarithms of class probabilities",
        "ndarray of shape (n_samples, n_classes)",
    )
    decision_function = delegated(
        "decision_function",
        "Compute decision values",
        "ndarray of shape (n_samples,) or (n_samples, n_classes)",
    )
    transform = delegated(
        "transform", "Transform", "array of shape (n_samples, n_features_out)"
    )

    @available_if(_estimator_has("score"))
    def score(self, X, y=None, sample_weight=None, **params):
        """Score the fitted estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to predict.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Their targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows, where the estimator's ``score`` takes them.

        **params : dict
            Passed to the estimator's ``score``.

        Returns
        -------
        float
        """
        check_is_fitted(self)
        X = self._rows_for_estimator(X)
        # Pipeline.score routes None, which not every score takes
        if sample_weight is not None:
            params["sample_weight"] = sample_weight
        return self.estimator_.score(X, y, **self._route("score", params))

    @property
    def classes_(self):
        """Classes of the fitted classifier."""
        return self.estimator_.classes_

    def _rows_for_estimator(self, X):
        """Return rows as ``estimator_`` saw them in fit; here, as they are given."""
        return X

    def _take_feature_names(self):
        """Set ``n_features_in_`` and ``feature_names_in_`` as ``estimator_`` has them."""
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
            elif hasattr(self, name):
                delattr(self, name)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if is_torch_module(self._estimator()):
            return tags
        inner = get_tags(self._estimator())
        for name in TAGS:
            setattr(tags, name, getattr(inner, name))
        for name in INPUT_TAGS:
            setattr(tags.input_tags, name, getattr(inner.input_tags, name))
        return tags


def inner_model(model):
    """Return the fitted model that ``model`` hands its rows to, None if there is none.

    The last step of a Pipeline, what a FrozenEstimator holds, ``best_estimator_`` of a
    search and ``estimator_`` of other meta-estimators; but not of ensembles, which keep
    a template there and their members in ``estimators_``.
    """
    if isinstance(model, Pipeline):
        return model.steps[-1][1]
    if isinstance(model, FrozenEstimator):
        return model.estimator
    attributes = getattr(model, "__dict__", {})
    if is_torch_module(model) or "estimators_" in attributes:
        return None
    for name in ("best_estimator_", "estimator_"):
        inner = attributes.get(name)
        if hasattr(inner, "fit") or is_torch_module(inner):
            return inner
    return None


def last_step(model):
    """Return the innermost fitted model of pipelines and other meta-estimators."""
    inner = inner_model(model)
    return model if inner is None else last_step(inner)


def rows_of_last_step(model, X):
    """Return the rows as `last_step` sees them, transformed by the steps before it."""
    inner = inner_model(model)
    if inner is None:
        return X
    if isinstance(model, Pipeline) and len(model) > 1:
        X = model[:-1].transform(X)
    elif isinstance(model, RFE):
        X = model.transform(X)
    return rows_of_last_step(inner, X)


def sample_weight_of_last_step(model, params):
    """Find the sample weights of `last_step` among what ``fit`` was given, or None."""
    name = "sample_weight"
    while name not in params and model is not None:
        if isinstance(model, Pipeline):
            prefix = name.removesuffix("sample_weight")
            name = f"{prefix}{model.steps[-1][0]}__sample_weight"
        model = inner_model(model)
    return params.get(name)
