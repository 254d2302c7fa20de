"""
How many numbers does a task need?
==================================

Networks of three widths on digits, each trained in random subspaces of its weights.
"""

# %%
# Score against dimension
# -----------------------
# The dimension at which 90 % of the whole network's score is reached hardly depends on the
# width, though the widest has 16 times as many weights as the narrowest.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from minimalml.training_dynamics import SubspaceClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, train_size=400, stratify=y, random_state=0
)


def fit(dimension, width):
    model = SubspaceClassifier(
        dimension, hidden_layer_sizes=(width, width), max_epochs=20, batch_size=100,
        random_state=0,
    )  # fmt: skip
    if dimension is None:
        model.set_params(learning_rate=0.01)
    return model.fit(X_train, y_train)


dimensions = [50, 100, 150, 200, 300]
figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
for width, color in ((32, "C0"), (80, "C1"), (200, "C2")):
    whole = fit(None, width)
    target = 0.9 * whole.score(X_test, y_test)
    scores = [fit(d, width).score(X_test, y_test) for d in dimensions]
    label = f"width {width}: {whole.n_full_parameters_:,} weights"
    ax.plot(dimensions, scores, "o-", color=color, label=label)
    ax.axhline(target, color=color, linestyle=":", linewidth=0.9)
    d90 = np.interp(target, scores, dimensions)
    ax.plot(d90, target, "*", color=color, markersize=16)
ax.set(xscale="log", xlabel="dimension of the subspace", ylabel="test accuracy",
       title="dotted: 90 % of the whole network; star: d90")  # fmt: skip
ax.set_xticks(dimensions, dimensions)
ax.minorticks_off()
ax.legend()

# %%
# What is to be stored of the last network are some hundred numbers, which may be rounded, and
# a seed.

model = fit(300, 200)
rounded = model.quantize(bits=6)
print(f"{model.n_full_parameters_} weights: accuracy {model.score(X_test, y_test):.3f}")
print(f"{len(rounded.codes_)} codes of 6 bits: {rounded.score(X_test, y_test):.3f}")

plt.show()
