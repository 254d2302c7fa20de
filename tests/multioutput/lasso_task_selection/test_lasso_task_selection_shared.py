"""Additive statistics and the shared representation."""

import pickle
import socket
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from sklearn.exceptions import ConvergenceWarning

from minimalml.multioutput import (
    SharedRepresentationRegressor,
    fit_shared_representation,
    make_low_rank_tasks,
    task_statistics,
)
from minimalml.multioutput._lasso_task_selection import _task_statistics
from minimalml.multioutput._lasso_task_selection._task_statistics import TaskMoments

FLOAT64_TOLERANCE = 1e-10
FIELDS = (
    "counts", "means", "target_means", "scatter", "cross", "target_scatter",
    "label_moment",
)  # fmt: skip


def tasks_of(seed=0, **settings):
    settings = {"n_tasks": 12, "n_features": 8, "rank": 3, "n_samples": 40} | settings
    return make_low_rank_tasks(random_state=seed, **settings)


def loss_of(X, y, codes, basis, heads, intercepts):
    """Brute force: row by row."""
    predictions = [
        x @ basis @ heads[:, t] + intercepts[t] for x, t in zip(X, codes, strict=True)
    ]
    return float(np.sum((y - np.array(predictions)) ** 2))


def test_one_task_is_least_squares():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 6)), rng.standard_normal(50)
    shared = fit_shared_representation(task_statistics(X, y, np.zeros(50)), 1, tol=0)
    expected = np.linalg.lstsq(X, y, rcond=None)[0]
    found = (shared.basis @ shared.heads)[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_full_rank_is_least_squares_of_each_task():
    X, y, tasks, _ = tasks_of(noise=1.0, n_features=4, rank=2)
    shared = fit_shared_representation(task_statistics(X, y, tasks), 4)
    for task in np.unique(tasks):
        rows = tasks == task
        expected = np.linalg.lstsq(X[rows], y[rows], rcond=None)[0]
        found = shared.basis @ shared.heads[:, task]
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("solver", ["alternating", "altgdmin"])
@pytest.mark.parametrize("init", ["spectral", "moments", "random"])
@pytest.mark.parametrize("center", [False, True])
def test_loss_never_rises_and_is_the_loss(solver, init, center, recwarn):
    X, y, tasks, _ = tasks_of(noise=0.5)
    statistics = task_statistics(X, y + 3.0 * tasks, tasks, with_label_moment=True)
    shared = fit_shared_representation(
        statistics, 3, solver=solver, init=init, center=center, random_state=0
    )
    losses = np.array(shared.losses)
    assert np.all(np.diff(losses) <= 1e-9 * losses[0])
    expected = loss_of(
        X, y + 3.0 * tasks, tasks, shared.basis, shared.heads, shared.intercepts
    )
    assert losses[-1] == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(shared.basis.T @ shared.basis, np.eye(3), atol=1e-12)


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 30), st.booleans())
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_loss_never_rises_for_any_sizes(seed, k, n_samples, is_direct):
    X, y, tasks, _ = tasks_of(seed, n_samples=n_samples, noise=0.3)
    statistics = task_statistics(X, y, tasks)
    unknowns = 10**6 if is_direct else 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_task_statistics, "DIRECT_UNKNOWNS", unknowns)
        losses = fit_shared_representation(statistics, k, max_iter=15).losses
    assert np.all(np.diff(losses) <= 1e-6 * (y @ y))


def test_without_alternations_it_is_the_method_of_moments():
    X, y, tasks, truth = tasks_of(n_samples=2000, n_tasks=20)
    model = SharedRepresentationRegressor(3, init="moments", max_iter=0, center=False)
    model.fit(X, y, tasks=tasks)
    moment = sum(target**2 * np.outer(x, x) for x, target in zip(X, y, strict=True))
    leading = np.linalg.eigh(moment)[1][:, -3:]
    assert subspace_angles(model.components_.T, leading).max() < 1e-6
    assert subspace_angles(model.components_.T, truth.basis).max() < 0.1
    images = X[tasks == 4] @ model.components_.T
    expected = np.linalg.lstsq(images, y[tasks == 4], rcond=None)[0]
    np.testing.assert_allclose(model.task_coef_[4], expected, atol=1e-6)
    assert model.n_iter_ == 0


