"""DendroMap: rows, as images if there are any, in a treemap of their hierarchy.

Bertucci, Hamid, Anand, Ruangrotsakun, Tabatabai, Perez, Kahng: "DendroMap: Visual Exploration
of Large-Scale Image Datasets for Machine Learning with Treemaps", IEEE VIS 2022.
"""

import warnings
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import is_valid_linkage
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array, check_consistent_length

from minimalml._core.array_checks import unique_labels
from minimalml._core.optional import import_pyplot
from minimalml._core.validation import (
    Integral,
    Interval,
    StrOptions,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.inspection._dendromap._dendro_tree import RULES, DendroTree
from minimalml.inspection._dendromap._page import make_page
from minimalml.inspection._dendromap._subgroups import underperforming_nodes
from minimalml.inspection._dendromap._thumbnails import image_at
from minimalml.inspection._dendromap._treemap_layout import (
    cells_of,
    shown_members,
    treemap_layout,
)
from minimalml.inspection._dendromap._ward_linkage import ward_linkage

PADDING, LABEL_HEIGHT = 4, 14
WRONG = (213, 94, 0)  # a red that colour-blind readers tell from the rest


class DendroMap(ClusterMixin, BaseEstimator):
    """Cluster rows by Ward's tree, and show them as a zoomable map of boxes in boxes.

    For a first look at thousands of images, or any rows with representations, and for
    groups in which a model fails. Fit costs O(n^2 d) time and O(n d) memory: 60,000 rows
    of 64 columns take minutes.

    Parameters
    ----------
    n_clusters : int, default=8
        Clusters of ``labels_``.

    linkage : "ward" or array-like of shape (n_samples - 1, 4), default="ward"
        How rows merge, or a linkage matrix of the same rows from elsewhere.

    rule : {"distance", "breadth", "size", "errors"}, default="distance"
        Which node is split next for ``labels_``; see `DendroTree.cut`.

    n_jobs : int, default=None
        Threads; None lets the size of the work decide.

    Attributes
    ----------
    linkage_ : ndarray of shape (n_samples - 1, 4)
        Linkage matrix, as of SciPy.

    tree_ : DendroTree
        The same as arrays by node.

    leaf_order_ : ndarray of shape (n_samples,)
        Rows in the order of the leaves.

    labels_ : ndarray of shape (n_samples,)
        Cluster of each row, numbered along the leaves.

    n_leaves_ : int
        Number of rows.

    n_features_in_ : int
        Number of features seen by `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by `fit`, if all are strings.

    See Also
    --------
    sklearn.cluster.AgglomerativeClustering : Other linkages, in O(n^2) memory.

    Notes
    -----
    Distances are Euclidean: normalise rows first where their direction alone counts.

    References
    ----------
    .. [1] D. Bertucci, M. Hamid, Y. Anand, A. Ruangrotsakun, D. Tabatabai, M. Perez,
       M. Kahng, "DendroMap: Visual Exploration of Large-Scale Image Datasets for Machine
       Learning with Treemaps", IEEE VIS 2022. arXiv:2205.06935

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.metrics import adjusted_rand_score
    >>> from minimalml.inspection import DendroMap
    >>> digits = load_digits()
    >>> model = DendroMap(n_clusters=10).fit(digits.data)
    >>> round(adjusted_rand_score(digits.target, model.labels_), 2)
    0.79
    >>> page = model.to_html(images=digits.images / 16)  # "map.html" as path writes it
    """

    _parameter_constraints = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "linkage": [StrOptions({"ward"}), "array-like"],
        "rule": [StrOptions(set(RULES))],
        "n_jobs": [Integral, None],
    }

    def __init__(self, n_clusters=8, *, linkage="ward", rule="distance", n_jobs=None):
        self.n_clusters = n_clusters
        self.linkage = linkage
        self.rule = rule
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, y_pred=None):
        """Build the tree.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Representations: pixels, hidden layers, any features. Kept for `to_html`.

        y : array-like of shape (n_samples,), default=None
            Classes, to be shown.

        y_pred : array-like of shape (n_samples,), default=None
            What a model says of them; errors are known if both are given.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If ``linkage`` is not a valid one of as many rows, shapes do not fit, or y and
            ``y_pred`` hold labels of different kinds.
        TypeError
            If X is sparse.
        """
        if issparse(X):
            raise TypeError(
                "DendroMap needs dense rows: reduce sparse ones first, by TruncatedSVD."
            )
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        if isinstance(self.linkage, str):
            self.linkage_ = ward_linkage(X, n_jobs=self.n_jobs)
        else:
            self.linkage_ = _checked_linkage(self.linkage, len(X))
        self._X, self.n_leaves_ = X, len(X)
        self.tree_ = DendroTree(self.linkage_)
        self.leaf_order_ = self.tree_.leaf_order
        self._take_classes(y, y_pred)
        self.labels_ = self.labels(self.n_clusters, self.rule)
        return self

    def labels(self, k, rule="distance"):
        """Return the clusters of another number or rule, without a new fit.

        Parameters
        ----------
        k, rule
            As in `DendroTree.cut`.

        Returns
        -------
        ndarray of shape (n_samples,)
            From 0, numbered along the leaves.
        """
        check_is_fitted(self)
        labels = np.empty(self.n_leaves_, dtype=np.intp)
        for label, node in enumerate(self.tree_.cut(k, rule)):
            labels[self.tree_.members(node)] = label
        return labels

    def find_underperforming(self, *, min_size=20, n=10):
        """Find groups of similar rows in which the model is wrong unusually often.

        Parameters
        ----------
        min_size : int, default=20
            Smallest group.

        n : int, default=10
            Most groups; none of them contains another.

        Returns
        -------
        dict of str to ndarray
            ``node`` (see ``tree_.members``), ``size``, ``n_errors``, ``error_rate``,
            ``p_value`` of a hypergeometric test, ``p_adjusted`` for all groups that are
            tested, and ``excess_z``, above 0, by which the groups are sorted. Empty
            without errors.

        Raises
        ------
        ValueError
            If fit was not given both y and ``y_pred``.
        """
        check_is_fitted(self)
        if self.tree_.n_errors is None:
            raise ValueError(
                "find_underperforming needs y and y_pred, which were not given to fit."
            )
        for name, value in dict(min_size=min_size, n=n).items():
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(
                    f"{name} must be an integer of at least 1, got {value!r}."
                )
        return underperforming_nodes(self.tree_, min_size, n)

    def plot(
        self, k=8, *, node=None, rule="breadth", images=None, image_size=28, ax=None
    ):
        """Draw the map of one node, without interaction.

        Parameters
        ----------
        k, node, rule
            As in `treemap_layout`.

        images : sequence, default=None
            As in `to_html`; None draws squares, coloured by class.

        image_size : int, default=28
            Side of a thumbnail, of 1200 pixels across.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        matplotlib Axes
        """
        check_is_fitted(self)
        self._check_images(images)
        plt = import_pyplot("DendroMap.plot")
        width, height, side = 1200, 800, image_size
        layout = treemap_layout(
            self.tree_, k, node=node, rule=rule, width=width, height=height,
            image_size=side, padding=PADDING, label_height=LABEL_HEIGHT,
        )  # fmt: skip
        if ax is None:
            _, ax = plt.subplots(figsize=(9, 6), layout="constrained")
        mosaic = np.full((height, width, 3), 255, dtype=np.uint8)
        highest = self.tree_.height[-1] or 1.0
        for node, *box, is_leaf in zip(*layout, strict=True):
            x0, y0, x1, y1 = map(int, box)
            grey = 255 * (1 - 0.85 * self.tree_.height[node] / highest)
            mosaic[y0:y1, x0:x1] = 255 if is_leaf else grey
            if not is_leaf:
                continue
            columns, rows, left, top = cells_of(box, side, PADDING, LABEL_HEIGHT)
            members = self.tree_.members(node)
            for cell, member in enumerate(shown_members(len(members), columns * rows)):
                x = int(left) + side * (cell % columns)
                y = int(top) + side * (cell // columns)
                tile = self._tile(images, members[member], side, plt)
                mosaic[y : y + side, x : x + side] = tile
            caption = ax.text(
                x0 + PADDING, y0 + LABEL_HEIGHT, self._caption(node), size=6
            )
            frame = plt.Rectangle((x0, y0), x1 - x0, y1 - y0, transform=ax.transData)
            caption.set_clip_path(frame)
        ax.imshow(mosaic, extent=(0, width, height, 0), interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        return ax

    def to_html(
        self,
        path=None,
        *,
        images=None,
        k=8,
        rule="breadth",
        image_size=28,
        n_similar=12,
        max_images=20_000,
        title="DendroMap",
    ):
        """Write the map as one HTML file that needs neither a server nor a network.

        Click a box to zoom in, its frame or Escape to zoom out, an image for itself and
        its nearest rows; arrows go through the images.

        Parameters
        ----------
        path : str or path-like, default=None
            Where to write it; None only returns it.

        images : sequence of n_samples images, default=None
            ``images[i]`` is an array (h, w) or (h, w, 3) of bytes or of floats in [0, 1],
            a path, or an image of Pillow: an array, a list, or a reader of your own. None
            draws squares, coloured by class.

        k, rule
            As in `treemap_layout`, at first.

        image_size : int, default=28
            Side of a thumbnail that is kept, in pixels.

        n_similar : int, default=12
            Nearest rows that the page shows beside one.

        max_images : int, default=20_000
            Most thumbnails; of more rows they are spread evenly over the leaves, and the
            others are drawn as squares.

        title : str, default="DendroMap"
            Of the page.

        Returns
        -------
        str
            The page. A notebook shows it, if it is what a cell returns.

        Raises
        ------
        ValueError
            If there are not as many images as rows, or one is of another kind.
        """
        check_is_fitted(self)
        self._check_images(images)
        numbers = dict(
            k=k, image_size=image_size, n_similar=n_similar, max_images=max_images
        )
        for name, value in numbers.items():
            if not isinstance(value, Integral) or value < (name != "n_similar"):
                raise ValueError(f"{name} must be a positive integer, got {value!r}.")
        self.tree_.cut(1, rule)
        if images is not None and self.n_leaves_ > max_images:
            warnings.warn(
                f"{max_images} of {self.n_leaves_} images are in the page, the others are "
                "drawn as squares: raise max_images to have more.",
                UserWarning,
                stacklevel=2,
            )
        n_similar = min(n_similar, self.n_leaves_ - 1)
        similar = None
        if n_similar:
            search = NearestNeighbors(n_neighbors=n_similar, n_jobs=self.n_jobs)
            similar = search.fit(self._X).kneighbors(return_distance=False)
        page = make_page(
            title, self.linkage_, self.leaf_order_, images=images, image_size=image_size,
            max_images=max_images, k=min(k, 200), rule=rule, n_similar=n_similar,
            similar=similar, y=self._y, y_pred=self._y_pred,
            class_names=None if self._classes is None else [*map(str, self._classes)],
        )  # fmt: skip
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page

    def _take_classes(self, y, y_pred):
        """Keep classes as numbers, and count errors where they are known."""
        known = {}
        for name, values in {"y": y, "y_pred": y_pred}.items():
            if values is not None:
                check_consistent_length(self._X, values)
                known[name] = unique_labels(values, name=name)
        kinds = [classes.dtype for classes, _ in known.values()]
        if len({kind.kind in "biuf" for kind in kinds}) > 1:
            raise ValueError(
                f"y and y_pred must hold labels of one kind, got {kinds[0]} and {kinds[1]}."
            )
        self._classes = self._y = self._y_pred = None
        if known:
            self._classes = np.unique(np.concatenate([c for c, _ in known.values()]))
            codes = {n: self._classes.searchsorted(c)[i] for n, (c, i) in known.items()}
            self._y, self._y_pred = codes.get("y"), codes.get("y_pred")
        if len(known) == 2:
            self.tree_.count_errors(self._y != self._y_pred)

    def _check_images(self, images):
        if images is not None and len(images) != self.n_leaves_:
            raise ValueError(
                f"images has {len(images)} items but X has {self.n_leaves_} rows."
            )

    def _tile(self, images, row, side, plt):
        """Return the (side, side, 3) bytes of one row, framed where it is wrong."""
        tile = np.full((side, side, 3), 255, dtype=np.uint8)
        if images is not None:
            tile[:] = image_at(images, row, side).reshape(side, side, -1)
        else:
            known = self._y_pred if self._y is None else self._y
            color = 0.6 if known is None else plt.get_cmap("tab20")(known[row] % 20)[:3]
            tile[1:-1, 1:-1] = np.rint(255 * np.asarray(color))
        if self.tree_.n_errors is not None and self.tree_.n_errors[row]:
            tile[[0, 1, -2, -1]] = tile[:, [0, 1, -2, -1]] = WRONG
        return tile

    def _caption(self, node):
        size, words = self.tree_.size[node], []
        if self.tree_.n_errors is not None:
            words.append(f"{1 - self.tree_.n_errors[node] / size:.0%} right")
        if self._y is not None:
            commonest = np.bincount(self._y[self.tree_.members(node)]).argmax()
            words.append(f"most {self._classes[commonest]}")
        return " · ".join([f"{size:,}", *words])


def _checked_linkage(linkage, n):
    linkage = check_array(
        linkage, dtype=np.float64, ensure_min_samples=0, input_name="linkage"
    )
    if linkage.shape != (n - 1, 4):
        raise ValueError(
            f"linkage must have shape {(n - 1, 4)} for {n} rows, got {linkage.shape}."
        )
    if n > 1 and not is_valid_linkage(linkage):
        raise ValueError("linkage is no valid linkage matrix of SciPy.")
    return linkage
