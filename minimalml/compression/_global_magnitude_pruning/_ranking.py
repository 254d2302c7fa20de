"""Masks of checked tensors: one threshold for all, or a count for each."""

import numpy as np

from minimalml.compression._global_magnitude_pruning._floors import (
    proportional_counts,
    rescaled_counts,
)
from minimalml.compression._global_magnitude_pruning._named_tensors import (
    empty_mask,
    mask_like,
    size_of,
)
from minimalml.compression._global_magnitude_pruning._schedule import check_sparsity
from minimalml.compression._global_magnitude_pruning._selection import (
    can_be_zeroed,
    common_format,
    find_threshold,
    name_of_nan,
    write_mask,
    zero_masked,
)

ALL_TIES = -1


def masks_in_scope(scope, named, n_prune, floors, ties, floor_rule, generator=None):
    """Prune ``n_prune`` weights; return the masks.

    ``scope`` is "global", "layer" or "random", which draws from ``generator``.
    """
    if scope == "global":
        return masks_of_all(named, n_prune, floors, ties, floor_rule)
    if scope == "layer":
        counts = _even_counts(named, n_prune, floors, floor_rule)
        return masks_of_counts(named, counts, ties)
    return _random_masks(named, n_prune, floors, floor_rule, generator)


def masks_of_all(named, n_prune, floors, ties, floor_rule, zero=False, n_threads=None):
    """Prune the ``n_prune`` smallest weights of all tensors together.

    ``zero`` also zeroes what is pruned, in place.
    """
    if floor_rule == "rescale" and any(floors.values()):
        no_floors = dict.fromkeys(named, 0)
        masks = masks_of_all(named, n_prune, no_floors, ties, "exact")
        counts = {name: size_of(m) - int(m.sum()) for name, m in masks.items()}
        sizes = {name: size_of(mask) for name, mask in masks.items()}
        counts = rescaled_counts(sizes, n_prune, floors, counts)
        return masks_of_counts(named, counts, ties, zero, n_threads)
    if n_prune == 0:
        return masks_of_counts(named, dict.fromkeys(named, 0), ties, zero, n_threads)

    number_format = common_format(named)
    own = _thresholds_at_floors(named, floors, number_format, n_threads)
    dense = {n: 0 for n, w in named.items() if floors[n] and floors[n] == size_of(w)}
    overall = find_threshold(
        named,
        n_prune,
        number_format,
        uppers={name: threshold.key for name, threshold in own.items()} | dense,
        extra=[(t.key, t.n_tied_to_prune) for t in own.values()],
        n_threads=n_threads,
    )
    left = _ties_to_prune(overall, ties)
    counts_ties = left >= 0  # asked once: on a device the rest of them is a tensor
    masks = {}
    for name, tensor in named.items():
        mask = masks[name] = empty_mask(tensor)
        if name in dense:
            mask[...] = True
            continue
        key, quota = overall.key, left
        if name in own and overall.key >= own[name].key:
            key, quota = own[name].key, _ties_to_prune(own[name], ties)
            if overall.key == key and counts_ties:
                own_ties = 0 if ties == "threshold" else own[name].n_tied_to_prune
                quota = min(left, own_ties)
        n_ties_pruned = _write(tensor, mask, key, quota, number_format, zero, n_threads)
        if key == overall.key and counts_ties:
            left = left - n_ties_pruned
    return masks


def masks_of_counts(named, counts, ties, zero=False, n_threads=None):
    """Prune the ``counts[name]`` smallest weights of each tensor."""
    masks = {}
    for name, tensor in named.items():
        mask = masks[name] = empty_mask(tensor)
        if not size_of(tensor):
            continue
        number_format = common_format({name: tensor})
        # rank 1 where nothing goes: NaN must be refused all the same
        threshold = find_threshold(
            {name: tensor}, max(counts[name], 1), number_format, n_threads=n_threads
        )
        if counts[name]:
            quota = _ties_to_prune(threshold, ties)
            _write(tensor, mask, threshold.key, quota, number_format, zero, n_threads)
        else:
            mask[...] = True
    return masks


def n_to_prune(sparsity, n):
    """Return floor(sparsity * n), for sparsity below 1 fewer than all."""
    check_sparsity(sparsity)
    # 0.29 * 100 is 28.999999999999996
    return min(int(np.floor(sparsity * n + 1e-9)), n - 1)


def _even_counts(named, n_prune, floors, floor_rule):
    sizes = {name: size_of(tensor) for name, tensor in named.items()}
    if floor_rule == "exact":
        return proportional_counts(sizes, n_prune, floors)
    even = proportional_counts(sizes, n_prune, dict.fromkeys(sizes, 0))
    return rescaled_counts(sizes, n_prune, floors, even)


def _random_masks(named, n_prune, floors, floor_rule, generator):
    if floor_rule == "rescale":
        counts = _even_counts(named, n_prune, floors, floor_rule)
    else:
        prunable = [size_of(w) - floors[name] for name, w in named.items()]
        drawn = generator.multivariate_hypergeometric(
            prunable, n_prune, method="marginals"
        )
        counts = dict(zip(named, drawn.tolist(), strict=True))
    bad_name = name_of_nan(named)
    if bad_name is not None:
        raise ValueError(f"{bad_name} contains NaN.")
    masks = {}
    for name, tensor in named.items():
        flat = np.arange(size_of(tensor)) >= counts[name]
        generator.shuffle(flat)
        masks[name] = mask_like(tensor, flat.reshape(tuple(tensor.shape)))
    return masks


def _thresholds_at_floors(named, floors, number_format, n_threads):
    return {
        name: find_threshold(
            {name: tensor},
            size_of(tensor) - floors[name],
            number_format,
            n_threads=n_threads,
        )
        for name, tensor in named.items()
        if 0 < floors[name] < size_of(tensor)
    }


def _ties_to_prune(threshold, ties):
    if ties == "threshold":
        return 0
    is_clean_cut = threshold.n_tied_to_prune == threshold.n_tied
    return ALL_TIES if is_clean_cut else threshold.n_tied_to_prune


def _write(tensor, mask, key, n_tied_to_prune, number_format, zero, n_threads):
    fused = zero and can_be_zeroed(tensor, number_format)
    n_pruned = write_mask(
        tensor,
        mask,
        key,
        n_tied_to_prune,
        number_format,
        zero=fused,
        n_threads=n_threads,
    )
    if zero and not fused:
        zero_masked(tensor, mask, n_threads)
    return n_pruned
