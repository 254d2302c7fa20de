"""Aggregates, scorer and generators of the family, and batches of whole bags."""

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml._core.groups import GroupIndex
from minimalml.bags import aggregate_by_bag, aggregate_targets, make_bag_scorer
from minimalml.bags._bag_estimator import check_proportions, encode_proportions
from minimalml.datasets import make_aggregate_regression, make_bags
from minimalml.testing import bag_data
from tests.bags.learners import MaxOfBag, MeanRidge, ShareRidge

FIND = settings(
    max_examples=1000,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@given(bag_data(), st.sampled_from(["mean", "sum", "max", "min", "first", "size"]))
def test_aggregates_are_those_of_pandas(data, how):
    pd = pytest.importorskip("pandas")
    X, _, bags = data
    ids, found = aggregate_by_bag(X, bags, how=how)
    X = np.asarray(X)
    table = pd.DataFrame(X.astype(float)).groupby(np.asarray(bags))
    expected = getattr(table, how)()
    np.testing.assert_array_equal(ids, expected.index)
    assert found.dtype == (np.intp if how == "size" else X.dtype)
    tolerance = 1e-12 if X.dtype == np.float64 else 1e-6
    scale = np.abs(X).max() * len(X) * tolerance
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=scale)


def test_aggregates_of_any_type_that_sorts():
    bags = ["b", "a", "b"]
    words, days = ["x", "y", "z"], np.array(["2020", "2022", "2021"], "M8[Y]")
    whole = np.array([2**60, 5, 2**60 + 1])  # lost in float64
    for values in (words, days, whole, np.array([True, True, False])):
        values = np.asarray(values)
        for how, places in {"max": [1, 2], "min": [1, 0], "first": [1, 0]}.items():
            found = aggregate_by_bag(values, bags, how=how)[1]
            if values.dtype == bool and how != "first":
                places = [1, 0] if how == "max" else [1, 2]
            np.testing.assert_array_equal(found, values[places], strict=True)
    assert aggregate_by_bag([3, 4, 4], bags)[1].tolist() == [4.0, 3.5]
    assert aggregate_by_bag([[1, 2], [3, 4], [5, 6]], bags)[1].tolist() == [
        [3, 4],
        [3, 4],
    ]


def test_weights_count_and_rows_of_weight_zero_are_gone():
    values, bags = np.array([1.0, 5.0, 2.0, 9.0]), ["b", "a", "b", "c"]
    weight = [3.0, 0.5, 1.0, 0.0]
    expected = {"mean": [5, 1.25], "sum": [2.5, 5], "size": [0.5, 4], "max": [5, 2]}
    for how, aggregates in expected.items():
        ids, found = aggregate_by_bag(values, bags, how=how, sample_weight=weight)
        assert ids.tolist() == ["a", "b"] and found.tolist() == aggregates
    ids, found = aggregate_by_bag(values, sample_weight=weight)
    assert ids.tolist() == [0, 1, 2] and found.tolist() == [1.0, 5.0, 2.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"how": "median"}, "how must be one of mean, sum, .*, got 'median'"),
        ({"values": ["x", "y", "z"]}, "values must be numbers for how='mean'"),
        ({"values": [1.0, np.nan, 2.0]}, "Input values contains NaN"),
        ({"bags": [1, 2]}, "bags has 2 ids but X has 3 rows"),
        ({"sample_weight": [1, -1, 1]}, "Negative values in data.*sample_weight"),
        ({"sample_weight": [1, 1]}, "sample_weight.shape"),
        ({"sample_weight": [0, 0, 0]}, "[Ss]ample weights must contain"),
    ],
)
def test_what_cannot_be_aggregated_is_named(options, message):
    options = {"values": [1.0, 2.0, 3.0], "bags": [1, 1, 2]} | options
    with pytest.raises(ValueError, match=message):
        aggregate_by_bag(**options)


@given(bag_data(target="label"))
def test_targets_are_their_own_aggregates(data):
    pd = pytest.importorskip("pandas")
    _, y, bags = data
    for column in (y, np.asarray(y)[:, None], pd.DataFrame({"y": np.asarray(y)})):
        np.testing.assert_array_equal(aggregate_targets(column, bags, how="max"), y)
    with pytest.raises(ValueError, match="how must be one of"):
        aggregate_targets(y, bags, how="mode")


