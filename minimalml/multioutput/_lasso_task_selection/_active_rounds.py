"""Spend a budget of source samples where it helps one target task most.

Rounds of: buy samples, fit a representation to all tasks, write the target's head with
few source heads (Lasso), buy in proportion. See Wang, Chen, Jamieson and Du (2023),
arXiv 2306.02556, and for the rounds Chen, Jamieson and Du (2022), arXiv 2202.00911.
"""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length, check_random_state

from minimalml._core.arrays import import_torch
from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.validation import (
    HasMethods,
    Interval,
    StrOptions,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.multioutput._lasso_task_selection._active_learners import (
    LinearLearner,
    fit_target_head,
    task_relevance,
)
from minimalml.multioutput._lasso_task_selection._active_sources import (
    BudgetPlan,
    PoolSource,
    SamplerSource,
)
from minimalml.multioutput._lasso_task_selection._allocation import allocate_samples
from minimalml.multioutput._lasso_task_selection._network_representation import (
    NetworkRepresentation,
)
from minimalml.multioutput._lasso_task_selection._relevance import check_weights
from minimalml.multioutput._lasso_task_selection._shared_representation import (
    check_rank,
)
from minimalml.multioutput._lasso_task_selection._task_choice import check_task_cost
from minimalml.multioutput._lasso_task_selection._task_selector import check_sparse
from minimalml.multioutput._lasso_task_selection._task_statistics import (
    check_squares,
    check_tasks,
)

FLOATS = [np.float64, np.float32]


class ActiveMultiTask(CallbackSupportMixin, BaseEstimator):
    """The rounds, common to regression and classification."""

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "budget": [Interval(Real, 0, None, closed="neither")],
        "strategy": [StrOptions({"lasso", "l2", "uniform"})],
        "exponent": [Interval(Real, 0, None, closed="neither")],
        "lambda_": [
            Interval(Real, 0, None, closed="left"),
            StrOptions({"lp", "discrepancy"}),
        ],
        "exploration_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "reuse_data": ["boolean"],
        "min_samples": [Interval(Integral, 0, None, closed="left"), None],
        "sample_cost": ["array-like", None],
        "task_cost": ["array-like", Interval(Real, 0, None, closed="left"), None],
        "max_tasks": [Interval(Integral, 1, None, closed="left"), None],
        "center": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "representation": [
            HasMethods(["forward", "parameters"]),
            NetworkRepresentation,
            None,
        ],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_components=5,
        *,
        budget=1000,
        strategy="lasso",
        exponent=1,
        lambda_=0.05,
        exploration_fraction=0.25,
        n_rounds=2,
        reuse_data=True,
        min_samples=None,
        sample_cost=None,
        task_cost=None,
        max_tasks=None,
        center=True,
        max_iter=100,
        tol=1e-4,
        representation=None,
        random_state=None,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.budget = budget
        self.strategy = strategy
        self.exponent = exponent
        self.lambda_ = lambda_
        self.exploration_fraction = exploration_fraction
        self.n_rounds = n_rounds
        self.reuse_data = reuse_data
        self.min_samples = min_samples
        self.sample_cost = sample_cost
        self.task_cost = task_cost
        self.max_tasks = max_tasks
        self.center = center
        self.max_iter = max_iter
        self.tol = tol
        self.representation = representation
        self.random_state = random_state
        self.n_jobs = n_jobs

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, tasks=None, target_task=None):
        """Buy source rows out of ``X`` and fit the target's predictor.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of the target, all of which are used, and of the sources, of which
            ``budget`` are bought.

        y : array-like of shape (n_samples,)
            Targets.

        tasks : array-like of shape (n_samples,), default=None
            Task of each row; None means that there is only the target.

        target_task : int or str, default=None
            Task to predict; None takes the last in sorted order.

        Returns
        -------
        self
            The fitted estimator.
        """
        X, y = self._check_rows(X, y)
        rng = check_random_state(self.random_state)
        if tasks is None:
            tasks = np.zeros(len(X), dtype=np.intp)
        tasks = check_tasks(tasks)
        check_consistent_length(X, tasks)
        names = np.unique(tasks)
        target_task = names[-1] if target_task is None else target_task
        if target_task not in names.tolist():
            raise ValueError(
                f"target_task must be one of tasks, got {target_task!r}; tasks has "
                f"{len(names)} ids from {names[0]} to {names[-1]}."
            )
        is_target = tasks == target_task
        source = PoolSource(X, y, tasks, names[names != target_task], rng)
        return self._fit_rounds(source, X[is_target], y[is_target], rng)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit_sampler(self, sampler, task_ids, X_target, y_target):
        """Ask ``sampler`` for source samples and fit the target's predictor.

        Parameters
        ----------
        sampler : callable
            ``sampler(task_id, n, random_state) -> (X, y)`` makes or buys ``n`` samples
            of a source; ``random_state`` is a fresh integer each time.

        task_ids : array-like of shape (n_tasks,)
            Identifiers of the sources.

        X_target : array-like of shape (n_samples, n_features)
            Rows of the target.

        y_target : array-like of shape (n_samples,)
            Targets of the target.

        Returns
        -------
        self
            The fitted estimator.
        """
        if not callable(sampler):
            raise TypeError(f"sampler must be callable, got {sampler!r}.")
        X, y = self._check_rows(X_target, y_target)
        task_ids = check_tasks(task_ids, "task_ids")
        if len(task_ids) == 0 or len(np.unique(task_ids)) < len(task_ids):
            raise ValueError("task_ids must hold at least one id, each only once.")
        rng = check_random_state(self.random_state)
        source = SamplerSource(
            sampler, task_ids, X.shape[1], X.dtype, self._encode, rng, self.n_jobs
        )
        return self._fit_rounds(source, X, y, rng)

    def _check_rows(self, X, y):
        X, y = validate_data(self, X, y, dtype=FLOATS, y_numeric=True)
        return X, y.astype(X.dtype, copy=False)

    def _encode(self, y):
        """Turn what a sampler gave into targets."""
        return y.astype(np.float64)

    def __sklearn_is_fitted__(self):
        # The parameter lambda_ ends as fitted attributes do.
        return hasattr(self, "representation_")

    def _fit_rounds(self, source, X, y, rng):
        """Buy and learn, round by round; ``X`` and ``y`` are the target's."""
        check_squares(X, y)
        n_tasks, n_outputs = len(source.tasks), y.reshape(len(y), -1).shape[1]
        n_rounds = self.n_rounds if n_tasks else 1
        self._check_bounds(n_outputs)
        self.tasks_, self.history_ = source.tasks, []
        learner = self._make_learner(n_tasks, n_outputs, rng)
        plan = self._plan(n_tasks) if n_tasks else None
        with fit_task(self, X, y, n_rounds) as task:
            for number in range(n_rounds):
                with task.step("round"):
                    counts, spent = self._buy(number, plan, source)
                    if not n_tasks:  # the target itself teaches the representation
                        learner.update(X, y, np.zeros(len(X), np.intp), is_last=True)
                    elif counts.any():
                        is_last = number == n_rounds - 1
                        learner.update(*source.draw(counts), is_last=is_last)
                    self._finish_round(learner, plan, X, y, counts, spent)
                if task.is_stopped:
                    break
        self.allocation_ = np.array([entry["allocation"] for entry in self.history_])
        self.n_samples_spent_ = int(self.allocation_.sum())
        self.cost_ = sum(entry["cost"] for entry in self.history_)
        if source.bought is not None:
            self.sample_indices_ = source.bought
        return self

    def _make_learner(self, n_tasks, n_outputs, rng):
        """Make what the parameters ask for."""
        sizes = self.n_components, max(n_tasks, 1), self.reuse_data
        if self.representation is not None:
            import_torch(type(self).__name__)
            from minimalml.multioutput._lasso_task_selection._shared_network_torch import (
                NetworkLearner,
            )

            settings = self.representation
            if not isinstance(settings, NetworkRepresentation):
                settings = NetworkRepresentation(settings)
            settings._validate_params()
            return NetworkLearner(
                *sizes, center=self.center, rng=rng, settings=settings
            )
        if not n_tasks:  # the target alone is least squares
            sizes = min(n_outputs, self.n_features_in_), *sizes[1:]
        check_rank(sizes[0], self.n_features_in_)
        return LinearLearner(
            *sizes,
            center=self.center,
            max_iter=self.max_iter,
            tol=self.tol if n_tasks else 0.0,
            random_state=rng,
        )

    def _check_bounds(self, n_outputs):
        """Check what would fail after exploration, before anything is bought."""
        check_sparse(self.strategy, self.max_tasks, self.task_cost)
        if self._is_bounded() and n_outputs > 1:
            raise ValueError(
                f"max_tasks and task_cost need two classes, got {n_outputs}: fit one "
                "class against the others."
            )

    def _plan(self, n_tasks):
        is_money = self.sample_cost is not None or self.task_cost is not None
        if not is_money and self.budget != int(self.budget):
            raise ValueError(
                "budget must be a whole number of samples unless sample_cost or "
                f"task_cost is set, got {self.budget}."
            )
        plan = BudgetPlan(
            self.budget if is_money else int(self.budget),
            self.exploration_fraction,
            self.n_rounds,
            check_weights(self.sample_cost, n_tasks, "sample_cost"),
            check_task_cost(self.task_cost, n_tasks),
            is_money,
        )
        if not self._is_bounded():
            plan.check_floor(self._floor())
        return plan

    def _is_bounded(self):
        return self.max_tasks is not None or self.task_cost is not None

    def _floor(self):
        if self.min_samples is not None:
            return self.min_samples
        return 0 if self.reuse_data else self.n_components + 1

    def _buy(self, number, plan, source):
        """Decide what this round draws of each task; return that and its cost."""
        if plan is None:
            return np.zeros(0, dtype=np.int64), 0.0
        if number:
            counts = self._allocate(plan.for_round(number), plan, source.available)
        else:
            counts = self._explore(plan, source.available)
        return counts, plan.pay(counts)

    def _explore(self, plan, pool):
        """Share the first round equally."""
        if not plan.is_money and plan.left > pool.sum():
            warnings.warn(
                f"budget={plan.left} exceeds the {pool.sum():g} rows of the sources: "
                "all of them are bought.",
                stacklevel=6,
            )
        total = int(min(plan.each * len(pool), pool.sum()))
        return allocate_samples(np.ones(len(pool)), total, max_samples=pool)

    def _allocate(self, money, plan, pool):
        """Share a later round by the relevance found before it."""
        nu, exponent = self.relevance_, self.exponent
        if self.strategy == "uniform":  # equal numbers whatever they cost
            nu, exponent = np.sqrt(plan.prices), 1
        is_open = (nu != 0) | (not self._is_bounded() or not nu.any())
        floors = np.where(is_open, np.minimum(self._floor(), pool), 0)
        caps = np.where(is_open, pool, 0)
        if plan.is_money:
            total = money - plan.openings[is_open & (nu != 0)].sum()
        else:
            total = int(min(money, caps.sum()))
        if total <= 0:
            return np.zeros(len(pool), dtype=np.int64)
        prices = plan.prices if plan.is_money else None
        return allocate_samples(nu, total, floors, exponent, caps, prices)

    def _finish_round(self, learner, plan, X, y, counts, spent):
        """Fit the target's head, re-estimate relevance, and set fitted attributes."""
        targets = y.reshape(len(y), -1)
        head, intercept, error = fit_target_head(
            learner.transform(X), targets, self.center
        )
        self.representation_, self.target_head_ = learner.basis, head
        self.n_iter_ = learner.n_iter
        self._set_predictor(learner.basis, head, intercept)
        self.relevance_ = np.zeros(0)
        if plan is not None:
            money = plan.worth_weighing(len(self.history_) + 1, self.budget)
            self.relevance_ = self._relevance(learner, head, error, money)
        self.history_.append(
            {
                "allocation": counts,
                "relevance": self.relevance_,
                "cost": spent,
                "source_loss": learner.loss,
            }
        )

    def _relevance(self, learner, head, error, money):
        """Relevance of each task, as the parameters say."""
        if self.strategy == "uniform":
            return np.ones(len(learner.is_usable))
        if not learner.is_usable.any():
            warnings.warn(
                f"No source has the {self.n_components} rows that its head needs: "
                "samples are shared equally. Raise budget or exploration_fraction.",
                stacklevel=6,
            )
        return task_relevance(
            learner.heads,
            learner.is_usable,
            head,
            error,
            strategy=self.strategy,
            lambda_=self.lambda_,
            max_tasks=self.max_tasks,
            sample_cost=self.sample_cost,
            task_cost=self.task_cost,
            budget=money,
        )

    def _set_predictor(self, basis, head, intercept):
        self.intercept_ = intercept
        if isinstance(basis, np.ndarray):
            self.coef_ = (basis @ head).T  # (n_outputs, n_features)

    def _scores(self, X):
        """Score rows in the target task, (n_rows, n_outputs)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=FLOATS)
        if isinstance(self.representation_, np.ndarray):
            scores = X @ np.atleast_2d(self.coef_).T
        else:
            from minimalml.multioutput._lasso_task_selection._shared_network_torch import (
                network_features,
            )

            scores = network_features(self.representation_, X) @ self.target_head_
        return (scores + self.intercept_).astype(X.dtype, copy=False)
