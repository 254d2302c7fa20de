"""Which source tasks to use, given heads: by a strategy, or by price and number.

A sparse relevance pays where opening a source has a price of its own, or their number is
bounded: every support on the Lasso path (every support at all, for few sources) is
refitted and priced. See Wang, Chen, Jamieson and Du (2023), arXiv 2306.02556.
"""

import warnings
from itertools import combinations
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin

from minimalml._core.validation import (
    Interval,
    StrOptions,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.multioutput._lasso_task_selection._allocation import (
    allocate_samples,
    check_counts,
)
from minimalml.multioutput._lasso_task_selection._documentation import document
from minimalml.multioutput._lasso_task_selection._relevance import (
    HeadProblem,
    check_per_task,
    lambda_by_discrepancy,
    relevance_l1,
    relevance_l2,
    relevance_lasso,
    relevance_path,
)

# All supports of so many sources are 4096 small least-squares fits: about 0.2 s.
EXHAUSTIVE_TASKS = 12


class TaskChoice(NamedTuple):
    """Sources chosen for a budget.

    Attributes
    ----------
    relevance : ndarray of shape (n_tasks,)
        Relevance refitted on the chosen sources, zero elsewhere.
    support : ndarray of int
        Indices of the chosen sources, rising.
    bound : float
        ``sum(sqrt(sample_cost) * |relevance|)**2 / (budget - sum of task_cost)``.
    residual : float
        Length of ``W @ relevance - w0`` over the length of ``w0``.
    """

    relevance: np.ndarray
    support: np.ndarray
    bound: float
    residual: float


@document
def select_tasks(
    W, w0, budget=None, *, sample_cost=None, task_cost=None, max_tasks=None,
    tolerance=0.1,
):  # fmt: skip
    """Choose the sources whose samples serve the target best for the money.

    Refits the relevance on every support on the Lasso path of the columns over
    ``sqrt(sample_cost)``, with at most 12 sources on every support at all, and takes
    that with the smallest bound on the excess risk.

    Parameters
    ----------
    {heads}
    budget : float, default=None
        Money for opening prices and samples together. Needed with ``task_cost`` only:
        without opening prices the choice does not depend on it.
    {prices}
    tolerance : float, default=0.1
        Largest accepted ``||W @ nu - w0|| / ||w0||`` (of the part of ``w0`` that the
        sources can express) after refitting. If no support comes within it, the one
        with the smallest residual is taken, with a warning.

    Returns
    -------
    TaskChoice
        ``relevance``, ``support``, ``bound`` and ``residual``.

    Raises
    ------
    ValueError
        If ``w0`` holds several targets, a price is negative, or ``budget`` is missing
        or opens no source.

    Examples
    --------
    A single source that points the right way beats two exact ones once opening a
    source costs enough.

    >>> from minimalml.multioutput import select_tasks
    >>> W = [[1.0, 0.0, 0.4], [0.0, 1.0, 0.4]]
    >>> select_tasks(W, [0.5, 0.5], budget=100).support
    array([0, 1])
    >>> select_tasks(W, [0.5, 0.5], budget=100, task_cost=40).support
    array([2])
    """
    if np.ndim(w0) != 1:
        raise ValueError(f"w0 must be 1-dimensional, got {np.ndim(w0)} dimensions.")
    if max_tasks is not None and max_tasks < 1:
        raise ValueError(f"max_tasks must be at least 1, got {max_tasks}.")
    if budget is not None and not 0 < budget < np.inf:
        raise ValueError(f"budget must be positive, got {budget}.")
    problem = HeadProblem(W, w0, distinct=False)
    W, n_tasks = problem.sources, problem.sources.shape[1]
    prices, openings = check_prices(sample_cost, task_cost, n_tasks)
    if budget is None and openings.any():
        raise ValueError("task_cost needs a budget to be weighed against.")
    money = 1.0 if budget is None else float(budget)
    target = W @ np.linalg.lstsq(W, problem.targets[:, 0], rcond=None)[0]
    if not target.any():
        residual = float(problem.targets.any())
        nothing = problem.relevance([np.zeros(n_tasks)])
        return TaskChoice(nothing, np.arange(0), 0.0, residual)
    most, roots = min(n_tasks, len(W), max_tasks or n_tasks), np.sqrt(prices)
    if n_tasks <= EXHAUSTIVE_TASKS:
        supports = _all_supports(n_tasks, most)
    else:
        supports = _path_supports(W, target, roots, most)
    choices = [
        _price(W, target, support, roots, money - openings[support].sum())
        for support in supports
        if openings[support].sum() < money
    ]
    choice = _best([c for c in choices if c], tolerance, openings, money)
    bound = choice.bound * float(problem.target_units[0] / problem.unit) ** 2
    return choice._replace(relevance=problem.relevance([choice.relevance]), bound=bound)


def relevance_by_strategy(W, w0, strategy, lambda_, *, head_error=0.0, **settings):
    """Compute the relevance of sources as the parameters of an estimator say."""
    max_tasks, task_cost = settings["max_tasks"], settings["task_cost"]
    check_sparse(strategy, max_tasks, task_cost)
    prices, _ = check_prices(settings["sample_cost"], task_cost, W.shape[1])
    refit = settings.pop("refit", False)
    if strategy == "l2":
        return relevance_l2(W, w0)
    if task_cost is not None or max_tasks is not None:
        return select_tasks(W, w0, **settings).relevance
    weights = np.sqrt(prices)
    if "lp" in (strategy, lambda_):
        return relevance_l1(W, w0, weights=weights)
    is_relative = lambda_ != "discrepancy"
    if not is_relative:
        path = relevance_path(W, w0, weights=weights)
        lambda_ = lambda_by_discrepancy(path, W, w0, head_error)
    return relevance_lasso(W, w0, lambda_, is_relative, weights, refit=refit)


def check_sparse(strategy, max_tasks, task_cost):
    """Check that a strategy which is to open few tasks can leave some out."""
    # Equal shares can pay for opening all tasks; it is only few that they can't take.
    is_bounded = max_tasks is not None or (task_cost is not None and strategy == "l2")
    if is_bounded and strategy in ("l2", "uniform"):
        raise ValueError(
            f"max_tasks and task_cost need a sparse strategy, got {strategy=}, which "
            "uses every task: set strategy='lasso'."
        )


@document
class LassoTaskSelector(SelectorMixin, BaseEstimator):
    """Select the source tasks whose heads express a target's head.

    Every column of ``X`` is the head of a source task (a row of another model's
    ``coef_``, or a class mean in an embedding), ``y`` the head of the target. What is
    kept are the sources worth sampling. Costs about one LARS path,
    ``O(k^2 n_tasks)``.

    Parameters
    ----------
    strategy : {"lasso", "lp", "l2"}, default="lasso"
        How the target is expressed: by a Lasso, exactly with the smallest L1 norm, or
        with the smallest L2 norm, which uses all sources.
    lambda_ : float, default=0.05
        Penalty of the Lasso in units of the smallest that gives zero; raising it keeps
        fewer sources.
    refit : bool, default=False
        Whether the Lasso's nonzeros are refitted by least squares.
    threshold : float, default=1e-8
        Sources whose relevance is at most this share of the largest are dropped.
    {prices}
    budget : float, default=None
        Money for samples and ``task_cost`` together; needed with ``task_cost``.

    Attributes
    ----------
    relevance_ : ndarray of shape (n_tasks,)
        Relevance of each source, signed.
    {features}

    See Also
    --------
    ActiveMultiTaskRegressor : Estimates the heads, too, and spends the budget.

    Notes
    -----
    ``max_tasks`` and ``task_cost`` choose as `select_tasks` does, which needs a sparse
    strategy, not "l2". With a target of zero no source is relevant, and all are kept.

    References
    ----------
    {paper}

    Examples
    --------
    >>> from minimalml.multioutput import LassoTaskSelector
    >>> selector = LassoTaskSelector().fit([[1.0, 0.0, 0.8], [0.0, 1.0, 0.6]], [0.8, 0.6])
    >>> selector.get_support()
    array([False, False,  True])
    >>> selector.allocate(100)
    array([  0,   0, 100])
    """

    _parameter_constraints = {
        "strategy": [StrOptions({"lasso", "lp", "l2"})],
        "lambda_": [Interval(Real, 0, None, closed="left")],
        "refit": ["boolean"],
        "threshold": [Interval(Real, 0, 1, closed="left")],
        "sample_cost": ["array-like", None],
        "task_cost": ["array-like", Interval(Real, 0, None, closed="left"), None],
        "max_tasks": [Interval(Integral, 1, None, closed="left"), None],
        "budget": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        strategy="lasso",
        *,
        lambda_=0.05,
        refit=False,
        threshold=1e-8,
        sample_cost=None,
        task_cost=None,
        max_tasks=None,
        budget=None,
    ):
        self.strategy = strategy
        self.lambda_ = lambda_
        self.refit = refit
        self.threshold = threshold
        self.sample_cost = sample_cost
        self.task_cost = task_cost
        self.max_tasks = max_tasks
        self.budget = budget

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Compute the relevance of the sources.

        Parameters
        ----------
        X : array-like of shape (k, n_tasks)
            Source heads, one a column.
        y : array-like of shape (k,)
            Target head.

        Returns
        -------
        {fitted}
        """
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], y_numeric=True)
        self.relevance_ = relevance_by_strategy(
            X,
            y.astype(X.dtype, copy=False),
            **{k: v for k, v in self.get_params().items() if k != "threshold"},
        )
        return self

    def allocate(self, n_total, min_samples=0, max_samples=None):
        """Share a budget among the selected sources.

        Parameters
        ----------
        n_total : int or float
            Number of samples; the money for samples and opening prices, if
            ``sample_cost`` or ``task_cost`` is set.
        min_samples : int, default=0
            Floor of each selected source.
        max_samples : int or array-like of shape (n_tasks,), default=None
            Pool size of each source.

        Returns
        -------
        ndarray of shape (n_tasks,)
            Number of samples of each source, zero where it is not selected.

        Raises
        ------
        ValueError
            If ``n_total`` can't pay for the floors or what it takes to open the
            selected sources.
        """
        support, prices = self.get_support(), self.sample_cost
        if self.task_cost is not None:
            prices, openings = check_prices(prices, self.task_cost, len(support))
            opening = openings[support].sum()
            if not n_total > opening:
                raise ValueError(
                    f"n_total must exceed {opening:g}, the task_cost of the selected "
                    f"tasks, got {n_total}."
                )
            n_total = n_total - opening
        return allocate_samples(
            np.where(support, self.relevance_, 0),
            n_total,
            np.where(
                support, check_counts(min_samples, len(support), "min_samples"), 0
            ),
            max_samples=np.where(
                support, check_counts(max_samples, len(support), "max_samples"), 0
            ),
            sample_cost=prices,
        )

    def _get_support_mask(self):
        check_is_fitted(self)
        sizes = np.abs(self.relevance_)
        return sizes > self.threshold * sizes.max() if sizes.any() else sizes == 0

    def __sklearn_is_fitted__(self):
        # The parameter lambda_ ends as fitted attributes do.
        return hasattr(self, "relevance_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def check_prices(sample_cost, task_cost, n_tasks):
    """Check prices of samples and of opening tasks; return one a task of each."""
    prices = check_per_task(sample_cost, n_tasks, "sample_cost", is_positive=True)
    return prices, check_per_task(task_cost, n_tasks, "task_cost", default=0.0)


def _all_supports(n_tasks, most):
    sizes = range(1, most + 1)
    return (np.array(s) for size in sizes for s in combinations(range(n_tasks), size))


def _path_supports(W, target, root_prices, most):
    """Distinct supports on the path, and each truncated to its largest members."""
    path = relevance_path(W, target, weights=root_prices).relevance
    seen = set()
    for column in path.T:
        ranked = np.argsort(-np.abs(column) * root_prices, kind="stable")
        n_used = np.count_nonzero(column)
        support = np.sort(ranked[: min(n_used, most)])
        if n_used and support.tobytes() not in seen:
            seen.add(support.tobytes())
            yield support


def _price(W, target, support, root_prices, money):
    """Refit one support; None if its heads are dependent: fewer express the same."""
    heads = W[:, support]
    fitted, _, rank, _ = np.linalg.lstsq(heads, target, rcond=None)
    if rank < len(support):
        return None
    relevance = np.zeros(W.shape[1])
    relevance[support] = fitted
    residual = np.linalg.norm(heads @ fitted - target) / np.linalg.norm(target)
    bound = (root_prices[support] @ np.abs(fitted)) ** 2 / money
    return TaskChoice(relevance, support, float(bound), float(residual))


def _best(choices, tolerance, openings, money):
    if not choices:
        raise ValueError(
            f"budget must exceed the cheapest task_cost, {openings.min():g}, "
            f"got {money:g}."
        )
    close = [choice for choice in choices if choice.residual <= tolerance]
    if close:
        return min(close, key=lambda choice: choice.bound)
    best = min(choices, key=lambda choice: choice.residual)
    warnings.warn(
        f"No affordable choice of tasks expresses w0 within tolerance={tolerance:g}: "
        f"the closest leaves {best.residual:.3g} of its length; allow more tasks.",
        stacklevel=3,
    )
    return best
