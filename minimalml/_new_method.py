"""Write the files of a new method, from ``doc/_new_method`` of the checkout."""

import keyword
import re

from minimalml._methods import load_methods

ROW = """
[[method]]
name = "{name}"
stem = "{stem}"
family = "{family}"
classes = ["{cls}"]
paper = "Authors: Title, venue"
arxiv = "0000.00000"
claim = "What the paper promises, in one line"
"""
OF_THE_FAMILY = {"__init__.py", "index.rst", "README.txt"}


def class_name(stem):
    """Return the stem in the spelling of classes."""
    return "".join(word.capitalize() for word in stem.split("_"))


def write_new_method(root, family, stem, with_kernel=False):
    """Write all files of a method that are not there yet, and return their paths.

    Parameters
    ----------
    root : path
        The checkout.

    family, stem : str
        Where the method lives, and what its files are called.

    with_kernel : bool, default=False
        Whether it has a kernel, in Cython and torch.

    Raises
    ------
    ValueError
        If ``family`` or ``stem`` is no name in lower case, or ``stem`` is taken.
    """
    for what, name in (("FAMILY", family), ("STEM", stem)):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
            raise ValueError(f"{what} must be a name like model_soup, got {name!r}.")
    if stem in {method.stem for method in load_methods()}:
        raise ValueError(f"STEM must be new, but there is a method {stem!r} already.")
    words = _words(family, stem)
    written, templates = [], root / "doc" / "_new_method"
    for template in sorted(path for path in templates.rglob("*") if path.is_file()):
        if "column_sums" in template.name and not with_kernel:
            continue
        relative = _replace(str(template.relative_to(templates)), words)
        path = root / relative
        if path.exists() and path.name in OF_THE_FAMILY:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        text = _choose(template.read_text("utf-8"), with_kernel)
        path.write_text(_replace(text, words), "utf-8")
        written.append(relative)
    _enter(root, family, stem, words)
    return written


def _words(family, stem):
    """Return what stands for what in a template; longer words come first."""
    name = stem.replace("_", " ").capitalize()
    title = family.replace("_", " ").capitalize()
    return {
        "UNDERLINEFAMILY": "=" * len(title),
        "DASHESFAMILY": "-" * len(title),
        "FAMILYTITLE": title,
        "UNDERLINE": "=" * len(name),
        "CLASSLOWER": class_name(stem).lower(),
        "CLASS": class_name(stem),
        "FAMILY": family,
        "NAME": name,
        "STEM": stem,
    }


def _replace(text, words):
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text


def _choose(text, with_kernel):
    """Keep the lines of one of two variants: after ``# NUMPY`` or ``# KERNEL``."""
    lines, keeps = [], True
    for line in text.splitlines():
        mark = line.strip()
        if mark in ("# NUMPY", "# KERNEL", "# END"):
            keeps = mark == "# END" or with_kernel == (mark == "# KERNEL")
        elif keeps:
            lines.append(line)
    return "".join(f"{line}\n" for line in lines)


def _enter(root, family, stem, words):
    """Add the method to the table, its family's names and page, and the contract."""
    cls = words["CLASS"]
    with open(root / "minimalml" / "methods.toml", "a", encoding="utf-8") as table:
        table.write(ROW.format(name=words["NAME"], stem=stem, family=family, cls=cls))
    init = root / "minimalml" / family / "__init__.py"
    head, names = init.read_text("utf-8").split("__all__ = [")
    names, _, rest = names.partition("]\n")
    names = sorted({*re.findall(r'"(\w+)"', names), cls, f"{stem}_means"})
    new = f"from minimalml.{family}._{stem}._{stem} import {cls}, {stem}_means"
    listed = "".join(f'    "{name}",\n' for name in names)
    head = head.rstrip() + ("\n\n" if head.endswith('"""\n\n') else "\n")
    init.write_text(f"{head}{new}\n\n__all__ = [\n{listed}]\n{rest}", "utf-8")
    page = root / "doc" / family / "index.rst"
    text = page.read_text("utf-8").rstrip()
    gap = "\n\n" if text.endswith(":maxdepth: 1") else "\n"  # before the first entry
    page.write_text(f"{text}{gap}   {stem}\n", "utf-8")
    contract = root / "pyproject.toml"
    text = contract.read_text("utf-8")
    (layer,) = re.findall(r'"(minimalml\.[^"]* \| [^"]*)"', text)
    families = sorted({*layer.split(" | "), f"minimalml.{family}"})
    contract.write_text(text.replace(layer, " | ".join(families)), "utf-8")
