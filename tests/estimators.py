"""Every public estimator of the package, with what stands in ``instances.py`` of it.

``tests/FAMILY/STEM/instances.py`` may hold, by class name:

- ``INSTANCES``: a list of estimators; quick settings for networks, variants for others.
  The first undergoes all checks, the others those of ``VARIANT_CHECKS``. Without an
  entry it is the class with its defaults.
- ``OWN_DOMAIN``: classes that no common data suit, each with the reason; their tests are
  all their own.
- ``NEEDS_TORCH``: classes that can't be fitted without torch, left out without it.
- ``EXPECTED_FAILED_CHECKS``, ``EXPECTED_FAILED_PROPERTIES``: the checks that a class may
  fail, each with its reason, or a function from estimator to that. The checks run
  strictly: one that is listed and passes fails the suite, so the list can't rot.
- ``ROW_VALUES``: for each parameter of ``fit`` that is not in
  ``tests.conventions.ROW_VALUES``, a function from a number of rows to values, or None
  where it does not hold one a row.
"""

import importlib.util
import inspect
import pkgutil
from functools import cache, partial
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import minimalml

# What an option of an estimator can break: numbers, kinds of input, tags.
VARIANT_CHECKS = {
    "check_classifiers_one_label",
    "check_classifiers_train",
    "check_estimator_sparse_array",
    "check_estimator_sparse_tag",
    "check_estimators_dtypes",
    "check_estimators_nan_inf",
    "check_estimators_pickle",
    "check_fit2d_1sample",
    "check_fit_idempotent",
    "check_fit_is_repeatable",
    "check_float32_stays",
    "check_layout_invariance",
    "check_metadata_routing",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_n_features_in",
    "check_regressors_train",
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
    "check_thread_count_invariance",
    "check_transformer_preserve_dtypes",
}


def public_families():
    """Names of the public sub-packages."""
    return sorted(
        module.name
        for module in pkgutil.iter_modules(minimalml.__path__)
        if module.ispkg and not module.name.startswith("_")
    )


def public_estimator_classes():
    """All estimator classes that a public sub-package exports, by name."""
    classes = {}
    for family in public_families():
        package = importlib.import_module(f"minimalml.{family}")
        for name in package.__all__:
            value = getattr(package, name)
            is_estimator = inspect.isclass(value) and issubclass(value, BaseEstimator)
            if is_estimator and hasattr(value, "fit"):
                classes[name] = value
    return classes


@cache
def instances_modules():
    """All ``tests/FAMILY/STEM/instances.py``, imported."""
    here = Path(__file__).parent
    return [
        importlib.import_module(
            ".".join(("tests", *path.relative_to(here).parts[:-1], "instances"))
        )
        for path in sorted(here.glob("*/*/instances.py"))
    ]


def gathered(name):
    """The dictionaries (or sets) called ``name`` of all instances modules, as one."""
    found = {}
    for module in instances_modules():
        value = getattr(module, name, {})
        found |= value if isinstance(value, dict) else dict.fromkeys(value)
    return found


@cache
def all_estimators():
    """The estimators that undergo the batteries."""
    has_torch = importlib.util.find_spec("torch") is not None
    instances, needs_torch = gathered("INSTANCES"), gathered("NEEDS_TORCH")
    own_domain = gathered("OWN_DOMAIN")
    return [
        estimator
        for name, cls in sorted(public_estimator_classes().items())
        if (has_torch or name not in needs_torch) and name not in own_domain
        for estimator in instances.get(name) or [cls()]
    ]


def first_in_full(parametrization):
    """Keep, for all but the first instance of each class, the ``VARIANT_CHECKS``."""
    names, cases = parametrization.args
    return pytest.mark.parametrize(
        names, [case for case in cases if _concerns(case)], **parametrization.kwargs
    )


def _concerns(case):
    estimator, check = getattr(case, "values", case)
    while isinstance(check, partial):
        check = check.func
    is_first = estimator is _first_instances()[type(estimator)]
    return is_first or check.__name__ in VARIANT_CHECKS


@cache
def _first_instances():
    return {type(estimator): estimator for estimator in reversed(all_estimators())}


def expected_failed_checks(estimator):
    """Checks of scikit-learn that ``estimator`` may fail, with reasons."""
    return _reasons("EXPECTED_FAILED_CHECKS", estimator)


def expected_failed_properties(estimator):
    """Properties that ``estimator`` may break, with reasons."""
    return _reasons("EXPECTED_FAILED_PROPERTIES", estimator)


def _reasons(table, estimator):
    failures = gathered(table).get(type(estimator).__name__, {})
    return failures(estimator) if callable(failures) else failures
