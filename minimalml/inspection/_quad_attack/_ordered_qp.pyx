"""Nearest point at which K classes lead in a given order: dual active set, CPU.

Minimise 1/2 λᵀ(D G Dᵀ)λ - λᵀr over λ >= 0. D has one row a class but the first target:
the row of class c demands that the class before it in the order, above(c), leads c by
the margin. So rows, multipliers and classes share an index, D is never formed, and
(D G Dᵀ)_ij takes four entries of G.
"""
# Time O(C a + a^2) a pivot, with C classes and a active rows; memory O(C + a^2) a sample.

import numpy as np

from libc.math cimport INFINITY, fabs
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from minimalml._core.threads import effective_n_threads, for_each_chunk

from minimalml.inspection._quad_attack._active_rows cimport (
    ACTIVE, INDEFINITE, INFEASIBLE, OPTIMAL, STOPPED, TARGET, Rows, Work, active_gaps,
    append_row, follow_null_vector, gap, move_active, release,
)
from minimalml.inspection._quad_attack._row_sums cimport sum_rows

# Of a sample, on one core, from nothing: benchmarks/quad_attack/compare.py
SECONDS_PER_CLASS = 3e-8
SECONDS_PER_CHUNK = 1e-4

# Rows taken in at once; more saves scans of all classes, but more go out again.
cdef enum:
    BLOCK = 8


cdef class OrderedQP:
    """The ordering programme of fixed targets; each solve starts where the last ended."""

    cdef readonly object targets, gram
    cdef Rows *rows
    cdef Py_ssize_t n
    cdef double[:, ::1] lift

    def __cinit__(self, targets, gram):
        """Take targets (n_samples, k) and matrices (1 or n_samples, C, C)."""
        self.n = len(targets)
        self.rows = <Rows *> calloc(max(self.n, 1), sizeof(Rows))
        if self.rows == NULL:
            raise MemoryError("the active rows of the ordering programme")
        self.targets = np.ascontiguousarray(targets, dtype=np.intp)
        self.gram = np.ascontiguousarray(gram, dtype=np.float64)
        self.lift = np.zeros((self.n, self.gram.shape[1]))
        self.forget()

    def __dealloc__(self):
        if self.rows != NULL:
            self.forget()
        free(self.rows)

    def forget(self):
        """Let the next solve start from nothing."""
        cdef Py_ssize_t b
        for b in range(self.n):
            release(&self.rows[b])

    def solve(
        self, logits, margin, tol, max_iter=None, warm_start=None, n_threads=None,
        keep=True,
    ):
        """Solve for logits (n_samples, C), from multipliers (n_samples, C - 1) if given.

        Returns directions, squared distances, multipliers, residuals, codes (0 optimal,
        1 infeasible, 2 stopped, 3 matrix not positive semidefinite) and rounds.
        """
        n, n_classes = self.n, logits.shape[1]
        results = (
            np.zeros((n, n_classes)), np.empty(n), np.zeros((n, n_classes - 1)),
            np.empty(n), np.empty(n, np.int8), np.empty(n, np.intp),
        )
        is_warm = warm_start is not None
        if is_warm:
            self.forget()
            results[2][:] = warm_start
        options = margin, tol, max_iter or 3 * n_classes + 50, is_warm, keep
        logits = np.ascontiguousarray(logits, dtype=np.float64)
        seconds = SECONDS_PER_CLASS * n_classes
        for_each_chunk(
            lambda start, stop: self.solve_chunk(start, stop, logits, *options, *results),
            n,
            chunk_size=1 + int(SECONDS_PER_CHUNK / seconds),
            n_threads=effective_n_threads(n, seconds, n_threads),
        )
        return results

    def solve_chunk(
        self, Py_ssize_t start, Py_ssize_t stop, const double[:, ::1] logits,  # IN
        double margin, double tol, Py_ssize_t max_iter, bint is_warm, bint is_kept,
        double[:, ::1] direction, double[::1] distance, double[:, ::1] dual,  # OUT
        double[::1] residual, signed char[::1] status, Py_ssize_t[::1] n_iter,  # OUT
    ):
        """Solve the samples from ``start`` on; ``dual`` holds a start where is_warm."""
        cdef Py_ssize_t n = logits.shape[1], b
        cdef const Py_ssize_t[:, ::1] targets = self.targets
        cdef const double[:, :, ::1] gram = self.gram
        cdef double[:, ::1] reals = np.empty((8, n))
        cdef Py_ssize_t[:, ::1] integers = np.zeros((3, n), np.intp)
        cdef double *real = &reals[0, 0]
        cdef Work work
        work.n_classes, work.n_targets, work.margin = n, targets.shape[1], margin
        work.score, work.weight, work.violation = real, real + n, real + 2 * n
        work.step, work.row, work.other = real + 3 * n, real + 4 * n, real + 5 * n
        work.residual, work.correction = real + 6 * n, real + 7 * n
        work.above, work.kind, work.moved = (
            &integers[0, 0], &integers[1, 0], &integers[2, 0]
        )
        with nogil:
            for b in range(start, stop):
                work.gram = &gram[b if gram.shape[0] > 1 else 0, 0, 0]
                work.logits, work.targets = &logits[b, 0], &targets[b, 0]
                work.rows, work.lift = &self.rows[b], &self.lift[b, 0]
                work.direction = &direction[b, 0]
                status[b] = solve_sample(
                    &work, tol, max_iter, is_warm, &dual[b, 0], &distance[b],
                    &residual[b], &n_iter[b],
                )
                if not is_kept:
                    release(work.rows)


