"""What a row's evaluation comes down to: the bias at which its answer changes.

A bias on the scores of unseen pairs changes a row's answer once, where it passes the gap
between the row's best seen and its best unseen pair. One pass over the scores finds it.
"""

from typing import NamedTuple

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from minimalml._core.arrays import array_namespace, is_torch_tensor
from minimalml._core.threads import effective_n_threads
from minimalml.multioutput._compositional_zero_shot._czsl_kernel import update_top_pairs

SECONDS_PER_SCORE = 1e-9
NO_CANDIDATE = 2  # neither seen (1) nor unseen (0)


class BiasGaps(NamedTuple):
    """What a row's evaluation needs; results of blocks of rows concatenate.

    Parameters
    ----------
    gap : ndarray or torch.Tensor of shape (n,)
        The row's answer is right for biases up to the gap (seen rows) or above it
        (unseen rows); nan where no bias makes it right.
    hit : ndarray or torch.Tensor of bool of shape (n,)
        Whether any bias makes the row's answer right.
    is_seen : ndarray or torch.Tensor of bool of shape (n,)
        Whether the row's true pair is a seen one.
    """

    gap: np.ndarray
    hit: np.ndarray
    is_seen: np.ndarray

    @classmethod
    def concatenate(cls, parts):
        """Join the results of blocks of rows.

        Parameters
        ----------
        parts : list of BiasGaps
            One a block, in order.

        Returns
        -------
        BiasGaps
            Of all rows.
        """
        xp = array_namespace(parts[0].gap)
        return cls(*(xp.concatenate(pieces) for pieces in zip(*parts, strict=True)))


