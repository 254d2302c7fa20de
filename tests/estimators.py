"""Every public estimator of the package, found by itself."""

import importlib.util
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
    estimators: quick settings for networks, several variants for others. It may hold
    ``NEEDS_TORCH``, the names of classes that can't be fitted without torch: they are
    left out where it is not installed, and nothing else is.
    """
    has_torch = importlib.util.find_spec("torch") is not None
    estimators = []
    for name, (family, cls) in sorted(public_estimator_classes().items()):
        module = instances_module(family)
        if not has_torch and name in getattr(module, "NEEDS_TORCH", ()):
            continue
        estimators.extend(getattr(module, "INSTANCES", {}).get(name, [cls()]))
    return estimators


def instances_module(family):
    """Return ``tests/FAMILY/instances.py``, or None where a family has none."""
    name = f"tests.{family}.instances"
    if importlib.util.find_spec(f"tests.{family}") is None:
        return None
    return importlib.import_module(name) if importlib.util.find_spec(name) else None
