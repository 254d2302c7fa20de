import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.feature_selection import SelectKBest, mutual_info_regression
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mutual_info_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline

from minimalml.linear_model import (
    MutualInformationScreener,
    birge_rozenholc_bins,
    mutual_information_scores,
)

METHODS = ("kde", "binning")
ROUNDING = 1e-10  # nats
seeds = st.integers(0, 10_000)


def related(seed, n=60):
    """Draw two continuous variables that have to do with each other."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, rng.choice([-1, 0, 1]) * x**2 + rng.normal(size=n) ** 3


def information(x, y, method="kde", **options):
    options.setdefault("discrete_target", False)
    [score] = mutual_information_scores(x[:, None], y, method=method, **options)
    return score


# --- what it reduces to ---


@pytest.mark.parametrize("method", METHODS)
def test_a_gaussian_pair_has_about_its_known_information(rng, method):
    x, noise = rng.normal(size=(2, 2000))
    score = information(x, 0.8 * x + 0.6 * noise, method)
    assert score == pytest.approx(-0.5 * np.log(1 - 0.8**2), abs=0.1)


def test_a_variable_tells_itself_as_much_as_the_entropy_of_its_bins(rng):
    x = rng.normal(size=500)
    counts, _ = np.histogram(x, birge_rozenholc_bins(x))
    shares = counts[counts > 0] / len(x)
    expected = -(shares * np.log(shares)).sum()
    assert information(x, x, "binning") == pytest.approx(expected, abs=ROUNDING)


def test_an_independent_grid_has_no_information():
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(30.0), np.arange(40.0)))
    assert information(x, y, "binning") == pytest.approx(0, abs=ROUNDING)
    # a kernel of round contours is no product of two kernels: something stays
    assert information(x, y, "kde") < 2e-4


# --- invariants ---


@pytest.mark.parametrize("method", METHODS)
@given(seed=seeds)
def test_information_is_symmetric_and_not_negative(method, seed):
    x, y = related(seed)
    score = information(x, y, method)
    assert score == pytest.approx(information(y, x, method), abs=ROUNDING)
    assert score >= 0


@pytest.mark.parametrize("method", METHODS)
@given(seed=seeds, exponent=st.integers(-40, 40), shift=st.integers(-100, 100))
def test_units_and_offsets_change_nothing(method, seed, exponent, shift):
    x, y = related(seed)
    x = np.round(x * 1024)  # whole numbers times a power of two: nothing is rounded
    moved = (x + shift) * 2.0**exponent
    expected = information(x, y, method)
    assert information(moved, y, method) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
@given(seed=seeds)
def test_order_of_rows_changes_nothing(method, seed):
    x, y = related(seed)
    order = np.random.default_rng(seed).permutation(len(x))
    expected = information(x, y, method)
    assert information(x[order], y[order], method) == pytest.approx(expected, abs=1e-6)


@given(seed=seeds, n_classes=st.integers(2, 60))
def test_names_of_classes_change_nothing(seed, n_classes):
    x, y = related(seed)
    y = np.random.default_rng(seed).integers(n_classes, size=len(y))
    assume(len(np.unique(y)) > 1)
    score = information(x, y, "auto", discrete_target=True)
    for renamed in (y.astype(str), -y):
        assert information(x, renamed, "auto", discrete_target=True) == pytest.approx(
            score, abs=ROUNDING
        )


# --- oracles ---


@given(seed=seeds, n_classes=st.integers(2, 30))
def test_histograms_score_as_those_of_scikit_learn(seed, n_classes):
    x, y = related(seed)
    classes = np.random.default_rng(seed).integers(n_classes, size=len(y))
    bins = [binned(values, birge_rozenholc_bins(values)) for values in (x, y)]
    expected = mutual_info_score(*bins)
    assert information(x, y, "binning") == pytest.approx(expected, abs=ROUNDING)
    score = information(x, classes, discrete_target=True, method="auto")
    assert score == pytest.approx(mutual_info_score(bins[0], classes), abs=ROUNDING)


def binned(values, n_bins):
    edges = np.linspace(values.min(), values.max(), n_bins + 1)
    return np.digitize(values, edges[1:-1])


def test_the_scores_rank_as_those_of_nearest_neighbours(rng):
    X = rng.normal(size=(500, 6))
    y = X[:, 0] + X[:, 1] ** 2 + 2 * np.abs(X[:, 2])
    peer = mutual_info_regression(X, y, random_state=0)
    for method in METHODS:
        scores = mutual_information_scores(X, y, method=method)
        assert set(np.argsort(-scores)[:3]) == set(np.argsort(-peer)[:3]) == {0, 1, 2}


def test_curves_are_found_where_correlation_is_blind(rng):
    X = rng.normal(size=(400, 40))
    y = np.abs(X[:, 7]) + X[:, 30] ** 2
    assert np.abs(np.corrcoef(X[:, 7], y)[0, 1]) < 0.1
    kept = MutualInformationScreener(2).fit(X, y).get_support(indices=True)
    assert kept.tolist() == [7, 30]


# --- which way the scores are taken ---


@pytest.mark.parametrize(
    ("y", "is_discrete"),
    [
        (np.arange(100) % 20, True),
        (np.arange(100) % 20 / 1.0, True),
        (np.arange(99) % 20, False),  # less than five rows a value
        (np.arange(210) % 21, False),
        (np.arange(100) % 20 / 8, False),
        (np.arange(8) % 2 == 0, True),
        (np.arange(100).astype(str), True),
        (pd.Series(list("ab") * 50, dtype="category"), True),
        (pd.Series(np.arange(100) / 8, dtype=object), False),
        (pd.Series(np.arange(100) / 8, dtype="Float64"), False),
    ],
)
def test_targets_are_classes_or_quantities(rng, y, is_discrete):
    X = rng.normal(size=(len(y), 3))
    scores = mutual_information_scores(X, y)
    expected = mutual_information_scores(
        X, y, method="binning" if is_discrete else "kde", discrete_target=is_discrete
    )
    np.testing.assert_array_equal(scores, expected)
    if is_discrete:
        with pytest.raises(ValueError, match=r'method="kde".*use method="binning"'):
            mutual_information_scores(X, y, method="kde")


def test_few_rows_are_binned_and_say_so(rng):
    X, y = rng.normal(size=(9, 3)), rng.normal(size=9)
    with pytest.warns(UserWarning, match="10 rows or more, got 9"):
        scores = mutual_information_scores(X, y, method="kde")
    expected = mutual_information_scores(X, y, method="binning")
    np.testing.assert_array_equal(scores, expected)


@pytest.mark.parametrize("y", [np.ones(30), ["a"] * 30, np.zeros(30, dtype=bool)])
def test_a_constant_target_has_no_information(rng, y):
    with pytest.warns(UserWarning, match="y is constant: all scores are 0"):
        screener = MutualInformationScreener(2).fit(rng.normal(size=(30, 4)), y)
    assert screener.scores_.tolist() == [0] * 4
    assert screener.get_support(indices=True).tolist() == [0, 1]


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_column_scores_exactly_zero(rng, method):
    X = np.column_stack([np.full(50, 0.1), rng.normal(size=50)])
    scores = mutual_information_scores(X, X[:, 1], method=method)
    assert scores[0] == 0 < scores[1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e200, 1.7e308])
def test_numbers_at_the_ends_of_their_range_score_the_same(rng, method, scale):
    x = np.round(rng.uniform(-1, 1, size=(50, 1)), 3)
    x[:2] = [[-1], [1]]
    y = x[:, 0] ** 2 + 0.1 * rng.normal(size=50)
    # scikit-learn looks for infinities in a sum
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("error")
        scores = [
            mutual_information_scores(Z, y, method=method) for Z in (x, x * scale)
        ]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_an_outlier_of_any_size_leaves_finite_scores(rng, method):
    x = rng.normal(size=100)
    x[0] = 1e300
    assert 0 <= information(x, x, method) < 1


# --- selection ---


@pytest.mark.parametrize(
    ("wanted", "n_kept"),
    [(1, 1), (100, 100), (1.0, 100), (0.07, 7), (1e-9, 1), (0.071, 8)],
)
def test_so_many_columns_are_kept(rng, wanted, n_kept):
    X = rng.normal(size=(20, 100))
    screener = MutualInformationScreener(wanted, method="binning").fit(X, X[:, 3])
    assert screener.transform(X).shape == (20, n_kept)
    assert screener.support_[np.argmax(screener.scores_)]


def test_of_equal_columns_the_first_are_kept(rng):
    X = np.tile(rng.normal(size=(60, 2)), 150)
    for method in METHODS:
        kept = MutualInformationScreener(3, method=method).fit(X, X[:, 0]).support_
        assert np.flatnonzero(kept).tolist() == [0, 2, 4]


def test_parameters_set_after_fit_change_no_selection(rng):
    X = rng.normal(size=(30, 5))
    screener = MutualInformationScreener(2).fit(X, X[:, 1])
    assert screener.set_params(n_features_to_select=4).transform(X).shape == (30, 2)


def test_it_scores_for_select_k_best(rng):
    X = rng.normal(size=(80, 6))
    peer = SelectKBest(mutual_information_scores, k=2).fit(X, X[:, 4] ** 2)
    ours = MutualInformationScreener(2).fit(X, X[:, 4] ** 2)
    np.testing.assert_array_equal(peer.get_support(), ours.get_support())


def test_a_search_in_a_pipeline(rng):
    X = rng.normal(size=(150, 30))
    y = X[:, 2] ** 2 + np.abs(X[:, 11])
    model = make_pipeline(MutualInformationScreener(), KNeighborsRegressor())
    grid = {"mutualinformationscreener__n_features_to_select": [2, 1.0]}
    search = GridSearchCV(model, grid, cv=3).fit(X, y)
    assert search.best_params_ == {"mutualinformationscreener__n_features_to_select": 2}
    assert search.best_score_ > 0.5
    assert LinearRegression().fit(X, y).score(X, y) < search.best_score_


# --- input ---


@pytest.mark.parametrize("method", METHODS)
def test_any_layout_and_type_of_the_same_numbers_scores_the_same(rng, method):
    X = rng.integers(-50, 50, size=(70, 12)).astype(np.float32)
    y = X[:, 0] ** 2 + X[:, 1] / 7
    read_only = np.array(X)
    read_only.flags.writeable = False
    expected = mutual_information_scores(X, y, method=method)
    variants = [X.astype(float), X.astype(int), np.asfortranarray(X), read_only,
                X[::-1][::-1], pd.DataFrame(X)]  # fmt: skip
    for variant in variants:
        scores = mutual_information_scores(variant, y, method=method)
        np.testing.assert_array_equal(scores, expected)
    assert expected.dtype == np.float64


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "knn"}, "'method' parameter"),
        ({"grid_size": 7}, "'grid_size' parameter"),
        ({"discrete_target": "yes"}, "'discrete_target' parameter"),
    ],
)
def test_parameters_out_of_range_are_refused(rng, options, words):
    X = rng.normal(size=(20, 2))
    with pytest.raises(ValueError, match=words):
        mutual_information_scores(X, X[:, 0], **options)
    with pytest.raises(ValueError, match=words):
        MutualInformationScreener(**options).fit(X, X[:, 0])


@pytest.mark.parametrize("wanted", [0, 0.0, -1, 1.5, np.nan, "all", None])
def test_numbers_of_columns_that_make_no_sense_are_refused(rng, wanted):
    X = rng.normal(size=(20, 2))
    with pytest.raises(ValueError, match="'n_features_to_select' parameter"):
        MutualInformationScreener(wanted).fit(X, X[:, 0])


def test_more_columns_than_there_are_are_refused(rng):
    X = rng.normal(size=(20, 2))
    with pytest.raises(ValueError, match="at most the 2 features of X, got 3"):
        MutualInformationScreener(3).fit(X, X[:, 0])


@pytest.mark.parametrize(
    ("y", "options", "words"),
    [
        (list("ab") * 10, {"discrete_target": False}, "needs numbers as y.*'a'"),
        ([np.nan, *range(19)], {}, "y contains NaN"),
        ([np.inf, *range(19)], {}, "y contains infinity"),
        (np.array([np.inf, *range(19)], dtype=object), {}, "y contains infinity"),
        (np.array([None, *"ab" * 9, "c"], dtype=object), {}, "y.*missing"),
        (np.array([None] * 20), {}, "y.*missing"),
        (np.arange(19), {}, "inconsistent numbers of samples"),
        (np.ones((20, 2)), {}, "1d array"),
    ],
)
def test_targets_that_make_no_sense_are_refused(rng, y, options, words):
    X = rng.normal(size=(20, 2))
    with pytest.raises(ValueError, match=words):
        mutual_information_scores(X, y, **options)
    with pytest.raises(ValueError, match=words):
        MutualInformationScreener(**options).fit(X, y)


@pytest.mark.parametrize("method", METHODS)
def test_missing_numbers_and_single_rows_are_refused(rng, method):
    X = rng.normal(size=(20, 2))
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match="X contains NaN"):
        mutual_information_scores(X, X[:, 0], method=method)
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        mutual_information_scores(X[:1], [1.0], method=method)
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        mutual_information_scores(pd.get_dummies([1, 2], sparse=True), [0, 1])
