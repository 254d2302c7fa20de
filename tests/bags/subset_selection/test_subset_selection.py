"""The selector: what it learns, what it may not depend on, and what it refuses."""

import pickle
from functools import cache

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.bags import SubsetSelector, mean_jaccard_score
from minimalml.datasets import make_odd_one_out_subsets, make_two_moons_subsets
from minimalml.neural_network import Training

FLOAT64 = Training(dtype="float64")
SMALL = {"n_components": 8, "hidden_layer_sizes": (16,), "random_state": 0}
FEW = SMALL | {"max_epochs": 3, "training": FLOAT64}


@cache
def odd_irises(seed=0, n_sets=80, set_size=8):
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    return make_odd_one_out_subsets(X, y, n_sets, set_size=set_size, random_state=seed)


@cache
def selector(**options):
    return SubsetSelector(**(FEW | options)).fit(*odd_irises())


def test_a_modular_utility_of_single_rows_is_logistic_regression(rng):
    X = rng.normal(size=(300, 2))
    y = rng.random(300) < 1 / (1 + np.exp(-X @ [2.0, -1.0] - 0.5))
    model = SubsetSelector(
        None, inference="mean_field", encoder="linear", hidden_layer_sizes=(),
        negative_ratio=None, weight_decay=0.0, learning_rate=0.02, n_samples=1,
        batch_size=300, max_epochs=300, random_state=0, training=FLOAT64,
    ).fit(X, y)  # fmt: skip
    expected = LogisticRegression(C=np.inf).fit(X, y).decision_function(X)
    np.testing.assert_allclose(model.decision_function(X), expected, atol=0.02)


def test_a_single_row_is_judged_by_what_it_adds_to_nothing():
    X, _, _ = odd_irises()
    gain = selector().utility(X, np.ones(len(X))) - selector().utility(X, [0] * len(X))
    np.testing.assert_allclose(selector().decision_function(X), gain, atol=1e-10)


def test_odd_rows_are_found_in_new_sets():
    model = SubsetSelector(**SMALL, max_epochs=60, learning_rate=0.01)
    model.fit(*odd_irises(n_sets=150))
    X, y, bags = odd_irises(seed=1)
    assert mean_jaccard_score(y, model.predict(X, bags), bags) > 0.7
    assert model.score(X, y, bags) > 0.85
    # an iris by itself does not tell: its class is odd in one set and not in another
    assert model.score(X, y) < 0.75
    assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]
    assert model.elbo_curve_[-1] > model.elbo_curve_[0]


def test_all_ways_learn_on_two_moons():
    train = make_two_moons_subsets(30, set_size=20, subset_size=4, random_state=0)
    X, y, bags = make_two_moons_subsets(30, set_size=20, subset_size=4, random_state=1)
    for options in (
        {"inference": "independent", "pooling": "mean", "negative_ratio": None},
        {"inference": "mean_field", "context": "superset", "n_mean_field_steps": 2},
        {"context": None, "encoder": "linear"},
        {"encoder": torch.nn.Linear(2, 8)},
    ):
        model = SubsetSelector(
            **SMALL, selection=4, max_epochs=25, learning_rate=0.02, **options
        ).fit(*train)
        chosen = model.predict(X, bags)
        assert mean_jaccard_score(y, chosen, bags) > 0.3, options  # 0.11 at random
        assert (model.recognition_ is None) == (model.elbo_curve_ is None)


def test_the_order_of_rows_within_bags_means_nothing_to_predictions(rng):
    X, _, bags = odd_irises()
    order = rng.permutation(len(X))
    model = selector()
    before, after = (
        model.predict_proba(X, bags),
        model.predict_proba(X[order], bags[order]),
    )
    np.testing.assert_allclose(after, before[order], atol=1e-10)
    mask = rng.random(len(X)) < 0.5
    np.testing.assert_allclose(
        model.utility(X[order], mask[order], bags[order]), model.utility(X, mask, bags)
    )


def test_other_bags_mean_nothing_to_predictions():
    X, _, bags = odd_irises()
    some = bags % 3 == 1
    whole = selector().decision_function(X, bags)
    part = selector().decision_function(X[some], bags[some])
    np.testing.assert_allclose(part, whole[some], atol=1e-10)


def test_whole_bags_are_held_out_and_the_best_epoch_kept():
    X, y, bags = odd_irises()
    options = SMALL | {"learning_rate": 0.05, "max_epochs": 60}
    model = SubsetSelector(**options, early_stopping=True, selection="optimal")
    model.fit(X, y, bags)
    scores = model.validation_scores_
    assert model.n_iter_ == len(scores) < 60
    assert scores[model.best_epoch_ - 1] == max(scores)
    assert model.n_iter_ - model.best_epoch_ >= 6
    # the threshold lies between chances of bags held out, which are some of these
    chances = np.unique(model.predict_proba(X, bags)[:, 1])
    place = np.searchsorted(chances, model.threshold_)
    assert 0 < place < len(chances) and model.threshold_ not in chances
    assert np.array_equal(model.predict(X, bags) == 1, model.predict_proba(X, bags)[:, 1] > model.threshold_)  # fmt: skip


