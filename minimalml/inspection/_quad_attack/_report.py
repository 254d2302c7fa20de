"""Figures of ordered top-k attacks, comparable between attacks."""

import numpy as np
from sklearn.utils import Bunch

from minimalml.inspection._quad_attack._targets import (
    ordered_top_k_success,
    top_k_success,
)


def ordered_top_k_report(perturbation, logits, targets, *, common=None):
    """Sum up an attack: how often it succeeds, and how large its successes are.

    Parameters
    ----------
    perturbation : array-like of shape (n_samples, ...)
        What was added to the inputs.

    logits : array-like of shape (n_samples, n_classes)
        Scores of the perturbed inputs.

    targets : array-like of int, shape (n_samples, k)
        Columns of ``logits`` to lead, best first.

    common : array-like of bool, shape (n_samples,), default=None
        Where all attacks that are compared succeed; None means this one. Lengths over
        successes alone favour the attack that only does the easy ones.

    Returns
    -------
    report : Bunch
        - success_rate, unordered_success_rate : float.
        - l1, l2, linf : Bunch of ``mean``, ``min``, ``max`` over successes; NaN
          without any.
        - l2_common : float, mean Euclidean length over ``common``.
        - energy_curve : Bunch of ``energy``, the lengths of successes, ascending, and
          ``success_rate``, the share of rows that succeed within that length.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.inspection import ordered_top_k_report
    >>> moved, logits = np.array([[3.0, 4.0], [1.0, 0.0]]), np.eye(3)[:2]
    >>> report = ordered_top_k_report(moved, logits, np.array([[0], [2]]))
    >>> report.success_rate, float(report.l2.mean)
    (0.5, 5.0)
    """
    logits, targets = np.asarray(logits), np.asarray(targets)
    flat = np.asarray(perturbation, dtype=float).reshape(len(logits), -1)
    success = ordered_top_k_success(logits, targets)
    l2 = np.sqrt((flat**2).sum(axis=1))
    chosen = success if common is None else np.asarray(common, dtype=bool) & success
    energy = np.sort(l2[success])
    return Bunch(
        success_rate=float(success.mean()),
        unordered_success_rate=float(top_k_success(logits, targets).mean()),
        l1=_spread(np.abs(flat).sum(axis=1)[success]),
        l2=_spread(energy),
        linf=_spread(np.abs(flat).max(axis=1)[success]),
        l2_common=float(l2[chosen].mean()) if chosen.any() else np.nan,
        energy_curve=Bunch(
            energy=energy,
            success_rate=np.arange(1, len(energy) + 1) / max(1, len(success)),
        ),
    )


def _spread(values):
    if len(values) == 0:
        return Bunch(mean=np.nan, min=np.nan, max=np.nan)
    return Bunch(mean=values.mean(), min=values.min(), max=values.max())
