"""
Why does the test loss fall so late?
====================================

The paper's model on its task, a quadratic function of one direction, for three output scales;
and the same question of a network of one's own.
"""

# %%
# Lazy first, rich later
# ----------------------
# Shaded: the training loss is low, the test loss is not yet. The lazier the network, the longer
# its test loss stays at what the initial features can do (dotted), and it falls as the features
# turn to the target (dashed).

import matplotlib.pyplot as plt
import numpy as np

from minimalml.training_dynamics import detect_grokking, simulate_lazy_rich

n_features = 25
rng = np.random.default_rng(0)
X = rng.normal(size=(120, n_features)) / np.sqrt(n_features)
beta = rng.normal(size=n_features)
beta *= np.sqrt(n_features) / np.linalg.norm(beta)
y = (X @ beta) ** 2 / 2

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True, layout="constrained")
for ax, alpha in zip(axes, [0.25, 1, 4], strict=True):
    run = simulate_lazy_rich(
        X, y, alpha=alpha, eta0=2, n_hidden=100, beta=beta, random_state=0
    )
    found = detect_grokking(run.step, run.train_loss, run.test_loss, scale=0.75)
    ax.loglog(run.step + 1, run.train_loss, label="training loss")
    ax.loglog(run.step + 1, run.test_loss, label="test loss")
    ax.loglog(run.step + 1, run.alignment, "--", color="0.5", label="alignment")
    ax.axhline(
        run.kernel_test_loss, color="C1", linestyle=":", label="initial features"
    )
    ax.axvspan(found["t_train"] + 1, found["t_test"] + 1, color="0.92")
    ratio = found["t_test"] / found["t_train"]
    ax.set(title=f"alpha = {alpha}: {ratio:.0f} times as late", xlabel="steps + 1",
           ylim=(1e-3, 3))  # fmt: skip
axes[2].legend(loc="lower left")

# %%
# A network of one's own
# ----------------------
# Larger output scales leave the tangent kernel where it was. Whether that hurts depends on
# whether the target needs other features than the initial ones: here it does.

from minimalml.training_dynamics import LazyRichRegressor

X = rng.normal(size=(400, 10))
y = X[:, 0] * X[:, 1] + X[:, 2] ** 2
alphas, runs = [0.3, 1.5, 10], []
for alpha in alphas:
    model = LazyRichRegressor(
        alpha, hidden_layer_sizes=(50,), max_epochs=300, learning_rate=0.05,
        kernel_rows=16, random_state=0,
    )  # fmt: skip
    runs.append(model.fit(X[:200], y[:200], X[200:], y[200:]).history_)

figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for ax, name in zip(axes, ["kernel_drift", "test_loss"], strict=True):
    for alpha, run in zip(alphas, runs, strict=True):
        ax.plot(run["epoch"][1:], run[name][1:], label=f"{alpha:g}")
    ax.set(xscale="log", xlabel="epochs", title=name.replace("_", " "))
axes[0].set(yscale="log")
axes[0].legend(title="alpha")

plt.show()
