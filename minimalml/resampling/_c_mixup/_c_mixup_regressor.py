"""C-Mixup around any regressor (Yao et al., NeurIPS 2022)."""

import warnings

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples

from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.validation import (
    HasMethods,
    _fit_context,
    check_is_fitted,
    has_fit_parameter,
    validate_data,
)
from minimalml.resampling._c_mixup._c_mixup import RESAMPLER_CONSTRAINTS, CMixup
from minimalml.resampling._c_mixup._documentation import document_mixing


def _inner_has(name):
    """Whether the fitted regressor, or else the one to be fitted, has a method."""

    def check(self):
        getattr(getattr(self, "estimator_", None) or self._template(), name)
        return True

    return check


def _fitted(name, text):
    """Return a property that reads an attribute of the fitted regressor."""

    def read(self):
        if "estimator_" not in vars(self):
            raise AttributeError(f"{name} is available after fit.")
        return getattr(self.estimator_, name)

    return property(read, doc=text)


@document_mixing
class CMixupRegressor(
    CallbackSupportMixin, MetaEstimatorMixin, RegressorMixin, BaseEstimator
):
    """Fit any regressor on rows mixed from pairs whose labels are close.

    `CMixup` and a regressor in one, for scikit-learn's own pipelines and searches. Search
    over ``bandwidth``, ``alpha``, ``ratio`` and ``estimator__*``: which of them helps
    depends on the data, and ``ratio=0`` (no mixing) belongs in the search.

    Parameters
    ----------
    estimator : regressor, default=None
        What is fitted; None stands for `HistGradientBoostingRegressor`.

    Attributes
    ----------
    estimator_ : regressor
        Fitted on the mixed rows.

    resampler_ : CMixup
        What made them: ``sample_indices_`` and ``mixing_`` are there.

    See Also
    --------
    CMixup : The resampler alone.

    Notes
    -----
    The weight of a mixed row is ``lambda w_i + (1 - lambda) w_j``. It is passed on if
    the regressor takes ``sample_weight``; if not, weights still decide who is drawn as
    a partner, and a warning says so.

    References
    ----------
    .. [1] H. Yao, Y. Wang, L. Zhang, J. Zou, C. Finn, "C-Mixup: Improving
       Generalization in Regression", NeurIPS 2022. arXiv:2210.05775

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from minimalml.resampling import CMixupRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = CMixupRegressor(Ridge(alpha=0.1), random_state=0).fit(X, y)
    >>> round(model.score(X, y), 1)
    0.5
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        **RESAMPLER_CONSTRAINTS,
    }

    def __init__(
        self,
        estimator=None,
        *,
        ratio=1.0,
        keep_original=True,
        alpha=2.0,
        lambda_per="pair",
        categorical_features=None,
        bandwidth=0.5,
        kernel="gaussian",
        standardize_target=True,
        metric="target",
        input_bandwidth=None,
        exclude_self=False,
        max_neighbors=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.ratio = ratio
        self.keep_original = keep_original
        self.alpha = alpha
        self.lambda_per = lambda_per
        self.categorical_features = categorical_features
        self.bandwidth = bandwidth
        self.kernel = kernel
        self.standardize_target = standardize_target
        self.metric = metric
        self.input_bandwidth = input_bandwidth
        self.exclude_self = exclude_self
        self.max_neighbors = max_neighbors
        self.random_state = random_state

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, groups=None, **fit_params):
        """Mix the rows and fit the regressor on them.

        Parameters
        ----------
        X, y, sample_weight, groups
            As in `CMixup.fit_resample`.

        **fit_params : dict
            Passed to the regressor's fit. One value a row can't be mixed, and is
            refused.

        Returns
        -------
        self : CMixupRegressor
        """
        validate_data(self, X, y, skip_check_array=True, ensure_2d=False)
        fit_params, passes_weight = self._route(y, sample_weight, groups, fit_params)
        rng = check_random_state(self.random_state)
        self.resampler_ = CMixup(**{n: getattr(self, n) for n in RESAMPLER_CONSTRAINTS})
        self.resampler_.set_params(random_state=rng.randint(2**31 - 1))
        self.estimator_ = clone(self._template())
        if self.estimator is None:
            self.estimator_.set_params(random_state=rng.randint(2**31 - 1))
        X_new, y_new = self.resampler_.fit_resample(
            X, y, sample_weight=sample_weight, groups=groups
        )
        self.n_features_in_ = self.resampler_.n_features_in_
        if passes_weight:
            fit_params["sample_weight"] = self.resampler_.sample_weight_

        with (
            fit_task(self, X, y, n_steps=1) as task,
            task.step("fit-estimator", inner=self.estimator_),
        ):
            self.estimator_.fit(X_new, y_new, **fit_params)
        return self

    def _template(self):
        if self.estimator is not None:
            return self.estimator
        default = HistGradientBoostingRegressor()
        if get_config()["enable_metadata_routing"]:
            default.set_fit_request(sample_weight=True)
        return default

    def _route(self, y, sample_weight, groups, fit_params):
        """Parameters of the regressor's fit, and whether it takes weights."""
        takes_weight = has_fit_parameter(self._template(), "sample_weight")
        is_routed = takes_weight
        if get_config()["enable_metadata_routing"]:
            given = {"sample_weight": sample_weight, "groups": groups}
            given = {name: value for name, value in given.items() if value is not None}
            routed = process_routing(self, "fit", **given, **fit_params)
            fit_params = dict(routed.estimator.fit)
            is_routed = fit_params.pop("sample_weight", None) is not None
        _refuse_row_metadata(fit_params, n_samples=_num_samples(y))
        if sample_weight is not None and not (takes_weight or is_routed):
            warnings.warn(
                f"{type(self._template()).__name__} takes no sample_weight: the weights "
                "decide who is drawn as a partner, but not how much a row counts.",
                UserWarning,
                stacklevel=3,
            )
        return fit_params, is_routed and sample_weight is not None

    @available_if(_inner_has("predict"))
    def predict(self, X, **predict_params):
        """Predict with the fitted regressor.

        Parameters
        ----------
        X : array-like, CSR matrix or DataFrame of shape (n_samples, n_features)
            Inputs.

        **predict_params : dict
            Passed to the regressor's predict.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            What the regressor returns.
        """
        check_is_fitted(self)
        # names only: the regressor counts and converts
        X = validate_data(self, X, reset=False, skip_check_array=True, ensure_2d=False)
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "predict", **predict_params)
            predict_params = routed.estimator.predict
        return self.estimator_.predict(X, **predict_params)

    @available_if(_inner_has("staged_predict"))
    def staged_predict(self, X):
        """Predict after each stage of a boosted regressor.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        iterator of ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        return self.estimator_.staged_predict(X)

    @available_if(_inner_has("transform"))
    def transform(self, X):
        """Transform with the fitted regressor, such as a partial least squares.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
        """
        check_is_fitted(self)
        return self.estimator_.transform(X)

    coef_ = _fitted("coef_", "Coefficients of a fitted linear regressor.")
    intercept_ = _fitted("intercept_", "Intercept of a fitted linear regressor.")
    feature_importances_ = _fitted(
        "feature_importances_", "Importances of a fitted forest or boosted regressor."
    )

    def get_metadata_routing(self):
        """Return how `sample_weight`, `groups` and the regressor's metadata travel.

        Returns
        -------
        MetadataRouter
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        mapping = mapping.add(caller="predict", callee="predict")
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(estimator=self._template(), method_mapping=mapping)

    def __sklearn_tags__(self):
        tags, inner = super().__sklearn_tags__(), get_tags(self._template())
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        tags.input_tags.allow_nan &= self.metric == "target"
        tags.input_tags.positive_only = inner.input_tags.positive_only
        tags.target_tags.multi_output = inner.target_tags.multi_output
        tags.target_tags.positive_only = inner.target_tags.positive_only
        tags.regressor_tags = inner.regressor_tags
        return tags


def _refuse_row_metadata(fit_params, n_samples):
    for name, value in fit_params.items():
        if np.ndim(value) > 0 and len(value) == n_samples:
            raise ValueError(
                f"{name} has one value a row, which mixed rows don't have: pass only "
                "sample_weight and groups, or fit the regressor without mixing."
            )
