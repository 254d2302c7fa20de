"""Teachers: their names, their fits, and what they say of rows that they were not fitted on."""

import pickle
import warnings
from functools import partial
from time import perf_counter

import numpy as np
from joblib import Parallel, delayed
from scipy.sparse import issparse
from scipy.special import softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import check_cv
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils.metadata_routing import _routing_enabled, get_routing_for_object

from minimalml._core.validation import Integral, check_is_fitted, has_fit_parameter
from minimalml.ensemble._distillation._soft_targets import mean_of_teachers


def is_named(teachers):
    """Whether teachers come as (name, estimator) pairs."""
    is_list = isinstance(teachers, list | tuple) and len(teachers) > 0
    return is_list and all(isinstance(t, tuple) and len(t) == 2 for t in teachers)


def name_teachers(teachers):
    """Return (name, estimator) pairs, named after their classes where they have none."""
    teachers = list(teachers)
    if not teachers:
        raise ValueError("teachers must hold at least one estimator, got none.")
    if not is_named(teachers):
        if any(not hasattr(teacher, "fit") for teacher in teachers):
            raise TypeError(
                "teachers must be estimators, or all of them (name, estimator) pairs, got "
                f"{teachers!r}."
            )
        teachers = make_pipeline(*teachers).steps
    return teachers


def set_seeds(estimator, generator):
    """Give each ``random_state`` of ``estimator`` that is None a drawn number."""
    for name, value in sorted(estimator.get_params(deep=True).items()):
        if value is None and name.split("__")[-1] == "random_state":
            estimator.set_params(**{name: generator.randint(2**31 - 1)})
    return estimator


def weight_name(estimator):
    """Return what ``fit`` calls sample weights, those of a Pipeline's last step; or None."""
    if has_fit_parameter(estimator, "sample_weight"):
        return "sample_weight"
    if _routing_enabled():
        router = get_routing_for_object(estimator)
        return "sample_weight" if router.consumes("fit", ["sample_weight"]) else None
    if isinstance(estimator, Pipeline):
        last, step = estimator.steps[-1]
        name = weight_name(step)
        return name and f"{last}__{name}"
    return None


def fit_weighted(estimator, X, y, sample_weight, who):
    """Fit with sample weights, unless they are None; refuse an estimator without."""
    if sample_weight is None:
        return estimator.fit(X, y)
    name = weight_name(estimator)
    if name is None:
        raise TypeError(
            f"sample_weight was given, but {who} ({type(estimator).__name__}) takes none."
        )
    return estimator.fit(X, y, **{name: sample_weight})


def check_prefit(teachers, n_features):
    """Refuse teachers that are not fitted, or on other features."""
    for name, teacher in teachers:
        try:
            check_is_fitted(teacher)
        except NotFittedError as error:
            raise NotFittedError(
                f"prefit=True needs fitted teachers: {name!r} "
                f"({type(teacher).__name__}) is not."
            ) from error
        seen = getattr(teacher, "n_features_in_", n_features)
        if seen != n_features:
            raise ValueError(
                f"X has {n_features} features, but teacher {name!r} was fitted on {seen}."
            )


def refuse_missing(X, parts, owner):
    """Refuse NaN that one of the (name, estimator) pairs, or a network, does not take."""
    if not np.isnan(X.data if issparse(X) else X).any():
        return
    for who, part in parts:
        if part is None or not get_tags(part).input_tags.allow_nan:
            raise ValueError(
                f"Input X contains NaN, which {who} of {owner} does not accept."
            )


def check_methods(teachers, *methods):
    """Refuse teachers with none of the methods, and warn of those without the first."""
    for name, teacher in teachers:
        who = f"teacher {name!r} ({type(teacher).__name__})"
        if not any(hasattr(teacher, method) for method in methods):
            raise TypeError(f"{who} needs {' or '.join(methods)}.")
        if not hasattr(teacher, methods[0]):
            warnings.warn(
                f"{who} has no {methods[0]}: the softmax of its {methods[1]} is not "
                "calibrated.",
                UserWarning,
                stacklevel=6,
            )


