"""Merging beside its assignments alone, and merged models beside others of their size.

Implementations of the paper need two GPUs' libraries and models of their own; what one
would use instead is dropping experts, averaging them as they stand, or a dense network.
"""

import time
from functools import cache, partial

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.compare import Comparison
from minimalml._core.training.network import NetworkClassifier
from minimalml.compression import (
    ExpertCompressor,
    ExpertMerger,
    ExpertWeights,
    MixtureOfExpertsClassifier,
    merge_experts,
)

LABELS, N_INPUTS = [0, 0, 0, 0, 1, 1, 1, 1], 256


def stacks(n_hidden):
    """Draw eight experts of float32 weights."""
    rng = np.random.default_rng(0)
    shape = len(LABELS), n_hidden, N_INPUTS
    w_in, w_out = rng.normal(size=(2, *shape)).astype(np.float32)
    return ExpertWeights((w_in,), (np.ascontiguousarray(w_out.transpose(0, 2, 1)),))


def assignments(experts):
    """Solve what six merges need: scores by one product, then the assignment."""
    units = experts.hidden_in[0]
    for expert in (1, 2, 3, 5, 6, 7):
        reference = units[0 if expert < 4 else 4]
        linear_sum_assignment(reference @ units[expert].T, maximize=True)


@cache
def trained_mixture():
    """Train a mixture of 32 experts for an epoch: what it predicts does not matter."""
    X, y = np.random.default_rng(0).normal(size=(2000, 64)), np.arange(2000) % 10
    return MixtureOfExpertsClassifier(
        32, width=128, expert_width=256, max_epochs=1, device="cpu", random_state=0
    ).fit(X.astype(np.float32), y), X.astype(np.float32)


def models(n):
    """Return a mixture, smaller ones, and rows to predict."""
    full, X = trained_mixture()
    merged = ExpertMerger(full, n_experts=8, fine_tune_epochs=0).fit(X)
    small = ExpertCompressor(merged, rank=32, max_epochs=0).fit(None)
    y = np.arange(len(X)) % 10
    dense = NetworkClassifier((640, 640), max_epochs=1, device="cpu").fit(X, y)
    rows = np.random.default_rng(1).normal(size=(n, 64)).astype(np.float32)
    return {"full": full, "merged": merged, "compressed": small, "dense": dense}, rows


def predict(name, data):
    found, rows = data
    found[name].predict(rows)


def mixture_and_rows(n):
    return trained_mixture()[0], np.resize(trained_mixture()[1], (n, 64))


def predict_and_align(data):
    """Predict twice, and merge the experts of the layer: the aim of a whole fit."""
    from minimalml.compression import expert_weights

    full, X = data
    full.predict(X)
    full.predict(X)
    for experts in expert_weights(full):
        merge_experts(experts, np.arange(experts.n_experts) % 8)


def print_table():
    """Print memory, accuracy and speed of ways to a smaller model, over three seeds."""
    from benchmarks.expert_merging import _baselines as baselines

    seeds, found = range(40, 43), {}
    for seed in seeds:
        X, y, X_test, y_test = baselines.families(seed)
        full = baselines.mixture(seed).fit(X, y)
        options = {"batch_size": baselines.BATCH, "random_state": seed}
        merger = ExpertMerger(full, fine_tune_epochs=3, **options).fit(X, y)
        ways = {
            "full, 12 experts": full,
            "merged into 4": merger,
            "merged, then rank 4 and 10 % rows": ExpertCompressor(
                merger, rank=4, **options
            ).fit(X, y),
            "dense network as large as merged": NetworkClassifier(
                (87, 87), max_epochs=20, device="cpu", **options
            ).fit(X, y),
            "4 experts from scratch": baselines.mixture(seed, 4).fit(X, y),
        }
        for name, changed in (
            ("4 averaged without alignment", baselines.plain_average),
            ("the other 8 dropped", None),
        ):
            model = (
                baselines.dropped(full, X, 4)
                if changed is None
                else baselines.with_fewer(full, X, 4, changed)
            )
            ways[name] = baselines.fine_tuned(model, full, X, y, seed)
        for name, model in ways.items():
            row = [_kilobytes(model), model.score(X_test, y_test), _seconds(model, X)]
            found.setdefault(name, []).append(row)
    print(
        f"\nFamilies of sources, {len(seeds)} seeds, three epochs after each change, the "
        "dense network 20 epochs:\n"
        f"{'':<36} {'kB':>6} {'accuracy':>15} {'ms for 3,000 rows':>18}"
    )
    for name, rows in found.items():
        size, score, seconds = np.mean(rows, axis=0)
        spread = np.std([row[1] for row in rows], ddof=1)
        print(
            f"{name:<36} {size:>6.1f} {score:>8.3f} ± {spread:.3f} {1e3 * seconds:>18.2f}"
        )


def _kilobytes(model):
    module = getattr(model, "estimator_", model).module_
    tensors = (*module.parameters(), *module.buffers())
    return sum(t.numel() * t.element_size() for t in tensors) / 1e3


def _seconds(model, X):
    times = []
    for _ in range(20):
        start = time.perf_counter()
        model.predict(X)
        times.append(time.perf_counter() - start)
    return min(times)


COMPARISONS = [
    Comparison(
        title=f"Merge 8 experts of n hidden units and {N_INPUTS} inputs into 2",
        setup=stacks,
        ours=lambda experts: merge_experts(experts, LABELS),
        peers={
            "the assignments alone": assignments,
            "average as they stand": lambda experts: merge_experts(
                experts, LABELS, align=False
            ),
        },
        sizes=(128, 512, 1_024),
        threads=(1,),
        target="at most twice the assignments",
    ),
    Comparison(
        title="Predict n rows, 32 experts of 256 hidden units merged into 8",
        setup=models,
        ours=partial(predict, "merged"),
        peers={
            "full mixture": partial(predict, "full"),
            "merged, then rank 32": partial(predict, "compressed"),
            "dense network as large": partial(predict, "dense"),
        },
        sizes=(1_000, 10_000, 50_000),
        threads=(1,),
        target="no slower than the full mixture",
    ),
    Comparison(
        title="ExpertMerger without fine-tuning, on n rows",
        setup=mixture_and_rows,
        ours=lambda data: ExpertMerger(data[0], n_experts=8, fine_tune_epochs=0).fit(
            data[1]
        ),
        peers={
            "two passes, and the merge alone": predict_and_align,
            "one pass": lambda data: data[0].predict(data[1]),
        },
        sizes=(1_000, 10_000, 50_000),
        threads=(1,),
        target="from 10,000 rows on, less than two passes and the merge",
        afterwards=print_table,
    ),
]