def test_the_optimal_threshold_is_best_on_the_training_bags():
    X, y, bags = odd_irises()
    best = selector(selection="optimal")
    score = mean_jaccard_score(y, best.predict(X, bags), bags)
    chance = best.predict_proba(X, bags)[:, 1]
    scores = [mean_jaccard_score(y, chance > t, bags) for t in np.linspace(0, 1, 41)]
    assert score >= max(scores) and score > 0


def test_rules_stay_as_they_were_fitted():
    X, _, bags = odd_irises()
    model = clone(selector(selection=2)).fit(*odd_irises())
    before = model.predict(X, bags)
    assert (np.bincount(bags, before) == 2).all()
    model.set_params(selection="size", n_mean_field_steps=3, context=None)
    np.testing.assert_array_equal(model.predict(X, bags), before)
    with pytest.warns(UserWarning, match="640 bags have fewer than selection=2 rows"):
        assert model.predict(X).all()


@pytest.mark.parametrize("negative_ratio", [1.0, None])
def test_rows_of_weight_zero_are_seen_but_their_labels_are_not(negative_ratio):
    X, y, bags = odd_irises()
    weight = np.where((np.arange(len(X)) % 8 == 0) | (bags < 20), 0.0, 1.0)
    flipped, kept = np.where(weight > 0, y, 1 - y), bags >= 20
    options = {"negative_ratio": negative_ratio, "selection": "optimal"}
    model = SubsetSelector(**FEW, **options)
    before = clone(model).fit(X, y, bags, weight)
    for rows in (
        (X, flipped, bags, weight),
        (X[kept], y[kept], bags[kept], weight[kept]),
    ):
        after = clone(model).fit(*rows)
        assert after.threshold_ == before.threshold_
        np.testing.assert_array_equal(
            before.decision_function(X, bags), after.decision_function(X, bags)
        )
    other = X + (weight == 0)[:, None] * kept[:, None]
    assert clone(model).fit(other, y, bags, weight).loss_curve_ != before.loss_curve_


def test_bags_without_members_and_with_members_alone_are_learnt_from():
    X, y, bags = odd_irises()
    y = np.where(bags % 3 == 0, 0, np.where(bags % 3 == 1, 1, y))
    model = SubsetSelector(**FEW).fit(X, y, bags)
    assert np.isfinite(model.loss_curve_).all()
    words = np.where(y == 1, "yes", "no")
    found = SubsetSelector(**FEW).fit(X, words, bags)
    np.testing.assert_array_equal(
        found.predict(X, bags) == "yes", model.predict(X, bags)
    )
    one = bags == 2
    assert SubsetSelector(**FEW).fit(X[one], y[one], bags[one]).n_iter_ == 3


def test_warm_starts_go_on_with_the_same_labels():
    X, y, bags = odd_irises()
    model = SubsetSelector(**FEW, warm_start=True).fit(X, y, bags)
    losses = model.loss_curve_.copy()
    model = pickle.loads(pickle.dumps(model)).fit(X, y, bags)
    assert model.loss_curve_[:3] == losses and model.n_iter_ == 6
    assert len(model.elbo_curve_) == 6
    with pytest.raises(ValueError, match=r"y has labels \[2\] that are not among"):
        model.fit(X, y + 1, bags)


def test_a_pickle_gives_the_same_answers():
    X, _, bags = odd_irises()
    again = pickle.loads(pickle.dumps(selector()))
    np.testing.assert_array_equal(
        again.decision_function(X, bags), selector().decision_function(X, bags)
    )
    assert again.set_function_ is again.module_.set_function


def test_a_checkpoint_of_other_rows_is_refused(tmp_path):
    X, y, bags = odd_irises()
    training = Training(checkpoint=tmp_path / "run.pt")
    model = SubsetSelector(**SMALL, max_epochs=2, training=training).fit(X, y, bags)
    longer = clone(model).set_params(max_epochs=4).fit(X, y, bags)
    whole = SubsetSelector(**SMALL, max_epochs=4, training=Training()).fit(X, y, bags)
    np.testing.assert_allclose(longer.loss_curve_, whole.loss_curve_, rtol=1e-6)
    with pytest.raises(ValueError, match=r"checkpoint .* is of another run"):
        clone(model).fit(X, 1 - y, bags)


def test_a_search_in_a_pipeline_over_whole_bags():
    X, y, bags = odd_irises(n_sets=40)
    model = make_pipeline(StandardScaler(), SubsetSelector(**FEW))
    grid = {"subsetselector__context": ["complement", None]}
    tools = {"cv": GroupKFold(2), "error_score": "raise"}
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(model, grid, **tools).fit(X, y, bags=bags, groups=bags)
        assert search.best_estimator_.predict(X, bags=bags).shape == y.shape
        found = cross_validate(
            model, X, y, params={"bags": bags, "groups": bags}, **tools
        )
    assert np.isfinite(found["test_score"]).all()


