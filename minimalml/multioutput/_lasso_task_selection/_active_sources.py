"""Where source samples come from, and how many of which a round buys.

A source has ``tasks`` (T,), ``available`` (T,) and ``draw(counts)``, which gives rows,
their targets, and the number of the task of each.
"""

import warnings

import numpy as np
from sklearn.utils import check_X_y
from sklearn.utils.parallel import Parallel, delayed

from minimalml.multioutput._lasso_task_selection._allocation import allocate_samples
from minimalml.multioutput._lasso_task_selection._task_selector import (
    check_prices,
    check_sparse,
)

LARGEST_SEED = np.iinfo(np.int32).max


class PoolSource:
    """Rows at hand, bought without replacement in an order fixed at the start."""

    def __init__(self, X, y, tasks, names, rng):
        self.X, self.y, self.tasks = X, y, names
        order = np.argsort(tasks, kind="stable")
        starts = np.searchsorted(tasks[order], names)
        ends = np.searchsorted(tasks[order], names, side="right")
        rows = [order[a:b] for a, b in zip(starts, ends, strict=True)]
        self._queues = list(map(rng.permutation, rows))
        self.available = (ends - starts).astype(float)
        self._taken = np.zeros(len(names), dtype=np.intp)
        self.bought = np.empty(0, dtype=np.intp)

    def draw(self, counts):
        """Buy ``counts`` rows."""
        ends = self._taken + counts
        parts = zip(self._queues, self._taken, ends, strict=True)
        rows = np.concatenate([queue[start:end] for queue, start, end in parts])
        self._taken = ends
        self.available = self.available - counts
        self.bought = np.concatenate([self.bought, rows])
        return self.X[rows], self.y[rows], np.repeat(np.arange(len(counts)), counts)


class SamplerSource:
    """A user's ``sampler(task_id, n, random_state) -> (X, y)``, called once a task."""

    def __init__(self, sampler, task_ids, X_target, encode, rng, n_jobs):
        self.sampler, self.tasks, self.encode = sampler, task_ids, encode
        self._n_features, self._dtype = X_target.shape[1], X_target.dtype
        self._rng, self._n_jobs = rng, n_jobs
        self.available = np.full(len(task_ids), np.inf)
        self.bought = None

    def draw(self, counts):
        """Ask for ``counts`` rows, with a seed for each task."""
        seeds = self._rng.randint(LARGEST_SEED, size=len(counts))
        wanted = np.flatnonzero(counts)
        blocks = Parallel(n_jobs=self._n_jobs, prefer="threads")(
            delayed(self._ask)(self.tasks[t], int(counts[t]), int(seeds[t]))
            for t in wanted
        )
        X, y = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        return X, y, np.repeat(wanted, counts[wanted])

    def _ask(self, task, n_rows, seed):
        X, y = self.sampler(task, n_rows, seed)
        X, y = check_X_y(X, y, dtype=self._dtype)
        if X.shape != (n_rows, self._n_features):
            raise ValueError(
                f"sampler must give {n_rows} rows of {self._n_features} features for "
                f"task {task}, got shape {X.shape}."
            )
        return X, self.encode(y)


class BudgetPlan:
    """The budget of an active estimator: money where there are prices, else samples."""

    def __init__(self, estimator, n_tasks, n_outputs):
        check_sparse(estimator.strategy, estimator.max_tasks, estimator.task_cost)
        has_opening = estimator.task_cost is not None
        self._is_bounded = estimator.max_tasks is not None or has_opening
        if self._is_bounded and n_outputs > 1:
            raise ValueError(
                f"max_tasks and task_cost need two classes, got {n_outputs}: fit one "
                "class against the others."
            )
        self._is_money = estimator.sample_cost is not None or has_opening
        self.prices, self.openings = check_prices(
            estimator.sample_cost, estimator.task_cost, n_tasks
        )
        self.left = estimator.budget if self._is_money else int(estimator.budget)
        if self.left != estimator.budget:
            raise ValueError(
                "budget must be a whole number of samples unless sample_cost or "
                f"task_cost is set, got {estimator.budget}."
            )
        self.n_rounds = estimator.n_rounds
        self._floor = estimator.min_samples
        if self._floor is None:
            self._floor = 0 if estimator.reuse_data else estimator.n_components + 1
        self._each = self._explored_rows(estimator.exploration_fraction)
        if not self._is_bounded and self.n_rounds > 1 and self._floor:
            self._check_floor()

    def _explored_rows(self, fraction):
        # One round explores with everything, which is passive learning.
        first = self.left if self.n_rounds == 1 else fraction * self.left
        prices, openings = self.prices.sum(), self.openings.sum()
        each = int((first - openings) / prices * (1 + 1e-12))
        if each < 1:
            least = (openings + prices) * self.left / first
            raise ValueError(
                f"budget must be at least {np.ceil(least):g} to explore "
                f"{len(self.prices)} tasks with one sample each, got {self.left}."
            )
        return each

    def _check_floor(self):
        """Check that each later round can pay for its floor of every task."""
        explored = self._each * self.prices.sum() + self.openings.sum()
        second = (self.left - explored) / (2 ** (self.n_rounds - 1) - 1)
        needed = self._floor * self.prices.sum()
        if second < needed:
            raise ValueError(
                f"budget leaves {second:g} for the second round, less than the "
                f"{needed:g} that min_samples={self._floor} of each task takes: raise "
                "budget or lower n_rounds, exploration_fraction or min_samples."
            )

    def explore(self, pool):
        """Share the first round equally."""
        if not self._is_money and self.left > pool.sum():
            warnings.warn(
                f"budget={self.left} exceeds the {pool.sum():g} rows of the sources: "
                "all of them are bought.",
                stacklevel=6,
            )
        total = int(min(self._each * len(pool), pool.sum()))
        return allocate_samples(np.ones(len(pool)), total, max_samples=pool)

    def share(self, number, nu, exponent, pool):
        """Share a later round by relevance."""
        is_open = (nu != 0) | (not self._is_bounded or not nu.any())
        floors = np.where(is_open, np.minimum(self._floor, pool), 0)
        caps, total, prices = np.where(is_open, pool, 0), self._for_round(number), None
        if self._is_money:
            total, prices = (
                total - self.openings[is_open & (nu != 0)].sum(),
                self.prices,
            )
        else:
            total = int(min(total, caps.sum()))
        if total <= 0:
            return np.zeros(len(pool), dtype=np.int64)
        return allocate_samples(nu, total, floors, exponent, caps, prices)

    def _for_round(self, number):
        """Budget of a later round, from 1 on: each has twice the one before."""
        left = self.left / (2 ** (self.n_rounds - number) - 1)
        return left if self._is_money else int(left)

    def worth_weighing(self, number, budget):
        """Budget that a round's choice is made with; all where it can't open a task."""
        money = self._for_round(number) if number < self.n_rounds else 0
        return money if money > self.openings.min() else budget

    def pay(self, counts):
        """Take the price of ``counts`` from the budget and return it."""
        cost = self.prices @ counts + self.openings[counts > 0].sum()
        self.left = self.left - (cost if self._is_money else int(cost))
        return float(cost)
