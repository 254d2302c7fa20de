"""Spend a budget of source samples where it helps one target task most.

Rounds of: buy samples, fit a representation to all tasks, write the target's head with
few source heads (Lasso), buy in proportion. See Wang, Chen, Jamieson and Du (2023),
arXiv 2306.02556, and for the rounds Chen, Jamieson and Du (2022), arXiv 2202.00911.
"""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
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
from minimalml.multioutput._lasso_task_selection._documentation import document
from minimalml.multioutput._lasso_task_selection._shared_representation import (
    check_rank,
)
from minimalml.multioutput._lasso_task_selection._task_statistics import (
    check_squares,
    check_tasks,
)

FLOATS = [np.float64, np.float32]
HISTORY = "allocation", "relevance", "cost", "source_loss"


@document
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
        "representation": [HasMethods(["forward", "parameters"]), None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
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
        max_epochs=50,
        learning_rate=1e-3,
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
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
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
        {fitted}
        """
        X, y = self._check_rows(X, y)
        rng = check_random_state(self.random_state)
        tasks = np.zeros(len(X), dtype=np.intp) if tasks is None else check_tasks(tasks)
        check_consistent_length(X, tasks)
        names = np.unique(tasks)
        target_task = names[-1] if target_task is None else target_task
        if target_task not in names.tolist():
            raise ValueError(
                f"target_task must be one of tasks, got {target_task!r}; tasks has "
                f"{len(names)} ids from {names[0]} to {names[-1]}."
            )
        is_target = tasks == target_task
        others = names[names != target_task]
        source = PoolSource(X, self._encode(y), tasks, others, rng)
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
        {fitted}
        """
        if not callable(sampler):
            raise TypeError(f"sampler must be callable, got {sampler!r}.")
        X, y = self._check_rows(X_target, y_target)
        task_ids = check_tasks(task_ids, "task_ids")
        if len(task_ids) == 0 or len(np.unique(task_ids)) < len(task_ids):
            raise ValueError("task_ids must hold at least one id, each only once.")
        rng = check_random_state(self.random_state)
        source = SamplerSource(sampler, task_ids, X, self._encode, rng, self.n_jobs)
        return self._fit_rounds(source, X, y, rng)

    def _check_rows(self, X, y):
        return validate_data(self, X, y, dtype=FLOATS, y_numeric=True)

    def _encode(self, y):
        """Turn targets into numbers, (n_rows, n_outputs)."""
        return y.astype(np.float64)[:, None]

    def __sklearn_is_fitted__(self):
        # The parameter lambda_ ends as fitted attributes do.
        return hasattr(self, "representation_")

    def _fit_rounds(self, source, X, y, rng):
        """Buy and learn, round by round; ``X`` and ``y`` are the target's."""
        targets, n_tasks = self._encode(y), len(source.tasks)
        check_squares(X, targets)
        plan = BudgetPlan(self, n_tasks, targets.shape[1]) if n_tasks else None
        learner = self._make_learner(n_tasks, targets.shape[1], rng)
        self.tasks_, self.history_, self.relevance_ = (
            source.tasks,
            [],
            np.zeros(n_tasks),
        )
        n_rounds = self.n_rounds if n_tasks else 1
        with fit_task(self, X, y, n_rounds) as task:
            for number in range(n_rounds):
                with task.step("round"):
                    is_last = number == n_rounds - 1
                    self._run_round(number, is_last, plan, source, learner, X, targets)
                if task.is_stopped:
                    break
        self.allocation_ = np.array([entry["allocation"] for entry in self.history_])
        self.n_samples_spent_ = int(self.allocation_.sum())
        self.cost_ = sum(entry["cost"] for entry in self.history_)
        if source.bought is not None:
            self.sample_indices_ = source.bought
        return self

    def _run_round(self, number, is_last, plan, source, learner, X, targets):
        """Buy, learn from what was bought, and set the fitted attributes."""
        if plan is None:  # the target itself teaches the representation
            counts, cost = np.zeros(0, dtype=np.int64), 0.0
            learner.update(X, targets, np.zeros(len(X), np.intp), is_last)
        else:
            counts = self._choose(number, plan, source.available)
            cost = plan.pay(counts)
            if counts.any():
                learner.update(*source.draw(counts), is_last)
        error = self._fit_target(learner, X, targets)
        if plan is not None:
            money = plan.worth_weighing(number + 1, self.budget)
            self.relevance_ = self._relevance(learner, error, money)
        entry = counts, self.relevance_, cost, learner.loss
        self.history_.append(dict(zip(HISTORY, entry, strict=True)))

    def _make_learner(self, n_tasks, n_outputs, rng):
        """Make what the parameters ask for."""
        common = {"reuse_data": self.reuse_data, "center": self.center}
        if self.representation is None:
            # The target alone is least squares.
            k = self.n_components if n_tasks else min(n_outputs, self.n_features_in_)
            check_rank(k, self.n_features_in_)
            tol = self.tol if n_tasks else 0.0
            common |= {"max_iter": self.max_iter, "tol": tol, "random_state": rng}
            return LinearLearner(max(n_tasks, 1), k, **common)
        import_torch(type(self).__name__)
        from minimalml.multioutput._lasso_task_selection._shared_network_torch import (
            NetworkLearner,
        )

        common |= {"max_epochs": self.max_epochs, "learning_rate": self.learning_rate}
        sizes = max(n_tasks, 1), self.n_components, n_outputs
        is_logistic = is_classifier(self)
        return NetworkLearner(sizes, self.representation, rng, is_logistic, **common)

    def _choose(self, number, plan, pool):
        """Decide how many samples of which task a round buys."""
        if number == 0:
            return plan.explore(pool)
        if self.strategy == "uniform":  # equal numbers whatever they cost
            return plan.share(number, np.sqrt(plan.prices), 1, pool)
        return plan.share(number, self.relevance_, self.exponent, pool)

    def _fit_target(self, learner, X, targets):
        """Fit the target's head, and set the attributes of the predictor."""
        features = represent(X, learner.basis)
        head, intercept, error = fit_target_head(features, targets, self.center)
        self.representation_, self.n_iter_ = learner.basis, learner.n_iter
        self.target_head_, self.intercept_ = head, intercept
        if isinstance(learner.basis, np.ndarray):
            self.coef_ = (learner.basis @ head).T
        return error

    def _relevance(self, learner, error, money):
        """Relevance of each task, as the parameters say."""
        if self.strategy == "uniform":
            return np.ones(len(self.tasks_))
        if not learner.is_usable.any():
            warnings.warn(
                f"No source has the {self.n_components} rows that its head needs: "
                "samples are shared equally. Raise budget or exploration_fraction.",
                stacklevel=5,
            )
        names = "strategy", "lambda_", "max_tasks", "sample_cost", "task_cost"
        settings = {name: getattr(self, name) for name in names}
        return task_relevance(
            learner, self.target_head_, error, budget=money, **settings
        )

    def _scores(self, X):
        """Score rows in the target task, (n_rows, n_outputs)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=FLOATS)
        scores = represent(X, self.representation_) @ self.target_head_
        return (scores + self.intercept_).astype(X.dtype, copy=False)


def represent(X, basis):
    """Map rows into the representation: a basis, or a network."""
    if isinstance(basis, np.ndarray):
        return X @ basis
    from minimalml.multioutput._lasso_task_selection import _shared_network_torch

    return _shared_network_torch.network_features(basis, X)
