"""Active rows of the ordering programme, their multipliers and inverse factor.

With L the Cholesky factor of the active block of D G Dᵀ, its inverse P is kept: what
would be solved with L is multiplied by P, where no number waits for the one before.
"""
# Append and remove take O(a^2) with a active rows; memory O(n_classes + a^2).

from libc.math cimport INFINITY, fabs, sqrt
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove

from minimalml.inspection._quad_attack._row_sums cimport (
    dot, drop_row, drop_row_and_column, multiply_lower, multiply_symmetric,
    multiply_transposed,
)

cdef enum:
    OPTIMAL = 0
    INFEASIBLE = 1
    STOPPED = 2
    NO_MEMORY = 3

cdef extern from *:
    """
    /* A pivot below this, relative to the Gram's diagonal and to the null vector that it
       would belong to (which multiplies rounding): the row depends on others. */
    #define MINIMALML_DEPENDENT 1e-12
    /* Below this a pivot is computed with care. */
    #define MINIMALML_SUSPECT 1e-6
    /* An entry of a null vector above minus this, relatively, counts as zero. */
    #define MINIMALML_NULL_ZERO 1e-9
    """
    const double MINIMALML_DEPENDENT
    const double MINIMALML_SUSPECT
    const double MINIMALML_NULL_ZERO

cdef struct Problem:        # the same for all samples
    Py_ssize_t n_classes
    Py_ssize_t n_targets
    double margin
    double tol
    double factor           # of directions, in the result
    bint is_in_place        # whether results are where the last solve left its own
    const double *gram      # G
    double largest          # entry of G
    const float *rounded    # G, centred; NULL if not at hand
    double largest_rounded  # magnitude in it

cdef struct Rows:           # of a sample; the next solve starts from them
    Py_ssize_t n_active     # -1 if there is nothing to start from
    Py_ssize_t capacity
    Py_ssize_t *active      # classes whose rows are active, in the order of the factor
    double *multiplier      # of each active row
    double *lead            # that the direction adds to each active row
    double *inverse         # P, packed by rows
    double *block           # active block, packed alike, with half its diagonal
    bint has_block
    float *shift            # by how much the direction moves the score of each class

cdef struct Work:           # of a thread
    const Problem *problem
    const double *logits    # of the sample at hand, as are targets and rows
    const Py_ssize_t *targets
    Rows *rows
    double scale            # of the logits
    double tol              # in units of the logits
    Py_ssize_t *place       # of each class among the targets, from 1; a rival's is 0
    Py_ssize_t *leader      # the class above each place, -1 for the first target
    bint *is_active
    double *hidden          # infinity for targets and active classes, else 0
    Py_ssize_t *candidates  # classes whose rows may be violated
    double *score           # of each class at the current point
    double doubt            # by how much scores may be off, two together
    bint may_round          # not where the rows led nowhere and all starts anew
    bint is_rounded         # whether they are, and active gaps come from the block
    double *violation       # of each active row
    double *lifted          # P times the violations or times a row of the block
    double *step
    double *row
    double *entries
    Py_ssize_t n_moved
    Py_ssize_t *moved       # classes whose scores the direction weighs, and a spare one
    double *weight          # their entries of the direction


cdef inline Py_ssize_t above(Work *work, Py_ssize_t c) noexcept nogil:
    """Return the class that the row of class c puts above it."""
    return work.leader[work.place[c]]


cdef inline double gap(
    Work *work, const double *score, double margin, Py_ssize_t c
) noexcept nogil:
    """By how much scores violate the row of class c."""
    return margin - score[above(work, c)] + score[c]