# --- proportions ---


def test_labels_without_bags_are_shares_of_single_rows():
    singles = GroupIndex(None, 4)
    for y in (["no", "yes", "yes", "no"], [0, 1, 1, 0], [False, True, True, False]):
        classes, shares = encode_proportions(np.array(y), None, singles)
        assert classes.tolist() == sorted(set(y)) and shares.tolist() == [0, 1, 1, 0]
    classes, shares = encode_proportions(np.array([0.5, 0.25, 1, 0]), None, singles)
    assert classes.tolist() == [0, 1] and shares.tolist() == [0.5, 0.25, 1, 0]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.5, 0.5, 1.2, 1.2], r"\[0, 1\], got 1.2"),
        ([0.5, 0.5, -0.1, -0.1], r"\[0, 1\], got -0.1"),
        ([0.5, np.nan, 0, 0], r"\[0, 1\], got nan"),
        (["no", "no", "yes", "yes"], "got no: y=aggregate_targets.y == positive, bags"),
        ([0.5, 0.25, 1.0, 1.0], "bag 0 has 0.5 and 0.25"),
    ],
)
def test_what_is_no_share_is_named(y, message):
    with pytest.raises(ValueError, match=message):
        check_proportions(np.array(y), GroupIndex([0, 0, 1, 1], 4))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", "b", "c", "a"], "Only binary classification .* multiclass: 3 classes"),
        ([1, 1, 1, 1], "y must have 2 classes, got 1 class: 1"),
        ([0.5, 1.5, 0.2, 0.1], "Unknown label type: continuous"),
    ],
)
def test_labels_of_other_than_two_classes_are_named(y, message):
    with pytest.raises(ValueError, match=message):
        encode_proportions(np.array(y), None, GroupIndex(None, 4))


def test_a_classifier_of_shares_scores_labels_and_shares():
    X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    model = ShareRidge().fit(X, ["no", "no", "yes", "yes"])
    assert model.score(X, ["no", "yes", "yes", "yes"]) == 0.75
    assert model.score(X, [0.0, 0.0, 0.5, 1.0]) == 0.875
    assert model.score(X, [0.5, 0.5, 1.0, 1.0], bags=[0, 0, 1, 1]) == 0.75
    weight = [1, 0, 3, 0]
    assert model.score(X, [0.5, 0.5, 1, 1], [0, 0, 1, 1], weight) == 1 - 0.5 / 4
    with pytest.raises(ValueError, match="got no: y=aggregate_targets"):
        model.score(X, ["no", "no", "yes", "yes"], bags=[0, 0, 1, 1])


# --- scorer ---


def bags_and_model():
    X, y, bags, _ = make_aggregate_regression(120, 4, bag_size=(1, 6), random_state=0)
    return X, y, bags, MeanRidge().fit(X, y, bags)


@pytest.mark.parametrize("weight_by_size", [False, True])
@pytest.mark.parametrize("greater_is_better", [False, True])
def test_a_scorer_compares_bags(weight_by_size, greater_is_better):
    X, y, bags, model = bags_and_model()
    options = {"weight_by_size": weight_by_size, "greater_is_better": greater_is_better}
    scorer = make_bag_scorer(mean_absolute_error, **options)
    sizes = np.bincount(bags)
    means = np.bincount(bags, model.predict(X)) / sizes
    truth = aggregate_by_bag(y, bags, how="first")[1]
    weight = sizes if weight_by_size else None
    expected = mean_absolute_error(truth, means, sample_weight=weight)
    expected *= 1 if greater_is_better else -1
    assert scorer(model, X, y, bags) == pytest.approx(expected, abs=1e-12)
    again = pickle.loads(pickle.dumps(scorer))
    assert again(model, X, y, bags=bags) == scorer(model, X, y, bags)
    assert "mean_absolute_error" in repr(scorer)
    per_row = make_bag_scorer(mean_absolute_error)
    direct = mean_absolute_error(y, model.predict(X))
    assert per_row(model, X, y) == pytest.approx(direct, abs=1e-12)


def labelled_bags():
    rng = np.random.default_rng(0)
    X, bags = rng.normal(size=(120, 3)), make_bags(120, (1, 5), random_state=0)
    return X, aggregate_targets((X[:, 0] > 1).astype(int), bags, how="max"), bags


