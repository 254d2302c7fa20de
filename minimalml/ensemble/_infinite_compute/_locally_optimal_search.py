"""Descent on a grid of parameters to a point that no neighbour beats.

Joint tuning costs the product of the lists' lengths by a full grid, and here about a step in
each direction at each move. Kim, Kotha, Liang, Hashimoto: "Pre-training under infinite
compute", 2025.
"""

import numpy as np
from sklearn.model_selection import ParameterGrid
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._split import _yields_constant_splits

from minimalml._core.validation import Integral, Interval, StrOptions


def climb(evaluate, sizes, start, max_evaluations=None):
    """Step from a place on a grid to the best neighbour while one is better.

    Parameters
    ----------
    evaluate : callable
        Of a list of places, tuples of int, returns their scores; fewer to stop there.
    sizes : sequence of int
        Length of each side of the grid.
    start : tuple of int
    max_evaluations : int, default=None

    Returns
    -------
    place : tuple of int
        The best that was seen.
    scores : dict of place to score, in the order of evaluation
    certificate : bool
        Whether all its neighbours were seen.
    """
    scores, place = {}, start

    def see(places):
        left = None if max_evaluations is None else max_evaluations - len(scores)
        new = [one for one in places if one not in scores][:left]
        if new:
            found = np.nan_to_num(evaluate(new), nan=-np.inf).tolist()
            scores.update(zip(new, found, strict=False))

    see([start])
    while True:
        around = _neighbours(place, sizes)
        see(around)
        seen = [one for one in around if one in scores]
        best = max(seen, key=scores.get, default=place)
        if not scores[best] > scores[place]:
            return place, scores, len(seen) == len(around)
        place = best


def _neighbours(place, sizes):
    """Return the places one step away, a lower step before a higher."""
    return [
        (*place[:side], place[side] + step, *place[side + 1 :])
        for side, size in enumerate(sizes)
        for step in (-1, 1)
        if 0 <= place[side] + step < size
    ]


