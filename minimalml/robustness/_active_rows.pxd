"""Active rows of the ordering programme, their multipliers and inverse factor.

With L the Cholesky factor of the active block of D G Dᵀ, its inverse P is kept: what
would be solved with L is multiplied by P, where no number waits for the one before.
"""
# Append and remove take O(a^2) with a active rows; memory O(n_classes + a^2).

from libc.math cimport INFINITY, fabs, sqrt
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove

from minimalml.robustness._row_sums cimport (
    dot, drop_row, multiply_lower, multiply_transposed,
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

cdef struct Rows:           # of a sample; the next solve starts from them
    Py_ssize_t n_active     # -1 if there is nothing to start from
    Py_ssize_t capacity
    Py_ssize_t *active      # classes whose rows are active, in the order of the factor
    double *multiplier      # of each active row
    double *inverse         # P, packed by rows
    double *shift           # by how much the direction moves the score of each class

cdef struct Work:           # of a thread
    Py_ssize_t n_classes
    Py_ssize_t n_targets
    const Py_ssize_t *targets
    Rows *rows              # of the sample at hand
    Py_ssize_t *place       # of each class among the targets, from 1; a rival's is 0
    Py_ssize_t *leader      # the class above each place, -1 for the first target
    bint *is_active
    double *hidden          # infinity for targets and active classes, else 0
    Py_ssize_t *candidates  # rivals whose rows are violated
    double *score           # of each class at the current point
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


cdef inline double gap(Work *work, double margin, Py_ssize_t c) noexcept nogil:
    """By how much the row of class c is violated."""
    return margin - work.score[above(work, c)] + work.score[c]


cdef inline bint allocate(Work *work, Py_ssize_t n_classes) noexcept nogil:
    work.n_classes = n_classes
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


cdef inline bint reserve(Rows *rows, Py_ssize_t capacity) noexcept nogil:
    """Make room for so many active rows."""
    cdef void *grown
    if capacity <= rows.capacity:
        return True
    grown = realloc(rows.active, capacity * sizeof(Py_ssize_t))
    if grown == NULL:
        return False
    rows.active = <Py_ssize_t *> grown
    grown = realloc(rows.multiplier, capacity * sizeof(double))
    if grown == NULL:
        return False
    rows.multiplier = <double *> grown
    grown = realloc(rows.inverse, capacity * (capacity + 1) // 2 * sizeof(double))
    if grown == NULL:
        return False
    rows.inverse = <double *> grown
    rows.capacity = capacity
    return True


cdef inline bint copy_rows(
    const Rows *source, Rows *target, Py_ssize_t n_classes
) noexcept nogil:
    cdef Py_ssize_t a = source.n_active
    if a < 0:
        return True
    if not reserve(target, a):
        return False
    memcpy(target.active, source.active, a * sizeof(Py_ssize_t))
    memcpy(target.multiplier, source.multiplier, a * sizeof(double))
    memcpy(target.inverse, source.inverse, a * (a + 1) // 2 * sizeof(double))
    memcpy(target.shift, source.shift, n_classes * sizeof(double))
    target.n_active = a
    return True


cdef inline void fill_row(
    Work *work, const double[:, ::1] G, Py_ssize_t c, double *out
) noexcept nogil:
    """Compute the entries of D G Dᵀ between the row of class c and the active rows."""
    cdef Py_ssize_t p = above(work, c), i, q, other
    for i in range(work.rows.n_active):
        other = work.rows.active[i]
        q = above(work, other)
        out[i] = G[p, q] - G[p, other] - G[c, q] + G[c, other]


cdef inline int append_row(Work *work, const double[:, ::1] G, Py_ssize_t c) noexcept nogil:
    """Make the row of c active; return 0 if it depends on those that are, -1 on failure.

    Then work.step holds the null vector, for `follow_null_vector`.
    """
    cdef Rows *rows = work.rows
    cdef Py_ssize_t a = rows.n_active, p = above(work, c), i
    cdef double diagonal = G[p, p] - 2.0 * G[p, c] + G[c, c], pivot, inverse
    cdef double scale = fabs(G[p, p]) + fabs(G[c, c])
    cdef double *target
    if a == rows.capacity and not reserve(
        rows, min(max(16, a + a // 2), work.n_classes)
    ):
        return -1
    fill_row(work, G, c, work.row)
    multiply_lower(a, rows.inverse, work.row, work.lifted)
    multiply_transposed(a, rows.inverse, work.lifted, work.step)
    for i in range(a):
        work.step[i] = -work.step[i]
    pivot = diagonal - dot(a, work.lifted, work.lifted)
    if pivot <= MINIMALML_SUSPECT * scale:
        pivot = diagonal + refine_null_vector(work, G)
        scale *= 1.0 + dot(a, work.step, work.step)
        if pivot <= MINIMALML_DEPENDENT * scale:
            return 0
    inverse = 1.0 / sqrt(pivot)
    target = rows.inverse + a * (a + 1) // 2
    for i in range(a):
        target[i] = inverse * work.step[i]
    target[a] = inverse
    rows.active[a] = c
    rows.multiplier[a] = 0.0
    rows.n_active = a + 1
    mark(work, c)
    return 1


cdef inline double refine_null_vector(Work *work, const double[:, ::1] G) noexcept nogil:
    """Correct work.step, which minimises sᵀMs + 2sᵀm, and return that minimum.

    M is the active block and m = work.row. The value is off by the square of the error
    of s, where that of a pivot by the factor would be off by the error itself.
    """
    cdef Py_ssize_t a = work.rows.n_active, i
    cdef double value = 0.0
    cdef double *entries = work.entries
    cdef double *residual = work.lifted
    for i in range(a):
        fill_row(work, G, work.rows.active[i], entries)
        residual[i] = work.row[i] + dot(a, entries, work.step)
    multiply_lower(a, work.rows.inverse, residual, entries)
    multiply_transposed(a, work.rows.inverse, entries, residual)
    for i in range(a):
        work.step[i] -= residual[i]
    for i in range(a):
        fill_row(work, G, work.rows.active[i], entries)
        value += work.step[i] * (2.0 * work.row[i] + dot(a, entries, work.step))
    return value


cdef inline void remove_row(Work *work, Py_ssize_t k) noexcept nogil:
    """Take the k-th active row out, and out of work.lifted = P @ violation."""
    cdef Rows *rows = work.rows
    cdef Py_ssize_t n_after = rows.n_active - 1 - k
    unmark(work, rows.active[k])
    drop_row(rows.n_active, k, rows.inverse, work.lifted, work.row)
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


cdef inline int follow_null_vector(
    Work *work, const double[:, ::1] G, Py_ssize_t c
) noexcept nogil:
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
    if append_row(work, G, c) != 1:
        return STOPPED
    rows.multiplier[rows.n_active - 1] = length
    return OPTIMAL
