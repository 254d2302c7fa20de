"""
Remove nine tenths of a network's weights
=========================================

Which weights of a trained network can go? Ranking those of all layers together by
magnitude answers it without further computation, and finds by itself how sparse each
layer may be.
"""

# %%
# One ranking against one a layer
# -------------------------------
# A network on handwritten digits is trained once. Then it is pruned to several
# sparsities: over all layers together, layer by layer, and at random. After each the
# weights that are left are trained for five epochs.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ValidationCurveDisplay, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.compression import GlobalMagnitudePruner, sparsity_report

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.4, random_state=0
)
network = MLPClassifier((128, 64), max_iter=100, tol=1e-3, random_state=0)
network.fit(X_train, y_train)

sparsities = [0.5, 0.8, 0.9, 0.95, 0.98]
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for scope in ("global", "layer", "random"):
    scores = []
    for sparsity in sparsities:
        pruner = GlobalMagnitudePruner(
            FrozenEstimator(network),
            sparsity=sparsity,
            scope=scope,
            fine_tune_epochs=5,
            random_state=0,
        )
        scores.append(pruner.fit(X_train, y_train).score(X_test, y_test))
    ax.plot([100 * s for s in sparsities], scores, marker="o", label=scope)
ax.axhline(network.score(X_test, y_test), color="0.5", linestyle=":", label="dense")
ax.set(xlabel="Weights pruned (%)", ylabel="Test accuracy")
ax.legend(title="Weights ranked")
plt.show()

# %%
# What became of the layers
# -------------------------
# The ranking prunes the large first layer hardest and spares the small last one.

pruner = GlobalMagnitudePruner(FrozenEstimator(network), sparsity=0.9)
pruner.fit(X_train, y_train)
for name, sparsity in pruner.layer_sparsity_.items():
    print(f"{name}: {sparsity:.1%} pruned")
report = sparsity_report(pruner)
print(f"{report.dense_bytes} bytes dense, {report.csr_bytes} as CSR")

# %%
# How far can one go?
# -------------------
# The sparsity is a parameter as any other, for a search as for a validation curve. Here
# a logistic regression is pruned and fitted again on what is left.

model = make_pipeline(
    StandardScaler(),
    GlobalMagnitudePruner(LogisticRegression(max_iter=200), fine_tune="refit_support"),
)
figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
ValidationCurveDisplay.from_estimator(
    model,
    X_train,
    y_train,
    param_name="globalmagnitudepruner__sparsity",
    param_range=[0.0, 0.5, 0.7, 0.8, 0.9],
    cv=3,
    score_type="test",
    score_name="Accuracy, 3 folds",
    ax=ax,
)
ax.set_xlabel("Share of the weights pruned")
plt.show()
