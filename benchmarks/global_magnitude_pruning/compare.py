"""Global magnitude masks: radix selection against sorting one long copy.

The peers are torch's own global pruning, concatenation with ``kthvalue``, and NumPy's
``partition``. The last table is on a real network, whose masks must equal torch's where
magnitudes are distinct: that is checked before it is timed.
"""

import copy

import numpy as np
import torch
from torch.nn.utils import prune

from benchmarks.compare import Comparison
from minimalml.compression import global_magnitude_mask, prune_module

SPARSITY = 0.9
N_LAYERS = 4


def setup(n):
    """Make n float32 weights in four layers."""
    # the pages of the libraries' own code, 3 MB, would count as a route's memory
    for route in (radix, cat_and_kthvalue, numpy_partition, global_unstructured):
        route(normal_layers(400_000))
    return normal_layers(n)


def normal_layers(n):
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
    """Load EfficientNet-Lite0, whose 50 dense and convolutional layers hold n weights."""
    from benchmarks._data import efficientnet_lite0

    return efficientnet_lite0().requires_grad_(False)


def compare_masks():
    """Check our masks of the network against torch's, and print the outcome."""
    ours, theirs = setup_network(0), setup_network(0)
    magnitudes = {id(m): m.weight.abs() for m, _ in layers_of(ours)}
    masks = global_magnitude_mask([m.weight for m, _ in layers_of(ours)], SPARSITY)
    prune_by_torch(layers_of(theirs))
    pairs = list(zip(layers_of(ours), masks, layers_of(theirs), strict=True))
    largest = max(float(magnitudes[id(m)][~mask].max()) for (m, _), mask, _ in pairs)
    n_tied = n_different = 0
    for (module, _), mask, (other, _) in pairs:
        is_tied = magnitudes[id(module)] == largest
        n_tied += int(is_tied.sum())
        n_different += int(((mask != other.weight_mask.bool()) & ~is_tied).sum())
    n = sum(mask.numel() for mask in masks)
    print(
        f"EfficientNet-Lite0, {len(masks)} layers, {n:,} weights: {n_different} entries "
        f"of the masks differ from torch's, {n_tied} weights tie at the threshold"
    )


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
        target="at 20 million on 2 threads 10x global_unstructured and 5x kthvalue, with "
        "extra memory of at most 1 byte a weight and 2 MB; linear in n",
    ),
    Comparison(
        title="EfficientNet-Lite0 of n weights pruned, a copy included",
        setup=setup_network,
        ours=prune_a_copy,
        peers={"torch.nn.utils.prune.global_unstructured": prune_a_copy_by_torch},
        sizes=(4_608_992,),
        afterwards=compare_masks,
    ),
]
