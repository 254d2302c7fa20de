"""Scores of all classes at the current point, and which rows they violate."""
# A refresh takes O(C a) for C classes and a active rows, a scan O(C).

from libc.math cimport INFINITY, fabs
from libc.string cimport memset

from minimalml.robustness._active_rows cimport Rows, Work, above, gap, mark
from minimalml.robustness._row_sums cimport (
    largest, list_above, sum, sum_and_magnitude, sum_rows,
)

# Rows taken in at once; more saves scans of all classes, but more are thrown out again.
cdef enum:
    BLOCK = 8


cdef inline double begin(
    Work *work, Rows *rows, const double *logits, const Py_ssize_t *targets,
    Py_ssize_t n_targets,
) noexcept nogil:
    """Start a sample with the active rows that it has, or with none.

    Returns the largest magnitude of its logits.
    """
    cdef Py_ssize_t n = work.n_classes, i
    work.rows, work.targets, work.n_targets = rows, targets, n_targets
    for i in range(n_targets):
        work.place[targets[i]] = i + 1
        work.leader[i + 1] = targets[i - 1] if i else -1
        work.hidden[targets[i]] = INFINITY
    work.leader[0] = targets[n_targets - 1]
    work.n_moved = 0
    if rows.n_active < 0:
        rows.n_active = 0
        memset(rows.shift, 0, n * sizeof(double))
    for i in range(rows.n_active):
        mark(work, rows.active[i])
    return sum_and_magnitude(n, logits, rows.shift, work.score)


cdef inline void finish(Work *work, double *u, double *dual) noexcept nogil:
    """Write the results out and clean what only the touched classes have set."""
    cdef Py_ssize_t i, c
    memset(u, 0, work.n_classes * sizeof(double))
    for i in range(work.n_moved):
        u[work.moved[i]] = work.weight[i]
    memset(dual, 0, (work.n_classes - 1) * sizeof(double))
    for i in range(work.rows.n_active):
        c = work.rows.active[i]
        dual[c - (c > work.targets[0])] = work.rows.multiplier[i]
        work.is_active[c] = False
        work.hidden[c] = 0.0
    for i in range(work.n_targets):
        work.place[work.targets[i]] = 0
        work.hidden[work.targets[i]] = 0.0


cdef inline void refresh(
    Work *work, const double *logits, const double[:, ::1] G
) noexcept nogil:
    """Compute direction and scores from the multipliers."""
    # no branches in the loop: whether a row is of the chain is anyone's guess
    cdef Rows *rows = work.rows
    cdef Py_ssize_t k = work.n_targets, n_moved = k, place, i
    cdef bint is_rival
    for i in range(k):
        work.moved[i] = work.targets[i]
        work.weight[i] = 0.0
    for i in range(rows.n_active):
        work.moved[n_moved] = rows.active[i]
        work.weight[n_moved] = 0.0
        place = work.place[rows.active[i]]
        is_rival = place == 0
        work.weight[place - 1 + is_rival * (n_moved + 1)] -= rows.multiplier[i]
        work.weight[place - 2 + is_rival * (k + 1)] += rows.multiplier[i]
        n_moved += is_rival
    work.n_moved = n_moved
    sum_rows(work.n_classes, n_moved, work.moved, work.weight, &G[0, 0], rows.shift)
    sum(work.n_classes, logits, rows.shift, work.score)


cdef inline double active_gaps(Work *work, double margin) noexcept nogil:
    """Compute the gaps of the active rows and return the widest."""
    cdef double widest = 0.0
    cdef Py_ssize_t i
    for i in range(work.rows.n_active):
        work.violation[i] = gap(work, margin, work.rows.active[i])
        widest = max(widest, fabs(work.violation[i]))
    return widest


cdef inline Py_ssize_t most_violated(
    Work *work, double margin, double least, Py_ssize_t block, Py_ssize_t *found,
    double *widest,
) noexcept nogil:
    """List the most violated inactive rows, largest first, and give the widest gap.

    Ties: chain, then lowest class.
    """
    cdef double[BLOCK] size
    cdef Py_ssize_t n_found = 0, n = work.n_classes, n_candidates, i, c
    cdef double top = work.score[work.leader[0]] - margin
    widest[0] = max(0.0, largest(n, work.score, work.hidden) - top)
    for i in range(1, work.n_targets):
        c = work.targets[i]
        if not work.is_active[c]:
            widest[0] = max(widest[0], gap(work, margin, c))
            if gap(work, margin, c) > least:
                n_found = insert(c, gap(work, margin, c), block, n_found, found, size)
    if widest[0] > least:
        n_candidates = list_above(
            n, work.score, work.hidden, top + least, work.candidates
        )
        for i in range(n_candidates):
            c = work.candidates[i]
            n_found = insert(c, work.score[c] - top, block, n_found, found, size)
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
