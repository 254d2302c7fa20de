"""What merging by hints of the router is worth, against averaging and low rank alone.

The paper's tasks are language models; here the data are generated, and digits. Settings
are the same for all ways and none is tuned by itself. Seeds are others than those on
which the data were found.
"""

from functools import cache

import numpy as np
from sklearn.datasets import load_digits

from benchmarks.claims import Outcome, claim
from benchmarks.expert_merging import _baselines as baselines
from benchmarks.expert_merging._baselines import (
    BATCH,
    dropped,
    families,
    fine_tuned,
    mixture,
    random_similarity,
    with_fewer,
)
from minimalml.compression import ExpertCompressor, ExpertMerger

SEEDS, COMPRESSION_SEEDS, DIGITS_SEEDS = range(40, 50), range(40, 43), range(40, 48)
N_LEFT = 4
WAYS = {
    "merged": baselines.merge,
    "aligned to expert 0": baselines.aligned_to_first,
    "not aligned": baselines.without_alignment,
    "equal weights": baselines.uniform,
    "neither": baselines.plain_average,
    "zip": baselines.zipped,
    "replaced": baselines.replaced,
}


@cache
def full(seed):
    X, y, *_ = families(seed)
    return mixture(seed).fit(X, y)


def spread(values):
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def verdict_of(*conditions):
    if all(conditions):
        return "reproduced"
    return "partly" if any(conditions) else "not reproduced"


def fewer(model, X, n_left, seed):
    """All ways to fewer experts, before fine-tuning."""
    found = {name: with_fewer(model, X, n_left, way) for name, way in WAYS.items()}
    found["random groups"] = with_fewer(
        model, X, n_left, baselines.merge, random_similarity(seed)
    )
    return found | {"dropped": dropped(model, X, n_left)}


def families_accuracies(seed):
    """Accuracy before and after fine-tuning, by way."""
    X, y, X_test, y_test = families(seed)
    model = full(seed)
    found = {"full": [model.score(X_test, y_test)] * 2}
    for name, changed in fewer(model, X, N_LEFT, seed).items():
        tuned = fine_tuned(changed, model, X, y, seed)
        found[name] = [m.score(X_test, y_test) for m in (changed, tuned)]
    small = mixture(seed, N_LEFT).fit(X, y).score(X_test, y_test)
    return found | {"4 experts from scratch": [small] * 2}


def stable_ranks(seed):
    X, *_ = families(seed)
    merger = ExpertMerger(full(seed), n_experts=N_LEFT, fine_tune_epochs=0).fit(X)
    return [merger.stable_rank_[when]["w_in"] for when in ("before", "after")]


@claim(
    "Twelve experts merged into four by frequency and alignment beat plain averages by "
    "0.08 in accuracy before and 0.02 after fine-tuning, and merging without alignment "
    "by 0.03 and 0.01"
)
def merging():
    """Families of sources: 3,000 rows to train and to test, three epochs afterwards."""
    runs = [families_accuracies(seed) for seed in SEEDS]
    scores = {name: np.array([run[name] for run in runs]).T for name in runs[0]}
    gains = {
        name: (scores["merged"] - scores[name]).mean(axis=1)
        for name in ("neither", "not aligned")
    }
    parts = [
        f"{name} {gain[0]:+.3f} before and {gain[1]:+.3f} after"
        for name, gain in gains.items()
    ]
    means = {name: values[1].mean() for name, values in scores.items()}
    ranks = np.mean([stable_ranks(seed) for seed in SEEDS], axis=0)
    return Outcome(
        verdict_of(*(gains["neither"] >= [0.08, 0.02]), *(gains["not aligned"] >= [0.03, 0.01])),
        f"{len(SEEDS)} seeds: merged {spread(scores['merged'][1])} after fine-tuning, "
        f"over {'; over '.join(parts)}. All twelve {means['full']:.3f}, but four experts "
        f"trained from scratch {means['4 experts from scratch']:.3f}.",
        {
            "accuracy before, after": {
                name: f"{spread(before)}, {spread(after)}"
                for name, (before, after) in scores.items()
            },
            "stable rank of w_in before, after merging": ranks.round(2).tolist(),
        },
    )  # fmt: skip


