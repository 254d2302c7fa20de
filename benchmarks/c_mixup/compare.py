"""Partners against dense matrices, and what mixing adds to the epoch of a network.

The peers of the draws are the two ways in which C-Mixup is done today: the official
code's n x n matrix of kernel densities with one ``numpy.random.choice`` a row, and a
softmax of all distances with ``torch.multinomial``. Those of the network are the same
network without mixing, and the usual loop of mixup in torch.
"""

import statistics
import time

import numpy as np

from benchmarks.compare import Comparison
from minimalml.resampling import CMixupMLPRegressor, TargetKernelSampler

BANDWIDTH = 0.5
# 3.2 GB of float64 at 20k; one choice of length n for each row takes minutes beyond
LARGEST_MATRIX, LARGEST_SOFTMAX = 20_000, 20_000


def setup(n):
    return np.random.default_rng(0).normal(size=n)


def sorted_partners(y):
    return TargetKernelSampler(BANDWIDTH).fit(y).sample(random_state=0)


def dense_matrix_and_choice(y):
    """Do what the official code does: KernelDensity a row, then choice with p."""
    from sklearn.neighbors import KernelDensity

    rates = np.empty((len(y), len(y)))
    for i, label in enumerate(y):
        density = KernelDensity(bandwidth=BANDWIDTH).fit([[label]])
        rate = np.exp(density.score_samples(y[:, None]))
        rates[i] = rate / rate.sum()
    rng, rows = np.random.default_rng(0), np.arange(len(y))
    return np.array([rng.choice(rows, p=rates[i]) for i in rows])


def softmax_and_multinomial(y):
    import torch

    y = torch.as_tensor(y)
    weights = torch.softmax(-((y[:, None] - y) ** 2) / (2 * BANDWIDTH**2), dim=1)
    return torch.multinomial(weights, 1)[:, 0]


def print_bytes_a_row():
    """Print what a fitted sampler keeps and what a call peaks at, per row."""
    import tracemalloc

    n = 1_000_000
    y = setup(n)
    tracemalloc.start()
    sorted_partners(y)
    print(f"bytes a row at n = {n:,}: {tracemalloc.get_traced_memory()[1] / n:.0f} (peak, "
          "labels apart)")  # fmt: skip
    tracemalloc.stop()


N_FEATURES, N_EPOCHS, BATCH_SIZE = 20, 5, 256


def setup_rows(n):
    X = np.random.default_rng(0).normal(size=(n, N_FEATURES)).astype(np.float32)
    return X, X.sum(axis=1)


def fit_network(rows, **options):
    CMixupMLPRegressor(
        max_epochs=N_EPOCHS, batch_size=BATCH_SIZE, device="cpu", random_state=0,
        **options,
    ).fit(*rows)  # fmt: skip


def fit_without_mixing(rows):
    fit_network(rows, mixup=None)


def loop_of_mixup(rows):
    """Mix each batch with a permutation of itself, on rows from a DataLoader."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from minimalml._core.training.modules import MLP

    X, y = map(torch.from_numpy, rows)
    loader = DataLoader(TensorDataset(X, y[:, None]), BATCH_SIZE, shuffle=True)
    network = MLP(X.shape[1], [128, 128], 1, "leaky_relu")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(N_EPOCHS):
        for X_batch, y_batch in loader:
            share, order = np.random.beta(2, 2), torch.randperm(len(X_batch))
            X_mixed = share * X_batch + (1 - share) * X_batch[order]
            y_mixed = share * y_batch + (1 - share) * y_batch[order]
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(network(X_mixed), y_mixed).backward()
            optimizer.step()


def network_of_twice_the_rows(n_features, n_outputs):
    """Return what mixing after block 1 can't do without: two rows a pair in there."""
    import torch

    from minimalml._core.training.modules import MLP

    class Network(MLP):
        def forward(self, X):
            both = self.blocks[0](torch.cat([X, X])).unflatten(0, (2, -1)).sum(0)
            return self.head(self.blocks[1](both))

    return Network(n_features, [128, 128], n_outputs, "leaky_relu")


def print_epoch_ratios(n=20_000, repeats=15):
    """Print the cost of mixing; routes take turns in one process, the median counts."""
    routes = {
        "no mixing": {"mixup": None},
        "mixup": {"mixup": "mixup"},
        "C-Mixup": {},
        "C-Mixup after block 1": {"mix_layer": 1},
        "(twice the rows in block 1)": {
            "mixup": None,
            "module": network_of_twice_the_rows,
        },
    }
    rows, times = setup_rows(n), {route: [] for route in routes}
    for _ in range(repeats):
        for route, options in routes.items():
            start = time.process_time()  # of all threads: unmoved by other programs
            fit_network(rows, **options)
            times[route].append(time.process_time() - start)
    print(f"an epoch of {n:,} rows, CPU seconds over those without mixing:")
    for route, seconds in times.items():
        pairs = zip(seconds, times["no mixing"], strict=True)
        print(f"  {route:<28} {statistics.median(a / b for a, b in pairs):.2f}x")


COMPARISONS = [
    Comparison(
        title="C-Mixup partners for one epoch (fit and n draws, one target)",
        setup=setup,
        ours=sorted_partners,
        peers={
            "matrix of densities + choice": dense_matrix_and_choice,
            "softmax + torch.multinomial": softmax_and_multinomial,
        },
        sizes=(2_000, 10_000, 20_000, 50_000, 1_000_000),
        peer_limits={
            "matrix of densities + choice": LARGEST_MATRIX,
            "softmax + torch.multinomial": LARGEST_SOFTMAX,
        },
        repeats=1,
        target="at least 100x at n = 20k against the matrix; 1M draws in 5 s on 2 "
        "threads; below 100 bytes a row",
        afterwards=print_bytes_a_row,
    ),
    Comparison(
        title=f"Training a network on n rows of {N_FEATURES} columns ({N_EPOCHS} epochs)",
        setup=setup_rows,
        ours=fit_network,
        peers={
            "the same without mixing": fit_without_mixing,
            "DataLoader and mixup by hand": loop_of_mixup,
        },
        sizes=(2_000, 20_000),
        target="an epoch with C-Mixup at most 1.15 times one without",
        afterwards=print_epoch_ratios,
    ),
]
