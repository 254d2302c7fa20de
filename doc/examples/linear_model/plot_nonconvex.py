"""
The bias of the Lasso, and two penalties without it
===================================================

The Lasso makes zeros by pulling every coefficient towards zero, also those that it keeps.
SCAD and MCP pull the small ones alone.
"""

# %%
# What a penalty does to one coefficient
# --------------------------------------
# With one standardised column, the fit is a function of the least-squares coefficient. The
# Lasso's runs beside the diagonal for ever. SCAD and MCP return to it, at 3.7 and 3 times
# ``alpha``.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV

from minimalml.linear_model import NonconvexRegressor

COLORS = {"l1": "tab:gray", "scad": "tab:blue", "mcp": "tab:orange"}
NAMES = {"l1": "Lasso", "scad": "SCAD", "mcp": "MCP"}

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
column = np.array([[-1.0], [1.0]])
least_squares = np.linspace(-5, 5, 101)
for penalty, color in COLORS.items():
    model = NonconvexRegressor(penalty, alpha=1.0)
    fitted = [model.fit(column, z * column[:, 0]).coef_[0] for z in least_squares]
    left.plot(least_squares, fitted, color=color, label=NAMES[penalty])
left.axline((0, 0), slope=1, color="0.8", linestyle=":", zorder=0)
left.set(xlabel="least-squares coefficient", ylabel="fitted coefficient, alpha = 1")
left.legend()

# %%
# Eight true columns of two hundred
# ---------------------------------
# Tables of 100 rows with more columns than rows. At the same ``alpha``, true coefficients
# come out too small by about ``alpha`` with the Lasso; with SCAD they are right from 3.7
# ``alpha`` on.

rng = np.random.default_rng(0)
truth = np.zeros(200)
truth[:80:10] = [-4, -3, -2, -1, 1, 2, 3, 4]


def draw_table():
    X = rng.normal(size=(100, 200))
    return X, X @ truth + rng.normal(size=100)


tables = [draw_table() for _ in range(20)]
for penalty, shift in (("l1", -0.08), ("scad", 0.08)):
    model = NonconvexRegressor(penalty, alpha=0.5)
    coefs = np.array([model.fit(X, y).coef_[:80:10] for X, y in tables])
    right.errorbar(truth[:80:10] + shift, coefs.mean(axis=0), coefs.std(axis=0), fmt="o",
                   color=COLORS[penalty], label=NAMES[penalty], markersize=4)  # fmt: skip
right.axline((0, 0), slope=1, color="0.8", linestyle=":", zorder=0)
right.set(xlabel="true coefficient", ylabel="fitted coefficient, alpha = 0.5")
right.legend(title="mean and deviation of 20 tables")

# %%
# When a search chooses the penalty
# ---------------------------------
# To spare the true columns, a search gives the Lasso a weak penalty, which lets many false
# columns in. Without the bias it can be strong.

grid = {"alpha": np.geomspace(0.02, 1, 10)}
X, y = tables[0]
for penalty, name in NAMES.items():
    best = (
        GridSearchCV(NonconvexRegressor(penalty), grid, cv=5).fit(X, y).best_estimator_
    )
    is_true = truth[best.coef_ != 0] != 0
    print(f"{name:6}alpha {best.alpha:.2f}: {is_true.sum()} true columns and "
          f"{(~is_true).sum():2} false, error {np.linalg.norm(best.coef_ - truth):.2f}")  # fmt: skip

plt.show()
