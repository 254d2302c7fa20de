import socket

import numpy as np
import pytest
import torch
import torch.multiprocessing

from minimalml._core.training.distributed import SingleProcess
from tests._core.test_training_loop import (
    make_module,
    make_rows,
    run,
    squared_error,
)


class SecondOfTwo(SingleProcess):
    """Stands for the process that gets the fewer rows of an odd batch."""

    rank, world_size, is_main = 1, 2, False


@pytest.mark.parametrize(("n_last", "n_visited"), [(1, 32), (2, 32), (3, 32), (4, 36)])
def test_no_process_is_left_a_single_row_with_batch_norm(n_last, n_visited):
    module = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1)
    ).double()
    batches = []

    def step(batch, state):
        batches.append(batch)
        return squared_error(batch, state)

    strategy = SecondOfTwo()
    run(make_rows(32 + n_last), module, step, strategy=strategy, max_epochs=1)
    assert sum(batch.n_rows for batch in batches) == n_visited
    assert min(len(batch.indices) for batch in batches) > 1


def train_in_process(rank, world_size, port, path):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=world_size
    )
    module = make_module()
    if rank > 0:
        torch.nn.init.zeros_(module.head.weight)  # the first process's weights count
    stop = {"on_epoch_end": lambda state: state.epoch == 4, "max_epochs": 9}
    weights, state = run(make_rows(33), module, **stop)
    np.savez(path / f"{rank}.npz", weights=weights.numpy(), loss=state.loss_curve)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(train_in_process, (2, port, tmp_path), nprocs=2)
    check_trained_as_one(tmp_path)


def check_trained_as_one(path):
    first, second = (np.load(path / f"{rank}.npz") for rank in range(2))
    alone, state = run(make_rows(33), max_epochs=4)
    np.testing.assert_array_equal(first["weights"], second["weights"])
    np.testing.assert_allclose(first["weights"], alone.numpy(), atol=1e-10)
    np.testing.assert_allclose(first["loss"], state.loss_curve, rtol=1e-10)
