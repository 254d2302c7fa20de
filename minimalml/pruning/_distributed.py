# SPDX-License-Identifier: BSD-3-Clause
"""The exact global mask of weights that are spread over torch processes."""

import numpy as np

from minimalml._core.arrays import import_torch
from minimalml.pruning._masks import check_masking
from minimalml.pruning._named_tensors import empty_mask, like_container, size_of
from minimalml.pruning._ranking import n_to_prune
from minimalml.pruning._selection import common_format, find_threshold, write_mask


def distributed_magnitude_mask(weights, sparsity, group=None):
    """Mark the largest weights of all processes together as those to keep.

    Every process calls it with the shards that it holds. One ``all_reduce`` of a
    histogram a pass (0.5 MB) replaces gathering the weights.

    Parameters
    ----------
    weights : list, tuple or dict of tensors or arrays
        This process's shards, of the same dtype everywhere.

    sparsity : float
        Share of all processes' weights to prune, in [0, 1).

    group : torch.distributed.ProcessGroup, default=None
        None is the default group.

    Returns
    -------
    list, tuple or dict of boolean tensors or arrays
        The shards' masks: those that `global_magnitude_mask` gives for the shards of
        all processes in the order of ranks.
    """
    torch = import_torch("distributed_magnitude_mask")
    distributed = torch.distributed
    device = "cpu"
    if distributed.get_backend(group) == "nccl":
        device = torch.device("cuda", torch.cuda.current_device())

    def add_up(counts):
        counts = torch.from_numpy(np.ascontiguousarray(counts)).to(device)
        distributed.all_reduce(counts, group=group)
        return counts.cpu().numpy()

    named, _, _ = check_masking(weights, sparsity, None, 0, None, "exact", "exact")
    number_format = common_format(named)
    n = int(add_up(np.array([sum(map(size_of, named.values()))]))[0])
    n_prune = n_to_prune(sparsity, n)
    threshold = find_threshold(named, max(n_prune, 1), number_format, reduce=add_up)
    # ties go in the order of ranks: those on earlier ranks come first
    rank, world_size = distributed.get_rank(group), distributed.get_world_size(group)
    n_tied = np.zeros(world_size, dtype=np.int64)
    masks = {name: empty_mask(tensor) for name, tensor in named.items()}
    n_here = sum(map(size_of, named.values()))
    n_tied[rank] = sum(
        int(write_mask(named[name], masks[name], threshold.key, n_here, number_format))
        for name in named
    )
    n_tied = add_up(n_tied)
    left = max(threshold.n_tied_to_prune - int(n_tied[:rank].sum()), 0)
    for name, tensor in named.items():
        if n_prune == 0:
            masks[name][...] = True
            continue
        left -= int(write_mask(tensor, masks[name], threshold.key, left, number_format))
    return like_container(weights, masks)
