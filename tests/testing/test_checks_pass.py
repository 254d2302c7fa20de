"""Sound estimators pass: the checks accuse nobody of what is no bug."""

from functools import partial
from unittest import SkipTest

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier, RegressorChain
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from threadpoolctl import threadpool_limits

from minimalml.testing import (
    check_feature_permutation,
    check_fit_is_repeatable,
    check_input_not_modified,
    check_label_renaming,
    check_pickle_round_trip,
    check_row_permutation,
    check_sample_weight_is_repetition,
    check_target_affine_equivariance,
    check_zero_weight_is_removal,
    parametrize_with_properties,
    regression_data,
)
from tests.testing import broken

FIXED_STARTS = np.array([[-1.0, 0, 0, 0], [1.0, 0, 0, 0], [3.0, 0, 0, 0]])
EVERY_KIND = [
    broken.Bootstrap(),
    Ridge(),
    GaussianNB(),
    HistGradientBoostingRegressor(max_iter=2, max_leaf_nodes=4),
    RandomForestClassifier(3),
    StandardScaler(),
    SelectKBest(k=1),
    KMeans(2, n_init=1),
    DBSCAN(),
    LocalOutlierFactor(n_neighbors=3),
    make_pipeline(StandardScaler(), LogisticRegression()),
    GridSearchCV(Ridge(), {"alpha": [1, 2]}, cv=2),
    TransformedTargetRegressor(Ridge()),
    MultiOutputClassifier(LogisticRegression()),  # calls its target Y
    RegressorChain(Ridge()),
]

# Positions decide between equal distances, splits and variances, and rounding whether
# a covariance is singular: default data only.
without_ties = dict(examples=0)
SYMMETRIC = {
    check_row_permutation: [
        Ridge(),
        LinearRegression(),
        LogisticRegression(tol=1e-8),
        StandardScaler(),
        (PCA(2), without_ties),
        GaussianNB(),
        MultinomialNB(),
        (AgglomerativeClustering(2), without_ties),
        (DecisionTreeRegressor(), without_ties),
        (KNeighborsClassifier(), without_ties),
        (KMeans(3, init=FIXED_STARTS), without_ties),
    ],
    check_feature_permutation: [
        Ridge(),
        LogisticRegression(tol=1e-8),
        StandardScaler(),
        MinMaxScaler(),
        (PCA(2), without_ties),
        GaussianNB(),
        (SelectKBest(k=2), without_ties),
        (DecisionTreeClassifier(max_depth=2), without_ties),
    ],
    check_sample_weight_is_repetition: [
        Ridge(),
        LogisticRegression(tol=1e-8),
        MultinomialNB(),
        DecisionTreeRegressor(max_depth=3),
        DBSCAN(),
        StandardScaler(),
        broken.WeightedMean(),
    ],
    check_zero_weight_is_removal: [
        Ridge(),
        LogisticRegression(tol=1e-8),
        MultinomialNB(),
        KernelRidge(),
        StandardScaler(),
        broken.WeightedMean(),
    ],
    check_target_affine_equivariance: [
        Ridge(),
        LinearRegression(),
        broken.Mean(),
        (Ridge(fit_intercept=False), dict(shift=0)),
        (DecisionTreeRegressor(max_depth=3), without_ties),
    ],
    check_label_renaming: [
        LogisticRegression(),
        GaussianNB(),
        DecisionTreeClassifier(),
        KNeighborsClassifier(3),
        (LogisticRegression(tol=1e-8), dict(keep_order=False)),
        (GaussianNB(), dict(keep_order=False)),
    ],
}


@pytest.fixture(autouse=True)
def one_thread():
    """Small fits are faster so where cores are shared."""
    with threadpool_limits(limits=1):
        yield


@parametrize_with_properties(EVERY_KIND)
def test_universal_properties_hold_for_every_kind_of_estimator(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("check", "case"),
    [(check, case) for check, cases in SYMMETRIC.items() for case in cases],
    ids=lambda value: getattr(value, "__name__", None) or str(value),
)
def test_symmetries_hold_where_the_documentation_says_so(check, case):
    estimator, options = case if isinstance(case, tuple) else (case, {})
    check(estimator, **{"examples": 5, **options})