class Panel:
    """Teachers who answer as one, by the weighted mean of what each of them says.

    ``classes`` are those whose probabilities they give; None where they give numbers.
    """

    def __init__(self, teachers, weights, classes):
        self.names, self.members = map(list, zip(*teachers, strict=True))
        self.weights, self.classes = weights, classes

    def fit(self, X, y, sample_weight, cv, n_jobs):
        """Fit the members, and return the mean of what they say of the same rows.

        For that a copy of each is fitted on each fold's rows, and asked about the others.
        """
        folds = _make_folds(X, y, cv, is_classifier=self.classes is not None)
        done = Parallel(n_jobs)(
            delayed(_fit_one)(clone(t), name, X, y, sample_weight, fold, self.classes)
            for name, t in zip(self.names, self.members, strict=True)
            for fold in [None, *folds]
        )
        each = len(folds) + 1
        self.members = done[::each]
        if not folds:
            return self.targets(X)
        order = np.argsort(np.concatenate([test for _, test in folds]))
        starts = range(0, len(done), each)
        return self.mean(
            [np.concatenate(done[s + 1 : s + each])[order] for s in starts]
        )

    def targets(self, X):
        """Return the mean of what the members say of rows."""
        return self.mean([ask() for ask in self.asks(X)])

    def asks(self, X):
        """Return a function for each member that says what it says of rows."""
        return [
            partial(answer_of, teacher, f"teacher {name!r}", X, self.classes)
            for name, teacher in zip(self.names, self.members, strict=True)
        ]

    def mean(self, answers):
        """Return the mean as targets, of probabilities in float32."""
        mean = mean_of_teachers(answers, self.weights)
        return mean if self.classes is None else mean.astype(np.float32)

    def compare(self, X, student, ask_student):
        """Return what each model costs, as columns of a table, and the answer of each.

        Before the student, which is the last, comes the mean.
        """
        answers, seconds = [], []
        for ask in [*self.asks(X), ask_student]:
            start = perf_counter()
            answers.append(ask())
            seconds.append(perf_counter() - start)
        n_bytes = [len(pickle.dumps(model)) for model in [*self.members, student]]
        answers.insert(-1, self.mean(answers[:-1]))
        for costs in (seconds, n_bytes):
            costs.insert(-1, sum(costs[:-1]))
        names = [*self.names, "mean of teachers", "student"]
        return {"model": names, "seconds": seconds, "bytes": n_bytes}, answers


def _make_folds(X, y, cv, *, is_classifier):
    """Return (train, test) pairs that part the rows; none where targets are in sample.

    An integer is reduced to the size of the smallest class.
    """
    if cv is None:
        return []
    if isinstance(cv, Integral) and is_classifier:
        smallest = int(np.unique(y, return_counts=True)[1].min())
        if smallest < 2:
            warnings.warn(
                f"cv={cv} needs 2 rows of each class, got a class of {smallest}: the "
                "teachers' targets are in sample.",
                UserWarning,
                stacklevel=7,
            )
            return []
        cv = min(cv, smallest)
    elif isinstance(cv, Integral):
        cv = max(2, min(cv, len(y)))
    folds = list(check_cv(cv, y, classifier=is_classifier).split(X, y))
    tested = np.sort(np.concatenate([test for _, test in folds]))
    if not np.array_equal(tested, np.arange(len(y))):
        raise ValueError(
            f"cv must test each row once, as KFold does, got {type(cv).__name__}."
        )
    return folds


def _fit_one(teacher, name, X, y, sample_weight, fold, classes):
    """Return the fitted teacher, or what it says of the rows that a fold leaves out."""
    who = f"teacher {name!r}"
    if fold is None:
        return fit_weighted(teacher, X, y, sample_weight, who)
    train, test = fold
    weight = None if sample_weight is None else sample_weight[train]
    fit_weighted(teacher, _safe_indexing(X, train), y[train], weight, who)
    return answer_of(teacher, who, _safe_indexing(X, test), classes)


def answer_of(model, who, X, classes):
    """Return probabilities of ``classes``, 0 for those that ``model`` never saw.

    Where ``classes`` is None, return what a regressor predicts, one number a row.
    """
    if classes is None:
        return _predictions(model, who, X)
    if hasattr(model, "predict_proba"):
        known = model.predict_proba(X)
    else:
        scores = model.decision_function(X)
        if scores.ndim == 1:  # of two classes: the second's
            scores = np.column_stack([np.zeros_like(scores), scores])
        known = softmax(scores, axis=1)
    if np.shape(known) != (X.shape[0], len(model.classes_)):
        raise ValueError(
            f"{who} must give one number a class, {len(model.classes_)}, got shape "
            f"{np.shape(known)} for {X.shape[0]} rows."
        )
    aligned = np.zeros((X.shape[0], len(classes)))
    aligned[:, np.searchsorted(classes, model.classes_)] = known
    sums = aligned.sum(axis=1, keepdims=True)
    if not np.isfinite(sums).all() or not (sums > 0).all():
        raise ValueError(f"{who} gives probabilities that are not finite, or all 0.")
    return aligned / sums


def _predictions(model, who, X):
    y = np.asarray(model.predict(X), dtype=np.float64)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.shape != (X.shape[0],) or not np.isfinite(y).all():
        raise ValueError(
            f"{who} must predict one finite number a row, got shape {y.shape}."
        )
    return y
