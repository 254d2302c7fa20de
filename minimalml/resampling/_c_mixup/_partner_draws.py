"""The three ways to draw partners: sorted labels, blocks of candidates, neighbours.

All of them see the candidates in one order, by group and then by label. A query's own
group is one segment of positions, and of it all before ``left_stop`` and all from
``right_start`` on are its candidates.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.neighbors import KDTree
from sklearn.utils import check_random_state

from minimalml._core.arrays import array_namespace, is_torch_tensor
from minimalml._core.threads import effective_n_threads
from minimalml.resampling._c_mixup import _target_kernel_blocks, _target_kernel_sorted

QUERY_BLOCK = 256
CANDIDATE_BLOCK = 2048
UNDECIDED = -2
# Blocks must not repeat the random numbers that rejected proposals have used.
BLOCKS_COUNTER = 2**32
SECONDS_PER_SORTED_DRAW = 2e-7
SECONDS_PER_PAIR = 1e-8


class View(NamedTuple):
    """What one kernel sees of the rows.

    Attributes
    ----------
    features : array or CSR of shape (n_rows, n_columns)
        Labels or inputs in units of the bandwidth.
    reach : float
        0 for the Gaussian kernel, about 1 for the tophat, infinity for the uniform.
    """

    features: object
    reach: float


class Candidates(NamedTuple):
    """The rows of positive weight, by group and then by label.

    Attributes
    ----------
    rows : array of shape (n_candidates,)
        Row of each position.
    weights : array of shape (n_candidates,) or None
        None stands for equal weights.
    sorted_y : array of shape (n_candidates,) or None
        The single column that the kernel sees, if it sees a single one.
    weight_prefix : array of shape (n_candidates + 1,) or None
        Sums of weights.
    offsets : array of shape (n_groups + 1,)
        Position at which each group begins, and the end.
    """

    rows: object
    weights: object
    sorted_y: object
    weight_prefix: object
    offsets: object


class Queries(NamedTuple):
    """Rows that ask for a partner, and the positions that may answer.

    Attributes
    ----------
    rows : array of shape (n_queries,)
    segment : array of shape (n_queries,)
        Number of the row's group.
    left_stop, right_start : arrays of shape (n_queries,)
        Its candidates lie before the one or from the other on; they differ by one where
        the row itself is excluded.
    """

    rows: object
    segment: object
    left_stop: object
    right_start: object

    def take(self, picked):
        """Return the queries at the places ``picked``."""
        return Queries(*(part[picked] for part in self))


def on_device(array):
    """Keyword arguments that make a new array land where ``array`` is."""
    return {"device": array.device} if is_torch_tensor(array) else {}


def batches(n_items, size):
    """Yield slices of ``size`` items; none of no items."""
    for start in range(0, n_items, size):
        yield slice(start, min(start + size, n_items))


def draw_seeds(n_draws, random_state, like):
    """Draw one 64-bit seed a partner, on the device of ``like``."""
    if is_torch_tensor(like):
        import torch

        if isinstance(random_state, torch.Generator):
            lowest, highest = -(2**63), 2**63 - 1
            return torch.randint(
                lowest, highest, (n_draws,), generator=random_state, device=like.device
            )
    seeds = check_random_state(random_state).randint(
        0, 2**64 - 1, size=n_draws, dtype=np.uint64
    )
    if is_torch_tensor(like):
        return torch.from_numpy(seeds.view(np.int64)).to(like.device)
    return seeds


def _kernels(like):
    """Return the kernels by sorting and by blocks, for NumPy or for tensors."""
    if is_torch_tensor(like):
        from minimalml.resampling._c_mixup import (
            _target_kernel_blocks_torch,
            _target_kernel_sorted_torch,
        )

        return _target_kernel_sorted_torch, _target_kernel_blocks_torch
    return _target_kernel_sorted, _target_kernel_blocks


def draw_by_sorting(view, candidates, queries, seeds, n_threads=None):
    """Draw partners by the one column that the kernel sees, in O(log n) each.

    Parameters
    ----------
    view : View
        Of a single column.

    candidates : Candidates

    queries : Queries
        Fastest in the order of the candidates.

    seeds : array of shape (n_queries,)
        One random stream a query.

    n_threads : int, default=None

    Returns
    -------
    array of shape (n_queries,)
        A row each; a query without candidates gets its own.
    """
    xp = array_namespace(seeds)
    kernels, _ = _kernels(seeds)
    n_threads = effective_n_threads(len(seeds), SECONDS_PER_SORTED_DRAW, n_threads)
    positions = xp.empty_like(queries.rows)
    kernels.sample_partners_sorted(
        candidates.sorted_y, candidates.weight_prefix, view.features[queries.rows, 0],
        candidates.offsets, *queries[1:], view.reach, seeds, positions, n_threads,
    )  # fmt: skip
    partners = _rows_at(candidates, positions, queries.rows)
    (undecided,) = xp.nonzero(positions == UNDECIDED, **_as_tuple(xp))
    if len(undecided):
        partners[undecided] = draw_by_blocks(
            [view], candidates, queries.take(undecided), seeds[undecided], n_threads
        )
    return partners


def _as_tuple(xp):
    return {} if xp is np else {"as_tuple": True}


def _rows_at(candidates, positions, own_rows):
    """Rows at ``positions``; where there is none, a query's own row."""
    xp = array_namespace(positions)
    if len(candidates.rows) == 0:
        return own_rows
    return xp.where(positions >= 0, candidates.rows[positions.clip(min=0)], own_rows)


