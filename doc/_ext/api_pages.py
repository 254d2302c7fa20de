"""Write ``doc/api/index.rst``: every public name of every public sub-package.

autosummary looks for its directives in files, so this is written before it looks.
"""

import importlib
import inspect
from pathlib import Path

import minimalml

FOLDER = Path(__file__).parents[1] / "api"
HEAD = """\
.. Written by doc/_ext/api_pages.py at each build.

API reference
=============

.. currentmodule:: minimalml

.. autosummary::
   :toctree: .
   :template: function.rst

   show_versions
"""


def section(family):
    """The lines of one sub-package, classes before functions."""
    package = importlib.import_module(f"minimalml.{family}")
    lines = ["", f"minimalml.{family}", "-" * len(f"minimalml.{family}"), ""]
    lines += [package.__doc__.strip(), "", f".. currentmodule:: minimalml.{family}"]
    for kind, template in ((True, "class.rst"), (False, "function.rst")):
        names = [
            n for n in package.__all__ if inspect.isclass(getattr(package, n)) == kind
        ]
        if names:
            lines += ["", ".. autosummary::", "   :toctree: ."]
            lines += [f"   :template: {template}", ""]
            lines += [f"   {name}" for name in sorted(names)]
    return lines


def write_api_page(app, config):
    FOLDER.mkdir(exist_ok=True)
    lines = HEAD.splitlines()
    for family in sorted(minimalml._SUBPACKAGES):
        lines += section(family)
    text = "\n".join(lines) + "\n"
    page = FOLDER / "index.rst"
    if not page.exists() or page.read_text("utf-8") != text:
        page.write_text(text, "utf-8")


def setup(app):
    app.connect("config-inited", write_api_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
