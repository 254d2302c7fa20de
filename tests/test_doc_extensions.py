"""The extensions of the documentation, where what they write can be wrong in silence."""

import re
import sys
from types import SimpleNamespace

import pytest

from minimalml._methods import source_checkout

pytest.importorskip("sphinx")
ROOT = source_checkout()
pytestmark = pytest.mark.skipif(ROOT is None, reason="needs a source checkout")


@pytest.fixture
def extensions(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "doc" / "_ext"), str(ROOT), *sys.path])


@pytest.mark.parametrize("formula", [r"\frac12 x", r"\tfrac 1 2 x", r"\frac{1}{2} x"])
def test_a_bare_fraction_takes_one_digit_each(extensions, formula):
    import mathml

    markup = mathml.to_mathml(SimpleNamespace(astext=lambda: formula), as_block=False)
    assert re.search(r"<mfrac.*?>\s*<mn>1</mn>\s*<mn>2</mn>\s*</mfrac>", markup)


def test_claims_measured_with_other_versions_are_told_apart(extensions):
    import claims

    results = {
        name: {"versions": {"python": "3.11", "torch": torch}}
        for name, torch in [("first", "2.4"), ("second", "2.5"), ("third", "2.4")]
    }
    text = claims.how_to_repeat("c_mixup", results).astext()
    assert text.startswith("python -m minimalml claims c_mixup prints")
    assert text.endswith(
        "with python 3.11 and torch 2.4, or python 3.11 and torch 2.5."
    )