def compressed(seed):
    """Accuracy and numbers in expert matrices after 20 epochs of distillation each."""
    X, y, X_test, y_test = families(seed)
    options = {"batch_size": BATCH, "random_state": seed}
    found = {}

    def note(name, model):
        matrices = [
            w.numel()
            for key, w in _module_of(model).state_dict().items()
            if ".experts." in key and key.endswith("weight")
        ]
        found[name] = [model.score(X_test, y_test), sum(matrices)]

    def compress(model, rank, keep_fraction, **more):
        return ExpertCompressor(
            model, rank=rank, keep_fraction=keep_fraction, **(options | more)
        ).fit(X, y)

    note("full", full(seed))
    merger = ExpertMerger(
        full(seed), n_experts=N_LEFT, fine_tune_epochs=10, **options
    ).fit(X, y)
    note("merged", merger)
    note("merged, then rank 6", compress(merger, 6, 0.0))
    note("merged, then rank 4 and rows", compress(merger, 4, 0.1))
    for rate in (1e-3, 3e-3):
        alone = compress(full(seed), 2, 0.0, max_epochs=20, learning_rate=rate)
        note(f"rank 2 alone, rate {rate:g}", alone)
    note("small from scratch", mixture(seed, 4, expert_width=12).fit(X, y))
    return found


def _module_of(model):
    return getattr(model, "estimator_", model).module_


@claim(
    "Merging, then low rank, beats low rank alone of the same size by 0.005 in accuracy"
)
def merge_then_compress():
    """20 epochs of distillation for each; low rank alone by the better of two rates."""
    runs = [compressed(seed) for seed in COMPRESSION_SEEDS]
    scores = {name: np.array([run[name][0] for run in runs]) for name in runs[0]}
    sizes = {name: runs[0][name][1] for name in runs[0]}
    alone = max((s for n, s in scores.items() if "alone" in n), key=np.mean)
    gain = (scores["merged, then rank 6"] - alone).mean()
    small = scores["small from scratch"]
    return Outcome(
        verdict_of(gain >= 0.005),
        f"{len(COMPRESSION_SEEDS)} seeds: merged, then rank 6 "
        f"{spread(scores['merged, then rank 6'])}, low rank alone {spread(alone)}, with "
        f"as many numbers ({gain:+.3f}). Low rank and rows "
        f"{spread(scores['merged, then rank 4 and rows'])}; a mixture of that size from "
        f"scratch {spread(small)}.",
        {
            f"{name}, {sizes[name]} numbers": spread(values)
            for name, values in scores.items()
        },
    )


def digits_accuracies(seed):
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    X = (X / 16 + 0.3 * rng.normal(size=X.shape)).astype(np.float32)
    order = rng.permutation(len(X))
    train, test = order[:1000], order[1000:]
    model = mixture(seed, 8, n_layers=2, expert_width=64).fit(X[train], y[train])
    found = {"full": [model.score(X[test], y[test])] * 2}
    for name, changed in fewer(model, X[train], 2, seed).items():
        tuned = fine_tuned(changed, model, X[train], y[train], seed)
        found[name] = [m.score(X[test], y[test]) for m in (changed, tuned)]
    return found


@claim(
    "On digits, eight experts in each of two layers merged into two lose 0.01 less in "
    "accuracy before fine-tuning if they are aligned"
)
def digits():
    """Noisy digits: 1,000 rows to train, 797 to test."""
    runs = [digits_accuracies(seed) for seed in DIGITS_SEEDS]
    scores = {name: np.array([run[name] for run in runs]).T for name in runs[0]}
    gain = (scores["merged"] - scores["not aligned"])[0].mean()
    after = [values[1].mean() for values in scores.values()]
    return Outcome(
        verdict_of(gain >= 0.01),
        f"{len(DIGITS_SEEDS)} seeds: aligned {gain:+.3f} before fine-tuning. After three "
        f"epochs all ways are between {min(after):.3f} and {max(after):.3f}, the full "
        f"mixture {scores['full'][1].mean():.3f}.",
        {
            "accuracy before, after": {
                name: f"{spread(before)}, {spread(values)}"
                for name, (before, values) in scores.items()
            }
        },
    )
