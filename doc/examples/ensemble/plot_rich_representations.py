"""
Features for a task that moves
==============================

Networks learn to tell five digits apart. A linear probe then learns five others from their
hidden layers: first the same digits, then more and more new ones.
"""

# %%
# As the task moves
# -----------------
# Five small networks that differ in their seed alone, side by side, beside the first of
# them and one network of five times the weights. The probe has 100 labels.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.ensemble import ConcatenatedRepresentation

warnings.simplefilter("ignore", ConvergenceWarning)  # the number of passes is set
X, y = load_digits(return_X_y=True)
X = X / 16 + np.random.default_rng(0).normal(0, 0.15, X.shape)


def learn(hidden, n_networks, X, y, seed):
    network = MLPClassifier(hidden, batch_size=64, max_iter=30)
    representation = ConcatenatedRepresentation(network, n_networks, random_state=seed)
    return representation.fit(X, y)


def probe_accuracy(representation, X, y, seed):
    X, X_test, y, y_test = train_test_split(
        X, y, train_size=100, stratify=y, random_state=seed
    )
    probe = make_pipeline(
        FrozenEstimator(representation),
        StandardScaler(),
        RidgeClassifierCV(np.logspace(-1, 4, 11)),
    )
    return probe.fit(X, y).score(X_test, y_test)


moves, n_seeds = range(6), 3
kinds = {
    "Cat-5": ((32, 16), 5),
    "one network of equal size": ((110, 55), 1),
    "one network": ((32, 16), 1),
}
accuracy = {name: [] for name in kinds}
for seed in range(n_seeds):
    digits = np.random.default_rng(seed).permutation(10)
    X_source, X_rest, y_source, y_rest = train_test_split(X, y, random_state=seed)
    known = np.isin(y_source, digits[:5])
    for name, (hidden, n_networks) in kinds.items():
        representation = learn(
            hidden, n_networks, X_source[known], y_source[known], seed
        )
        for n_new in moves:
            # rows that the networks have not seen
            asked = np.isin(y_rest, digits[n_new : n_new + 5])
            accuracy[name].append(
                probe_accuracy(representation, X_rest[asked], y_rest[asked], seed)
            )

figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
for name, found in accuracy.items():
    found = np.reshape(found, (n_seeds, len(moves)))
    mean, error = found.mean(axis=0), found.std(axis=0) / np.sqrt(n_seeds)
    ax.errorbar(moves, mean, error, marker="o", capsize=2, label=name)
    print(f"{name}: {mean[0]:.3f} on the same digits, {mean[-1]:.3f} on five new ones")
ax.set(
    xlabel="new digits among the five of the probe",
    ylabel="accuracy of the probe",
    title="What five seeds know of other tasks",
)
ax.legend()
plt.show()
