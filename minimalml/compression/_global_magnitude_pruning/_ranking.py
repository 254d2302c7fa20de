"""The rule by which weights go, and the masks that it gives.

A floor a tensor (the paper's minimum threshold) prevents layer collapse: a layer left
without weights, whose network gives a constant.
"""

import math
import warnings
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from minimalml._core.arrays import is_torch_tensor
from minimalml._core.models.named_arrays import (
    copy_of,
    empty_mask,
    like_array,
    size_of,
)
from minimalml.compression._global_magnitude_pruning._selection import (
    Cut,
    common_format,
    find_threshold,
    refuse_nan,
    write_mask,
    zero_masked,
)

# The paper's rescaling need not end; in practice it takes fewer than ten rounds.
MAX_RESCALING_ROUNDS = 100


@dataclass(frozen=True)
class Rule:
    """How weights are ranked, what each tensor keeps, and which of equal ones go.

    The parameters are those of `global_magnitude_mask`; the ``scope`` is "global",
    "layer", or "random", which draws from ``generator``.
    """

    scope: str = "global"
    min_weights: int = 0
    min_fraction: float | None = None
    ties: str = "exact"
    floor_rule: str = "exact"
    generator: np.random.Generator | None = None

    def __post_init__(self):
        for parameter, allowed in (
            ("ties", ("exact", "threshold")),
            ("floor_rule", ("exact", "rescale")),
        ):
            value = getattr(self, parameter)
            if value not in allowed:
                raise ValueError(
                    f"{parameter} must be one of {allowed}, got {value!r}."
                )
        count, share = self.min_weights, self.min_fraction
        if not isinstance(count, Integral) or count < 0:
            raise ValueError(f"min_weights must be an int >= 0, got {count!r}.")
        if share is not None and count:
            raise ValueError(
                "min_weights and min_fraction are two ways to give one floor, got "
                f"min_weights={count} and min_fraction={share}: pass one of them."
            )
        if share is not None and not (isinstance(share, Real) and 0 <= share <= 1):
            raise ValueError(f"min_fraction must be in [0, 1], got {share!r}.")

    def floors(self, weights, n_prune):
        """Return what each tensor keeps; a ValueError says that it is too much."""
        sizes = sizes_of(weights)
        return floors_of(sizes, n_prune, self.min_weights, self.min_fraction)

    def masks(self, weights, n_prune, floors=None):
        """Return masks that prune ``n_prune`` weights; ``floors`` default to the rule's."""
        floors = self.floors(weights, n_prune) if floors is None else floors
        if not n_prune:
            return self._by_count(weights, np.zeros_like(floors))
        if self.scope == "random":
            return self._random(weights, self._counts(weights, n_prune, floors))
        if self.scope == "global" and (self.floor_rule == "exact" or not floors.any()):
            return self._global(weights, n_prune, floors)
        return self._by_count(weights, self._counts(weights, n_prune, floors))

    def _counts(self, weights, n_prune, floors):
        """Return how many weights each tensor loses."""
        sizes = sizes_of(weights)
        if self.floor_rule == "exact":
            if self.scope == "layer":
                return proportional_counts(sizes, n_prune, floors)
            return self.generator.multivariate_hypergeometric(
                sizes - floors, n_prune, method="marginals"
            )
        nowhere = np.zeros_like(floors)
        if self.scope == "global":
            masks = self._global(weights, n_prune, nowhere)
            counts = sizes - np.array([int(mask.sum()) for mask in masks.values()])
        else:
            counts = proportional_counts(sizes, n_prune, nowhere)
        return rescaled_counts(sizes, n_prune, floors, counts)

    def _global(self, weights, n_prune, floors):
        """Set each tensor's largest aside, and rank the rest together."""
        number_format = common_format(weights)
        own = {
            name: find_threshold({name: w}, size_of(w) - floor, number_format)
            for (name, w), floor in zip(weights.items(), floors.tolist(), strict=True)
            if floor
        }
        cuts = {name: threshold.cut() for name, threshold in own.items()}
        overall = find_threshold(
            weights,
            n_prune,
            number_format,
            uppers={name: cut.key for name, cut in cuts.items()},
            extra=list(cuts.values()),
        ).cut(self.ties)
        masks, left = {}, overall.n_ties
        for name, tensor in weights.items():
            key, n_ties = overall.key, left
            if name in own:
                limit = own[name].cut(self.ties)
                if limit.key < key:
                    key, n_ties = limit
                elif limit.key == key and is_torch_tensor(left):  # on its device
                    n_ties = left.clip(max=limit.n_ties)
                elif limit.key == key:
                    n_ties = min(left, limit.n_ties)
            masks[name] = mask = empty_mask(tensor)
            n_gone = write_mask(tensor, mask, Cut(key, n_ties), number_format)
            left = left - n_gone if key == overall.key else left
        return masks

    def _by_count(self, weights, counts):
        """Prune the ``counts`` smallest of each tensor."""
        number_format, masks = common_format(weights), {}
        counts = dict(zip(weights, counts.tolist(), strict=True))
        for name, tensor in weights.items():
            masks[name] = mask = empty_mask(tensor)
            if size_of(tensor):
                threshold = find_threshold({name: tensor}, counts[name], number_format)
                write_mask(tensor, mask, threshold.cut(self.ties), number_format)
        return masks

    def _random(self, weights, counts):
        refuse_nan(weights)
        masks = {}
        for (name, tensor), n_prune in zip(weights.items(), counts, strict=True):
            flat = np.arange(size_of(tensor)) >= n_prune
            self.generator.shuffle(flat)
            masks[name] = like_array(flat.reshape(tuple(tensor.shape)), tensor)
        return masks


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


