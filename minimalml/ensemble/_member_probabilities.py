"""Probabilities of an ensemble's members: their checks, logarithms, means and subsets.

One text for NumPy arrays and (with gradients) tensors.
"""

from itertools import combinations
from math import comb, log

import numpy as np
from scipy.special import logsumexp
from sklearn.utils import check_array

from minimalml._core.array_checks import as_tensor
from minimalml._core.arrays import array_namespace, is_torch_tensor


def check_members(probas, *, name="probas"):
    """Return floats (n_members, n, n_classes) that are probabilities, or (n_members, n)."""
    if not is_torch_tensor(probas):
        probas = check_array(
            np.asarray(probas), dtype=[np.float64, np.float32], allow_nd=True, ensure_2d=False,
            input_name=name,
        )  # fmt: skip
    if probas.ndim not in (2, 3):
        raise ValueError(
            f"{name} must have shape (n_members, n_samples, n_classes) or (n_members, "
            f"n_samples), got {tuple(probas.shape)}."
        )
    if probas.ndim == 3:
        sums, lowest = probas.sum(-1), float(probas.min())
        if lowest < 0 or float(abs(sums - 1).max()) > 1e-3:
            raise ValueError(
                f"{name} must be at least 0 and sum to 1 over the classes, got "
                f"{lowest:.3g} as the smallest and sums from {float(sums.min()):.3g} to "
                f"{float(sums.max()):.3g}."
            )
    return probas


def check_codes(y, probas):
    """Return numbers of columns beside the probabilities."""
    n_samples, n_classes = probas.shape[1:]
    codes = np.asarray(y.detach().cpu() if is_torch_tensor(y) else y)
    if codes.shape != (n_samples,) or codes.dtype.kind not in "iu":
        raise ValueError(
            f"y must be {n_samples} integers, the columns of the classes, got "
            f"{codes.dtype} of shape {codes.shape}."
        )
    if codes.min() < 0 or codes.max() >= n_classes:
        raise ValueError(
            f"y must be from 0 to {n_classes - 1}, got {codes.min()} to {codes.max()}."
        )
    if is_torch_tensor(probas):
        return as_tensor(codes.astype(np.int64), device=probas.device)
    return codes


def logarithms(probas):
    """Return logarithms, those of 0 as of the smallest number, and whether any was 0."""
    xp = array_namespace(probas)
    smallest = xp.finfo(probas.dtype).tiny
    is_zero = probas < smallest
    return xp.log(xp.clip(probas, smallest, None)), is_zero


def mean_logs(logs):
    """Return the logarithm of the members' mean probability."""
    if is_torch_tensor(logs):
        return logs.logsumexp(0) - log(len(logs))
    return logsumexp(logs, axis=0) - log(len(logs))


def combined_logs(logs, combine):
    """Return the ensemble's log-probabilities."""
    if combine == "probability":
        return mean_logs(logs)
    mean = logs.mean(0)
    if is_torch_tensor(logs):
        return mean - mean.logsumexp(-1, keepdim=True)
    return mean - logsumexp(mean, axis=-1, keepdims=True)


def of_class(logs, y):
    """Return the entries of each row's class, of (..., n, n_classes)."""
    if is_torch_tensor(logs):  # its gradient is several times as fast as of indexing
        columns = y.expand(logs.shape[:-1])[..., None]
        return logs.gather(-1, columns)[..., 0]
    return logs[..., np.arange(len(y)), y]


def member_subsets(n_members, size, n_subsets, generator):
    """Return all sets of so many members, or at most ``n_subsets`` different ones."""
    if comb(n_members, size) <= n_subsets:
        return [list(subset) for subset in combinations(range(n_members), size)]
    drawn = {}
    while len(drawn) < n_subsets:
        subset = np.sort(generator.permutation(n_members)[:size])
        drawn[tuple(subset)] = subset
    return list(drawn.values())
