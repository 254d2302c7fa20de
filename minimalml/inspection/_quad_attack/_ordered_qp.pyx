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
from libc.string cimport memcmp, memset

from minimalml.inspection._quad_attack._active_rows cimport (
    INFEASIBLE, NO_MEMORY, OPTIMAL, STOPPED, Problem, Rows, Work, active_gaps, allocate,
    append_row, copy_rows, follow_null_vector, gap, gap_by_block, move_active,
    release,
)
from minimalml.inspection._quad_attack._class_scores cimport (
    BLOCK, begin, finish, most_violated, refresh, wipe,
)

cdef Py_ssize_t take_in(
    Work *work, Py_ssize_t *found, Py_ssize_t n_found, int *state
) noexcept nogil:
    """Make violated rows active and return how many; state says if that went wrong."""
    cdef Py_ssize_t i, n_taken = 0
    cdef int appended
    for i in range(n_found):
        appended = append_row(work, found[i])
        if appended < 0:
            state[0] = NO_MEMORY
            return n_taken
        if appended == 0 and n_taken == 0:
            state[0] = follow_null_vector(work, found[i])
            return 1
        n_taken += appended
    return n_taken


cdef void take_multipliers(Work *work, const double *dual) noexcept nogil:
    """Make the rows with a multiplier active."""
    cdef Py_ssize_t i, c
    for i in range(work.problem.n_classes - 1):
        c = i + (i >= work.targets[0])
        if dual[i] > 0.0 and append_row(work, c) == 1:
            work.rows.multiplier[work.rows.n_active - 1] = dual[i]
    for i in range(work.rows.n_active):
        work.violation[i] = gap_by_block(work, work.rows.active[i])
    move_active(work)


cdef void adapt_rows(Work *work, double least) noexcept nogil:
    """Close the gaps that new logits opened, with the old direction as a guide.

    Most rows that the old direction violates are no longer once the active ones are
    closed again. To ask their block costs less than to take them in and out.
    """
    cdef Py_ssize_t[BLOCK] found
    cdef double value
    cdef Py_ssize_t n_found = most_violated(work, least, BLOCK, found, &value)
    cdef Py_ssize_t n_before, i
    cdef Rows *rows = work.rows
    cdef double margin = work.problem.margin
    for i in range(rows.n_active):
        work.violation[i] = gap(work, work.logits, margin, rows.active[i]) - rows.lead[i]
    move_active(work)
    n_before = rows.n_active
    memset(work.violation, 0, n_before * sizeof(double))
    for i in range(n_found):
        if gap_by_block(work, found[i]) > least:
            append_row(work, found[i])
    if rows.n_active > n_before:
        move_active(work)


cdef int solve_one(
    Work *work, Rows *rows, const double *logits, const Py_ssize_t *targets,
    Py_ssize_t max_iter, bint is_warm, double *dual, double *u, double *distance,
    double *residual, Py_ssize_t *n_iter,
) noexcept nogil:
    """Solve one sample from its rows, from multipliers in ``dual``, or from nothing."""
    cdef Py_ssize_t i
    cdef Py_ssize_t[BLOCK] found
    cdef double margin = work.problem.margin, widest = 0.0, slack = 0.0, gained = 0.0
    cdef int state
    cdef bint is_kept = rows.n_active >= 0
    begin(work, rows, logits, targets)
    n_iter[0] = 0
    if is_warm and not is_kept:
        take_multipliers(work, dual)
    wipe(work, is_kept, u, dual)
    if is_kept:
        adapt_rows(work, 0.1 * work.tol)
    if rows.n_active or is_kept:
        n_iter[0] = 1
        refresh(work)
    state = add_violated(work, max_iter, n_iter, &widest)
    if state == STOPPED:
        active_gaps(work)
        most_violated(work, INFINITY, BLOCK, found, &widest)
    if not work.is_rounded:
        for i in range(rows.n_active):
            rows.lead[i] = gap(work, logits, margin, rows.active[i]) - work.violation[i]
    for i in range(rows.n_active):
        gained += rows.multiplier[i] * rows.lead[i]
        widest = max(widest, work.violation[i])
        slack = max(slack, fabs(rows.multiplier[i] * work.violation[i]))
    distance[0] = max(0.0, gained)
    residual[0] = max(widest / work.scale, slack / (work.scale + distance[0]))
    if state == OPTIMAL and not residual[0] <= work.problem.tol:  # also where it is NaN
        state = STOPPED
    if state == INFEASIBLE:
        work.n_moved = 0
        distance[0] = residual[0] = INFINITY
    finish(work, u, dual)
    if state != OPTIMAL:
        rows.n_active = -1
    return state


