"""Moments that are measured in several places and added: Dask, torch's processes."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

from minimalml.linear_model import NaiveBayesProbe

X, Y = load_iris(return_X_y=True)


def test_dask_arrays_are_pointed_to_their_function():
    da = pytest.importorskip("dask.array")
    with pytest.raises(TypeError, match=r"compute\(\) it, or .*from_statistics"):
        NaiveBayesProbe().fit(da.from_array(X), Y)


def dask_moments(rows, labels, classes, **params):
    """Measure blocks where they are and add them along a tree, as the page has it."""
    import dask

    @dask.delayed
    def moments_of(rows, labels):
        probe = NaiveBayesProbe(**params)
        return probe.partial_fit(rows, labels, classes).sufficient_statistics()

    blocks = zip(rows.to_delayed().ravel(), labels.to_delayed(), strict=True)
    parts = [moments_of(*block) for block in blocks]
    while len(parts) > 1:
        parts = [dask.delayed(sum)(parts[i : i + 2]) for i in range(0, len(parts), 2)]
    return parts[0].compute()


@pytest.mark.parametrize("variance", ["shared", "per_class"])
def test_blocks_of_any_size_give_the_one_machine_fit(variance):
    da = pytest.importorskip("dask.array")
    chunks = ((1, 60, 40, 49),)
    rows = da.from_array(X + 1e8, chunks=(*chunks, -1))
    moments = dask_moments(
        rows, da.from_array(Y, chunks=chunks), [2, 1, 0], variance=variance
    )
    probe = NaiveBayesProbe.from_statistics(moments, variance=variance)
    whole = NaiveBayesProbe(variance=variance).fit(X + 1e8, Y)
    np.testing.assert_allclose(probe.theta_, whole.theta_, rtol=1e-10)
    np.testing.assert_allclose(probe.var_, whole.var_, rtol=1e-9)


@pytest.fixture
def two_workers():
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(processes=True, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def random_rows(block, seen=None):
    """Make one block of rows on the worker; leave a mark that it was made."""
    if seen is not None:
        (seen / f"{block}-{os.getpid()}").touch()
        time.sleep(0.1)
    rng = np.random.default_rng(block)
    return rng.normal(size=(5000, 16)) + (np.arange(5000) % 4)[:, None] + 1e4


def dask_rows(n_blocks, seen=None):
    import dask
    import dask.array as da

    make = dask.delayed(random_rows)
    blocks = [
        da.from_delayed(make(b, seen), (5000, 16), dtype=float) for b in range(n_blocks)
    ]
    return da.concatenate(blocks), da.from_array(
        np.tile(np.arange(5000) % 4, n_blocks), chunks=5000
    )


def one_machine_fit(n_blocks):
    rows = np.concatenate([random_rows(b) for b in range(n_blocks)])
    return NaiveBayesProbe().fit(rows, np.tile(np.arange(5000) % 4, n_blocks))


@pytest.mark.slow
def test_two_worker_processes_give_the_one_machine_fit(two_workers):
    assert len(two_workers.scheduler_info()["workers"]) == 2
    probe = NaiveBayesProbe.from_statistics(dask_moments(*dask_rows(8), range(4)))
    whole = one_machine_fit(8)
    np.testing.assert_allclose(probe.coef_, whole.coef_, rtol=1e-10)
    np.testing.assert_allclose(probe.var_, whole.var_, rtol=1e-10)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_loses_nothing(two_workers, tmp_path):
    results = []
    rows = dask_rows(40, tmp_path)
    task = threading.Thread(
        target=lambda: results.append(dask_moments(*rows, range(4)))
    )
    task.start()
    while len(list(tmp_path.iterdir())) < 6 and task.is_alive():
        time.sleep(0.01)
    victim = int(next(tmp_path.iterdir()).name.partition("-")[2])
    os.kill(victim, signal.SIGKILL)
    task.join()
    made = {int(mark.name.partition("-")[2]) for mark in tmp_path.iterdir()}
    assert len(made) >= 2 and len(list(tmp_path.iterdir())) > 40
    probe = NaiveBayesProbe.from_statistics(results[0])
    np.testing.assert_allclose(probe.coef_, one_machine_fit(40).coef_, rtol=1e-10)


@pytest.mark.slow
def test_grid_search_runs_on_the_workers(two_workers):
    grid = {"var_smoothing": [1e-9, 1e-3], "variance": ["shared", "spherical"]}
    search = GridSearchCV(NaiveBayesProbe(), grid, cv=3)
    with parallel_config(backend="dask"):
        remote = search.fit(X, Y).cv_results_["mean_test_score"]
    np.testing.assert_array_equal(
        remote, clone(search).fit(X, Y).cv_results_["mean_test_score"]
    )


GATHER = """
import sys, numpy as np, torch, torch.distributed as dist
from minimalml.linear_model import NaiveBayesProbe, class_moments
rank, variance = int(sys.argv[1]), sys.argv[4]
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
X, y = np.load(sys.argv[3])["X"], np.load(sys.argv[3])["y"]
rows = slice(0, 30) if rank == 0 else slice(30, None)
features, per_class = torch.from_numpy(X[rows]), variance == "per_class"
parts = [None] * dist.get_world_size()
dist.all_gather_object(parts, class_moments(features, y[rows], 3, per_class=per_class).to_numpy())
total, whole = sum(parts), class_moments(X, y, 3, per_class=per_class)
np.testing.assert_allclose(total.means, whole.means, rtol=1e-10)
np.testing.assert_allclose(total.scatter, whole.scatter, rtol=1e-9)
one, two = (NaiveBayesProbe.from_statistics(s, variance=variance) for s in (total, whole))
np.testing.assert_allclose(one.predict_proba(X), two.predict_proba(X), rtol=1e-6, atol=1e-9)
assert one.n_samples_seen_ == len(X)
dist.destroy_process_group()
print("equal")
"""


@pytest.mark.slow
@pytest.mark.parametrize("variance", ["shared", "per_class"])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_two_processes_that_gather_see_what_one_sees(tmp_path, variance, offset):
    pytest.importorskip("torch.distributed")
    np.savez(tmp_path / "rows.npz", X=X + offset, y=Y)
    arguments = [str(tmp_path / "meet"), str(tmp_path / "rows.npz"), variance]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", GATHER, str(rank), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    for rank in ranks:
        said, errors = rank.communicate()
        assert said.strip().endswith("equal"), errors
