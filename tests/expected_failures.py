"""scikit-learn's checks that an estimator is allowed to fail, each with its reason.

The checks run strictly: one that is listed here and passes fails the suite, so the
list can't rot.
"""

# class name -> {check name: reason}
EXPECTED_FAILED_CHECKS = {
    **dict.fromkeys(
        ("CompositionalZeroShotClassifier", "IndependentPrimitives"),
        {
            "check_classifier_multioutput": (
                "a label has two columns, attribute and object: the check draws more"
            ),
        },
    ),
    "CMixupMLPRegressor": {
        "check_sample_weight_equivalence_on_dense_data": (
            "batches and partners are drawn at random: repeated rows draw others"
        ),
    },
    "CMixupRegressor": {
        "check_sample_weight_equivalence_on_dense_data": (
            "partners are drawn at random: repeated rows draw others than weighted ones"
        ),
    },
}


def expected_failed_checks(estimator):
    """Return the checks that ``estimator`` may fail, with reasons."""
    return EXPECTED_FAILED_CHECKS.get(type(estimator).__name__, {})


# class name -> {property check name: reason}, for tests/test_properties.py
EXPECTED_FAILED_PROPERTIES = {}


def expected_failed_properties(estimator):
    """Return the properties that ``estimator`` may break, with reasons."""
    return EXPECTED_FAILED_PROPERTIES.get(type(estimator).__name__, {})
