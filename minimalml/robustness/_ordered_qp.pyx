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
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from minimalml.robustness._active_rows cimport (
    INFEASIBLE, NO_MEMORY, OPTIMAL, STOPPED, Saved, Work, add, add_rows, allocate,
    append_row, dot, factor_row, follow_null_vector, gap, largest, move_active, release, restore,
    save,
)

# Rows taken in at once; more saves scans of all classes, but more are thrown out again.
cdef enum:
    BLOCK = 8
    CHUNK = 64  # classes that are passed over at once where none leads

cdef void begin(
    Work *work, const double *logits, const Py_ssize_t *targets, Py_ssize_t n_targets,
    double *u,
) noexcept nogil:
    """Start a sample without active rows."""
    cdef Py_ssize_t n = work.n_classes, i
    for i in range(n):
        work.above[i] = targets[n_targets - 1]
    for i in range(1, n_targets):
        work.above[targets[i]] = targets[i - 1]
    work.above[targets[0]] = -1
    memset(work.is_active, 0, n * sizeof(bint))
    memset(work.multiplier, 0, n * sizeof(double))
    memset(u, 0, n * sizeof(double))
    memcpy(work.score, logits, n * sizeof(double))
    work.n_active = work.n_moved = 0


cdef void refresh(
    Work *work, const double *logits, const Py_ssize_t *targets, Py_ssize_t n_targets,
    const double[:, ::1] G, double *u,
) noexcept nogil:
    """Compute direction and scores from the multipliers."""
    cdef Py_ssize_t i, c
    for i in range(work.n_moved):
        u[work.moved[i]] = 0.0
    for i in range(n_targets):
        work.moved[i] = targets[i]
    work.n_moved = n_targets
    for i in range(work.n_active):
        c = work.active[i]
        u[c] -= work.multiplier[c]
        u[work.above[c]] += work.multiplier[c]
        if work.above[c] == targets[n_targets - 1]:  # not in the chain of targets
            work.moved[work.n_moved] = c
            work.n_moved += 1
    for i in range(work.n_moved):
        work.weight[i] = u[work.moved[i]]
    add_rows(
        work.n_classes, logits, work.n_moved, work.moved, work.weight, &G[0, 0],
        work.score,
    )


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
    cdef Py_ssize_t n_found = 0, n = work.n_classes, low, high, i, c
    cdef double top = work.score[targets[n_targets - 1]] - margin
    for i in range(1, n_targets):
        c = targets[i]
        if gap(work, margin, c) > least and not work.is_active[c]:
            n_found = insert(c, gap(work, margin, c), block, n_found, found, size)
    hide_targets(work, targets, n_targets)
    for i in range((n + CHUNK - 1) // CHUNK):
        low, high = i * CHUNK, min((i + 1) * CHUNK, n)
        if largest(high - low, work.score + low) - top <= least:
            continue
        for c in range(low, high):
            if work.score[c] - top > least and not work.is_active[c]:
                n_found = insert(c, work.score[c] - top, block, n_found, found, size)
    show_targets(work, targets, n_targets)
    return n_found


cdef inline Py_ssize_t insert(
    Py_ssize_t c, double value, Py_ssize_t block, Py_ssize_t n_found,
    Py_ssize_t *found, double *size,
) noexcept nogil:
    """Put a row in its place among the most violated and return how many these are."""
    cdef Py_ssize_t slot = n_found if n_found < block else block - 1
    if n_found == block and value <= size[block - 1]:
        return n_found
    while slot > 0 and size[slot - 1] < value:
        size[slot] = size[slot - 1]
        found[slot] = found[slot - 1]
        slot -= 1
    size[slot] = value
    found[slot] = c
    return min(n_found + 1, block)


cdef void hide_targets(
    Work *work, const Py_ssize_t *targets, Py_ssize_t n_targets
) noexcept nogil:
    """Put the targets' scores aside, so that the largest score is a rival's."""
    cdef Py_ssize_t i
    for i in range(n_targets):
        work.row[i] = work.score[targets[i]]
        work.score[targets[i]] = -INFINITY


cdef void show_targets(
    Work *work, const Py_ssize_t *targets, Py_ssize_t n_targets
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n_targets):
        work.score[targets[i]] = work.row[i]


cdef inline Py_ssize_t consider(
    Work *work, Py_ssize_t c, double margin, double least, Py_ssize_t block,
    Py_ssize_t n_found, Py_ssize_t *found, double *size,
) noexcept nogil:
    """Put a row in its place among the most violated and return how many these are."""
    cdef double value = gap(work, margin, c)
    cdef Py_ssize_t slot
    if work.is_active[c] or value <= least:
        return n_found
    if n_found == block and value <= size[block - 1]:
        return n_found
    slot = n_found if n_found < block else block - 1
    while slot > 0 and size[slot - 1] < value:
        size[slot] = size[slot - 1]
        found[slot] = found[slot - 1]
        slot -= 1
    size[slot] = value
    found[slot] = c
    return min(n_found + 1, block)


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
    bint is_warm, const Saved *start, double *dual, double *u, double *distance,
    double *residual, Py_ssize_t *n_iter,
) noexcept nogil:
    """Solve one sample from saved rows, from multipliers in ``dual``, or from nothing."""
    cdef Py_ssize_t n = work.n_classes, first = targets[0], i, c, n_found
    cdef Py_ssize_t[BLOCK] found
    cdef double scale, worst = 0.0, slack = 0.0
    cdef int state = OPTIMAL
    begin(work, logits, targets, n_targets, u)
    for c in range(n):
        work.row[c] = fabs(logits[c])
    scale = 1.0 + largest(n, work.row)
    n_iter[0] = 0
    if start != NULL:
        if not restore(work, start):
            return NO_MEMORY
        n_found = most_violated(
            work, targets, n_targets, margin, 0.1 * tol * scale, BLOCK, found
        )
        for i in range(n_found):
            append_row(work, G, found[i])
        active_gaps(work, margin)
    elif is_warm:
        for i in range(n - 1):
            c = i + (i >= first)
            if dual[i] > 0.0 and append_row(work, G, c) == 1:
                work.multiplier[c] = dual[i]
        gaps_from_factor(work, logits, margin)
    if work.n_active:
        n_iter[0] = 1
        move_active(work)
        refresh(work, logits, targets, n_targets, G, u)
    state = add_violated(
        work, logits, targets, n_targets, G, margin, tol, scale, max_iter, u, n_iter
    )
    distance[0] = 0.0
    for i in range(work.n_moved):
        c = work.moved[i]
        distance[0] += work.weight[i] * (work.score[c] - logits[c])
    memcpy(dual, work.multiplier, first * sizeof(double))
    memcpy(dual + first, work.multiplier + first + 1, (n - 1 - first) * sizeof(double))
    for i in range(work.n_active):
        c = work.active[i]
        slack = max(slack, fabs(work.multiplier[c] * gap(work, margin, c)))
    worst = largest_gap(work, targets, n_targets, margin)
    residual[0] = max(worst / scale, slack / (scale + distance[0]))
    if state == OPTIMAL and residual[0] > tol:
        state = STOPPED
    if state == INFEASIBLE:
        memset(u, 0, n * sizeof(double))
        distance[0] = residual[0] = INFINITY
    return state


