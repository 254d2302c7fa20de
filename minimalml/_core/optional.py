"""Import what is optional, or say in one sentence how to get it."""

import importlib


def import_optional(module, *, who, extra):
    """Import ``module``, needed by ``who`` and installed by the extra ``extra``.

    Parameters
    ----------
    module : str
        Dotted name of the module to import.

    who : str
        What needs it: the estimator or function that the user called.

    extra : str
        The extra of minimalml that installs it.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    ImportError
        If the package is not installed, naming the command to type.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise  # the package is there, something that it imports is not
        raise ImportError(
            f"{who} needs {package}, which is not installed: run "
            f"pip install 'minimalml[{extra}]'."
        ) from error


def import_pyplot(who):
    """Import ``matplotlib.pyplot`` for the display ``who``."""
    return import_optional("matplotlib.pyplot", who=who, extra="plot")
