"""
Recognise pairs that training never showed
==========================================

Each row shows an object with an attribute: a sliced apple, a wet dog. Training has some
of the pairs; the test has others too, of the same attributes and objects. What an
attribute looks like depends on the object it is on, so that two classifiers, one of
attributes and one of objects, miss much.
:class:`~minimalml.multioutput.CompositionalZeroShotClassifier` scores pairs as wholes.
"""

# %%
# Data
# ----
# The generator makes 10 attributes and 14 objects; 56 of the 140 pairs are in training,
# 42 others only in the test. Every label comes with a vector that describes it, as a word
# embedding would.

import matplotlib.pyplot as plt
import numpy as np

from minimalml.datasets import make_compositions
from minimalml.multioutput import (
    CompositionalZeroShotClassifier,
    CZSLCurveDisplay,
    IndependentPrimitives,
)

data = make_compositions(random_state=1)
X_train, y_train = data.X_train, data.y_train
X_test, y_test = data.X_test, data.y_test
print(f"{len(data.seen_pairs)} seen pairs, {len(data.unseen_pairs)} unseen pairs")

# %%
# Two models
# ----------
# The product of two logistic regressions is the baseline. The network also gets the
# descriptions of the labels; its size suits 64 features, the defaults are for the
# features of a large vision network.

independent = IndependentPrimitives(unseen_pairs=data.unseen_pairs)
independent.fit(X_train, y_train)

network = CompositionalZeroShotClassifier(
    hidden_sizes=(128,),
    embedding_dim=64,
    label_embeddings=(data.attribute_embeddings, data.object_embeddings),
    unseen_pairs=data.unseen_pairs,
    learning_rate=3e-3,
    max_epochs=20,
    random_state=0,
)
network.fit(X_train, y_train)

# %%
# The trade-off between seen and unseen pairs
# -------------------------------------------
# Training named the seen pairs and not the others, so their scores are higher. A bias
# that is added to the scores of unseen pairs moves answers from one group to the other.
# The curve shows all biases at once; the dot is the best harmonic mean of the two
# accuracies.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
CZSLCurveDisplay.from_estimator(
    independent, X_test, y_test, name="two classifiers", ax=axes[0], color="0.5"
)
display = CZSLCurveDisplay.from_estimator(
    network, X_test, y_test, name="network", ax=axes[0], color="tab:blue"
)
axes[0].legend(loc="lower left", frameon=False)
axes[0].set_title("all biases")

curve = display.curve
axes[1].plot(curve.biases, curve.seen_accuracy, label="seen pairs")
axes[1].plot(curve.biases, curve.unseen_accuracy, label="unseen pairs")
axes[1].axvline(
    curve.bias_at_best,
    color="0.6",
    linestyle=":",
    label=f"best harmonic mean ({curve.best_harmonic_mean:.2f})",
)
axes[1].set(xlabel="bias of unseen pairs", ylabel="accuracy", ylim=(0, None))
axes[1].set(xlim=(-1.6, 1.5), title="the network, one bias at a time")
axes[1].legend(loc="center left", frameon=False, fontsize="small")
plt.show()

# %%
# Without a bias most rows of unseen pairs go to a seen pair. ``bias="auto"`` would hold
# out pairs and find one on them; here the difference a bias makes is shown on the test
# rows.

is_unseen = ~(y_test[:, None] == data.seen_pairs).all(axis=2).any(axis=1)
for bias in (0.0, 0.3):
    network.seen_bias_ = bias
    right = (network.predict(X_test) == y_test).all(axis=1)
    print(
        f"bias {bias}: {right[~is_unseen].mean():.2f} of seen, "
        f"{right[is_unseen].mean():.2f} of unseen rows are right"
    )

# %%
# Which part of an unseen pair is wrong? Rarely both.

predicted = network.predict(X_test[is_unseen])
attribute_right, object_right = (predicted == y_test[is_unseen]).T
print(f"attribute right {attribute_right.mean():.2f}, object {object_right.mean():.2f}")
print(f"neither {np.mean(~attribute_right & ~object_right):.2f}")
