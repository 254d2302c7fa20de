"""Lists and dictionaries of NumPy arrays or torch tensors, seen as one kind."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from minimalml._core.arrays import is_torch_tensor
from minimalml.compression._global_magnitude_pruning._selection import (
    FORMATS,
    format_of,
)


def name_tensors(tensors, parameter="weights"):
    """Return a dictionary of the tensors, a sequence's by index, detached."""
    if isinstance(tensors, Mapping):
        named = dict(tensors)
    elif isinstance(tensors, Sequence) and not isinstance(tensors, (str, bytes)):
        named = dict(enumerate(tensors))
    else:
        raise TypeError(
            f"{parameter} must be a list, tuple or dict of arrays or tensors, got "
            f"{type(tensors).__name__}."
        )
    for name, tensor in named.items():
        if is_torch_tensor(tensor):
            named[name] = tensor.detach()
        elif not isinstance(tensor, np.ndarray):
            raise TypeError(
                f"weight {name!r} must be a NumPy array or a torch tensor, got "
                f"{type(tensor).__name__}."
            )
    return named


def name_weights(weights, allow_empty=False):
    """Return `name_tensors` of weights that can be ranked."""
    named = name_tensors(weights)
    for name, tensor in named.items():
        if format_of(tensor) is None:
            raise TypeError(
                f"weight {name!r} has dtype {tensor.dtype}; supported are "
                f"{', '.join(FORMATS)}."
            )
    if not allow_empty and not sum(map(size_of, named.values())):
        raise ValueError(f"weights must hold at least one weight, got {weights!r}.")
    return named


def like_container(container, named):
    """Return named tensors in the kind of container that ``container`` is."""
    if isinstance(container, Mapping):
        return named
    values = list(named.values())
    return tuple(values) if isinstance(container, tuple) else values


def size_of(tensor):
    """Return the number of elements."""
    return math.prod(tensor.shape)


def empty_mask(tensor):
    """Return an unwritten mask for a tensor, where the tensor lies."""
    if is_torch_tensor(tensor):
        import torch

        return torch.empty(tensor.shape, dtype=torch.bool, device=tensor.device)
    return np.empty(tensor.shape, dtype=bool)


def mask_like(tensor, mask):
    """Return a NumPy mask as what `empty_mask` gives for ``tensor``."""
    if is_torch_tensor(tensor):
        import torch

        return torch.from_numpy(mask).to(tensor.device)
    return mask


def copy_of(tensor):
    """Return a copy of the same layout."""
    return tensor.clone() if is_torch_tensor(tensor) else np.array(tensor, order="K")
