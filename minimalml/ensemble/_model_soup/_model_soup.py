"""Train a sweep from one start and average it: a search that returns a mixture.

Wortsman et al., "Model soups", ICML 2022.
"""

import warnings
from collections.abc import Mapping
from functools import partial
from itertools import chain, takewhile

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    RegressorMixin,
)
from sklearn.metrics import get_scorer_names
from sklearn.model_selection import ParameterGrid
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.parallel import Parallel, delayed

from minimalml._core.arrays import import_torch
from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.models.delegation import DelegatingMixin
from minimalml._core.models.prefit import copy_of_trained
from minimalml._core.training.documentation import complete_docstring
from minimalml._core.validation import (
    HasMethods,
    Integral,
    Interval,
    Real,
    StrOptions,
    _fit_context,
)
from minimalml.ensemble._model_soup._averages import (
    model_state,
    set_model_state,
    weighted_mean,
)
from minimalml.ensemble._model_soup._candidates import (
    given_start,
    new_start,
    refuse_architecture,
    refuse_no_warm_start,
    start_of_weights,
    sweep_points,
    train_candidate,
    unfrozen,
)
from minimalml.ensemble._model_soup._documentation import ATTRIBUTES, PARAMETERS
from minimalml.ensemble._model_soup._greedy_soup import (
    ACCEPT,
    best_first,
    grow_soup,
    warn_of_diverged,
)
from minimalml.ensemble._model_soup._validation_rows import choose_scorer, split_rows

document_soup = partial(
    complete_docstring, parameters=PARAMETERS, attributes=ATTRIBUTES
)


