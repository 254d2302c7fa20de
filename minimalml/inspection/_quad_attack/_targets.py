"""Ordered lists of target classes: drawing, checking, and whether scores meet them."""

import numpy as np
from sklearn.utils import check_random_state

from minimalml._core.array_checks import as_tensor
from minimalml._core.arrays import is_torch_tensor, to_numpy


def like(values, kind):
    """Return numbers as an array, or as a tensor where ``kind`` is one, on its device."""
    if is_torch_tensor(kind):
        return as_tensor(values, device=kind.device)
    return to_numpy(values)


def ordered_top_k_success(logits, targets):
    """Tell for each row whether the top k classes are the targets, in order.

    Equal scores rank the lower class first, as a stable sort does; NaN never succeeds.

    Parameters
    ----------
    logits : array or tensor of shape (n_samples, n_classes)
        Scores.

    targets : array or tensor of int, shape (n_samples, k)
        Classes, best first.

    Returns
    -------
    array or tensor of bool, shape (n_samples,)

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.inspection import ordered_top_k_success
    >>> ordered_top_k_success(np.array([[0.1, 0.7, 0.2]]), np.array([[1, 2]]))
    array([ True])
    """
    if is_torch_tensor(logits):
        import torch

        order = torch.argsort(logits, dim=1, descending=True, stable=True)
        is_number = ~torch.isnan(logits).any(1)
    else:
        logits = np.asarray(logits)
        order = np.argsort(-logits, axis=1, kind="stable")
        is_number = ~np.isnan(logits).any(axis=1)
    return (order[:, : targets.shape[1]] == targets).all(1) & is_number


def top_k_success(logits, targets):
    """Tell for each row whether the top k classes are the targets, in any order."""
    order = np.argsort(-logits, axis=1, kind="stable")[:, : targets.shape[1]]
    return (np.sort(order, axis=1) == np.sort(targets, axis=1)).all(axis=1)


def sample_ordered_targets(y, n_classes, k, random_state=None):
    """Draw for each row k classes in random order, never the row's own.

    Parameters
    ----------
    y : array-like of int, shape (n_samples,)
        True classes as indices below ``n_classes``.

    n_classes : int
        Number of classes.

    k : int
        Number of targets, from 1 to ``n_classes - 1``.

    random_state : int, RandomState instance or None, default=None
        Makes the draw repeatable.

    Returns
    -------
    ndarray of shape (n_samples, k)
        Uniform among the ordered subsets.

    Raises
    ------
    ValueError
        If ``k`` is out of range or ``y`` holds an unknown class.

    Examples
    --------
    >>> from minimalml.inspection import sample_ordered_targets
    >>> sample_ordered_targets([0, 1], n_classes=3, k=2, random_state=0).shape
    (2, 2)
    """
    y = np.asarray(y)
    if not 1 <= k <= n_classes - 1:
        raise ValueError(f"k must be between 1 and {n_classes - 1}, got {k}.")
    if ((y < 0) | (y >= n_classes)).any():
        raise ValueError(f"y must hold classes from 0 to {n_classes - 1}.")
    draws = check_random_state(random_state).uniform(size=(len(y), n_classes - 1))
    others = np.argsort(draws, axis=1)[:, :k]
    return others + (others >= y[:, None])


def check_ordered_targets(targets, n_samples, n_classes, true_classes=None):
    """Return target indices as an intp array, or say what is wrong with which row."""
    targets = to_numpy(targets)
    if targets.dtype.kind not in "iu":
        raise ValueError(f"targets must be integers, got {targets.dtype}.")
    if targets.ndim != 2 or len(targets) != n_samples:
        raise ValueError(
            f"targets must have shape ({n_samples}, k), got {targets.shape}."
        )
    k = targets.shape[1]
    if not 1 <= k <= n_classes - 1:
        raise ValueError(
            f"k must be between 1 and {n_classes - 1}, the number of classes less "
            f"one, got {k}."
        )
    _refuse((targets < 0) | (targets >= n_classes), "holds an unknown class")
    ordered = np.sort(targets, axis=1)
    _refuse(ordered[:, 1:] == ordered[:, :-1], "holds a class twice")
    if true_classes is not None:
        _refuse(targets == true_classes[:, None], "holds the row's true class")
    return targets.astype(np.intp, copy=False)


def _refuse(faults, what):
    rows = faults.any(axis=1)
    if rows.any():
        raise ValueError(f"targets row {np.flatnonzero(rows)[0]} {what}.")


def ordering_pairs(targets, n_classes):
    """List which class must lead which, one pair a row of the programme.

    Parameters
    ----------
    targets : array-like of int, shape (n_samples, k)
        Classes to put on top, best first.

    n_classes : int
        Number of classes.

    Returns
    -------
    high, low : ndarray of shape (n_samples, n_classes - 1)
        ``low`` runs over all classes but the first target, ascending; ``high`` is the
        class that must lead it. The order of the columns of ``dual``.

    Examples
    --------
    >>> from minimalml.inspection import ordering_pairs
    >>> high, low = ordering_pairs([[3, 1]], 4)
    >>> [(int(h), int(l)) for h, l in zip(high[0], low[0])]
    [(1, 0), (3, 1), (1, 2)]
    """
    targets = np.asarray(targets)
    targets = check_ordered_targets(targets, len(targets), n_classes)
    above = np.repeat(targets[:, -1:], n_classes, axis=1)
    np.put_along_axis(above, targets[:, 1:], targets[:, :-1], axis=1)
    low = np.arange(n_classes - 1) + (np.arange(n_classes - 1) >= targets[:, :1])
    return np.take_along_axis(above, low, axis=1), low