cdef int solve_sample(
    Work *work, double tol, Py_ssize_t max_iter, bint is_warm, double *dual,
    double *distance, double *residual, Py_ssize_t *n_iter,
) except -1 nogil:
    """Solve one sample from its rows, from multipliers in ``dual``, or from nothing.

    Where its rows don't lead to an optimum, do without them.
    """
    cdef bint is_kept = work.rows.n_active >= 0
    cdef int state
    begin(work, tol)
    n_iter[0] = 0
    if is_warm:
        take_multipliers(work, dual)
    state = add_violated(work, max_iter, n_iter)
    state = finish(work, state, tol, dual, distance, residual)
    if is_kept and state != OPTIMAL:
        return solve_sample(
            work, tol, max_iter, False, dual, distance, residual, n_iter
        )
    return state


cdef void begin(Work *work, double tol) noexcept nogil:
    """Start a sample with the active rows that it has, or with none."""
    cdef Py_ssize_t i
    cdef Rows *rows = work.rows
    for i in range(work.n_classes):
        work.above[i], work.kind[i] = work.targets[work.n_targets - 1], 0
    for i in range(work.n_targets):
        work.above[work.targets[i]] = work.targets[i - 1 if i else 0]
        work.kind[work.targets[i]] = TARGET
    if rows.n_active < 0:
        rows.n_active = 0
        memset(work.lift, 0, work.n_classes * sizeof(double))
    for i in range(rows.n_active):
        work.kind[rows.active[i]] |= ACTIVE
    gather_direction(work)
    work.scale = 1.0
    for i in range(work.n_classes):
        work.score[i] = work.logits[i] + work.lift[i]
        work.scale = max(work.scale, 1.0 + fabs(work.logits[i]))
    work.tol = tol * work.scale


cdef int take_multipliers(Work *work, const double *dual) except -1 nogil:
    """Make the rows with a multiplier active."""
    cdef Py_ssize_t i, c
    for i in range(work.n_classes - 1):
        c = i + (i >= work.targets[0])
        if dual[i] > 0.0 and append_row(work, c) == 1:
            work.rows.multiplier[work.rows.n_active - 1] = dual[i]
    refresh(work)
    return 0


cdef int add_violated(
    Work *work, Py_ssize_t max_iter, Py_ssize_t *n_iter
) except -1 nogil:
    """Take in violated rows, round by round, until there are none."""
    cdef Py_ssize_t[BLOCK] found
    cdef Py_ssize_t n_found, n_refined = 0, block = BLOCK, i
    cdef int state
    cdef bint is_closed
    while True:
        # a null vector proves something only where the active gaps are closed
        is_closed = active_gaps(work) <= 1e-3 * work.tol or n_refined == 3
        n_refined = 0 if is_closed else n_refined + 1
        n_found = most_violated(work, 0.1 * work.tol, block, found) if is_closed else 0
        if is_closed and n_found == 0:
            return OPTIMAL
        if n_iter[0] == max_iter:
            return STOPPED
        n_iter[0] += 1
        state = take_in(work, found, n_found)
        if state != OPTIMAL:
            return state
        move_active(work)
        refresh(work)
        for i in range(n_found):
            if work.kind[found[i]] & ACTIVE:
                break
        else:  # rounding threw out all that came in: be careful from here on
            if n_found and block == 1:
                return STOPPED
            block = 1 if n_found else block


