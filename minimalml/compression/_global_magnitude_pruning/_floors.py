"""How many weights each tensor must keep, and how many it loses.

A floor a tensor (the paper's minimum threshold) prevents layer collapse: a layer left
without weights, whose network gives a constant. Sizes, floors and counts are arrays of
shape (n_tensors,).
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


def floors_of(sizes, n_prune, min_weights, min_fraction):
    """Return what each tensor must keep, or refuse if too little is left to prune."""
    n, floor = int(sizes.sum()), min_weights
    if min_fraction is not None:
        floor = math.floor(min_fraction * n + 1e-9)  # 0.29 * 100 is below 29
    floors = np.minimum(sizes, floor)
    n_protected = int(floors.sum())
    if n - n_prune < n_protected:
        parameter = "min_weights" if min_fraction is None else "min_fraction"
        raise ValueError(
            f"{parameter} keeps at least {n_protected} of the {n} weights, more than "
            f"the {n - n_prune} that are to be left: sparsity can be at most "
            f"{1 - n_protected / n:.6g} with this floor."
        )
    return floors


def proportional_counts(sizes, n_prune, floors):
    """Return what each tensor loses, in proportion to its size, ``n_prune`` in all."""
    capacity = sizes - floors
    is_capped = capacity == 0
    while True:
        share = np.where(is_capped, 0, sizes) / max(sizes[~is_capped].sum(), 1)
        left = n_prune - capacity[is_capped].sum()
        quota = np.where(is_capped, capacity, share * left)
        exceeds = ~is_capped & (quota > capacity)
        if not exceeds.any():
            break
        is_capped |= exceeds
    counts = np.floor(quota + 1e-9).astype(np.int64)
    # largest remainders first, earlier tensors first among equal ones
    order = np.argsort(-(quota - counts), kind="stable")
    order = order[counts[order] < capacity[order]]
    counts[order[: n_prune - counts.sum()]] += 1
    return counts


def rescaled_counts(sizes, n_prune, floors, counts):
    """Rescale counts without floors until the floors hold: the paper's rule."""
    size = np.maximum(sizes, 1)
    ceiling = 1 - floors / size
    sparsity = np.minimum(counts / size, ceiling)
    for _ in range(MAX_RESCALING_ROUNDS):
        total = float(sparsity @ sizes)
        if total >= n_prune - 0.5 or total == 0:
            break
        sparsity = np.minimum(sparsity * (n_prune / total), ceiling)
    if sparsity @ sizes < n_prune - 0.5:
        warnings.warn(
            f"rescaling under the floors stopped at {sparsity @ sizes:.0f} of the "
            f'{n_prune} weights to prune: lower the floor or use floor_rule="exact".',
            ConvergenceWarning,
            stacklevel=2,
        )
    return np.floor(sparsity * sizes + 1e-9).astype(np.int64)
