"""scikit-learn's checks that an estimator is allowed to fail, each with its reason.

The checks run strictly: one that is listed here and passes fails the suite, so the
list can't rot.
"""

START_DEPENDS_ON_PLACE = "the first perturbation depends on a row's place in X"


def _quad_attack(estimator):
    if estimator.estimator is None:  # a linear model: exact, no first perturbation
        return {}
    return {
        "check_methods_sample_order_invariance": START_DEPENDS_ON_PLACE,
        "check_methods_subset_invariance": START_DEPENDS_ON_PLACE,
    }


def _c_mixup_regressor(estimator):
    kinds = ["dense", "sparse"] if estimator.estimator is not None else ["dense"]
    return {
        f"check_sample_weight_equivalence_on_{kind}_data": (
            "partners are drawn at random: repeated rows draw others than weighted ones"
        )
        for kind in kinds
    }


TWO_COLUMNS = {
    "check_classifier_multioutput": (
        "a label has two columns, attribute and object: the check draws more"
    )
}

# class name -> {check name: reason}, or a function from estimator to that
EXPECTED_FAILED_CHECKS = {
    "CompositionalZeroShotClassifier": TWO_COLUMNS,
    "IndependentPrimitives": TWO_COLUMNS,
    "CMixupMLPRegressor": {
        "check_sample_weight_equivalence_on_dense_data": (
            "batches and partners are drawn at random: repeated rows draw others"
        ),
    },
    "CMixupRegressor": _c_mixup_regressor,
    "QuadAttack": _quad_attack,
}


def expected_failed_checks(estimator):
    """Return the checks that ``estimator`` may fail, with reasons."""
    failures = EXPECTED_FAILED_CHECKS.get(type(estimator).__name__, {})
    return failures(estimator) if callable(failures) else failures


# class name -> {property check name: reason}, for tests/test_properties.py
EXPECTED_FAILED_PROPERTIES = {}


def expected_failed_properties(estimator):
    """Return the properties that ``estimator`` may break, with reasons."""
    return EXPECTED_FAILED_PROPERTIES.get(type(estimator).__name__, {})