def draw_by_blocks(views, candidates, queries, seeds, n_threads=None):
    """Draw partners by one pass over all candidates, in O(n) each, memory O(block).

    Parameters and result are those of `draw_by_sorting`, but for ``views``, a list of
    `View` of any width, whose kernels are multiplied.
    """
    xp = array_namespace(seeds)
    # by group, so that a block of queries meets few groups of candidates
    order = xp.argsort(queries.segment, stable=True)
    positions = xp.full_like(queries.rows, -1)
    for block in batches(len(seeds), QUERY_BLOCK):
        picked = order[block]
        positions[picked] = _draw_block(
            views, candidates, queries.take(picked), seeds[picked], n_threads
        )
    return _rows_at(candidates, positions, queries.rows)


def _draw_block(views, candidates, queries, seeds, n_threads):
    xp = array_namespace(seeds)
    _, kernels = _kernels(seeds)
    low, high = 0, len(candidates.rows)
    if xp is np:
        offsets = candidates.offsets
        low, high = offsets[queries.segment.min()], offsets[queries.segment.max() + 1]
    positions = xp.full_like(queries.rows, -1)
    log_total = None
    # Blocks start at fixed places: a draw doesn't depend on who else is in the batch.
    for start in range(low - low % CANDIDATE_BLOCK, high, CANDIDATE_BLOCK):
        stop = min(start + CANDIDATE_BLOCK, len(candidates.rows))
        log_kernel = compute_log_kernel(
            views, queries.rows, candidates.rows[start:stop], n_threads
        )  # (n_queries, stop - start)
        if log_total is None:
            log_total = xp.full_like(log_kernel[:, 0], -math.inf)
        log_weight = xp.zeros_like(log_kernel[0])
        if candidates.weights is not None:
            log_weight = xp.log(candidates.weights[start:stop])
        counter = BLOCKS_COUNTER + 2 * (start // CANDIDATE_BLOCK)
        kernels.update_reservoir(
            log_kernel, log_weight, start, counter, candidates.offsets, *queries[1:],
            seeds, log_total, positions, _threads_for(log_kernel, n_threads),
        )  # fmt: skip
    return positions


def compute_log_kernel(views, query_rows, candidate_rows, n_threads=None):
    """Log of the product of the views' kernels, without weights.

    Returns
    -------
    array of shape (n_queries, n_candidates)
    """
    xp = array_namespace(query_rows)
    _, kernels = _kernels(query_rows)
    shape = (len(query_rows), len(candidate_rows))
    log_kernel = None
    for view in views:
        queries = _dense(view.features[query_rows])
        if log_kernel is None:
            log_kernel = xp.zeros(shape, dtype=queries.dtype, **on_device(queries))
        if not math.isinf(view.reach):
            kernels.add_log_kernel(
                queries, _dense(view.features[candidate_rows]), view.reach,
                log_kernel, _threads_for(log_kernel, n_threads),
            )  # fmt: skip
    return log_kernel


def _dense(features):
    return features.toarray() if sparse.issparse(features) else features


def _threads_for(log_kernel, n_threads):
    n_pairs = log_kernel.shape[0] * log_kernel.shape[1]
    return effective_n_threads(n_pairs, SECONDS_PER_PAIR, n_threads)


def draw_by_neighbors(views, candidates, queries, seeds, n_neighbors, n_threads=None):
    """Draw partners among the nearest candidates only: approximate, O(k log n) each.

    Parameters and result are those of `draw_by_blocks`, with ``n_neighbors`` candidates
    kept a query. A tree is built for each group that the queries belong to.
    """
    positions = np.full_like(queries.rows, -1)
    features = [_dense(view.features) for view in views]
    order = np.argsort(queries.segment, stable=True)
    starts = np.flatnonzero(np.diff(queries.segment[order], prepend=-1))
    for asking in np.split(order, starts[1:]):
        tree = _tree(features, candidates, queries.segment[asking[0]])
        if tree is None:
            continue
        for block in batches(len(asking), QUERY_BLOCK):
            picked = asking[block]
            asked = queries.take(picked)
            near, log_mass = _near_candidates(
                views, features, tree, candidates, asked, n_neighbors
            )
            positions[picked] = _draw_column(near, log_mass, seeds[picked], n_threads)
    return _rows_at(candidates, positions, queries.rows)


def near_positions(views, candidates, query, n_neighbors):
    """Positions and log masses of the candidates near a single query."""
    features = [_dense(view.features) for view in views]
    tree = _tree(features, candidates, query.segment[0])
    if tree is None:
        return np.empty(0, dtype=np.intp), np.empty(0)
    near, log_mass = _near_candidates(
        views, features, tree, candidates, query, n_neighbors
    )
    return near[0], log_mass[0]


def _tree(features, candidates, segment):
    rows = candidates.rows[
        candidates.offsets[segment] : candidates.offsets[segment + 1]
    ]
    return KDTree(np.hstack([f[rows] for f in features])) if len(rows) else None


def _near_candidates(views, features, tree, candidates, queries, n_neighbors):
    """Positions (n_queries, n_near) of the nearest candidates, and their log masses.

    The tree holds the group that the queries share; -inf stands for an excluded own row.
    """
    own = np.where(queries.right_start > queries.left_stop, queries.left_stop, -1)
    k = min(n_neighbors + int((own >= 0).any()), tree.data.shape[0])
    points = np.hstack([f[queries.rows] for f in features])
    near = candidates.offsets[queries.segment][:, None] + tree.query(
        points, k=k, return_distance=False
    )
    # a query's own row goes last; the sort is stable: the others stay nearest first
    is_own = near == own[:, None]
    order = np.argsort(is_own, axis=1, stable=True)[:, :n_neighbors]
    near = np.take_along_axis(near, order, axis=1)

    log_mass = np.where(near == own[:, None], -math.inf, 0.0)
    if candidates.weights is not None:
        log_mass += np.log(candidates.weights[near])
    for view, f in zip(views, features, strict=True):
        offsets = f[queries.rows][:, None] - f[candidates.rows[near]]
        distances = np.einsum("qkj,qkj->qk", offsets, offsets)
        if view.reach == 0.0:
            log_mass -= 0.5 * distances
        else:
            log_mass[distances > view.reach**2] = -math.inf
    return near, log_mass


def _draw_column(near, log_mass, seeds, n_threads):
    n_queries, n_near = near.shape
    column = np.full(n_queries, -1, dtype=np.intp)
    segment, end = np.zeros_like(column), np.full_like(column, n_near)
    _target_kernel_blocks.update_reservoir(
        log_mass, np.zeros(n_near), 0, BLOCKS_COUNTER, np.array([0, n_near]), segment,
        end, end, seeds, np.full(n_queries, -math.inf), column, _threads_for(log_mass, n_threads),
    )  # fmt: skip
    chosen = np.take_along_axis(near, column.clip(min=0)[:, None], axis=1)[:, 0]
    return np.where(column >= 0, chosen, -1)