@given(st.integers(0, 10_000), st.booleans())
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_without_noise_the_span_is_recovered(seed, center):
    X, y, tasks, truth = tasks_of(seed, noise=0.0, n_tasks=20)
    shared = fit_shared_representation(
        task_statistics(X, y, tasks), 3, center=center, tol=1e-12, max_iter=300
    )
    assert subspace_angles(shared.basis, truth.basis).max() < 1e-6


@pytest.mark.parametrize("whiten", [False, True])
def test_correlated_inputs_are_no_obstacle(whiten):
    X, y, tasks, truth = tasks_of(noise=0.0, n_tasks=20)
    mixing = np.random.default_rng(1).standard_normal((8, 8)) + 2 * np.eye(8)
    shared = fit_shared_representation(
        task_statistics(X @ mixing, y, tasks), 3, whiten=whiten, tol=1e-12, max_iter=500
    )
    expected = np.linalg.solve(mixing, truth.basis)
    assert subspace_angles(shared.basis, expected).max() < 1e-5


def test_whitening_starts_at_the_truth_of_correlated_inputs():
    X, y, tasks, truth = tasks_of(noise=0.0, n_tasks=20, n_samples=2000)
    mixing = np.random.default_rng(1).standard_normal((8, 8)) + 2 * np.eye(8)
    statistics = task_statistics(X @ mixing, y, tasks)
    expected = np.linalg.solve(mixing, truth.basis)
    plain, whitened = (
        subspace_angles(
            fit_shared_representation(statistics, 3, whiten=w, max_iter=0).basis,
            expected,
        ).max()
        for w in (False, True)
    )
    assert whitened < 0.1 < plain


def test_task_weights_are_repeated_rows():
    X, y, tasks, _ = tasks_of(noise=0.5)
    weights = np.where(np.arange(13) % 2, 2.0, 1.0)
    repeats = weights[tasks].astype(int)
    doubled = task_statistics(*(np.repeat(v, repeats, axis=0) for v in (X, y, tasks)))
    weighted = fit_shared_representation(
        task_statistics(X, y, tasks), 3, task_weights=weights
    )
    repeated = fit_shared_representation(doubled, 3)
    assert weighted.losses[-1] == pytest.approx(repeated.losses[-1], rel=1e-5)


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_statistics_of_shards_add_up_in_any_order(seed, cut):
    X, y, tasks, _ = tasks_of(seed, n_samples=6)
    X = X + 100.0  # far from zero: centred moments must not cancel
    order = np.random.default_rng(seed).permutation(len(X))
    first, second = order[:cut], order[cut:]
    gather = partial(task_statistics, with_label_moment=True)
    whole = gather(X, y, tasks)
    parts = gather(X[first], y[first], tasks[first]) + gather(
        X[second], y[second], tasks[second]
    )
    for name in FIELDS:
        expected = getattr(whole, name)
        atol = 1e-9 * max(np.abs(expected).max(), 1.0)
        np.testing.assert_allclose(getattr(parts, name), expected, atol=atol)


def add_up_in_process(rank, world_size, port, path):
    import torch.distributed

    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=world_size
    )
    X, y, tasks, _ = tasks_of()
    mine = slice(rank, None, world_size)
    parts = [None] * world_size
    torch.distributed.all_gather_object(
        parts, task_statistics(X[mine], y[mine], tasks[mine])
    )
    np.save(path / f"{rank}.npy", fit_shared_representation(sum(parts), 3).basis)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_add_up_and_fit_as_one(tmp_path):
    multiprocessing = pytest.importorskip("torch.multiprocessing")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(add_up_in_process, (2, port, tmp_path), nprocs=2)
    first, second = (np.load(tmp_path / f"{rank}.npy") for rank in range(2))
    X, y, tasks, _ = tasks_of()
    alone = fit_shared_representation(task_statistics(X, y, tasks), 3).basis
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, alone, atol=1e-8)


def test_sum_starts_from_zero():
    X, y, tasks, _ = tasks_of()
    parts = [task_statistics(X[i::3], y[i::3], tasks[i::3]) for i in range(3)]
    np.testing.assert_array_equal(
        sum(parts).counts, task_statistics(X, y, tasks).counts
    )


