"""How many threads, and how they share the work: a small pool whose threads sleep.

Kernels are plain functions over a chunk that release the GIL. OpenMP's barriers spin,
and beside busy neighbours a spinning thread keeps the working one from its core; here
the caller works too, and waits for no helper that has not begun.
"""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from threading import Lock, current_thread, main_thread

from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
from threadpoolctl import ThreadpoolController

__all__ = ["effective_n_threads", "few_blas_threads", "for_each_chunk"]

# Waking a sleeping thread takes 0.05 to 0.2 ms: seconds of work that are worth it.
WORTH_A_THREAD = 1e-3
# Multiplications of a product from which BLAS gains by sharing it among threads: some
# milliseconds. Two threads on busy cores made 200 products of 5e6 20 times slower.
WORTH_BLAS_THREADS = 1e8

_lock = Lock()
_n_callers = 0  # that share work out at this moment, in any thread of the process


@cache
def _pool():
    # An upper bound: threads start when they are first needed
    return ThreadPoolExecutor(max_workers=256, thread_name_prefix="minimalml")


def _forget_after_fork():
    """Let a forked child, which has none of its parent's threads, start its own."""
    global _lock, _n_callers
    _pool.cache_clear()
    _lock, _n_callers = Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def effective_n_threads(work_items=None, seconds_per_item=0.0, n_threads=None):
    """Decide the number of threads for one call of a kernel.

    scikit-learn's rule: the physical cores that joblib counts (which reads container
    quotas), ``OMP_NUM_THREADS``, and what threadpoolctl allows; joblib and Dask tell
    the processes that they start their share by these. Callers in several threads of
    one process share its cores.

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
        return int(n_threads)
    if work_items is not None and work_items * seconds_per_item < WORTH_A_THREAD:
        return 1
    return max(1, _openmp_effective_n_threads() - _n_callers)


def for_each_chunk(work, n_items, *, chunk_size, n_threads=1):
    """Call ``work(start, stop)`` for all chunks of ``range(n_items)``, in any order.

    Chunks are dealt one by one to the caller and ``n_threads - 1`` helpers. Results
    don't depend on ``n_threads`` as long as ``work`` writes to places of its own.

    Parameters
    ----------
    work : callable
        Releases the GIL for nearly all its time; an error ends the whole call.

    n_items : int
        Number of items.

    chunk_size : int
        Items a chunk; the last may be shorter. Worth 0.1 ms or more.

    n_threads : int, default=1
        From `effective_n_threads`.
    """
    global _n_callers
    starts = deque(range(0, n_items, chunk_size))

    def take_chunks():
        while starts:
            try:
                start = starts.popleft()
            except IndexError:  # another thread took the last
                return
            work(start, min(start + chunk_size, n_items))

    n_helpers = min(n_threads, len(starts)) - 1
    if n_helpers < 1:
        return take_chunks()
    with _lock:
        _n_callers += 1
    helpers = [_pool().submit(take_chunks) for _ in range(n_helpers)]
    try:
        take_chunks()
    finally:
        starts.clear()
        begun = [helper for helper in helpers if not helper.cancel()]
        errors = [helper.exception() for helper in begun]
        work = None  # a cancelled helper stays in the queue, but not with the arrays
        with _lock:
            _n_callers -= 1
    for error in filter(None, errors):
        raise error


@cache
def _blas():
    return ThreadpoolController().select(user_api="blas")


def few_blas_threads(n_multiplications):
    """Keep BLAS from sharing products that are too small among threads."""
    # The limit is the process's: only its main thread may set and lift it.
    if n_multiplications > WORTH_BLAS_THREADS or current_thread() is not main_thread():
        return nullcontext()
    return _blas().limit(limits=1)
