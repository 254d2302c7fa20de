"""The classifier around any other: labels as they are, kinds of labels, bad input."""

import warnings

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from minimalml._core.groups import GroupIndex
from minimalml.bags import (
    LabelProportionClassifier,
    aggregate_by_bag,
    aggregate_targets,
    make_bag_scorer,
    propagate_label_proportions,
    similarity_graph,
)
from minimalml.bags._label_proportions._pseudo_labels import make_pseudo_labels
from minimalml.datasets import make_bags
from tests.conventions import Recorder


@pytest.fixture(scope="module")
def digits():
    """Odd against even digits in random bags of 8: rows, labels, shares, bags."""
    X, number = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order], number[order] % 2
    bags = make_bags(1280, 8, random_state=0)
    return X, y, aggregate_targets(y[:1280], bags), bags


def blobs(rng, n=120, bag_size=4):
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 2)) + 3 * y[:, None]
    bags = np.arange(n) // bag_size
    return X, y, aggregate_targets(y, bags), bags


def labelled(rng, **options):
    X, _, shares, bags = blobs(rng)
    options = {"metric": "euclidean"} | options
    return LabelProportionClassifier(LogisticRegression(), **options).fit(
        X, shares, bags=bags
    )


# --- what it learns ---


def test_bags_of_eight_are_nearly_as_good_as_labels(digits):
    X, y, shares, bags = digits
    model = LabelProportionClassifier(SVC()).fit(X[:1280], shares, bags=bags)
    accuracy = (model.predict(X[1280:]) == y[1280:]).mean()
    supervised = SVC().fit(X[:1280], y[:1280]).score(X[1280:], y[1280:])
    assert accuracy >= supervised - 0.015
    assert roc_auc_score(y[:1280], model.log_odds_) > 0.99
    sums = aggregate_by_bag(model.label_probability_, bags, how="sum")[1]
    counts = aggregate_by_bag(y[:1280], bags, how="sum")[1]
    np.testing.assert_allclose(sums, counts, rtol=0, atol=0.01)


def test_it_is_the_two_functions_and_a_classifier():
    model = labelled(np.random.default_rng(5), n_neighbors=3)
    X, _, shares, bags = blobs(np.random.default_rng(5))
    graph = similarity_graph(X, n_neighbors=3, metric="euclidean")
    beliefs = propagate_label_proportions(graph, shares, bags)
    np.testing.assert_array_equal(model.log_odds_, beliefs.log_odds)
    np.testing.assert_array_equal(model.label_probability_, beliefs.probability)
    assert (model.n_iter_, model.converged_) == (beliefs.n_iter, beliefs.converged)
    expected = LogisticRegression().fit(X, beliefs.probability >= 0.5)
    np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X))
    values = model.decision_function(X)
    np.testing.assert_array_equal(model.predict(X), (values > 0).astype(int))


@pytest.mark.parametrize("pseudo_labels", ["hard", "soft", "count"])
@pytest.mark.parametrize("bag_strength", [np.inf, 0.0, 1.0])
@pytest.mark.parametrize("with_ids", [False, True])
def test_bags_of_one_row_are_labels(rng, pseudo_labels, bag_strength, with_ids):
    X, y, *_ = blobs(rng)
    labels = y if with_ids else np.array(["no", "yes"])[y]
    model = LabelProportionClassifier(
        SVC(), pseudo_labels=pseudo_labels, bag_strength=bag_strength
    ).fit(X, labels, bags=np.arange(120)[::-1] if with_ids else None)
    expected = SVC().fit(X, labels)
    np.testing.assert_array_equal(model.decision_function(X), expected.decision_function(X))  # fmt: skip
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    np.testing.assert_array_equal(model.label_probability_, y)
    np.testing.assert_array_equal(model.log_odds_, 100.0 * y - 50)
    np.testing.assert_array_equal(model.pseudo_labels_, labels)
    assert model.n_iter_ == 1 and model.converged_ is True


