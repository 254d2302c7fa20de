"""scikit-learn's own checks on every estimator of the package."""

import importlib
import inspect

import pytest
from numpydoc.docscrape import ClassDoc
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.estimators import (
    all_estimators,
    expected_failed_checks,
    first_in_full,
    gathered,
    public_estimator_classes,
    public_families,
)


@first_in_full(
    parametrize_with_checks(
        all_estimators(),
        expected_failed_checks=expected_failed_checks,
        xfail_strict=True,
    )
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "table",
    [
        "INSTANCES",
        "NEEDS_TORCH",
        "OWN_DOMAIN",
        "EXPECTED_FAILED_CHECKS",
        "EXPECTED_FAILED_PROPERTIES",
        "ROW_VALUES",
    ],
)
def test_instances_name_public_estimators(table):
    assert set(gathered(table)) <= set(public_estimator_classes())


@pytest.mark.parametrize(
    "cls",
    public_estimator_classes().values(),
    ids=lambda c: c.__name__,
)
def test_docstring_documents_each_parameter_in_order(cls):
    documented = [p.name for p in ClassDoc(cls)["Parameters"]]
    assert documented == list(inspect.signature(cls).parameters)


@pytest.mark.parametrize("family", public_families())
def test_public_names_exist(family):
    package = importlib.import_module(f"minimalml.{family}")
    missing = [name for name in package.__all__ if not hasattr(package, name)]
    assert not missing
