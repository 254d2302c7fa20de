"""Active rows of the ordering programme, their multipliers and their block's inverse.

Rows border the inverse of the active block of D G Dᵀ and leave it by updates of rank
one; errors that these gather only slow the closing of gaps, which are computed anew.
"""
# Append and remove take O(a^2) with a active rows; memory O(n_classes + a^2).

from libc.math cimport fabs
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from minimalml.inspection._quad_attack._row_sums cimport (
    add_outer, dot, multiply_symmetric,
)

cdef enum:
    OPTIMAL = 0
    INFEASIBLE = 1
    STOPPED = 2
    INDEFINITE = 3
    TARGET = 1  # in Work.kind
    ACTIVE = 2

cdef extern from *:
    """
    /* Pivots relative to the Gram's diagonal and to their null vector, which multiplies
       rounding: below these the row depends on others, the pivot is computed with care,
       and, in negative, no rounding explains it, not even float32's. */
    #define MINIMALML_DEPENDENT 1e-12
    #define MINIMALML_SUSPECT 1e-6
    #define MINIMALML_NEGATIVE 1e-4
    /* An entry of a null vector above minus this, relatively, counts as zero. */
    #define MINIMALML_NULL_ZERO 1e-9
    """
    const double MINIMALML_DEPENDENT, MINIMALML_SUSPECT
    const double MINIMALML_NEGATIVE, MINIMALML_NULL_ZERO

cdef struct Rows:           # of a sample; the next solve starts from them
    Py_ssize_t n_active     # -1 if there is nothing to start from
    Py_ssize_t capacity
    Py_ssize_t *active      # classes whose rows are active
    double *multiplier      # of each active row
    double *inverse         # of the active block, lower triangle packed by rows

cdef struct Work:           # of a chunk; pointers to what is the sample's at hand
    Py_ssize_t n_classes
    Py_ssize_t n_targets
    double margin
    double scale            # of the logits
    double tol              # in units of the logits
    const double *gram
    const double *logits
    const Py_ssize_t *targets
    Rows *rows
    double *direction
    double *lift            # that the direction adds to the scores
    double *score           # of each class at the current point
    Py_ssize_t *above       # the class that must lead each class
    Py_ssize_t *kind        # of each class: 0, or TARGET and ACTIVE
    Py_ssize_t *moved       # classes whose scores the direction weighs
    double *weight          # their entries of the direction
    double *violation       # of each active row
    double *step            # of the multipliers
    double *row             # of the block
    double *other           # row, or column of the inverse
    double *residual
    double *correction      # of a null vector


cdef inline double gap(Work *work, const double *score, Py_ssize_t c) noexcept nogil:
    """By how much scores violate the row of class c."""
    return work.margin - score[work.above[c]] + score[c]


cdef inline double active_gaps(Work *work) noexcept nogil:
    """Compute the gaps of the active rows and return the widest."""
    cdef double widest = 0.0
    cdef Py_ssize_t i
    for i in range(work.rows.n_active):
        work.violation[i] = gap(work, work.score, work.rows.active[i])
        widest = max(widest, fabs(work.violation[i]))
    return widest


cdef inline void fill_row(Work *work, Py_ssize_t c, double *out) noexcept nogil:
    """Compute the entries of D G Dᵀ between the row of class c and the active rows."""
    cdef Py_ssize_t i, q, other
    cdef const double *high = work.gram + work.above[c] * work.n_classes
    cdef const double *low = work.gram + c * work.n_classes
    for i in range(work.rows.n_active):
        other = work.rows.active[i]
        q = work.above[other]
        out[i] = high[q] - high[other] - low[q] + low[other]


cdef inline int append_row(Work *work, Py_ssize_t c) except -1 nogil:
    """Make the row of c active; return 0 if it depends on those that are, 2 if it can't be.

    Then work.step holds the null vector, for `follow_null_vector`.
    """
    cdef Rows *rows = work.rows
    cdef Py_ssize_t n = work.n_classes, a = rows.n_active, p = work.above[c], i
    cdef const double *gram = work.gram
    cdef double own = gram[p * n + p] - 2.0 * gram[p * n + c] + gram[c * n + c]
    cdef double scale = fabs(gram[p * n + p]) + fabs(gram[c * n + c]), pivot
    cdef double *inverse
    reserve(rows, a + 1)
    fill_row(work, c, work.row)
    multiply_symmetric(a, rows.inverse, work.row, work.step)
    for i in range(a):
        work.step[i] = -work.step[i]
    pivot = own + dot(a, work.row, work.step)
    if pivot <= MINIMALML_SUSPECT * scale:
        pivot = own + refine_null_vector(work)
        scale *= 1.0 + dot(a, work.step, work.step)
        if pivot <= MINIMALML_DEPENDENT * scale:
            return 2 if pivot < -MINIMALML_NEGATIVE * scale else 0
    add_outer(a, 1.0 / pivot, work.step, rows.inverse)
    inverse = rows.inverse + a * (a + 1) // 2
    for i in range(a):
        inverse[i] = work.step[i] / pivot
    inverse[a] = 1.0 / pivot
    work.violation[a] = gap(work, work.score, c)
    rows.active[a], rows.multiplier[a] = c, 0.0
    rows.n_active = a + 1
    work.kind[c] |= ACTIVE
    return 1


