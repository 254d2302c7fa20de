"""The properties that hold for every estimator, on every estimator of the package."""

from minimalml.testing import parametrize_with_properties
from tests.estimators import all_estimators, expected_failed_properties


@parametrize_with_properties(
    all_estimators(), expected_failed_properties=expected_failed_properties
)
def test_universal_properties(estimator, check):
    check(estimator)
