"""Any classifier of rows, fitted to the rows that make bags positive."""

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from minimalml.bags import (
    MultipleInstanceClassifier,
    aggregate_by_bag,
    aggregate_targets,
    make_bag_scorer,
)
from minimalml.datasets import make_bags, make_mil_unit_test
from minimalml.testing import bag_data

UPDATES = ["witness", "impute"]


def separable_bags(seed=0, n_rows=200):
    """Bags in random order, positive for one row far out."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    is_positive = rng.random(n_rows) < 0.15
    X[is_positive, 0] += 6
    bags = make_bags(n_rows, (1, 6), random_state=seed)
    return X, aggregate_targets(is_positive.astype(int), bags, how="max"), bags


# --- reduces to a known thing ---


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("bags", [None, np.arange(200)[::-1] * 3])
def test_single_rows_are_a_plain_fit(update, bags):
    X, y, _ = separable_bags()
    y = (X[:, 0] + X[:, 1] > 1).astype(int)
    model = MultipleInstanceClassifier(update=update).fit(X, y, bags)
    plain = LinearSVC(random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.estimator_.coef_, plain.coef_)
    np.testing.assert_array_equal(
        model.decision_function(X, bags), plain.decision_function(X)
    )
    assert model.n_iter_ == 1 and (y[model.witness_indices_] == 1).all()


# --- an oracle: the algorithm's text, with loops ---


def by_loops(X, y, bags, update):
    """MI-SVM and mi-SVM around a logistic regression; also the number of fits."""
    positive_bags = [bag for bag in np.unique(bags) if y[bags == bag][0] == 1]
    negatives = [i for i in range(len(X)) if y[i] == 0]
    witnesses, codes = None, y.copy()
    for n_fits in range(1, 51):
        if update == "impute":
            rows, labels = X, codes
        else:
            best = (
                [X[bags == bag].mean(axis=0) for bag in positive_bags]
                if witnesses is None
                else X[witnesses]
            )
            rows = np.vstack([X[negatives], best])
            labels = np.r_[np.zeros(len(negatives)), np.ones(len(best))]
        model = LogisticRegression().fit(rows, labels)
        scores = model.decision_function(X)
        members = [np.flatnonzero(bags == bag) for bag in positive_bags]
        found = [rows[scores[rows].argmax()] for rows in members]
        new_codes = ((y == 1) & (scores > 0)).astype(int)
        new_codes[found] = 1
        is_settled = (
            witnesses == found if update == "witness" else (new_codes == codes).all()
        )
        witnesses, codes = found, new_codes
        if is_settled:
            return scores, witnesses, n_fits
    raise AssertionError("does not settle")


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("seed", range(3))
def test_fits_are_those_of_the_algorithm_in_loops(update, seed):
    X, y, bags = separable_bags(seed)
    scores, witnesses, n_fits = by_loops(X, y, bags, update)
    model = MultipleInstanceClassifier(LogisticRegression(), update=update)
    model.fit(X, y, bags)
    assert model.n_iter_ == n_fits > 1
    np.testing.assert_array_equal(model.witness_indices_, witnesses)
    np.testing.assert_allclose(model.decision_function(X), scores, atol=1e-8)


# --- invariants ---


@pytest.mark.filterwarnings("ignore")  # of ill-conditioned data, and cycles
@settings(max_examples=30)
@given(bag_data(target="label", n_samples=(4, 20)))
def test_each_positive_bag_has_a_witness_of_its_own(data):
    X, y, bags = (np.asarray(part) for part in data)
    if len(np.unique(y)) < 2:
        return
    model = MultipleInstanceClassifier(RidgeClassifier(), max_iter=5)
    model.fit(X, y, bags)
    ids, labels = aggregate_by_bag(y, bags, how="first")
    np.testing.assert_array_equal(bags[model.witness_indices_], ids[labels == 1])
    by_row, by_bag = model.decision_function(X), model.decision_function(X, bags)
    np.testing.assert_array_equal(by_bag, aggregate_targets(by_row, bags, how="max"))
    witnesses = model.witness_indices_
    np.testing.assert_array_equal(by_row[witnesses], by_bag[witnesses])


def test_a_largest_row_gives_its_bag_class_and_probabilities():
    X, y, bags = separable_bags()
    names = np.array(["fine", "ill"])[y]
    model = MultipleInstanceClassifier(LogisticRegression()).fit(X, names, bags)
    assert model.score(X, names, bags) > 0.95
    by_row, by_bag = model.predict_proba(X), model.predict_proba(X, bags)
    expected = aggregate_targets(by_row[:, 1], bags, how="max")
    np.testing.assert_array_equal(by_bag[:, 1], expected)
    np.testing.assert_allclose(by_bag.sum(axis=1), 1)
    is_ill = model.predict(X, bags) == "ill"
    np.testing.assert_array_equal(is_ill, by_bag[:, 1] > 0.5)
    is_row_ill = model.predict(X) == "ill"
    np.testing.assert_array_equal(
        is_ill, aggregate_targets(is_row_ill, bags, how="max")
    )
    assert (X[is_row_ill, 0] > 3).mean() > 0.9  # rows are found, though none was told


def test_the_score_is_the_share_of_bags():
    X, y, bags = separable_bags()
    model = MultipleInstanceClassifier().fit(X, y, bags)
    rng = np.random.default_rng(1)
    y, weight = aggregate_targets(rng.integers(0, 2, 200), bags, how="max"), rng.random(200)  # fmt: skip
    found, truth, sizes = (
        aggregate_by_bag(values, bags, how=how)[1]
        for values, how in ((model.predict(X, bags), "first"), (y, "first"), (weight, "mean"))
    )  # fmt: skip
    assert model.score(X, y, bags) == accuracy_score(truth, found)
    expected = accuracy_score(truth, found, sample_weight=sizes)
    assert model.score(X, y[:, None], bags, weight) == pytest.approx(
        expected, abs=1e-12
    )


@pytest.mark.parametrize(
    "estimator",
    [SVC(), RidgeClassifier(), DecisionTreeClassifier(max_depth=3, random_state=0),
     make_pipeline(StandardScaler(), LogisticRegression()),
     CalibratedClassifierCV(LinearSVC(), cv=2)],
    ids=lambda estimator: type(estimator).__name__,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_any_classifier_may_be_inside(estimator):
    X, y, bags = separable_bags()
    model = MultipleInstanceClassifier(estimator).fit(X, y, bags)
    assert model.score(X, y, bags) > 0.9
    assert hasattr(model, "predict_proba") == hasattr(estimator, "predict_proba")
    estimator = clone(estimator)
    assert model.set_params(estimator=LinearSVC(), update="impute").score(X, y, bags) > 0.9  # fmt: skip


class Flips(LogisticRegression):
    """Decides the other way in each fit, so that witnesses never settle."""

    n_fits = 0

    def fit(self, X, y):
        Flips.n_fits += 1
        return super().fit(X, y)

    def decision_function(self, X):
        return X[:, 0] * (-1) ** Flips.n_fits


@pytest.mark.parametrize("update", UPDATES)
def test_what_does_not_settle_is_said(update):
    X, y, bags = separable_bags()
    model = MultipleInstanceClassifier(Flips(), update=update)
    with pytest.warns(
        ConvergenceWarning, match="came back to those of an earlier"
    ) as w:
        model.fit(X, y, bags)
    assert w[0].filename == __file__
    largest = aggregate_targets(model.decision_function(X), bags, how="max")
    witnesses = model.witness_indices_
    assert (model.decision_function(X)[witnesses] == largest[witnesses]).all()
    limited = clone(model).set_params(max_iter=1)
    with pytest.warns(ConvergenceWarning, match="max_iter=1 fits: raise max_iter"):
        limited.fit(X, y, bags)
    assert limited.n_iter_ == 1


# --- bad input ---


class NoScores(BaseEstimator):
    def fit(self, X, y):
        return self


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of variances of zero
@pytest.mark.parametrize(
    ("options", "changes", "error", "message"),
    [
        ({"estimator": NoScores()}, {}, TypeError, "decision_function or predict_proba, which NoScores"),
        ({"update": "both"}, {}, ValueError, "'update' parameter .* 'both'"),
        ({"max_iter": 0}, {}, ValueError, "'max_iter' parameter"),
        ({}, {"y": [0, 1, 1, 1]}, ValueError, "bag a has 0 and 1.*aggregate_targets"),
        ({}, {"y": [1, 1, 1, 1]}, ValueError, "2 classes, got 1 class: 1"),
        ({}, {"bags": ["a"] * 4, "y": [0] * 4}, ValueError, "got 1 class: 0"),
        ({}, {"bags": None, "y": [0, 1, 2, 2]}, ValueError, "Only binary classification"),
        ({}, {"y": [0.5, 0.5, 0.2, 0.2]}, ValueError, "Unknown label type: continuous"),
        ({}, {"bags": ["a", "a", "b"]}, ValueError, "bags has 3 ids but X has 4 rows"),
        ({}, {"bags": ["a", "a", None, "b"]}, ValueError, "row 2 is missing"),
        ({"estimator": GaussianNB(var_smoothing=0)}, {"X": np.zeros((4, 1))}, ValueError, "GaussianNB.*row 0 by NaN"),
        ({}, {"X": [[np.nan], [0], [1], [1]]}, ValueError, "contains NaN"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_is_named(options, changes, error, message):
    data = {
        "X": [[0.0], [1], [2], [3]],
        "y": [0, 0, 1, 1],
        "bags": ["a", "a", "b", "b"],
    }
    with pytest.raises(error, match=message):
        MultipleInstanceClassifier(**options).fit(**(data | changes))


def test_a_classifier_that_needs_more_rows_says_so_itself():
    inner = CalibratedClassifierCV(LogisticRegression(), cv=5)
    X, y, bags = separable_bags(n_rows=40)
    y[:] = bags == bags.max()
    with pytest.raises(ValueError, match="less than 5 examples"):
        MultipleInstanceClassifier(inner).fit(X, y, bags)


# --- with scikit-learn's tools ---


def test_a_search_by_bags_in_a_pipeline():
    X, y, bags = make_mil_unit_test("single_concept", 150, random_state=0)
    rows = np.random.default_rng(0).permutation(len(X))
    X, y, bags = X[rows], y[rows], np.array([f"bag {bag}" for bag in bags])[rows]
    model = make_pipeline(StandardScaler(), MultipleInstanceClassifier(SVC()))
    grid = {"multipleinstanceclassifier__estimator__gamma": [1e-6, 0.05]}
    auc = make_bag_scorer(roc_auc_score, response_method="decision_function")
    tools = {"cv": GroupKFold(3), "scoring": auc, "error_score": "raise"}
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(model, grid, **tools).fit(X, y, bags=bags, groups=bags)
        found = cross_validate(
            search.best_estimator_, X, y, params={"bags": bags, "groups": bags}, **tools
        )
    assert list(search.best_params_.values()) == [0.05]
    assert (found["test_score"] > 0.95).all()
