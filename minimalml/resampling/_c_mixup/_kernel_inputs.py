"""Checks and units of what the kernels compare, for NumPy arrays and tensors."""

import math

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from minimalml._core.arrays import array_namespace, is_torch_tensor
from minimalml._core.validation import check_sample_weight
from minimalml.resampling._c_mixup._partner_draws import View, on_device

# Squares of distances beyond it would overflow.
LARGEST_DISTANCE = 1e150
# The tophat is closed: a distance of one bandwidth is within, also after rounding.
TOPHAT_REACH = 1.0 + 1e-9


def check_labels(y):
    """Return the labels as a finite float array or tensor of shape (n_samples, q)."""
    if not is_torch_tensor(y):
        labels = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    else:
        labels = _as_float_tensor(y)
        if not bool(labels.isfinite().all()):
            raise ValueError("Input y contains NaN or infinity.")
    if labels.ndim > 2 or len(labels) == 0:
        raise ValueError(
            "y must have shape (n_samples,) or (n_samples, n_targets) with at least one "
            f"sample, got shape {tuple(labels.shape)}."
        )
    return labels.reshape(len(labels), -1)


def _as_float_tensor(tensor):
    import torch

    # Apple's devices have no double precision
    dtype = torch.float32 if tensor.device.type == "mps" else torch.float64
    return tensor.detach().to(dtype)


def check_inputs(X, labels):
    """Return the inputs that a kernel compares: dense, tensor or CSR, finite."""
    if is_torch_tensor(labels):
        import torch

        X = _as_float_tensor(torch.as_tensor(X, device=labels.device))
        if not bool(X.isfinite().all()):
            raise ValueError("Input X contains NaN or infinity.")
        return X.reshape(len(X), -1)
    return check_array(X, accept_sparse="csr", dtype=np.float64, input_name="X")


def check_weights(sample_weight, labels):
    """Return weights like ``labels``, or None if none were given."""
    if sample_weight is None:
        return None
    if is_torch_tensor(labels):
        import torch

        weights = torch.as_tensor(
            sample_weight, dtype=labels.dtype, device=labels.device
        )
        valid = weights.isfinite().all() & (weights >= 0).all() & (weights > 0).any()
        if weights.ndim != 1 or not bool(valid):
            raise ValueError(
                "sample_weight must be one-dimensional, finite and non-negative, with "
                "at least one positive weight."
            )
        return weights
    return check_sample_weight(
        sample_weight, labels, dtype=np.float64, ensure_non_negative=True
    )


def check_indices(indices, n_samples, like, name="indices"):
    """Return row numbers as integers in [0, n_samples), where ``like`` is."""
    xp = array_namespace(like)
    if indices is None:
        return xp.arange(n_samples, **on_device(like))
    if is_torch_tensor(like):
        indices = xp.as_tensor(indices, device=like.device)
        is_integer = not (indices.is_floating_point() or indices.dtype == xp.bool)
        outside = False  # the device says so itself; asking would wait for it
    else:
        indices = np.asarray(indices)
        indices = indices.astype(np.intp) if indices.size == 0 else indices
        is_integer = indices.dtype.kind in "iu"
        outside = is_integer and ((indices < 0) | (indices >= n_samples)).any()
    if not is_integer or indices.ndim != 1 or outside:
        raise ValueError(
            f"{name} must be a list of row numbers from 0 to {n_samples - 1}, "
            f"got {indices!r}."
        )
    return indices.astype(np.intp) if xp is np else indices.to(xp.int64)


def group_codes(groups, labels):
    """Return a number for each row's group, or None without groups."""
    if groups is None:
        return None
    if is_torch_tensor(groups):
        return groups.to(labels.device).unique(return_inverse=True)[1]
    groups = check_array(groups, ensure_2d=False, dtype=None, input_name="groups")
    if groups.ndim != 1:
        raise ValueError(f"groups must be one-dimensional, got shape {groups.shape}.")
    try:
        codes = np.unique(groups, return_inverse=True)[1]
    except TypeError as error:
        raise TypeError(
            "groups must be numbers or strings, not both, and none missing, got "
            f"{groups[:3]!r} ..."
        ) from error
    if is_torch_tensor(labels):
        return array_namespace(labels).as_tensor(codes, device=labels.device)
    return codes


def standardize(labels, weights, to_unit_scale):
    """Centre the labels and divide them by their weighted standard deviation.

    Returns
    -------
    labels : array of shape (n_samples, n_targets)

    scale : array of shape (n_targets,)
        1 for a constant column, and for all if not ``to_unit_scale``.
    """
    xp = array_namespace(labels)
    shares = None if weights is None else weights / weights.sum()

    def mean(values):
        return values.mean(0) if shares is None else shares @ values

    # Distances don't see the shift; centred labels lose fewer digits to the scale.
    labels = labels - labels[0]
    # largest value first: squares of huge labels would overflow
    largest = xp.abs(labels).max(0)
    largest = largest if xp is np else largest.values
    largest = xp.where(largest > 0, largest, xp.ones_like(largest))
    unit = labels / largest
    if not to_unit_scale:
        return labels, xp.ones_like(largest)
    centre = mean(unit)
    deviation = xp.sqrt(mean((unit - centre) ** 2))
    deviation = xp.where(deviation > 0, deviation, 1 / largest)
    return (unit - centre) / deviation, deviation * largest


def in_bandwidths(features, bandwidth, kernel, name):
    """Return the `View` of one kernel: features in units of its bandwidth."""
    if kernel == "uniform" or math.isinf(bandwidth):
        return View(features, math.inf)
    if sparse.issparse(features):
        largest = abs(features).max()
    else:
        largest = array_namespace(features).abs(features).max()
    if not largest / bandwidth < LARGEST_DISTANCE:
        raise ValueError(
            f"{name}={bandwidth!r} is too small for data as large as {float(largest):g}."
        )
    return View(features / bandwidth, 0.0 if kernel == "gaussian" else TOPHAT_REACH)
