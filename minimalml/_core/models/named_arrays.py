"""Lists and mappings of NumPy arrays or torch tensors, seen as one dictionary."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from minimalml._core.arrays import is_torch_tensor


def name_arrays(arrays, parameter="weights", noun="weight"):
    """Return a dictionary of live arrays, a sequence's by index, tensors detached.

    Parameters
    ----------
    arrays : mapping, list or tuple of arrays or tensors

    parameter, noun : str
        What messages call all of them, and one.

    Raises
    ------
    TypeError
        If it is another container, or holds anything else.
    """
    if isinstance(arrays, Mapping):
        named = dict(arrays)
    elif isinstance(arrays, Sequence) and not isinstance(arrays, (str, bytes)):
        named = dict(enumerate(arrays))
    else:
        raise TypeError(
            f"{parameter} must be a list, tuple or dict of arrays or tensors, got "
            f"{type(arrays).__name__}."
        )
    for name, array in named.items():
        if is_torch_tensor(array):
            named[name] = array.detach()
        elif not isinstance(array, np.ndarray):
            raise TypeError(
                f"{noun} {name!r} must be a NumPy array or a torch tensor, got "
                f"{type(array).__name__}."
            )
    return named


def like_container(container, named):
    """Return a dictionary's arrays in the kind of container that ``container`` is."""
    if isinstance(container, Mapping):
        return named
    values = list(named.values())
    return tuple(values) if isinstance(container, tuple) else values


def size_of(array):
    """Return the number of elements."""
    return math.prod(array.shape)


def count_nonzero(array):
    """Return the number of elements that are not zero."""
    if is_torch_tensor(array):
        return int(array.count_nonzero())
    return int(np.count_nonzero(array))


def copy_of(array):
    """Return a copy of the same layout."""
    return array.clone() if is_torch_tensor(array) else np.array(array, order="K")


def empty_mask(array):
    """Return an unwritten boolean array of its shape, where it lies."""
    if is_torch_tensor(array):
        import torch

        return torch.empty(array.shape, dtype=torch.bool, device=array.device)
    return np.empty(array.shape, dtype=bool)


def like_array(values, array):
    """Return a NumPy array as a tensor beside ``array``, if that is one."""
    if is_torch_tensor(array):
        import torch

        return torch.from_numpy(values).to(array.device)
    return values