cdef inline bint allocate(Work *work, const Problem *problem) noexcept nogil:
    cdef Py_ssize_t n_classes = problem.n_classes
    work.problem = problem
    work.place = <Py_ssize_t *> calloc(4 * n_classes + 2, sizeof(Py_ssize_t))
    work.moved = work.place + n_classes
    work.candidates = work.moved + n_classes + 1
    work.leader = work.candidates + n_classes
    work.is_active = <bint *> calloc(n_classes, sizeof(bint))
    work.hidden = <double *> calloc(8 * n_classes + 1, sizeof(double))
    work.score = work.hidden + n_classes
    work.violation = work.score + n_classes
    work.lifted = work.violation + n_classes
    work.step = work.lifted + n_classes
    work.row = work.step + n_classes
    work.entries = work.row + n_classes
    work.weight = work.entries + n_classes
    return work.place != NULL and work.is_active != NULL and work.hidden != NULL


cdef inline void release(Work *work) noexcept nogil:
    free(work.place)
    free(work.is_active)
    free(work.hidden)


cdef inline void mark(Work *work, Py_ssize_t c) noexcept nogil:
    """Note that the row of class c is active."""
    work.is_active[c] = True
    work.hidden[c] = INFINITY


cdef inline void unmark(Work *work, Py_ssize_t c) noexcept nogil:
    """Note that the row of class c is active no longer."""
    work.is_active[c] = False
    if work.place[c] == 0:
        work.hidden[c] = 0.0


cdef inline bint grow(void **array, size_t size) noexcept nogil:
    cdef void *grown = realloc(array[0], size)
    if grown != NULL:
        array[0] = grown
    return grown != NULL


cdef inline bint reserve(Rows *rows, Py_ssize_t capacity) noexcept nogil:
    """Make room for so many active rows."""
    cdef size_t triangle = capacity * (capacity + 1) // 2 * sizeof(double)
    if capacity <= rows.capacity:
        return True
    if not (
        grow(<void **> &rows.active, capacity * sizeof(Py_ssize_t))
        and grow(<void **> &rows.multiplier, capacity * sizeof(double))
        and grow(<void **> &rows.lead, capacity * sizeof(double))
        and grow(<void **> &rows.inverse, triangle)
        and (not rows.has_block or grow(<void **> &rows.block, triangle))
    ):
        return False
    rows.capacity = capacity
    return True


