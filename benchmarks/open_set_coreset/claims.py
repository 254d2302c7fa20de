"""Rows of an open set that help a small target set, on digits.

Paper: Kim, Bae and Yun, CVPR 2023; its eleven image sets and self-supervised networks need
accelerators. Here the target is 60 images of 3 and 8, the open set the other digits with
140 more of 3 and 8 among them, the representation PCA. Nothing is chosen on test rows.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from benchmarks.claims import Outcome, claim
from minimalml.resampling import (
    CoresetAugmentedTransformer,
    OpenSetCoresetSelector,
    greedy_facility_location,
)

SEEDS, BUDGET, N_CLUSTERS, N_COMPONENTS = range(20), 200, 20, 10


def open_set(seed):
    """Return target, open set with its labels, and test rows of 3 and 8."""
    rng = np.random.default_rng(seed)
    X, y = load_digits(return_X_y=True)
    X = normalize(X)
    wanted = rng.permutation(np.flatnonzero(np.isin(y, (3, 8))))
    target, hidden, test = wanted[:60], wanted[60:200], wanted[200:]
    others = rng.permutation(np.r_[hidden, np.flatnonzero(~np.isin(y, (3, 8)))])
    return [(X[rows], y[rows]) for rows in (target, others, test)]


def selector(seed, budget=BUDGET, ratio=None, patience=1):
    return OpenSetCoresetSelector(
        budget, stopping_ratio=ratio, patience=patience, n_clusters=N_CLUSTERS,
        random_state=seed,
    )  # fmt: skip


def selections(seed, target, others):
    """Rows of the open set by name of the way to select them."""
    fitted = selector(seed).fit(others, X_target=target)
    similarity = others @ fitted.cluster_centers_.T
    rng = np.random.default_rng(seed)
    return {
        "coreset": fitted.sample_indices_,
        "facility location": greedy_facility_location(similarity, BUDGET),
        "random": rng.permutation(len(others))[:BUDGET],
        "most similar": np.argsort(-similarity.max(axis=1), kind="stable")[:BUDGET],
        "all": np.arange(len(others)),
        "none": np.arange(0),
    }


def components(rows, target, others, seed):
    """Fit components on the target and the rows; those of the coreset as a user would."""
    pca = PCA(N_COMPONENTS, random_state=0)
    if rows is None:
        augmented = CoresetAugmentedTransformer(pca, selector(seed))
        return augmented.fit(target[0], X_open=others)
    return pca.fit(np.vstack([target[0], others[rows]]))


def downstream(pca, target, test):
    """Score a classifier of 20 labelled rows on components fitted on more."""
    model = LogisticRegression(max_iter=1000, C=100)
    model.fit(pca.transform(target[0][:20]), target[1][:20])
    return model.score(pca.transform(test[0]), test[1])


@claim(
    "A coreset of 200 rows holds at least 4 times the relevant rows of a random one, and "
    "components fitted with it are better than with all of the open set or a random part"
)
def relevant_rows_help():
    """Share of 3 and 8 among the selected, and accuracy of 3 against 8."""
    shares, accuracies, sizes = {}, {}, []
    for seed in SEEDS:
        target, others, test = open_set(seed)
        relevant = np.isin(others[1], (3, 8))
        for name, rows in selections(seed, target[0], others[0]).items():
            if len(rows):
                shares.setdefault(name, []).append(relevant[rows].mean())
            rows = None if name == "coreset" else rows
            accuracy = downstream(
                components(rows, target, others[0], seed), target, test
            )
            accuracies.setdefault(name, []).append(accuracy)
        stopped = selector(seed, None, 0.95, 2).fit(others[0], X_target=target[0])
        rows = stopped.sample_indices_
        sizes.append([len(rows), relevant[rows].mean()])
    share = {name: np.mean(values) for name, values in shares.items()}
    mean = {name: np.mean(values) for name, values in accuracies.items()}
    ratio = share["coreset"] / share["random"]
    passed = [
        ratio >= 4, mean["coreset"] > mean["all"], mean["coreset"] > mean["random"]
    ]  # fmt: skip
    verdict = (
        "reproduced" if all(passed) else "partly" if any(passed) else "not reproduced"
    )
    size, of_size = np.mean(sizes, axis=0)
    gaps = np.subtract(accuracies["coreset"], accuracies["all"])
    return Outcome(
        verdict,
        summary=(
            f"{len(SEEDS)} seeds: {share['coreset']:.2f} of the coreset is relevant, of "
            f"random rows {share['random']:.2f}; accuracy {mean['coreset']:.4f}, with all "
            f"{mean['all']:.4f} (difference {gaps.mean():+.4f} ± {gaps.std(ddof=1):.4f}), "
            f"random {mean['random']:.4f}, none {mean['none']:.4f}. By stopping_ratio=0.95 "
            f"and patience=2 it takes {size:.0f} rows, {of_size:.2f} of them relevant."
        ),
        measured={
            "relevant share": {name: f"{value:.3f}" for name, value in share.items()},
            "accuracy": {
                name: f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
                for name, values in accuracies.items()
            },
        },
    )
