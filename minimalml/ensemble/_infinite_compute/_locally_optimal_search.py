"""Descent on a grid of parameters to a point that no neighbour beats."""

import numpy as np
from sklearn.model_selection import ParameterGrid
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._split import _yields_constant_splits

from minimalml._core.validation import Integral, Interval, StrOptions


def climb(evaluate, sizes, start, max_evaluations=None):
    """Step from a place on a grid of ``sizes`` to the best neighbour while one is better.

    ``evaluate`` returns the scores of a list of places, tuples of int; fewer to stop there.
    Returns the best place, of equals the first seen, the scores by place in the order of
    evaluation, and whether all neighbours of that place were seen.
    """
    scores, place, around = {}, None, [start]
    while True:
        left = None if max_evaluations is None else max_evaluations - len(scores)
        new = [one for one in around if one not in scores][:left]
        if new:
            found = np.nan_to_num(evaluate(new), nan=-np.inf).tolist()
            scores.update(zip(new, found, strict=False))
        seen = [one for one in around if one in scores]
        best = max(seen, key=scores.get, default=place)  # the first of equals
        if place is not None and not scores[best] > scores[place]:
            return place, scores, len(seen) == len(around)
        place, around = best, _neighbours(best, sizes)


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
    whose score has one hill: it takes a few dozen fits, a step in each direction at each
    move, where a whole grid has hundreds. On several hills the start decides; take
    `~sklearn.model_selection.GridSearchCV` there.

    Parameters
    ----------
    estimator : estimator
        What to search.

    param_grid : dict of str to list
        Values of each parameter in order; a step goes to the one before or after.

    start : "middle" or dict of str to value, default="middle"
        Where to begin: entry ``len // 2`` of each list, or one of the values of each.

    max_evaluations : int, default=None
        Points that may be evaluated.

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
        Whether all neighbours of the end point were evaluated, and so none is better;
        False if ``max_evaluations`` or a callback ended the search.

    n_evaluations_ : int
        Points evaluated.

    best_index_, best_params_, best_score_, best_estimator_, cv_results_ :
        As in GridSearchCV, of the end point, and a row a point in the order of evaluation.

    scorer_, n_splits_, refit_time_, multimetric_, classes_, n_features_in_, \
    feature_names_in_ :
        As in GridSearchCV.

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
        self, estimator, param_grid, *, start="middle", max_evaluations=None,
        scoring=None, cv=None, refit=True, n_jobs=None, verbose=0,
    ):  # fmt: skip
        super().__init__(
            estimator, scoring=scoring, cv=cv, refit=refit, n_jobs=n_jobs, verbose=verbose,
            return_train_score=False,
        )  # fmt: skip
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
        sizes = [len(values) for values in self.param_grid.values()]
        search = callback_ctx.subcontext(
            task_name="search", max_subtasks=None
        ).call_on_fit_task_begin(estimator=self)
        is_stopped = False

        def evaluate(places):
            nonlocal is_stopped
            if is_stopped:
                return []
            batch = search.subcontext(
                task_name="batch", max_subtasks=len(places) * self.n_splits_,
                sequential_subtasks=False,
            ).call_on_fit_task_begin(estimator=self)  # fmt: skip
            points = map(self._params_at, places)
            results = evaluate_candidates(points, callback_ctx=batch)
            is_stopped = batch.call_on_fit_task_end(estimator=self)
            return self._leading_scores(results)[-len(places) :]

        _, scores, self.certificate_ = climb(
            evaluate, sizes, self._start(), self.max_evaluations
        )
        self.n_evaluations_ = len(scores)
        search.call_on_fit_task_end(estimator=self)

    def _params_at(self, place):
        pairs = zip(self.param_grid.items(), place, strict=True)
        return {name: values[step] for (name, values), step in pairs}

    def _start(self):
        """Return the place to begin at."""
        grid = {name: list(values) for name, values in self.param_grid.items()}
        if self.start == "middle":
            return tuple(len(values) // 2 for values in grid.values())
        if self.start.keys() != grid.keys():
            raise ValueError(
                f"start must have the parameters of param_grid, {list(grid)}, got "
                f"{list(self.start)}."
            )
        for name, values in grid.items():
            if self.start[name] not in values:
                raise ValueError(
                    f"start must have values of param_grid, got {name}="
                    f"{self.start[name]!r}, which is not among {values}."
                )
        return tuple(values.index(self.start[name]) for name, values in grid.items())

    def _leading_scores(self, results):
        """Return mean scores by the metric that leads."""
        for name in (self.refit, "score"):
            if f"mean_test_{name}" in results:
                return results[f"mean_test_{name}"]
        raise ValueError(
            "refit must name the metric that leads where there are several, got "
            f"{self.refit!r}."
        )
