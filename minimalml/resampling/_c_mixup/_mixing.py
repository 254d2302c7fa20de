"""Convex combinations of pairs of rows, and of rows within tasks.

The mixing itself of mixup and C-Mixup (Yao et al. 2022), as plain functions on NumPy
arrays, CSR matrices and torch tensors.
"""

from numbers import Real

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from minimalml._core.array_checks import as_tensor
from minimalml._core.arrays import is_torch_tensor
from minimalml._core.validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from minimalml.resampling._c_mixup._candidates import check_indices
from minimalml.resampling._c_mixup._target_kernel import TargetKernelSampler

MIXING_CONSTRAINTS = {
    "alpha": [Interval(Real, 0, None, closed="neither")],
    "lambda_per": [StrOptions({"pair", "batch"})],
}


def draw_mixing(n_pairs, alpha, lambda_per, random_state):
    """Draw lambda ~ Beta(alpha, alpha): one a pair, or one for all of them."""
    rng = check_random_state(random_state)
    if lambda_per == "batch":
        return np.full(n_pairs, rng.beta(alpha, alpha))
    return rng.beta(alpha, alpha, size=n_pairs)


def mix(X, y, partners, mixing, *, indices=None):
    """Mix rows with their partners: lambda times the row, the rest its partner.

    Parameters
    ----------
    X : ndarray, CSR matrix or tensor of shape (n_samples, ...)
        Inputs: rows of features, images, activations.

    y : ndarray or tensor of shape (n_samples, ...)
        Labels.

    partners : array or tensor of int of shape (n_pairs,)
        Partner of each row, as `TargetKernelSampler.sample` draws them.

    mixing : float, or array or tensor of shape (n_pairs,)
        Lambda in [0, 1], the share of the row itself.

    indices : array or tensor of int of shape (n_pairs,), default=None
        Rows that are mixed; None stands for all rows in order.

    Returns
    -------
    X_mixed : ndarray, CSR array or tensor of shape (n_pairs, ...)
        A sparse X stays sparse. Integers become float64, float32 stays.

    y_mixed : ndarray or tensor of shape (n_pairs, ...)

    Raises
    ------
    ValueError
        If the lengths differ, or if a mixing is outside [0, 1]; of tensors only the
        lengths are looked at, since values would wait for the device.

    TypeError
        If one of X and y is a tensor and the other is not.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.resampling import mix
    >>> X, y = np.array([[0.0], [4.0]]), np.array([0.0, 8.0])
    >>> X_mixed, y_mixed = mix(X, y, partners=[1, 0], mixing=0.75)
    >>> X_mixed.ravel(), y_mixed
    (array([1., 3.]), array([2., 6.]))
    """
    is_torch = is_torch_tensor(y)
    if is_torch_tensor(X) != is_torch:
        raise TypeError(
            "X and y must both be tensors or both be arrays, got "
            f"{type(X).__name__} and {type(y).__name__}."
        )
    if not is_torch:
        X, y = X if sparse.issparse(X) else np.asarray(X), np.asarray(y)
    n_samples = X.shape[0]
    if len(y) != n_samples:
        raise ValueError(f"y has {len(y)} rows but X has {n_samples}.")
    indices = np.arange(n_samples) if indices is None else indices
    if is_torch:
        indices, partners = (_tensor(v).to(y.device) for v in (indices, partners))
        mixing = _tensor(mixing)
    else:
        indices = check_indices(indices, n_samples)
        partners = check_indices(partners, n_samples, name="partners")
        mixing = np.asarray(mixing, dtype=np.float64)
    if len(partners) != len(indices):
        raise ValueError(
            f"partners has {len(partners)} rows but {len(indices)} rows are mixed."
        )
    outside = not is_torch and not ((mixing >= 0) & (mixing <= 1)).all()
    if outside or tuple(mixing.shape) not in {(), (len(indices),)}:
        raise ValueError(
            f"mixing must be a number in [0, 1] or {len(indices)} of them, got "
            f"{mixing!r}."
        )
    mix_rows = _mix_tensors if is_torch else mix_arrays
    return tuple(mix_rows(values, indices, partners, mixing) for values in (X, y))


def _tensor(values):
    return as_tensor(values if is_torch_tensor(values) else np.asarray(values))


def _mix_tensors(values, indices, partners, mixing):
    import torch

    values = values if values.is_floating_point() else values.to(torch.float64)
    mixing = mixing.to(values).reshape(-1, *[1] * (values.ndim - 1))
    return mixing * values[indices] + (1 - mixing) * values[partners]


def mix_arrays(values, indices, partners, mixing):
    """Mix rows of an array or CSR matrix, without checks; integers become float64."""
    mixing = mixing.astype(values.dtype if values.dtype.kind == "f" else np.float64)
    if sparse.issparse(values):
        values, mixing = values.tocsr(), np.broadcast_to(mixing, len(indices))
        left, right = sparse.diags_array(mixing), sparse.diags_array(1 - mixing)
        return type(values)(left @ values[indices] + right @ values[partners])
    mixing = mixing.reshape(-1, *[1] * (values.ndim - 1))
    return mixing * values[indices] + (1 - mixing) * values[partners]


def mix_tasks(
    X,
    y,
    tasks,
    *,
    indices=None,
    alpha=2.0,
    lambda_per="pair",
    sample_weight=None,
    random_state=None,
    **kernel_options,
):
    """Mix rows with partners of their own task, for meta-regression.

    Give the support and query rows of all tasks, and the query rows as ``indices``: each
    is mixed with a row of the support or query of its task, before the outer loss.

    Parameters
    ----------
    X : ndarray, CSR matrix or tensor of shape (n_samples, ...)
        Inputs of all tasks.

    y : ndarray or tensor of shape (n_samples,) or (n_samples, n_targets)
        Labels of all tasks.

    tasks : array-like or tensor of shape (n_samples,)
        Task of each row.

    indices : array or tensor of int of shape (n_pairs,), default=None
        Rows that are mixed; None stands for all rows.

    alpha, lambda_per, sample_weight, random_state :
        As in `CMixup` and its `fit`.

    **kernel_options
        Parameters of `TargetKernelSampler`: ``bandwidth``, ``kernel`` and others. Its
        ``standardize_target`` takes the standard deviation over all tasks.

    Returns
    -------
    X_mixed : ndarray, CSR array or tensor of shape (n_pairs, ...)

    y_mixed : ndarray or tensor of shape (n_pairs, ...)

    Raises
    ------
    ValueError
        As `TargetKernelSampler.fit`, or if ``alpha`` or ``lambda_per`` is not allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.resampling import mix_tasks
    >>> X, y, tasks = np.eye(4), np.arange(4.0), np.array([0, 0, 1, 1])
    >>> X_mixed, y_mixed = mix_tasks(X, y, tasks, random_state=0)
    >>> bool((y_mixed[:2] <= 1).all() and (y_mixed[2:] >= 2).all())
    True
    """
    validate_parameter_constraints(
        MIXING_CONSTRAINTS, {"alpha": alpha, "lambda_per": lambda_per}, "mix_tasks"
    )
    if tasks is None:
        raise ValueError("tasks must name the task of each row, got None.")
    sampler = TargetKernelSampler(**kernel_options)
    compared = None if sampler.metric == "target" else X
    sampler.fit(y, X=compared, sample_weight=sample_weight, groups=tasks)
    rng = check_random_state(random_state)
    partners = sampler.sample(indices, random_state=rng)
    mixing = draw_mixing(len(partners), alpha, lambda_per, rng)
    return mix(X, y, partners, mixing, indices=indices)
