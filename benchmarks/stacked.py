"""Many small networks trained together, beside one after the other.

``python -m benchmarks.stacked``: networks 64-64-10 on digits, one epoch of batches of 32
repeated, both by the loop that the estimators share.
"""

import time

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

from minimalml._core.training.loop import train
from minimalml._core.training.modules import MLP
from minimalml._core.training.stacked import make_stacked_mlp

N_EPOCHS, BATCH_SIZE = 5, 32
OPTIONS = dict(max_epochs=N_EPOCHS, batch_size=BATCH_SIZE, device="cpu")


def one_by_one(rows, n_networks, width):
    def step(batch, state):
        return cross_entropy(state.network(batch.X), batch.y)

    for _ in range(n_networks):
        train(step, MLP(64, (width,), 10), rows, **OPTIONS)


def together(rows, n_networks, width):
    def step(batch, state):
        outputs = state.network(batch.X)
        return n_networks * cross_entropy(
            outputs.flatten(0, 1), batch.y.repeat(n_networks)
        )

    train(step, make_stacked_mlp(range(n_networks), 64, (width,), 10), rows, **OPTIONS)


def seconds(call, *arguments, repeats=3):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call(*arguments)
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    X, y = load_digits(return_X_y=True)
    rows = {"X": (X / 16).astype(np.float32), "y": y}
    torch.set_num_threads(1)
    print(
        f"{'networks':>8} {'width':>6} {'apart, s':>9} {'together, s':>11} {'ratio':>6}"
    )
    for width in (16, 64, 256):
        for n_networks in (4, 16, 64):
            apart = seconds(
                one_by_one, rows, n_networks, width, repeats=1 + (width < 256)
            )
            joint = seconds(together, rows, n_networks, width)
            print(
                f"{n_networks:>8} {width:>6} {apart:>9.2f} {joint:>11.2f} "
                f"{apart / joint:>5.1f}x",
                flush=True,
            )


if __name__ == "__main__":
    main()
