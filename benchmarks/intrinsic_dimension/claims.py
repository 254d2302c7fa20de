"""How many numbers digits need: of networks of any size, of noise, of a trained start.

Papers: Li et al., ICLR 2018, on MNIST, CIFAR-10 and games; Aghajanyan et al., ACL 2021, on
language models. Here scikit-learn's digits; nothing is chosen on the rows that score.
"""

from functools import cache

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from benchmarks.claims import Outcome, claim
from minimalml.training_dynamics import IntrinsicDimension, SubspaceClassifier

SPLITS = range(3)
NETWORKS = ((64,), (128, 64), (256, 256))
OPTIONS = dict(max_epochs=60, batch_size=100, device="cpu")


@cache
def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


def intrinsic_dimension(model, X, y, cv, split, **parameters):
    """Return the fitted search: 90 % of the network without a subspace."""
    options = dict(n_repeats=1, min_dimension=32, growth=1.6, resolution=0.2)
    options |= dict(cv=cv, random_state=split)
    return IntrinsicDimension(model, **options | parameters).fit(X, y)


def spread(values):
    return f"{np.mean(values):.0f} ({', '.join(f'{v:g}' for v in values)})"


@claim(
    "The intrinsic dimension of a task hardly depends on the size of the network: the same "
    "few numbers for one of 18 times the weights"
)
def networks_of_any_size():
    """d90 on digits, 40 % held out; the mean over three splits, and each."""
    X, y = digits()
    dimensions, weights, ratios, cells = {}, {}, {}, {}
    for sizes in NETWORKS:
        found = []
        for split in SPLITS:
            rows = train_test_split(
                np.arange(len(y)), test_size=0.4, stratify=y, random_state=split
            )
            model = SubspaceClassifier(hidden_layer_sizes=sizes, **OPTIONS)
            found.append(intrinsic_dimension(model, X, y, [rows], split))
        dimensions[sizes] = [f.dimension_ for f in found]
        weights[sizes] = found[0].n_full_parameters_
        ratios[sizes] = weights[sizes] / np.mean(dimensions[sizes])
        baseline = np.mean([f.baseline_score_ for f in found])
        cells[f"{sizes}, D = {weights[sizes]}"] = (
            f"d90 {spread(dimensions[sizes])}, {ratios[sizes]:.0f} times fewer; "
            f"accuracy of all weights {baseline:.3f}"
        )
    means = {sizes: np.mean(d) for sizes, d in dimensions.items()}
    growth = max(weights.values()) / min(weights.values())
    spread_of_means = max(means.values()) / min(means.values())
    largest = max(weights, key=weights.get)
    passed = [
        all(60 <= mean <= 250 for mean in means.values()),
        spread_of_means <= 2,
        ratios[largest] >= 300,
    ]
    return Outcome(
        "reproduced" if all(passed) else "partly" if any(passed) else "not reproduced",
        summary=(
            f"{len(NETWORKS)} networks, {len(SPLITS)} splits: d90 from "
            f"{min(means.values()):.0f} to {max(means.values()):.0f}, a factor of "
            f"{spread_of_means:.2f}, while weights differ {growth:.0f}-fold; the largest "
            f"needs {ratios[largest]:.0f} times fewer numbers than it has weights."
        ),
        measured={"d90 by network": cells},
    )


@claim(
    "Labels that are noise have to be learnt by heart, which takes many more numbers"
)
def shuffled_labels():
    """d90 of the accuracy on 300 training rows, with true and with shuffled labels."""
    X, y = digits()
    found = {"true": [], "shuffled": []}
    for split in SPLITS:
        rng = np.random.default_rng(split)
        rows = rng.permutation(len(y))[:300]
        everything = [(np.arange(300), np.arange(300))]
        for name, labels in (("true", y[rows]), ("shuffled", rng.permutation(y[rows]))):
            model = SubspaceClassifier(**OPTIONS | dict(max_epochs=200))
            search = intrinsic_dimension(model, X[rows], labels, everything, split)
            found[name].append(search.dimension_)
    ratios = np.divide(found["shuffled"], found["true"])
    return Outcome(
        "reproduced" if ratios.mean() >= 5 else "partly" if ratios.min() > 1 else
        "not reproduced",
        summary=(
            f"{len(SPLITS)} draws of 300 digits, accuracy on these rows: d90 "
            f"{np.mean(found['true']):.0f} with true labels, "
            f"{np.mean(found['shuffled']):.0f} with shuffled ones, {ratios.mean():.1f} "
            f"times as many (from {ratios.min():.1f})."
        ),
        measured={"d90 by draw": found},
    )  # fmt: skip