class LocallyOptimalSearchCV(BaseSearchCV):
    """Search a grid by steps to the best neighbour, until no neighbour is better.

    For ordered values, such as powers of two of learning rate, epochs and weight decay,
    whose score has one hill: it reaches the top in a few dozen fits where the whole grid has
    hundreds. On a score with several hills the start decides; take
    `~sklearn.model_selection.GridSearchCV` there, and for values without an order.

    Parameters
    ----------
    estimator : estimator
        What to search.

    param_grid : dict of str to list
        Values of each parameter in order; a step goes to the one before or after.

    start : "middle" or dict of str to value, default="middle"
        Where to begin: entry ``len // 2`` of each list, or one of the values of each.

    max_evaluations : int, default=None
        Points that may be evaluated; None stops only where no neighbour is better.

    scoring : str, callable, list, tuple, dict or None, default=None
        As in GridSearchCV. Of several metrics, ``refit`` names the one that leads.

    cv : int, cross-validation generator, iterable or None, default=None
        As in GridSearchCV; the splits must be the same at each call.

    refit : bool or str, default=True
        Whether to fit to all rows at the end point, or the metric that leads.

    n_jobs : int, default=None
        Jobs in parallel; neighbours are fitted in one batch.

    verbose : int, default=0
        1 prints a line a batch, more a line a fit.

    Attributes
    ----------
    certificate_ : bool
        Whether all neighbours of the end point were evaluated and none is better; False if
        ``max_evaluations`` ended the search.

    n_evaluations_ : int
        Points evaluated.

    cv_results_ : dict of ndarrays
        As in GridSearchCV, a row for each point, in the order of evaluation.

    best_index_ : int
        Row of the end point.

    best_params_ : dict
        Its parameters.

    best_score_ : float
        Its mean score.

    best_estimator_ : estimator
        Fitted with them to all rows, if ``refit``.

    scorer_ : function or dict
        What scored.

    n_splits_ : int
        Number of splits.

    refit_time_ : float
        Seconds of the last fit.

    multimetric_ : bool
        Whether there are several metrics.

    classes_ : ndarray of shape (n_classes,)
        Of the fitted classifier.

    n_features_in_ : int
        Number of features seen by `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by `fit`, if all are strings.

    See Also
    --------
    sklearn.model_selection.GridSearchCV : Evaluates all points.

    References
    ----------
    .. [1] K. Kim, S. Kotha, P. Liang, T. Hashimoto, "Pre-training under infinite compute",
       2025. arXiv:2509.14786

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> from minimalml.ensemble import LocallyOptimalSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> grid = {"C": [0.01, 0.1, 1, 10, 100, 1000], "gamma": [0.001, 0.01, 0.1, 1, 10]}
    >>> search = LocallyOptimalSearchCV(SVC(), grid).fit(X, y)
    >>> search.certificate_, search.n_evaluations_ < 30
    (True, True)
    """

    _parameter_constraints = {
        **BaseSearchCV._parameter_constraints,
        "param_grid": [dict],
        "start": [StrOptions({"middle"}), dict],
        "max_evaluations": [Interval(Integral, 1, None, closed="left"), None],
        "refit": ["boolean", str],
    }
    for _name in ("pre_dispatch", "error_score", "return_train_score"):
        del _parameter_constraints[_name]

    def __init__(
        self,
        estimator,
        param_grid,
        *,
        start="middle",
        max_evaluations=None,
        scoring=None,
        cv=None,
        refit=True,
        n_jobs=None,
        verbose=0,
    ):
        super().__init__(
            estimator,
            scoring=scoring,
            cv=cv,
            refit=refit,
            n_jobs=n_jobs,
            verbose=verbose,
            return_train_score=False,
        )
        self.param_grid = param_grid
        self.start = start
        self.max_evaluations = max_evaluations

    def _check_input_parameters(self, X, y, split_params):
        if not _yields_constant_splits(self._checked_cv_orig):
            raise ValueError(
                "cv must give the same splits at each call, got "
                f"{self._checked_cv_orig}: set its random_state to an int, or shuffle=False."
            )

    def _run_search(self, evaluate_candidates, *, callback_ctx=None):
        ParameterGrid(self.param_grid)  # checks the lists
        lists = list(self.param_grid.values())
        search = callback_ctx.subcontext(task_name="search", max_subtasks=None)
        search.call_on_fit_task_begin(estimator=self)
        is_stopped = False

        def evaluate(places):
            nonlocal is_stopped
            if is_stopped:
                return []
            batch = search.subcontext(
                task_name="batch",
                max_subtasks=len(places) * self.n_splits_,
                sequential_subtasks=False,
            )
            batch.call_on_fit_task_begin(estimator=self)
            results = evaluate_candidates(
                map(self._params_at, places), callback_ctx=batch
            )
            is_stopped = batch.call_on_fit_task_end(estimator=self)
            return self._leading_scores(results)[-len(places) :]

        place, scores, self.certificate_ = climb(
            evaluate,
            [len(one) for one in lists],
            self._start(lists),
            self.max_evaluations,
        )
        self.n_evaluations_ = len(scores)
        self._end = list(scores).index(place)
        search.call_on_fit_task_end(estimator=self)

    def _params_at(self, place):
        pairs = zip(self.param_grid.items(), place, strict=True)
        return {name: values[step] for (name, values), step in pairs}

    def _start(self, lists):
        """Return the place to begin at."""
        if self.start == "middle":
            return tuple(len(values) // 2 for values in lists)
        if self.start.keys() != self.param_grid.keys():
            raise ValueError(
                f"start must have the parameters of param_grid, {list(self.param_grid)}, "
                f"got {list(self.start)}."
            )
        return tuple(
            _place_of(self.start[name], name, values)
            for name, values in self.param_grid.items()
        )

    def _leading_scores(self, results):
        """Return mean scores by the metric that leads."""
        for name in (self.refit, "score"):
            if f"mean_test_{name}" in results:
                return results[f"mean_test_{name}"]
        raise ValueError(
            "refit must name the metric that leads where there are several, got "
            f"{self.refit!r}."
        )

    def _select_best_index(self, refit, refit_metric, results):
        return self._end


def _place_of(value, name, values):
    for place, candidate in enumerate(values):
        if candidate is value or candidate == value:
            return place
    raise ValueError(
        f"start must have one of param_grid's values, got {name}={value!r}, which is not "
        f"among {list(values)}."
    )
