import socket

import numpy as np
import pytest
import torch
import torch.multiprocessing

from minimalml.datasets import make_compositions
from minimalml.multioutput import CompositionalZeroShotClassifier

DATA = make_compositions(4, 5, n_features=12, n_per_pair=6, random_state=0)
N_ROWS = 51  # batches of 16, and 3 rows, which two processes can't share


class WithCounts(CompositionalZeroShotClassifier):
    """Keeps each process's own counts of the last epoch."""

    def _conclude(self):
        self.visits_ = self._losses.visits.clone()
        self.hits_ = self._losses.hits.clone()
        super()._conclude()


def fit_in_process(rank, world_size, port, path):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=world_size
    )
    sizes = {"hidden_sizes": (16,), "embedding_dim": 8}
    model = WithCounts(
        **sizes,
        max_epochs=6,
        batch_size=16,
        learning_rate=0.01,
        device="cpu",
        random_state=0,
    ).fit(DATA.X_train[:N_ROWS], DATA.y_train[:N_ROWS])
    weights = [p.detach().numpy().ravel() for p in model.module_.parameters()]
    np.savez(
        path / f"{rank}.npz",
        weights=np.concatenate(weights),
        accuracy=model.pair_accuracy_,
        hits=model.hits_,
        visits=model.visits_,
    )
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_pair_accuracy_is_that_of_the_rows_of_all_processes(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(fit_in_process, (2, port, tmp_path), nprocs=2)
    first, second = (np.load(tmp_path / f"{rank}.npz") for rank in range(2))
    np.testing.assert_array_equal(first["weights"], second["weights"])
    np.testing.assert_array_equal(first["accuracy"], second["accuracy"])
    assert (first["hits"] != second["hits"]).any()
    visits = first["visits"] + second["visits"]
    assert visits.sum() == 48
    expected = (first["hits"] + second["hits"]) / visits
    np.testing.assert_allclose(first["accuracy"], expected)
    assert expected.any()
