"""Exact partners for any distance: one pass over blocks of candidates, in log space.

O(queries x candidates) time, memory of one block. Squared distances come as one matrix
product a block; the draw is a weighted reservoir of size one.
"""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport INFINITY, exp, log, log1p
from libc.stdint cimport uint64_t

from minimalml._core.random_streams cimport uniform

# |q|^2 + |c|^2 - 2 q.c is off by a few roundings of the norms: pairs closer than this
# share of them are computed again by differences, which leaves 2e-12 of the distance.
cdef double CANCELLED = 1e-4


cdef inline double squared_distance(
    const double* query, const double* candidate, Py_ssize_t n_columns
) noexcept nogil:
    cdef double difference, total = 0.0
    cdef Py_ssize_t j
    for j in range(n_columns):
        difference = query[j] - candidate[j]
        total += difference * difference
    return total


def add_log_kernel(
    const double[:, ::1] queries,       # IN in units of the bandwidth
    const double[:, ::1] candidates,    # IN in units of the bandwidth
    double reach,                       # IN 1 for the tophat kernel, 0 for the Gaussian
    double[:, ::1] log_kernel,          # IN, OUT the log of this kernel is added
    int n_threads,
):
    """Add the log of a Gaussian or tophat kernel of the distances to ``log_kernel``."""
    cdef Py_ssize_t q, n_queries = queries.shape[0]
    cdef double[:, ::1] products
    if n_queries == 0 or candidates.shape[0] == 0 or queries.shape[1] == 0:
        return
    products = np.asarray(queries) @ np.asarray(candidates).T
    for q in prange(n_queries, nogil=True, schedule="static", num_threads=n_threads):
        add_log_kernel_row(
            &queries[q, 0], &candidates[0, 0], &products[q, 0], reach,
            &log_kernel[q, 0], candidates.shape[0], candidates.shape[1],
        )


cdef void add_log_kernel_row(
    const double* query, const double* candidates, const double* products,
    double reach, double* log_kernel, Py_ssize_t n_candidates, Py_ssize_t n_columns,
) noexcept nogil:
    cdef double norm = 0.0, other, distance
    cdef const double* candidate
    cdef Py_ssize_t c, j
    for j in range(n_columns):
        norm += query[j] * query[j]
    for c in range(n_candidates):
        candidate = candidates + c * n_columns
        other = norm
        for j in range(n_columns):
            other += candidate[j] * candidate[j]
        distance = other - 2.0 * products[c]
        if distance <= CANCELLED * other:
            distance = squared_distance(query, candidate, n_columns)
        if reach == 0.0:
            log_kernel[c] -= 0.5 * distance
        elif distance > reach * reach:
            log_kernel[c] = -INFINITY


def update_reservoir(
    double[:, ::1] log_kernel,          # WORK log kernel of a block; overwritten
    const double[::1] log_weight,       # IN of the block's candidates
    Py_ssize_t block_start,             # IN position of the block's first candidate
    Py_ssize_t counter,                 # IN random numbers that each stream has used
    const Py_ssize_t[::1] offsets,      # IN (n_segments + 1,) where segments begin
    const Py_ssize_t[::1] segment,      # IN of each query
    const Py_ssize_t[::1] left_stop,    # IN candidates in its segment lie before it
    const Py_ssize_t[::1] right_start,  # IN   or from it on
    const uint64_t[::1] seeds,          # IN one stream a query
    double[::1] log_total,              # IN, OUT log mass so far, -inf at first
    Py_ssize_t[::1] out,                # IN, OUT position chosen so far, -1 at first
    int n_threads,
):
    """Let a block of candidates replace each query's choice by its share of the mass.

    Uses the random numbers ``counter + 1`` and ``counter + 2`` of each stream.
    """
    cdef Py_ssize_t q, n_queries = out.shape[0]
    if log_weight.shape[0] == 0:
        return
    for q in prange(n_queries, nogil=True, schedule="static", num_threads=n_threads):
        update_row(
            &log_kernel[q, 0], &log_weight[0], log_weight.shape[0], block_start,
            offsets[segment[q]], left_stop[q], right_start[q], offsets[segment[q] + 1],
            uniform(seeds[q], counter + 1), uniform(seeds[q], counter + 2),
            &log_total[q], &out[q],
        )


cdef inline bint is_candidate(
    Py_ssize_t k, Py_ssize_t first, Py_ssize_t left_stop,
    Py_ssize_t right_start, Py_ssize_t last,
) noexcept nogil:
    return first <= k < left_stop or right_start <= k < last


cdef void update_row(
    double* log_kernel, const double* log_weight, Py_ssize_t size,
    Py_ssize_t block_start, Py_ssize_t first, Py_ssize_t left_stop,
    Py_ssize_t right_start, Py_ssize_t last, double u_replace, double u_row,
    double* log_total, Py_ssize_t* out,
) noexcept nogil:
    cdef double highest = -INFINITY, mass = 0.0, log_mass, target
    cdef Py_ssize_t c, chosen = -1
    for c in range(size):
        if is_candidate(block_start + c, first, left_stop, right_start, last):
            log_kernel[c] += log_weight[c]
            highest = max(highest, log_kernel[c])
        else:
            log_kernel[c] = -INFINITY
    if highest == -INFINITY:
        return
    for c in range(size):
        log_kernel[c] = exp(log_kernel[c] - highest)
        mass += log_kernel[c]
    log_mass = highest + log(mass)
    # the block's share of all so far, from the difference of logs: it can't overflow
    if u_replace * (1.0 + exp(log_total[0] - log_mass)) < 1.0:
        target = u_row * mass
        for c in range(size):
            if log_kernel[c] > 0.0:
                chosen = c
                target -= log_kernel[c]
                if target < 0.0:
                    break
        out[0] = block_start + chosen
    if log_mass > log_total[0]:
        log_total[0] = log_mass + log1p(exp(log_total[0] - log_mass))
    else:
        log_total[0] += log1p(exp(log_mass - log_total[0]))
