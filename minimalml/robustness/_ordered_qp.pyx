# SPDX-License-Identifier: BSD-3-Clause
"""Nearest point at which K classes lead in a given order: dual active set, CPU.

Minimise 1/2 λᵀ(D G Dᵀ)λ - λᵀr over λ >= 0. D has one row a class but the first target:
the row of class c demands that the class before it in the order, above(c), leads c by
the margin. So rows, multipliers and classes share an index, D is never formed, and
(D G Dᵀ)_ij takes four entries of G.
"""
# Time O(C a + a^2) a pivot, with C classes and a active rows; memory O(C + a^2) a thread.

import numpy as np

from cython.parallel cimport parallel, prange
from libc.math cimport INFINITY, fabs
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from minimalml.robustness._active_rows cimport (
    INFEASIBLE, NO_MEMORY, OPTIMAL, STOPPED, Work, add, allocate, append_row,
    dot, factor_row, follow_null_vector, gap, move_active, release,
)

# Rows taken in at once; more saves scans of all classes, but more are thrown out again.
cdef enum:
    BLOCK = 8

cdef void refresh(
    Work *work, const double *logits, const double[:, ::1] G, double *u,
) noexcept nogil:
    """Compute direction and scores from the multipliers."""
    cdef Py_ssize_t i, c, n = work.n_classes
    memset(u, 0, n * sizeof(double))
    for i in range(work.n_active):
        c = work.active[i]
        u[c] -= work.multiplier[c]
        u[work.above[c]] += work.multiplier[c]
    for c in range(n):
        work.score[c] = logits[c]
    for c in range(n):
        if u[c] != 0.0:
            add(n, u[c], &G[c, 0], work.score)


cdef double active_gaps(Work *work, double margin) noexcept nogil:
    """Compute the gaps of the active rows and return the widest."""
    cdef double widest = 0.0
    cdef Py_ssize_t i
    for i in range(work.n_active):
        work.violation[i] = gap(work, margin, work.active[i])
        widest = max(widest, fabs(work.violation[i]))
    return widest


cdef void gaps_from_factor(
    Work *work, const double *logits, double margin
) noexcept nogil:
    """Compute the gaps of the active rows in O(a^2), without the other scores."""
    cdef Py_ssize_t i, c
    cdef double value
    memset(work.step, 0, work.n_active * sizeof(double))
    for i in range(work.n_active):
        add(i + 1, work.multiplier[work.active[i]], factor_row(work, i), work.step)
    for i in range(work.n_active):
        c = work.active[i]
        value = margin - logits[work.above[c]] + logits[c]
        work.violation[i] = value - dot(i + 1, factor_row(work, i), work.step)


cdef Py_ssize_t most_violated(
    Work *work, const Py_ssize_t *targets, Py_ssize_t n_targets, double margin,
    double least, Py_ssize_t block, Py_ssize_t *found,
) noexcept nogil:
    """List the most violated rows, largest first; ties: chain, then lowest class."""
    cdef double[BLOCK] size
    cdef double value
    cdef Py_ssize_t n_found = 0, i, c, slot
    for i in range(1, n_targets + work.n_classes):
        c = targets[i] if i < n_targets else i - n_targets
        if work.is_active[c] or work.above[c] < 0:
            continue
        if i >= n_targets and work.above[c] != targets[n_targets - 1]:
            continue  # a chain row, seen before
        value = gap(work, margin, c)
        if value <= least or (n_found == block and value <= size[block - 1]):
            continue
        slot = n_found if n_found < block else block - 1
        while slot > 0 and size[slot - 1] < value:
            size[slot] = size[slot - 1]
            found[slot] = found[slot - 1]
            slot -= 1
        size[slot] = value
        found[slot] = c
        n_found = min(n_found + 1, block)
    return n_found


cdef Py_ssize_t take_in(
    Work *work, const double[:, ::1] G, Py_ssize_t *found, Py_ssize_t n_found, int *state,
) noexcept nogil:
    """Make violated rows active and return how many; state says if that went wrong."""
    cdef Py_ssize_t i, n_taken = 0
    cdef int appended
    for i in range(n_found):
        appended = append_row(work, G, found[i])
        if appended < 0:
            state[0] = NO_MEMORY
            return n_taken
        if appended == 0 and n_taken == 0:
            state[0] = follow_null_vector(work, G, found[i])
            return 1
        n_taken += appended
    return n_taken


