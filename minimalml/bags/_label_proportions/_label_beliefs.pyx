# Messages of belief propagation, in log-odds: O(edges) and O(sum of B sqrt(B)) a step for
# bags of B rows, no memory but `work`.
#
# Each call does the edges, bags or rows [start, stop), whose messages no other call writes,
# so that no bit depends on who did which. All read what rows believed before the step.

from libc.math cimport INFINITY, exp, fabs, log, rint
from libc.stddef cimport ptrdiff_t
from numpy cimport intp_t

# What a row can tell a factor at most: beyond, nothing changes but rounding
cdef double MOST = 50.0
# Probabilities of counts below are dropped: a count of consequence has e^-50 or more
cdef double NEGLIGIBLE = 1e-40
cdef double SMALLEST = 1e-300

cdef extern from *:
    """
    #include <stddef.h>
    #include "simd.h"

    /* Add a row that is positive with probability p = 1 - q to a count. */
    MULTIVERSION static void add_row(
        const double *restrict law, double *restrict next,
        double p, double q, ptrdiff_t first, ptrdiff_t last)
    {
        for (ptrdiff_t s = first; s <= last; s++)
            next[s] = q * law[s] + p * law[s - 1];
    }
    """
    void add_row(
        const double*, double*, double, double, ptrdiff_t, ptrdiff_t
    ) noexcept nogil


cdef inline double clipped(double odds) noexcept nogil:
    return min(MOST, max(-MOST, odds))


cdef inline double along_edge(double odds, double decay) noexcept nogil:
    """Return 2 artanh(tanh(odds / 2) tanh(J / 2)) for decay = exp(-J)."""
    cdef double small = exp(-fabs(odds))
    cdef double size = log((1.0 + decay * small) / (decay + small))
    return size if odds >= 0.0 else -size


cdef inline double damped(
    double* message, double new, double damping, double change
) noexcept nogil:
    """Move a message towards its new value, and return the largest change so far."""
    change = max(change, fabs(new - message[0]))
    message[0] = damping * message[0] + (1.0 - damping) * new
    return change


def send_along_edges(
    const intp_t[:, ::1] edges,         # IN (n_edges, 2) rows i < j
    const double[::1] decays,           # IN (n_edges,) exp(-coupling)
    const double[::1] log_odds,         # IN (n_rows,)
    const unsigned char[::1] is_known,  # IN (n_rows,) says the same to all
    double[:, ::1] messages,            # IN, OUT (n_edges, 2) to i and to j
    double damping,
    intp_t start,
    intp_t stop,
):
    """Let neighbours tell one another what they believe; return the largest change."""
    cdef intp_t e, i, j
    cdef double odds_i, odds_j, change = 0.0
    with nogil:
        for e in range(start, stop):
            i, j = edges[e, 0], edges[e, 1]
            odds_i = log_odds[i] if is_known[i] else log_odds[i] - messages[e, 0]
            odds_j = log_odds[j] if is_known[j] else log_odds[j] - messages[e, 1]
            change = damped(
                &messages[e, 0], along_edge(clipped(odds_j), decays[e]), damping, change
            )
            change = damped(
                &messages[e, 1], along_edge(clipped(odds_i), decays[e]), damping, change
            )
    return change


def add_up(
    const double[::1] prior,            # IN (n_rows,)
    const double[:, ::1] messages,      # IN (n_edges, 2)
    const intp_t[::1] incoming,         # IN (2 n_edges,) messages by row, as numbers 2 e + side
    const intp_t[::1] offsets,          # IN (n_rows + 1,) where those of each row begin
    const double[::1] bag_messages,     # IN (n_rows,)
    const unsigned char[::1] is_known,  # IN (n_rows,)
    double[::1] without_bag,            # OUT (n_rows,) prior and edges
    double[::1] log_odds,               # OUT (n_rows,) all but of known rows
    intp_t start,
    intp_t stop,
):
    """Let each row believe the sum of what it is told."""
    cdef intp_t i, k
    cdef double total
    with nogil:
        for i in range(start, stop):
            if not is_known[i]:
                total = prior[i]
                for k in range(offsets[i], offsets[i + 1]):
                    total += messages[incoming[k] >> 1, incoming[k] & 1]
                without_bag[i] = total
                log_odds[i] = total + bag_messages[i]


