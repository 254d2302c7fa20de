"""Transforms beside matrices, projections beside dense ones, searches beside scans."""

from functools import cache

import numpy as np
from scipy.linalg import hadamard
from sklearn.datasets import load_digits

from benchmarks.compare import Comparison
from minimalml.training_dynamics import (
    FastfoodProjection,
    IntrinsicDimension,
    SubspaceClassifier,
    fast_walsh_hadamard,
    subspace_module,
)

DIMENSION = 400


def vector(n):
    return np.random.default_rng(0).standard_normal(n, dtype=np.float32)


@cache
def matrix(n):
    return hadamard(n, dtype=np.float32)


def product(x):
    """Multiply by the matrix, which is made once."""
    matrix(len(x)) @ x


def butterfly(x):
    """Add and subtract halves with NumPy, level by level."""
    x, stride = x.copy(), 1
    while stride < len(x):
        pairs = x.reshape(-1, 2, stride)
        total = pairs[:, 0] + pairs[:, 1]
        pairs[:, 1] = pairs[:, 0] - pairs[:, 1]
        pairs[:, 0] = total
        stride *= 2


def of_tensor(x):
    import torch

    fast_walsh_hadamard(torch.from_numpy(x))


def linear_layer(n):
    """Return a network of n weights, to be trained in a subspace."""
    import torch

    return torch.nn.Linear(n, 1, bias=False)


@cache
def in_subspace(layer, projection):
    return subspace_module(layer, DIMENSION, projection=projection, random_state=0)


def step(layer, projection="fastfood"):
    """Map to all weights and take a gradient back; the map is drawn once."""
    import torch

    module = in_subspace(layer, projection)
    module.zero_grad()
    module.full_parameters().backward(torch.ones(layer.weight.numel()))


def step_dense(layer):
    step(layer, "dense")


@cache
def projection_of(n):
    return FastfoodProjection(DIMENSION, n, 0)


def step_numpy(layer):
    P = projection_of(layer.weight.numel())
    P.T @ (P @ np.ones(DIMENSION, dtype=np.float32))


def digits(width):
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y, width


def network(width, dimension=200, **parameters):
    options = dict(max_epochs=5, batch_size=100, device="cpu", random_state=0)
    return SubspaceClassifier(
        dimension, hidden_layer_sizes=(width, width), **options | parameters
    )


def fit(data):
    X, y, width = data
    network(width).fit(X, y)


def fit_dense(data):
    X, y, width = data
    network(width, projection="dense").fit(X, y)


def fit_direct(data):
    X, y, width = data
    network(width, None).fit(X, y)


def search(data, **parameters):
    """Search the dimension of 70 % accuracy in few epochs."""
    X, y, width = data
    options = dict(threshold=1.0, baseline=0.7, n_repeats=1, min_dimension=4)
    IntrinsicDimension(
        network(width, max_epochs=20), random_state=0, **options | parameters
    ).fit(X[:400], y[:400])


def scan(data):
    """Try dimension after dimension in steps of 10 %, as a grid does."""
    search(data, growth=1.1)


COMPARISONS = [
    Comparison(
        title="Walsh-Hadamard transform of a vector of length n, float32",
        setup=vector,
        ours=fast_walsh_hadamard,
        peers={
            "product with scipy's matrix": product,
            "butterflies in NumPy": butterfly,
            "ours, of a tensor": of_tensor,
        },
        sizes=(1 << 10, 1 << 13, 1 << 17, 1 << 20),
        peer_limits={"product with scipy's matrix": 1 << 13},
        threads=(1,),
        repeats=10,
        target="5 times the butterflies at 2^20",
    ),
    Comparison(
        title=f"{DIMENSION} numbers to n weights and a gradient back",
        setup=linear_layer,
        ours=step,
        peers={"dense matrix": step_dense, "ours, in NumPy": step_numpy},
        sizes=(4_810, 17_226, 85_002, 1_000_000),
        peer_limits={"dense matrix": 85_002},
        threads=(1,),
        repeats=10,
        target="5 times the dense matrix at 85,002",
    ),
    Comparison(
        title="SubspaceClassifier, 5 epochs on digits, two layers of width n",
        setup=digits,
        ours=fit,
        peers={"dense matrix": fit_dense, "all weights": fit_direct},
        sizes=(64, 256, 512),
        threads=(1,),
        repeats=2,
        target="at most 4 times all weights",
    ),
    Comparison(
        title="IntrinsicDimension, 400 digits, to 10 %, two layers of width n",
        setup=digits,
        ours=search,
        peers={"a scan in steps of 10 %": scan},
        sizes=(32, 128),
        threads=(1,),
        repeats=2,
        target="half the time of a scan",
    ),
]
