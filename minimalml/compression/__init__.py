"""Remove most of a trained model's weights.

`GlobalMagnitudePruner` wraps an estimator and is where to start; `prune_module` is for
torch modules in a training loop of one's own; `global_magnitude_mask` and its baselines
work on bare arrays and tensors.
"""

from minimalml.compression._global_magnitude_pruning._global_magnitude_pruning import (
    GlobalMagnitudePruner,
)
from minimalml.compression._global_magnitude_pruning._masks import (
    apply_masks,
    global_magnitude_mask,
    global_threshold,
    layerwise_magnitude_mask,
    random_mask,
)
from minimalml.compression._global_magnitude_pruning._modules import (
    finalize,
    prune_module,
    to_sparse,
)
from minimalml.compression._global_magnitude_pruning._reports import (
    flops_report,
    sparsity_report,
)
from minimalml.compression._global_magnitude_pruning._schedule import pruning_schedule

__all__ = [
    "GlobalMagnitudePruner",
    "apply_masks",
    "finalize",
    "flops_report",
    "global_magnitude_mask",
    "global_threshold",
    "layerwise_magnitude_mask",
    "prune_module",
    "pruning_schedule",
    "random_mask",
    "sparsity_report",
    "to_sparse",
]
