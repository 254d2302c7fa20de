"""Move rows of one distribution onto another, each target served by few sources."""

import warnings
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.metrics import pairwise_distances, pairwise_distances_chunked

from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.sample_domain import split_domains
from minimalml._core.validation import (
    PAIRWISE_METRIC,
    Interval,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.transport._sparse_transport._sparse_transport import (
    PROBLEM_CONSTRAINTS,
    SOLVER_CONSTRAINTS,
    Problem,
    check_problem,
    solve,
)

FLOATS = [np.float64, np.float32]
# scikit-learn's own distances are differences of products: equal rows are not at 0
EXACT = {"euclidean": "minkowski", "l2": "minkowski"}


class SparseTransportMapper(
    CallbackSupportMixin, OneToOneFeatureMixin, TransformerMixin, BaseEstimator
):
    """Move source rows to where target rows are, by few partners each.

    For domain adaptation: a model learns from moved source rows, whose labels are known,
    and predicts target rows as they are (`TransportedEstimator` does both). Unlike entropic
    transport, whose plan is dense, each target row here has at most ``max_nonzeros``
    sources that can be looked at. It needs the matrix of all costs, and assumes that
    both samples have alike shares of whatever tells them apart: where shares of classes
    differ, rows are moved to wrong classes.

    Parameters
    ----------
    max_nonzeros : int, default=20
        Source rows that a target row may have. 1 is near to unregularised transport.
        More than there are source rows means all, with a warning.

    reg : float, default=0.5
        Weight of the squares of the plan, in units of the median cost times the number
        of target rows. Larger averages over more partners.

    metric : str or callable, default="sqeuclidean"
        Cost of a source and a target row: what ``sklearn.metrics.pairwise_distances``
        takes without parameters, for dense rows.

    tol : float, default=1e-6
        Stops where no source row is off by more than this share of its mass.

    max_iter : int, default=1000
        Iterations of L-BFGS.

    Attributes
    ----------
    plan_ : scipy.sparse.csc_array of shape (n_source, n_target)
        Mass that moves from the rows of ``source_indices_`` to those of
        ``target_indices_``; 1 in all, ``1 / n_target`` a column.

    potentials_ : tuple of ndarray of shape (n_source,) and (n_target,)
        Potentials of the dual, in units of the cost.

    row_violation_ : float
        How far the mass of source rows is off, as a share of all.

    n_iter_ : int
        Iterations of L-BFGS.

    source_indices_, target_indices_ : ndarray of int
        Which rows of the training data are sources and targets.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of str of shape (n_features_in_,)
        Names of the features, where X had some.

    See Also
    --------
    sparse_transport : The plan alone.
    TransportedEstimator : A model that learns from moved rows.

    Notes
    -----
    A source row goes to the mean of its targets, weighted by the plan; any other row
    moves as its nearest source row does. Fits in O(n_source n_target) memory and time an
    iteration.

    References
    ----------
    .. [1] T. Liu, J. Puigcerver, M. Blondel, "Sparsity-Constrained Optimal Transport",
       ICLR 2023. arXiv:2209.15466

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.transport import SparseTransportMapper
    >>> X_source = np.random.default_rng(0).normal(size=(50, 2))
    >>> mapper = SparseTransportMapper(5).fit_samples(X_source, X_source + [3, 0])
    >>> (mapper.transform(X_source) - X_source).mean(axis=0).round(1)
    array([3., 0.])
    """

    _parameter_constraints = {
        "max_nonzeros": PROBLEM_CONSTRAINTS["max_nonzeros"],
        "reg": [Interval(Real, 0, None, closed="neither")],
        "metric": PAIRWISE_METRIC,
        **SOLVER_CONSTRAINTS,
    }

    def __init__(
        self,
        max_nonzeros=20,
        *,
        reg=0.5,
        metric="sqeuclidean",
        tol=1e-6,
        max_iter=1000,
    ):
        self.max_nonzeros = max_nonzeros
        self.reg = reg
        self.metric = metric
        self.tol = tol
        self.max_iter = max_iter

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_domain=None):
        """Find the plan from source rows to target rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of both samples.

        y : None
            Ignored.

        sample_domain : array-like of shape (n_samples,), default=None
            At least 0 for source rows, below 0 for target rows. None: every row is
            both, and the map is near the identity.

        Returns
        -------
        self : SparseTransportMapper

        Raises
        ------
        ValueError
            If one of the samples has no rows, or ``max_nonzeros`` is too few to reach
            all source rows.

        Warns
        -----
        UserWarning
            If there are fewer source rows than ``max_nonzeros``.
        ConvergenceWarning
            If source rows are off by more than 1 % of the mass.
        """
        X = validate_data(self, X, dtype=FLOATS)
        source, target = split_domains(sample_domain, len(X))
        return self._fit_samples(X[source], X[target], source, target)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit_samples(self, X_source, X_target):
        """Find the plan from one array of rows to another, as `fit` on both stacked.

        Parameters
        ----------
        X_source : array-like of shape (n_source, n_features)
            Rows to move.

        X_target : array-like of shape (n_target, n_features)
            Rows to move them to.

        Returns
        -------
        self : SparseTransportMapper
        """
        X_source = validate_data(self, X_source, dtype=FLOATS)
        X_target = validate_data(self, X_target, dtype=FLOATS, reset=False)
        rows = np.arange(len(X_source) + len(X_target))
        return self._fit_samples(X_source, X_target, *np.split(rows, [len(X_source)]))

    def _fit_samples(self, X_source, X_target, source_indices, target_indices):
        metric = EXACT.get(self.metric, self.metric)
        cost = self._costs(X_source, X_target, metric)
        max_nonzeros = min(self.max_nonzeros, len(X_source))
        if max_nonzeros < self.max_nonzeros:
            warnings.warn(
                f"max_nonzeros={self.max_nonzeros} but there are {len(X_source)} source "
                "rows: a target row may have all of them.",
                UserWarning,
                stacklevel=4,
            )
        unit = float(np.median(cost) or np.mean(cost) or 1.0)
        reg = self.reg * len(X_target) * unit
        masses_and_cost = check_problem(None, None, cost, max_nonzeros, reg)
        problem = Problem(*masses_and_cost, max_nonzeros, reg)
        rows = source_indices, target_indices

        def learnt(result):
            return _what_is_learnt(result, X_source, X_target, rows, metric)

        with fit_task(self, X_source, None, self.max_iter) as task:

            def goes_on(alpha, n_iter):
                def attributes():
                    return learnt(problem.result(alpha, n_iter, self.tol))

                with task.step("iteration", attributes=attributes):
                    pass  # L-BFGS has done it
                return not task.is_stopped

            result = solve(problem, self.tol, self.max_iter, goes_on)
        vars(self).update(learnt(result))
        return self

    def _costs(self, X_source, X_target, metric):
        cost = pairwise_distances(X_source, X_target, metric=metric)
        if not np.isfinite(cost).all() or (cost < 0).any():
            raise ValueError(
                f"metric={self.metric!r} gives costs that are negative or not finite: "
                "scale X, or take another metric."
            )
        if not cost.any() and (
            np.ptp(X_source, axis=0).any() or (X_source[0] != X_target).any()
        ):
            raise ValueError(
                f"metric={self.metric!r} gives a cost of 0 to all pairs of rows, though "
                "rows differ: scale X, or take another metric."
            )
        return cost

    def transform(self, X):
        """Move rows from where sources are to where targets are.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of the source distribution.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Each row moved as its nearest source row; of equally near ones as the first.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        blocks = pairwise_distances_chunked(
            X, self._moved, metric=self._metric,
            reduce_func=lambda distances, start: distances.argmin(axis=1),
        )  # fmt: skip
        return (X + self._displacements[np.concatenate(list(blocks))]).astype(X.dtype)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _what_is_learnt(result, X_source, X_target, rows, metric):
    """Return the fitted attributes."""
    plan = result.plan.tocsr()
    has_mass = plan.sum(axis=1) > 0  # other rows have nowhere to go
    plan, moved = plan[has_mass], X_source[has_mass]
    return {
        "plan_": result.plan,
        "potentials_": (result.alpha, result.beta),
        "row_violation_": result.row_violation,
        "n_iter_": result.n_iter,
        "source_indices_": rows[0],
        "target_indices_": rows[1],
        "_metric": metric,
        "_moved": moved,
        "_displacements": plan @ X_target / plan.sum(axis=1)[:, None] - moved,
    }
