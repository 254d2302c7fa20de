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

EXAMPLES = 10 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 2
OPTIONS = {
    check_fit_is_repeatable: {"examples": EXAMPLES},
    check_input_not_modified: {"examples": EXAMPLES},
}


@first_in_full(
    parametrize_with_properties(
        all_estimators(),
        properties=[*UNIVERSAL, *CONVENTIONS],
        expected_failed_properties=expected_failed_properties,
    )
)
def test_universal_properties(estimator, check):
    check(estimator, **OPTIONS.get(check, {}))
