import multiprocessing
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from minimalml._core import threads
from minimalml._core.threads import (
    effective_n_threads,
    few_blas_threads,
    for_each_chunk,
)

pytestmark = pytest.mark.kernel


def test_a_short_call_stays_on_one_thread():
    assert effective_n_threads(10, seconds_per_item=1e-7) == 1


def test_the_rule_follows_threadpoolctl():
    with threadpool_limits(1):
        assert effective_n_threads() == 1


def test_the_user_decides():
    assert effective_n_threads(1, 1e-9, n_threads=3) == 3


def test_zero_threads_are_refused():
    with pytest.raises(ValueError, match="n_threads must be at least 1, got 0"):
        effective_n_threads(n_threads=0)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("n_items", [0, 1, 9, 10, 11])
def test_each_item_is_worked_on_once(n_items, n_threads):
    visits = np.zeros(n_items, dtype=int)

    def work(start, stop):
        time.sleep(1e-4)  # as a kernel that has released the GIL
        visits[start:stop] += 1

    for_each_chunk(work, n_items, chunk_size=2, n_threads=n_threads)
    assert (visits == 1).all()


def test_helpers_work_beside_the_caller():
    barrier = threading.Barrier(2, timeout=10)
    for_each_chunk(lambda *_: barrier.wait(), 2, chunk_size=1, n_threads=2)


def test_the_caller_waits_for_no_helper_that_has_not_begun(monkeypatch):
    with threads.ThreadPoolExecutor(1) as pool:
        busy = threading.Event()
        pool.submit(busy.wait)
        monkeypatch.setattr(threads, "_pool", lambda: pool)
        done = []
        for_each_chunk(lambda *chunk: done.append(chunk), 3, chunk_size=1, n_threads=2)
        busy.set()
    assert done == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_error_ends_the_call_and_leaves_the_pool_usable(n_threads):
    def fail(start, stop):
        raise MemoryError(f"at {start}")

    with pytest.raises(MemoryError, match="at "):
        for_each_chunk(fail, 100, chunk_size=1, n_threads=n_threads)
    test_helpers_work_beside_the_caller()


def test_callers_in_several_threads_share_the_cores(monkeypatch):
    monkeypatch.setattr(threads, "_openmp_effective_n_threads", lambda: 4)
    seen = []
    for_each_chunk(
        lambda *_: seen.append(effective_n_threads()), 4, chunk_size=1, n_threads=2
    )
    assert set(seen) == {3}
    assert effective_n_threads() == 4


def _share_out(queue):
    test_helpers_work_beside_the_caller()
    queue.put("done")


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork here"
)
def test_a_forked_child_starts_threads_of_its_own():
    test_helpers_work_beside_the_caller()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_share_out, args=(queue,))
    child.start()
    assert queue.get(timeout=30) == "done"
    child.join(30)


def test_helpers_that_never_began_keep_no_arrays(monkeypatch):
    class Rows:
        def work(self, start, stop):
            time.sleep(1e-3)

    rows, go_on = Rows(), threading.Event()
    alive = weakref.ref(rows)
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(go_on.wait)
        monkeypatch.setattr(threads, "_pool", lambda: pool)
        for_each_chunk(rows.work, 4, chunk_size=1, n_threads=3)
        del rows
        is_freed = alive() is None
        go_on.set()
    assert is_freed


def blas_threads():
    pools = threadpool_info()
    return [pool["num_threads"] for pool in pools if pool["user_api"] == "blas"]


def test_small_products_are_not_shared_among_threads():
    with threadpool_limits(2, user_api="blas"):
        several = blas_threads()
        with few_blas_threads(1e6):
            assert max(blas_threads()) == 1
        with few_blas_threads(1e9):
            assert blas_threads() == several
        with ThreadPoolExecutor(1) as pool:  # the limit would be all threads'
            assert isinstance(pool.submit(few_blas_threads, 1).result(), nullcontext)
