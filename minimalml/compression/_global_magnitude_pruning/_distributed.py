"""The exact global mask of weights that are spread over torch processes."""

import numpy as np

from minimalml._core.arrays import import_torch
from minimalml.compression._global_magnitude_pruning._named_tensors import (
    empty_mask,
    like_container,
    name_weights,
    size_of,
)
from minimalml.compression._global_magnitude_pruning._ranking import n_to_prune
from minimalml.compression._global_magnitude_pruning._selection import (
    FORMATS,
    find_threshold,
    format_of,
    narrowest_format,
    write_mask,
)


def distributed_magnitude_mask(weights, sparsity, group=None):
    """Mark the largest weights of all processes together as those to keep.

    Every process calls it with the shards that it holds, which may be none. One
    ``all_reduce`` of a histogram a pass (0.5 MB) replaces gathering the weights.

    Parameters
    ----------
    weights : list, tuple or dict of tensors or arrays
        This process's shards, of any dtype that `global_magnitude_mask` takes.

    sparsity : float
        Share of all processes' weights to prune, in [0, 1).

    group : torch.distributed.ProcessGroup, default=None
        None is the default group.

    Returns
    -------
    list, tuple or dict of boolean tensors or arrays
        The shards' masks: those that `global_magnitude_mask` gives for the shards of
        all processes in the order of ranks.

    Raises
    ------
    ValueError
        On every process alike, if any of them holds a NaN, or none holds a weight.

    Examples
    --------
    >>> import torch
    >>> from torch import distributed
    >>> from minimalml.compression import distributed_magnitude_mask
    >>> distributed.init_process_group(
    ...     "gloo", store=distributed.HashStore(), rank=0, world_size=1
    ... )
    >>> distributed_magnitude_mask([torch.tensor([1.0, -3.0, 2.0])], sparsity=0.5)
    [tensor([False,  True,  True])]
    >>> distributed.destroy_process_group()
    """
    torch = import_torch("distributed_magnitude_mask")
    distributed, device = torch.distributed, "cpu"
    if distributed.get_backend(group) == "nccl":
        device = torch.device("cuda", torch.cuda.current_device())

    def add_up(counts):
        counts = torch.from_numpy(np.ascontiguousarray(counts)).to(device)
        distributed.all_reduce(counts, group=group)
        return counts.cpu().numpy()

    named = name_weights(weights, allow_empty=True)
    sizes = dict.fromkeys(FORMATS.values(), 0)
    for tensor in named.values():
        sizes[format_of(tensor)] += size_of(tensor)
    counts = add_up(np.array(list(sizes.values())))
    if not counts.any():
        raise ValueError("weights must hold at least one weight on some process.")
    number_format = narrowest_format(
        {f for f, n in zip(sizes, counts, strict=True) if n}
    )
    n_prune = n_to_prune(sparsity, int(counts.sum()))
    threshold = find_threshold(named, max(n_prune, 1), number_format, reduce=add_up)
    masks = {name: empty_mask(tensor) for name, tensor in named.items()}
    if n_prune == 0:
        for mask in masks.values():
            mask[...] = True
        return like_container(weights, masks)

    def write(quota):
        """Write all masks, pruning up to ``quota`` ties; return what is left of it."""
        for name, tensor in named.items():
            mask = masks[name]
            quota -= int(write_mask(tensor, mask, threshold.key, quota, number_format))
        return quota

    # ties go in the order of ranks: those on earlier ranks come first
    rank, n_here = distributed.get_rank(group), sum(sizes.values())
    n_tied = np.zeros(distributed.get_world_size(group), dtype=np.int64)
    n_tied[rank] = n_here - write(n_here)
    n_before = int(add_up(n_tied)[:rank].sum())
    write(max(threshold.n_tied_to_prune - n_before, 0))
    return like_container(weights, masks)