def test_kinds_of_pseudo_labels():
    index = GroupIndex([0, 0, 0, 0, 1, 1, 2, 2], 8)
    log_odds = np.array([0.5, 3.0, 0.5, -1.0, 0.0, -0.1, 2.0, -2.0])
    counts = np.array([2.0, 1.0, 2.0])
    kinds = {kind: make_pseudo_labels(kind, log_odds, counts, index) for kind in ("hard", "soft", "count")}  # fmt: skip
    assert kinds["hard"].tolist() == [1, 1, 1, 0, 1, 0, 1, 1]
    assert kinds["count"].tolist() == [1, 1, 0, 0, 1, 0, 1, 1]
    assert kinds["hard"].dtype == kinds["count"].dtype == np.intp
    q = 1 / (1 + np.exp(-log_odds))
    np.testing.assert_allclose(kinds["soft"], [*q[:6], 1.0, 1.0])


def test_soft_labels_are_rows_of_both_classes():
    model = labelled(np.random.default_rng(6), pseudo_labels="soft")
    X, *_ = blobs(np.random.default_rng(6))
    q = model.pseudo_labels_
    assert ((q > 0) & (q < 1)).any() and np.isin(q, [0.0, 1.0]).any()
    both, weight = np.repeat([1, 0], len(X)), np.concatenate([q, 1 - q])
    expected = LogisticRegression().fit(np.vstack([X, X]), both, weight)
    np.testing.assert_allclose(model.decision_function(X), expected.decision_function(X), rtol=1e-3)  # fmt: skip


def test_counts_label_as_many_rows_as_bags_have(digits):
    X, _, shares, bags = digits
    model = LabelProportionClassifier(SVC(), pseudo_labels="count")
    model.fit(X[:1280], shares, bags=bags)
    np.testing.assert_allclose(aggregate_targets(model.pseudo_labels_, bags), shares)


def test_more_than_one_class_of_learner_and_the_default():
    rng = np.random.default_rng(2)
    X, y, shares, bags = blobs(rng, n=200)
    fits = [LabelProportionClassifier(metric="euclidean").fit(X, shares, bags=bags) for _ in range(2)]  # fmt: skip
    np.testing.assert_array_equal(fits[0].predict_proba(X), fits[1].predict_proba(X))
    assert (fits[0].predict(X) == y).mean() > 0.9
    neighbours = LabelProportionClassifier(KNeighborsClassifier())
    assert hasattr(neighbours, "predict_proba")
    assert not hasattr(neighbours, "decision_function")
    assert not hasattr(LabelProportionClassifier(SVC()), "predict_proba")


# --- searches, callbacks ---


def test_a_search_over_strengths_with_scores_by_bag(rng):
    X, y, shares, bags = blobs(rng, n=240)
    model = make_pipeline(
        StandardScaler(),
        LabelProportionClassifier(LogisticRegression(), metric="euclidean"),
    )
    name = "labelproportionclassifier"
    grid = {f"{name}__similarity_strength": [0.0, 2.0], f"{name}__estimator__C": [1.0]}

    def error(y_true, y_pred):
        return np.abs(y_true - y_pred).mean()

    scorer = make_bag_scorer(error, greater_is_better=False)
    with config_context(enable_metadata_routing=True):
        tools = {"cv": GroupKFold(3), "error_score": "raise"}
        search = GridSearchCV(model, grid, **tools).fit(
            X, shares, bags=bags, groups=bags
        )
        scores = cross_validate(
            model, X, shares, params={"bags": bags, "groups": bags},
            scoring=scorer, **tools,
        )  # fmt: skip
    assert (search.predict(X) == y).mean() > 0.9
    assert -0.15 < scores["test_score"].mean() <= 0