cdef inline double refine_null_vector(Work *work) noexcept nogil:
    """Correct work.step, which minimises sᵀMs + 2sᵀm, and return that minimum.

    M is the active block and m = work.row. The value is off by the square of the error
    of s, where that of a pivot by the inverse would be off by the error itself.
    """
    cdef Py_ssize_t a = work.rows.n_active, i
    cdef double value = 0.0
    cdef double *residual = work.residual
    for i in range(a):
        fill_row(work, work.rows.active[i], work.other)
        residual[i] = work.row[i] + dot(a, work.other, work.step)
    multiply_symmetric(a, work.rows.inverse, residual, work.correction)
    for i in range(a):
        work.step[i] -= work.correction[i]
    for i in range(a):
        fill_row(work, work.rows.active[i], work.other)
        value += work.step[i] * (2.0 * work.row[i] + dot(a, work.other, work.step))
    return value


cdef inline void remove_row(Work *work, Py_ssize_t k) noexcept nogil:
    """Take the k-th active row out, the last in its place, and out of work.step."""
    cdef Rows *rows = work.rows
    cdef double *inverse = rows.inverse
    cdef double *column = work.other
    cdef Py_ssize_t last = rows.n_active - 1, i
    for i in range(last + 1):
        column[i] = inverse[max(i, k) * (max(i, k) + 1) // 2 + min(i, k)]
    for i in range(last + 1):
        if i != k:
            work.step[i] -= column[i] * (work.step[k] / column[k])
    add_outer(last + 1, -1.0 / column[k], column, inverse)
    work.kind[rows.active[k]] &= TARGET
    rows.active[k], rows.multiplier[k] = rows.active[last], rows.multiplier[last]
    work.step[k] = work.step[last]
    memcpy(column, inverse + last * (last + 1) // 2, (last + 1) * sizeof(double))
    column[k] = column[last]
    for i in range(last):
        inverse[max(i, k) * (max(i, k) + 1) // 2 + min(i, k)] = column[i]
    rows.n_active = last


cdef inline void move_active(Work *work) noexcept nogil:
    """Close the active gaps, throwing out rows whose multiplier would turn negative."""
    cdef Rows *rows = work.rows
    cdef Py_ssize_t i, k
    cdef double length, ratio
    multiply_symmetric(rows.n_active, rows.inverse, work.violation, work.step)
    while True:
        length, k = 1.0, -1
        for i in range(rows.n_active):
            if rows.multiplier[i] + work.step[i] <= 0.0:
                ratio = 0.0
                if rows.multiplier[i] > 0.0:
                    ratio = rows.multiplier[i] / -work.step[i]
                if k < 0 or ratio < length:
                    length, k = ratio, i
        for i in range(rows.n_active):
            rows.multiplier[i] = max(0.0, rows.multiplier[i] + length * work.step[i])
            work.step[i] *= 1.0 - length
        if k < 0:
            return
        remove_row(work, k)


cdef inline int follow_null_vector(Work *work, Py_ssize_t c) except -1 nogil:
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
                length, k = ratio, i
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


cdef inline int reserve(Rows *rows, Py_ssize_t capacity) except -1 nogil:
    """Make room for so many active rows."""
    cdef Py_ssize_t size
    if capacity <= rows.capacity:
        return 0
    capacity = max(16, capacity + capacity // 2)
    size = capacity * (capacity + 1) // 2
    rows.active = <Py_ssize_t *> grow(rows.active, capacity * sizeof(Py_ssize_t))
    rows.multiplier = <double *> grow(rows.multiplier, capacity * sizeof(double))
    rows.inverse = <double *> grow(rows.inverse, size * sizeof(double))
    rows.capacity = capacity
    return 0


cdef inline void *grow(void *array, size_t size) except NULL nogil:
    array = realloc(array, size)
    if array == NULL:
        with gil:
            raise MemoryError("the active rows of the ordering programme")
    return array


cdef inline void release(Rows *rows) noexcept nogil:
    """Free the rows of a sample, which then starts from nothing."""
    free(rows.active)
    free(rows.multiplier)
    free(rows.inverse)
    rows.active, rows.multiplier, rows.inverse = NULL, NULL, NULL
    rows.n_active, rows.capacity = -1, 0
