"""Counter-based random numbers: a draw depends on its seed alone, not on threads."""

from libc.stdint cimport uint64_t


cdef inline double uniform(uint64_t seed, uint64_t counter) noexcept nogil:
    """Number ``counter`` of the stream ``seed`` in [0, 1): splitmix64."""
    cdef uint64_t z = seed + counter * <uint64_t>0x9E3779B97F4A7C15
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    z = z ^ (z >> 31)
    return <double>(z >> 11) * 2.0 ** -53