cdef inline bint copy_rows(
    const Rows *source, Rows *target, Py_ssize_t n_classes
) noexcept nogil:
    cdef Py_ssize_t a = source.n_active
    if a < 0:
        return True
    target.has_block = source.has_block
    if not reserve(target, a):
        return False
    memcpy(target.active, source.active, a * sizeof(Py_ssize_t))
    memcpy(target.multiplier, source.multiplier, a * sizeof(double))
    memcpy(target.lead, source.lead, a * sizeof(double))
    memcpy(target.inverse, source.inverse, a * (a + 1) // 2 * sizeof(double))
    if source.has_block:
        memcpy(target.block, source.block, a * (a + 1) // 2 * sizeof(double))
    target.has_block = source.has_block
    memcpy(target.shift, source.shift, n_classes * sizeof(float))
    target.n_active = a
    return True


cdef inline void fill_row(Work *work, Py_ssize_t c, double *out) noexcept nogil:
    """Compute the entries of D G Dᵀ between the row of class c and the active rows."""
    cdef Py_ssize_t n = work.problem.n_classes, i, q, other
    cdef const double *high = work.problem.gram + above(work, c) * n
    cdef const double *low = work.problem.gram + c * n
    for i in range(work.rows.n_active):
        other = work.rows.active[i]
        q = above(work, other)
        out[i] = high[q] - high[other] - low[q] + low[other]


cdef inline double diagonal(Work *work, Py_ssize_t c) noexcept nogil:
    """Compute the entry of D G Dᵀ on the diagonal."""
    cdef Py_ssize_t n = work.problem.n_classes, p = above(work, c)
    cdef const double *gram = work.problem.gram
    return gram[p * n + p] - 2.0 * gram[p * n + c] + gram[c * n + c]


cdef inline bint build_block(Work *work) noexcept nogil:
    """Compute the active block, which the rows keep from here on, if there is room."""
    cdef Rows *rows = work.rows
    cdef Py_ssize_t a = rows.n_active, size = rows.capacity * (rows.capacity + 1) // 2, i
    cdef double *row
    if not grow(<void **> &rows.block, max(1, size) * sizeof(double)):
        return False
    for i in range(a):
        row = rows.block + i * (i + 1) // 2
        rows.n_active = i  # of which fill_row computes the entries
        fill_row(work, rows.active[i], row)
        row[i] = 0.5 * diagonal(work, rows.active[i])
    rows.n_active = a
    rows.has_block = True
    return True


cdef inline double active_gaps(Work *work) noexcept nogil:
    """Compute the gaps of the active rows and return the widest."""
    cdef Rows *rows = work.rows
    cdef const double *score = work.logits if work.is_rounded else work.score
    cdef double margin = work.problem.margin, widest = 0.0, violation
    cdef bint is_rounded = work.is_rounded
    cdef Py_ssize_t i
    if is_rounded:
        multiply_symmetric(rows.n_active, rows.block, rows.multiplier, rows.lead)
    for i in range(rows.n_active):
        violation = gap(work, score, margin, rows.active[i])
        if is_rounded:
            violation -= rows.lead[i]
        work.violation[i] = violation
        widest = max(widest, fabs(violation))
    return widest


cdef inline double gap_by_block(Work *work, Py_ssize_t c) noexcept nogil:
    """By how much the row of class c is violated, from the multipliers alone."""
    fill_row(work, c, work.row)
    return gap(work, work.logits, work.problem.margin, c) - dot(
        work.rows.n_active, work.row, work.rows.multiplier
    )


cdef inline int append_row(Work *work, Py_ssize_t c) noexcept nogil:
    """Make the row of c active; return 0 if it depends on those that are, -1 on failure.

    Then work.step holds the null vector, for `follow_null_vector`.
    """
    cdef Rows *rows = work.rows
    cdef Py_ssize_t n = work.problem.n_classes, a = rows.n_active, p = above(work, c), i
    cdef const double *gram = work.problem.gram
    cdef double scale = fabs(gram[p * n + p]) + fabs(gram[c * n + c])
    cdef double margin = work.problem.margin, own = diagonal(work, c), pivot, inverse
    cdef double *target
    if a == rows.capacity and not reserve(rows, min(max(16, a + a // 2), n)):
        return -1
    fill_row(work, c, work.row)
    multiply_lower(a, rows.inverse, work.row, work.lifted)
    multiply_transposed(a, rows.inverse, work.lifted, work.step)
    for i in range(a):
        work.step[i] = -work.step[i]
    pivot = own - dot(a, work.lifted, work.lifted)
    if pivot <= MINIMALML_SUSPECT * scale:
        pivot = own + refine_null_vector(work)
        scale *= 1.0 + dot(a, work.step, work.step)
        if pivot <= MINIMALML_DEPENDENT * scale:
            return 0
    if rows.has_block:
        target = rows.block + a * (a + 1) // 2
        memcpy(target, work.row, a * sizeof(double))
        target[a] = 0.5 * own
    inverse = 1.0 / sqrt(pivot)
    target = rows.inverse + a * (a + 1) // 2
    for i in range(a):
        target[i] = inverse * work.step[i]
    target[a] = inverse
    if work.is_rounded:
        work.violation[a] = gap(work, work.logits, margin, c) - dot(
            a, work.row, rows.multiplier
        )
    else:
        work.violation[a] = gap(work, work.score, margin, c)
    rows.active[a] = c
    rows.multiplier[a] = 0.0
    rows.n_active = a + 1
    mark(work, c)
    return 1


cdef inline double refine_null_vector(Work *work) noexcept nogil:
    """Correct work.step, which minimises sᵀMs + 2sᵀm, and return that minimum.

    M is the active block and m = work.row. The value is off by the square of the error
    of s, where that of a pivot by the factor would be off by the error itself.
    """
    cdef Py_ssize_t a = work.rows.n_active, i
    cdef double value = 0.0
    cdef double *entries = work.entries
    cdef double *residual = work.lifted
    for i in range(a):
        fill_row(work, work.rows.active[i], entries)
        residual[i] = work.row[i] + dot(a, entries, work.step)
    multiply_lower(a, work.rows.inverse, residual, entries)
    multiply_transposed(a, work.rows.inverse, entries, residual)
    for i in range(a):
        work.step[i] -= residual[i]
    for i in range(a):
        fill_row(work, work.rows.active[i], entries)
        value += work.step[i] * (2.0 * work.row[i] + dot(a, entries, work.step))
    return value


cdef inline void remove_row(Work *work, Py_ssize_t k) noexcept nogil:
    """Take the k-th active row out, and out of work.lifted = P @ violation."""
    cdef Rows *rows = work.rows
    cdef Py_ssize_t n_after = rows.n_active - 1 - k
    unmark(work, rows.active[k])
    drop_row(rows.n_active, k, rows.inverse, work.lifted, work.row)
    if rows.has_block:
        drop_row_and_column(rows.n_active, k, rows.block)
    memmove(rows.active + k, rows.active + k + 1, n_after * sizeof(Py_ssize_t))
    memmove(rows.multiplier + k, rows.multiplier + k + 1, n_after * sizeof(double))
    rows.n_active -= 1


cdef inline void move_active(Work *work) noexcept nogil:
    """Close the active gaps, throwing out rows whose multiplier would turn negative."""
    cdef Rows *rows = work.rows
    cdef Py_ssize_t i, k
    cdef double length, ratio
    multiply_lower(rows.n_active, rows.inverse, work.violation, work.lifted)
    while rows.n_active:
        multiply_transposed(rows.n_active, rows.inverse, work.lifted, work.step)
        length = 1.0
        k = -1
        for i in range(rows.n_active):
            if rows.multiplier[i] + work.step[i] <= 0.0:
                ratio = 0.0
                if rows.multiplier[i] > 0.0:
                    ratio = rows.multiplier[i] / -work.step[i]
                if k < 0 or ratio < length:
                    length = ratio
                    k = i
        for i in range(rows.n_active):
            rows.multiplier[i] = max(0.0, rows.multiplier[i] + length * work.step[i])
        if k < 0:
            return
        for i in range(rows.n_active):
            work.lifted[i] *= 1.0 - length
        remove_row(work, k)


cdef inline int follow_null_vector(Work *work, Py_ssize_t c) noexcept nogil:
    """Go on where `append_row` found that the row of c depends on the active ones.

    Along the null vector the scores don't change and the dual rises. Either a
    multiplier reaches zero and c takes its place, or none falls: then the vector, left
    in the multipliers, proves that no point satisfies the rows.
    """
    cdef Rows *rows = work.rows
    cdef Py_ssize_t i, k = -1
    cdef double largest = 1.0, length = 0.0, ratio
    for i in range(rows.n_active):
        largest = max(largest, fabs(work.step[i]))
    for i in range(rows.n_active):
        if work.step[i] < -MINIMALML_NULL_ZERO * largest:
            ratio = rows.multiplier[i] / -work.step[i]
            if k < 0 or ratio < length:
                length = ratio
                k = i
    if k < 0:
        for i in range(rows.n_active):
            rows.multiplier[i] = max(0.0, work.step[i]) / largest
        rows.active[rows.n_active] = c  # append_row made room
        rows.multiplier[rows.n_active] = 1.0 / largest
        rows.n_active += 1
        return INFEASIBLE
    for i in range(rows.n_active):
        rows.multiplier[i] = max(0.0, rows.multiplier[i] + length * work.step[i])
    remove_row(work, k)
    if append_row(work, c) != 1:
        return STOPPED
    rows.multiplier[rows.n_active - 1] = length
    active_gaps(work)
    return OPTIMAL
