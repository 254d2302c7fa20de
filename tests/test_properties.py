"""Properties and conventions of every estimator, on every estimator of the package."""

import os

from minimalml.testing import (
    check_fit_is_repeatable,
    check_input_not_modified,
    parametrize_with_properties,
)
from minimalml.testing._parametrize import UNIVERSAL
from tests.conventions import CONVENTIONS
from tests.estimators import (
    all_estimators,
    expected_failed_properties,
    first_in_full,
)

ON_GENERATED_DATA = {check_fit_is_repeatable, check_input_not_modified}
EXAMPLES = 10 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 2


@first_in_full(
    parametrize_with_properties(
        all_estimators(),
        properties=[*UNIVERSAL, *CONVENTIONS],
        expected_failed_properties=expected_failed_properties,
    )
)
def test_universal_properties(estimator, check):
    options = {"examples": EXAMPLES} if check in ON_GENERATED_DATA else {}
    check(estimator, **options)
