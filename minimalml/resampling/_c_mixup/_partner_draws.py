"""The three ways to draw partners: sorted labels, blocks of candidates, neighbours.

All of them see the candidates in one order, by group and then by label, and take from
each query's seed a random stream of its own: a draw depends neither on the number of
threads nor on who else is in the batch.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn.neighbors import KDTree
from sklearn.utils import gen_batches

from minimalml._core.threads import effective_n_threads, for_each_chunk
from minimalml.resampling._c_mixup._target_kernel_sorted import (
    UNDECIDED,
    sample_partners_sorted,
    uniform_numbers,
)

# Draws by sorting a chunk, 0.4 ms on one thread.
SORTED_CHUNK = 2048
SECONDS_PER_SORTED_DRAW = 2e-7
# Queries a chunk of the pass over blocks, and log masses that it holds at once: in cache.
QUERY_CHUNK = 256
BLOCK_SIZE = 2**17
# Candidates that are made dense at once, where inputs are sparse.
CANDIDATE_BLOCK = 2048
SECONDS_PER_PAIR = 5e-9


def draw_by_sorting(candidates, queries, seeds, n_threads=None):
    """Draw positions by the one column that the kernel sees, in O(log n) each.

    Fastest for queries in the order of the candidates; -1 for those that have none.
    """
    (view,) = candidates.views
    positions = np.empty_like(queries.rows)
    sorted_y = candidates.features[0][:, 0]
    query_y = view.features[queries.rows, 0]

    def draw(start, stop):
        sample_partners_sorted(
            sorted_y, candidates.weight_prefix, query_y, candidates.offsets,
            *queries[1:], view.reach, seeds, positions, start, stop,
        )  # fmt: skip

    n_threads = effective_n_threads(len(seeds), SECONDS_PER_SORTED_DRAW, n_threads)
    for_each_chunk(draw, len(seeds), chunk_size=SORTED_CHUNK, n_threads=n_threads)
    undecided = np.flatnonzero(positions == UNDECIDED)
    if len(undecided):
        positions[undecided] = draw_by_blocks(
            candidates, queries.take(undecided), seeds[undecided], n_threads
        )
    return positions


def draw_by_blocks(candidates, queries, seeds, n_threads=None):
    """Draw positions by a pass over all candidates, for any views: O(n) each."""
    # by group, so that a chunk of queries meets few groups of candidates
    order = np.argsort(queries.segment, kind="stable")
    positions = np.full_like(queries.rows, -1)

    def draw(start, stop):
        first, last = _span(candidates, queries.segment[order[start:stop]])
        n_at_once = max(1, BLOCK_SIZE // max(1, last - first))
        for part in gen_batches(stop - start, n_at_once):
            picked = order[start:stop][part]
            near, log_mass = all_masses(candidates, queries.take(picked))
            positions[picked] = _draw_among(near, log_mass, seeds[picked])

    mean_size = max(1, len(candidates.rows) // (len(candidates.offsets) - 1))
    n_threads = effective_n_threads(len(seeds), SECONDS_PER_PAIR * mean_size, n_threads)
    chunk_size = min(QUERY_CHUNK, max(1, 8 * BLOCK_SIZE // mean_size))
    for_each_chunk(draw, len(seeds), chunk_size=chunk_size, n_threads=n_threads)
    return positions


def draw_by_neighbors(candidates, neighbors, queries, seeds):
    """Draw positions among the nearest candidates only, which is approximate."""
    positions = np.empty_like(queries.rows)
    for part in gen_batches(len(seeds), max(1, BLOCK_SIZE // neighbors.n_neighbors)):
        near, log_mass = near_masses(candidates, neighbors, queries.take(part))
        positions[part] = _draw_among(near, log_mass, seeds[part])
    return positions


def _span(candidates, segments):
    """First and last position of the groups from the first to the last of a list."""
    return candidates.offsets[segments[0]], candidates.offsets[segments[-1] + 1]


def all_masses(candidates, queries):
    """Positions (1, k) of all candidates in the queries' groups, log masses (n, k).

    A mass is weight times kernel, 0 where a query doesn't see the candidate.
    """
    first, last = _span(candidates, queries.segment)
    log_mass = np.zeros((len(queries.rows), last - first))
    if candidates.log_weights is not None:
        log_mass += candidates.log_weights[first:last]
    for (features, reach), theirs in zip(
        candidates.views, candidates.features, strict=True
    ):
        if math.isinf(reach):
            continue
        own = _dense(features[queries.rows])
        size = CANDIDATE_BLOCK if sparse.issparse(theirs) else max(1, last - first)
        for start in range(first, last, size):
            block = _dense(theirs[start : min(start + size, last)])
            # by differences: with products, near pairs would cancel
            squares = cdist(own, block, "sqeuclidean")
            _apply_kernel(log_mass[:, start - first :][:, : len(block)], squares, reach)
    excluded = np.flatnonzero(queries.right_start > queries.left_stop)
    log_mass[excluded, queries.left_stop[excluded] - first] = -math.inf
    if queries.segment[0] != queries.segment[-1]:
        is_theirs = (
            candidates.codes[candidates.rows[first:last]] == queries.segment[:, None]
        )
        log_mass[~is_theirs] = -math.inf
    return np.arange(first, last)[None], log_mass


def _apply_kernel(log_mass, squares, reach):
    """Multiply masses by a Gaussian or tophat kernel of squared distances, in place."""
    if reach == 0.0:
        squares *= 0.5
        log_mass -= squares
    else:
        log_mass[squares > reach**2] = -math.inf


def _dense(features):
    """Return features as an array."""
    return features.toarray() if sparse.issparse(features) else features


class Neighbors(NamedTuple):
    """A tree of the candidates, and how far apart it puts their groups."""

    tree: KDTree
    group_gap: float
    n_neighbors: int


def build_neighbors(candidates, n_neighbors):
    """Return what finds a query's nearest candidates."""
    points = np.hstack([_dense(features) for features in candidates.features])
    group_gap = 1.0 + 2.0 * points.shape[1] * np.abs(points).max(initial=0.0)
    segment = np.repeat(
        np.arange(len(candidates.offsets) - 1), np.diff(candidates.offsets)
    )
    tree = KDTree(np.column_stack([points, group_gap * segment]))
    return Neighbors(tree, group_gap, n_neighbors)


