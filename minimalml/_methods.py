"""The table of methods, ``methods.toml``, as Python objects."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import minimalml


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


def source_checkout():
    """Return the repository's root, or None where only the package is installed."""
    root = Path(minimalml.__file__).parents[1]
    return root if (root / "benchmarks" / "claims.py").exists() else None


def files_of(method, root):
    """Return the files that tell a method's whole story, by what each is for.

    Parameters
    ----------
    method : Method
        Row of the table of methods.

    root : path-like
        The repository's root.

    Returns
    -------
    dict of str to str
        Glob patterns relative to ``root``.
    """
    stem, family = method.stem, method.family
    return {
        "library": f"minimalml/{family}/_{stem}*",
        "instances": f"tests/{family}/{stem}/instances.py",
        "tests": f"tests/{family}/{stem}/test_*.py",
        "comparison": f"benchmarks/{stem}/compare.py",
        "claims": f"benchmarks/{stem}/claims.py",
        "results": f"benchmarks/{stem}/results.json",
        "page": f"doc/{family}/{stem}.rst",
        "gallery heading": f"doc/examples/{family}/README.txt",
        "gallery example": f"doc/examples/{family}/plot_{stem}*.py",
    }


def missing_files(method, root):
    """Return those of `files_of` that do not exist, in the same form."""
    return {
        purpose: pattern
        for purpose, pattern in files_of(method, root).items()
        if not any(Path(root).glob(pattern))
    }
