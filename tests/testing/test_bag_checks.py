"""The checks of multiple-instance learning catch what breaks it, and pass what does not."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from minimalml._core.groups import GroupIndex
from minimalml.bags import MultipleInstanceClassifier, MultipleInstanceMLPClassifier
from minimalml.datasets import make_mil_unit_test
from minimalml.testing import check_bag_score_is_monotone, check_respects_mil_assumption


def data():
    X, y, bags = make_mil_unit_test("single_concept", 60, random_state=0)
    return X, y, np.array([f"bag {bag}" for bag in bags])


def network(pooling, **options):
    return MultipleInstanceMLPClassifier(pooling=pooling, device="cpu", **options)


# --- scores of bags that are sums, maxima and the like of the first feature ---


def by_bag(function):
    return lambda model, list_of_arrays: [function(X[:, 0]) for X in list_of_arrays]


@pytest.mark.parametrize(
    "function",
    [np.max, lambda x: np.exp(x).sum(), lambda x: np.log(np.exp(x).sum()), len,
     lambda x: np.sort(x)[-1] + (np.sort(x)[-2] if len(x) > 1 else -99), lambda x: 1],
)  # fmt: skip
def test_scores_that_rise_with_each_row_are_monotone(function):
    X, _, bags = data()
    check_bag_score_is_monotone(None, X, bags, score=by_bag(function))


@pytest.mark.parametrize("function", [np.mean, np.min, np.median, np.sum, np.std])
def test_scores_that_fall_by_a_row_are_caught_in_plain_words(function):
    X, _, bags = data()
    score = by_bag(function)
    with pytest.raises(AssertionError, match="NoneType gave a bag a lower") as info:
        check_bag_score_is_monotone(None, X, bags, score=score, n_trials=200)
    words = str(info.value).replace(",", "").replace(".\n", " ").split()
    n_falls, n_trials = (int(words[words.index("of", 9) + step]) for step in (-1, 1))
    assert 20 <= n_falls < n_trials == 200
    message = str(info.value)
    bag, numbers = message.split("for bag ")[1].split(", from ")
    before, after = (float(n) for n in numbers.split(", with")[0].split(" to "))
    row = X[int(message.split("with row ")[1].split(" of X")[0])]
    held = X[bags == bag]
    assert before == pytest.approx(function(held[:, 0]), rel=1e-3)
    assert after == pytest.approx(function(np.r_[held, [row]][:, 0]), rel=1e-3)


def test_falls_within_the_tolerance_are_none():
    X, _, bags = data()
    score = by_bag(lambda x: np.max(x) - 1e-3 * len(x))
    check_bag_score_is_monotone(None, X, bags, score=score, tol=1e-3)
    with pytest.raises(AssertionError, match="lower score"):
        check_bag_score_is_monotone(None, X, bags, score=score, tol=1e-5)


class GivesRows(MultipleInstanceClassifier):
    """Forgets that the rows of a bag share its score."""

    def decision_function(self, X, bags=None):
        return super().decision_function(X)


def test_what_is_no_score_of_a_bag_is_named():
    X, y, bags = data()
    rows = GivesRows().fit(X, y, bags)
    with pytest.raises(
        AssertionError, match="GivesRows must give all rows of a bag the"
    ):
        check_bag_score_is_monotone(rows, X, bags)
    with pytest.raises(AssertionError, match="gave bag bag 0 the score NaN"):
        check_bag_score_is_monotone(None, X, bags, score=by_bag(lambda x: np.nan))
    with pytest.raises(AssertionError, match=r"shape \(60,\), got shape \(60, 2\)"):
        check_bag_score_is_monotone(None, X, bags, score=by_bag(lambda x: [0, 1]))
    with pytest.raises(TypeError, match=r"decision_function must take bags.*score="):
        check_bag_score_is_monotone(LogisticRegression().fit(X, y), X, bags)
    with pytest.raises(ValueError, match="n_trials must be a positive integer, got 0"):
        check_bag_score_is_monotone(rows, X, bags, n_trials=0)
    with pytest.raises(ValueError, match="bags has 3 ids"):
        check_bag_score_is_monotone(rows, X, bags[:3])


def test_a_model_with_probabilities_alone_is_asked_for_them():
    class Probabilities:
        def predict_proba(self, X, bags=None):
            index = GroupIndex(bags, len(X))
            chances = index.expand(index.mean(X[:, 0]))
            return np.column_stack([-chances, chances])

    X, _, bags = data()
    with pytest.raises(AssertionError, match="Probabilities gave a bag a lower score"):
        check_bag_score_is_monotone(Probabilities(), X, bags)


# --- our own networks ---


@pytest.mark.parametrize("pooling", ["max", "noisy_or", "concepts"])
@pytest.mark.parametrize("max_epochs", [1, 20])
def test_monotone_poolings_pass_fitted_well_or_not(pooling, max_epochs):
    pytest.importorskip("torch")
    X, y, bags = data()
    X = StandardScaler().fit_transform(X)
    model = network(pooling, max_epochs=max_epochs, random_state=0).fit(X, y, bags)
    check_bag_score_is_monotone(model, X, bags)


@pytest.mark.parametrize("pooling", ["attention", "embedding_max"])
@pytest.mark.parametrize("max_epochs", [1, 20])
def test_the_counter_examples_fall_in_a_fifth_of_the_trials(pooling, max_epochs):
    pytest.importorskip("torch")
    X, y, bags = data()
    X = StandardScaler().fit_transform(X)
    model = network(pooling, max_epochs=max_epochs, random_state=0).fit(X, y, bags)
    with pytest.raises(AssertionError, match="of 300 trials") as info:
        check_bag_score_is_monotone(model, X, bags)
    n_falls = int(str(info.value).split("to it, in ")[1].split(" of 300")[0])
    assert n_falls >= 60


@pytest.mark.parametrize("pooling", ["max", "noisy_or"])
def test_rules_by_the_largest_row_respect_the_standard_assumption(pooling):
    pytest.importorskip("torch")
    table = check_respects_mil_assumption(network(pooling))
    assert list(table) == ["single_concept", "multi_concept"]
    assert table["single_concept"]["verdict"] == "respects"
    assert table["single_concept"]["test_auc"] > 0.97
    assert all(row["monotone"] for row in table.values())


def test_concepts_respect_the_threshold_assumption_and_learn_it():
    pytest.importorskip("torch")
    table = check_respects_mil_assumption(network("concepts"), assumption="threshold")
    assert list(table) == ["single_concept", "multi_concept", "false_frequency"]
    for row in table.values():
        assert row["verdict"] == "respects" and row["monotone"]
        assert row["test_auc"] >= 0.95 and row["train_auc"] >= 0.95


@pytest.mark.parametrize("pooling", ["attention", "embedding_max"])
def test_attention_and_pooled_embeddings_are_refused_in_plain_words(pooling):
    pytest.importorskip("torch")
    with pytest.raises(AssertionError) as info:
        check_respects_mil_assumption(network(pooling))
    message = str(info.value)
    assert "does not keep to the standard assumption" in message
    assert "positive if and only if one of its rows is" in message
    assert "a row whose absence makes a bag positive" in message
    assert "gave a bag a lower score when a row was added" in message
    line = message.split("- single_concept: ")[1]
    assert line.startswith("violates, AUC 1.00 on training bags and 0.")
    assert float(line.split(" and ")[1].split()[0]) < 0.3


def test_a_rule_by_the_largest_row_cannot_count_two_concepts():
    pytest.importorskip("torch")
    with pytest.raises(
        AssertionError, match=r"false_frequency: undecided.*to be judged"
    ):
        check_respects_mil_assumption(network("max"), assumption="threshold")


# --- scikit-learn's models ---


@pytest.mark.parametrize("inner", [None, SVC()])
def test_pipelines_that_end_in_a_witness_pass(inner):
    model = make_pipeline(StandardScaler(), MultipleInstanceClassifier(inner))
    table = check_respects_mil_assumption(model)
    assert table["single_concept"]["verdict"] == "respects"
    assert not hasattr(model[-1], "estimator_")  # a clone was fitted
    again = check_respects_mil_assumption(model)
    assert again == table


def embedded(function):
    """Fit and score a scikit-learn pipeline on one vector a bag."""
    vectors = lambda bags: np.array([function(X) for X in bags])  # noqa: E731
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return {
        "fit": lambda bags, labels: model.fit(vectors(bags), labels),
        "score": lambda model, bags: model.decision_function(vectors(bags)),
    }


@pytest.mark.parametrize(
    "function", [lambda X: X.mean(axis=0), lambda X: X.min(axis=0)]
)
def test_a_pipeline_on_means_or_minima_of_bags_is_refused(function):
    with pytest.raises(AssertionError, match="The model does not keep to") as info:
        check_respects_mil_assumption(None, **embedded(function))
    assert "a row was added to it" in str(info.value)


def test_a_pipeline_that_can_learn_nothing_is_only_shown_to_be_monotone():
    with pytest.warns(UserWarning, match="can't learn the bags of single_concept"):
        table = check_respects_mil_assumption(None, **embedded(lambda X: [0.0]))
    assert table["single_concept"]["verdict"] == "undecided"
    assert table["single_concept"]["monotone"]


@pytest.mark.parametrize(
    ("estimator", "options", "error", "message"),
    [
        (None, {}, TypeError, "estimator is None: give one, or both fit and score"),
        (LogisticRegression(), {}, TypeError, "LogisticRegression.fit must take bags"),
        (make_pipeline(SVC()), {}, TypeError, "Pipeline.fit must take bags"),
        (SVC, {}, TypeError, r"estimator must be an instance.*SVC\(\)"),
        (SVC(), {"assumption": "any"}, ValueError, "'assumption' parameter .* 'any'"),
        (SVC(), {"n_bags": 1}, ValueError, "'n_bags' parameter"),
        (SVC(), {"fit": 3}, ValueError, "'fit' parameter"),
    ],
)  # fmt: skip
def test_what_cannot_be_checked_is_named(estimator, options, error, message):
    with pytest.raises(error, match=message):
        check_respects_mil_assumption(estimator, **options)
