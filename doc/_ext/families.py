"""Directives that follow the families by themselves.

``.. families::`` shows a card for each family with its methods, from methods.toml and
the pages ``doc/FAMILY/index.rst``; ``.. family-pages::`` is the table of contents of
those pages. A new family needs no edit here.
"""

import importlib
import itertools
from pathlib import Path

from sphinx.util.docutils import SphinxDirective

import minimalml
from minimalml._methods import load_methods

DOC = Path(__file__).parents[1]


def documented_families():
    """Public sub-packages that have a page, methods' families before side rooms."""
    with_methods = {method.family for method in load_methods()}
    rooms = [r for r in minimalml._SUBPACKAGES if (DOC / r / "index.rst").exists()]
    return sorted(rooms, key=lambda room: (room not in with_methods, room))


def page_title(family):
    """First heading of a family's page."""
    lines = (DOC / family / "index.rst").read_text("utf-8").splitlines()
    for line, underline in itertools.pairwise(lines):
        if line.strip() and underline.strip() and set(underline.strip()) <= set("=-~"):
            return line.strip()
    return family


def first_paragraph(family):
    """What the family is for: the summary line of its package."""
    return importlib.import_module(f"minimalml.{family}").__doc__.splitlines()[0]


def card(family):
    """The lines of one sphinx-design card."""
    lines = [
        f".. grid-item-card:: {page_title(family)}",
        f"   :link: /{family}/index",
        "   :link-type: doc",
        "   :class-card: family-card",
        "",
        f"   {first_paragraph(family)}",
        "",
    ]
    methods = [m for m in load_methods() if m.family == family]
    for method in methods:
        lines += [f"   - **{method.name}**: {method.claim}"]
    return [*lines, ""]


class Families(SphinxDirective):
    def run(self):
        families = documented_families()
        if not families:
            return self.parse_text_to_nodes("No family has a page yet.")
        lines = [".. grid:: 1 1 2 2", "   :gutter: 3", ""]
        for family in families:
            lines += [f"   {line}".rstrip() for line in card(family)]
        return self.parse_text_to_nodes("\n".join(lines))


class FamilyPages(SphinxDirective):
    def run(self):
        pages = [f"   /{family}/index" for family in documented_families()]
        options = ["   :maxdepth: 2", "   :titlesonly:"]
        lines = [".. toctree::", *options, "", *pages]
        return self.parse_text_to_nodes("\n".join(lines)) if pages else []


def setup(app):
    app.add_directive("families", Families)
    app.add_directive("family-pages", FamilyPages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
