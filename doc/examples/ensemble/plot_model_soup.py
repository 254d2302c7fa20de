"""
Don't throw the rest of the sweep away
======================================

A search over training settings keeps its best model. Where all of its candidates went on
from the same weights, the average of these weights is one model too, at the same cost,
and often a better one.
"""

# %%
# A network for clean digits goes to noisy ones
# ---------------------------------------------
# A network was trained on many clean digits. Now there are a few hundred digits from
# another camera, shifted and noisy, and it is to be fine-tuned to them.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPClassifier

from minimalml.ensemble import ModelSoupClassifier, soup_ensemble_gap

warnings.simplefilter("ignore", ConvergenceWarning)
rng = np.random.default_rng(3)
images, labels = load_digits(return_X_y=True)
order = rng.permutation(len(labels))
images, labels = images[order] / 16, labels[order]
shifted = np.roll(images.reshape(-1, 8, 8), 1, axis=2).reshape(-1, 64)
noisy = shifted + 0.35 * rng.normal(size=shifted.shape)
clean = images + 0.2 * rng.normal(size=images.shape)

network = MLPClassifier((64, 64), max_iter=20, batch_size=32, random_state=0)
start = clone(network).fit(clean[:600], labels[:600])
X, y = noisy[600:1200], labels[600:1200]
X_test, y_test = noisy[1200:], labels[1200:]
print(f"accuracy on the new digits before: {start.score(X_test, y_test):.3f}")

# %%
# A soup stands where the search stood
# ------------------------------------
# Where a search would be ``GridSearchCV(network, settings)``, the soup takes the start
# as well.

settings = {
    "learning_rate_init": np.geomspace(3e-4, 0.01, 4).tolist(),
    "alpha": [1e-4, 0.1, 1],
}
soup = ModelSoupClassifier(
    network, settings, init=FrozenEstimator(start), validation_fraction=0.4,
    random_state=0,
).fit(X, y)  # fmt: skip
print(f"ingredients {soup.ingredients_} of {len(soup.candidates_)} candidates")

# %%
# Weights are arrays by name. A function from them to the network's logits is all that it
# takes to ask each candidate, and the ensemble of all, about new rows.


def logits(weights, X):
    for layer in range(3):
        X = np.maximum(X, 0) if layer else X
        X = X @ weights[f"coefs_.{layer}"] + weights[f"intercepts_.{layer}"]
    return X


def accuracy(scores):
    return np.mean(scores.argmax(axis=1) == y_test)


found = [accuracy(logits(weights, X_test)) for weights in soup.candidates_]
ensemble = accuracy(sum(logits(weights, X_test) for weights in soup.candidates_))

figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
for alpha, marker in zip(settings["alpha"], "osv", strict=True):
    values = [
        (params["learning_rate_init"], value)
        for params, value in zip(soup.candidate_params_, found, strict=True)
        if params["alpha"] == alpha
    ]
    ax.plot(*zip(*sorted(values), strict=True), marker, color="0.5",
            label=f"candidates, alpha={alpha:g}")  # fmt: skip
for value, color, name in (
    (soup.score(X_test, y_test), "tab:green", "greedy soup: one network"),
    (found[soup.best_index_], "tab:orange", "best by validation: one network"),
    (ensemble, "tab:blue", f"ensemble: {len(found)} networks"),
):
    ax.axhline(value, color=color, label=f"{name}, {value:.3f}")
ax.set(xscale="log", xlabel="learning rate", ylabel="accuracy on new digits")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)

# %%
# Why it works, and when it does not
# ----------------------------------
# Along the line between two candidates the loss of the averaged weights is about that of
# the averaged logits, which takes both networks, and below that of either end. Between
# two networks of different random starts there is a mountain: their hidden units mean
# different things.

other_start = clone(network).set_params(random_state=1).fit(clean[:600], labels[:600])
other = ModelSoupClassifier(
    network, [{"learning_rate_init": 0.003}], init=FrozenEstimator(other_start),
    random_state=0,
).fit(X, y)  # fmt: skip
best, second = (soup.candidates_[i] for i in np.argsort(-soup.candidate_scores_)[:2])

figure, axes = plt.subplots(1, 2, figsize=(8, 3.5), sharey=True, layout="constrained")
ts = np.linspace(0, 1, 21)
for ax, end, title in zip(
    axes, (second, other.weights_), ("the same start", "different starts"), strict=True
):
    line = [soup_ensemble_gap(logits, best, end, X_test, y_test, t=t) for t in ts]
    ax.plot(ts, [point["soup_loss"] for point in line], "tab:green", label="soup")
    ax.plot(
        ts, [point["ensemble_loss"] for point in line], "tab:blue", label="ensemble"
    )
    ax.set(title=f"two networks of {title}", xlabel="t, from one to the other")
axes[0].set(ylabel="loss on new digits")
axes[0].legend()

plt.show()