def send_from_bags(
    const intp_t[::1] order,            # IN (n_rows,) rows by bag
    const intp_t[::1] offsets,          # IN (n_bags + 1,)
    const double[::1] counts,           # IN (n_bags,)
    double strength,                    # of the counts; inf: they hold exactly
    const double[::1] without_bag,      # IN (n_rows,)
    const unsigned char[::1] is_known,  # IN (n_rows,) of all rows of a bag or none
    double[::1] messages,               # IN, OUT (n_rows,)
    double damping,
    double[:, ::1] work,                # WORK (6, largest bag + 4)
    intp_t start,
    intp_t stop,
):
    """Let bags tell their rows what their counts ask for; return the largest change."""
    cdef intp_t a, k, size, first, last
    cdef const intp_t* rows
    cdef double tilt, new, change = 0.0
    cdef double* p = &work[0, 0]
    cdef double* q = &work[1, 0]
    cdef double* law
    with nogil:
        for a in range(start, stop):
            rows, size = &order[offsets[a]], offsets[a + 1] - offsets[a]
            if is_known[rows[0]]:
                continue
            for k in range(size):
                p[k] = clipped(without_bag[rows[k]])
            tilt = find_tilt(p, size, counts[a], strength)
            for k in range(size):
                set_probabilities(p[k] + tilt, &p[k], &q[k])
            law = law_of_count(p, q, size, &work[2, 1], &work[3, 1], &first, &last)
            if strength == INFINITY:
                for k in range(size):
                    new = tilt + message_of_count(
                        law, p[k], q[k], first, last, <intp_t>counts[a]
                    )
                    change = damped(&messages[rows[k]], new, damping, change)
            else:
                change = send_soft(
                    law, p, q, first, last, rows, size, counts[a], strength, tilt,
                    &work[4, 0], &work[5, 0], &messages[0], damping, change,
                )
    return change


cdef inline void set_probabilities(double odds, double* p, double* q) noexcept nogil:
    """Set both probabilities so that the smaller one is right to the last digit."""
    cdef double small = exp(-fabs(odds))
    cdef double large = 1.0 / (1.0 + small)
    small *= large
    p[0], q[0] = (large, small) if odds > 0.0 else (small, large)


cdef double find_tilt(
    const double* odds, intp_t size, double count, double strength
) noexcept nogil:
    """Find t with t / (2 strength) + sum sigmoid(odds + t) = count.

    Any t would do: this one puts the law of the count where the factor has its weight.
    """
    cdef double slope = 0.5 / strength  # 0 where counts are exact
    cdef double low = 0.0, high = 0.0, t, value, derivative, p, q, next_t
    cdef intp_t k, turn, n_above
    if slope > 0.0:
        low, high = -(size - count) / slope, count / slope
    else:
        for k in range(size):
            low, high = min(low, -odds[k]), max(high, -odds[k])
        low -= 2.0 * log(size + 1.0) + 2.0
        high += 2.0 * log(size + 1.0) + 2.0
    t = min(high, max(low, 0.0))
    for turn in range(200):
        # rows above a half are counted, and what they lack to 1 is added up
        n_above, value, derivative = 0, slope * t, slope
        for k in range(size):
            set_probabilities(odds[k] + t, &p, &q)
            n_above += p > q
            value += -q if p > q else p
            derivative += p * q
        value += n_above - count
        if value > 0.0:
            high = t
        else:
            low = t
        next_t = t - value / derivative if derivative > 0.0 else high + 1.0
        if not low <= next_t <= high:
            next_t = 0.5 * (low + high)
        if fabs(next_t - t) <= 1e-9 * (1.0 + fabs(t)):
            break
        t = next_t
    return t


