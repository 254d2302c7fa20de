"""The directive ``.. claims:: STEM``: what the paper says, what we measured, verdict.

It reads ``benchmarks/STEM/results.json``, which ``python -m minimalml claims
STEM`` writes. Without an argument it shows every method. A result that is not there is
a warning, so a page can't promise what was never run.
"""

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from benchmarks.claims import results_file, results_of
from minimalml._methods import load_methods

logger = logging.getLogger(__name__)
HEADINGS = ("Claim", "Measured here", "Verdict")


def cell(*children):
    return nodes.entry("", *children)


def verdict_badge(verdict):
    slug = verdict.replace(" ", "-")
    return nodes.inline("", verdict, classes=["verdict", f"verdict-{slug}"])


def claims_table(results):
    """One row a claim."""
    group = nodes.tgroup("", cols=len(HEADINGS))
    group += [nodes.colspec(colwidth=1) for _ in HEADINGS]  # minimalml.css has widths
    heading = nodes.row("", *(cell(nodes.paragraph("", h)) for h in HEADINGS))
    group += nodes.thead("", heading)
    body = nodes.tbody()
    for result in results.values():
        body += nodes.row(
            "",
            cell(nodes.paragraph("", result["claim"])),
            cell(*in_parts(result["summary"])),
            cell(nodes.paragraph("", "", verdict_badge(result["verdict"]))),
        )
    group += body
    return nodes.table("", group, classes=["claims"])


def in_parts(summary):
    """A summary as a list, where semicolons part it."""
    parts = summary.split("; ")
    if len(parts) == 1:
        return [nodes.paragraph("", summary)]
    items = [nodes.list_item("", nodes.paragraph("", part)) for part in parts]
    return [nodes.bullet_list("", *items)]


def how_to_repeat(stem, results):
    used = {version_line(result["versions"]): None for result in results.values()}
    text = f" prints these figures again; they were measured with {', or '.join(used)}."
    command = f"python -m minimalml claims {stem}"
    return nodes.paragraph(
        "", "", nodes.literal("", command), nodes.Text(text), classes=["claims-note"]
    )


def version_line(versions):
    *others, last = (f"{name} {number}" for name, number in versions.items())
    return f"{', '.join(others)} and {last}"


class Claims(SphinxDirective):
    optional_arguments = 1

    def run(self):
        if self.arguments:
            return self.one(self.arguments[0])
        found = []
        for method in sorted(load_methods(), key=lambda m: (m.family, m.name)):
            if not results_of(method.stem):
                logger.warning("no claim of %s was run", method.stem)
                continue
            section = nodes.section(ids=[f"claims-{method.stem}"])
            section += nodes.title("", method.name)
            section += nodes.paragraph("", "", nodes.emphasis("", method.paper))
            section += self.one(method.stem)
            found.append(section)
        return found or [nodes.paragraph("", "No claim was run yet.")]

    def one(self, stem):
        results = results_of(stem)
        if not results:
            message = f"The claims of {stem} have not been run."
            logger.warning(message, location=self.get_location())
            return [nodes.warning("", nodes.paragraph("", message))]
        self.env.note_dependency(str(results_file(stem)))
        return [claims_table(results), how_to_repeat(stem, results)]


def setup(app):
    app.add_directive("claims", Claims)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