def test_dask_reduces_the_statistics():
    dask = pytest.importorskip("dask")
    X, y, tasks, _ = tasks_of()
    blocks = [slice(i, i + 100) for i in range(0, len(X), 100)]
    parts = [dask.delayed(task_statistics)(X[b], y[b], tasks[b]) for b in blocks]
    total = dask.delayed(sum)(parts).compute(scheduler="threads")
    whole = task_statistics(X, y, tasks)
    np.testing.assert_allclose(total.scatter, whole.scatter, atol=1e-9)


def test_several_outputs_share_the_basis():
    X, y, tasks, _ = tasks_of(noise=0.1)
    both = np.column_stack([y, -2 * y])
    shared = fit_shared_representation(task_statistics(X, both, tasks), 3, center=True)
    assert shared.heads.shape == (3, 13, 2)
    assert shared.intercepts.shape == (13, 2)
    np.testing.assert_allclose(
        shared.heads[..., 1], -2 * shared.heads[..., 0], atol=1e-6
    )


@pytest.fixture
def systems_data(rng):
    X = rng.standard_normal((5, 9, 6))
    gram, cross = X.mT @ X, rng.standard_normal((5, 6, 2))
    moments = TaskMoments(gram, cross, rng.random((5, 2)) + 9.0)
    return moments, rng.standard_normal((6, 3)), rng.standard_normal((5, 3, 2))


def brute_force_basis(gram, cross, heads):
    """The (d k, d k) normal equations, entry by entry."""
    system = sum(np.kron(g, w @ w.T) for g, w in zip(gram, heads, strict=True))
    right = sum(c @ w.T for c, w in zip(cross, heads, strict=True))
    return np.linalg.solve(system, right.ravel()).reshape(right.shape)


def test_bases_are_orthonormal_of_the_same_span_and_repeatable(rng):
    matrix = rng.standard_normal((6, 3))
    basis = _task_statistics.orthonormalise(matrix)
    triangle = basis.T @ matrix
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=FLOAT64_TOLERANCE)
    np.testing.assert_allclose(basis @ triangle, matrix, atol=FLOAT64_TOLERANCE)
    np.testing.assert_allclose(triangle, np.triu(triangle), atol=FLOAT64_TOLERANCE)
    assert np.all(np.diag(triangle) > 0)


def test_leading_directions_are_those_that_carry_anything(rng):
    columns = rng.standard_normal((6, 2))
    found = _task_statistics.leading_directions(columns @ [[1, 2, 3], [3, 2, 1]], 3)
    assert found.shape == (6, 2)
    assert subspace_angles(found, columns).max() < FLOAT64_TOLERANCE * 100


@pytest.mark.kernel
def test_both_ways_to_the_basis_agree_with_brute_force(systems_data):
    moments, basis, heads = systems_data
    expected = brute_force_basis(moments.gram, moments.cross, heads)
    direct = moments.solve_basis(heads, basis)
    np.testing.assert_allclose(direct, expected, atol=1e-6)
    # Conjugate gradients end after as many steps as there are unknowns.
    found = moments.conjugate_gradients(heads, basis, basis.size)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.kernel
def test_heads_agree_with_brute_force(systems_data):
    moments, basis, _ = systems_data
    heads, loss = moments.fit_heads(basis, 1e-12)
    expected_loss = moments.squares.sum()
    for t in range(5):
        right = basis.T @ moments.cross[t]
        expected = np.linalg.solve(basis.T @ moments.gram[t] @ basis, right)
        np.testing.assert_allclose(heads[t], expected, atol=1e-8)
        expected_loss -= np.sum(expected * right)
    assert loss == pytest.approx(expected_loss)


def test_tasks_with_few_rows_are_flagged():
    X, y, tasks, _ = tasks_of()
    rows = (tasks != 4) | (np.arange(len(tasks)) % 20 == 0)
    statistics = task_statistics(X[rows], y[rows], tasks[rows])
    shared = fit_shared_representation(statistics, 3)
    np.testing.assert_array_equal(np.flatnonzero(~shared.reliable), [4])
    assert np.isfinite(shared.heads).all()
    assert fit_shared_representation(statistics, 3, min_task_samples=1).reliable.all()


