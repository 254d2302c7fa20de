"""Split a budget of rows over classes."""

import warnings

import numpy as np


def class_budgets(n_samples_to_select, shares, n_available):
    """Split a budget in proportion to shares, as far as classes have rows.

    Largest remainders, ties to the lower class, and at least one row for each class that
    has rows. What a class can't fill goes to the others by the same rule, with a warning.

    Parameters
    ----------
    n_samples_to_select : int
        Budget, at least the number of classes that have rows.

    shares : ndarray of shape (n_classes,)
        Above 0, with a sum of 1.

    n_available : ndarray of int of shape (n_classes,)
        Rows of each class.

    Returns
    -------
    ndarray of int of shape (n_classes,)

    Raises
    ------
    ValueError
        If the budget is below the number of classes.
    """
    n_classes = np.count_nonzero(n_available)
    if n_samples_to_select < n_classes:
        raise ValueError(
            f"n_samples_to_select={n_samples_to_select} is below the {n_classes} classes "
            "that pool and target share: with stratify=True each needs a row."
        )
    budgets = np.zeros(len(shares), dtype=int)
    is_open = n_available > 0
    is_short = not is_open.all()
    while is_open.any():
        rest = n_samples_to_select - budgets[~is_open].sum()
        wanted = _largest_remainders(rest, shares[is_open] / shares[is_open].sum())
        room = n_available[is_open]
        budgets[is_open] = np.minimum(wanted, room)
        if (wanted <= room).all():
            break
        is_short = True
        is_open[np.flatnonzero(is_open)[wanted > room]] = False
    if is_short:
        warnings.warn(
            "The pool has too few rows of some classes of the target: their share of "
            "n_samples_to_select goes to the other classes.",
            UserWarning,
            stacklevel=4,
        )
    return budgets


def _largest_remainders(total, shares):
    quotas = total * shares
    counts = np.maximum(np.floor(quotas + 1e-9).astype(int), 1)
    while counts.sum() < total:
        counts[np.argmax(quotas - counts)] += 1
    while counts.sum() > total:  # some classes were raised to 1
        excess = np.where(counts > 1, counts - quotas, -np.inf)
        counts[len(counts) - 1 - np.argmax(excess[::-1])] -= 1
    return counts
