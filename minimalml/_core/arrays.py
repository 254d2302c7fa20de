"""NumPy or torch: which one is this array, and on which device.

torch is heavy and optional, so it is looked up among the modules that are already
imported: if nobody imported torch, nothing can be a tensor.
"""

import sys

import numpy as np

from minimalml._core.optional import import_optional


def import_torch(who):
    """Import torch for ``who``, the estimator or function that the user called.

    Raises
    ------
    ImportError
        If torch is not installed, naming the command to type.
    """
    return import_optional("torch", who=who, extra="torch")


def is_torch_tensor(array):
    """Whether ``array`` is a torch tensor; never imports torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def array_namespace(array):
    """Return torch for a tensor, else NumPy, to call what both name alike."""
    return sys.modules["torch"] if is_torch_tensor(array) else np


def to_numpy(array):
    """Return a tensor's values as a NumPy array, and anything else as an array."""
    return array.detach().cpu().numpy() if is_torch_tensor(array) else np.asarray(array)


def is_torch_module(model):
    """Whether ``model`` is a torch module; never imports torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def is_dask_array(array):
    """Whether ``array`` is a Dask array; never imports dask."""
    dask_array = sys.modules.get("dask.array")
    return dask_array is not None and isinstance(array, dask_array.Array)


def resolve_device(device="auto"):
    """Turn ``device`` into a ``torch.device``.

    Parameters
    ----------
    device : str or torch.device, default="auto"
        "auto" takes cuda where there is one, else mps, else the CPU.

    Raises
    ------
    ValueError
        If torch knows no such device.
    """
    import torch

    if device != "auto":
        try:
            return torch.device(device)
        except (RuntimeError, TypeError) as error:
            raise ValueError(
                f"device must be 'auto' or a device of torch, such as 'cpu' or 'cuda:1', "
                f"got {device!r}."
            ) from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")
