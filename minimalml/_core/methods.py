"""The table of methods, ``methods.toml``, as Python objects."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Method:
    """One row of the table of methods.

    Attributes
    ----------
    name : str
        What the field calls it.
    stem : str
        File name stem of everything that belongs to it: kernels, tests, pages.
    family : str
        Public sub-package that holds it.
    classes : tuple of str
        Public classes, the main one first.
    paper : str
        Authors, title, venue.
    arxiv : str
        Identifier on arXiv.
    claim : str
        What the paper promises, in one line.
    """

    name: str
    stem: str
    family: str
    classes: tuple
    paper: str
    arxiv: str
    claim: str


@cache
def load_methods():
    """Return all rows of ``methods.toml``, a tuple of `Method`."""
    text = resources.files("minimalml").joinpath("methods.toml").read_text("utf-8")
    return tuple(
        Method(**{**row, "classes": tuple(row["classes"])})
        for row in tomllib.loads(text).get("method", ())
    )