cdef int take_in(
    Work *work, const Py_ssize_t *found, Py_ssize_t n_found
) except -1 nogil:
    """Make violated rows active, as many as don't depend on others."""
    cdef Py_ssize_t i, n_taken = 0
    cdef int appended
    for i in range(n_found):
        appended = append_row(work, found[i])
        if appended == 2:
            return INDEFINITE
        if appended == 0 and n_taken == 0:
            return follow_null_vector(work, found[i])
        n_taken += appended
    return OPTIMAL


cdef int finish(
    Work *work, int state, double tol, double *dual, double *distance, double *residual
) noexcept nogil:
    """Write the results and return the state, after a look at the residual."""
    cdef Rows *rows = work.rows
    cdef Py_ssize_t i, c
    cdef double widest = active_gaps(work), slack = 0.0, gained = 0.0, lead
    memset(dual, 0, (work.n_classes - 1) * sizeof(double))
    for i in range(rows.n_active):
        c = rows.active[i]
        dual[c - (c > work.targets[0])] = rows.multiplier[i]
        lead = gap(work, work.logits, c) - work.violation[i]
        gained += rows.multiplier[i] * lead
        slack = max(slack, fabs(rows.multiplier[i] * work.violation[i]))
    widest = 0.0
    for c in range(work.n_classes):
        if c != work.targets[0]:
            widest = max(widest, gap(work, work.score, c))
    distance[0] = max(0.0, gained)
    residual[0] = max(widest / work.scale, slack / (work.scale + distance[0]))
    if state == OPTIMAL and not residual[0] <= tol:  # also where it is NaN
        state = STOPPED
    if state == INFEASIBLE or state == INDEFINITE:
        memset(work.direction, 0, work.n_classes * sizeof(double))
        distance[0] = residual[0] = INFINITY
    if state != OPTIMAL:
        rows.n_active = -1
    return state


cdef void refresh(Work *work) noexcept nogil:
    """Compute direction and scores from the multipliers."""
    cdef Py_ssize_t n_moved = gather_direction(work), i
    for i in range(n_moved):
        work.weight[i] = work.direction[work.moved[i]]
    sum_rows(work.n_classes, n_moved, work.moved, work.weight, work.gram, work.lift)
    for i in range(work.n_classes):
        work.score[i] = work.logits[i] + work.lift[i]


cdef Py_ssize_t gather_direction(Work *work) noexcept nogil:
    """Compute the direction, list the classes it weighs, and return how many."""
    cdef Rows *rows = work.rows
    cdef Py_ssize_t n_moved = work.n_targets, i, c
    memset(work.direction, 0, work.n_classes * sizeof(double))
    memcpy(work.moved, work.targets, n_moved * sizeof(Py_ssize_t))
    for i in range(rows.n_active):
        c = rows.active[i]
        work.direction[c] -= rows.multiplier[i]
        work.direction[work.above[c]] += rows.multiplier[i]
        if not work.kind[c] & TARGET:
            work.moved[n_moved] = c
            n_moved += 1
    return n_moved


cdef Py_ssize_t most_violated(
    Work *work, double least, Py_ssize_t block, Py_ssize_t *found
) noexcept nogil:
    """List the most violated inactive rows, largest first; ties: chain, lowest class."""
    cdef double[BLOCK] size
    cdef double top = work.score[work.targets[work.n_targets - 1]] - work.margin
    cdef double bar = top + least
    cdef Py_ssize_t n_found = 0, i, c
    for i in range(1, work.n_targets):
        c = work.targets[i]
        if not work.kind[c] & ACTIVE and gap(work, work.score, c) > least:
            n_found = insert(c, gap(work, work.score, c), block, n_found, found, size)
    for c in range(work.n_classes):
        if work.score[c] > bar and work.kind[c] == 0:
            n_found = insert(c, work.score[c] - top, block, n_found, found, size)
            if n_found == block:
                bar = max(bar, top + size[block - 1])
    return n_found


cdef Py_ssize_t insert(
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