def test_callbacks_see_steps_and_stop_them(digits):
    X, _, shares, bags = digits
    for stop_at, n_steps in ((None, None), ("propagation", 1)):
        recorder = Recorder(stop_at)
        model = LabelProportionClassifier(SVC()).set_callbacks(recorder)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            model.fit(X[:1280], shares, bags=bags)
        names = [name for name, *_ in recorder.tasks]
        assert names.count("propagation") == (n_steps or model.n_iter_)
        assert names.count("estimator") == 1
        assert model.converged_ is (stop_at is None)


# --- bad input ---


@pytest.mark.parametrize(
    ("y", "bags", "message"),
    [
        ([0.0] * 4, [0, 0, 1, 1], "all proportions are 0: only one class"),
        ([1.0] * 4, [0, 0, 1, 1], "all proportions are 1: only one class"),
        ([0.2, 0.8, 0.2, 0.8], None, "0 or 1 where each bag has one row, got 0.2"),
        ([0.2, 0.8, 0.2, 0.8], [1, 2, 3, 4], "0 or 1 where each bag has one row"),
        ([0.5, 0.5, 0.5, 1.0], [0, 0, 1, 1], "bag 1 has 0.5 and 1.0"),
        ([2.0, 2.0, 1.0, 1.0], [0, 0, 1, 1], r"\[0, 1\], got 2.0"),
        (list("nnyy"), [0, 0, 1, 1], r"got n: y=aggregate_targets\(y == positive"),
        (list("nnyy"), [0, 0, 1], "bags has 3 ids but X has 4 rows"),
        ([0.5, np.nan, 0.5, 0.5], [0, 0, 1, 1], "Input y contains NaN"),
    ],
)
def test_what_is_no_share_is_named(y, bags, message):
    X = np.arange(8.0).reshape(4, 2)
    with pytest.raises(ValueError, match=message):
        LabelProportionClassifier(SVC()).fit(X, y, bags=bags)


@pytest.mark.parametrize(
    ("share", "options", "message"),
    [
        (0.25, {}, r"'hard' gives one class only \(largest probability 0.2"),
        (0.75, {}, r"'hard' gives one class only \(smallest probability 0.7"),
        (0.05, {"pseudo_labels": "count"}, "gives one class only.*finite bag_strength"),
    ],
)
@pytest.mark.filterwarnings("ignore:Counts of positive rows")
def test_labels_of_one_class_are_refused(share, options, message):
    X, bags = np.zeros((8, 2)), np.repeat([0, 1], 4)
    model = LabelProportionClassifier(SVC(), similarity_strength=0.0, **options)
    with pytest.raises(ValueError, match=message):
        model.fit(X, [share] * 8, bags=bags)
    if not options:
        model.set_params(pseudo_labels="count").fit(X, [share] * 8, bags=bags)
        assert model.pseudo_labels_.sum() == 8 * share


def test_soft_labels_need_weights(rng):
    X, _, shares, bags = blobs(rng)
    pipeline = make_pipeline(StandardScaler(), SVC())
    for estimator in (pipeline, KNeighborsClassifier()):
        model = LabelProportionClassifier(estimator, pseudo_labels="soft")
        message = f"pseudo_labels='soft' needs .* got {type(estimator).__name__}"
        with pytest.raises(ValueError, match=message):
            model.fit(X, shares, bags=bags)
        model.set_params(pseudo_labels="hard").fit(X, shares, bags=bags)


def test_beliefs_that_do_not_settle_are_kept_with_a_warning(rng):
    with pytest.warns(ConvergenceWarning, match="max_iter=2 steps"):
        model = labelled(rng, max_iter=2)
    assert model.n_iter_ == 2 and model.converged_ is False
    assert model.predict([[3.0, 3.0]]) == [1]


def test_parameters_set_after_fit_change_nothing(rng):
    model = labelled(rng)
    X = rng.normal(size=(20, 2))
    before = model.predict(X)
    model.set_params(pseudo_labels="soft", estimator=SVC(), bag_strength=0.0)
    np.testing.assert_array_equal(model.predict(X), before)
    assert clone(model).bag_strength == 0.0