def starts(X_source, y_source, seed):
    """Return models from a random start and from one trained on other digits."""
    trained = MLPClassifier((128, 64), max_iter=300, random_state=seed)
    start = FrozenEstimator(trained.fit(X_source, y_source))
    return {
        "random": SubspaceClassifier(**OPTIONS),
        "pretrained": SubspaceClassifier(initial_weights=start, **OPTIONS),
        "pretrained, by layers": SubspaceClassifier(
            initial_weights=start, structure_aware=True, **OPTIONS
        ),
    }


def d90_by_start(source, target, relabel, n_target, splits):
    """Return d90 by start and split, and the accuracy at dimension 10."""
    X, y = digits()
    dimensions, at_10 = {}, {}
    for split in splits:
        rng = np.random.default_rng(split)
        order = rng.permutation(len(y))
        source_rows = order[np.isin(y[order], source)][:900]
        rest = np.setdiff1d(order[np.isin(y[order], target)], source_rows)
        rows = rng.permutation(rest)
        labels = relabel(y[rows])
        places = np.arange(len(rows))
        cv = [(places[:n_target], places[n_target:])]
        for name, model in starts(X[source_rows], y[source_rows], split).items():
            search = intrinsic_dimension(
                model,
                X[rows],
                labels,
                cv,
                split,
                n_repeats=2,
                min_dimension=2,
                growth=2.0,
            )
            dimensions.setdefault(name, []).append(search.dimension_)
            if "layers" not in name:
                scores = [
                    clone(model)
                    .set_params(dimension=10, random_state=seed)
                    .fit(X[rows[:n_target]], labels[:n_target])
                    .score(X[rows[n_target:]], labels[n_target:])
                    for seed in range(4)
                ]
                at_10.setdefault(name, []).append(float(np.mean(scores)))
    return dimensions, at_10


@claim(
    "Pretraining lowers the intrinsic dimension of a task that it fits, and not of one that "
    "it does not fit"
)
def pretrained_starts():
    """Even or odd after ten classes, on other digits; and 5 to 9 after 0 to 4."""
    parity, at_10 = d90_by_start(range(10), range(10), lambda y: y % 2, 150, range(5))
    control, _ = d90_by_start(range(5), range(5, 10), lambda y: y, 200, SPLITS)
    ratio = np.mean(parity["random"]) / np.mean(parity["pretrained"])
    control_ratio = np.mean(control["random"]) / np.mean(control["pretrained"])
    gap = np.mean(at_10["pretrained"]) - np.mean(at_10["random"])
    passed = [ratio >= 1.5, gap >= 0.05, control_ratio < ratio]
    return Outcome(
        "reproduced" if all(passed) else "partly" if any(passed) else "not reproduced",
        summary=(
            f"Parity, 5 splits: it takes {np.mean(parity['random']):.0f} numbers from a random "
            f"start and {np.mean(parity['pretrained']):.0f} from a trained one, "
            f"{ratio:.1f} times fewer ({np.mean(parity['pretrained, by layers']):.0f} by "
            f"layers); at 10 numbers it is {gap:+.3f} better. Digits 5 to 9 after 0 to 4: "
            f"{np.mean(control['random']):.0f} and {np.mean(control['pretrained']):.0f}, "
            f"a ratio of {control_ratio:.1f}."
        ),
        measured={
            "parity, d90": {name: spread(d) for name, d in parity.items()},
            "parity, accuracy at dimension 10": {
                name: f"{np.mean(s):.3f} ± {np.std(s, ddof=1):.3f}"
                for name, s in at_10.items()
            },
            "5 to 9 after 0 to 4, d90": {
                name: spread(d) for name, d in control.items()
            },
        },
    )


@claim("A Fastfood projection does as well as a dense Gaussian matrix")
def fastfood_and_dense():
    """Test accuracy of the network of 17,226 weights, mean over eight splits."""
    X, y = digits()
    cells, gaps = {}, []
    for dimension in (60, 200):
        scores = {}
        for projection in ("fastfood", "dense"):
            for split in range(8):
                parts = train_test_split(
                    X, y, test_size=0.4, stratify=y, random_state=split
                )
                model = SubspaceClassifier(
                    dimension, projection=projection, random_state=split, **OPTIONS
                ).fit(parts[0], parts[2])
                scores.setdefault(projection, []).append(
                    model.score(parts[1], parts[3])
                )
        gaps.append(np.mean(scores["fastfood"]) - np.mean(scores["dense"]))
        cells[f"dimension {dimension}"] = {
            name: f"{np.mean(s):.3f} ± {np.std(s, ddof=1):.3f}"
            for name, s in scores.items()
        }
    return Outcome(
        "reproduced" if np.mean(gaps) > -0.01 else "not reproduced",
        summary=(
            f"Accuracy with Fastfood less that with the matrix, at 60 and 200 numbers: mean "
            f"{np.mean(gaps):+.3f}, from {min(gaps):+.3f} to {max(gaps):+.3f}."
        ),
        measured={"test accuracy": cells},
    )