class PrunedWeights:
    """The ``masks`` over the events of a schedule: nested, or with regrowth.

    ``threshold`` is the largest magnitude removed so far.
    """

    def __init__(self, rule, regrow=False):
        self.rule, self.regrow = rule, regrow
        self.masks, self.threshold, self._shadow = None, -np.inf, {}

    def prune(self, weights, n_prune):
        """Choose the masks of one event, and zero the other ``weights`` in place."""
        floors, kept = self.rule.floors(weights, n_prune), weights
        if self.regrow:
            self._restore(weights)
        elif self.masks is not None:
            # a weight that training brought to 0 must not change places with a pruned
            kept = {name: w[self.masks[name]] for name, w in weights.items()}
        n_left, n_kept = sizes_of(kept), sizes_of(weights).sum() - n_prune
        masks = self.rule.masks(
            kept, max(int(n_left.sum() - n_kept), 0), np.minimum(floors, n_left)
        )
        for name, tensor in kept.items():
            gone = tensor[~masks[name]]
            if size_of(gone):
                self.threshold = max(self.threshold, float(abs(gone).max()))
            if kept is not weights:
                masks[name] = _masked_again(self.masks[name], masks[name])
            zero_masked(weights[name], masks[name])
        self.masks = masks

    def _restore(self, weights):
        """Write back the values that pruned weights had before."""
        for name, tensor in weights.items():
            shadow = self._shadow.setdefault(name, copy_of(tensor))
            if self.masks is not None:
                shadow[self.masks[name]] = tensor[self.masks[name]]
            tensor[...] = shadow


def sizes_of(weights):
    """Return the number of elements of each tensor."""
    return np.array([size_of(tensor) for tensor in weights.values()], dtype=np.int64)


def make_generator(random_state):
    """Return a NumPy generator seeded by what scikit-learn calls a random state."""
    seed = check_random_state(random_state).randint(2**31, size=4)
    return np.random.default_rng(seed)


def _masked_again(mask, kept):
    """Return ``mask`` with its true entries as ``kept`` says."""
    both = copy_of(mask)
    both[mask] = kept
    return both