class TopPairs:
    """The k best seen and unseen pairs of each row, fed by blocks of columns.

    Open-world candidates (every attribute with every object) can be too many for one
    score matrix: compute it block by block and call `update` for each. Memory is
    O(n k), whatever the number of pairs.

    Parameters
    ----------
    n_rows : int
        Number of rows.

    k : int, default=1
        How many pairs of either group to keep.

    device : torch.device or str, default=None
        Where tensors of scores will come from; None for NumPy arrays.
    """

    def __init__(self, n_rows, k=1, device=None):
        self.n_columns = 0
        shape = (2, n_rows, k)
        if device is None:
            values, indices = np.full(shape, -np.inf), np.full(shape, -1, np.intp)
        else:
            import torch

            dtype = _wide_dtype(torch.device(device))
            values = torch.full(shape, -torch.inf, dtype=dtype, device=device)
            indices = torch.full(shape, -1, device=device)
        self.seen_values, self.unseen_values = values
        self.seen_indices, self.unseen_indices = indices

    def update(self, scores, seen_group, n_threads=None):
        """Merge the next block of columns.

        Parameters
        ----------
        scores : ndarray or torch.Tensor of shape (n_rows, n_block), floats
            Scores of the block's pairs.

        seen_group : ndarray or torch.Tensor of uint8 of shape (n_block,)
            1 for a seen pair, 0 for an unseen one, 2 for no candidate.

        n_threads : int, default=None
            Threads; None lets the library decide. Tensors follow torch's setting.

        Returns
        -------
        TopPairs
            Itself.
        """
        if is_torch_tensor(scores):
            from minimalml.multioutput._compositional_zero_shot._czsl_kernel_torch import (
                update_top_pairs as kernel,
            )

            seen_group = array_namespace(scores).asarray(
                seen_group, device=scores.device
            )
        else:
            kernel, scores = update_top_pairs, np.ascontiguousarray(scores)
            cost = SECONDS_PER_SCORE
            n_threads = effective_n_threads(scores.size, cost, n_threads)
        kernel(
            scores,
            seen_group,
            self.n_columns,
            self.seen_values,
            self.seen_indices,
            self.unseen_values,
            self.unseen_indices,
            n_threads,
        )
        self.n_columns += scores.shape[1]
        return self

    def best(self, bias=0.0):
        """Return the column of each row's best pair, given the bias of unseen pairs.

        A seen pair wins a tie with an unseen one; among its own kind the first does.

        Parameters
        ----------
        bias : float, default=0.0
            Added to the scores of unseen pairs.

        Returns
        -------
        ndarray or torch.Tensor of int of shape (n_rows,)
            Columns; -1 for a row without any candidate.
        """
        is_seen = self.seen_values[:, 0] >= self.unseen_values[:, 0] + bias
        xp = array_namespace(is_seen)
        return xp.where(is_seen, self.seen_indices[:, 0], self.unseen_indices[:, 0])

    def gaps(self, pair_index, seen_mask):
        """Return the `BiasGaps` of the rows, given their true pairs.

        A row is right as soon as its true pair is among the k best of both groups
        together. With r pairs of its own group above it, that is so while fewer than
        k - r pairs of the other group are: the (k - r)-th best of them decides.

        Parameters
        ----------
        pair_index : ndarray or torch.Tensor of int of shape (n_rows,)
            Column of each row's true pair; -1 for none of the candidates, which makes
            the row an unseen one that is never right.

        seen_mask : ndarray or torch.Tensor of bool of shape (n_columns,)
            Which pairs occurred in training.

        Returns
        -------
        BiasGaps
            A gap and two flags a row.
        """
        xp, device = array_namespace(self.seen_values), self.seen_values.device
        pair_index = xp.asarray(pair_index, device=device)
        seen_mask = xp.asarray(seen_mask, device=device)
        is_candidate = pair_index >= 0
        is_seen = is_candidate & seen_mask[pair_index]
        own = xp.where(is_seen[:, None], self.seen_indices, self.unseen_indices)
        values = self.seen_values, self.unseen_values
        own_values, other_values = (
            xp.where(is_seen[:, None], *order) for order in (values, values[::-1])
        )
        matches = (own == pair_index[:, None]) & is_candidate[:, None]
        hit, rank = matches.any(axis=1), (matches * 1).argmax(axis=1)
        rows, k = xp.arange(len(rank), device=device), own.shape[1]
        other = other_values[rows, k - 1 - rank]
        # -inf for a group without enough pairs: the gap is then infinite, as it should
        margin = own_values[rows, rank] - xp.where(hit, other, 0.0)
        gap = xp.where(hit, xp.where(is_seen, margin, -margin), xp.nan)
        return BiasGaps(gap, hit, is_seen)


def czsl_gaps(
    scores, pair_index, seen_mask, *, pair_mask=None, top_k=1, n_threads=None
):
    """Reduce scores to a gap and two flags a row, all that the curve needs.

    Parameters
    ----------
    scores : array-like or torch.Tensor of shape (n, P), floats
        Score of each candidate pair. Tensors stay on their device.

    pair_index : array-like of int of shape (n,)
        Column of each row's true pair; -1 where it is no candidate.

    seen_mask : array-like of bool of shape (P,)
        Which pairs occurred in training.

    pair_mask : array-like of bool of shape (P,), default=None
        Which pairs are candidates; None means all.

    top_k : int, default=1
        A row is right if its true pair is among the ``top_k`` best.

    n_threads : int, default=None
        Threads; None lets the library decide. Tensors follow torch's setting.

    Returns
    -------
    BiasGaps
        Named tuple ``(gap, hit, is_seen)`` of arrays of shape (n,), tensors for
        tensors.

    Raises
    ------
    ValueError
        If shapes disagree, scores are NaN, an index is out of range, or ``top_k``
        is not in 1..P.

    Examples
    --------
    >>> from minimalml.multioutput import czsl_gaps
    >>> scores = [[0.75, 0.5, 0.25], [0.5, 0.25, 0.0]]
    >>> gaps = czsl_gaps(scores, [0, 2], seen_mask=[True, True, False])
    >>> print(gaps.gap, gaps.hit, gaps.is_seen)
    [0.5 0.5] [ True  True] [ True False]
    """
    check = _check_tensors if is_torch_tensor(scores) else _check_arrays
    scores, pair_index, *masks = check(scores, pair_index, seen_mask, pair_mask)
    n_pairs = scores.shape[1]
    check_top_k(top_k, n_pairs)
    seen_mask, pair_mask = masks
    device = scores.device if is_torch_tensor(scores) else None
    tops = TopPairs(len(scores), top_k, device)
    tops.update(scores, seen_groups(seen_mask, pair_mask), n_threads)
    return tops.gaps(pair_index, seen_mask)


