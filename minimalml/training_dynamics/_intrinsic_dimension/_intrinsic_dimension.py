"""How many numbers does a task need? The smallest subspace in which a network does well.

Li et al., ICLR 2018.
"""

import math
import time
import warnings
from itertools import product

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv, train_test_split
from sklearn.utils import _safe_indexing, check_random_state, indexable
from sklearn.utils.parallel import Parallel, delayed

from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.models.delegation import DelegatingMixin
from minimalml._core.validation import (
    HasMethods,
    Integral,
    Interval,
    Real,
    StrOptions,
    _fit_context,
    check_method_params,
)
from minimalml.training_dynamics._intrinsic_dimension._subspace_classifier import (
    SubspaceClassifier,
)
from minimalml.training_dynamics._intrinsic_dimension._subspace_module import (
    TooFewDimensionsError,
)

HELD_OUT = 0.25  # of the rows, where no cv says which


def smallest_dimension(
    is_enough, min_dimension, max_dimension, growth, resolution, is_stopped
):
    """Return the smallest dimension of which ``is_enough`` is true, or infinity.

    Dimensions grow until one is enough; the last that failed and that one are then
    narrowed down by geometric means. ``max_dimension()`` may be known only after the
    first evaluation; ``is_stopped()`` ends with what is known.
    """
    failed, dimension, power = 0, int(min(min_dimension, max_dimension())), 0
    while not is_enough(dimension):
        if dimension >= max_dimension() or is_stopped():
            return np.inf
        failed = dimension
        while dimension == failed:  # slow growth may round to the same
            power += 1
            dimension = math.ceil(min_dimension * growth**power)
        dimension = int(min(dimension, max_dimension()))
    ratio = 1 + resolution
    while failed and dimension > max(failed + 1, failed * ratio) and not is_stopped():
        middle = round(math.sqrt(failed * dimension))
        middle = min(max(middle, failed + 1), dimension - 1)
        if is_enough(middle):
            dimension = middle
        else:
            failed = middle
    return dimension


