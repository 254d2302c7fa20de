"""Scores of all classes at the current point, and which rows they violate."""
# A refresh takes O(C a) for C classes and a active rows, a scan O(C).

from libc.float cimport DBL_EPSILON, FLT_EPSILON
from libc.math cimport INFINITY, fabs
from libc.string cimport memset

from minimalml.inspection._quad_attack._active_rows cimport (
    Problem, Rows, Work, build_block, gap, gap_by_block, mark,
)
from minimalml.inspection._quad_attack._row_sums cimport (
    list_above, round_and_add, sum, sum_and_magnitude, sum_rounded_rows, sum_rows,
)

# Rows taken in at once; more saves scans of all classes, but more are thrown out again.
cdef enum:
    BLOCK = 8

cdef extern from *:
    """
    /* The rounded matrix will do while it leaves scores in doubt by less than this,
       relatively: few rows have to be asked again then. */
    #define MINIMALML_DOUBT 1e-3
    """
    const double MINIMALML_DOUBT


cdef inline void begin(
    Work *work, Rows *rows, const double *logits, const Py_ssize_t *targets,
) noexcept nogil:
    """Start a sample with the active rows that it has, or with none."""
    cdef Py_ssize_t n = work.problem.n_classes, k = work.problem.n_targets, i
    work.rows, work.logits, work.targets = rows, logits, targets
    for i in range(k):
        work.place[targets[i]] = i + 1
        work.leader[i + 1] = targets[i - 1] if i else -1
        work.hidden[targets[i]] = INFINITY
    work.leader[0] = targets[k - 1]
    work.n_moved = 0
    # the shift is rounded, but only a guide; where there is none, the scores are exact
    work.doubt, work.is_rounded = 0.0, True
    work.may_round = rows.n_active >= 0 and work.problem.rounded != NULL
    if rows.n_active < 0:
        rows.n_active, rows.has_block = 0, False
        memset(rows.shift, 0, n * sizeof(float))
    for i in range(rows.n_active):
        mark(work, rows.active[i])
    work.scale = 1.0 + sum_and_magnitude(n, logits, rows.shift, work.score)
    work.tol = work.problem.tol * work.scale


cdef inline void wipe(
    Work *work, bint is_kept, double *u, double *dual
) noexcept nogil:
    """Set results to zero, only where the last solve did not where it left its rows."""
    cdef Py_ssize_t i, c
    if is_kept and work.problem.is_in_place:
        for i in range(work.problem.n_targets):
            u[work.targets[i]] = 0.0
        for i in range(work.rows.n_active):
            c = work.rows.active[i]
            u[c] = dual[c - (c > work.targets[0])] = 0.0
    else:
        memset(u, 0, work.problem.n_classes * sizeof(double))
        memset(dual, 0, (work.problem.n_classes - 1) * sizeof(double))


cdef inline void finish(Work *work, double *u, double *dual) noexcept nogil:
    """Write the results out and clean what only the touched classes have set."""
    cdef Py_ssize_t i, c
    for i in range(work.n_moved):
        u[work.moved[i]] = work.problem.factor * work.weight[i]
    for i in range(work.rows.n_active):
        c = work.rows.active[i]
        dual[c - (c > work.targets[0])] = work.rows.multiplier[i]
        work.is_active[c] = False
        work.hidden[c] = 0.0
    for i in range(work.problem.n_targets):
        work.place[work.targets[i]] = 0
        work.hidden[work.targets[i]] = 0.0


cdef inline void refresh(Work *work) noexcept nogil:
    """Compute direction and scores from the multipliers."""
    cdef const Problem *problem = work.problem
    cdef Rows *rows = work.rows
    cdef Py_ssize_t n = problem.n_classes
    cdef double dual = gather_direction(work)
    work.is_rounded = work.may_round and is_precise(work, dual) and (
        rows.has_block or build_block(work)
    )
    if work.is_rounded:
        sum_rounded_rows(
            n, work.n_moved, work.moved, work.weight, problem.rounded, rows.shift
        )
        sum(n, work.logits, rows.shift, work.score)
    else:
        work.doubt = 0.0
        sum_rows(n, work.n_moved, work.moved, work.weight, problem.gram, work.score)
        round_and_add(n, work.logits, work.score, rows.shift)


cdef inline double gather_direction(Work *work) noexcept nogil:
    """List what the direction weighs, and by how much; return the multipliers' sum."""
    # no branches in the loop: whether a row is of the chain is anyone's guess
    cdef Rows *rows = work.rows
    cdef Py_ssize_t k = work.problem.n_targets, n_moved = k, place, i
    cdef bint is_rival
    cdef double total = 0.0
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
        total += rows.multiplier[i]
    work.n_moved = n_moved
    return total


cdef inline bint is_precise(Work *work, double dual) noexcept nogil:
    """Bound the errors of rounded scores and of gaps by the block; are they small?"""
    # the weights sum to at most 2 dual; float32 rounds weight, entry and product, sums
    # of eight, and each pass; an entry of the block sums four, each gap a products
    cdef double by_block = 2.0 * (work.rows.n_active + 5) * DBL_EPSILON
    work.doubt = 2.0 * (7.0 + work.n_moved / 8) * FLT_EPSILON
    work.doubt *= dual * work.problem.largest_rounded
    return (
        work.doubt < MINIMALML_DOUBT * work.scale
        and by_block * dual * work.problem.largest < 0.01 * work.tol
    )


cdef inline Py_ssize_t most_violated(
    Work *work, double least, Py_ssize_t block, Py_ssize_t *found, double *widest,
) noexcept nogil:
    """List the most violated inactive rows, largest first, and give the widest gap.

    Ties: chain, then lowest class.
    """
    cdef double[BLOCK] size
    cdef double margin = work.problem.margin, widest_yet = 0.0, value
    cdef double top = work.score[work.leader[0]] - margin
    cdef Py_ssize_t n_found = 0, n_candidates, i, c
    for i in range(1, work.problem.n_targets):
        c = work.targets[i]
        if not work.is_active[c]:
            value = without_doubt(work, c, gap(work, work.score, margin, c), least)
            widest_yet = max(widest_yet, value)
            if value > least:
                n_found = insert(c, value, block, n_found, found, size)
    n_candidates = list_above(
        work.problem.n_classes, work.score, work.hidden, top - work.doubt,
        work.candidates,
    )
    for i in range(n_candidates):
        c = work.candidates[i]
        value = without_doubt(work, c, work.score[c] - top, least)
        widest_yet = max(widest_yet, value)
        if value > least:
            n_found = insert(c, value, block, n_found, found, size)
    widest[0] = widest_yet
    return n_found


cdef inline double without_doubt(
    Work *work, Py_ssize_t c, double value, double least
) noexcept nogil:
    """Ask the block about a gap that rounded scores don't show to be above a bar."""
    if work.doubt > 0.0 and fabs(value) <= least + work.doubt:
        return gap_by_block(work, c)
    return value


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
