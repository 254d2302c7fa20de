"""Class moments past one machine: over the blocks of a Dask array, over torch's ranks.

The moments add up, so a cluster only has to add; the engine is Dask's or torch's.
"""

import numpy as np

from minimalml._core.arrays import import_torch, is_torch_tensor
from minimalml._core.optional import import_optional
from minimalml.linear_model._naive_bayes_probe._input import encode_labels
from minimalml.linear_model._naive_bayes_probe._moments import ClassMoments
from minimalml.linear_model._naive_bayes_probe._moments_functions import class_moments


def dask_class_moments(X, y, classes, *, sample_weight=None, per_class=False):
    """Measure class moments of a Dask array where its blocks are.

    Each block is read once by the worker that has it, and sums travel up a tree:
    K d numbers for each block. `NaiveBayesProbe.from_statistics` makes a classifier
    of the result, equal to rounding to one fitted on one machine. The tree is that of
    the blocks, so neither the number of workers nor one that dies changes a bit.

    Parameters
    ----------
    X : dask array of shape (n_samples, n_features)
        In blocks of whole rows, of any sizes, dense or CSR.

    y : dask array of shape (n_samples,)
        Class labels, in blocks of the same rows.

    classes : array-like of shape (n_classes,)
        All labels that can occur; a block need not have all of them.

    sample_weight : dask array of shape (n_samples,), default=None
        Non-negative weights, in blocks of the same rows.

    per_class : bool, default=False
        Whether each class keeps a scatter of its own; for ``variance="per_class"``.

    Returns
    -------
    ClassMoments
        Computed by the current Dask client or scheduler.

    Raises
    ------
    ValueError
        If blocks split features or rows disagree, or a label is not in ``classes``.
    ImportError
        If dask is not installed.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from minimalml.linear_model import NaiveBayesProbe, dask_class_moments
    >>> X, y = np.random.default_rng(0).normal(size=(1000, 3)), np.arange(1000) % 2
    >>> moments = dask_class_moments(
    ...     da.from_array(X, chunks=(300, 3)), da.from_array(y, chunks=300), [0, 1])
    >>> NaiveBayesProbe.from_statistics(moments).class_count_
    array([500., 500.])
    """
    dask = import_optional("dask", who="dask_class_moments", extra="dask")
    if X.numblocks[1] != 1:
        raise ValueError(
            f"X has {X.numblocks[1]} blocks of features, it must have one: use "
            "X.rechunk({1: -1})."
        )
    columns = {"y": y, "sample_weight": sample_weight}
    for name, column in columns.items():
        # rows of unknown number can't be compared; the blocks will be
        if column is not None and not same_blocks(column.chunks[0], X.chunks[0]):
            raise ValueError(
                f"{name} has blocks of {column.chunks[0]} rows but X of "
                f"{X.chunks[0]}: use {name}.rechunk(X.chunks[0])."
            )
    classes = np.unique(classes)
    weights = [None] * X.numblocks[0]
    if sample_weight is not None:
        weights = sample_weight.to_delayed()
    measure, add = dask.delayed(block_moments), dask.delayed(sum)
    parts = [
        measure(rows, labels, classes, weight, per_class)
        for rows, labels, weight in zip(
            X.to_delayed().ravel(), y.to_delayed(), weights, strict=True
        )
    ]
    while len(parts) > 1:
        parts = [add(parts[i : i + 2]) for i in range(0, len(parts), 2)]
    return parts[0].compute()


def same_blocks(one, two):
    return len(one) == len(two) and all(
        a == b or np.isnan(a) or np.isnan(b) for a, b in zip(one, two, strict=True)
    )


def block_moments(X, y, classes, sample_weight, per_class):
    """Measure one block; labels are those of the whole."""
    codes = encode_labels(np.asarray(y), classes)
    moments = class_moments(X, codes, len(classes), sample_weight, per_class)
    return moments.with_classes(classes)


def all_reduce_moments(moments, group=None):
    """Add up class moments over the ranks of ``torch.distributed``.

    Every rank measures its own rows and calls this; all get the same sum, as if one
    process had seen all rows. Rank 0's means are broadcast (K d numbers) to be the
    common shift, and one ``all_reduce`` adds counts, shifted sums and shifted squares.

    Parameters
    ----------
    moments : ClassMoments
        Of this rank's rows; tensors stay on their device. All ranks must have the
        same classes and features.

    group : ProcessGroup, default=None
        Ranks that take part; None means all.

    Returns
    -------
    ClassMoments
        The sum, with tensors if ``moments`` has tensors.

    Raises
    ------
    ImportError
        If torch is not installed.
    """
    torch = import_torch("all_reduce_moments")
    from torch import distributed

    counts, offsets, scatter, origin = (
        torch.as_tensor(a)
        for a in (moments.counts, moments.offsets, moments.scatter, moments.origin)
    )
    shift = (origin + offsets).clone()
    distributed.broadcast(shift, group_src=0, group=group)
    difference = origin + offsets - shift
    squares = difference**2 * counts[:, None]
    packed = torch.cat(
        [
            counts,
            counts.new_tensor([moments.n_samples]),
            (difference * counts[:, None]).ravel(),
            (scatter + (squares if moments.per_class else squares.sum(0))).ravel(),
        ]
    )
    distributed.all_reduce(packed, group=group)
    counts, n_samples, sums, squares = packed.split(
        [len(counts), 1, offsets.numel(), scatter.numel()]
    )
    weight = torch.where(counts > 0, counts, 1)[:, None]
    difference = sums.reshape(offsets.shape) / weight
    between = difference**2 * counts[:, None]
    between = between if moments.per_class else between.sum(0)
    scatter = (squares.reshape(scatter.shape) - between).clip(0)
    total = ClassMoments(
        counts,
        shift - shift[0] + difference,
        scatter,
        moments.classes,
        shift[0].clone(),
        int(n_samples),
    )
    return total if is_torch_tensor(moments.counts) else total.to_numpy()