cdef int solve_one(
    Work *work, const double *logits, const Py_ssize_t *targets, Py_ssize_t n_targets,
    const double[:, ::1] G, double margin, double tol, Py_ssize_t max_iter,
    bint is_warm, double *dual, double *u, double *distance, double *residual,
    Py_ssize_t *n_iter,
) noexcept nogil:
    """Solve one sample; dual holds the starting multipliers on entry if is_warm."""
    cdef Py_ssize_t n = work.n_classes, first = targets[0], block = BLOCK
    cdef Py_ssize_t i, c, n_found, n_refined = 0
    cdef Py_ssize_t[BLOCK] found
    cdef double scale = 1.0, worst, value
    cdef int state = OPTIMAL
    cdef bint is_closed
    for c in range(n):
        scale = max(scale, 1.0 + fabs(logits[c]))
        work.above[c] = targets[n_targets - 1]
        work.is_active[c] = False
        work.multiplier[c] = 0.0
    work.above[first] = -1
    for i in range(1, n_targets):
        work.above[targets[i]] = targets[i - 1]
    work.n_active = 0
    if is_warm:
        for i in range(n - 1):
            c = i + (i >= first)
            if dual[i] > 0.0 and append_row(work, G, c) == 1:
                work.multiplier[c] = dual[i]
    n_iter[0] = 0
    if work.n_active:
        n_iter[0] = 1
        gaps_from_factor(work, logits, margin)
        move_active(work)
    refresh(work, logits, G, u)
    while state == OPTIMAL:
        # a null vector proves something only where the active gaps are closed
        is_closed = active_gaps(work, margin) <= 1e-3 * tol * scale or n_refined == 3
        n_refined = 0 if is_closed else n_refined + 1
        n_found = 0
        if is_closed:
            n_found = most_violated(
                work, targets, n_targets, margin, 0.1 * tol * scale, block, found
            )
            if n_found == 0:
                break
        if n_iter[0] == max_iter:
            state = STOPPED
            break
        n_iter[0] += 1
        take_in(work, G, found, n_found, &state)
        if state != OPTIMAL:
            break
        active_gaps(work, margin)
        move_active(work)
        refresh(work, logits, G, u)
        if n_found and not any_active(work, found, n_found):
            if block == 1:
                state = STOPPED
                break
            block = 1  # rounding threw out all that came in: be careful from here on
    distance[0] = 0.0
    for c in range(n):
        distance[0] += u[c] * (work.score[c] - logits[c])
    residual[0] = 0.0
    for i in range(n - 1):
        c = i + (i >= first)
        dual[i] = work.multiplier[c]
        value = gap(work, margin, c)
        worst = fabs(dual[i] * value) / (scale + distance[0])
        residual[0] = max(residual[0], max(value / scale, worst))
    if state == OPTIMAL and residual[0] > tol:
        state = STOPPED
    if state == INFEASIBLE:
        memset(u, 0, n * sizeof(double))
        distance[0] = residual[0] = INFINITY
    return state


cdef bint any_active(Work *work, Py_ssize_t *found, Py_ssize_t n_found) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n_found):
        if work.is_active[found[i]]:
            return True
    return False


def ordered_qp(
    const double[:, ::1] logits,  # IN (n_samples, n_classes)
    const Py_ssize_t[:, ::1] targets,  # IN (n_samples, n_targets)
    const double[:, ::1] gram,  # IN (n_classes, n_classes)
    double margin,
    const double[:, ::1] warm_start,  # IN (n_samples, n_classes - 1) or None
    double tol,
    Py_ssize_t max_iter,
    int n_threads,
):
    """Solve the ordering programme of each row of ``logits``.

    Returns
    -------
    direction, distance_squared, dual, residual, status, n_iter
        Arrays with one row a sample; status is 0 optimal, 1 infeasible, 2 stopped.
    """
    cdef Py_ssize_t n = logits.shape[0], n_classes = logits.shape[1], b
    cdef bint is_warm = warm_start is not None
    cdef Work *work = NULL
    out = (
        np.empty((n, n_classes)), np.empty(n), np.empty((n, n_classes - 1)),
        np.empty(n), np.empty(n, np.int8), np.empty(n, np.intp),
    )
    if is_warm:
        out[2][:] = warm_start
    cdef double[:, ::1] u = out[0]
    cdef double[::1] distance = out[1]
    cdef double[:, ::1] dual = out[2]
    cdef double[::1] residual = out[3]
    cdef signed char[::1] status = out[4]
    cdef Py_ssize_t[::1] n_iter = out[5]
    with nogil, parallel(num_threads=n_threads):
        work = <Work *> malloc(sizeof(Work))
        if work != NULL and not allocate(work, n_classes):
            release(work)
            free(work)
            work = NULL
        for b in prange(n, schedule="dynamic"):
            status[b] = NO_MEMORY
            if work != NULL:
                status[b] = solve_one(
                    work, &logits[b, 0], &targets[b, 0], targets.shape[1], gram,
                    margin, tol, max_iter, is_warm, &dual[b, 0], &u[b, 0],
                    &distance[b], &residual[b], &n_iter[b],
                )
        if work != NULL:
            release(work)
            free(work)
    if (out[4] == NO_MEMORY).any():
        raise MemoryError("the active rows of the ordering programme")
    return out
