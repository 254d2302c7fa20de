"""Write ``doc/api``: a page for each public sub-package, with all its public names.

autosummary looks for its directives in files, so these are written before it looks.
"""

import importlib
import inspect
from pathlib import Path

import minimalml

FOLDER = Path(__file__).parents[1] / "api"
INDEX = """\
API reference
=============

Each family of methods is a sub-package, imported when it is first used.

.. list-table::
   :widths: 30 70

{rows}

.. toctree::
   :hidden:

{pages}

For a bug report
----------------

.. currentmodule:: minimalml

.. autosummary::
   :toctree: .

   show_versions
"""


def index_page():
    """Return the page of all sub-packages, each with what it is for."""
    rows, pages = [], []
    for family in sorted(minimalml._SUBPACKAGES):
        package = importlib.import_module(f"minimalml.{family}")
        rows += [f"   * - :doc:`minimalml.{family} <{family}>`"]
        rows += [f"     - {inspect.cleandoc(package.__doc__).splitlines()[0]}"]
        # In the contents, "minimalml." would only break the line
        pages += [f"   {family} <{family}>"]
    return INDEX.format(rows="\n".join(rows), pages="\n".join(pages))


def family_page(family):
    """Return the page of one sub-package, classes before functions."""
    package = importlib.import_module(f"minimalml.{family}")
    title = f"minimalml.{family}"
    lines = [title, "=" * len(title), "", f".. module:: {title}", ""]
    lines += [inspect.cleandoc(package.__doc__)]
    for heading, is_class in (("Classes", True), ("Functions", False)):
        names = [
            name
            for name in sorted(package.__all__)
            if inspect.isclass(getattr(package, name)) == is_class
        ]
        if names:
            lines += ["", heading, "-" * len(heading), ""]
            lines += [".. autosummary::", "   :toctree: .", ""]
            lines += [f"   {name}" for name in names]
    return "\n".join(lines) + "\n"


def write_if_changed(path, text):
    """Keep the file's date where nothing changed, so that sphinx builds it once."""
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def write_api_pages(app, config):
    FOLDER.mkdir(exist_ok=True)
    write_if_changed(FOLDER / "index.rst", index_page())
    for family in minimalml._SUBPACKAGES:
        write_if_changed(FOLDER / f"{family}.rst", family_page(family))


def setup(app):
    app.connect("config-inited", write_api_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
