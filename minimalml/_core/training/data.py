"""Rows as batches on a device, without a call to Python code for each row.

The rows of an epoch are gathered in its order a chunk at a time, and the chunk is cut
into views: per-row collation is what makes the usual loader slow on small networks.
"""

from types import SimpleNamespace

import joblib
import numpy as np
import torch

from minimalml._core.array_checks import as_tensor
from minimalml._core.arrays import to_numpy

# Bytes of columns up to which they are copied to the device as a whole.
IN_MEMORY_LIMIT = 2**32
# Bytes gathered at once: larger chunks measured no faster, and they bound the memory.
CHUNK_BYTES = 2**26


class Batch(SimpleNamespace):
    """The rows of one step.

    Attributes
    ----------
    indices : tensor of shape (n_batch,)
        Row numbers among the training rows, on the device.

    weight : tensor of shape (n_batch,) or None
        Sample weights, divided by their mean over the training rows.

    n_rows : int
        Rows of the batch, over all processes.

    share : float
        What this process's rows count for among those of all processes, 1 where it is
        alone; the loop multiplies the loss by it.

    **columns : tensors of shape (n_batch, ...)
        The other columns, by name.
    """

    weight = None
    share = 1.0


class TrainingData:
    """Named columns with the same rows: NumPy arrays, memory-mapped or not, or tensors.

    Floats are cast to ``dtype``, ``weight`` is divided by its mean over the training
    ``rows``, columns that are None are dropped. Up to ``in_memory_limit`` bytes
    ``columns`` are tensors of the training rows on the device; beyond, all rows as they
    were given, and only chunks of them are copied.
    """

    def __init__(
        self, columns, device, dtype, rows=None, in_memory_limit=IN_MEMORY_LIMIT
    ):
        self.device, self.dtype, self.training_rows = device, dtype, rows
        columns = {name: c for name, c in columns.items() if c is not None}
        n_all = len(next(iter(columns.values())))
        self.n_rows = n_all if rows is None else len(rows)
        n_bytes = sum(c.nbytes for c in columns.values()) * self.n_rows // n_all
        self.row_bytes = max(1, n_bytes // self.n_rows)
        self.is_in_memory = n_bytes <= in_memory_limit
        if "weight" in columns:
            weight = columns["weight"]
            mean = (weight if rows is None else weight[rows]).mean()
            if not mean > 0:
                raise ValueError("sample_weight has no row above 0 to train on.")
            columns["weight"] = weight / mean
        if self.is_in_memory:
            self.rows = None
            columns = {
                name: self._to_device(c if rows is None else c[rows])
                for name, c in columns.items()
            }
        else:
            self.rows = np.arange(n_all) if rows is None else np.asarray(rows)
        self.columns = columns

    def _to_device(self, array):
        return to_device(array, self.device, self.dtype)

    def take(self, indices):
        """Return the columns at some rows, a dictionary of tensors on the device."""
        if self.is_in_memory:
            indices = self._to_device(indices)
            return {n: c.index_select(0, indices) for n, c in self.columns.items()}
        rows = self.rows[indices.cpu().numpy()]
        return {
            name: self._to_device(_take_in_file_order(column, rows))
            for name, column in self.columns.items()
        }

    def digest(self):
        """Return a hash of about a thousand rows, to tell these rows from others."""
        indices = torch.arange(0, self.n_rows, max(1, self.n_rows // 1000))
        columns = self.take(indices)
        return joblib.hash([(name, to_numpy(c)) for name, c in columns.items()])

    def batches(self, order, batch_size, *, extend=None, rank=0, world_size=1):
        """Yield batches of rows in ``order``, row numbers on the CPU.

        ``extend(indices, columns) -> dict`` adds or replaces columns of a whole chunk
        at once. Of each batch this process takes the share ``rank`` of ``world_size``.
        """
        chunk_rows = max(1, CHUNK_BYTES // (self.row_bytes * batch_size)) * batch_size
        for indices in order.split(chunk_rows):
            columns = self.take(indices)
            columns["indices"] = self._to_device(indices)
            if extend is not None:
                columns.update(extend(indices, columns))
            parts = [column.split(batch_size) for column in columns.values()]
            for values in zip(*parts, strict=True):
                batch = Batch(**dict(zip(columns, values, strict=True)))
                batch.n_rows = len(batch.indices)
                yield batch if world_size == 1 else _shard(batch, rank, world_size)


def _shard(batch, rank, world_size):
    """Return one process's rows; a batch too small to share goes to all."""
    if batch.n_rows < world_size:
        return batch
    shard = Batch(
        **{
            name: value[rank::world_size] if name != "n_rows" else value
            for name, value in vars(batch).items()
        }
    )
    shard.share = len(shard.indices) * world_size / shard.n_rows
    return shard


def to_device(array, device, dtype):
    """Return a tensor on ``device``, floats cast to ``dtype``, without waiting."""
    tensor = as_tensor(array)
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    kept_dtype = dtype if tensor.is_floating_point() else tensor.dtype
    return tensor.to(device, kept_dtype, non_blocking=True).contiguous()


def _take_in_file_order(column, rows):
    """Gather rows of a file front to back, and return them in the asked order."""
    if isinstance(column, torch.Tensor):
        return column[torch.as_tensor(rows, device=column.device)]
    forward = np.argsort(rows, kind="stable")
    taken = np.empty((len(rows), *column.shape[1:]), column.dtype)
    taken[forward] = column[rows[forward]]
    return taken
