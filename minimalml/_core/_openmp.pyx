"""What the OpenMP runtime says, also where the build has none."""

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #define MINIMALML_OPENMP 1
    #else
    #define MINIMALML_OPENMP 0
    static int omp_get_max_threads(void) { return 1; }
    #endif
    """
    const bint MINIMALML_OPENMP
    int omp_get_max_threads() nogil


def has_openmp():
    """Whether the kernels were built with OpenMP."""
    return MINIMALML_OPENMP


def max_threads():
    """Threads that an OpenMP region would use by default, 1 without OpenMP."""
    return omp_get_max_threads()
