"""
Where do losses end?
====================

Networks of growing width, and ensembles of them, on 150 noisy digits; with standard and with
strong weight decay. Laws fitted to the losses say what still more compute would reach.
"""

# %%
# Losses, laws, and their limits
# ------------------------------
# With standard weight decay larger networks are no better. With strong decay the loss falls
# with the width along a power law, whose limit is the dashed line, with its 95 % interval
# shaded; and the limit of ensembles without end, of each width, falls along another.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from minimalml.ensemble import EnsembleScalingAnalysis, RegularizedEnsembleClassifier

warnings.simplefilter("ignore", UserWarning)  # laws that do not fall say so
rng = np.random.default_rng(0)
X, y = load_digits(return_X_y=True)
order = rng.permutation(len(X))
X, y = X[order] / 16 + rng.normal(0, 0.3, X.shape), y[order]


def analyse(weight_decay):
    recipe = RegularizedEnsembleClassifier(
        weight_decay=weight_decay, max_epochs=40, learning_rate=0.01, batch_size=50
    )
    return EnsembleScalingAnalysis(
        recipe, sizes=[(16,), (32,), (64,), (128,), (256,)],
        n_members=4, random_state=0,
    ).fit(X[:150], y[:150], X[600:], y[600:])  # fmt: skip


standard, strong = analyse(0.1), analyse(1.6)
alone = strong.results_["members"] == 1
width = strong.results_["n_parameters"][alone]
limits = [law.asymptote_ for law in strong.member_laws_]
dense = np.geomspace(width[0], 30 * width[-1], 200)

figure, (ax, of_members) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
ax.plot(width, standard.results_["loss"][alone], "x:", color="0.5",
        label="one network, standard decay")  # fmt: skip
for law, losses, color, label in [
    (
        strong.single_law_,
        strong.results_["loss"][alone],
        "C0",
        "one network, strong decay",
    ),
    (strong.joint_law_, limits, "C1", "limit of ensembles"),
]:
    ax.plot(width, losses, "o", color=color, label=label)
    ax.plot(dense, law.predict(dense[:, None]), color=color)
    ax.axhline(law.asymptote_, color=color, linestyle="--", linewidth=0.8)
    ax.axhspan(*law.interval_, color=color, alpha=0.12)
ax.set(xscale="log", xlabel="parameters of a network", ylabel="validation log loss")
ax.legend(fontsize=8)

# %%
# Over the number of members the loss falls about as 1 / K; small networks gain most.

members = np.arange(1, 5)
for number, law in enumerate(strong.member_laws_):
    losses = strong.results_["loss"][4 * number : 4 * number + 4]
    of_members.plot(members, losses, "o", color=f"C{number}", label=f"{width[number]}")
    dense_members = np.linspace(1, 12, 100)
    of_members.plot(
        dense_members, law.predict(dense_members[:, None]), color=f"C{number}"
    )
    of_members.axhline(
        law.asymptote_, color=f"C{number}", linestyle="--", linewidth=0.8
    )
of_members.set(xlabel="members", title="strong decay")
of_members.legend(title="parameters", fontsize=8, loc="center right")

plt.show()
