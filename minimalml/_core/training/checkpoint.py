"""Write a training run to disk so that a power cut leaves the last or the new file."""

import os
from pathlib import Path

import torch


def save_atomically(state, path):
    """Write ``state``, a dictionary of tensors and plain values, to ``path``."""
    path = Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(path):
    """Return what `save_atomically` wrote, or None where there is no such file."""
    if not Path(path).exists():
        return None
    return torch.load(path, map_location="cpu", weights_only=True)