def near_masses(candidates, neighbors, queries):
    """Positions of the nearest candidates and their log masses, both (n, k)."""
    tree, group_gap, n_neighbors = neighbors
    own = [_dense(view.features[queries.rows]) for view in candidates.views]
    excluded = np.where(queries.right_start > queries.left_stop, queries.left_stop, -1)
    n_near = min(n_neighbors + int((excluded >= 0).any()), len(candidates.rows))
    near = tree.query(
        np.column_stack([*own, group_gap * queries.segment]), n_near, False
    )
    log_mass = np.zeros(near.shape)
    if candidates.log_weights is not None:
        log_mass += candidates.log_weights[near]
    for (_, reach), points, theirs in zip(
        candidates.views, own, candidates.features, strict=True
    ):
        if math.isinf(reach):
            continue
        for k in range(n_near):
            offsets = points - _dense(theirs[near[:, k]])
            squares = np.einsum("qj,qj->q", offsets, offsets)
            _apply_kernel(log_mass[:, k], squares, reach)
    is_hidden = near == excluded[:, None]
    if n_near > n_neighbors:  # of a query whose own row isn't among them, the furthest
        is_hidden[~is_hidden.any(axis=1), -1] = True
    is_hidden |= candidates.codes[candidates.rows[near]] != queries.segment[:, None]
    log_mass[is_hidden] = -math.inf
    return near, log_mass


def _draw_among(positions, log_mass, seeds):
    """Draw one of each row's positions in proportion to its mass; -1 if all are 0."""
    if log_mass.shape[1] == 0:
        return np.full(len(seeds), -1)
    highest = log_mass.max(axis=1)
    has_mass = highest > -math.inf
    log_mass -= np.where(has_mass, highest, 0.0)[:, None]
    cumulative = np.cumsum(np.exp(log_mass, out=log_mass), axis=1, out=log_mass)
    total = cumulative[:, -1]
    # below the total, so that what is drawn has mass
    target = np.minimum(uniform_numbers(seeds, 1) * total, np.nextafter(total, 0.0))
    column = (cumulative <= target[:, None]).sum(axis=1)
    column[~has_mass] = 0
    positions = np.broadcast_to(positions, log_mass.shape)
    drawn = np.take_along_axis(positions, column[:, None], axis=1)[:, 0]
    return np.where(has_mass, drawn, -1)