cdef double* law_of_count(
    const double* p, const double* q, intp_t size,
    double* law, double* other, intp_t* first, intp_t* last,
) noexcept nogil:
    """Return the probabilities of the number of positive rows, from first to last."""
    cdef intp_t k, low = 0, high = 0
    (law - 1)[0], law[0], law[1] = 0.0, 1.0, 0.0  # zeros on both sides, always
    for k in range(size):
        add_row(law, other, p[k], q[k], low, high + 1)
        law, other = other, law
        high += 1
        while law[high] < NEGLIGIBLE:
            high -= 1
        while law[low] < NEGLIGIBLE:
            low += 1
        law[low - 1], law[high + 1] = 0.0, 0.0
    first[0], last[0] = low, high
    return law


cdef inline double message_of_count(
    const double* law, double p, double q, intp_t first, intp_t last, intp_t count
) noexcept nogil:
    """Return log P(count - 1) - log P(count) of the other rows.

    Their law is that of all divided by this row's, from the side where errors shrink.
    """
    cdef intp_t s
    cdef double here = 0.0, before = 0.0, ratio
    if p <= q:
        ratio, q = p / q, 1.0 / q
        for s in range(first, count + 1):
            before = here
            here = max(0.0, law[s] * q - here * ratio)
    else:
        ratio, p = q / p, 1.0 / p
        for s in range(last, count - 1, -1):
            here = before
            before = max(0.0, law[s] * p - before * ratio)
    return log(max(before, SMALLEST)) - log(max(here, SMALLEST))


cdef double send_soft(
    const double* law, const double* p, const double* q, intp_t first, intp_t last,
    const intp_t* rows, intp_t size, double count, double strength, double tilt,
    double* with_row, double* without, double* messages, double damping, double change,
) noexcept nogil:
    """Send the messages of one bag whose count may be missed at a price."""
    cdef intp_t s, k, stop = min(last, size - 1)
    cdef double middle = rint(count - 0.5 * tilt / strength)
    cdef double top_with = min(size - 1.0, max(0.0, middle - 1.0))
    cdef double top_without = min(size - 1.0, max(0.0, middle))
    cdef double scale_with = log_factor(top_with, 1.0, count, strength, tilt)
    cdef double scale_without = log_factor(top_without, 0.0, count, strength, tilt)
    cdef double rest, unit, ratio, sum_with, sum_without
    # the others may count one less than all of them
    first = max(0, first - 1)
    for s in range(first, stop + 1):
        with_row[s] = exp(log_factor(s, 1.0, count, strength, tilt) - scale_with)
        without[s] = exp(log_factor(s, 0.0, count, strength, tilt) - scale_without)
    for k in range(size):
        rest, sum_with, sum_without = 0.0, 0.0, 0.0
        unit = 1.0 / max(p[k], q[k])
        ratio = min(p[k], q[k]) * unit
        if p[k] <= q[k]:
            for s in range(first, stop + 1):
                rest = max(0.0, law[s] * unit - ratio * rest)
                sum_with += rest * with_row[s]
                sum_without += rest * without[s]
        else:
            for s in range(stop, first - 1, -1):
                rest = max(0.0, law[s + 1] * unit - ratio * rest)
                sum_with += rest * with_row[s]
                sum_without += rest * without[s]
        rest = log(max(sum_with, SMALLEST)) - log(max(sum_without, SMALLEST))
        rest += scale_with - scale_without
        change = damped(&messages[rows[k]], rest, damping, change)
    return change


cdef inline double log_factor(
    double s, double own, double count, double strength, double tilt
) noexcept nogil:
    """Return the log of the factor at ``s`` others and ``own``, the tilt taken back."""
    return -strength * (s + own - count) ** 2 - tilt * s