X_BAD, Y_BAD, BAGS_BAD = np.ones((4, 2)), np.array([0, 1, 0, 1]), [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("options", "data", "message"),
    [
        ({}, {"y": [0, 1, 2, 1]}, "Only binary classification .* got 3"),
        ({}, {"y": [1, 1, 1, 1]}, "y must have 2 classes, got 1 class: 1"),
        ({}, {"y": [0.1, 0.2, 0.5, 1.5]}, "Unknown label type: continuous"),
        ({}, {"X": [[np.nan, 1.0]] * 4}, "contains NaN"),
        ({}, {"bags": [0, 1]}, "bags has 2 ids but X has 4 rows"),
        (
            {},
            {"sample_weight": [1, -1, 1, 1]},
            "Negative values in data.*sample_weight",
        ),
        ({}, {"sample_weight": [0, 0, 0, 0]}, "[Ss]ample weights must contain"),
        ({"negative_ratio": -1.0}, {}, "'negative_ratio' parameter of SubsetSelector"),
        ({"selection": 0}, {}, "'selection' parameter of SubsetSelector"),
        ({"context": "concat"}, {}, "'context' parameter of SubsetSelector"),
        ({"hidden_layer_sizes": (8, 0)}, {}, "hidden_layer_sizes must be integers"),
        ({"encoder": torch.nn.Linear(2, 3)}, {}, r"n_components=8 .* shape \(4, 3\)"),
        ({"training": Training(optimizer="lbfgs")}, {}, "must not be 'lbfgs'"),
        ({"early_stopping": True}, {}, "validation_fraction=0.1 leaves 1 of 2"),
    ],
)
def test_what_cannot_be_fitted_is_named(options, data, message):
    data = {"X": X_BAD, "y": Y_BAD, "bags": BAGS_BAD} | data
    with pytest.raises(ValueError, match=message):
        SubsetSelector(**(FEW | options)).fit(**data)


def test_an_encoder_that_is_no_module_is_refused():
    with pytest.raises(TypeError, match="encoder must be 'mlp', 'linear' or a torch"):
        SubsetSelector(encoder=StandardScaler.fit).fit(X_BAD, Y_BAD)


def test_masks_and_rows_that_have_no_utility_are_named():
    X, _, bags = odd_irises()
    with pytest.raises(ValueError, match="mask has 3 values but X has 640 rows"):
        selector().utility(X, [0, 1, 1], bags)
    with pytest.raises(ValueError, match=r"numbers in \[0, 1\], got -1.0 to 1.0"):
        selector().utility(X, np.where(bags == 0, -1, 1), bags)
    with pytest.raises(ValueError, match=r"too large for the network\. Scale X"):
        selector(training=None).predict(X * 1e60, bags)


# --- generators ---


@pytest.mark.parametrize("subset_size", [3, (0, 4), [2, 2]])
def test_sets_have_odd_rows_of_other_classes(subset_size):
    table = load_iris(return_X_y=True)
    options = {"set_size": 7, "subset_size": subset_size, "random_state": 0}
    rows = np.column_stack([*table, np.arange(150)])
    X, y, bags = make_odd_one_out_subsets(rows, table[1], 50, **options)
    assert X.shape == (350, 6) and bags.tolist() == np.repeat(range(50), 7).tolist()
    low, high = (subset_size,) * 2 if subset_size == 3 else subset_size
    for X_set, is_odd in zip(X.reshape(50, 7, 6), y.reshape(50, 7) == 1, strict=True):
        (common,) = set(X_set[~is_odd, 4])
        assert common not in X_set[is_odd, 4] and low <= is_odd.sum() <= high
        assert len(set(X_set[:, 5])) == 7  # no row twice
    assert {*np.unique(np.bincount(bags, y))} == {*range(low, high + 1)}
    assert len({tuple(column) for column in y.reshape(50, 7)}) > 5


def test_moons_are_told_by_their_majority():
    X, y, bags = make_two_moons_subsets(
        30, set_size=20, subset_size=(2, 5), noise=0.0, random_state=0
    )
    is_upper = np.isclose(np.hypot(X[:, 0] + 1, X[:, 1] + 0.2), 2.0)
    is_common = is_upper == (np.bincount(bags, is_upper) > 10)[bags]
    np.testing.assert_array_equal(is_common, y == 0)
    assert {*np.bincount(bags, y)} == {2, 3, 4, 5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset_size": 8}, "less than set_size=8, got 8"),
        ({"subset_size": (3, 2)}, r"smaller first.*got \(3, 2\)"),
        ({"subset_size": (1, 2, 3)}, r"got \(1, 2, 3\)"),
        ({"set_size": 90}, "needs a class of 88 rows and 3 rows of others"),
        ({"n_sets": 0}, "'n_sets' parameter of make_odd_one_out_subsets"),
    ],
)
def test_sets_that_cannot_be_made_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_odd_one_out_subsets(*load_iris(return_X_y=True), **options)
