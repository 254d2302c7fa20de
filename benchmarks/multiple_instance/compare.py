"""Bags in one flat table against lists of arrays and padded batches.

Networks: the peers are attention pooling on padded batches with a mask, as libraries of
multiple-instance networks have it, and a plain network on single rows. MI-SVM and mi-SVM:
the fits of the rows alone, and the loops over lists of arrays of the usual code.
"""

import warnings
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from benchmarks.compare import Comparison
from minimalml._core.groups import GroupIndex
from minimalml._core.training.network import NetworkClassifier
from minimalml.bags import MultipleInstanceClassifier, MultipleInstanceMLPClassifier
from minimalml.datasets import make_mil_unit_test
from minimalml.neural_network import Training

N_EPOCHS, BATCH_BAGS, WIDTH = 5, 32, 64


def bags_of_ten(n):
    """Draw ``n`` bags of ten rows."""
    X, y, bags = make_mil_unit_test(
        "single_concept", n, min_bag_size=10, random_state=0
    )
    return (X / 5).astype(np.float32), y, bags


def larger_bags(size):
    """Draw 500 bags of ``size`` rows."""
    X, y, bags = make_mil_unit_test(
        "single_concept", 500, min_bag_size=size, random_state=0
    )
    return (X / 5).astype(np.float32), y, bags


def fit_network(data, pooling="max"):
    MultipleInstanceMLPClassifier(
        (WIDTH, WIDTH), pooling=pooling, max_epochs=N_EPOCHS, batch_size=BATCH_BAGS,
        device="cpu", random_state=0,
    ).fit(*data)  # fmt: skip


def fit_single_rows(data):
    """Train a plain network on the same rows, as many a step."""
    X, y, bags = data
    NetworkClassifier(
        (WIDTH, WIDTH), activation="leaky_relu", max_epochs=N_EPOCHS,
        batch_size=BATCH_BAGS * len(X) // (bags.max() + 1), learning_rate=2e-3,
        weight_decay=0.01, device="cpu", random_state=0,
        training=Training(optimizer="adamw"),
    ).fit(X, y)  # fmt: skip


def fit_padded_attention(data):
    """Attention pooling on batches that are padded to the largest bag, with a mask."""
    import torch
    from torch import nn

    X, y, bags = data
    index = GroupIndex(bags, len(X))
    parts = [torch.as_tensor(part) for part in np.split(X, index.offsets[1:-1])]
    labels = torch.as_tensor(index.first(y), dtype=torch.float32)
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Linear(X.shape[1], WIDTH), nn.LeakyReLU(0.1),
        nn.Linear(WIDTH, WIDTH), nn.LeakyReLU(0.1),
    )  # fmt: skip
    score = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1))
    head = nn.Linear(WIDTH, 1)
    weights = [*body.parameters(), *score.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(weights, 2e-3)
    for _ in range(N_EPOCHS):
        for numbers in torch.randperm(len(parts)).split(BATCH_BAGS):
            some = [parts[number] for number in numbers.tolist()]
            rows = nn.utils.rnn.pad_sequence(some, batch_first=True)
            sizes = torch.tensor([len(part) for part in some])
            is_padding = torch.arange(rows.shape[1]) >= sizes[:, None]
            features = body(rows)
            scores = score(features)[..., 0].masked_fill(is_padding, -torch.inf)
            embedding = (scores.softmax(1)[..., None] * features).sum(1)
            loss = nn.functional.binary_cross_entropy_with_logits(
                head(embedding)[:, 0], labels[numbers]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def fit_svm(data, update="witness"):
    with warnings.catch_warnings():  # all stop after ten rounds, settled or not
        warnings.simplefilter("ignore", ConvergenceWarning)
        MultipleInstanceClassifier(update=update, max_iter=10).fit(*data)


def fit_svm_of_lists(data):
    """MI-SVM as it is written on lists of arrays: a prediction and an argmax a bag."""
    X, y, bags = data
    index = GroupIndex(bags, len(X))
    parts, labels = np.split(X, index.offsets[1:-1]), index.first(y)
    negatives = [part for part, label in zip(parts, labels, strict=True) if label == 0]
    positives = [part for part, label in zip(parts, labels, strict=True) if label == 1]
    chosen, previous = [part.mean(axis=0) for part in positives], None
    n_negative = sum(map(len, negatives))
    targets = np.r_[np.zeros(n_negative), np.ones(len(positives))]
    for _ in range(10):
        rows = np.vstack([*negatives, *chosen])
        model = LinearSVC(random_state=0).fit(rows, targets)
        witnesses = [model.decision_function(part).argmax() for part in positives]
        if witnesses == previous:
            break
        previous = witnesses
        chosen = [part[i] for part, i in zip(positives, witnesses, strict=True)]


def fit_rows_alone(data):
    """Fit once: what a round of a witness costs at least."""
    LinearSVC(random_state=0).fit(*data[:2])


NETWORKS = {
    "plain network on single rows": fit_single_rows,
    "attention, same loop": partial(fit_network, pooling="attention"),
    "attention, padded batches": fit_padded_attention,
}

COMPARISONS = [
    Comparison(
        title=f'Network, pooling="max", {N_EPOCHS} epochs on n bags of 10 rows',
        setup=bags_of_ten,
        ours=fit_network,
        peers=NETWORKS,
        sizes=(300, 1_000, 10_000),
        threads=(1,),
        target="at most 1.3 times the time on single rows",
    ),
    Comparison(
        title=f'Network, pooling="max", {N_EPOCHS} epochs on 500 bags of n rows',
        setup=larger_bags,
        ours=fit_network,
        peers=NETWORKS,
        sizes=(5, 20, 80),
        threads=(1,),
    ),
    Comparison(
        title="MI-SVM, linear, on n bags of 10 rows",
        setup=bags_of_ten,
        ours=fit_svm,
        peers={
            "mi-SVM, linear": partial(fit_svm, update="impute"),
            "MI-SVM on lists of arrays": fit_svm_of_lists,
            "one fit of all rows": fit_rows_alone,
        },
        sizes=(300, 3_000, 30_000),
        threads=(1,),
        target="no slower than lists; a round is one fit and one prediction",
    ),
]
