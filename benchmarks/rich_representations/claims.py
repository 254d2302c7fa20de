"""Several seeds of one network make features for new tasks that one network does not.

Paper: Zhang and Bottou, ICML 2023, on ImageNet with ResNets. Here small multilayer
perceptrons learn some classes of digits or letters, and a linear probe learns the other
classes from their hidden layers. One setting for all networks; nothing is chosen on test
rows.
"""

import warnings

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import LabelEncoder
from torch import nn

from benchmarks.claims import Outcome, claim
from benchmarks.rich_representations.tasks import digits_task, letters_task
from minimalml._core.training.modules import MLP
from minimalml._core.training.network import NetworkClassifier
from minimalml.ensemble import DistilledRepresentation

# the number of passes is set
warnings.filterwarnings("ignore", category=ConvergenceWarning)
N_NETWORKS = 5
DIGITS_SEEDS, LETTERS_SEEDS, STUDENT_SEEDS = range(20, 30), range(20, 23), range(20, 25)


def transfer(task, label_counts, *, with_wide):
    """Return accuracies by kind of features: on the source, then by target labels."""
    _, X_test, _, y_test = task.source
    several = task.learnt(N_NETWORKS)
    width = several.widths_[0]
    kinds = {
        "one network": lambda X: several.transform(X)[:, :width],
        "Cat-2": lambda X: several.transform(X)[:, : 2 * width],
        "Cat-5": several.transform,
        "raw": lambda X: X,
    }
    members = several.estimators_
    mean = np.mean([m.predict_proba(X_test) for m in members], axis=0)
    source = {
        "one network": members[0].score(X_test, y_test),
        "Cat-5": np.mean(several.classes_[mean.argmax(axis=1)] == y_test),
    }
    sizes = {"equal size": task.wider(N_NETWORKS)}
    if with_wide:
        sizes["same number of features"] = tuple(N_NETWORKS * np.array(task.hidden))
    for name, hidden in sizes.items():
        larger = task.learnt(1, hidden)
        kinds[name] = larger.transform
        source[name] = larger.estimators_[0].score(X_test, y_test)
    return {
        name: [source.get(name, np.nan), *(task.probe(f, n) for n in label_counts)]
        for name, f in kinds.items()
    }


def over_seeds(measure, seeds):
    """Return accuracies by name, shape (n_seeds, ...)."""
    runs = [measure(seed) for seed in seeds]
    return {name: np.array([run[name] for run in runs]) for name in runs[0]}


def table(found, columns):
    """Return the mean accuracies as cells."""
    return {
        name: ", ".join(
            f"{column} {value:.3f}"
            for column, value in zip(columns, values.mean(axis=0), strict=True)
            if not np.isnan(value)
        )
        for name, values in found.items()
    }


def gap(found, name, other, column):
    differences = found[name][:, column] - found[other][:, column]
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return differences.mean(), f"{differences.mean():+.3f} ± {error:.3f}"


def verdict_of(passed):
    return (
        "reproduced" if all(passed) else "partly" if any(passed) else "not reproduced"
    )


@claim(
    "For a linear probe on other classes, five networks side by side beat one network and "
    "one of five times the weights, and not on the classes that they were trained on"
)
def other_digits():
    """Five of ten digits, then the others; differences with their standard error."""
    found = over_seeds(
        lambda seed: transfer(digits_task(seed), (50, 250), with_wide=True),
        DIGITS_SEEDS,
    )
    few, few_text = gap(found, "Cat-5", "one network", 1)
    many, many_text = gap(found, "Cat-5", "one network", 2)
    equal, equal_text = gap(found, "Cat-5", "equal size", 2)
    source, source_text = gap(found, "Cat-5", "one network", 0)
    return Outcome(
        verdict_of([few >= 0.04, many >= 0.04, equal >= 0.002, abs(source) <= 0.015]),
        summary=(
            f"{len(DIGITS_SEEDS)} seeds, Cat-5 against one network {few_text} at 50 labels "
            f"and {many_text} at 250; against equal size {equal_text} at 250; on the "
            f"source {source_text}. Raw pixels reach {found['raw'][:, 2].mean():.3f}."
        ),
        measured={"accuracy": table(found, ("source", "50 labels", "250 labels"))},
    )


@claim("The same on letters, where raw features are poor")
def other_letters():
    """13 of 26 letters, then the others."""
    found = over_seeds(
        lambda seed: transfer(letters_task(seed), (260, 1300), with_wide=False),
        LETTERS_SEEDS,
    )
    equal, equal_text = gap(found, "Cat-5", "equal size", 2)
    one, one_text = gap(found, "Cat-5", "one network", 2)
    return Outcome(
        verdict_of([equal >= 0.02, one >= 0.04]),
        summary=(
            f"{len(LETTERS_SEEDS)} seeds, 1300 labels: Cat-5 against equal size "
            f"{equal_text}, against one network {one_text}."
        ),
        measured={"accuracy": table(found, ("source", "260 labels", "1300 labels"))},
    )


