"""Exact partners for any distance, block by block, on any torch device."""

import math

import torch

from minimalml.resampling._c_mixup._target_kernel_sorted_torch import uniform


def add_log_kernel(queries, candidates, reach, log_kernel, n_threads=1):
    """Add the log of a Gaussian or tophat kernel of the distances to ``log_kernel``."""
    # By differences: with products, near pairs would cancel.
    distances = torch.cdist(
        queries, candidates, compute_mode="donot_use_mm_for_euclid_dist"
    )
    if reach == 0.0:
        log_kernel -= 0.5 * distances**2
    else:
        log_kernel.masked_fill_(distances > reach, -math.inf)


def update_reservoir(
    log_kernel,
    log_weight,
    block_start,
    counter,
    offsets,
    segment,
    left_stop,
    right_start,
    seeds,
    log_total,
    out,
    n_threads=1,
):
    """Let a block of candidates replace each query's choice by its share of the mass.

    Uses the random numbers ``counter + 1`` and ``counter + 2`` of each stream.
    """
    first, last = offsets[segment], offsets[segment + 1]
    positions = block_start + torch.arange(len(log_weight), device=log_kernel.device)
    on_left = (positions >= first[:, None]) & (positions < left_stop[:, None])
    on_right = (positions >= right_start[:, None]) & (positions < last[:, None])
    log_kernel += log_weight
    log_kernel.masked_fill_(~(on_left | on_right), -math.inf)
    highest = log_kernel.amax(dim=1)
    has_mass = highest > -math.inf
    highest = torch.where(has_mass, highest, torch.zeros_like(highest))
    cumulative = torch.cumsum(torch.exp(log_kernel - highest[:, None]), dim=1)
    mass = cumulative[:, -1].contiguous()
    log_mass = highest + torch.log(mass)  # -inf for an empty block

    share = torch.exp(log_total - torch.where(has_mass, log_mass, log_total))
    share = torch.where(log_total > -math.inf, share, torch.zeros_like(share))
    u_replace = uniform(seeds, counter + 1, log_kernel.dtype)
    replaced = has_mass & (u_replace * (1.0 + share) < 1.0)
    target = (uniform(seeds, counter + 2, log_kernel.dtype) * mass)[:, None]
    chosen = torch.searchsorted(cumulative, target, right=True)
    last_with_mass = torch.searchsorted(cumulative, mass[:, None])
    chosen = torch.minimum(chosen, last_with_mass)[:, 0]
    out.copy_(torch.where(replaced, block_start + chosen, out))
    log_total.copy_(torch.logaddexp(log_total, log_mass))
