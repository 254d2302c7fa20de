"""Directions beside faiss's points of a sphere and a NumPy search; rows; weights.

A peer for one table: faiss's `ZnSphereSearch` finds integer points of a fixed length, its
product quantizer learns codebooks of rows; the library's own codecs encode matrices.
"""

import numpy as np

from benchmarks.compare import Comparison
from minimalml.compression import (
    PyramidCodec,
    PyramidQuantizer,
    UniformCodec,
    VectorCodec,
    pyramid_decode,
    pyramid_encode,
    pyramid_project,
)

N_DIMS, N_PULSES = 16, 27  # 48 bits
SQUARED_RADIUS = 20  # of faiss's sphere: 31.2 bits, as 12 pulses


def gaussian(n, n_columns=N_DIMS):
    return np.random.default_rng(0).normal(size=(n, n_columns)).astype(np.float32)


def greedy_in_numpy(X):
    """Share out the pulses of all rows at once: the first stage."""
    sizes = np.abs(X.astype(np.float64))
    points = np.floor(N_PULSES * sizes / sizes.sum(axis=1, keepdims=True))
    every = np.arange(len(X))
    product, square = (sizes * points).sum(axis=1), (points**2).sum(axis=1)
    left = N_PULSES - points.sum(axis=1)
    while (rows := every[left > 0]).size:
        norms = square[rows, None] + 2 * points[rows] + 1
        best = ((product[rows, None] + sizes[rows]) ** 2 / norms).argmax(axis=1)
        product[rows] += sizes[rows, best]
        square[rows] += 2 * points[rows, best] + 1
        points[rows, best] += 1
        left[rows] -= 1
    return points * np.sign(X)


def row_by_row(X):
    for row in range(len(X)):
        greedy_in_numpy(X[row : row + 1])


def on_a_sphere(X):
    import faiss

    points, products = np.empty_like(X), np.empty(len(X), dtype=np.float32)
    search = faiss.ZnSphereSearch(N_DIMS, SQUARED_RADIUS)
    search.search_multi(len(X), *map(faiss.swig_ptr, (X, points, products)))
    return points


def angles():
    """Print what directions lose."""
    X = gaussian(20_000).astype(np.float64)
    found = {"faiss's sphere": on_a_sphere(X.astype(np.float32))}
    for n_pulses in (12, 27, 58):
        for refine in (True, False):
            points = pyramid_project(X, n_pulses, refine=refine)
            found[f"{n_pulses} pulses, refine={refine}"] = points
    for name, points in found.items():
        norms = np.linalg.norm(X, axis=1) * np.linalg.norm(points, axis=1)
        cosines = np.einsum("ij,ij->i", X, points) / norms
        print(f"{name}: mean of 1 - cos^2 {np.mean(1 - cosines**2):.5f}")


def points_of(n):
    return pyramid_project(gaussian(n), N_PULSES)


def encode_in_python(points, cache={}):  # noqa: B006  sizes stay between runs
    """Add up sizes of the recursion, in integers of any length."""

    def size(n, k):
        if (n, k) not in cache:
            cache[n, k] = (
                int(k == 0)
                if n == 0
                else 1 if k == 0
                else size(n - 1, k) + size(n, k - 1) + size(n - 1, k - 1)
            )  # fmt: skip
        return cache[n, k]

    for point in points.tolist():
        number, left = 0, N_PULSES
        for place, value in enumerate(point):
            n_after = N_DIMS - 1 - place
            for a in range(abs(value)):
                number += (1 + (a > 0)) * size(n_after, left - a)
            left -= abs(value)
            number += size(n_after, left) if value < 0 else 0


def layer(n):
    """Draw an n x n matrix and the moments of its inputs, which are correlated."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2 * n, n // 8)) @ rng.normal(size=(n // 8, n))
    hessian = rows.T @ rows / (2 * n)
    hessian[np.diag_indices(n)] += 0.01 * np.trace(hessian) / n
    return rng.normal(size=(n, n)), hessian


def there_and_back(X, rotation="hadamard"):
    quantizer = PyramidQuantizer(4, rotation=rotation, random_state=0).fit(X)
    quantizer.inverse_transform(quantizer.transform(X))


def product_codes(X):
    import faiss

    quantizer = faiss.ProductQuantizer(X.shape[1], X.shape[1] // 2, 8)
    quantizer.cp.min_points_per_centroid = 1  # no warning of few rows
    quantizer.train(X)
    quantizer.decode(quantizer.compute_codes(X))


COMPARISONS = [
    Comparison(
        title=f"Directions of n rows of {N_DIMS} numbers, {N_PULSES} pulses",
        setup=gaussian,
        ours=lambda X: pyramid_project(X, N_PULSES),
        peers={
            "refine=False": lambda X: pyramid_project(X, N_PULSES, refine=False),
            "NumPy, first stage, all rows": greedy_in_numpy,
            "NumPy, first stage, a row": row_by_row,
            "faiss ZnSphereSearch": on_a_sphere,
        },
        peer_limits={"NumPy, first stage, a row": 1_000},
        sizes=(1_000, 10_000, 100_000),
        target="10 times as fast as NumPy row by row; 300,000 rows a second on one thread",
        afterwards=angles,
    ),
    Comparison(
        title=f"Numbers of n points of {N_DIMS} dimensions, {N_PULSES} pulses",
        setup=points_of,
        ours=lambda points: pyramid_encode(points, N_PULSES),
        peers={"Python": encode_in_python},
        peer_limits={"Python": 10_000},
        sizes=(1_000, 10_000, 100_000),
        threads=(1,),
        target="3 million a second",
    ),
    Comparison(
        title=f"Points of n numbers, {N_DIMS} dimensions, {N_PULSES} pulses",
        setup=lambda n: pyramid_encode(points_of(n), N_PULSES),
        ours=lambda numbers: pyramid_decode(numbers, N_DIMS, N_PULSES),
        peers={},
        sizes=(1_000, 10_000, 100_000),
        threads=(1,),
        target="1.5 million a second",
    ),
    Comparison(
        title="Fit on n rows of 64 Gaussian columns, 4 bits each; encode and decode them",
        setup=lambda n: gaussian(n, 64),
        ours=there_and_back,
        peers={
            'rotation="pca"': lambda X: there_and_back(X, "pca"),
            "faiss product quantizer": product_codes,
        },
        sizes=(1_000, 5_000, 25_000),
        threads=(1,),
        repeats=1,
    ),
    Comparison(
        title="Encode an n x n matrix at 2 bits",
        setup=layer,
        ours=lambda data: PyramidCodec(2, random_state=0).encode(*data),
        peers={
            "UniformCodec(2)": lambda data: UniformCodec(2).encode(*data),
            "VectorCodec(4, 256)": lambda data: VectorCodec(4, 256).encode(*data),
        },
        peer_limits={"VectorCodec(4, 256)": 512},
        sizes=(256, 512, 1024),
        threads=(1,),
        repeats=1,
        target="1024 x 1024 within 3 s",
    ),
]
