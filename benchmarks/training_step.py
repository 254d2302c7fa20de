"""Microseconds a step of the training loop, beside a tight loop and two usual ways.

Run ``python -m benchmarks.training_step``: the routes take turns in one process, and
the median counts; skorch takes part if it is there. The target is 1.25 times the tight
hand-written loop.
"""

import argparse
import statistics
import time
from importlib.util import find_spec

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from minimalml._core.training.loop import train
from minimalml._core.training.modules import MLP

N_ROWS, N_EPOCHS = 1600, 10


def load_rows():
    X, y = load_digits(return_X_y=True)
    return (X[:N_ROWS] / 16).astype(np.float32), y[:N_ROWS]


def tight(X, y, module, batch_size):
    """One gather an epoch, slices, fused Adam, nothing else."""
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    optimizer = torch.optim.Adam(module.parameters(), fused=True)
    for _ in range(N_EPOCHS):
        order = torch.randperm(N_ROWS)
        for X_batch, y_batch in zip(
            X[order].split(batch_size), y[order].split(batch_size), strict=True
        ):
            optimizer.zero_grad()
            cross_entropy(module(X_batch), y_batch).backward()
            optimizer.step()


def ours(X, y, module, batch_size):
    """Use the loop that minimalml's estimators share."""

    def step(batch, state):
        return cross_entropy(state.network(batch.X), batch.y)

    train(step, module, {"X": X, "y": y}, batch_size=batch_size, max_epochs=N_EPOCHS)


def data_loader(X, y, module, batch_size):
    """Write the loop of torch's tutorials."""
    rows = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    loader = DataLoader(rows, batch_size=batch_size, shuffle=True)
    optimizer = torch.optim.Adam(module.parameters())
    for _ in range(N_EPOCHS):
        for X_batch, y_batch in loader:
            optimizer.zero_grad()
            cross_entropy(module(X_batch), y_batch).backward()
            optimizer.step()


def skorch(X, y, module, batch_size):
    """Run skorch's classifier without validation or printing."""
    from skorch import NeuralNetClassifier

    NeuralNetClassifier(
        module, criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.Adam,
        lr=1e-3, batch_size=batch_size, max_epochs=N_EPOCHS, train_split=None,
        iterator_train__shuffle=True, verbose=0,
    ).fit(X, y)  # fmt: skip


ROUTES = {f.__name__: f for f in (tight, ours, data_loader, skorch)}
if find_spec("skorch") is None:
    del ROUTES["skorch"]


def microseconds_a_step(route, batch_size, width):
    X, y = load_rows()
    module = MLP(X.shape[1], [width], 10)
    start = time.perf_counter()
    ROUTES[route](X, y, module, batch_size)
    n_steps = N_EPOCHS * -(-N_ROWS // batch_size)
    return 1e6 * (time.perf_counter() - start) / n_steps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{'batch':>6} {'width':>6}  {'route':<12} {'us a step':>10} {'ratio':>7}")
    for batch_size in (32, 256):
        for width in (64, 512):
            times = {route: [] for route in ROUTES}
            for repeat in range(arguments.repeats + 1):
                for route in ROUTES:
                    seconds = microseconds_a_step(route, batch_size, width)
                    if repeat > 0:  # the first warms caches and imports
                        times[route].append(seconds)
            medians = {route: statistics.median(t) for route, t in times.items()}
            for route, median in medians.items():
                ratio = median / medians["tight"]
                print(
                    f"{batch_size:>6} {width:>6}  {route:<12} {median:>10.0f} "
                    f"{ratio:>7.2f}",
                    flush=True,
                )
    print("target: ours at most 1.25 times tight")


if __name__ == "__main__":
    main()