def test_gaussian_naive_bayes_smooths_by_an_unweighted_variance():
    # scikit-learn's var_smoothing counts each row once, whatever its weight.
    with pytest.raises(AssertionError, match="weighted by"):
        check_sample_weight_is_repetition(GaussianNB())
    check_sample_weight_is_repetition(GaussianNB(var_smoothing=0), examples=0)


@pytest.mark.parametrize(
    ("check", "estimator", "reason"),
    [
        (check_zero_weight_is_removal, PCA(), "PCA.fit has no parameter sample_weight"),
        (check_target_affine_equivariance, PCA(), "PCA is not a regressor"),
        (check_label_renaming, Ridge(), "Ridge is not a classifier"),
        (check_row_permutation, KernelRidge(kernel="precomputed"), "matrix of feat"),
    ],
)
def test_a_check_without_a_meaning_is_skipped(check, estimator, reason):
    with pytest.raises(SkipTest, match=reason):
        check(estimator)


def test_a_random_estimator_is_skipped():
    class Random(broken.DrawsFromGlobalState):
        def __sklearn_tags__(self):
            tags = super().__sklearn_tags__()
            tags.non_deterministic = True
            return tags

    with pytest.raises(SkipTest, match="tags of Random say that it is random"):
        check_fit_is_repeatable(Random())
    check_input_not_modified(Random())
    with pytest.raises(SkipTest, match="tags of Random say that it is random"):
        check_pickle_round_trip(Random())


def test_a_class_is_refused_with_the_fix():
    with pytest.raises(TypeError, match=r"got the class Ridge: pass Ridge\(\)"):
        check_row_permutation(Ridge)
    with pytest.raises(TypeError, match="must have a fit method, got int"):
        check_row_permutation(3)


def test_an_estimator_that_says_nothing_is_refused():
    class Silent(broken.Mean):
        predict = property()

    with pytest.raises(TypeError, match="Silent has nothing to compare"):
        check_row_permutation(Silent())


def test_refusing_all_generated_data_is_not_passing():
    class Picky(broken.Mean):
        def mean(self, X, y):
            if len(y) != 40:
                raise ValueError("exactly 40 rows, please.")
            return y.mean()

    check_row_permutation(Picky(), examples=0)
    with pytest.raises(AssertionError, match=r"refused each .* exactly 40 rows"):
        check_row_permutation(Picky())


def test_data_without_examples_are_refused():
    with pytest.raises(ValueError, match=r"at least 1 where data is given, got 0\."):
        check_pickle_round_trip(broken.Mean(), data=regression_data())
    with pytest.raises(ValueError, match=r"examples must be at least 0, got -1\."):
        check_pickle_round_trip(broken.Mean(), examples=-1)


def test_hypothesis_settings_are_used_as_they_are():
    counted = []

    class Counting(broken.Mean):
        def mean(self, X, y):
            counted.append(len(y))
            return y.mean()

    check = partial(check_row_permutation, Counting(), data=regression_data(corners=[]))
    check(examples=settings(max_examples=4, database=None, deadline=None))
    assert len(counted) == 8  # a reference and a permuted fit each


def test_generated_data_are_the_same_in_each_run():
    sums = []

    class Recording(broken.Mean):
        def mean(self, X, y):
            sums.append(y.sum())
            return y.mean()

    check_row_permutation(Recording())
    first_run = sums.copy()
    check_row_permutation(Recording())
    assert sums == 2 * first_run


@settings(max_examples=10)
@given(data=regression_data(n_samples=(3, 10)))
def test_a_check_works_inside_a_property_of_the_user(data):
    check_row_permutation(broken.Mean(), *data)


def test_the_users_own_state_is_left_alone():
    estimator = RandomForestClassifier(2)
    before = estimator.__dict__.copy()
    check_fit_is_repeatable(estimator)
    assert estimator.__dict__ == before
