"""Masks over the events of a pruning schedule: nested, or with regrowth."""

import numpy as np

from minimalml._core.arrays import is_torch_tensor
from minimalml.compression._global_magnitude_pruning._floors import absolute_floors
from minimalml.compression._global_magnitude_pruning._masks import apply_masks
from minimalml.compression._global_magnitude_pruning._named_tensors import (
    copy_of,
    name_weights,
    size_of,
)
from minimalml.compression._global_magnitude_pruning._ranking import (
    masks_in_scope,
    n_to_prune,
)


class Masks:
    """The masks after each event.

    Attributes
    ----------
    masks : dict of boolean arrays or tensors, None before the first event
        True marks a weight that is kept.

    threshold : float
        Largest magnitude removed at the last event.
    """

    def __init__(self, settings, generator):
        self.settings, self.generator = settings, generator
        self.masks, self.shadow, self.threshold = None, None, -np.inf

    def prune(self, weights, sparsity):
        """Set ``masks`` for one event and return the weights with zeros."""
        weights = name_weights(weights)
        previous = None if self.settings.regrow else self.masks
        if self.settings.regrow:
            weights = self._regrown(weights)
        candidates = weights
        if previous is not None:
            # a weight that training brought to 0 must not change places with a pruned
            candidates = {name: w[previous[name]] for name, w in weights.items()}
        masks = self._rank(weights, candidates, sparsity)
        self.threshold = _largest_pruned(candidates, masks, self.threshold)
        if previous is not None:
            masks = {n: _scattered(previous[n], mask) for n, mask in masks.items()}
        self.masks = masks
        return apply_masks(weights, masks)

    def _regrown(self, weights):
        """Return the weights, pruned ones with the value that they had."""
        if self.masks is None:
            self.shadow = {name: copy_of(w) for name, w in weights.items()}
        for name, shadow in self.shadow.items():
            if self.masks is not None:
                shadow[self.masks[name]] = weights[name][self.masks[name]]
        return self.shadow

    def _rank(self, weights, candidates, sparsity):
        settings = self.settings
        sizes = {name: size_of(w) for name, w in weights.items()}
        left = {name: size_of(w) for name, w in candidates.items()}
        n = sum(sizes.values())
        n_prune = n_to_prune(sparsity, n)
        floors = absolute_floors(
            sizes, n_prune, settings.min_weights, settings.min_fraction
        )
        return masks_in_scope(
            settings.scope,
            candidates,
            max(n_prune - (n - sum(left.values())), 0),
            {name: min(floor, left[name]) for name, floor in floors.items()},
            settings.ties,
            settings.floor_rule,
            self.generator,
        )


def _largest_pruned(weights, masks, default):
    """Return the largest magnitude that masks do not keep."""
    largest = [default]
    for name, tensor in weights.items():
        pruned = tensor[~masks[name]]
        if size_of(pruned):
            largest.append(float(abs(pruned).max()))
    return max(largest)


def _scattered(previous, kept):
    """Return the mask ``previous`` with what it kept masked by ``kept``."""
    mask = previous.clone() if is_torch_tensor(previous) else previous.copy()
    mask[previous] = kept
    return mask
