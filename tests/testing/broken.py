"""Estimators with one deliberate, plausible bug each."""

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.utils import resample
from sklearn.utils.validation import validate_data
from threadpoolctl import threadpool_info


class Mean(RegressorMixin, BaseEstimator):
    """Predicts the mean: sound, and what the broken ones vary."""

    def fit(self, X, y):
        self.mean_ = self.mean(*validate_data(self, X, y))
        return self

    def mean(self, X, y):
        return np.mean(y)

    def predict(self, X):
        return np.full(len(X), self.mean_)


class LatestRowsMatterMore(Mean):
    def mean(self, X, y):
        return np.average(y, weights=np.arange(1, len(y) + 1))


class LaterColumnsMatterMore(Mean):
    def predict(self, X):
        return np.asarray(X) @ np.arange(1, X.shape[1] + 1) + self.mean_


class NegativeTargetsAreLost(Mean):
    def mean(self, X, y):
        return np.mean(np.maximum(y, 0))


class DrawsFromGlobalState(Mean):
    def mean(self, X, y):
        return np.random.normal(np.mean(y))


class RemembersEarlierFit(Mean):
    def mean(self, X, y):
        return getattr(self, "mean_", y[0])


class ReadsTheNextNumberInMemory(Mean):
    def mean(self, X, y):
        return X.ravel(order="A")[1]


class TakesNoNegativeStrides(Mean):
    def fit(self, X, y):
        if X.strides[0] < 0:
            raise ValueError("some of the strides are negative")
        return super().fit(X, y)


class HoldsALambda(Mean):
    def fit(self, X, y):
        self.link_ = lambda values: values
        return super().fit(X, y)


class ForgetsItsMean(Mean):
    def __getstate__(self):
        return super().__getstate__() | {"mean_": 0.0}


class AddsUpByThread(Mean):
    def mean(self, X, y):
        threads = max(pool["num_threads"] for pool in threadpool_info())
        return np.mean([part.mean() for part in np.array_split(y, threads)])


class ScoreNeedsMore(Mean):
    def score(self, X, y, threshold):
        return np.mean(self.predict(X) > threshold)


class WeightedMean(RegressorMixin, BaseEstimator):
    """A shrunken weighted mean: sound."""

    def fit(self, X, y, sample_weight=None):
        X, y = validate_data(self, X, y)
        weight = np.ones(len(y)) if sample_weight is None else sample_weight
        self.mean_ = self.mean(y, weight)
        return self

    def mean(self, y, weight):
        return weight @ y / (weight.sum() + 1)

    def predict(self, X):
        return np.full(len(X), self.mean_)


class WeightsSumToRows(WeightedMean):
    def mean(self, y, weight):
        return super().mean(y, weight * len(y) / weight.sum())


class DividesByAllRows(WeightedMean):
    def mean(self, y, weight):
        return weight @ y / len(y)


class CentresInPlace(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        X = np.asarray(X)
        X -= X.mean(axis=0)
        self.scale_ = X.std(axis=0)
        return self

    def transform(self, X):
        return np.asarray(X) / 2


class MostFrequent(ClassifierMixin, BaseEstimator):
    """Predicts the most frequent class: sound."""

    def fit(self, X, y):
        X, y = validate_data(self, X, y)
        self.classes_, counts = np.unique(y, return_counts=True)
        self.prior_ = self.prior(counts)
        return self

    def prior(self, counts):
        return counts / counts.sum()

    def predict_proba(self, X):
        return np.tile(self.prior_, (len(X), 1))

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class PredictsCodes(MostFrequent):
    def predict(self, X):
        return self.predict_proba(X).argmax(axis=1)


class FavoursFirstClass(MostFrequent):
    def prior(self, counts):
        return super().prior(counts + np.eye(len(counts), dtype=int)[0])


class Bootstrap(BaseEstimator):
    """A resampler: sound."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y):
        validate_data(self, X, y)
        return self

    def fit_resample(self, X, y):
        return resample(X, y, random_state=self.random_state)
