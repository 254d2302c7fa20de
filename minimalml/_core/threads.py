"""One answer to "how many threads": scikit-learn's rule."""

import os
from functools import cache

from joblib import cpu_count

from minimalml._core._openmp import has_openmp, max_threads

__all__ = ["effective_n_threads", "has_openmp"]

# Below this many seconds of work a parallel region costs more than it saves:
# starting one took 10 to 50 microseconds, and far more where cores are shared.
WORTH_A_THREAD = 1e-4

_n_cores = cache(cpu_count)


def effective_n_threads(work_items=None, seconds_per_item=0.0, n_threads=None):
    """Decide the number of OpenMP threads for one call of a kernel.

    As in scikit-learn: what OpenMP reports (which follows ``OMP_NUM_THREADS`` and
    threadpoolctl), but no more than the physical cores that joblib counts (which
    reads container quotas), unless ``OMP_NUM_THREADS`` asks for more.

    Parameters
    ----------
    work_items : int, default=None
        Items that the call will process; None means that the call is large.

    seconds_per_item : float, default=0.0
        Rough cost of an item on one thread, in seconds.

    n_threads : int, default=None
        What the user asked for; None lets the rule decide.

    Returns
    -------
    int
        At least 1; exactly 1 where the call is too short to share.

    Raises
    ------
    ValueError
        If ``n_threads`` is not a positive integer.
    """
    if n_threads is not None:
        if n_threads < 1:
            raise ValueError(f"n_threads must be at least 1, got {n_threads}.")
        return int(n_threads) if has_openmp() else 1
    if work_items is not None and work_items * seconds_per_item < WORTH_A_THREAD:
        return 1
    if os.environ.get("OMP_NUM_THREADS"):
        return max_threads()
    return min(max_threads(), _n_cores(only_physical_cores=True))
