"""What a row's evaluation comes down to: the bias at which its answer changes.

A bias on the scores of unseen pairs changes a row's answer once, where it passes the gap
between the row's best seen and its best unseen pair. One pass over the scores finds it.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.utils import column_or_1d

from minimalml._core.array_checks import as_tensor, check_rows
from minimalml._core.arrays import array_namespace, is_torch_tensor
from minimalml._core.threads import effective_n_threads, for_each_chunk
from minimalml.multioutput._compositional_zero_shot._czsl_kernel import update_top_pairs

SECONDS_PER_SCORE = 1e-9
SCORES_A_CHUNK = 2**18  # 0.3 ms
NO_CANDIDATE = 2  # neither seen (1) nor unseen (0)


class BiasGaps(NamedTuple):
    """What a row's evaluation needs, two arrays or tensors of shape (n,)."""

    gap: np.ndarray  # right for biases up to it (seen rows) or above it; nan for none
    is_seen: np.ndarray  # whether the row's true pair is a seen one


class TopPairs:
    """The k best pairs of each row, of unseen (0) and of seen ones (1).

    Blocks of columns are fed one after the other: memory is O(n k), whatever their
    number. Empty places hold -inf and -1; ``device`` is that of tensors.
    """

    def __init__(self, n_rows, k=1, device=None):
        self.n_columns = 0
        shape = (2, n_rows, k)
        if device is None:
            self.values = np.full(shape, -np.inf)
            self.indices = np.full(shape, -1, np.intp)
        else:
            import torch

            is_narrow = torch.device(device).type == "mps"  # it has no float64
            dtype = torch.float32 if is_narrow else torch.float64
            self.values = torch.full(shape, -torch.inf, dtype=dtype, device=device)
            self.indices = torch.full(shape, -1, device=device)

    def update(self, scores, seen_group, n_threads=None):
        """Merge the scores (n_rows, n_block) of columns of some groups; return itself."""
        best = self.values, self.indices
        if is_torch_tensor(scores):
            from minimalml.multioutput._compositional_zero_shot import (
                _czsl_kernel_torch as kernel,
            )

            seen_group = _like(self.values, seen_group)
            kernel.update_top_pairs(scores, seen_group, self.n_columns, *best)
        else:
            scores, seen_group = map(np.ascontiguousarray, (scores, seen_group))
            arguments = scores, seen_group, self.n_columns, *best
            cost = SECONDS_PER_SCORE
            for_each_chunk(
                partial(update_top_pairs, *arguments),
                len(scores),
                chunk_size=max(1, SCORES_A_CHUNK // max(1, scores.shape[1])),
                n_threads=effective_n_threads(scores.size, cost, n_threads),
            )
        self.n_columns += scores.shape[1]
        return self

    def best(self, bias=0.0):
        """Return the column of each row's best pair, given the bias of unseen pairs.

        A seen pair wins a tie with an unseen one; -1 is for a row without candidates.
        """
        unseen, seen = self.values[..., 0]
        is_seen = seen >= unseen + bias
        return array_namespace(is_seen).where(is_seen, *self.indices[[1, 0], :, 0])

    def gaps(self, pair_index, seen_mask):
        """Return the `BiasGaps` of the rows, given their true pairs.

        A row is right as soon as its true pair is among the k best of both groups
        together. With r pairs of its own group above it, that is so while fewer than
        k - r pairs of the other group are: the (k - r)-th best of them decides.
        """
        xp, device = array_namespace(self.values), self.values.device
        pair_index, seen_mask = (_like(self.values, a) for a in (pair_index, seen_mask))
        is_candidate = pair_index >= 0
        is_seen = is_candidate & seen_mask[pair_index]
        group, rows = is_seen * 1, xp.arange(len(is_seen), device=device)
        matches = self.indices[group, rows] == pair_index[:, None]
        matches &= is_candidate[:, None]
        hit, rank = matches.any(axis=1), (matches * 1).argmax(axis=1)
        other = self.values[1 - group, rows, self.values.shape[2] - 1 - rank]
        # -inf for a group without enough pairs: the gap is then infinite, as it should
        margin = self.values[group, rows, rank] - xp.where(hit, other, 0.0)
        gap = xp.where(hit, xp.where(is_seen, margin, -margin), xp.nan)
        return BiasGaps(gap, is_seen)


def czsl_gaps(
    scores, pair_index, seen_mask, *, pair_mask=None, top_k=1, n_threads=None
):
    """Reduce scores to the bias at which each row's answer changes.

    That is all that a curve needs of rows: they may come in blocks, or from several
    machines, and `curve_from_gaps` puts the blocks together. O(nP) time.

    Parameters
    ----------
    scores, pair_index, seen_mask, pair_mask, top_k, n_threads : object
        As `czsl_curve` takes them.

    Returns
    -------
    gap : ndarray or torch.Tensor of shape (n,)
        The row's answer is right for biases up to the gap (seen rows) or above it
        (unseen rows); nan where no bias makes it right.
    is_seen : ndarray or torch.Tensor of bool of shape (n,)
        Whether the row's true pair is a seen one.

    Examples
    --------
    >>> from minimalml.multioutput import czsl_gaps
    >>> scores = [[0.75, 0.5, 0.25], [0.5, 0.25, 0.0]]
    >>> gaps = czsl_gaps(scores, [0, 2], seen_mask=[True, True, False])
    >>> print(gaps.gap, gaps.is_seen)
    [0.5 0.5] [ True False]
    """
    is_tensor = is_torch_tensor(scores)
    scores = check_rows(scores.detach() if is_tensor else scores, name="scores")
    check_top_k(top_k, scores.shape[1])
    pair_index = _check_index(pair_index, scores)
    seen_mask = _check_mask(seen_mask, scores, "seen_mask")
    if pair_mask is not None:
        pair_mask = _check_mask(pair_mask, scores, "pair_mask")
    tops = TopPairs(len(scores), top_k, scores.device if is_tensor else None)
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


def _check_index(pair_index, scores):
    """Check the true columns; return them where the scores are."""
    if not is_torch_tensor(pair_index):
        pair_index = column_or_1d(pair_index, input_name="pair_index")
    pair_index, n_pairs = _like(scores, pair_index), scores.shape[1]
    if pair_index.shape != (len(scores),):
        raise ValueError(
            f"pair_index must have shape ({len(scores)},), one entry a row of scores, "
            f"got {tuple(pair_index.shape)}: inconsistent numbers of samples."
        )
    if "int" not in str(pair_index.dtype):
        raise ValueError(f"pair_index must hold integers, got {pair_index.dtype}.")
    lowest, highest = int(pair_index.min()), int(pair_index.max())
    if lowest < -1 or highest >= n_pairs:
        raise ValueError(
            f"pair_index must be in -1..{n_pairs - 1}, the columns of scores, got "
            f"{lowest}..{highest}."
        )
    return pair_index.long() if is_torch_tensor(scores) else pair_index


def _check_mask(mask, scores, name):
    mask, n_pairs = _like(scores, mask), scores.shape[1]
    if mask.dtype != array_namespace(mask).bool or mask.shape != (n_pairs,):
        raise ValueError(
            f"{name} must be a boolean array of length {n_pairs}, one entry a column of "
            f"scores, got {mask.dtype} of shape {tuple(mask.shape)}."
        )
    return mask


def _like(reference, values):
    """Return ``values`` as an array or tensor, where ``reference`` is."""
    if is_torch_tensor(reference):
        return as_tensor(values, device=reference.device)
    return np.asarray(values)
