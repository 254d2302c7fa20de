"""Each convention fails on an estimator that breaks it."""

import numpy as np
import pytest
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import _check_sample_weight, validate_data

from tests import conventions


class Mean(RegressorMixin, BaseEstimator):
    """A weighted mean: sound, and what the broken ones vary."""

    def __init__(self, verbose=0):
        self.verbose = verbose

    def fit(self, X, y, sample_weight=None):
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        if self.verbose:
            print("fitted")
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        self.mean_ = self.mean(y, weight).astype(X.dtype)
        return self

    def mean(self, y, weight):
        return np.average(y, weights=weight)

    def predict(self, X):
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return np.full(len(X), self.mean_)


class IgnoresWeights(Mean):
    def mean(self, y, weight):
        return np.average(y)


class CutsWeights(Mean):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight[: len(X)])


class AsksForWeights(Mean):
    __metadata_request__fit = {"sample_weight": True}


class AnswersInFloat64(Mean):
    def predict(self, X):
        return super().predict(X).astype(np.float64)


class Chats(Mean):
    def mean(self, y, weight):
        print("fitting")
        return super().mean(y, weight)


class SaysNothing(Mean):
    def fit(self, X, y, sample_weight=None):
        self.mean_, self.n_features_in_ = np.mean(y), X.shape[1]
        return self


class SubtractsColumns(Mean):
    def fit(self, X, y, sample_weight=None):
        self.n_features_in_ = X.shape[1]
        self.mean_ = np.max(np.asarray(y) - np.ravel(y))  # n x n for a column
        return self


class ScalesInside(Mean):
    def predict(self, X):
        return self.mean_ + StandardScaler().fit_transform(X)[:, 0]


class Rounds(CallbackSupportMixin, Mean):
    """Three rounds that may be stopped: sound."""

    @with_callbacks
    def fit(self, X, y, sample_weight=None):
        context = self._init_callback_context(max_subtasks=3)
        context.call_on_fit_task_begin(estimator=self)
        for _ in range(3):
            task = context.subcontext("round")
            task.call_on_fit_task_begin(estimator=self)
            if self.ends(task):
                break
        context.call_on_fit_task_end(estimator=self)
        return super().fit(X, y, sample_weight)

    def ends(self, task):
        return task.call_on_fit_task_end(estimator=self)


class GoesOn(Rounds):
    def ends(self, task):
        super().ends(task)


class LeavesRoundsOpen(Rounds):
    def ends(self, task):
        return False


class NeverTearsDown(Rounds):
    fit = Rounds.fit.__wrapped__


class ForgetsNames(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.n_features_in_ = np.shape(X)[1]
        return self

    def transform(self, X):
        return np.asarray(X)


def names_check():
    [check] = (c for c in conventions.CONVENTIONS if "column_names" in c.__name__)
    return check


BROKEN = [
    (conventions.check_metadata_routing, IgnoresWeights, "fit ignores sample_weight"),
    (conventions.check_metadata_routing, AsksForWeights, "without a request"),
    (conventions.check_metadata_length, CutsWeights, "fit took 41 sample_weight"),
    (conventions.check_float32_stays, AnswersInFloat64, "float64"),
    (conventions.check_verbose, Chats, "verbose=0 printed 'fitting"),
    (conventions.check_verbose, SaysNothing, "verbose=1 printed ''"),
    (conventions.check_column_target, SubtractsColumns, "one column"),
    (conventions.check_pandas_config, ScalesInside, "DataFrame|InvalidIndex|None"),
    (conventions.check_callbacks, GoesOn, "goes on after a stop"),
    (conventions.check_callbacks, LeavesRoundsOpen, "'begin': 4"),
    (conventions.check_callbacks, NeverTearsDown, "setup"),
    (names_check(), ForgetsNames, "feature_names_in_"),
]


@pytest.mark.parametrize(
    ("check", "cls", "message"), BROKEN, ids=lambda v: getattr(v, "__name__", None)
)
def test_a_broken_estimator_is_caught(check, cls, message):
    with pytest.raises(Exception, match=message):
        check(cls())


@pytest.mark.parametrize("check", conventions.CONVENTIONS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("cls", [Mean, Rounds])
def test_a_sound_estimator_passes(check, cls):
    if check.skip_reason(cls()) is None:
        check(cls())


class MostFrequent(ClassifierMixin, BaseEstimator):
    """Has neither metadata, callbacks nor verbose."""

    def fit(self, X, y):
        return self


def test_checks_without_a_meaning_are_left_out():
    for check in (
        conventions.check_metadata_routing,
        conventions.check_callbacks,
        conventions.check_verbose,
    ):
        assert check.skip_reason(MostFrequent())