cdef double largest_gap(
    Work *work, const Py_ssize_t *targets, Py_ssize_t n_targets, double margin
) noexcept nogil:
    """Find by how much the worst row is violated, 0 if none is."""
    cdef double worst = 0.0, top
    cdef Py_ssize_t i
    for i in range(1, n_targets):
        worst = max(worst, gap(work, margin, targets[i]))
    top = work.score[targets[n_targets - 1]] - margin
    hide_targets(work, targets, n_targets)
    worst = max(worst, largest(work.n_classes, work.score) - top)
    show_targets(work, targets, n_targets)
    return worst


cdef int add_violated(
    Work *work, const double *logits, const Py_ssize_t *targets, Py_ssize_t n_targets,
    const double[:, ::1] G, double margin, double tol, double scale,
    Py_ssize_t max_iter, double *u, Py_ssize_t *n_iter,
) noexcept nogil:
    """Take in violated rows, round by round, until there are none."""
    cdef Py_ssize_t[BLOCK] found
    cdef Py_ssize_t n_found, n_refined = 0, block = BLOCK
    cdef int state = OPTIMAL
    cdef bint is_closed
    while True:
        # a null vector proves something only where the active gaps are closed
        is_closed = active_gaps(work, margin) <= 1e-3 * tol * scale or n_refined == 3
        n_refined = 0 if is_closed else n_refined + 1
        n_found = 0
        if is_closed:
            n_found = most_violated(
                work, targets, n_targets, margin, 0.1 * tol * scale, block, found
            )
            if n_found == 0:
                return OPTIMAL
        if n_iter[0] == max_iter:
            return STOPPED
        n_iter[0] += 1
        take_in(work, G, found, n_found, &state)
        if state != OPTIMAL:
            return state
        active_gaps(work, margin)
        move_active(work)
        refresh(work, logits, targets, n_targets, G, u)
        if n_found and not any_active(work, found, n_found):
            if block == 1:
                return STOPPED
            block = 1  # rounding threw out all that came in: be careful from here on


cdef bint any_active(Work *work, Py_ssize_t *found, Py_ssize_t n_found) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n_found):
        if work.is_active[found[i]]:
            return True
    return False


