"""Scores of all classes at the current point, and which rows they violate."""
# A refresh takes O(C a) for C classes and a active rows, a scan O(C).

from libc.math cimport INFINITY, fabs
from libc.string cimport memcpy, memset

from minimalml.robustness._active_rows cimport Work, factor_row, gap
from minimalml.robustness._row_sums cimport add, add_rows, dot, largest

# Rows taken in at once; more saves scans of all classes, but more are thrown out again.
cdef enum:
    BLOCK = 8
    CHUNK = 64  # classes that are passed over at once where none leads

cdef inline void begin(
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


cdef inline void refresh(
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


cdef inline double active_gaps(Work *work, double margin) noexcept nogil:
    """Compute the gaps of the active rows and return the widest."""
    cdef double widest = 0.0
    cdef Py_ssize_t i
    for i in range(work.n_active):
        work.violation[i] = gap(work, margin, work.active[i])
        widest = max(widest, fabs(work.violation[i]))
    return widest


cdef inline void gaps_from_factor(
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


cdef inline Py_ssize_t most_violated(
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


cdef inline void hide_targets(
    Work *work, const Py_ssize_t *targets, Py_ssize_t n_targets
) noexcept nogil:
    """Put the targets' scores aside, so that the largest score is a rival's."""
    cdef Py_ssize_t i
    for i in range(n_targets):
        work.row[i] = work.score[targets[i]]
        work.score[targets[i]] = -INFINITY


cdef inline void show_targets(
    Work *work, const Py_ssize_t *targets, Py_ssize_t n_targets
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n_targets):
        work.score[targets[i]] = work.row[i]


cdef inline double largest_gap(
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
