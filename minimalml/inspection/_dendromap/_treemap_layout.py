"""Boxes of a tree's nodes in a page, each child a whole number of thumbnails wide or high."""

from math import floor
from typing import NamedTuple

import numpy as np


class TreemapLayout(NamedTuple):
    """Boxes of nodes, those above before those inside.

    Parameters
    ----------
    node : ndarray of int of shape (n_boxes,)
        Node of each box.

    x0, y0, x1, y1 : ndarray of shape (n_boxes,)
        Its corners; y grows downwards.

    is_leaf : ndarray of bool of shape (n_boxes,)
        Whether the box is shown and not split.
    """

    node: np.ndarray
    x0: np.ndarray
    y0: np.ndarray
    x1: np.ndarray
    y1: np.ndarray
    is_leaf: np.ndarray


def treemap_layout(
    tree,
    k=8,
    *,
    node=None,
    rule="breadth",
    width=1200,
    height=800,
    image_size=28,
    padding=4,
    label_height=14,
):
    """Lay out k nodes of a tree as boxes in boxes that hold whole thumbnails.

    A node is split along the longer side of its box; its two parts get as many rows or
    columns of thumbnails as their share of rows says. A box too small to be split stays.

    Parameters
    ----------
    tree : DendroTree
        The tree.

    k : int, default=8
        Boxes to show; fewer if they get too small.

    node : int, default=None
        The node that fills the page; None is the root.

    rule : {"breadth", "distance", "size", "errors"}, default="breadth"
        Which box is split next, as in `DendroTree.cut`.

    width, height : float, default=1200, 800
        Of the page, in pixels.

    image_size : float, default=28
        Side of a thumbnail.

    padding : float, default=4
        Margin inside a box, and gap between two.

    label_height : float, default=14
        Band at the top of each box.

    Returns
    -------
    TreemapLayout
        All boxes, each before those inside it. O(k log k) time.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> from minimalml.inspection import DendroTree, treemap_layout, ward_linkage
    >>> tree = DendroTree(ward_linkage([[0.0], [9.0], [1.0], [8.0]]))
    >>> layout = treemap_layout(tree, 2, width=100, height=60, image_size=10)
    >>> layout.node[layout.is_leaf], layout.x0[layout.is_leaf]
    (array([4, 5]), array([ 4., 46.]))
    """
    sizes = dict(width=width, height=height, image_size=image_size)
    for name, value in sizes.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value!r}.")
    for name, value in dict(padding=padding, label_height=label_height).items():
        if not value >= 0:
            raise ValueError(f"{name} must be at least 0, got {value!r}.")
    boxes = {tree._check_node(node): (0.0, 0.0, float(width), float(height))}

    def split(node):
        left, right = int(tree.left[node]), int(tree.right[node])
        if left < 0:
            return None
        shares = int(tree.size[left]), int(tree.size[right])
        parts = split_box(boxes[node], shares, image_size, padding, label_height)
        if parts is None:
            return None
        boxes[left], boxes[right] = parts
        return left, right

    _, split_nodes = tree._split_until(k, rule, next(iter(boxes)), split)
    nodes, corners = np.array([*boxes]), np.array([*boxes.values()])
    return TreemapLayout(nodes, *corners.T, ~np.isin(nodes, split_nodes))


def split_box(box, sizes, image_size, padding, label_height):
    """Return the boxes of two children of ``sizes`` rows, or None if they don't fit."""
    x0, y0, x1, y1 = box
    x0, y0, x1, y1 = (
        x0 + padding,
        y0 + padding + label_height,
        x1 - padding,
        y1 - padding,
    )
    w, h = x1 - x0, y1 - y0
    is_wide = w >= h
    # beside the thumbnails: margins of two children, and the gap between them
    frame = 2 * padding + (0 if is_wide else label_height)
    length, across = (w, h - label_height) if is_wide else (h, w)
    cells = floor((length - padding - 2 * frame) / image_size)
    if cells < 2 or across - 2 * padding < image_size:
        return None
    smaller = 1 if sizes[1] < sizes[0] else 0
    own = max(1, cells * sizes[smaller] // (sizes[0] + sizes[1]))
    extent = (own if smaller == 0 else cells - own) * image_size + frame
    if is_wide:
        return (x0, y0, x0 + extent, y1), (x0 + extent + padding, y0, x1, y1)
    return (x0, y0, x1, y0 + extent), (x0, y0 + extent + padding, x1, y1)


def shown_members(n_members, n_cells):
    """Return which members stand in the cells of a box: all, or evenly spread over them."""
    if n_members <= n_cells:
        return np.arange(n_members)
    return np.arange(n_cells) * n_members // max(n_cells, 1)


def cells_of(box, image_size, padding, label_height):
    """Return the columns and rows of thumbnails in a box, and where they begin."""
    x0, y0, x1, y1 = box
    columns = floor((x1 - x0 - 2 * padding) / image_size)
    rows = floor((y1 - y0 - 2 * padding - label_height) / image_size)
    return max(columns, 0), max(rows, 0), x0 + padding, y0 + padding + label_height
