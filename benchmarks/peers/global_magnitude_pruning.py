"""Global magnitude masks: radix selection against sorting one long copy.

The peers are torch's own global pruning, concatenation with ``kthvalue``, and NumPy's
``partition``. The last table is on a real network, whose masks must equal torch's where
magnitudes are distinct: that is checked before it is timed.
"""

import copy

import numpy as np
import torch
from torch.nn.utils import prune

from benchmarks.peers.runner import Comparison
from minimalml.pruning import global_magnitude_mask, prune_module

SPARSITY = 0.9
N_LAYERS = 4


def setup(n):
    """Make n float32 weights in four layers."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n // N_LAYERS, generator=generator) for _ in range(N_LAYERS)]


def radix(weights):
    return global_magnitude_mask(weights, SPARSITY)


def cat_and_kthvalue(weights):
    magnitudes = torch.cat([w.abs().ravel() for w in weights])
    threshold = torch.kthvalue(magnitudes, int(SPARSITY * len(magnitudes))).values
    return [w.abs() > threshold for w in weights]


def numpy_partition(weights):
    magnitudes = np.concatenate([np.abs(w.numpy()).ravel() for w in weights])
    rank = int(SPARSITY * len(magnitudes)) - 1
    threshold = np.partition(magnitudes, rank)[rank]
    return [np.abs(w.numpy()) > threshold for w in weights]


def global_unstructured(weights):
    """Prune by torch, on modules that hold the same tensors."""
    modules = []
    for tensor in weights:
        modules.append(torch.nn.Module())
        modules[-1].weight = torch.nn.Parameter(tensor)
    prune_by_torch([(module, "weight") for module in modules])


def prune_by_torch(parameters):
    n = sum(getattr(module, name).numel() for module, name in parameters)
    prune.global_unstructured(
        parameters, prune.L1Unstructured, amount=int(np.floor(SPARSITY * n + 1e-9))
    )


def layers_of(network):
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    return [(m, "weight") for m in network.modules() if isinstance(m, kinds)]


def setup_network(n):
    """Load EfficientNet-Lite0 and check our masks against torch's."""
    from benchmarks._data import efficientnet_lite0

    network = efficientnet_lite0()
    layers = layers_of(network)
    n_found = sum(module.weight.numel() for module, _ in layers)
    ours = global_magnitude_mask([module.weight for module, _ in layers], SPARSITY)
    theirs = copy.deepcopy(network)
    prune_by_torch(layers_of(theirs))
    threshold = max(
        float(module.weight[~mask].abs().max())
        for (module, _), mask in zip(layers, ours, strict=True)
        if not mask.all()
    )
    n_tied = n_different = 0
    for (module, _), mask, (other, _) in zip(
        layers, ours, layers_of(theirs), strict=True
    ):
        is_tied = module.weight.abs() == threshold
        n_tied += int(is_tied.sum())
        n_different += int(((mask != other.weight_mask.bool()) & ~is_tied).sum())
    if n_different:
        raise AssertionError(f"{n_different} of {n_found} mask entries differ.")
    return network


def prune_a_copy(network):
    prune_module(copy.deepcopy(network), SPARSITY)


def prune_a_copy_by_torch(network):
    prune_by_torch(layers_of(copy.deepcopy(network)))


COMPARISONS = [
    Comparison(
        title="Masks of n float32 weights in 4 layers, 90 % pruned",
        setup=setup,
        ours=radix,
        peers={
            "torch.nn.utils.prune.global_unstructured": global_unstructured,
            "torch.cat + kthvalue": cat_and_kthvalue,
            "numpy concatenate + partition": numpy_partition,
        },
        sizes=(1_000_000, 20_000_000, 100_000_000),
        peer_limits={
            "torch.nn.utils.prune.global_unstructured": 20_000_000,
            "torch.cat + kthvalue": 20_000_000,
            "numpy concatenate + partition": 20_000_000,
        },
        target="at 20 million on 2 threads 10x global_unstructured and 5x kthvalue; "
        "extra memory at most 1 byte a weight and 2 MB; linear in n",
    ),
    Comparison(
        title="EfficientNet-Lite0 of n weights pruned, a copy included; equal masks",
        setup=setup_network,
        ours=prune_a_copy,
        peers={"torch.nn.utils.prune.global_unstructured": prune_a_copy_by_torch},
        sizes=(4_606_480,),
    ),
]