cdef class SavedRows:
    """What a solve leaves for the next: results, active rows and their factors.

    A copy or a pickle has none.
    """

    cdef Saved *saved
    cdef Py_ssize_t n
    cdef object problem
    cdef readonly tuple results

    def __cinit__(self, targets=(), gram=None):
        cdef Py_ssize_t b, n_classes = 1 if gram is None else len(gram)
        self.n = n = len(targets)
        self.saved = <Saved *> calloc(max(n, 1), sizeof(Saved))
        if self.saved == NULL:
            raise MemoryError("the active rows of the ordering programme")
        for b in range(n):
            self.saved[b].n_active = -1
        self.problem = gram, np.array(targets), fingerprint(gram)
        self.results = (
            np.empty((n, n_classes)), np.empty(n), np.empty((n, n_classes - 1)),
            np.empty(n), np.empty(n, np.int8), np.empty(n, np.intp),
        )

    def __dealloc__(self):
        cdef Py_ssize_t b
        for b in range(self.n):
            free(self.saved[b].active)
            free(self.saved[b].values)
        free(self.saved)

    def __reduce__(self):
        return SavedRows, ()

    def fits(self, targets, gram):
        """Whether the rows are those of this very matrix and these targets."""
        mine, its_targets, its_values = self.problem
        return (
            # a pickled array has a dtype of its own, and NumPy makes views of it
            mine is not None
            and mine.ctypes.data == gram.ctypes.data
            and mine.shape == gram.shape
            and np.array_equal(its_targets, targets)
            and np.array_equal(its_values, fingerprint(gram))
        )


def fingerprint(gram):
    """Values that change where a matrix is overwritten in place."""
    return () if gram is None else np.append(gram.diagonal(), gram[0])


def ordered_qp(
    const double[:, ::1] logits,  # IN (n_samples, n_classes)
    targets,  # IN (n_samples, n_targets), contiguous intp
    gram,  # IN (n_classes, n_classes), contiguous float64
    double margin,
    warm_start,  # IN (n_samples, n_classes - 1) or None
    double tol,
    Py_ssize_t max_iter,
    int n_threads,
    SavedRows start=None,  # IN what the last solve left
    bint in_place=False,  # whether to overwrite start, and with it the last results
):
    """Solve the ordering programme of each row of ``logits``.

    Returns
    -------
    direction, distance_squared, dual, residual, status, n_iter, saved_rows
        Arrays with one row a sample; status is 0 optimal, 1 infeasible, 2 stopped.
    """
    cdef Py_ssize_t n = logits.shape[0], n_classes = logits.shape[1], b
    cdef const Py_ssize_t[:, ::1] T = targets
    cdef const double[:, ::1] G = gram
    cdef bint is_warm = warm_start is not None
    cdef Work *work = NULL
    cdef Saved *before = NULL
    cdef SavedRows end = start
    if start is not None and start.fits(targets, gram):
        before = start.saved
    if before == NULL or not in_place:
        end = SavedRows(targets, gram)
    out = end.results
    if is_warm and before == NULL:
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
                status[b] = solve_safely(
                    work, &logits[b, 0], &T[b, 0], T.shape[1], G, margin, tol,
                    max_iter, is_warm and before == NULL,
                    NULL if before == NULL else &before[b],
                    &dual[b, 0], &u[b, 0], &distance[b], &residual[b], &n_iter[b],
                )
            if status[b] != OPTIMAL:
                end.saved[b].n_active = -1
            elif not save(work, &logits[b, 0], &end.saved[b]):
                status[b] = NO_MEMORY
        if work != NULL:
            release(work)
            free(work)
    if (out[4] == NO_MEMORY).any():
        raise MemoryError("the active rows of the ordering programme")
    return *out, end


cdef int solve_safely(
    Work *work, const double *logits, const Py_ssize_t *targets, Py_ssize_t n_targets,
    const double[:, ::1] G, double margin, double tol, Py_ssize_t max_iter,
    bint is_warm, const Saved *start, double *dual, double *u, double *distance,
    double *residual, Py_ssize_t *n_iter,
) noexcept nogil:
    """Solve one sample; where saved rows don't lead to an optimum, do without them."""
    cdef int state
    if start != NULL and start.n_active >= 0:
        state = solve_one(
            work, logits, targets, n_targets, G, margin, tol, max_iter, False, start,
            dual, u, distance, residual, n_iter,
        )
        if state == OPTIMAL or state == NO_MEMORY:
            return state
    return solve_one(
        work, logits, targets, n_targets, G, margin, tol, max_iter, is_warm, NULL,
        dual, u, distance, residual, n_iter,
    )
