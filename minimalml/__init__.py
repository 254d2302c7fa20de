"""Simple methods that beat complicated ones, as scikit-learn estimators.

Each family of methods is a sub-package, imported when first used:
``minimalml.resampling``, ``minimalml.compression`` and so on; ``python -m minimalml methods``
lists them all.
"""

import importlib
import pkgutil

__version__ = "0.1.0.dev0"

_SUBPACKAGES = {
    module.name
    for module in pkgutil.iter_modules(__path__)
    if module.ispkg and not module.name.startswith("_")
}

__all__ = ["__version__", "show_versions", *sorted(_SUBPACKAGES)]


def __getattr__(name):
    if name in _SUBPACKAGES:
        return importlib.import_module(f"minimalml.{name}")
    if name == "show_versions":
        from minimalml._core.versions import show_versions

        return show_versions
    raise AttributeError(f"module 'minimalml' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