def test_callback_stops():
    X, y, tasks, _ = tasks_of()
    seen = []
    fit_shared_representation(
        task_statistics(X, y, tasks),
        3,
        callback=lambda *step: seen.append(step) or True,
    )
    assert len(seen) == 1


def test_a_basis_can_be_given():
    X, y, tasks, truth = tasks_of(noise=0.0)
    shared = fit_shared_representation(
        task_statistics(X, y, tasks), 3, init=truth.basis
    )
    assert shared.losses[0] < 1e-9 * (y @ y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 9}, "k must be between 1 and the number of features, 8, got 9"),
        ({"k": 0}, "k must be between 1"),
        ({"k": 2, "solver": "x"}, "solver must be one of"),
        ({"k": 2, "init": "x"}, "init must be one of"),
        ({"k": 2, "init": np.eye(3)}, r"init must have shape \(8, 2\)"),
        ({"k": 2, "init": "moments"}, "gathered with_label_moment=True"),
        ({"k": 2, "ridge": -1.0}, "ridge must be at least 0, got -1"),
        ({"k": 2, "tol": -1.0}, "tol must be at least 0"),
        ({"k": 2, "max_iter": -1}, "max_iter must be at least 0, got -1"),
        ({"k": 2, "task_weights": [1.0]}, "task_weights must hold one number"),
        ({"k": 2, "task_weights": -np.ones(13)}, "task_weights must hold one number"),
    ],
)
def test_bad_parameters_are_named(settings, message):
    X, y, tasks, _ = tasks_of()
    with pytest.raises(ValueError, match=message):
        fit_shared_representation(task_statistics(X, y, tasks), **settings)


def test_too_few_tasks_and_too_few_iterations_are_warned_of():
    X, y, tasks, _ = tasks_of()
    few = tasks < 2
    with pytest.warns(UserWarning, match="k=3 exceeds the number of task heads, 2"):
        fit_shared_representation(task_statistics(X[few], y[few], tasks[few]), 3)
    with pytest.warns(ConvergenceWarning, match="raise max_iter or tol"):
        fit_shared_representation(
            task_statistics(X, y, tasks), 3, max_iter=1, init="random"
        )


def test_bad_rows_are_named():
    X, y, tasks, _ = tasks_of()
    with pytest.raises(ValueError, match="X contains NaN"):
        task_statistics(np.where(X > 3, np.nan, X), y, tasks)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        task_statistics(X, y, tasks[:-1])
    with pytest.raises(ValueError, match="tasks must be 1-dimensional"):
        task_statistics(X, y, tasks[:, None])
    with pytest.raises(ValueError, match="tasks contains NaN"):
        task_statistics(X, y, np.where(tasks == 0, np.nan, tasks))
    with pytest.raises(ValueError, match="must agree in features and outputs"):
        task_statistics(X, y, tasks) + task_statistics(X[:, 1:], y, tasks)
    with pytest.raises(TypeError, match="unsupported operand"):
        task_statistics(X, y, tasks) + 1
    with pytest.raises(TypeError, match="from task_statistics, got ndarray"):
        fit_shared_representation(X, 2)


def test_statistics_pickle_and_take_names_for_tasks():
    X, y, tasks, _ = tasks_of()
    names = np.array([f"task {t:02d}" for t in tasks])
    statistics = pickle.loads(pickle.dumps(task_statistics(X, y, names)))
    assert statistics.tasks[3] == "task 03"


def test_generator_keeps_its_promises():
    X, y, tasks, truth = make_low_rank_tasks(noise=0.0, random_state=0, n_target=7)
    assert np.bincount(tasks)[-1] == 7
    np.testing.assert_allclose(truth.heads @ truth.relevance, truth.target_head)
    np.testing.assert_allclose(np.linalg.norm(truth.heads, axis=0), 1)
    target = tasks == 40
    np.testing.assert_allclose(X[target] @ truth.basis @ truth.target_head, y[target])
    with pytest.raises(ValueError, match="rank must be between 1 and 3"):
        make_low_rank_tasks(n_features=3, rank=4)
    with pytest.raises(ValueError, match="n_relevant must be between 1 and 2"):
        make_low_rank_tasks(n_tasks=2, n_relevant=3)
