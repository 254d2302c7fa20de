"""Active rows of the ordering programme, their multipliers and Cholesky factor."""
# Append and remove take O(a^2) with a active rows; memory O(n_classes + a^2).

from libc.math cimport fabs, sqrt
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

from minimalml.robustness._row_sums cimport add, dot, solve_lower, solve_transposed

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
    /* Below this the null vector is worth computing. */
    #define MINIMALML_SUSPECT 1e-6
    /* An entry of a null vector above minus this, relatively, counts as zero. */
    #define MINIMALML_NULL_ZERO 1e-9
    """
    const double MINIMALML_DEPENDENT
    const double MINIMALML_SUSPECT
    const double MINIMALML_NULL_ZERO

cdef struct Work:
    Py_ssize_t n_classes
    Py_ssize_t n_active
    Py_ssize_t capacity
    Py_ssize_t *above       # of each class, -1 for the first target
    Py_ssize_t *active      # classes whose rows are active, in the order of the factor
    bint *is_active
    double *factor          # packed lower Cholesky factor of the active block
    double *multiplier      # of each class
    double *score           # of each class at the current point
    double *violation       # of each active row
    double *step
    double *row
    Py_ssize_t n_moved
    Py_ssize_t *moved       # classes whose scores the direction weighs
    double *weight          # their entries of the direction

cdef struct Saved:
    Py_ssize_t n_active     # -1 if there is nothing to start from
    Py_ssize_t capacity
    Py_ssize_t *active
    double *values          # multipliers, factor, and how far each class's score moved


cdef inline double *factor_row(Work *work, Py_ssize_t i) noexcept nogil:
    return work.factor + i * (i + 1) // 2


cdef inline double gap(Work *work, double margin, Py_ssize_t c) noexcept nogil:
    """By how much the row of class c is violated."""
    return margin - work.score[work.above[c]] + work.score[c]


cdef inline bint allocate(Work *work, Py_ssize_t n_classes) noexcept nogil:
    work.n_classes = n_classes
    work.capacity = 0
    work.factor = NULL
    work.above = <Py_ssize_t *> malloc(3 * n_classes * sizeof(Py_ssize_t))
    work.active = work.above + n_classes
    work.moved = work.active + n_classes
    work.is_active = <bint *> malloc(n_classes * sizeof(bint))
    work.multiplier = <double *> malloc(6 * n_classes * sizeof(double))
    work.score = work.multiplier + n_classes
    work.violation = work.score + n_classes
    work.step = work.violation + n_classes
    work.row = work.step + n_classes
    work.weight = work.row + n_classes
    return (
        work.above != NULL
        and work.is_active != NULL
        and work.multiplier != NULL
        and reserve(work, min(64, n_classes))
    )


cdef inline bint reserve(Work *work, Py_ssize_t capacity) noexcept nogil:
    """Make room for so many active rows."""
    cdef double *factor
    if capacity <= work.capacity:
        return True
    factor = <double *> realloc(
        work.factor, capacity * (capacity + 1) // 2 * sizeof(double)
    )
    if factor == NULL:
        return False
    work.factor = factor
    work.capacity = capacity
    return True


cdef inline void release(Work *work) noexcept nogil:
    free(work.above)
    free(work.is_active)
    free(work.multiplier)
    free(work.factor)


cdef inline int append_row(Work *work, const double[:, ::1] G, Py_ssize_t c) noexcept nogil:
    """Extend the factor by the row of c; 0 if it depends on the active ones.

    Then work.step holds the null vector, for `follow_null_vector`.
    """
    cdef Py_ssize_t a = work.n_active, p = work.above[c], i, q, other
    cdef double pivot = G[p, p] - 2.0 * G[p, c] + G[c, c]
    cdef double scale = fabs(G[p, p]) + fabs(G[c, c])
    cdef double *target
    if a == work.capacity and not reserve(work, min(2 * a, work.n_classes)):
        return -1
    for i in range(a):
        other = work.active[i]
        q = work.above[other]
        work.row[i] = G[p, q] - G[p, other] - G[c, q] + G[c, other]
    solve_lower(a, work.factor, work.row)
    pivot -= dot(a, work.row, work.row)
    if pivot <= MINIMALML_SUSPECT * scale:
        for i in range(a):
            work.step[i] = -work.row[i]
        solve_transposed(a, work.factor, work.step)
        scale *= 1.0 + dot(a, work.step, work.step)
        if pivot <= MINIMALML_DEPENDENT * scale:
            return 0
    target = factor_row(work, a)
    for i in range(a):
        target[i] = work.row[i]
    target[a] = sqrt(pivot)
    work.active[a] = c
    work.is_active[c] = True
    work.n_active = a + 1
    return 1


cdef inline void remove_row(Work *work, Py_ssize_t k) noexcept nogil:
    """Take the k-th active row out of the factor by plane rotations."""
    cdef Py_ssize_t i, j, a = work.n_active
    cdef double *cosine = work.row
    cdef double *sine = work.step
    cdef double *source
    cdef double *target
    cdef double left, right, length
    work.is_active[work.active[k]] = False
    work.multiplier[work.active[k]] = 0.0
    for i in range(k + 1, a):
        source = factor_row(work, i)
        target = factor_row(work, i - 1)
        for j in range(k):
            target[j] = source[j]
        left = source[k]
        for j in range(k, i - 1):
            right = source[j + 1]
            target[j] = cosine[j] * left + sine[j] * right
            left = cosine[j] * right - sine[j] * left
        right = source[i]
        length = sqrt(left * left + right * right)
        cosine[i - 1] = left / length
        sine[i - 1] = right / length
        target[i - 1] = length
        work.active[i - 1] = work.active[i]
        work.violation[i - 1] = work.violation[i]
    work.n_active = a - 1


cdef inline void newton_step(Work *work) noexcept nogil:
    """Find the change of multipliers that closes all active gaps."""
    memcpy(work.step, work.violation, work.n_active * sizeof(double))
    solve_lower(work.n_active, work.factor, work.step)
    solve_transposed(work.n_active, work.factor, work.step)


cdef inline void move_active(Work *work) noexcept nogil:
    """Close the active gaps, throwing out rows whose multiplier would turn negative."""
    cdef Py_ssize_t i, c, k
    cdef double length, ratio
    while work.n_active:
        newton_step(work)
        length = 1.0
        k = -1
        for i in range(work.n_active):
            c = work.active[i]
            if work.multiplier[c] + work.step[i] <= 0.0:
                ratio = 0.0
                if work.multiplier[c] > 0.0:
                    ratio = work.multiplier[c] / -work.step[i]
                if k < 0 or ratio < length:
                    length = ratio
                    k = i
        for i in range(work.n_active):
            c = work.active[i]
            work.violation[i] *= 1.0 - length
            work.multiplier[c] = max(0.0, work.multiplier[c] + length * work.step[i])
        if k < 0:
            return
        remove_row(work, k)


cdef inline int follow_null_vector(
    Work *work, const double[:, ::1] G, Py_ssize_t c
) noexcept nogil:
    """Go on where `append_row` found that the row of c depends on the active ones.

    Along the null vector the scores don't change and the dual rises. Either a
    multiplier reaches zero and c takes its place, or none falls: then the vector, left
    in the multipliers, proves that no point satisfies the rows.
    """
    cdef Py_ssize_t i, k = -1
    cdef double largest = 1.0, length = 0.0, ratio
    for i in range(work.n_active):
        largest = max(largest, fabs(work.step[i]))
    for i in range(work.n_active):
        if work.step[i] < -MINIMALML_NULL_ZERO * largest:
            ratio = work.multiplier[work.active[i]] / -work.step[i]
            if k < 0 or ratio < length:
                length = ratio
                k = i
    if k < 0:
        for i in range(work.n_active):
            work.multiplier[work.active[i]] = max(0.0, work.step[i]) / largest
        work.multiplier[c] = 1.0 / largest
        return INFEASIBLE
    for i in range(work.n_active):
        work.multiplier[work.active[i]] = max(
            0.0, work.multiplier[work.active[i]] + length * work.step[i]
        )
    remove_row(work, k)
    if append_row(work, G, c) != 1:
        return STOPPED
    work.multiplier[c] = length
    return OPTIMAL


cdef inline bint save(Work *work, const double *logits, Saved *saved) noexcept nogil:
    """Copy what the next solve can start from."""
    cdef Py_ssize_t i, a = work.n_active, n = work.n_classes, size = a * (a + 1) // 2
    cdef double *values = saved.values
    saved.n_active = a
    if values == NULL or saved.capacity < a:
        free(saved.active)
        free(values)
        # room for more: a loop saves again and again
        saved.capacity = a + 8
        saved.active = <Py_ssize_t *> malloc(saved.capacity * sizeof(Py_ssize_t))
        saved.values = values = <double *> malloc(
            ((saved.capacity * (saved.capacity + 3)) // 2 + n) * sizeof(double)
        )
        if saved.active == NULL or values == NULL:
            return False
    memcpy(saved.active, work.active, a * sizeof(Py_ssize_t))
    for i in range(a):
        values[i] = work.multiplier[work.active[i]]
    memcpy(values + a, work.factor, size * sizeof(double))
    for i in range(n):
        values[a + size + i] = work.score[i] - logits[i]
    return True


cdef inline bint restore(Work *work, const Saved *saved) noexcept nogil:
    """Take up what `save` left, in place of no active rows and scores as they are."""
    cdef Py_ssize_t i, a = saved.n_active, size = a * (a + 1) // 2
    if not reserve(work, a):
        return False
    memcpy(work.active, saved.active, a * sizeof(Py_ssize_t))
    memcpy(work.factor, saved.values + a, size * sizeof(double))
    for i in range(a):
        work.multiplier[work.active[i]] = saved.values[i]
        work.is_active[work.active[i]] = True
    add(work.n_classes, 1.0, saved.values + a + size, work.score)
    work.n_active = a
    return True
