"""Build the documentation: ``make docs``. No network is used."""

import os
import re
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

import minimalml

project = "minimalml"
author = "The minimalml developers"
copyright = "The minimalml developers, BSD-3-Clause"
version = release = minimalml.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "sphinx_design",
    "myst_parser",
    "api_pages",
    "claims",
    "families",
    "mathml",
]
exclude_patterns = [
    "_build",
    "_new_method",
    "examples",
    "gallery/**/README*",
    "gallery/README*",
]
# Markdown comes in through include directives only
source_suffix = {".rst": "restructuredtext"}
default_role = "obj"
smartquotes = False  # the quotes here are those of code
toc_object_entries_show_parents = "hide"
templates_path = ["_templates"]
suppress_warnings = [
    # Copied configuration functions can't be pickled; only a cache is lost
    "config.cache",
    # README, CHANGELOG and CONTRIBUTING link within the repository
    "myst.xref_missing",
    "myst.header",
]

# Inventories are fetched from the network, which a build machine may not have
intersphinx_mapping = {}
if os.environ.get("MINIMALML_INTERSPHINX"):
    intersphinx_mapping = {
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }

myst_enable_extensions = ["tasklist"]

autosummary_generate = True
autodoc_default_options = {"members": True, "inherited-members": "BaseEstimator"}
autodoc_typehints = "none"

numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_validation_checks = {
    "GL03", "GL05", "GL06", "GL07", "GL08",  # sections: known, in order, present
    "SS02", "SS03", "SS04", "SS05",  # a summary that is a sentence, an imperative
    "PR01", "PR02", "PR07",  # parameters: all, described
}  # fmt: skip
numpydoc_validation_exclude = {
    # scikit-learn writes these into our classes
    r"\.set_\w+_request$",
    r"\.(get|set)_params$",
}

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "backreferences_dir": "api/backreferences",
    "doc_module": ("minimalml",),
    "reference_url": {"minimalml": None},
    "filename_pattern": r"plot_",
    "only_warn_on_example_error": False,
    "abort_on_example_error": False,
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    # What plots return says nothing beside the plot
    "ignore_repr_types": r"matplotlib|Display",
}
warnings.filterwarnings("ignore", message=".*non-interactive.*cannot be shown.*")


def formatted_warning(message, category, *location):
    """Show warnings of the gallery's examples without a path of this machine."""
    return f"{category.__name__}: {message}\n"


warnings.formatwarning = formatted_warning

html_theme = "pydata_sphinx_theme"
html_title = "minimalml"
html_static_path = ["_static"]
html_css_files = ["minimalml.css"]
html_favicon = "_static/logo.svg"
html_show_sourcelink = False
html_copy_source = False
without_sidebar = ("index", "install", "claims", "changelog", "contributing")
html_sidebars = {page: [] for page in without_sidebar}
html_theme_options = {
    "logo": {
        "text": "minimalml",
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
    },
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 8,
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "friendly",
    "back_to_top_button": False,
}


def skip_members_of_others(app, what, name, obj, skip, options):
    """Leave out what classes inherit from other packages, or have generated for them."""
    origin = getattr(obj, "fget", obj)  # of a property
    home = getattr(origin, "__module__", None) or getattr(
        getattr(origin, "__objclass__", None), "__module__", "minimalml"
    )
    is_field = (getattr(obj, "__doc__", None) or "").startswith(
        "Alias for field number"
    )
    is_routing = name == "get_metadata_routing" or name.endswith("_request")
    is_foreign = not home.startswith("minimalml")
    return True if is_field or is_foreign or is_routing else None


def escape_shapes(app, what, name, obj, options, lines):
    """Let types name fitted attributes: ``shape (n_features_in_, *image_shape)``."""
    for number, line in enumerate(lines):
        if " : " in line:
            kind = re.sub(r"(?<=\w)_(?=[,)])", r"\\_", line)
            lines[number] = re.sub(r"(?<=[ (])\*(?=\w)", r"\\*", kind)


def setup(app):
    app.connect("autodoc-skip-member", skip_members_of_others)
    # before numpydoc, whose types are reStructuredText
    app.connect("autodoc-process-docstring", escape_shapes, priority=400)
