"""How many weights each tensor must keep, and how many it loses.

A floor a tensor (the paper's minimum threshold) prevents layer collapse: a layer
left without weights, whose network gives a constant.
"""

import math
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning

# The paper's rescaling need not end; in practice it takes fewer than ten rounds.
MAX_RESCALING_ROUNDS = 100


def check_floor(min_weights, min_fraction):
    """Check the two ways to give a floor."""
    if not isinstance(min_weights, Integral) or min_weights < 0:
        raise ValueError(f"min_weights must be an int >= 0, got {min_weights!r}.")
    if min_fraction is None:
        return
    if min_weights:
        raise ValueError(
            "min_weights and min_fraction are two ways to give one floor, got "
            f"min_weights={min_weights} and min_fraction={min_fraction}: pass one of "
            "them."
        )
    if not isinstance(min_fraction, Real) or not 0 <= min_fraction <= 1:
        raise ValueError(f"min_fraction must be in [0, 1], got {min_fraction!r}.")


def absolute_floors(sizes, n_prune, min_weights, min_fraction):
    """Return the weights that each tensor must keep.

    Parameters
    ----------
    sizes : dict of int
        Number of weights of each tensor.

    n_prune : int
        Number of weights to prune in all.

    min_weights : int
        Floor, if ``min_fraction`` is None.

    min_fraction : float or None
        Floor as a fraction of the weights of all tensors.

    Raises
    ------
    ValueError
        If less can be pruned than ``n_prune``.
    """
    n = sum(sizes.values())
    floor = min_weights
    if min_fraction is not None:
        floor = math.floor(min_fraction * n + 1e-9)  # 0.29 * 100 is below 29
    floors = {name: min(size, floor) for name, size in sizes.items()}
    n_protected = sum(floors.values())
    if n - n_prune < n_protected:
        parameter = "min_weights" if min_fraction is None else "min_fraction"
        raise ValueError(
            f"{parameter} keeps at least {n_protected} of the {n} weights, more than "
            f"the {n - n_prune} that are to be left: sparsity can be at most "
            f"{1 - n_protected / n:.6g} with this floor."
        )
    return floors


def proportional_counts(sizes, n_prune, floors):
    """Return the weights each tensor loses, in proportion to its size.

    What a floor saves is taken from the other tensors. The counts sum to ``n_prune``.
    """
    size = np.array(list(sizes.values()))
    capacity = size - np.array([floors[name] for name in sizes])
    is_capped = capacity == 0
    while True:
        share = np.where(is_capped, 0, size) / max(size[~is_capped].sum(), 1)
        quota = np.where(
            is_capped, capacity, share * (n_prune - capacity[is_capped].sum())
        )
        exceeds = ~is_capped & (quota > capacity)
        if not exceeds.any():
            break
        is_capped |= exceeds
    counts = np.floor(quota + 1e-9).astype(np.int64)
    # largest remainders first, earlier tensors first among equal ones
    order = np.argsort(-(quota - counts), kind="stable")
    order = order[counts[order] < capacity[order]]
    counts[order[: n_prune - counts.sum()]] += 1
    return dict(zip(sizes, counts.tolist(), strict=True))


def rescaled_counts(sizes, n_prune, floors, counts):
    """Rescale the weights each tensor loses until the floors hold: the paper's rule.

    Parameters
    ----------
    sizes : dict of int

    n_prune : int

    floors : dict of int
        As `absolute_floors` gives.

    counts : dict of int
        Weights that each tensor loses without floors.

    Returns
    -------
    dict of int
        Weights that each tensor loses: their sum is close to ``n_prune``.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        If the total is short of ``n_prune`` after 100 rounds.
    """
    size = np.array(list(sizes.values()), dtype=float)
    ceiling = 1 - np.array([floors[name] for name in sizes]) / np.maximum(size, 1)
    sparsity = np.array([counts[name] for name in sizes]) / np.maximum(size, 1)
    sparsity = np.minimum(sparsity, ceiling)
    for _ in range(MAX_RESCALING_ROUNDS):
        total = float(sparsity @ size)
        if total >= n_prune - 0.5 or total == 0:
            break
        sparsity = np.minimum(sparsity * (n_prune / total), ceiling)
    if sparsity @ size < n_prune - 0.5:
        warnings.warn(
            f"rescaling under the floors stopped at {sparsity @ size:.0f} of the "
            f'{n_prune} weights to prune: lower the floor or use floor_rule="exact".',
            ConvergenceWarning,
            stacklevel=2,
        )
    pruned = np.floor(sparsity * size + 1e-9).astype(np.int64)
    return dict(zip(sizes, pruned.tolist(), strict=True))
