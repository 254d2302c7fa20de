"""Rows of a pool that look, as a group, like a target sample (GORACS)."""

import warnings

import numpy as np
from scipy.sparse import csc_array
from sklearn.base import BaseEstimator
from sklearn.metrics import pairwise_distances_chunked
from sklearn.utils import check_array, column_or_1d

from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.groups import unique_codes
from minimalml._core.optional import import_optional
from minimalml._core.sample_domain import split_domains
from minimalml._core.transport_plan import transport_plan
from minimalml._core.validation import (
    PAIRWISE_METRIC,
    Integral,
    Interval,
    Real,
    _fit_context,
)
from minimalml.resampling._facility_location import column_shares
from minimalml.resampling._sample_selector import (
    BUDGET_CONSTRAINT,
    SampleSelectorMixin,
    number_to_select,
    pool_and_target,
)
from minimalml.resampling._transport_coreset._budgets import class_budgets
from minimalml.resampling._transport_coreset._exchange import WHO, Exchange

SPARSE_METRICS = ("euclidean", "l2", "cosine")


class TransportCoresetSelector(
    CallbackSupportMixin, SampleSelectorMixin, BaseEstimator
):
    """Select rows of a pool that together look like a target sample.

    The selected rows, each with the same mass, are near the target in the sense of
    optimal transport: unlike the nearest rows or those of highest score they cover the
    target in its proportions, and near-duplicates don't both pay. For a large pool, a
    small sample of where the model will be used, and a budget. Without a target the
    selection represents the pool. Needs POT (``pip install 'minimalml[transport]'``).

    One matrix of costs is held; an exchange takes O(n_samples n_target) time beside
    network simplices of the selected rows and the target.

    Parameters
    ----------
    n_samples_to_select : int or float, default=0.1
        A count, or a fraction of the pool in (0, 1], rounded up.

    trade_off : float, default=0.0
        How much a large ``gradient_norm`` counts against transport, each in units of its
        largest value. Raise it to fine-tune a trained model; it hurts from scratch.

    metric : str or callable, default="euclidean"
        A metric of `sklearn.metrics.pairwise_distances`.

    n_candidates : int, default=30
        Rows that may leave, and rows that may enter, looked at for an exchange.

    max_exchanges : int, default=100
        Largest number of exchanges after the greedy start; in each class with
        ``stratify``.

    stratify : bool, default=False
        Whether to select in each class separately, as many rows as the class has in the
        target.

    Attributes
    ----------
    sample_indices_ : ndarray of int of shape (n_selected,)
        Selected rows of X in the order of selection, class by class with ``stratify``;
        what enters by an exchange takes the place of what leaves.

    objective_ : float
        ``transport_distance_ / d - trade_off * g``, with the largest distance d between
        pool and target, and g the mean gradient norm of the selection over the largest.

    transport_distance_ : float
        Mean distance from the selection to the target by the best plan, in the units of
        the metric.

    initial_objective_ : float
        The objective of the greedy start.

    objective_path_ : ndarray of shape (n_exchanges + 1,)
        The objective after each exchange, from the start; with ``stratify`` the mean over
        classes.

    n_exchanges_ : int
        Number of exchanges.

    n_transport_solves_ : int
        Number of transport problems that were solved.

    plan_ : csc_array of shape (n_selected, n_target)
        The mass that goes from each selected row, in the order of ``sample_indices_``, to
        each target row: which target rows it stands for.

    n_samples_in_ : int
        Number of rows of X.

    n_features_in_ : int
        Number of features of X.

    feature_names_in_ : ndarray of str of shape (n_features_in_,)
        Names of the features, if X had names.

    See Also
    --------
    SelectedSamplesEstimator : Fit an estimator on the selection, in a Pipeline or search.
    marginal_improvement : The scores by which rows are exchanged.
    gradient_norms : What ``gradient_norm`` may be.

    Notes
    -----
    Minimises ``OT(mu_S, nu; C)`` over sets S of n rows, with mu_S uniform on S, nu the
    target and ``C_ij = d(x_i, v_j) / max d - trade_off g_i / max g``: first greedy facility
    location, the relaxation without masses of S; then exchanges of two rows, tried in the
    order of a lower bound of what they reach, so that none that gains among the candidates
    is missed. Entropic transport is no substitute: its potentials are biased.

    References
    ----------
    .. [1] T. Mei, H. Chen, P. Yu, J. Liang, D. Yang, "GORACS: Group-level Optimal
       Transport-guided Coreset Selection for LLM-based Recommender Systems", 2025.
       arXiv:2506.04015

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.resampling import TransportCoresetSelector
    >>> rng = np.random.default_rng(0)
    >>> pool, target = rng.normal(size=(200, 2)), rng.normal(1, 0.5, size=(50, 2))
    >>> selector = TransportCoresetSelector(10).fit(pool, X_target=target)
    >>> pool.mean(axis=0).round(1), pool[selector.sample_indices_].mean(axis=0).round(1)
    (array([-0.1,  0. ]), array([0.9, 1.1]))
    """

    _parameter_constraints = {
        "n_samples_to_select": BUDGET_CONSTRAINT,
        "trade_off": [Interval(Real, 0, None, closed="left")],
        "metric": PAIRWISE_METRIC,
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
        "max_exchanges": [Interval(Integral, 0, None, closed="left")],
        "stratify": ["boolean"],
    }

    def __init__(
        self,
        n_samples_to_select=0.1,
        *,
        trade_off=0.0,
        metric="euclidean",
        n_candidates=30,
        max_exchanges=100,
        stratify=False,
    ):
        self.n_samples_to_select = n_samples_to_select
        self.trade_off = trade_off
        self.metric = metric
        self.n_candidates = n_candidates
        self.max_exchanges = max_exchanges
        self.stratify = stratify

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y=None,
        *,
        X_target=None,
        y_target=None,
        target_weight=None,
        gradient_norm=None,
        sample_domain=None,
    ):
        """Select rows of X.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The pool, with the target's rows where ``sample_domain`` says so.

        y : array-like of shape (n_samples,), default=None
            Labels; read with ``stratify`` only.

        X_target : array-like of shape (n_target, n_features), default=None
            The target, where it is not in X. Cross-validation does not split it.

        y_target : array-like of shape (n_target,), default=None
            Its labels, with ``stratify``.

        target_weight : array-like of shape (n_target,), default=None
            Masses of the target's rows, in their order; None: all alike.

        gradient_norm : array-like of shape (n_samples,), default=None
            At least 0 for each row of the pool, such as from `gradient_norms`.

        sample_domain : array-like of shape (n_samples,), default=None
            At least 0: pool; below 0: target, never selected. Without it and X_target the
            pool is its own target.

        Returns
        -------
        self : TransportCoresetSelector

        Raises
        ------
        ImportError
            Without POT.
        ValueError
            If X_target and sample_domain are both given, labels or gradient norms are
            missing that the parameters need, classes outnumber the budget, or distances
            leave the range of floats.
        """
        import_optional("ot", who=WHO, extra="transport")
        X, pool, target = pool_and_target(self, X, X_target, sample_domain)
        labels = self._labels(y, y_target, X_target, sample_domain, target.shape[0])
        weights = column_shares(target_weight, target.shape[0], name="target_weight")
        gains = self._gains(gradient_norm, pool)
        cost = self._distances(X if len(pool) == X.shape[0] else X[pool], target)
        longest = self._longest(cost, X, target)
        cost /= longest
        cost -= gains[:, None].astype(cost.dtype)
        n_selected = number_to_select(self.n_samples_to_select, len(pool))
        with fit_task(self, X, y) as task:
            selected = self._select(task, cost, weights, n_selected, labels)
        self._set_plan(cost[selected], weights, gains[selected], longest)
        self.sample_indices_ = pool[selected]
        return self

    def _labels(self, y, y_target, X_target, sample_domain, n_target):
        """Labels of pool and target as codes of the target's classes, -1 for others."""
        if y_target is not None and X_target is None:
            raise ValueError(
                "y_target goes with X_target; by sample_domain the target's labels are y "
                "in its rows."
            )
        if not self.stratify:
            return None
        if y is None or (X_target is not None and y_target is None):
            missing = "y" if y is None else "y_target"
            raise ValueError(f"stratify=True needs {missing}, which was not given.")
        y = column_or_1d(y)
        if len(y) != self.n_samples_in_:
            raise ValueError(f"y has {len(y)} labels, but X has {self.n_samples_in_}.")
        pool, rows = split_domains(sample_domain, len(y))
        of_target = y[rows] if X_target is None else column_or_1d(y_target)
        if len(of_target) != n_target:
            raise ValueError(
                f"y_target has {len(of_target)} labels, but X_target has {n_target} rows."
            )
        classes, codes = unique_codes(of_target, "y_target")
        of_pool = np.full(len(pool), -1)
        for code, label in enumerate(classes):
            of_pool[y[pool] == label] = code
        return of_pool, codes

    def _gains(self, gradient_norm, pool):
        """Return what the trade-off takes off the cost of each row."""
        if gradient_norm is None:
            if self.trade_off > 0:
                raise ValueError(
                    f"trade_off={self.trade_off} weighs gradient_norm, which was not "
                    "given to fit."
                )
            return np.zeros(len(pool))
        norms = column_or_1d(gradient_norm, dtype=np.float64)
        if len(norms) != self.n_samples_in_:
            raise ValueError(
                f"gradient_norm has {len(norms)} values, but X has {self.n_samples_in_} "
                "rows."
            )
        norms = check_array(norms[pool], ensure_2d=False, input_name="gradient_norm")
        if norms.min() < 0:
            raise ValueError(
                f"gradient_norm must be at least 0, got {norms.min()} as the smallest."
            )
        if not norms.any():
            warnings.warn(
                "gradient_norm is 0 in all rows of the pool: it decides nothing.",
                UserWarning,
                stacklevel=4,
            )
            return norms
        return self.trade_off * (norms / norms.max())

    def _distances(self, X, target):
        """All distances from X to the target, made in blocks: no second matrix."""
        cost = np.empty((X.shape[0], target.shape[0]), np.result_type(X, target))
        blocks = pairwise_distances_chunked(
            X, target, metric=self.metric, working_memory=max(2, cost.nbytes / 2**24)
        )
        start = 0
        for block in blocks:
            cost[start : start + len(block)] = block
            start += len(block)
        return cost

    def _longest(self, cost, X, target):
        """Return the longest distance, 1 where all rows are alike."""
        longest = float(cost.max())
        if not np.isfinite(longest):
            raise ValueError(
                f"metric={self.metric!r} gives distances that are not finite: scale X, or "
                "take another metric."
            )
        if longest == 0 and (X.max(axis=0) - X.min(axis=0)).max() > 0:
            raise ValueError(
                f"metric={self.metric!r} gives a distance of 0 to all pairs of rows, "
                "though rows differ: scale X, or take another metric."
            )
        return longest or 1.0

    def _select(self, task, cost, weights, n_selected, labels):
        """Select in the whole, or in each class; return places in the pool."""
        parts = [(np.arange(len(cost)), np.arange(len(weights)), n_selected)]
        if labels is not None:
            parts = self._parts_by_class(labels, weights, n_selected)
        whole = labels is None
        exchanges = [
            Exchange(
                cost if whole else cost[np.ix_(rows, columns)],
                weights if whole else weights[columns] / weights[columns].sum(),
                n_rows,
                self.n_candidates,
            )
            for rows, columns, n_rows in parts
        ]
        path = [self._mean_value(exchanges)]
        for exchange in exchanges:
            for _ in range(self.max_exchanges):
                if task.is_stopped:
                    break
                with task.step("exchange"):
                    has_improved = exchange.step()
                if not has_improved:
                    break
                path.append(self._mean_value(exchanges))
        self.objective_path_ = np.array(path)
        self.initial_objective_, self.n_exchanges_ = path[0], len(path) - 1
        self.n_transport_solves_ = sum(exchange.n_solves for exchange in exchanges)
        return np.concatenate(
            [
                rows[exchange.selected]
                for exchange, (rows, _, _) in zip(exchanges, parts, strict=True)
            ]
        )

    def _parts_by_class(self, labels, weights, n_selected):
        of_pool, of_target = labels
        shares = np.bincount(of_target, weights=weights)
        wanted = np.flatnonzero(shares)  # not those of target rows without weight
        n_available = np.array([np.count_nonzero(of_pool == code) for code in wanted])
        if not n_available.any():
            raise ValueError(
                "stratify=True needs rows of the target's classes, and the pool has none."
            )
        budgets = class_budgets(n_selected, shares[wanted], n_available)
        return [
            (np.flatnonzero(of_pool == code), np.flatnonzero(of_target == code), budget)
            for code, budget in zip(wanted, budgets, strict=True)
            if budget
        ]

    @staticmethod
    def _mean_value(exchanges):
        sizes = [len(exchange.selected) for exchange in exchanges]
        return float(np.average([e.value for e in exchanges], weights=sizes))

    def _set_plan(self, cost, weights, gains, longest):
        masses = np.full(len(cost), 1 / len(cost))
        value, plan, _, _ = transport_plan(masses, weights, cost, who=WHO)
        self.n_transport_solves_ += 1
        self.objective_, self.plan_ = value, csc_array(plan)
        self.transport_distance_ = (value + float(gains.mean())) * longest

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.metric in SPARSE_METRICS
        tags.target_tags.required = self.stratify
        return tags
