"""
How far can a classifier of digits be steered?
==============================================

One wrong label is easy to cause: some small change of an image makes a 3 a 5. Ordered
top-k attacks ask for more: the first k classes must be a given list, in that order, and
the true class not among them. How often that succeeds as k grows, and at what size of
change, says how freely the scores of a model can be arranged. This is a test to run on
your own models, before somebody else does.
"""

# %%
# A network, and images that it gets right
# ----------------------------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate, train_test_split
from sklearn.neural_network import MLPClassifier

from minimalml.inspection import OrderedAttackDisplay, QuadAttack

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
network = MLPClassifier((64,), alpha=1e-3, max_iter=60, random_state=0)
network.fit(X_train, y_train)
is_right = network.predict(X_test) == y_test
X_test, y_test = X_test[is_right][:80], y_test[is_right][:80]

# %%
# Three losses under one budget
# -----------------------------
# Sixty steps each, all asking for a lead of 0.2. The quadratic loss aims at the nearest
# features whose scores are in order; the other two are what one would use otherwise.

attack = QuadAttack(network, targets="random", learning_rate=0.02, random_state=0)
attack.fit(X_test)
display = OrderedAttackDisplay.from_estimator(
    attack, X_test, y_test, k_values=(1, 3, 5, 7, 9)
)
plt.show()

# %%
# Lengths are only comparable where all three succeed:

for name, reports in display.reports_.items():
    print(f"{name:13}", " ".join(f"{report.l2_common:5.2f}" for report in reports))

# %%
# What it looks like
# ------------------
# Above the images, below them with the change that puts three classes in order, which
# stand beneath. On 64 pixels the change is plain to see, but nobody would read the
# first class of the list in it.

attack.set_params(k=3)
result = attack.fit(X_test).attack(X_test[:8], y_test[:8])
figure, axes = plt.subplots(2, 8, figsize=(9, 2.9), layout="constrained")
for column, image in enumerate(X_test[:8]):
    order = np.argsort(-result.logits[column])[:3]
    attacked = result.X_adversarial[column]
    for ax, pixels in zip(axes[:, column], (image, attacked), strict=True):
        ax.imshow(pixels.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    axes[0, column].set_title(f"a {y_test[column]}", fontsize=10)
    verdict = " > ".join(map(str, order)) if result.success[column] else "resisted"
    axes[1, column].set_xlabel(verdict, fontsize=8)
plt.show()

# %%
# Robustness beside accuracy
# --------------------------
# ``score`` is the share of correctly classified rows that resist, so robustness can be
# tabulated, or searched, like any score. On linear models the attack is exact: no change
# shorter than ``distance_bound`` succeeds, whoever looks for it. Here stronger
# regularisation buys a little robustness, and pays for it in accuracy.

for C in (0.01, 1.0, 100.0):
    model = LogisticRegression(C=C, max_iter=300)
    accuracy = cross_validate(model, X_train, y_train, cv=3)["test_score"].mean()
    exact = QuadAttack(model, k=3, targets="random", margin=0.0, random_state=0)
    exact.fit(X_train, y_train)
    change = exact.attack(X_test, y_test).distance_bound
    print(f"C={C:<6} accuracy {accuracy:.2f}, median change {np.median(change):.2f}")
