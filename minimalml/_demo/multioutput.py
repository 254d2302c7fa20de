"""Samples bought by the Lasso's relevance of tasks, beside other ways to buy."""

import warnings
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from minimalml._core.optional import import_pyplot
from minimalml._demo._measure import Demo
from minimalml.multioutput import ActiveMultiTaskRegressor, make_low_rank_tasks

CODE = """
from minimalml.multioutput import ActiveMultiTaskRegressor, make_low_rank_tasks
from sklearn.model_selection import GridSearchCV

X, y, tasks, truth = make_low_rank_tasks(20, 15, 3, n_samples=100, random_state=0)
model = ActiveMultiTaskRegressor(3, budget=500, random_state=0)
search = GridSearchCV(model, {"strategy": ["lasso", "l2", "uniform"]}, cv=3)
search.fit(X, y, tasks=tasks)
"""
OURS = "smallest L1 relevance (Lasso)"
STRATEGIES = {
    OURS: {"strategy": "lasso"},
    "smallest L2 relevance": {"strategy": "l2", "exponent": 2},
    "equal shares": {"strategy": "uniform"},
}
N_TASKS, N_FEATURES, RANK, NOISE, N_TARGET = 40, 30, 4, 0.5, 500


class Tasks:
    """One draw of tasks on a shared representation; samples are bought at will."""

    def __init__(self, seed):
        self.seed = seed
        *_, self.truth = make_low_rank_tasks(
            N_TASKS, N_FEATURES, RANK, 3, NOISE, random_state=seed, n_samples=1
        )

    def rows(self, head, n_rows, seed):
        """Draw rows of the task that has ``head``."""
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((n_rows, N_FEATURES))
        noise = NOISE * rng.standard_normal(n_rows)
        return X, X @ self.truth.basis @ head + noise

    def fit(self, budget, options):
        """Spend ``budget`` on the sources, and learn the target."""
        model = ActiveMultiTaskRegressor(
            RANK, budget=budget, center=False, max_iter=12, random_state=self.seed,
            **options,
        )  # fmt: skip
        target = self.rows(self.truth.target_head, N_TARGET, 10_000 + self.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit_sampler(
                lambda task, n_rows, seed: self.rows(
                    self.truth.heads[:, task], n_rows, seed
                ),
                np.arange(N_TASKS),
                *target,
            )


def excess_risk(options, budget, seed):
    """Return the target's squared error beyond the noise."""
    tasks = Tasks(seed)
    coefficients = tasks.fit(budget, options).coef_
    error = coefficients - tasks.truth.basis @ tasks.truth.target_head
    return 1000 * error @ error


def demo(quick=False):
    """Return the demo of this family."""
    budget = 4000
    return Demo(
        title="Buying samples of the right tasks",
        question=f"One task is wanted, {N_TASKS} related ones sell samples. Which way "
        f"to spend {budget} of them teaches the wanted task best?",
        data=f"Linear tasks in {N_FEATURES} features that share {RANK} directions, "
        f"drawn anew for each seed; {N_TARGET} rows of the wanted one. Error beyond "
        "the noise, in thousandths.",
        but="with a smaller budget exploring costs more than it brings, and on "
        "corrupted digits ridge on the target alone wins: python -m minimalml claims "
        "lasso_task_selection.",
        contenders={
            name: partial(excess_risk, options, budget)
            for name, options in STRATEGIES.items()
        },
        ours=OURS,
        metric="excess risk",
        n_seeds=2 if quick else 12,
        code=CODE,
        figure=partial(budgets_figure, quick),
        lower_is_better=True,
    )


def budgets_figure(quick):
    """Draw the excess risk over the budget, medians over further seeds."""
    figure, ax = import_pyplot("The demo").subplots(figsize=(7.2, 3.4))
    budgets, seeds = [2000, 4000, 8000], range(100, 101 if quick else 105)
    for (name, options), color in zip(
        STRATEGIES.items(), ("#2f5d8a", "#9aa3ad", "#c9ced4"), strict=True
    ):
        risks = [[excess_risk(options, n, seed) for seed in seeds] for n in budgets]
        ax.plot(budgets, np.median(risks, axis=1), "o-", color=color, label=name)
    ax.set_xticks(budgets)
    ax.set(xlabel="samples bought", ylabel="excess risk, thousandths")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    ax.grid(alpha=0.25)
    return "Excess risk over the budget, medians over five more seeds.", figure
