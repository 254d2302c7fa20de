"""Select source tasks as one selects columns: heads in the columns, target head as y.

See Wang, Chen, Jamieson and Du (2023), arXiv 2306.02556.
"""

from numbers import Integral, Real

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
from minimalml.multioutput._lasso_task_selection._allocation import allocate_samples
from minimalml.multioutput._lasso_task_selection._relevance import (
    check_weights,
    lambda_by_discrepancy,
    relevance_l1,
    relevance_l2,
    relevance_lasso,
    relevance_path,
)
from minimalml.multioutput._lasso_task_selection._task_choice import (
    check_task_cost,
    select_tasks,
)


def relevance_by_strategy(
    W,
    w0,
    strategy,
    lambda_,
    *,
    refit=False,
    max_tasks=None,
    sample_cost=None,
    task_cost=None,
    budget=None,
    head_error=0.0,
):
    """Compute the relevance of sources as the parameters of an estimator say."""
    prices = check_weights(sample_cost, W.shape[1], "sample_cost")
    check_task_cost(task_cost, W.shape[1])
    check_sparse(strategy, max_tasks, task_cost)
    if strategy == "l2":
        return relevance_l2(W, w0)
    if task_cost is not None or max_tasks is not None:
        return select_tasks(
            W, w0, budget, sample_cost=prices, task_cost=task_cost, max_tasks=max_tasks
        ).relevance
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

    max_tasks : int, default=None
        Largest number of sources; None sets no bound. Not with "l2".

    threshold : float, default=1e-8
        Sources whose relevance is at most this share of the largest are dropped.

    sample_cost : array-like of shape (n_tasks,), default=None
        Positive price of a sample of each source.

    task_cost : float or array-like of shape (n_tasks,), default=None
        Price of using a source at all. Not with "l2".

    budget : float, default=None
        Money for samples and ``task_cost`` together; needed with ``task_cost``.

    refit : bool, default=False
        Whether the Lasso's nonzeros are refitted by least squares.

    Attributes
    ----------
    relevance_ : ndarray of shape (n_tasks,)
        Relevance of each source, signed.
    n_features_in_ : int
        Number of source tasks seen during fit.
    feature_names_in_ : ndarray of shape (n_tasks,)
        Names of the source tasks, where ``X`` has string column names.

    See Also
    --------
    ActiveMultiTaskRegressor : Estimates the heads, too, and spends the budget.

    Notes
    -----
    ``max_tasks`` and ``task_cost`` choose among the supports on the Lasso path, as
    `select_tasks` does. With a target of zero no source is relevant, and all are kept.

    References
    ----------
    Wang, Chen, Jamieson, Du. Improved Active Multi-Task Representation Learning via
    Lasso. ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.multioutput import LassoTaskSelector
    >>> heads = np.array([[1.0, 0.0, 0.8], [0.0, 1.0, 0.6]])
    >>> selector = LassoTaskSelector().fit(heads, [0.8, 0.6])
    >>> selector.get_support()
    array([False, False,  True])
    >>> selector.allocate(100)
    array([  0,   0, 100])
    """

    _parameter_constraints = {
        "strategy": [StrOptions({"lasso", "lp", "l2"})],
        "lambda_": [Interval(Real, 0, None, closed="left")],
        "max_tasks": [Interval(Integral, 1, None, closed="left"), None],
        "threshold": [Interval(Real, 0, 1, closed="left")],
        "sample_cost": ["array-like", None],
        "task_cost": ["array-like", Interval(Real, 0, None, closed="left"), None],
        "budget": [Interval(Real, 0, None, closed="neither"), None],
        "refit": ["boolean"],
    }

    def __init__(
        self,
        strategy="lasso",
        *,
        lambda_=0.05,
        max_tasks=None,
        threshold=1e-8,
        sample_cost=None,
        task_cost=None,
        budget=None,
        refit=False,
    ):
        self.strategy = strategy
        self.lambda_ = lambda_
        self.max_tasks = max_tasks
        self.threshold = threshold
        self.sample_cost = sample_cost
        self.task_cost = task_cost
        self.budget = budget
        self.refit = refit

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
        LassoTaskSelector
            The fitted selector.
        """
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], y_numeric=True)
        y = y.astype(X.dtype, copy=False)
        self.relevance_ = relevance_by_strategy(
            X,
            y,
            self.strategy,
            self.lambda_,
            refit=self.refit,
            max_tasks=self.max_tasks,
            sample_cost=self.sample_cost,
            task_cost=self.task_cost,
            budget=self.budget,
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
        check_is_fitted(self)
        support = self._get_support_mask()
        n_tasks = len(support)
        prices = self.sample_cost
        if self.task_cost is not None:
            opening = check_task_cost(self.task_cost, n_tasks)[support].sum()
            if not n_total > opening:
                raise ValueError(
                    f"n_total must exceed {opening:g}, the task_cost of the selected "
                    f"tasks, got {n_total}."
                )
            n_total = n_total - opening
            prices = np.ones(n_tasks) if prices is None else prices
        if max_samples is not None:
            max_samples = np.broadcast_to(max_samples, (n_tasks,))[support]
        counts = np.zeros(n_tasks, dtype=np.int64)
        counts[support] = allocate_samples(
            self.relevance_[support],
            n_total,
            min_samples,
            max_samples=max_samples,
            sample_cost=None if prices is None else np.asarray(prices)[support],
        )
        return counts

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
