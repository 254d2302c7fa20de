"""Beside kernel regressions of scikit-learn; many networks at once beside one by one.

A Gaussian process and a kernel ridge cost the same solve, with a simpler kernel. The authors
train their networks one after the other.
"""

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge

from benchmarks.compare import Comparison
from minimalml.training_dynamics import InfiniteWidthRegressor, PermutationEnsemble

N_FEATURES, N_ASKED = 20, 500
K, WIDTH, N_STEPS = 5, 1024, 100


def rows(n):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n + N_ASKED, N_FEATURES))
    return X[:n], np.sin(X[:n, 0]) + X[:n, 1], X[n:]


def infinite_width(data):
    X, y, asked = data
    InfiniteWidthRegressor(3, alpha=0.1).fit(X, y).predict(asked, return_std=True)


def gaussian_process(data):
    X, y, asked = data
    model = GaussianProcessRegressor(RBF(4.0), alpha=0.1, optimizer=None)
    model.fit(X, y).predict(asked, return_std=True)


def kernel_ridge(data):
    X, y, asked = data
    KernelRidge(alpha=0.1, kernel="rbf").fit(X, y).predict(asked)


def at_once(n_networks):
    PermutationEnsemble(
        n_networks, mode="networks", width=WIDTH, max_epochs=N_STEPS, random_state=0,
        device="cpu",
    ).fit(np.eye(K), np.eye(K))  # fmt: skip


def one_by_one(n_networks):
    import torch
    from torch import nn

    X = torch.eye(K)
    for seed in range(n_networks):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(K, WIDTH, bias=False), nn.ReLU(), nn.Linear(WIDTH, K, bias=False)
        )
        optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
        for _ in range(N_STEPS):
            optimiser.zero_grad()
            ((network(X) - X) ** 2).sum().div(2).backward()
            optimiser.step()


COMPARISONS = [
    Comparison(
        title=f"Fit on n rows of {N_FEATURES}, three hidden layers; predict {N_ASKED} "
        "with deviations",
        setup=rows,
        ours=infinite_width,
        peers={
            "GaussianProcessRegressor, kernel given": gaussian_process,
            "KernelRidge, no deviations": kernel_ridge,
        },
        sizes=(500, 1_000, 2_000, 5_000),
        repeats=2,
        target="n = 5,000 in 15 s on two threads, within 4 n^2 floats (800 MB)",
    ),
    Comparison(
        title=f"Train n networks of width {WIDTH} on {K} unit vectors, {N_STEPS} steps",
        setup=int,
        ours=at_once,
        peers={"one after the other, torch": one_by_one},
        sizes=(4, 16, 64),
        threads=(1,),
        repeats=2,
    ),
]
