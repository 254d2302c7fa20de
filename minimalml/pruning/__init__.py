"""Remove most of a trained model's weights.

`GlobalMagnitudePruner` wraps an estimator and is where to start; `prune_module` is for
torch modules in a training loop of one's own; `global_magnitude_mask` and its baselines
work on bare arrays and tensors.
"""

from minimalml.pruning._masks import (
    apply_masks,
    global_magnitude_mask,
    global_threshold,
    layerwise_magnitude_mask,
    random_mask,
)

__all__ = [
    "apply_masks",
    "global_magnitude_mask",
    "global_threshold",
    "layerwise_magnitude_mask",
    "random_mask",
]
