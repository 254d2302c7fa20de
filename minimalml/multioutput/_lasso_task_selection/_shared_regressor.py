"""The shared representation as an estimator: tasks are metadata of the rows.

See Wang, Chen, Jamieson and Du (2023), arXiv 2306.02556, for where it is used.
"""

from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.metrics import r2_score
from sklearn.utils import check_consistent_length

from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.validation import (
    Interval,
    StrOptions,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.multioutput._lasso_task_selection._documentation import document
from minimalml.multioutput._lasso_task_selection._shared_representation import (
    SOLVERS,
    STARTS,
    check_rank,
    compute_intercepts,
    fit_shared_representation,
)
from minimalml.multioutput._lasso_task_selection._task_statistics import (
    check_tasks,
    gather,
)

FLOATS = [np.float64, np.float32]


@document
class SharedRepresentationRegressor(
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Fit many linear regression tasks through one low-dimensional representation.

    Use it when tasks have few rows each and are alike: each task then learns only
    ``n_components`` numbers of its own. ``O(n d^2)`` time to gather moments, then
    ``O(n_tasks d^2 n_components)`` an iteration, whatever the number of rows.

    Parameters
    ----------
    n_components : int, default=5
        Dimension of the representation.
    {solver}
    init : {"spectral", "moments", "random"}, default="spectral"
        First representation.
    center : bool, default=True
        Whether each task has an intercept.
    {stopping}

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Orthonormal rows that span the representation.
    task_coef_ : ndarray of shape (n_tasks, n_components)
        Head of each task.
    intercepts_ : ndarray of shape (n_tasks,)
        Intercept of each task.
    tasks_ : ndarray of shape (n_tasks,)
        Identifiers, rising.
    reliable_ : ndarray of bool of shape (n_tasks,)
        Whether a task had at least ``n_components`` rows.
    statistics_ : TaskStatistics
        What the fit used of the data; `partial_fit` adds to it.
    loss_curve_ : list of float
        Sum of squared residuals after each alternation.
    n_iter_ : int
        Number of alternations.
    {features}

    See Also
    --------
    ActiveMultiTaskRegressor : Chooses how many rows of which task to learn from.

    Notes
    -----
    Without ``tasks`` there is one task, and the fit is ordinary least squares.

    References
    ----------
    {paper}

    Examples
    --------
    >>> from minimalml.multioutput import (SharedRepresentationRegressor,
    ...                                  make_low_rank_tasks)
    >>> X, y, tasks, truth = make_low_rank_tasks(random_state=0, n_samples=20)
    >>> model = SharedRepresentationRegressor(n_components=4).fit(X, y, tasks=tasks)
    >>> model.predict(X[:2], tasks=tasks[:2]).shape, model.transform(X).shape
    ((2,), (820, 4))
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions(set(SOLVERS))],
        "init": [StrOptions(set(STARTS))],
        "center": ["boolean"],
        "ridge": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=5,
        *,
        solver="alternating",
        init="spectral",
        center=True,
        ridge=1e-8,
        max_iter=100,
        tol=1e-6,
        random_state=None,
    ):
        self.n_components = n_components
        self.solver = solver
        self.init = init
        self.center = center
        self.ridge = ridge
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, tasks=None):
        """Fit the representation and the heads.

        Parameters
        ----------
        {rows}

        Returns
        -------
        {fitted}
        """
        return self._update(X, y, tasks, None)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, tasks=None):
        """Add rows, of known tasks or new ones, and fit again to all so far.

        Equals `fit` on all rows, up to where the iterations stop. Only moments of
        earlier rows are kept.

        Parameters
        ----------
        {rows}

        Returns
        -------
        {fitted}
        """
        return self._update(X, y, tasks, getattr(self, "statistics_", None))

    def transform(self, X):
        """Map rows into the representation.

        Parameters
        ----------
        {X}

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            ``X @ components_.T``.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=FLOATS)
        return X @ self.components_.T.astype(X.dtype, copy=False)

    def predict(self, X, tasks=None):
        """Predict each row with the head of its task.

        Parameters
        ----------
        {X}
        tasks : array-like of shape (n_samples,), default=None
            Task of each row; may be None after a fit without tasks.

        Returns
        -------
        ndarray of shape (n_samples,)
            Predictions.

        Raises
        ------
        ValueError
            If a task was not seen during fit.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=FLOATS)
        codes = self._codes(tasks, len(X))
        coefficients = self.task_coef_ @ self.components_  # (n_tasks, n_features)
        predictions = np.einsum("nd,nd->n", X, coefficients[codes])
        return (predictions + self.intercepts_[codes]).astype(X.dtype, copy=False)

    def score(self, X, y, tasks=None, sample_weight=None):
        """Return the coefficient of determination of the predictions.

        Parameters
        ----------
        {rows}
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row.

        Returns
        -------
        float
            At most 1; 0 is as good as the mean of ``y``.
        """
        return r2_score(y, self.predict(X, tasks), sample_weight=sample_weight)

    def _update(self, X, y, tasks, so_far):
        """Fit to rows and what was gathered so far of others."""
        X, y = validate_data(
            self, X, y, dtype=FLOATS, y_numeric=True, reset=so_far is None
        )
        has_tasks = tasks is not None
        if so_far is not None and self._has_tasks != has_tasks:
            raise ValueError(
                "tasks must be given at each call of partial_fit, or none."
            )
        tasks = check_tasks(tasks) if has_tasks else np.zeros(len(X), dtype=np.intp)
        check_consistent_length(X, tasks)
        init, k = self.init, self.n_components if has_tasks else 1  # one task, one head
        check_rank(k, self.n_features_in_)
        new = gather(X, y, tasks, self.init == "moments")
        self._has_tasks = has_tasks
        self.statistics_ = new if so_far is None else so_far + new
        self.tasks_ = self.statistics_.tasks
        if so_far is not None and len(self.components_) == k:
            init = self.components_.T
        return self._fit_statistics(X, y, n_components=k, init=init)

    def _codes(self, tasks, n_rows):
        if tasks is None and self._has_tasks:
            raise ValueError("tasks must be given to predict: fit was given some.")
        if tasks is None:
            return np.zeros(n_rows, dtype=np.intp)
        tasks = check_tasks(tasks)
        if len(tasks) != n_rows:
            raise ValueError(f"tasks has {len(tasks)} ids but X has {n_rows} rows.")
        known = {task: code for code, task in enumerate(self.tasks_.tolist())}
        names, places = np.unique(tasks, return_inverse=True)
        unknown = [task for task in names.tolist() if task not in known]
        if unknown:
            raise ValueError(f"tasks has the id {unknown[0]!r}, which fit did not see.")
        return np.array([known[task] for task in names.tolist()])[places]

    def _fit_statistics(self, X, y, **replaced):
        settings = self.get_params() | replaced
        with fit_task(self, X, y, self.max_iter) as task:

            def after_alternation(basis, heads, loss):
                attributes = partial(self._parameters, basis, heads)
                with task.step("alternation", attributes=attributes):
                    pass  # its work is done
                return task.is_stopped

            shared = fit_shared_representation(
                self.statistics_,
                settings.pop("n_components"),
                callback=after_alternation,
                **settings,
            )
        self.components_ = np.ascontiguousarray(shared.basis.T)
        self.task_coef_ = np.ascontiguousarray(shared.heads.T)
        self.intercepts_, self.reliable_ = shared.intercepts, shared.reliable
        self.loss_curve_, self.n_iter_ = shared.losses, len(shared.losses) - 1
        return self

    def _parameters(self, basis, heads):
        """Give a half-fitted copy what it needs to predict."""
        intercepts = compute_intercepts(self.statistics_, basis, heads, self.center)
        return {
            "components_": basis.T,
            "task_coef_": heads[:, :, 0],
            "intercepts_": intercepts[:, 0],
        }

    @property
    def _n_features_out(self):
        return len(self.components_)
