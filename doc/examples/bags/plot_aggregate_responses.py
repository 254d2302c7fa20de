"""
Between the mean of a bag and the mean on each row
==================================================

Of each bag only the mean response is known. Fit the means of bags (weight 0), repeat the
mean on each row (weight 1), or take what lies between: theory says what each costs, and
cross-validation over bags finds the best.
"""

# %%
# Left: the error on new rows as the weight grows, 600 rows of 100 features in bags of 4.
# The line is known before any data are; the dots are 20 simulated draws. Right: the error
# over the size of bags when each response is kept private (epsilon 2, responses within
# 10): large bags need less noise but leave fewer equations.
import matplotlib.pyplot as plt
import numpy as np

from minimalml.bags import AggregateRidge, aggregate_risk, optimal_bag_size
from minimalml.datasets import make_aggregate_regression

weights = np.linspace(0, 1.5, 200)
risks = aggregate_risk(6, 4, weights)
shown, errors = np.array([0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.25, 1.5]), []
for seed in range(20):
    X, y, bags, coef = make_aggregate_regression(600, 100, random_state=seed)
    statistics = AggregateRidge(interpolation=0).fit(X, y, bags).statistics_
    found = [statistics.solve(interpolation=weight)[0] for weight in shown]
    errors.append([((c - coef) ** 2).sum() for c in found])

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.plot(weights, risks, label="theory")
left.errorbar(shown, np.mean(errors, 0), np.std(errors, 0), fmt="o", label="simulated")
best = weights[risks.argmin()]
left.axvline(best, color="0.6", ls=":", label=f"best weight {best:.2f}")
left.set(xlabel="weight of the spread within bags", ylabel="squared error on new rows")
left.set_ylim(0, 2.5)
left.legend()

sizes = np.arange(1, 17)
private = {"epsilon": 2, "response_range": 10, "max_bag_size": 16}
for weight, name in (
    (0.03, "weight 0.03"),
    (1, "weight 1"),
    ("optimal", "best weight"),
):
    choice = optimal_bag_size(12, interpolation=weight, **private)
    (line,) = right.plot(sizes, choice.risks, label=f"{name}: {choice.bag_size} rows")
    right.plot(choice.bag_size, choice.risk, "o", color=line.get_color())
right.set(xlabel="rows a bag", ylabel="squared error on new rows", ylim=(0.5, 6))
right.legend(title="best size")

# %%
# Real rows: the diabetes data, of which 300 patients are put into random bags of growing
# size; R² is that on the 142 others. The two ends are scikit-learn's ``Ridge`` (without
# penalty) on means of bags, weighted by size, and on rows with repeated means.
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

from minimalml.bags import aggregate_by_bag, aggregate_targets
from minimalml.datasets import make_bags

X, labels = load_diabetes(return_X_y=True)
sizes, names = (
    (2, 4, 8, 12, 16, 20),
    ("means of bags", "repeated means", "AggregateRidge"),
)
scores = np.zeros((len(sizes), len(names), 10))
for split in range(10):
    rows = np.random.default_rng(split).permutation(len(X))
    train, test = rows[:300], rows[300:]
    for place, size in enumerate(sizes):
        bags = make_bags(300, size, random_state=split)
        y = aggregate_targets(labels[train], bags)
        _, means = aggregate_by_bag(X[train], bags)
        _, y_means = aggregate_by_bag(y, bags, how="first")
        models = [
            Ridge(0, solver="svd").fit(means, y_means, np.bincount(bags)),
            Ridge(0, solver="svd").fit(X[train], y),
            AggregateRidge(random_state=0).fit(X[train], y, bags),
        ]
        scores[place, :, split] = [
            model.score(X[test], labels[test]) for model in models
        ]

figure, ax = plt.subplots(layout="constrained")
for place, name in enumerate(names):
    mean, error = scores[:, place].mean(1), scores[:, place].std(1) / np.sqrt(10)
    ax.errorbar(sizes, mean, error, fmt="o-", label=name)
ax.set(xlabel="rows a bag", ylabel="R² on single rows of others", ylim=(-0.3, 0.6))
_ = ax.legend()
