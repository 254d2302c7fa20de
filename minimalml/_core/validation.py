"""scikit-learn's validation tools, those from private modules included.

Every contrib package imports these private names; here it is done in one place, so
that a move upstream is one edit.
"""

from numbers import Integral, Real

from sklearn.base import _fit_context
from sklearn.metrics.pairwise import _VALID_METRICS
from sklearn.utils._metadata_requests import SIMPLE_METHODS, _MetadataRequester
from sklearn.utils._param_validation import (
    HasMethods,
    Hidden,
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)
from sklearn.utils.validation import (
    _check_feature_names_in,
    _check_method_params,
    _check_response_method,
    _check_sample_weight,
    _check_y,
    check_is_fitted,
    has_fit_parameter,
    validate_data,
)

check_feature_names_in = _check_feature_names_in
check_method_params = _check_method_params
check_response_method = _check_response_method
check_sample_weight = _check_sample_weight
check_y = _check_y
MetadataRequester = _MetadataRequester
# Distances between two sets of rows, without NaN.
PAIRWISE_METRIC = [
    StrOptions(set(_VALID_METRICS) - {"precomputed", "nan_euclidean"}),
    callable,
]

__all__ = [
    "PAIRWISE_METRIC",
    "SIMPLE_METHODS",
    "HasMethods",
    "Hidden",
    "Integral",
    "Interval",
    "InvalidParameterError",
    "MetadataRequester",
    "Options",
    "Real",
    "StrOptions",
    "_fit_context",
    "check_feature_names_in",
    "check_is_fitted",
    "check_method_params",
    "check_response_method",
    "check_sample_weight",
    "check_y",
    "has_fit_parameter",
    "validate_data",
    "validate_parameter_constraints",
    "validate_params",
]
