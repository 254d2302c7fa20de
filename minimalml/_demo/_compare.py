"""Search every contender on the same splits, and say who wins and how surely."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.callback import ProgressBar
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.parallel import Parallel, delayed


class Contender(NamedTuple):
    """One way to solve the problem, with the grid that its search may use."""

    name: str
    estimator: BaseEstimator
    grid: dict
    is_ours: bool = False


@dataclass
class Demo:
    """What one family shows.

    Attributes
    ----------
    title, question, data : str
        Heading, what the comparison asks, and what the data are, in plain words.
    X, y : ndarray
        A data set that scikit-learn ships.
    contenders : sequence of Contender
        Ours and what one would use instead, tuned alike.
    baseline : str
        Name of the contender that differences are taken from.
    scoring, metric : str
        scikit-learn's scorer, and what its size is called.
    code : str
        The search as a user would write it; ``showcase`` is the same as an object.
    showcase : GridSearchCV
        Fitted once with nested progress bars.
    figures : callable
        ``figures(showcase) -> [(caption, figure)]``, drawn for the report.
    splits : ShuffleSplit or StratifiedShuffleSplit
        The outer splits, whose test parts no search sees.
    inner_folds : int
        Folds of the search on each training part.
    """

    title: str
    question: str
    data: str
    X: np.ndarray
    y: np.ndarray
    contenders: Sequence[Contender]
    baseline: str
    scoring: str
    metric: str
    code: str
    showcase: GridSearchCV
    figures: Callable
    splits: ShuffleSplit
    inner_folds: int = 3

    @property
    def lower_is_better(self):
        """Whether the scorer is the negative of the metric."""
        return self.scoring.startswith("neg_")


def with_error(value, error, sign=""):
    """Write a value and its error, rounded to two digits of the error."""
    digits = 1 if error == 0 else max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:{sign}.{digits}f} ± {error:.{digits}f}"


@dataclass
class Result:
    """Test figures of every contender on every split.

    Attributes
    ----------
    demo : Demo
        What was asked.
    values : ndarray of shape (n_splits, n_contenders)
        The metric on the test part.
    seconds : ndarray of shape (n_splits, n_contenders)
        Time of one fit with the parameters that the search chose.
    params : list of list of dict
        Those parameters.
    """

    demo: Demo
    values: np.ndarray
    seconds: np.ndarray
    params: list

    def index(self, name):
        """Return the position of a contender."""
        return [c.name for c in self.demo.contenders].index(name)

    def order(self):
        """Positions of the contenders, best mean first."""
        means = self.values.mean(axis=0)
        return np.argsort(means if self.demo.lower_is_better else -means)

    def difference(self, first, second):
        """Mean and standard deviation, over splits, of ``first`` minus ``second``."""
        paired = self.values[:, first] - self.values[:, second]
        return paired.mean(), paired.std(ddof=1)

    def wins(self, first, second):
        """On how many splits ``first`` is better than ``second``."""
        paired = self.values[:, first] - self.values[:, second]
        return int(np.sum(paired < 0 if self.demo.lower_is_better else paired > 0))

    def verdict(self):
        """Say who wins, over whom, and how surely."""
        contenders, order = self.demo.contenders, self.order()
        best = order[0]
        rival = next(
            i for i in order if contenders[i].is_ours != contenders[best].is_ours
        )
        mean, spread = self.difference(best, rival)
        n_splits, wins = len(self.values), self.wins(best, rival)
        if abs(mean) < spread:
            lead = f"within the noise, ahead on {wins} of {n_splits} splits"
        else:
            lead = f"ahead on {wins} of {n_splits} splits"
        word = "lowest" if self.demo.lower_is_better else "highest"
        whose = "minimalml's" if contenders[rival].is_ours else "what one would use"
        values = self.values[:, best]
        name = contenders[best].name
        return (
            f"{name[0].upper()}{name[1:]} has the {word} mean {self.demo.metric}, "
            f"{with_error(values.mean(), values.std(ddof=1))}. Against the best of "
            f"{whose}, {contenders[rival].name}, the difference is "
            f"{with_error(mean, spread, '+')}: {lead}."
        )


def pipeline_for(estimator):
    """Scale, then fit: the pipeline that every contender goes into."""
    return Pipeline([("scale", StandardScaler()), ("model", estimator)])


def search_all(demo, n_jobs):
    """One search over all contenders: the model itself is searched, and its grid."""
    grids = [
        {"model": [c.estimator]} | {f"model__{k}": v for k, v in c.grid.items()}
        for c in demo.contenders
    ]
    pipeline = pipeline_for(demo.contenders[0].estimator)
    return GridSearchCV(
        pipeline,
        grids,
        scoring=demo.scoring,
        cv=demo.inner_folds,
        refit=False,
        n_jobs=n_jobs,
    )


def best_candidates(search, demo):
    """Return the best parameters of each contender, from one search over all."""
    scores = search.cv_results_["mean_test_score"]
    candidates = search.cv_results_["params"]
    best = []
    for contender in demo.contenders:
        mine = [
            i for i, p in enumerate(candidates) if p["model"] is contender.estimator
        ]
        best.append(candidates[max(mine, key=lambda i: scores[i])])
    return best


def fit_and_score(params, scoring, X_train, y_train, X_test, y_test):
    """Fit one candidate on the training part: metric on the test part, seconds."""
    model = clone(pipeline_for(params["model"])).set_params(
        **{k: v for k, v in params.items() if k != "model"}
    )
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    return abs(get_scorer(scoring)(model, X_test, y_test)), seconds


def compare(demo, n_jobs=-1):
    """Run one demo: the showcase, then every contender on every split."""
    print(f"\n{demo.title}\n{demo.data}\n\nOne search, all its levels:")
    with warnings.catch_warnings():
        # Boosted trees and the like can't report progress; the search still does
        warnings.filterwarnings("ignore", message=".*does not support callbacks.*")
        # A fixed number of epochs keeps the demo short
        warnings.simplefilter("ignore", ConvergenceWarning)
        demo.showcase.set_params(n_jobs=n_jobs)
        demo.showcase.set_callbacks(ProgressBar(max_propagation_depth=None))
        demo.showcase.fit(demo.X, demo.y)
        values, seconds, params = [], [], []
        n_splits = demo.splits.get_n_splits()
        for number, (train, test) in enumerate(demo.splits.split(demo.X, demo.y), 1):
            print(f"\nAll contenders, split {number} of {n_splits}:")
            search = search_all(demo, n_jobs)
            search.set_callbacks(ProgressBar(max_propagation_depth=0))
            search.fit(demo.X[train], demo.y[train])
            params.append(best_candidates(search, demo))
            scored = Parallel(n_jobs)(
                delayed(fit_and_score)(
                    p,
                    demo.scoring,
                    demo.X[train],
                    demo.y[train],
                    demo.X[test],
                    demo.y[test],
                )
                for p in params[-1]
            )
            values.append([value for value, _ in scored])
            seconds.append([second for _, second in scored])
    return Result(demo, np.array(values), np.array(seconds), params)
