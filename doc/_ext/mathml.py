"""Formulas as MathML: drawn by the browser itself, no script and no network."""

import re

from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging
from sphinx.util.math import wrap_displaymath

SIZES = re.compile(r"\\[Bb]igg?[lrm]?(?![A-Za-z])")
# docutils reads \frac12 as a fraction of 12 over whatever follows
BARE_FRACTION = re.compile(r"\\([dt]?frac)\s*(\d)\s*(\w)")
logger = logging.getLogger(__name__)


def to_mathml(node, *, as_block):
    # MathML stretches brackets by itself
    formula = SIZES.sub("", node.astext())
    formula = BARE_FRACTION.sub(r"\\\1{\2}{\3}", formula)
    if as_block and ("\\\\" in formula or "&" in formula):
        formula = wrap_displaymath(formula, None, False)
    try:
        return str(tex2mathml(formula, as_block=as_block))
    except MathError as error:
        logger.warning("formula %r: %s", formula, error, location=node)
        return node.astext()


def visit_inline(translator, node):
    translator.body.append(to_mathml(node, as_block=False))


def visit_block(translator, node):
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    translator.body.append(to_mathml(node, as_block=True))
    translator.body.append("</div>")


def depart(translator, node):
    """Do nothing: sphinx skips the children of a formula itself."""


def skip_children(visit):
    from docutils.nodes import SkipNode

    def visit_and_skip(translator, node):
        visit(translator, node)
        raise SkipNode

    return visit_and_skip


def setup(app):
    app.add_html_math_renderer(
        "mathml",
        (skip_children(visit_inline), depart),
        (skip_children(visit_block), depart),
    )
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
