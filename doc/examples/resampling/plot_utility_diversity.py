"""
Which samples of a batch are worth a backward pass
==================================================

Sequences of twelve positions, half of them near-copies of five, and every fifth sequence with
labels that are wrong. Of sixteen candidates two go backward.
"""

# %%
# The data
# --------
# Each position has features and a label, given by a linear map. A near-copy is the same at
# all positions.

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn.functional import cross_entropy

from minimalml.resampling import UtilityDiversitySelector

rng = np.random.default_rng(0)
truth = rng.normal(size=(16, 20))
X = rng.normal(size=(5000, 12, 16))
is_copy = np.arange(5000) < 2000
X[is_copy] = rng.normal(size=(5, 1, 16))[rng.integers(5, size=2000)]
X += 0.05 * rng.normal(size=X.shape)
y = (X @ truth).argmax(axis=2)
is_wrong = (rng.random(5000) < 0.2) & (np.arange(5000) < 4000)
y[is_wrong] = rng.integers(20, size=(is_wrong.sum(), 12))
X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
X_test, y_test = X[4000:], y[4000:]


# %%
# A training loop that selects
# ----------------------------
# The candidates run forward without gradients; those that are kept run again, with them.


def losses_of(logits, labels):
    return cross_entropy(logits.mT, labels, reduction="none").mean(1)


def train(keep, n_steps=150):
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 20)
    )
    optimizer, accuracies = torch.optim.Adam(network.parameters(), 5e-3), []
    for step in range(n_steps):
        batch = torch.randperm(4000)[:16]
        with torch.no_grad():
            logits = network(X[batch])
            kept = batch[keep(logits, losses_of(logits, y[batch]))]
            if step % 5 == 0:
                accuracies.append((network(X_test).argmax(2) == y_test).float().mean())
        losses_of(network(X[kept]), y[kept]).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return network, np.array(accuracies)


selector = UtilityDiversitySelector(2, random_state=0)
rules = {
    "utility and diversity": lambda logits, losses: selector.select(logits).indices,
    "random": lambda logits, losses: torch.arange(2),
    "largest losses": lambda logits, losses: losses.topk(2).indices,
}
trained = {name: train(keep) for name, keep in rules.items()}

# %%
# What it sees, and what comes of it
# ----------------------------------
# Near-copies say the same at all positions, so their logits have a small nuclear norm, and
# they are left out, although nobody named them. Wrong labels play no part. To train on the
# largest losses means to train on wrong labels.

network = trained["utility and diversity"][0]
candidates = torch.arange(4000)[::25]
with torch.no_grad():
    scored = selector.set_params(n_samples_to_select=0.125).score_batch(
        network(X[candidates])
    )
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
copies = is_copy[candidates]
for name, rows, color in (("near-copies", copies, "C1"), ("others", ~copies, "C0")):
    left.plot(
        scored.utility[rows], scored.diversity[rows], "o", color=color, ms=4, label=name
    )
kept = scored.indices
left.plot(
    scored.utility[kept],
    scored.diversity[kept],
    "o",
    ms=8,
    mfc="none",
    mec="k",
    label="kept",
)
left.set(xlabel="utility: nuclear norm", ylabel="diversity: distance to kept ones")
left.legend(loc="center")
for name, (_, accuracies) in trained.items():
    right.plot(np.arange(0, 150, 5), accuracies, label=name)
right.set(xlabel="updates", ylabel="accuracy of tokens", ylim=(0, 1))
right.legend(loc="upper left")
plt.show()