class BaseModelSoup(
    CallbackSupportMixin, DelegatingMixin, MetaEstimatorMixin, BaseEstimator
):
    """What the two kinds share; they say what y and the default scoring are."""

    # what fit is given is its own: it splits rows, and hands weights on
    _routed_methods = ()
    _parameter_constraints = {
        "estimator": [HasMethods("fit"), None],
        "param_distributions": [dict, list, ParameterGrid, None],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
        "method": [StrOptions({"greedy", "uniform", "learned"})],
        "accept": [StrOptions(ACCEPT), Interval(Real, 0, np.inf, closed="both")],
        "top": [Interval(Integral, 1, None, closed="left"), None],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "init": [HasMethods("fit"), Mapping, None],
        "pretrain_params": [dict, None],
        "interpolation_with_init": [Interval(Real, 0, 1, closed="both")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator=None,
        param_distributions=None,
        *,
        n_candidates=16,
        method="greedy",
        accept="not_worse",
        top=None,
        scoring=None,
        validation_fraction=0.2,
        init=None,
        pretrain_params=None,
        interpolation_with_init=1.0,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.param_distributions = param_distributions
        self.n_candidates = n_candidates
        self.method = method
        self.accept = accept
        self.top = top
        self.scoring = scoring
        self.validation_fraction = validation_fraction
        self.init = init
        self.pretrain_params = pretrain_params
        self.interpolation_with_init = interpolation_with_init
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, X_val=None, y_val=None, sample_weight=None):
        """Train the candidates and average them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, as the estimator takes them.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets; one class label a row for classifiers.

        X_val, y_val : array-like, default=None
            Rows to validate on, and their targets. None holds out a part of X.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows, in fits and in scores of rows that are held out.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError
            If the estimator is of the wrong kind, can't go on from given weights, or
            ``method="learned"`` can't differentiate it.
        ValueError
            If a parameter changes the architecture, ``init`` has other weights or
            classes, all candidates diverged, or y has one class.
        ImportError
            If ``method="learned"`` and torch is not installed.
        """
        estimator = self._checked_estimator()
        random_state = check_random_state(self.random_state)
        points = sweep_points(
            self.param_distributions, self.n_candidates, estimator, random_state
        )
        for point in points:
            refuse_architecture(point, estimator, "param_distributions")
        pretrain_params = self.pretrain_params or {}
        refuse_architecture(pretrain_params, estimator, "pretrain_params")
        rows = split_rows(
            X, y, X_val, y_val, sample_weight, self._kind, self.validation_fraction,
            random_state,
        )  # fmt: skip
        seeds = random_state.randint(2**31 - 1, size=2 + len(points)).tolist()
        with fit_task(self, X, y) as task:
            with task.step("start", attributes={}):
                start = self._start(estimator, pretrain_params, seeds[0], rows)
                self.estimator_ = copy_of_trained(start)
                self._take_feature_names()
            self.init_ = model_state(start)
            scorer = choose_scorer(self.scoring, start, len(rows.y_val))
            self._train(start, points, seeds[2:], rows, scorer, task)
            state = self._mix(rows, scorer, seeds[1], task)
        t = self.interpolation_with_init
        state = weighted_mean([self.init_, state], np.array([1 - t, t]))
        set_model_state(self.estimator_, state)
        self.weights_ = model_state(self.estimator_)
        return self

    def _estimator(self):
        if self.estimator is not None:
            return self.estimator
        if hasattr(self.init, "fit"):
            return unfrozen(self.init)
        return self._default_estimator()

    def _checked_estimator(self):
        estimator = self._estimator()
        if get_tags(estimator).estimator_type != self._kind:
            raise TypeError(
                f"estimator of {type(self).__name__} must be a {self._kind}, got "
                f"{type(estimator).__name__}."
            )
        refuse_no_warm_start(estimator)
        return estimator

    def _start(self, estimator, pretrain_params, seed, rows):
        """Return the model that all candidates go on from."""
        if self.init is None:
            return new_start(estimator, pretrain_params, seed, rows)
        if isinstance(self.init, Mapping):
            return start_of_weights(self.init, estimator, seed, rows)
        start = given_start(self.init, estimator)
        if self._kind == "classifier" and not np.array_equal(
            start.classes_, np.unique(rows.y)
        ):
            raise ValueError(
                f"init was fitted on classes {start.classes_.tolist()}, but y has "
                f"{np.unique(rows.y).tolist()}: both must have the same."
            )
        return start

    def _train(self, start, points, seeds, rows, scorer, task):
        """Train the candidates, and keep what they are and how they score."""
        trained = Parallel(self.n_jobs, return_as="generator")(
            delayed(train_candidate)(start, point, seed, rows, scorer)
            for point, seed in zip(points, seeds, strict=True)
        )
        found = []
        while len(found) < len(points) and not (found and task.is_stopped):
            with task.step("candidate", attributes={}):
                found.append(next(trained))
            self._say(f"{points[len(found) - 1]}: {found[-1][1]:.6g}")
        trained.close()
        self.candidate_params_ = points[: len(found)]
        self.candidates_ = [state for state, _ in found]
        self.candidate_scores_ = np.array([score for _, score in found])
        warn_of_diverged(self.candidate_scores_, "candidates")

    def _mix(self, rows, scorer, seed, task):
        """Return the soup's state, before the interpolation with the start."""
        scores, states = self.candidate_scores_, self.candidates_
        order = best_first(scores)
        self.best_index_ = order[0]
        self.best_params_ = self.candidate_params_[order[0]]
        order = order[: self.top]

        def score(state):
            with task.step("soup", attributes={}):
                model = set_model_state(self.estimator_, state)
                value = rows.score(scorer, model)
            self._say(f"soup: {value:.6g}")
            return value

        if self.method == "greedy":
            others = takewhile(lambda _: not task.is_stopped, order[1:])
            order = chain(order[:1], others)
            state, self.ingredients_, self.soup_scores_ = grow_soup(
                states, order, scores, score, self.accept
            )
            mixing = 1.0 / len(self.ingredients_)
        else:
            states, self.ingredients_ = [states[i] for i in order], order
            mixing = np.full(len(order), 1.0 / len(order))
            if self.method == "learned":
                mixing = self._learn(states, rows, seed)
            state = weighted_mean(states, mixing)
            self.soup_scores_ = np.array([scores[order[0]], score(state)])
            self._warn_of_basins(self.soup_scores_[1], scores[order].min())
        self.mixing_weights_ = np.zeros(len(scores))
        self.mixing_weights_[self.ingredients_] = mixing
        return state

    def _learn(self, states, rows, seed):
        import_torch(f"{type(self).__name__}(method='learned')")
        from minimalml.ensemble._model_soup._learned_torch import learn_mixing_weights

        return learn_mixing_weights(
            self.estimator_, states, rows.X_val, rows.y_val, rows.weight_val, seed
        )

    def _warn_of_basins(self, score, worst):
        if score < worst:
            warnings.warn(
                f"the {self.method} soup scores {score:.6g}, below the worst candidate, "
                f"{worst:.6g}: the candidates don't share one basin. Train them for less "
                "long or at lower learning rates, or take method='greedy'.",
                UserWarning,
                stacklevel=6,
            )

    def _say(self, text):
        if self.verbose:
            print(f"[{type(self).__name__}] {text}")


@document_soup
class ModelSoupClassifier(ClassifierMixin, BaseModelSoup):
    """Classify by the average weights of a sweep, instead of its best candidate.

    Stands where a search over training settings stands, with one held-out part: the same
    candidates, and at prediction still one model, which is often better than the best of
    them. All candidates go on from one start, best a model that was trained on much
    more data, as ``init``; else from one fit to X. Not for settings that change the
    architecture. Takes as many fits as candidates, up to as many scorings of soups, and
    the memory of all candidates' weights.

    Parameters
    ----------
    estimator : classifier, default=None
        Of what the candidates are: one that goes on from given weights by
        ``warm_start``, such as MLPClassifier, SGDClassifier, LogisticRegression, a
        network estimator of minimalml, or a pipeline that ends in one. None is
        ``MLPClassifier()``, or the kind of ``init``.

    scoring : str or callable, default=None
        Scorer of candidates and soups. None is the log loss, if there is
        ``predict_proba``, below 2000 validation rows, where accuracy is too coarse to
        tell soups apart, and accuracy from there on.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    See Also
    --------
    greedy_soup : The same for models at hand.
    soup_ensemble_gap : How far a soup of two is from their ensemble.

    Notes
    -----
    Candidates that overflow are left out with a RuntimeWarning. A uniform or learned
    soup that scores below the worst candidate gives a UserWarning: they do not share a
    basin. "learned" minimises the cross-entropy of ``beta f(x; sum_i a_i theta_i)`` over
    ``a = softmax(alpha)`` and beta, by 60 steps of AdamW from the uniform soup.

    References
    ----------
    .. [1] M. Wortsman et al., "Model soups: averaging weights of multiple fine-tuned
       models improves accuracy without increasing inference time", ICML 2022.
       arXiv:2203.05482

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import SGDClassifier
    >>> from minimalml.ensemble import ModelSoupClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> soup = ModelSoupClassifier(
    ...     SGDClassifier("log_loss"), {"alpha": [1e-4, 1e-3, 1e-2]}, random_state=0
    ... ).fit(X, y)
    >>> len(soup.candidates_), bool(soup.soup_scores_[0] == max(soup.candidate_scores_))
    (3, True)
    >>> soup.score(X, y) > 0.9
    True
    """

    _kind = "classifier"
    _default_estimator = MLPClassifier

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = False
        tags.target_tags.multi_output = False
        return tags


@document_soup
class ModelSoupRegressor(RegressorMixin, BaseModelSoup):
    """Predict numbers by the average weights of a sweep, instead of its best candidate.

    As `ModelSoupClassifier`, which says what for, when not, and what it costs.

    Parameters
    ----------
    estimator : regressor, default=None
        Of what the candidates are, such as MLPRegressor, SGDRegressor, or a network
        estimator of minimalml. None is ``MLPRegressor()``, or the kind of ``init``.

    scoring : str or callable, default=None
        Scorer of candidates and soups; None is the negative mean squared error.

    See Also
    --------
    ModelSoupClassifier : The same for class labels.

    Notes
    -----
    "learned" minimises the squared error.

    References
    ----------
    .. [1] M. Wortsman et al., "Model soups: averaging weights of multiple fine-tuned
       models improves accuracy without increasing inference time", ICML 2022.
       arXiv:2203.05482

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.linear_model import SGDRegressor
    >>> from minimalml.ensemble import ModelSoupRegressor
    >>> X, y = make_regression(100, 5, random_state=0)
    >>> soup = ModelSoupRegressor(
    ...     SGDRegressor(), {"alpha": [1e-4, 1e-2]}, random_state=0
    ... ).fit(X, y)
    >>> soup.score(X, y) > 0.99
    True
    """

    _kind = "regressor"
    _default_estimator = MLPRegressor