def test_a_method_that_takes_bags_gets_them_also_through_a_pipeline():
    X, y, bags = labelled_bags()
    scorer = make_bag_scorer(roc_auc_score, response_method="decision_function")
    model = MaxOfBag().fit(X, y, bags)
    _, output = aggregate_by_bag(model.decision_function(X, bags), bags, how="first")
    _, truth = aggregate_by_bag(y, bags, how="first")
    expected = roc_auc_score(truth, output)
    assert scorer(model, X, y, bags) == expected
    assert scorer(model, X, y) != expected
    pipeline = make_pipeline("passthrough", MaxOfBag())
    pipeline.fit(X, y, maxofbag__bags=bags)
    with config_context(enable_metadata_routing=True):
        assert scorer(pipeline, X, y, bags) == expected
    with pytest.raises(ValueError, match="enable_metadata_routing=True"):
        scorer(pipeline, X, y, bags)
    by_class = make_bag_scorer(accuracy_score)
    assert by_class(pipeline, X, y, bags) == model.score(X, y, bags)


def test_two_columns_give_the_second_and_lists_the_method_there_is():
    X, y, bags = labelled_bags()

    class TwoColumns(MaxOfBag):
        def predict_proba(self, X):
            positive = 1 / (1 + np.exp(-self.decision_function(X)))
            return np.column_stack([1 - positive, positive])

    model = TwoColumns().fit(X, y, bags)
    scorer = make_bag_scorer(log_loss, how="max", response_method=["predict_proba", "predict"])  # fmt: skip
    _, output = aggregate_by_bag(model.predict_proba(X)[:, 1], bags, how="max")
    _, truth = aggregate_by_bag(y, bags, how="first")
    assert scorer(model, X, y, bags) == pytest.approx(log_loss(truth, output))


def test_scorers_in_searches_need_no_request():
    X, y, bags, _ = bags_and_model()
    error = make_bag_scorer(mean_absolute_error, greater_is_better=False)
    scorers = {
        "error": error,
        "largest": make_bag_scorer(mean_absolute_error, how="max"),
    }
    model = make_pipeline(StandardScaler(), MeanRidge())
    with config_context(enable_metadata_routing=True):
        for scoring, refit in ((error, True), (scorers, "error")):
            search = GridSearchCV(
                model, {"meanridge__alpha": [1e-2, 1e4]}, cv=GroupKFold(3),
                scoring=scoring, refit=refit, error_score="raise",
            ).fit(X, y, bags=bags, groups=bags)  # fmt: skip
            assert search.best_params_ == {"meanridge__alpha": 1e-2}
            score = search.score(X, y, bags=bags)
            assert score == pytest.approx(error(search.best_estimator_, X, y, bags))
        found = cross_validate(
            MeanRidge(), X, y, cv=GroupKFold(3), scoring=scorers,
            params={"bags": bags, "groups": bags}, error_score="raise",
        )  # fmt: skip
    assert np.isfinite(found["test_largest"]).all() and (found["test_error"] < 0).all()


def test_a_scorer_refuses_what_it_cannot_do():
    X, y, bags, model = bags_and_model()
    with pytest.raises(ValueError, match=r"how must be one of .*, got 'median'"):
        make_bag_scorer(mean_absolute_error, how="median")
    scorer = make_bag_scorer(mean_absolute_error, response_method="predict_proba")
    with pytest.raises(AttributeError, match="predict_proba"):
        scorer(model, X, y, bags)
    with pytest.raises(ValueError, match="y must be the same on all rows of a bag"):
        make_bag_scorer(mean_absolute_error)(model, X, X[:, 0], np.zeros(120))


# --- generators ---


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 6), st.integers(0, 99))
def test_bags_have_the_sizes_asked_for(n_samples, low, extra, seed):
    bags = make_bags(n_samples, (low, low + extra), random_state=seed)
    sizes = np.bincount(bags)
    assert len(bags) == n_samples and (sizes[:-1] >= low).all()
    assert sizes.max() <= low + extra and sizes[-1] >= 1
    sizes = np.bincount(make_bags(n_samples, low, random_state=seed))
    assert (sizes[:-1] == low).all() and 1 <= sizes[-1] <= low


