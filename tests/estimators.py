"""Every public estimator of the package, found by itself."""

import importlib
import inspect
import pkgutil

from sklearn.base import BaseEstimator

import minimalml


def public_families():
    """Names of the public sub-packages."""
    return sorted(
        module.name
        for module in pkgutil.iter_modules(minimalml.__path__)
        if module.ispkg and not module.name.startswith("_")
    )


def public_estimator_classes():
    """All estimator classes that a public sub-package exports."""
    classes = {}
    for family in public_families():
        package = importlib.import_module(f"minimalml.{family}")
        for name in package.__all__:
            value = getattr(package, name)
            if inspect.isclass(value) and issubclass(value, BaseEstimator):
                classes[name] = (family, value)
    return classes


def all_estimators():
    """One instance a class, or those that ``tests/FAMILY/instances.py`` names.

    ``instances.py`` holds ``INSTANCES``, a dictionary from class name to a list of
    estimators: quick settings for networks, several variants for others.
    """
    estimators = []
    for name, (family, cls) in sorted(public_estimator_classes().items()):
        try:
            module = importlib.import_module(f"tests.{family}.instances")
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("tests."):
                raise
            estimators.append(cls())
        else:
            estimators.extend(module.INSTANCES.get(name, [cls()]))
    return estimators
