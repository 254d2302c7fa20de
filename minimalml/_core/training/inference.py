"""Run a trained module over many rows without leaving a trace on it."""

from contextlib import contextmanager

import torch

from minimalml._core.training.data import to_device

# Rows a call: large enough to keep the device busy, small enough for its memory.
BATCH_SIZE_PREDICT = 4096


@contextmanager
def evaluation_mode(module):
    """Switch dropout and batch statistics off for a while, for each layer as it was.

    A module that is in evaluation mode already is not touched, so that threads may
    share it.
    """
    training = [layer for layer in module.modules() if layer.training]
    for layer in training:
        layer.training = False
    try:
        yield
    finally:
        for layer in training:
            layer.training = True


def map_batches(
    function, module, columns, *, device, dtype, batch_size=BATCH_SIZE_PREDICT
):
    """Return ``function(*columns)`` over all rows, computed batch by batch on ``device``.

    The columns are arrays or tensors, their floats are cast to ``dtype``; the function
    gets tensors of at most ``batch_size`` rows and returns one with as many, or a tuple
    of such. ``module`` is in evaluation mode meanwhile.
    """
    parts = []
    with evaluation_mode(module), torch.inference_mode():
        for start in range(0, len(columns[0]), batch_size):
            rows = slice(start, start + batch_size)
            tensors = [to_device(column[rows], device, dtype) for column in columns]
            parts.append(function(*tensors))
    if isinstance(parts[0], tuple):
        return tuple(torch.cat(pieces) for pieces in zip(*parts, strict=True))
    return torch.cat(parts)
