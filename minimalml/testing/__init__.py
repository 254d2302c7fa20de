"""Property tests for any scikit-learn estimator, yours included.

Hypothesis strategies for data with nasty corners; checks of properties that scikit-learn
does not check, each with a failure message in plain words; and a pytest decorator that
runs them on many estimators. Start at :func:`parametrize_with_properties`.
"""

from minimalml.testing._bag_checks import (
    check_bag_score_is_monotone,
    check_respects_mil_assumption,
)
from minimalml.testing._parametrize import (
    check_properties,
    parametrize_with_properties,
)
from minimalml.testing._strategies import (
    bag_data,
    classification_data,
    feature_matrices,
    regression_data,
)
from minimalml.testing._symmetry_checks import (
    check_feature_permutation,
    check_label_renaming,
    check_row_permutation,
    check_sample_weight_is_repetition,
    check_target_affine_equivariance,
    check_zero_weight_is_removal,
)
from minimalml.testing._universal_checks import (
    check_fit_is_repeatable,
    check_input_not_modified,
    check_layout_invariance,
    check_pickle_round_trip,
    check_pipeline_grid_search,
    check_thread_count_invariance,
)

__all__ = [
    "bag_data",
    "check_bag_score_is_monotone",
    "check_feature_permutation",
    "check_fit_is_repeatable",
    "check_input_not_modified",
    "check_label_renaming",
    "check_layout_invariance",
    "check_pickle_round_trip",
    "check_pipeline_grid_search",
    "check_properties",
    "check_respects_mil_assumption",
    "check_row_permutation",
    "check_sample_weight_is_repetition",
    "check_target_affine_equivariance",
    "check_thread_count_invariance",
    "check_zero_weight_is_removal",
    "classification_data",
    "feature_matrices",
    "parametrize_with_properties",
    "regression_data",
]
