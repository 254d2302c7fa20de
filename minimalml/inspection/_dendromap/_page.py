"""One HTML file with the tree, the thumbnails and the program that shows them."""

import base64
import html
import json
import re
from importlib import resources

import numpy as np

from minimalml.inspection._dendromap._thumbnails import sprites


class Page(str):
    """The text of a page, which a notebook shows in a frame."""

    def _repr_html_(self):
        return (
            f'<iframe srcdoc="{html.escape(self)}" width="100%" height="700" '
            'style="border: 0" sandbox="allow-scripts"></iframe>'
        )


def make_page(title, linkage, leaf_order, *, images, image_size, max_images, **values):
    """Return the page; ``values`` are JSON, or arrays of integers, written by base64."""
    children = linkage[:, :2].astype(np.int32)
    data = {
        "n_leaves": len(leaf_order), "left": children[:, 0], "right": children[:, 1],
        "height": linkage[:, 2], "leaf_order": leaf_order, "tile_size": image_size,
        "image_size": image_size, "sprites": [], **values,
    }  # fmt: skip
    if images is not None:
        n_shown = min(len(leaf_order), max_images)
        rows = leaf_order[np.arange(n_shown) * len(leaf_order) // max(n_shown, 1)]
        data["sprites"] = sprites(images, rows, image_size)
        data["tile"] = np.full(len(leaf_order), -1)
        data["tile"][rows] = np.arange(n_shown)
    data = {name: _encoded(value) for name, value in data.items() if value is not None}
    folder = resources.files("minimalml.inspection._dendromap")
    parts = {
        "title": html.escape(title),
        "script": folder.joinpath("dendromap.js").read_text("utf-8"),
        "data": json.dumps(data).replace("<", "\\u003c"),
    }
    page = folder.joinpath("dendromap.html").read_text("utf-8")
    # in one pass, which looks for no marks in what it puts in
    return Page(re.sub("{{(title|script|data)}}", lambda mark: parts[mark[1]], page))


def _encoded(value):
    if not isinstance(value, np.ndarray):
        return value
    kind = "<f8" if value.dtype.kind == "f" else "<i4"
    return base64.b64encode(np.ascontiguousarray(value, dtype=kind)).decode()
