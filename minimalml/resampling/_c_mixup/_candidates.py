"""What draws of partners compare, and the order in which the candidates stand."""

import math
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from minimalml._core.arrays import is_torch_tensor, to_numpy
from minimalml._core.validation import check_sample_weight

# Squares of distances beyond it would overflow.
LARGEST_DISTANCE = 1e150
# The tophat is closed: a distance of one bandwidth is within, also after rounding.
TOPHAT_REACH = 1.0 + 1e-9


class View(NamedTuple):
    """What one kernel sees of the rows."""

    features: np.ndarray | sparse.csr_array  # (n_rows, n_columns), in bandwidths
    reach: float  # 0 for the Gaussian kernel, about 1 the tophat, infinity the uniform


class Queries(NamedTuple):
    """Rows that ask for a partner, and the positions that may answer.

    In the row's segment these are all before ``left_stop`` and all from ``right_start``
    on: the two differ by one where the row itself is excluded.
    """

    rows: np.ndarray  # (n_queries,)
    segment: np.ndarray  # (n_queries,) number of the row's group
    left_stop: np.ndarray  # (n_queries,)
    right_start: np.ndarray  # (n_queries,)

    def take(self, picked):
        """Return the queries at the places ``picked``."""
        return Queries(*(part[picked] for part in self))


class Candidates(NamedTuple):
    """The rows of positive weight, by group and then by label."""

    views: list  # of View, of all rows; the kernels are multiplied
    exclude_self: bool
    rows: np.ndarray  # (n_candidates,) row of each position
    features: list  # those of each view at each position
    log_weights: np.ndarray | None  # (n_candidates,); None stands for equal weights
    weight_prefix: np.ndarray | None  # (n_candidates + 1,) sums of weights
    offsets: np.ndarray  # (n_groups + 1,) where each group begins, and the end
    position: np.ndarray  # (n_samples,) a row's own; without weight, where it would be
    has_weight: np.ndarray  # (n_samples,) bool
    codes: np.ndarray  # (n_samples,) group of each row

    def queries(self, rows):
        """Return where the candidates of each of ``rows`` lie."""
        left_stop = self.position[rows]
        right_start = left_stop + (self.has_weight[rows] & self.exclude_self)
        return Queries(rows, self.codes[rows], left_stop, right_start)


def order_candidates(views, weights, codes, *, exclude_self, by_label):
    """Sort the rows by group and, if ``by_label``, by the first view's first column."""
    n_samples = views[0].features.shape[0]
    has_weight = np.ones(n_samples, dtype=bool) if weights is None else weights > 0
    order = np.arange(n_samples)
    if by_label:
        order = np.argsort(views[0].features[:, 0], kind="stable")
    if codes is None:
        codes = np.zeros(n_samples, dtype=np.intp)
    else:
        order = order[np.argsort(codes[order], kind="stable")]
    counted = has_weight[order]
    position = np.empty_like(order)
    position[order] = np.cumsum(counted) - counted
    rows = order[counted]
    return Candidates(
        views=views,
        exclude_self=exclude_self,
        rows=rows,
        features=[view.features[rows] for view in views],
        log_weights=None if weights is None else np.log(weights[rows]),
        weight_prefix=None if weights is None else np.r_[0.0, np.cumsum(weights[rows])],
        offsets=np.r_[0, np.cumsum(np.bincount(codes[rows], minlength=codes.max() + 1))],
        position=position,
        has_weight=has_weight,
        codes=codes,
    )  # fmt: skip


def on_host(values):
    """Return a tensor's values as an array, and anything else as it is."""
    return to_numpy(values) if is_torch_tensor(values) else values


def check_labels(y):
    """Return the labels as a finite float array of shape (n_samples, n_targets)."""
    labels = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    if labels.ndim > 2:
        raise ValueError(
            "y must have shape (n_samples,) or (n_samples, n_targets), got shape "
            f"{labels.shape}."
        )
    return labels.reshape(len(labels), -1)


def check_weights(sample_weight, labels):
    """Return weights of the rows, or None if none were given."""
    if sample_weight is None:
        return None
    return check_sample_weight(
        sample_weight, labels, dtype=np.float64, ensure_non_negative=True
    )


def check_indices(indices, n_samples, name="indices"):
    """Return row numbers in [0, n_samples); all of them for None."""
    if indices is None:
        return np.arange(n_samples)
    indices = np.asarray(indices)
    is_valid = indices.ndim == 1 and (
        indices.size == 0
        or (indices.dtype.kind in "iu" and 0 <= indices.min() <= indices.max() < n_samples)
    )  # fmt: skip
    if not is_valid:
        raise ValueError(
            f"{name} must be a list of row numbers from 0 to {n_samples - 1}, "
            f"got {indices!r}."
        )
    return indices.astype(np.intp)


def group_codes(groups):
    """Return a number for each row's group, or None without groups."""
    if groups is None:
        return None
    groups = check_array(groups, ensure_2d=False, dtype=None, input_name="groups")
    if groups.ndim != 1:
        raise ValueError(f"groups must be one-dimensional, got shape {groups.shape}.")
    try:
        return np.unique(groups, return_inverse=True)[1]
    except TypeError as error:
        raise TypeError(
            "groups must be numbers or strings, not both, and none missing, got "
            f"{groups[:3]!r} ..."
        ) from error


def standardize(labels, weights, to_unit_scale):
    """Return labels divided by their weighted standard deviation, and that scale.

    The scale is 1 for a constant column, and for all if not ``to_unit_scale``.
    """
    present = slice(None) if weights is None else weights > 0
    with np.errstate(over="ignore"):
        # Distances don't see the shift; centred labels lose fewer digits to the scale.
        labels = labels - labels[present][0]
    if np.isinf(labels).any():
        raise ValueError("y has values further apart than a float can hold: scale it.")
    # largest value first: squares of huge labels would overflow, of tiny ones vanish
    largest = np.abs(labels[present]).max(axis=0)
    if not to_unit_scale:
        return labels, np.ones_like(largest)
    largest[largest == 0] = 1.0
    unit = labels / largest
    if weights is not None:
        weights = weights[present]
    unit -= np.average(unit[present], axis=0, weights=weights)
    deviation = np.sqrt(np.average(unit[present] ** 2, axis=0, weights=weights))
    deviation[deviation == 0] = 1.0
    return unit / deviation, deviation * largest


def in_bandwidths(features, bandwidth, kernel, name):
    """Return the `View` of one kernel: features in units of its bandwidth."""
    if kernel == "uniform" or math.isinf(bandwidth):
        return View(features, math.inf)
    largest = (
        abs(features).max() if sparse.issparse(features) else np.abs(features).max()
    )
    if not largest / bandwidth < LARGEST_DISTANCE:
        raise ValueError(
            f"{name}={bandwidth!r} is too small for data as large as {float(largest):g}."
        )
    return View(features / bandwidth, 0.0 if kernel == "gaussian" else TOPHAT_REACH)