class IntrinsicDimension(
    CallbackSupportMixin, DelegatingMixin, MetaEstimatorMixin, BaseEstimator
):
    """Measure how many parameters a task needs, and keep the smallest model that does.

    The smallest dimension of a random subspace in which training reaches a share of the
    whole network's score: it compares tasks, networks, and how well a pretrained start
    fits a task. It is not the way to the best score. Costs about 12 times ``n_repeats``
    fits.

    Parameters
    ----------
    estimator : estimator, default=None
        None is ``SubspaceClassifier()``. Any other has its parameters ``dimension``,
        of which None trains all weights, and ``random_state``.

    threshold : float, default=0.9
        Share of the baseline, in (0, 1], that has to be reached.

    baseline : "direct" or float, default="direct"
        A score; "direct" is the estimator's with ``dimension=None``, the mean over
        ``n_repeats``.

    min_dimension : int, default=1
        Where the search begins.

    max_dimension : int, default=None
        Where it ends; None is the number of the network's weights.

    growth : float, default=2.0
        Factor, above 1, from one dimension to the next until one is enough.

    resolution : float, default=0.1
        The result is at most by this share above a dimension that was not enough.

    n_repeats : int, default=3
        Fits at each dimension, of other starts and projections: the mean counts.

    cv : int, splitter, iterable of splits or None, default=None
        Rows to train and to score; None holds out a quarter, by class. A list
        ``[(rows, rows)]`` scores what is learnt by heart.

    scoring : str or callable, default=None
        Scorer, greater is better; None is the estimator's ``score``.

    n_jobs : int, default=None
        Fits of a dimension that run at once.

    random_state : int, RandomState instance or None, default=None
        An int makes the search repeatable.

    Attributes
    ----------
    dimension_ : int or float
        The intrinsic dimension; ``numpy.inf`` if no dimension was enough.

    baseline_score_ : float
        Of the network without a subspace, or as it was given.

    target_score_ : float
        ``threshold * baseline_score_``.

    results_ : dict of str to ndarray
        Columns ``dimension``, ``repeat``, ``split``, ``score`` and ``fit_time``.

    best_estimator_ : estimator
        Fitted to all rows at ``dimension_``, or at the largest that was tried.

    n_full_parameters_ : int
        Number of the network's weights.

    classes_, n_features_in_, feature_names_in_ :
        Of ``best_estimator_``.

    See Also
    --------
    SubspaceClassifier : Trains in one subspace.

    Notes
    -----
    Dimensions that scales of layers use up (``structure_aware``) count as failed and
    are not run. An isotonic fit of the scores crosses the target at the same place.

    References
    ----------
    Li et al., "Measuring the intrinsic dimension of objective landscapes", ICLR 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import scale
    >>> from minimalml.training_dynamics import IntrinsicDimension, SubspaceClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SubspaceClassifier(hidden_layer_sizes=(16,), max_epochs=50)
    >>> search = IntrinsicDimension(model, n_repeats=2, random_state=0)
    >>> search.fit(scale(X), y).dimension_ < search.n_full_parameters_ / 10
    True
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "get_params"]), None],
        "threshold": [Interval(Real, 0, 1, closed="right")],
        "baseline": [StrOptions({"direct"}), Real],
        "min_dimension": [Interval(Integral, 1, None, closed="left")],
        "max_dimension": [Interval(Integral, 1, None, closed="left"), None],
        "growth": [Interval(Real, 1, None, closed="neither")],
        "resolution": [Interval(Real, 0, None, closed="left")],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        threshold=0.9,
        baseline="direct",
        min_dimension=1,
        max_dimension=None,
        growth=2.0,
        resolution=0.1,
        n_repeats=3,
        cv=None,
        scoring=None,
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.threshold = threshold
        self.baseline = baseline
        self.min_dimension = min_dimension
        self.max_dimension = max_dimension
        self.growth = growth
        self.resolution = resolution
        self.n_repeats = n_repeats
        self.cv = cv
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.random_state = random_state

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, **params):
        """Search the dimension, and fit the estimator at it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, as the estimator takes them.

        y : array-like of shape (n_samples,)
            Targets.

        **params : dict
            Passed to the estimator's ``fit``, by row where they hold one a row.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If ``min_dimension`` is above ``max_dimension``, or the baseline is not
            above 0.
        """
        low, high = self.min_dimension, self.max_dimension
        if low > (high or np.inf):
            raise ValueError(f"min_dimension={low} is above max_dimension={high}.")
        if y is None:
            raise ValueError("fit requires y to be passed, but the target y is None.")
        X, y = indexable(X, y)
        with fit_task(self, X, y) as task:
            runs = _Runs(self, X, y, self._route("fit", params), task)
            self.baseline_score_ = self._baseline(runs)
            self.target_score_ = self.threshold * self.baseline_score_
            self.dimension_ = smallest_dimension(
                lambda dimension: runs.score(dimension) >= self.target_score_,
                self.min_dimension,
                lambda: min(self.max_dimension or np.inf, runs.n_full),
                self.growth,
                self.resolution,
                lambda: task.is_stopped,
            )
            last = min(self.dimension_, runs.largest)
            if self.dimension_ == np.inf:
                message = (
                    f"no dimension up to {last} reached the target score, "
                    f"{self.target_score_:.4g}: raise max_epochs or lower threshold."
                )
                warnings.warn(message, ConvergenceWarning, stacklevel=3)
            with task.step("refit", attributes={}):
                self.estimator_ = runs.model(last, 0).fit(X, y, **runs.params)
                self.best_estimator_ = self.estimator_
        self.results_, self.n_full_parameters_ = runs.results(), runs.n_full
        self._take_feature_names()
        return self

    def _estimator(self):
        return SubspaceClassifier() if self.estimator is None else self.estimator

    def _baseline(self, runs):
        score = runs.score(None) if self.baseline == "direct" else float(self.baseline)
        if not score > 0:
            raise ValueError(
                f"the baseline score must be above 0, got {score}: the target is not "
                "defined; pass baseline or scoring."
            )
        return score


class _Runs:
    """Fits at one dimension after another, and what came out."""

    def __init__(self, search, X, y, params, task):
        random_state = check_random_state(search.random_state)
        self.estimator, self.X, self.y = search._estimator(), X, y
        self.params, self.task, self.n_jobs = params, task, search.n_jobs
        self.scorer = check_scoring(self.estimator, scoring=search.scoring)
        self.splits = _splits(self.estimator, search.cv, X, y, random_state)
        # the same at each dimension: subspaces of one repeat lie in one another
        self.seeds = random_state.randint(2**31 - 1, size=search.n_repeats).tolist()
        self.n_full, self.largest, self.rows = np.inf, 0, []

    def score(self, dimension):
        """Return the mean score over repeats and splits; None is without a subspace."""
        tasks = list(product(range(len(self.seeds)), range(len(self.splits))))
        with self.task.step("dimension", attributes={}):
            fits = Parallel(self.n_jobs)(
                delayed(_fit_and_score)(
                    self.model(dimension, repeat), self.X, self.y, self.splits[split],
                    self.params, self.scorer,
                )
                for repeat, split in tasks
            )  # fmt: skip
        self.largest = max(self.largest, dimension or 0)
        if None in fits:
            return -np.inf
        self.n_full = fits[0][2]
        if dimension is not None:
            pairs = zip(tasks, fits, strict=True)
            self.rows += [(dimension, *task, *fit[:2]) for task, fit in pairs]
        return float(np.mean([fit[0] for fit in fits]))

    def results(self):
        """Return the columns of all fits by name."""
        names = ("dimension", "repeat", "split", "score", "fit_time")
        columns = zip(*self.rows, strict=True)
        return {n: np.array(c) for n, c in zip(names, columns, strict=True)}

    def model(self, dimension, repeat):
        """Return the estimator to fit."""
        seed = self.seeds[repeat]
        return clone(self.estimator).set_params(dimension=dimension, random_state=seed)


def _fit_and_score(model, X, y, split, params, scorer):
    """Return score, seconds of the fit and D; None where the dimension is too small."""
    train, test = split
    params = check_method_params(X, params, indices=train)
    start = time.perf_counter()
    try:
        model.fit(_safe_indexing(X, train), _safe_indexing(y, train), **params)
    except TooFewDimensionsError:
        return None
    seconds = time.perf_counter() - start
    score = scorer(model, _safe_indexing(X, test), _safe_indexing(y, test))
    return float(score), seconds, model.n_full_parameters_


def _splits(estimator, cv, X, y, random_state):
    """Return pairs of training and test rows."""
    if cv is not None:
        cv = check_cv(cv, y, classifier=is_classifier(estimator))
        return list(cv.split(X, y))
    rows, stratify = np.arange(len(y)), None
    if is_classifier(estimator):
        stratify = np.ravel(y)
        _, counts = np.unique(stratify, return_counts=True)
        if counts.min() < 2 or len(counts) > HELD_OUT * len(rows):
            message = (
                f"{len(rows)} rows are too few to hold out some of each of the "
                f"{len(counts)} classes: the training rows are scored. Give cv."
            )
            warnings.warn(message, UserWarning, stacklevel=4)
            return [(rows, rows)]
    parts = train_test_split(
        rows, test_size=HELD_OUT, stratify=stratify, random_state=random_state
    )
    return [tuple(parts)]