cdef int add_violated(
    Work *work, Py_ssize_t max_iter, Py_ssize_t *n_iter, double *widest
) noexcept nogil:
    """Take in violated rows, round by round, until there are none."""
    cdef Py_ssize_t[BLOCK] found
    cdef Py_ssize_t n_found, n_refined = 0, block = BLOCK
    cdef int state = OPTIMAL
    cdef bint is_closed
    while True:
        # a null vector proves something only where the active gaps are closed
        is_closed = active_gaps(work) <= 1e-3 * work.tol or n_refined == 3
        n_refined = 0 if is_closed else n_refined + 1
        n_found = 0
        if is_closed:
            n_found = most_violated(work, 0.1 * work.tol, block, found, widest)
            if n_found == 0:
                return OPTIMAL
        if n_iter[0] == max_iter:
            return STOPPED
        n_iter[0] += 1
        take_in(work, found, n_found, &state)
        if state != OPTIMAL:
            return state
        move_active(work)
        refresh(work)
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

    cdef Rows *rows
    cdef Py_ssize_t n
    cdef float[:, ::1] shifts
    cdef Py_ssize_t[:, ::1] targets
    cdef const double[:, ::1] gram
    cdef double[:, ::1] fingerprint
    cdef double largest
    cdef float[:, ::1] rounded
    cdef double largest_rounded
    cdef Py_ssize_t n_solved
    cdef readonly tuple results
    cdef double[:, ::1] direction
    cdef double[::1] distance
    cdef double[:, ::1] dual
    cdef double[::1] residual
    cdef signed char[::1] status
    cdef Py_ssize_t[::1] n_iter

    def __cinit__(self, targets=None, gram=None):
        cdef Py_ssize_t b, n_classes
        if targets is None:
            targets, gram = np.empty((0, 1), np.intp), np.empty((1, 1))
        self.targets, self.gram = np.array(targets), gram
        self.rounded = None
        n_classes = len(gram)
        self.fingerprint = np.stack([gram[0], gram.diagonal()])
        self.largest = 0.0
        for b in range(n_classes):
            self.largest = max(self.largest, self.fingerprint[1, b])
        self.n = n = len(targets)
        self.rows = <Rows *> calloc(max(n, 1), sizeof(Rows))
        if self.rows == NULL:
            raise MemoryError("the active rows of the ordering programme")
        self.shifts = np.empty((n, n_classes), np.float32)
        for b in range(n):
            self.rows[b].n_active = -1
            self.rows[b].shift = &self.shifts[b, 0]
        self.results = (
            np.empty((n, n_classes)), np.empty(n), np.empty((n, n_classes - 1)),
            np.empty(n), np.empty(n, np.int8), np.empty(n, np.intp),
        )
        (
            self.direction, self.distance, self.dual, self.residual, self.status,
            self.n_iter,
        ) = self.results

    def __dealloc__(self):
        cdef Py_ssize_t b
        for b in range(self.n):
            free(self.rows[b].active)
            free(self.rows[b].multiplier)
            free(self.rows[b].lead)
            free(self.rows[b].block)
            free(self.rows[b].inverse)
        free(self.rows)

    def __reduce__(self):
        return SavedRows, ()

    cdef bint fits(
        self, const Py_ssize_t[:, ::1] targets, const double[:, ::1] gram
    ) noexcept:
        """Whether the rows are those of this very matrix and these targets.

        Values of the matrix tell whether it was overwritten in place.
        """
        cdef Py_ssize_t n = gram.shape[0], c
        cdef Py_ssize_t n_values = targets.shape[0] * targets.shape[1]
        if (
            &self.gram[0, 0] != &gram[0, 0]
            or self.gram.shape[0] != n
            or self.targets.shape[0] != targets.shape[0]
            or self.targets.shape[1] != targets.shape[1]
            or memcmp(&self.targets[0, 0], &targets[0, 0], n_values * sizeof(Py_ssize_t))
            or memcmp(&self.fingerprint[0, 0], &gram[0, 0], n * sizeof(double))
        ):
            return False
        for c in range(n):
            if gram[c, c] != self.fingerprint[1, c]:
                return False
        return True

    cdef void round_gram(self) except *:
        """Centre and round the matrix, which halves what each refresh reads.

        Directions sum to zero: what rows or columns have in common moves all scores
        alike.
        """
        cdef Py_ssize_t n = self.gram.shape[0], i, j
        cdef const double[::1] mean = np.mean(self.gram, axis=0)
        cdef double of_all = np.mean(mean), own
        cdef const double *row
        cdef float *rounded
        self.rounded = np.empty((n, n), np.float32)
        for i in range(n):
            row, rounded, own = &self.gram[i, 0], &self.rounded[i, 0], mean[i] - of_all
            for j in range(n):
                rounded[j] = <float>(row[j] - mean[j] - own)
        self.largest_rounded = max(np.max(self.rounded), -np.min(self.rounded))

    cdef Problem problem(
        self, SavedRows before, double margin, double tol
    ) except *:
        """Describe what all samples have in common, sharing what an earlier solve had."""
        cdef Problem problem
        problem.n_classes, problem.n_targets = self.gram.shape[0], self.targets.shape[1]
        problem.margin, problem.tol = margin, tol
        problem.gram, problem.rounded = &self.gram[0, 0], NULL
        problem.largest, problem.largest_rounded = self.largest, 0.0
        if before is not None:
            # rounding takes about as long as it saves in so many solves, and a small
            # matrix lies in the cache anyway
            n_classes = self.gram.shape[0]
            is_worth = n_classes >= 256 and before.n_solved >= n_classes // 8
            if before.rounded is None and is_worth:
                before.round_gram()
            self.rounded, self.n_solved = before.rounded, before.n_solved
            self.largest_rounded = before.largest_rounded
            # beyond these float32 overflows or has no digits
            if self.rounded is not None and 1e-30 < self.largest_rounded < 1e30:
                problem.rounded = &self.rounded[0, 0]
                problem.largest_rounded = self.largest_rounded
        self.n_solved += self.n
        return problem


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
    double factor=1.0,  # IN what to multiply the directions by
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
    cdef Work *work = NULL
    cdef SavedRows before = None, end = start
    if start is not None and start.fits(T, G):
        before = start
    if before is None or not in_place:
        end = SavedRows(targets, gram)
    cdef bint is_warm = warm_start is not None and before is None
    if is_warm:
        end.results[2][:] = warm_start
    cdef Problem problem = end.problem(before, margin, tol)
    problem.factor, problem.is_in_place = factor, before is not None and in_place
    cdef Rows *rows = end.rows
    cdef const Rows *source = NULL if before is None or in_place else before.rows
    cdef double[:, ::1] u = end.direction, dual = end.dual
    cdef double[::1] distance = end.distance, residual = end.residual
    cdef signed char[::1] status = end.status
    cdef Py_ssize_t[::1] n_iter = end.n_iter
    with nogil, parallel(num_threads=n_threads):
        work = <Work *> malloc(sizeof(Work))
        if work != NULL and not allocate(work, &problem):
            release(work)
            free(work)
            work = NULL
        for b in prange(n, schedule="static"):
            status[b] = NO_MEMORY
            if work != NULL and (
                source == NULL or copy_rows(&source[b], &rows[b], n_classes)
            ):
                status[b] = solve_safely(
                    work, &rows[b], &logits[b, 0], &T[b, 0], max_iter, is_warm,
                    &dual[b, 0], &u[b, 0], &distance[b], &residual[b], &n_iter[b],
                )
        if work != NULL:
            release(work)
            free(work)
    for b in range(n):
        if status[b] == NO_MEMORY:
            raise MemoryError("the active rows of the ordering programme")
    return *end.results, end


cdef int solve_safely(
    Work *work, Rows *rows, const double *logits, const Py_ssize_t *targets,
    Py_ssize_t max_iter, bint is_warm, double *dual, double *u, double *distance,
    double *residual, Py_ssize_t *n_iter,
) noexcept nogil:
    """Solve one sample; where its rows don't lead to an optimum, do without them."""
    cdef bint is_kept = rows.n_active >= 0
    cdef int state = solve_one(
        work, rows, logits, targets, max_iter, is_warm, dual, u, distance, residual,
        n_iter,
    )
    if not is_kept or state == OPTIMAL or state == NO_MEMORY:
        return state
    return solve_one(
        work, rows, logits, targets, max_iter, False, dual, u, distance, residual,
        n_iter,
    )