def check_top_k(top_k, n_pairs):
    """Raise where no ``top_k`` of the pairs can be taken."""
    if not 1 <= top_k <= n_pairs:
        raise ValueError(f"top_k must be in 1..{n_pairs}, got {top_k}.")


def seen_groups(seen_mask, pair_mask=None):
    """Return masks of columns as the uint8 numbers that `TopPairs` takes."""
    xp = array_namespace(seen_mask)
    groups = xp.asarray(seen_mask, dtype=xp.uint8)
    return groups if pair_mask is None else xp.where(pair_mask, groups, NO_CANDIDATE)


def _check_arrays(scores, pair_index, seen_mask, pair_mask):
    scores = check_array(
        scores, dtype=[np.float64, np.float32], order="C", input_name="scores"
    )
    pair_index = column_or_1d(pair_index, dtype=np.intp, input_name="pair_index")
    check_consistent_length(scores, pair_index)
    _check_range(pair_index.min(), pair_index.max(), scores.shape[1])
    masks = [
        mask
        if mask is None
        else _check_mask(column_or_1d(mask, input_name=name), scores, name)
        for name, mask in (("seen_mask", seen_mask), ("pair_mask", pair_mask))
    ]
    return scores, pair_index, *masks


def _check_tensors(scores, pair_index, seen_mask, pair_mask):
    """Check tensors as arrays are; their values are looked at once, all together."""
    import torch

    if scores.ndim != 2 or not scores.numel() or not scores.is_floating_point():
        raise ValueError(
            "scores must be a tensor of floats of shape (n, P), n and P at least 1, "
            f"got {scores.dtype} of shape {tuple(scores.shape)}."
        )
    scores = scores.detach()
    pair_index = torch.as_tensor(pair_index, device=scores.device).long()
    if pair_index.shape != scores.shape[:1]:
        raise ValueError(
            f"pair_index must have shape ({len(scores)},), one entry a row of scores, "
            f"got {tuple(pair_index.shape)}: inconsistent numbers of samples."
        )
    parts = [*scores.aminmax(), *pair_index.aminmax()]  # a NaN comes through
    values = torch.stack([part.to(_wide_dtype(scores.device)) for part in parts])
    values = values.tolist()
    if not np.isfinite(values[:2]).all():
        raise ValueError("scores contains NaN or infinity.")
    _check_range(*map(int, values[2:]), scores.shape[1])
    masks = [
        mask
        if mask is None
        else _check_mask(torch.as_tensor(mask, device=scores.device), scores, name)
        for name, mask in (("seen_mask", seen_mask), ("pair_mask", pair_mask))
    ]
    return scores, pair_index, *masks


def _wide_dtype(device):
    import torch

    return torch.float32 if device.type == "mps" else torch.float64


def _check_range(lowest, highest, n_pairs):
    if lowest < -1 or highest >= n_pairs:
        raise ValueError(
            f"pair_index must be in -1..{n_pairs - 1}, the columns of scores, got "
            f"{lowest}..{highest}."
        )


def _check_mask(mask, scores, name):
    xp, n_pairs = array_namespace(mask), scores.shape[1]
    if mask.dtype != xp.bool or mask.shape != (n_pairs,):
        raise ValueError(
            f"{name} must be a boolean array of length {n_pairs}, one entry a column of "
            f"scores, got {mask.dtype} of length {len(mask)}."
        )
    return mask
