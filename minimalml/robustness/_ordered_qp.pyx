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

from minimalml.robustness._active_rows cimport (
    INFEASIBLE, NO_MEMORY, OPTIMAL, STOPPED, Rows, Work, above, allocate, append_row,
    copy_rows, fill_row, follow_null_vector, move_active, release,
)
from minimalml.robustness._class_scores cimport (
    BLOCK, active_gaps, begin, finish, most_violated, refresh,
)
from minimalml.robustness._row_sums cimport dot

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


cdef double gap_by_block(
    Work *work, const double *logits, const double[:, ::1] G, double margin, Py_ssize_t c,
) noexcept nogil:
    """By how much the row of class c is violated, from the multipliers alone."""
    fill_row(work, G, c, work.row)
    return margin - logits[above(work, c)] + logits[c] - dot(
        work.rows.n_active, work.row, work.rows.multiplier
    )


cdef void take_multipliers(
    Work *work, const double *logits, const double[:, ::1] G, double margin,
    const double *dual,
) noexcept nogil:
    """Make the rows with a multiplier active."""
    cdef Py_ssize_t i, c
    for i in range(work.n_classes - 1):
        c = i + (i >= work.targets[0])
        if dual[i] > 0.0 and append_row(work, G, c) == 1:
            work.rows.multiplier[work.rows.n_active - 1] = dual[i]
    for i in range(work.rows.n_active):
        work.violation[i] = gap_by_block(work, logits, G, margin, work.rows.active[i])
    move_active(work)


cdef void adapt_rows(
    Work *work, const double *logits, const double[:, ::1] G, double margin, double least,
) noexcept nogil:
    """Close the gaps that new logits opened, with the old direction as a guide.

    Most rows that the old direction violates are no longer once the active ones are
    closed again. To ask their block costs less than to take them in and out.
    """
    cdef Py_ssize_t[BLOCK] found
    cdef double value
    cdef Py_ssize_t n_found = most_violated(work, margin, least, BLOCK, found, &value)
    cdef Py_ssize_t n_before, i
    active_gaps(work, margin)
    move_active(work)
    n_before = work.rows.n_active
    memset(work.violation, 0, n_before * sizeof(double))
    for i in range(n_found):
        value = gap_by_block(work, logits, G, margin, found[i])
        if value > least and append_row(work, G, found[i]) == 1:
            work.violation[work.rows.n_active - 1] = value
    if work.rows.n_active > n_before:
        move_active(work)


cdef int solve_one(
    Work *work, Rows *rows, const double *logits, const Py_ssize_t *targets,
    Py_ssize_t n_targets, const double[:, ::1] G, double margin, double tol,
    Py_ssize_t max_iter, bint is_warm, double *dual, double *u, double *distance,
    double *residual, Py_ssize_t *n_iter,
) noexcept nogil:
    """Solve one sample from its rows, from multipliers in ``dual``, or from nothing."""
    cdef Py_ssize_t i
    cdef Py_ssize_t[BLOCK] found
    cdef double widest = 0.0, slack = 0.0
    cdef int state = OPTIMAL
    cdef bint is_kept = rows.n_active >= 0
    cdef double scale = 1.0 + begin(work, rows, logits, targets, n_targets)
    n_iter[0] = 0
    if is_kept:
        adapt_rows(work, logits, G, margin, 0.1 * tol * scale)
    elif is_warm:
        take_multipliers(work, logits, G, margin, dual)
    if rows.n_active or is_kept:
        n_iter[0] = 1
        refresh(work, logits, G)
    state = add_violated(work, logits, G, margin, tol, scale, max_iter, n_iter, &widest)
    distance[0] = 0.0
    for i in range(work.n_moved):
        distance[0] += work.weight[i] * rows.shift[work.moved[i]]
    if state == STOPPED:
        active_gaps(work, margin)
        most_violated(work, margin, INFINITY, BLOCK, found, &widest)
    for i in range(rows.n_active):
        widest = max(widest, work.violation[i])
        slack = max(slack, fabs(rows.multiplier[i] * work.violation[i]))
    residual[0] = max(widest / scale, slack / (scale + distance[0]))
    if state == OPTIMAL and not residual[0] <= tol:  # also where it is NaN
        state = STOPPED
    if state == INFEASIBLE:
        work.n_moved = 0
        distance[0] = residual[0] = INFINITY
    finish(work, u, dual)
    if state != OPTIMAL:
        rows.n_active = -1
    return state


cdef int add_violated(
    Work *work, const double *logits, const double[:, ::1] G, double margin, double tol,
    double scale, Py_ssize_t max_iter, Py_ssize_t *n_iter, double *widest,
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
                work, margin, 0.1 * tol * scale, block, found, widest
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
        refresh(work, logits, G)
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
    cdef double[:, ::1] shifts
    cdef Py_ssize_t[:, ::1] targets
    cdef const double[:, ::1] gram
    cdef double[:, ::1] fingerprint
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
        self.fingerprint = np.stack([gram[0], gram.diagonal()])
        self.n = n = len(targets)
        n_classes = len(gram)
        self.rows = <Rows *> calloc(max(n, 1), sizeof(Rows))
        if self.rows == NULL:
            raise MemoryError("the active rows of the ordering programme")
        self.shifts = np.empty((n, n_classes))
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
    cdef Work *work = NULL
    cdef SavedRows before = None, end = start
    if start is not None and start.fits(T, G):
        before = start
    if before is None or not in_place:
        end = SavedRows(targets, gram)
    cdef bint is_warm = warm_start is not None and before is None
    if is_warm:
        end.results[2][:] = warm_start
    cdef Rows *rows = end.rows
    cdef const Rows *source = NULL if before is None or in_place else before.rows
    cdef double[:, ::1] u = end.direction, dual = end.dual
    cdef double[::1] distance = end.distance, residual = end.residual
    cdef signed char[::1] status = end.status
    cdef Py_ssize_t[::1] n_iter = end.n_iter
    with nogil, parallel(num_threads=n_threads):
        work = <Work *> malloc(sizeof(Work))
        if work != NULL and not allocate(work, n_classes):
            release(work)
            free(work)
            work = NULL
        for b in prange(n, schedule="static"):
            status[b] = NO_MEMORY
            if work != NULL and (
                source == NULL or copy_rows(&source[b], &rows[b], n_classes)
            ):
                status[b] = solve_safely(
                    work, &rows[b], &logits[b, 0], &T[b, 0], T.shape[1], G, margin, tol,
                    max_iter, is_warm, &dual[b, 0], &u[b, 0], &distance[b],
                    &residual[b], &n_iter[b],
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
    Py_ssize_t n_targets, const double[:, ::1] G, double margin, double tol,
    Py_ssize_t max_iter, bint is_warm, double *dual, double *u, double *distance,
    double *residual, Py_ssize_t *n_iter,
) noexcept nogil:
    """Solve one sample; where its rows don't lead to an optimum, do without them."""
    cdef bint is_kept = rows.n_active >= 0
    cdef int state = solve_one(
        work, rows, logits, targets, n_targets, G, margin, tol, max_iter, is_warm,
        dual, u, distance, residual, n_iter,
    )
    if not is_kept or state == OPTIMAL or state == NO_MEMORY:
        return state
    return solve_one(
        work, rows, logits, targets, n_targets, G, margin, tol, max_iter, False,
        dual, u, distance, residual, n_iter,
    )