def test_bags_put_like_to_like_as_far_as_asked():
    by = np.arange(1000.0)
    like = make_bags(1000, 10, by=by, random_state=0)
    np.testing.assert_array_equal(like, np.arange(1000) // 10)
    for correlation in (0.0, 0.25, 0.5):
        bags = make_bags(1000, 10, by=by, correlation=correlation, random_state=0)
        n_stayed = (bags == like).sum()
        n_moved = 1000 - 1000 * correlation
        assert 1000 - n_moved <= n_stayed <= 1000 - n_moved + 0.05 * n_moved
        assert (np.bincount(bags) == 10).all()


def test_rows_are_sorted_by_the_first_column_first_and_ties_are_random():
    by = np.array([["b", "x"], ["a", "z"], ["b", "w"], ["a", "y"]])
    assert make_bags(4, 1, by=by).tolist() == [3, 1, 2, 0]
    ties = [tuple(make_bags(4, 1, by=[0, 0, 0, 1], random_state=s)) for s in range(20)]
    assert len(set(ties)) == 6 and {bags[3] for bags in ties} == {3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_samples": 0}, "n_samples must be a positive integer, got 0"),
        ({"bag_size": 0}, "bag_size must be .* got 0"),
        ({"bag_size": 2.5}, "bag_size must be .* got 2.5"),
        ({"bag_size": (3, 2)}, r"bag_size must be .* got \(3, 2\)"),
        ({"bag_size": (1, 2, 3)}, r"bag_size must be .* got \(1, 2, 3\)"),
        ({"correlation": 1.5}, r"correlation must be in \[0, 1\], got 1.5"),
        ({"correlation": np.nan}, r"correlation must be in \[0, 1\], got nan"),
        ({"by": [1, 2]}, "by has 2 rows but n_samples is 5"),
    ],
)
def test_bags_that_cannot_be_made_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_bags(**({"n_samples": 5} | options))


def test_the_regression_has_the_moments_asked_for():
    X, y, bags, coef = make_aggregate_regression(
        20_000, 5, bag_size=1, signal=4.0, noise=2.25, random_state=0
    )
    assert coef @ coef == pytest.approx(4.0)
    noise = y[np.argsort(bags)] - X[np.argsort(bags)] @ coef
    assert noise.var() == pytest.approx(2.25, rel=0.05)
    X, y, bags, coef = make_aggregate_regression(100, 5, bag_size=4, noise=0.0)
    np.testing.assert_allclose(aggregate_targets(X @ coef, bags), y, atol=1e-12)
    for name in ("signal", "noise"):
        with pytest.raises(ValueError, match=f"{name} must be at least 0, got -1"):
            make_aggregate_regression(10, 2, **{name: -1.0})


# --- strategy ---


@pytest.mark.parametrize(
    "shows",
    [
        lambda X, y, bags: len(set(bags)) == 1 < len(X),
        lambda X, y, bags: len(set(bags)) == len(X) > 1,
        lambda X, y, bags: 1 < len(set(bags)) < len(X),
        lambda X, y, bags: (
            (np.diff(bags) < 0).any() if bags.dtype.kind == "i" else False
        ),
        lambda X, y, bags: bags.dtype.kind == "U",
        lambda X, y, bags: bags.dtype.kind == "i" and bags.max() >= len(bags),
    ],
)
def test_each_kind_of_bags_is_drawn(shows):
    find(bag_data(corners=[]), lambda data: shows(*data), settings=FIND)


@given(bag_data(target="proportion", corners=["ties"]))
def test_drawn_proportions_are_counts_of_the_bag(data):
    _, y, bags = data
    _, sizes = aggregate_by_bag(y, bags, how="size")
    _, shares = aggregate_by_bag(y, bags, how="first")
    assert ((shares >= 0) & (shares <= 1)).all()
    np.testing.assert_allclose(shares * sizes, np.rint(shares * sizes), atol=1e-5)


@given(bag_data(target="label", corners=[]))
def test_drawn_labels_are_of_both_classes(data):
    _, y, bags = data
    assert set(y) <= {0, 1} and len(set(y)) == min(2, len(set(bags)))


def test_an_unknown_target_is_named():
    with pytest.raises(ValueError, match=r"target must be among .* got 'sum'"):
        bag_data(target="sum")
