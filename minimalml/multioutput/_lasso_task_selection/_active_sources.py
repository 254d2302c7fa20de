"""Where source samples come from: rows at hand, or a function that makes them.

Both have ``tasks`` (T,), ``available`` (T,) and ``draw(counts)``, which gives the rows,
their targets, and the number of the task of each.
"""

import numpy as np
from sklearn.utils import check_X_y
from sklearn.utils.parallel import Parallel, delayed

LARGEST_SEED = np.iinfo(np.int32).max


class PoolSource:
    """Rows at hand, bought without replacement in an order fixed at the start."""

    def __init__(self, X, y, tasks, names, rng):
        self.X, self.y, self.tasks = X, y, names
        order = np.argsort(tasks, kind="stable")
        starts = np.searchsorted(tasks[order], names)
        ends = np.searchsorted(tasks[order], names, side="right")
        self._queues = [
            rng.permutation(order[a:b]) for a, b in zip(starts, ends, strict=True)
        ]
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

    def __init__(self, sampler, task_ids, n_features, dtype, encode, rng, n_jobs):
        self.sampler, self.tasks = sampler, task_ids
        self.n_features, self.dtype, self.encode = n_features, dtype, encode
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
        X, y = check_X_y(X, y, dtype=self.dtype)
        if X.shape != (n_rows, self.n_features):
            raise ValueError(
                f"sampler must give {n_rows} rows of {self.n_features} features for "
                f"task {task}, got shape {X.shape}."
            )
        return X, self.encode(y)


class BudgetPlan:
    """Share the budget among rounds and, in each, among tasks.

    Money where there are prices, else samples. Exploration takes equal numbers; of
    the rest each round gets twice the one before.
    """

    def __init__(self, budget, fraction, n_rounds, prices, openings, is_money):
        self.prices, self.openings, self.is_money = prices, openings, is_money
        self.n_rounds, self.left = n_rounds, budget
        n_tasks = len(prices)
        # One round explores with everything, which is passive learning.
        first = budget if n_rounds == 1 else fraction * budget
        self.each = int(
            np.floor((first - self.openings.sum()) / self.prices.sum() * (1 + 1e-12))
        )
        if self.each < 1:
            least = (self.openings.sum() + self.prices.sum()) * budget / first
            raise ValueError(
                f"budget must be at least {np.ceil(least):g} to explore {n_tasks} "
                f"tasks with one sample each, got {budget}."
            )

    def check_floor(self, least):
        """Check that each later round can pay for its floor of every task."""
        if self.n_rounds == 1 or least == 0:
            return
        explored = self.each * self.prices.sum() + self.openings.sum()
        second = (self.left - explored) / (2 ** (self.n_rounds - 1) - 1)
        needed = least * self.prices.sum()
        if second < needed:
            raise ValueError(
                f"budget leaves {second:g} for the second round, less than the "
                f"{needed:g} that min_samples={least} of each task takes: raise budget "
                "or lower n_rounds, exploration_fraction or min_samples."
            )

    def for_round(self, number):
        """Budget of a later round, numbered from 1."""
        rounds_left = self.n_rounds - number
        share = 1 / (2**rounds_left - 1)
        return self.left * share if self.is_money else int(self.left * share)

    def worth_weighing(self, number, budget):
        """Budget that the choice for a round is made with.

        All of it where the round can't open a task anyway, or there is no such round.
        """
        money = self.for_round(number) if number < self.n_rounds else 0
        return money if money > self.openings.min() else budget

    def pay(self, counts):
        """Take the price of ``counts`` from the budget and return it."""
        cost = self.prices @ counts + self.openings[counts > 0].sum()
        self.left = self.left - (cost if self.is_money else int(cost))
        return float(cost)
