"""Sequences with many near-copies, and a network trained on what a rule keeps of a batch."""

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from minimalml.resampling import UtilityDiversitySelector, nuclear_norm

N_SAMPLES, N_POSITIONS, N_FEATURES, N_CLASSES, N_PROTOTYPES = 4000, 12, 16, 20, 5
# Of the authors' trainer, whose projected distances come out sqrt(N V / 2) times as long.
OFFICIAL_WEIGHT = 2.5e-3 * (N_POSITIONS * N_CLASSES / 2) ** 0.5
BATCH, N_KEPT, N_STEPS, N_HIDDEN, LEARNING_RATE = 16, 2, 150, 64, 5e-3
COPY_NOISE = 0.05


def sequences(seed, noisy_share=0.0):
    """Return X (n, N, d) and labels (n, N) of training and test rows.

    Half of the training samples are near-copies of a few prototypes that are the same at
    all positions. All labels of a share of the samples are drawn anew.
    """
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(N_FEATURES, N_CLASSES))
    X = rng.normal(size=(N_SAMPLES, N_POSITIONS, N_FEATURES))
    n_copies = N_SAMPLES // 2
    prototypes = rng.normal(size=(N_PROTOTYPES, 1, N_FEATURES))
    X[:n_copies] = prototypes[rng.integers(N_PROTOTYPES, size=n_copies)]
    X[:n_copies] += COPY_NOISE * rng.normal(size=X[:n_copies].shape)
    y = (X @ truth).argmax(axis=2)
    relabelled = rng.random(N_SAMPLES) < noisy_share
    y[relabelled] = rng.integers(N_CLASSES, size=y[relabelled].shape)
    X_test = rng.normal(size=(1000, N_POSITIONS, N_FEATURES))
    y_test = (X_test @ truth).argmax(axis=2)
    train, test = (X, y), (X_test, y_test)
    return [
        (torch.tensor(rows, dtype=torch.float32), torch.tensor(labels))
        for rows, labels in (train, test)
    ]


def selector(seed, **options):
    return UtilityDiversitySelector(N_KEPT, random_state=seed, **options)


def z_scored(seed):
    """Equal weights of both scores, each standardised within the batch."""
    memory = selector(seed)

    def keep(logits, losses):
        batch = memory.select(logits)
        scores = [
            (part - part.mean()) / part.std().clamp(min=1e-9)
            for part in (batch.utility, batch.diversity)
        ]
        return sum(scores).topk(N_KEPT).indices

    return keep


def rule(name, seed):
    """Return ``keep(logits, losses)``, which says what to go on with."""
    variants = {
        "UDS": {},
        "UDS, the authors' weight": dict(
            balance=False, diversity_weight=OFFICIAL_WEIGHT
        ),
        "diversity alone": dict(diversity_weight=1e6),
    }
    if name in variants:
        memory = selector(seed, **variants[name])
        return lambda logits, losses: memory.select(logits).indices
    if name == "z-scored, equal weights":
        return z_scored(seed)
    generator = torch.Generator().manual_seed(seed)
    return {
        "utility alone": lambda logits, losses: nuclear_norm(logits).topk(N_KEPT).indices,
        "random": lambda logits, losses: torch.randperm(BATCH, generator=generator)[:N_KEPT],
        "MaxLoss": lambda logits, losses: losses.topk(N_KEPT).indices,
        "full batch": lambda logits, losses: torch.arange(BATCH),
    }[name]  # fmt: skip


def losses_of(logits, labels):
    return cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")


def train(name, seed, data):
    """Return the test accuracy of tokens after training on what a rule keeps."""
    (X, y), (X_test, y_test) = data
    torch.manual_seed(seed)
    network = torch.nn.Sequential(
        torch.nn.Linear(N_FEATURES, N_HIDDEN), torch.nn.ReLU(),
        torch.nn.Linear(N_HIDDEN, N_CLASSES),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    keep, order = rule(name, seed), torch.Generator().manual_seed(seed)
    for _ in range(N_STEPS):
        batch = torch.randperm(len(X), generator=order)[:BATCH]
        with torch.no_grad():
            logits = network(X[batch])
            losses = losses_of(logits, y[batch]).view(BATCH, -1).mean(1)
        rows = batch[keep(logits, losses)]
        optimizer.zero_grad()
        losses_of(network(X[rows]), y[rows]).mean().backward()
        optimizer.step()
    with torch.no_grad():
        hits = network(X_test).argmax(2) == y_test
    return float(hits.float().mean())
