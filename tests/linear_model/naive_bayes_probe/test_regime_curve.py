"""The two-regime curve, its picture and the Gaussian classes it is shown on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joblib import parallel_config
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from minimalml.datasets import make_gaussian_classes
from minimalml.datasets._gaussian_classes import easy_variances, hard_root
from minimalml.linear_model import (
    NaiveBayesProbe,
    RegimeCurveDisplay,
    generative_discriminative_curve,
)
from minimalml.linear_model._naive_bayes_probe._regime_curve import (
    approach,
    draw_order,
    find_crossover,
    stratified_order,
)

X, Y = load_breast_cancer(return_X_y=True)


def logistic_regression():
    return make_pipeline(MinMaxScaler(), LogisticRegression())


def curve_of(*arguments, **options):
    options = {"train_sizes": [6, 40, 200], "random_state": 0, **options}
    return generative_discriminative_curve(*arguments, **options)


@pytest.fixture(scope="module")
def curve():
    return curve_of(NaiveBayesProbe(), logistic_regression(), X, Y, stratify=True)


def test_a_classifier_against_itself_has_no_difference():
    curve = curve_of(NaiveBayesProbe(), NaiveBayesProbe(), X, Y, n_repeats=2)
    np.testing.assert_array_equal(curve.generative_scores, curve.discriminative_scores)
    assert curve.regime == "generative" and np.isnan(curve.crossover)
    assert curve.crossover_interval == (np.inf, np.inf)


def test_the_better_classifier_everywhere_has_the_regime():
    dummy = DummyClassifier()
    curve = curve_of(dummy, NaiveBayesProbe(), X, Y, n_repeats=2)
    assert curve.regime == "discriminative" and np.isnan(curve.crossover)
    assert curve.crossover_interval == (0.0, 0.0)


def test_all_rows_give_the_scores_of_a_plain_fit():
    parts = X[:400], Y[:400], X[400:], Y[400:]
    curve = curve_of(NaiveBayesProbe(), logistic_regression(), *parts[:2],
                     X_test=parts[2], y_test=parts[3], train_sizes=[400])  # fmt: skip
    expected = NaiveBayesProbe().fit(*parts[:2]).score(*parts[2:])
    assert np.unique(curve.generative_scores) == pytest.approx(expected)
    expected = logistic_regression().fit(*parts[:2]).score(*parts[2:])
    assert np.unique(curve.discriminative_scores) == pytest.approx(expected)


def test_the_summary_follows_from_the_scores(curve):
    assert curve.generative_scores.shape == curve.discriminative_scores.shape == (3, 5)
    difference = curve.generative_scores - curve.discriminative_scores
    np.testing.assert_allclose(curve.difference_mean, difference.mean(axis=1))
    np.testing.assert_allclose(
        curve.difference_se, difference.std(axis=1, ddof=1) / np.sqrt(5)
    )
    low, high = curve.crossover_interval
    assert curve.regime == "crossover" and 6 < curve.crossover < 200 and low <= high


def test_a_seed_repeats_the_curve_whatever_n_jobs(curve):
    with parallel_config(backend="threading"):
        again = curve_of(
            NaiveBayesProbe(), logistic_regression(), X, Y, stratify=True, n_jobs=2
        )
    np.testing.assert_array_equal(again.generative_scores, curve.generative_scores)
    assert again.crossover_interval == curve.crossover_interval


def test_nested_subsets_by_partial_fit_score_like_fits_of_their_own():
    class WithoutPartialFit(NaiveBayesProbe):
        partial_fit = property()

    options = {"stratify": True, "nested": True, "n_repeats": 3}
    grown = curve_of(NaiveBayesProbe(), logistic_regression(), X, Y, **options)
    fitted = curve_of(WithoutPartialFit(), logistic_regression(), X, Y, **options)
    np.testing.assert_allclose(grown.generative_scores, fitted.generative_scores)
    np.testing.assert_array_equal(
        grown.discriminative_scores, fitted.discriminative_scores
    )


@pytest.mark.parametrize(
    ("difference", "regime", "crossover"),
    [
        ([1, 1, 1], "generative", None),
        ([-1, -1, -1], "discriminative", None),
        ([1, -1, -1], "crossover", np.sqrt(10 * 100)),
        ([-1, 1, -1], "crossover", np.sqrt(100 * 1000)),
        ([1, -1, 1], "generative", None),
        ([1, 0, -1], "crossover", 100),
        ([3, -1, -1], "crossover", 10 ** (1 + 0.75)),
    ],
)
def test_crossover_is_where_the_sign_changes_for_good(difference, regime, crossover):
    sizes = np.array([10, 100, 1000])
    found = find_crossover(sizes, np.array(difference, dtype=float))
    assert found[0] == regime
    assert (
        np.isnan(found[1])
        if crossover is None
        else found[1] == pytest.approx(crossover)
    )


def test_approach_is_the_first_size_near_the_last_score():
    scores = np.array([[0.5, 0.7], [0.88, 0.9], [0.9, 0.9]])
    assert approach(np.array([1, 2, 3]), scores, 0.01) == 2
    assert approach(np.array([1, 2, 3]), scores, 0.001) == 3


@given(st.integers(0, 1000), st.lists(st.integers(1, 30), min_size=2, max_size=4))
def test_stratified_starts_have_every_class_and_its_share(seed, counts):
    y = np.repeat(np.arange(len(counts)), counts)
    order = stratified_order(y, np.random.RandomState(seed))
    assert sorted(order) == list(range(len(y)))
    assert len(set(y[order[: len(counts)]])) == len(counts)
    for size in range(len(counts), len(y)):
        found = np.bincount(y[order[:size]], minlength=len(counts))
        assert np.abs(found - size * np.array(counts) / len(y)).max() <= len(counts) + 1


def test_subsets_are_drawn_again_until_they_have_every_class():
    y = np.array([0] * 30 + [1] * 3)
    for seed in range(20):
        order = draw_order(y, 5, 2, False, np.random.RandomState(seed))
        assert set(y[order[:5]]) == {0, 1}


def test_a_size_that_never_has_every_class_is_named():
    y = np.zeros(len(Y), dtype=int)
    y[:3] = 1, 2, 3
    with pytest.raises(ValueError, match=r"100 draws of train_size=4 rows lacked.*4"):
        curve_of(NaiveBayesProbe(), logistic_regression(), X, y, train_sizes=[4],
                 X_test=X, y_test=y)  # fmt: skip


def test_two_classes_are_enough_if_not_all_are_required():
    data, y = load_digits(return_X_y=True)
    curve = curve_of(NaiveBayesProbe(), DummyClassifier(), data, y, train_sizes=[10],
                     require_all_classes=False, n_repeats=2)  # fmt: skip
    assert (curve.generative_scores > 0.2).all()


@pytest.mark.parametrize("sizes", [[1, 10], [10, 10**6], [2.5, 10]])
def test_sizes_out_of_range_are_refused(sizes):
    with pytest.raises(
        ValueError, match="train_sizes must be integers from the number"
    ):
        curve_of(NaiveBayesProbe(), logistic_regression(), X, Y, train_sizes=sizes)


def test_default_sizes_grow_by_class_up_to_all_rows():
    curve = curve_of(NaiveBayesProbe(), DummyClassifier(), X, Y, train_sizes=None,
                     n_repeats=1, stratify=True)  # fmt: skip
    assert curve.train_sizes.tolist() == [4, 6, 10, 20, 40, 100, 200, 400, 426]
    assert (curve.difference_se == 0).all()


def test_the_picture_shows_the_scores(curve):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    display = RegimeCurveDisplay.from_curve(curve, names=("a", "b")).plot()
    for line, scores in zip(
        display.lines_,
        (curve.generative_scores, curve.discriminative_scores),
        strict=True,
    ):
        np.testing.assert_array_equal(line.get_xdata(), curve.train_sizes)
        np.testing.assert_allclose(line.get_ydata(), scores.mean(axis=1))
    assert display.crossover_line_.get_xdata()[0] == curve.crossover
    assert len(display.fill_between_) == 2 and display.figure_ is display.ax_.figure
    assert display.ax_.get_legend_handles_labels()[1][:2] == ["a", "b"]
    pyplot.close(display.figure_)


def test_the_picture_is_drawn_from_estimators_on_given_axes():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure, ax = pyplot.subplots()
    display = RegimeCurveDisplay.from_estimators(
        NaiveBayesProbe(), logistic_regression(), X, Y, train_sizes=[10, 20],
        n_repeats=1, stratify=True, scoring="balanced_accuracy", random_state=0, ax=ax,
    )  # fmt: skip
    assert display.ax_ is ax and ax.get_ylabel() == "Balanced accuracy"
    assert display.names == ("NaiveBayesProbe", "LogisticRegression")
    pyplot.close(figure)


@pytest.mark.parametrize("mode", ["easy", "hard"])
def test_gaussian_classes_have_their_means_and_covariance(mode):
    data, y = make_gaussian_classes(60_000, 6, 3, mode=mode, random_state=0)
    means = np.array([data[y == k].mean(axis=0) for k in range(3)])
    np.testing.assert_allclose(means, [[-1] * 6, [1] * 6, [2] * 6], atol=0.1)
    expected = np.diag([6.0, 6, 6, 1, 1, 1])
    if mode == "hard":
        expected = hard_root(6) @ hard_root(6).T
    covariance = np.cov((data - means[y]).T)
    np.testing.assert_allclose(covariance, expected, atol=0.15)


def test_the_hard_covariance_is_the_clipped_matrix_and_the_easy_one_diagonal():
    A = np.random.RandomState(0).uniform(-1, 1, (40, 40))
    matrix = A.T @ A
    np.fill_diagonal(matrix, easy_variances(40))
    assert np.linalg.eigvalsh(matrix).min() < 0
    root = hard_root(40)
    values, vectors = np.linalg.eigh(matrix)
    np.testing.assert_allclose(
        root @ root.T, vectors * values.clip(0) @ vectors.T, atol=1e-9
    )


def test_gaussian_classes_are_balanced_and_repeatable():
    data, y = make_gaussian_classes(11, 5, 4, random_state=3)
    assert sorted(np.bincount(y)) == [2, 3, 3, 3]
    np.testing.assert_array_equal(
        data, make_gaussian_classes(11, 5, 4, random_state=3)[0]
    )
    with pytest.raises(ValueError, match="'mode' parameter"):
        make_gaussian_classes(10, 5, 2, mode="medium")