class SideBySide(nn.Module):
    """Networks that are trained as one: a linear layer on all their hidden layers."""

    def __init__(self, networks, n_outputs):
        super().__init__()
        self.trunks = nn.ModuleList(_trunk(network) for network in networks)
        width = sum(trunk.head.in_features for trunk in self.trunks)
        self.head = nn.Linear(width, n_outputs)

    def forward(self, X):
        return self.head(torch.cat([trunk.features(X) for trunk in self.trunks], dim=1))


def _trunk(network):
    """Return the hidden layers of an MLPClassifier as a module."""
    n_features, *hidden = [weight.shape[0] for weight in network.coefs_]
    module = MLP(n_features, hidden, 1)
    for block, weight, bias in zip(
        module.blocks, network.coefs_, network.intercepts_, strict=False
    ):
        block[0].weight.data = torch.tensor(weight.T, dtype=torch.float32)
        block[0].bias.data = torch.tensor(bias, dtype=torch.float32)
    return module


def fine_tuning(seed, n_labels, max_epochs):
    """Return accuracies on the target by way of fine-tuning."""
    task = letters_task(seed)
    X, X_test, y, y_test = task.split(n_labels)
    several, larger = task.learnt(N_NETWORKS), task.learnt(1, task.wider(N_NETWORKS))
    tuned = several.fine_tune(X, y, max_epochs=max_epochs)
    tuned_larger = larger.fine_tune(X, y, max_epochs=max_epochs)
    torch.manual_seed(seed)
    module = SideBySide(several.estimators_, len(np.unique(y)))
    whole = NetworkClassifier(
        module=module, max_epochs=max_epochs, batch_size=64, random_state=seed
    ).fit(X.astype(np.float32), LabelEncoder().fit_transform(y))
    coef, intercept = tuned.averaged_head()
    averaged = tuned.classes_[(tuned.transform(X_test) @ coef.T + intercept).argmax(1)]
    return {
        "one network": tuned.estimators_[0].score(X_test, y_test),
        "equal size": tuned_larger.estimators_[0].score(X_test, y_test),
        "all networks, one loss": whole.score(
            X_test.astype(np.float32), LabelEncoder().fit_transform(y_test)
        ),
        "two stages, averaged heads": np.mean(averaged == y_test),
        "two stages, then probe": task.probe(tuned.transform, n_labels),
        "no fine-tuning, probe": task.probe(several.transform, n_labels),
    }


@claim(
    "Where all weights may be tuned: each network alone, then a probe on all, beats tuning "
    "all with one loss"
)
def two_stages():
    """Letters, 1300 labels, at 30 epochs and at 100."""
    cells, passed, words = {}, [], []
    for max_epochs in (30, 100):
        found = over_seeds(
            lambda seed, n=max_epochs: fine_tuning(seed, 1300, n), LETTERS_SEEDS[:2]
        )
        means = {name: values.mean() for name, values in found.items()}
        for name, value in means.items():
            cells[f"{name}, {max_epochs} epochs"] = f"{value:.3f}"
        two = means["two stages, then probe"]
        one_loss = means["all networks, one loss"]
        passed.append(two > one_loss)
        words.append(
            f"{max_epochs} epochs: two stages {two:.3f}, one loss {one_loss:.3f}, one "
            f"network of equal size {means['equal size']:.3f}, one of the size of a member "
            f"{means['one network']:.3f}"
        )
    return Outcome(
        verdict_of(passed),
        summary=f"2 seeds, accuracy. {'; '.join(words)}.",
        measured={"accuracy": cells},
    )


def distilled(seed):
    task = letters_task(seed)
    several = task.learnt(N_NETWORKS)
    X = task.source[0].astype(np.float32)
    accuracies = {
        "one teacher": task.probe(
            lambda rows: several.transform(rows)[:, : several.widths_[0]], 1300
        ),
        "Cat-5": task.probe(several.transform, 1300),
    }
    for name, options in {
        "features with noise": {},
        "features": {"n_noisy_copies": 0},
        "probabilities with noise": {"target": "probabilities"},
    }.items():
        student = DistilledRepresentation(several, random_state=seed, **options).fit(X)
        accuracies[f"student, {name}"] = task.probe(
            lambda rows, s=student: s.transform(rows.astype(np.float32)), 1300
        )
    reduced = PCA(several.widths_[0], random_state=seed).fit(
        several.transform(task.target[0])
    )
    accuracies["Cat-5, PCA to the width of one"] = task.probe(
        lambda rows: reduced.transform(several.transform(rows)), 1300
    )
    return accuracies


@claim("One network that imitates the features of five keeps a part of the gain")
def one_student():
    """Letters, 1300 labels."""
    found = over_seeds(distilled, STUDENT_SEEDS)
    means = {name: values.mean() for name, values in found.items()}
    student = found["student, features with noise"]
    gain = student - found["one teacher"]
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    return Outcome(
        verdict_of([gain.mean() >= -0.01, gain.mean() > error]),
        summary=(
            f"{len(STUDENT_SEEDS)} seeds: student {student.mean():.3f}, against one teacher "
            f"{gain.mean():+.3f} ± {error:.3f}; Cat-5 {means['Cat-5']:.3f}."
        ),
        measured={"accuracy": {name: f"{value:.3f}" for name, value in means.items()}},
    )
