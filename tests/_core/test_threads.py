import pytest
from threadpoolctl import threadpool_limits

from minimalml._core.threads import effective_n_threads, has_openmp


def test_a_short_call_stays_on_one_thread():
    assert effective_n_threads(10, seconds_per_item=1e-7) == 1


@pytest.mark.skipif(not has_openmp(), reason="the build has no OpenMP")
def test_the_rule_follows_threadpoolctl():
    with threadpool_limits(1):
        assert effective_n_threads() == 1


def test_the_user_decides():
    assert effective_n_threads(1, 1e-9, n_threads=3) == (3 if has_openmp() else 1)


def test_zero_threads_are_refused():
    with pytest.raises(ValueError, match="n_threads must be at least 1, got 0"):
        effective_n_threads(n_threads=0)
