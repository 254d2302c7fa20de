"""Partners for one epoch: exact draws from sorted labels against dense matrices.

The peers are the two ways in which C-Mixup is done today: the official code's n x n
matrix of kernel densities with one ``numpy.random.choice`` a row, and a softmax of all
distances with ``torch.multinomial``.
"""

import numpy as np

from benchmarks.peers.runner import Comparison
from minimalml.mixup import TargetKernelSampler

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
    )
]
