"""Each check fails on an estimator that breaks its property, in plain words."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from minimalml.testing import (
    _property_check,
    check_feature_permutation,
    check_fit_is_repeatable,
    check_input_not_modified,
    check_label_renaming,
    check_layout_invariance,
    check_pickle_round_trip,
    check_pipeline_grid_search,
    check_row_permutation,
    check_sample_weight_is_repetition,
    check_target_affine_equivariance,
    check_thread_count_invariance,
    check_zero_weight_is_removal,
)
from tests.testing import broken

X = np.array([[1.0, 2.0], [0.0, 5.0], [3.0, 1.0], [7.0, 2.0], [4.0, 4.0], [2.0, 9.0]])
Y = np.array([1.0, -2.0, 3.0, 4.0, 0.0, -5.0])
LABELS = np.array([3, 5, 5, 5, 3, 5])

CAUGHT = [
    (
        check_row_permutation,
        broken.LatestRowsMatterMore(),
        r"LatestRowsMatterMore\.predict changed by up to 0\.19 \(tolerance .*\) when "
        r"the rows of X were permuted: at \[0\] it was -0\.\d+ and is",
    ),
    (
        check_feature_permutation,
        broken.LaterColumnsMatterMore(),
        r"predict changed by up to .* when the columns of X were permuted: at \[\d\]",
    ),
    (
        check_sample_weight_is_repetition,
        broken.WeightsSumToRows(),
        r"predict changed by up to .* when rows were weighted by \[\d, .*\] instead of "
        "repeated",
    ),
    (
        check_zero_weight_is_removal,
        broken.DividesByAllRows(),
        r"predict changed by up to .* when rows \[\d, .*\] had weight zero instead of "
        "being removed",
    ),
    (
        check_target_affine_equivariance,
        broken.NegativeTargetsAreLost(),
        r"predict changed by up to .* when y became 2\.5 \* y -3 and predictions were",
    ),
    (
        check_input_not_modified,
        broken.CentresInPlace(),
        r"The input X of CentresInPlace\.fit changed by up to .* when fit was called "
        r"with input as it came: at \[\d, \d\]",
    ),
    (
        check_layout_invariance,
        broken.ReadsTheNextNumberInMemory(),
        "predict changed by up to .* when X and y were Fortran-ordered",
    ),
    (
        check_layout_invariance,
        broken.TakesNoNegativeStrides(),
        "raised ValueError when X and y were views with negative strides: some of",
    ),
    (
        check_fit_is_repeatable,
        broken.DrawsFromGlobalState(),
        r"predict changed by up to .* when a clone was fitted again to the same data",
    ),
    (
        check_fit_is_repeatable,
        broken.RemembersEarlierFit(),
        r"predict changed by up to .* when it had been fitted to other data before",
    ),
    (
        check_pickle_round_trip,
        broken.HoldsALambda(),
        "HoldsALambda raised .* when the fitted estimator was pickled and loaded",
    ),
    (
        check_pickle_round_trip,
        broken.ForgetsItsMean(),
        r"changed by up to .* when the fitted estimator was pickled and loaded",
    ),
    (
        check_pipeline_grid_search,
        broken.ScoreNeedsMore(),
        "ScoreNeedsMore raised TypeError when it was the last step of a pipeline in a "
        "grid search: .*threshold",
    ),
]


@pytest.mark.parametrize(
    ("check", "estimator", "message"),
    CAUGHT,
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_estimator_is_caught(check, estimator, message):
    with pytest.raises(AssertionError, match=message):
        check(estimator, X.copy(), Y)
    with pytest.raises(AssertionError):
        check(estimator)


def test_thread_count_is_caught_bit_for_bit():
    values = np.geomspace(0.1, 1e3, 4001)
    exact = dict(rtol=0, atol=0)
    message = "when two threads worked instead of one"
    with pytest.raises(AssertionError, match=message):
        check_thread_count_invariance(
            broken.AddsUpByThread(), values[:, None], values, **exact
        )
    check_thread_count_invariance(broken.Mean(), values[:, None], values, **exact)


def test_codes_instead_of_labels_are_caught():
    message = r"PredictsCodes\.predict returned 1, which is not a class"
    with pytest.raises(AssertionError, match=message):
        check_label_renaming(broken.PredictsCodes(), X, LABELS)


def test_a_preference_for_the_first_class_is_caught_in_reversed_order():
    estimator = broken.FavoursFirstClass()
    check_label_renaming(estimator, X, LABELS)
    message = "predict_proba changed by .* renamed in the reversed order"
    with pytest.raises(AssertionError, match=message):
        check_label_renaming(estimator, X, LABELS, keep_order=False)


def test_read_only_input_that_is_refused_is_caught():
    class WritesAndRestores(broken.CentresInPlace):
        def fit(self, X, y=None):
            X[0, 0] += 0.0
            return self

    with pytest.raises(AssertionError, match=r"with input read-only: .*read-only"):
        check_input_not_modified(WritesAndRestores(), X.copy(), Y)


def test_a_method_that_writes_into_its_input_is_named():
    message = r"The input X of StandardScaler\.transform changed"
    with pytest.raises(AssertionError, match=message):
        check_input_not_modified(StandardScaler(copy=False), X.copy(), Y)


def test_the_counterexample_is_small_and_in_the_message():
    with pytest.raises(AssertionError) as caught:
        check_row_permutation(broken.LatestRowsMatterMore(), data=_small_data())
    assert "The smallest data set found that shows it:" in str(caught.value)
    assert "X = np.array([[0.],\n              [1.]])" in str(caught.value)
    assert "y = np.array([0., 1.])" in str(caught.value)


def _small_data():
    from minimalml.testing import regression_data

    return regression_data(n_samples=(2, 10))


def test_a_slow_estimator_fails_in_time(monkeypatch):
    monkeypatch.setattr(_property_check, "SHRINKING_SECONDS", 0)
    fits = []

    class Slow(broken.LatestRowsMatterMore):
        def mean(self, X, y):
            fits.append(len(y))
            return super().mean(X, y)

    with pytest.raises(AssertionError, match="smallest data set found") as caught:
        check_row_permutation(Slow(), data=_small_data())
    assert caught.value.__cause__ is None and len(fits) <= 20


def test_a_small_change_is_told_from_a_solver_that_stops_early():
    class AlmostThere(broken.Mean):
        def mean(self, X, y):
            return np.mean(y) + 1e-5 * y[0]

    with pytest.raises(AssertionError, match=r"lower its tol, or raise rtol here\."):
        check_row_permutation(AlmostThere(), X, Y)
    with pytest.raises(AssertionError) as caught:
        check_row_permutation(broken.LatestRowsMatterMore(), X, Y)
    assert "rtol" not in str(caught.value)


def test_bits_are_told_apart():
    class LastBit(broken.Mean):
        def mean(self, X, y):
            return 1.0 + (y[0] != 1.0) * 2.0**-52

    message = r"it was 1 and is 1\.0000000000000002\."
    with pytest.raises(AssertionError, match=message):
        check_row_permutation(LastBit(), X, Y, rtol=0, atol=0)


def test_an_estimator_that_fails_only_after_the_change_is_caught():
    class NeedsSortedRows(broken.Mean):
        def mean(self, X, y):
            if y[0] != 1.0:
                raise ValueError("rows must be sorted")
            return 0.0

    message = "raised ValueError when the rows of X were permuted: rows must be sorted"
    with pytest.raises(AssertionError, match=message):
        check_row_permutation(NeedsSortedRows(), X, Y)


@pytest.mark.parametrize("estimator", [StandardScaler(), PCA(2)], ids=str)
def test_transformed_columns_are_compared_too(estimator):
    class Shifted(type(estimator)):
        def transform(self, X):
            return super().transform(X) + np.asarray(X)[:, :1]

    shifted = Shifted(**estimator.get_params())
    with pytest.raises(AssertionError, match="transform changed by"):
        check_feature_permutation(shifted, X)
