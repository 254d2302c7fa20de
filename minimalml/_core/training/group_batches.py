"""Batches of whole bags: to the loop a row is a bag, and each batch brings its rows.

A method trains on columns of one entry a bag, ``{"bag": np.arange(n_bags), "target":
..., "weight": ...}``, and hands ``extend=batches.extend`` to the loop; ``X, index =
batch.rows`` are then the rows of a batch and the index of their bags::

    batches = GroupBatches(index, X, device, dtype)
    ...
    def _training_loss(self, batch, state):
        X, index = batch.rows
        means = index.mean(state.network(X)[:, 0])  # (n_bags in the batch,)
        return weighted_mean((means - batch.target) ** 2, batch.weight)

Permutations, held-out bags and going on from a checkpoint are the loop's, as for rows.
"""

from typing import NamedTuple

import numpy as np
import torch

from minimalml._core.groups import TorchGroupIndex
from minimalml._core.training.data import to_device
from minimalml._core.training.inference import BATCH_SIZE_PREDICT, evaluation_mode

# Rows that the bags of an "auto" batch hold about.
AUTO_BATCH_ROWS = 256


class GroupRows(NamedTuple):
    """The rows of some bags, one bag after the other.

    Attributes
    ----------
    X : tensor of shape (n_rows, n_features)
        The rows.

    index : TorchGroupIndex
        Their bags, numbered from 0 in this batch.
    """

    X: torch.Tensor
    index: TorchGroupIndex


class GroupBatches:
    """The rows of all bags on a device, to take those of some bags from.

    Parameters
    ----------
    index : GroupIndex
        The bags.

    X : array of shape (n_rows, n_features)
        Rows, in any order; kept on the device bag by bag.

    device : torch.device
        Where rows are and come from.

    dtype : torch.dtype
        Type of the rows.
    """

    def __init__(self, index, X, device, dtype):
        self.X = to_device(X[index.order], device, dtype)
        self.sizes = torch.as_tensor(index.sizes)
        self.offsets = torch.as_tensor(index.offsets)

    def batch_size(self, batch_size="auto"):
        """Return the number of bags a batch; "auto" makes it hold about 256 rows."""
        if batch_size != "auto":
            return batch_size
        return max(1, round(AUTO_BATCH_ROWS * len(self.sizes) / len(self.X)))

    def gather(self, numbers):
        """Return the `GroupRows` of some bags by their numbers, on the CPU."""
        return next(_Plan(self, numbers).split(len(numbers)))

    def extend(self, indices, columns, state):
        """Give the batches of an epoch their ``rows``; an option of the loop."""
        training_bags = state.data.training_rows
        numbers = indices if training_bags is None else training_bags[indices]
        return {"rows": _Plan(self, numbers)}

    def map(self, function, module):
        """Return ``function(X, index)`` over all bags, part by part, as a tensor.

        ``module`` is in evaluation mode meanwhile, and no gradient is kept.
        """
        n_bags = max(1, BATCH_SIZE_PREDICT * len(self.sizes) // len(self.X))
        parts = _Plan(self, np.arange(len(self.sizes))).split(n_bags)
        with evaluation_mode(module), torch.inference_mode():
            return torch.cat([function(*rows) for rows in parts])


class _Plan:
    """Where the rows of some bags are: computed for all at once, moved once."""

    def __init__(self, batches, numbers):
        numbers = torch.as_tensor(numbers)
        sizes = batches.sizes[numbers]
        offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        self.starts = offsets.tolist()
        places = torch.arange(self.starts[-1])
        places += (batches.offsets[numbers] - offsets[:-1]).repeat_interleave(sizes)
        codes = torch.arange(len(sizes)).repeat_interleave(sizes)
        self.X, device = batches.X, batches.X.device
        self.places, self.codes = places.to(device), codes.to(device)
        self.sizes, self.offsets = sizes.to(device), offsets.to(device)

    def split(self, n_bags):
        """Yield the rows of ``n_bags`` bags after the other, as tensors split."""
        for first in range(0, len(self.sizes), n_bags):
            last = min(first + n_bags, len(self.sizes))
            start, stop = self.starts[first], self.starts[last]
            X = self.X.index_select(0, self.places[start:stop])
            yield GroupRows(
                X,
                TorchGroupIndex(
                    ids=None,
                    codes=self.codes[start:stop] - first,
                    order=torch.arange(stop - start, device=X.device),
                    offsets=self.offsets[first : last + 1] - start,
                    sizes=self.sizes[first:last],
                ),
            )
