"""Speed of the multi-task family, with growth."""

import numpy as np

from minimalml.multitask import (
    ActiveMultiTaskClassifier,
    ActiveMultiTaskRegressor,
    LassoTaskSelector,
    SharedRepresentationRegressor,
    allocate_samples,
    fit_shared_representation,
    make_low_rank_tasks,
    relevance_l1,
    relevance_lasso,
    task_statistics,
)


class Relevance:
    """Sources for 20 targets with heads of 50 rows."""

    params = [[500, 5000, 20000]]
    param_names = ["n_tasks"]

    def setup(self, n_tasks):
        rng = np.random.default_rng(0)
        self.W = rng.standard_normal((50, n_tasks))
        self.targets = rng.standard_normal((50, 20))
        self.nu = rng.standard_normal(n_tasks)

    def time_lasso(self, n_tasks):
        relevance_lasso(self.W, self.targets)

    def time_selector(self, n_tasks):
        LassoTaskSelector().fit(self.W, self.targets[:, 0])

    def time_linear_program(self, n_tasks):
        relevance_l1(self.W, self.targets[:, 0])

    def time_allocate(self, n_tasks):
        allocate_samples(self.nu, 100 * n_tasks, min_samples=5, max_samples=1000)


class Shared:
    """Moments and representation of 200 tasks with 100 features."""

    params = [[20_000, 100_000, 400_000]]
    param_names = ["n_rows"]

    def setup(self, n_rows):
        self.data = make_low_rank_tasks(
            199, 100, 10, random_state=0, n_samples=n_rows // 200
        )[:3]
        self.statistics = task_statistics(*self.data)

    def time_statistics(self, n_rows):
        task_statistics(*self.data)

    def time_fit(self, n_rows):
        X, y, tasks = self.data
        SharedRepresentationRegressor(10).fit(X, y, tasks=tasks)

    def time_fit_from_statistics(self, n_rows):
        fit_shared_representation(self.statistics, 10)

    def peakmem_fit_from_statistics(self, n_rows):
        fit_shared_representation(self.statistics, 10)


class Active:
    """The whole loop."""

    params = [[20, 80]]
    param_names = ["n_tasks"]

    def setup(self, n_tasks):
        *self.data, _ = make_low_rank_tasks(n_tasks, random_state=0, n_samples=500)

    def time_fit(self, n_tasks):
        model = ActiveMultiTaskRegressor(4, budget=100 * n_tasks, random_state=0)
        model.fit(*self.data)

    def time_fit_classifier(self, n_tasks):
        X, y, tasks = self.data
        model = ActiveMultiTaskClassifier(4, budget=100 * n_tasks, random_state=0)
        model.fit(X, y > 0.0, tasks)
