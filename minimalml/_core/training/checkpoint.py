"""Write a training run to disk so that a power cut leaves the last or the new file."""

import os
import textwrap
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


def refuse_another_run(saved, present, path):
    """Raise where two descriptions of runs differ, naming what does."""
    differences = [
        f"{name} was {_brief(saved.get(name))} and is {_brief(present.get(name))}"
        for name in {**saved, **present}
        if saved.get(name) != present.get(name)
    ]
    if differences:
        raise ValueError(
            f"checkpoint {path} is of another run: {'; '.join(differences)}. Give "
            "another path, or remove the file."
        )


def _brief(value):
    return textwrap.shorten(str(value), 60, placeholder=" ...")
