"""Ensembles beside their members alone, and what their losses must do."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.ensemble import (
    EnsembleScalingAnalysis,
    RegularizedEnsembleClassifier,
    RegularizedEnsembleRegressor,
    ensemble_loss_curve,
)
from minimalml.ensemble._infinite_compute._infinite_compute import (
    held_out_score,
    hold_out,
)
from minimalml.ensemble._infinite_compute._scaling_analysis import squared_error_curve

seeds = st.integers(0, 10**6)
ROUNDING = 1e-12
# Members beside others: products of float32 in another order, over a training run.
FLOAT32_RUN = 2e-4


def small(n_members=3, **options):
    quick = dict(
        hidden_layer_sizes=(8,), weight_decay=0.1, max_epochs=5, random_state=0
    )
    return RegularizedEnsembleClassifier(n_members, **{**quick, **options})


@pytest.fixture
def iris():
    X, y = load_iris(return_X_y=True)
    return X / X.std(axis=0), y


@pytest.fixture
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X / X.std(axis=0), y


# --- losses over the number of members ---


@given(seed=seeds, combine=st.sampled_from(["logit", "probability"]))
def test_losses_over_all_subsets_never_rise_with_members(seed, combine):
    rng = np.random.default_rng(seed)
    probas = softmax(rng.normal(0, 3, size=(5, 6, 3)), axis=-1)
    y = rng.integers(0, 3, 6)
    curve = ensemble_loss_curve(probas, y, combine=combine)
    assert (np.diff(curve) <= ROUNDING).all()
    for size in (1, 3, 5):
        losses = []
        for subset in map(list, combinations(range(5), size)):
            mean = probas[subset].mean(axis=0)
            if combine == "logit":
                mean = softmax(np.log(probas[subset]).mean(axis=0), axis=1)
            losses.append(log_loss(y, mean, labels=range(3)))
        assert curve[size - 1] == pytest.approx(np.mean(losses))


@given(seed=seeds)
def test_squared_error_falls_on_a_line_over_one_over_members(seed):
    rng = np.random.default_rng(seed)
    predictions, y = rng.normal(size=(5, 9)), rng.normal(size=9)
    curve = squared_error_curve(predictions, y)
    for size in range(1, 6):
        errors = [
            mean_squared_error(y, predictions[list(subset)].mean(axis=0))
            for subset in combinations(range(5), size)
        ]
        assert curve[size - 1] == pytest.approx(np.mean(errors))
    line = np.polyfit(1 / np.arange(1, 6), curve, 1)
    np.testing.assert_allclose(np.polyval(line, 1 / np.arange(1, 6)), curve)
    assert squared_error_curve(predictions[:1], y) == pytest.approx(
        [mean_squared_error(y, predictions[0])]
    )


def test_many_members_are_drawn_and_zeros_have_a_logarithm(rng):
    probas = softmax(rng.normal(size=(12, 10, 3)), axis=-1)
    y = rng.integers(0, 3, 10)
    some = [
        ensemble_loss_curve(probas, y, max_subsets=20, random_state=s)
        for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(some[0], some[1])
    assert (some[0] != some[2]).any()
    assert some[0][-1] == ensemble_loss_curve(probas, y)[-1]
    sure = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert ensemble_loss_curve(sure, [0]) == pytest.approx([354.2, np.log(2)], abs=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(probas=np.ones((2, 3))), "probas must have shape"),
        (dict(probas=np.ones((2, 3, 2))), "sum to 1"),
        (dict(y=[0, 1]), "y must be 3 integers"),
        (dict(y=[0, 1, 2]), "y must be from 0 to 1"),
        (dict(combine="mean"), "'combine' parameter"),
        (dict(max_subsets=0), "'max_subsets' parameter"),
    ],
)
def test_bad_input_of_curves_is_refused(change, message):
    arguments = dict(probas=np.full((2, 3, 2), 0.5), y=[0, 1, 0]) | change
    with pytest.raises(ValueError, match=message):
        ensemble_loss_curve(**arguments)


# --- ensembles ---


def test_members_are_those_of_smaller_ensembles_and_warm_starts_add_to_them(iris):
    X, y = iris
    three = small(3).fit(X, y)
    one, grown = small(1).fit(X, y), small(1, warm_start=True).fit(X, y)
    members = three.member_predict_proba(X)
    np.testing.assert_allclose(
        members[:1], one.member_predict_proba(X), atol=FLOAT32_RUN
    )
    grown.set_params(n_members=3, weight_decay=9.0, max_epochs=50).fit(X, y)
    assert grown.weight_decay_ == 0.1 and grown.max_epochs_ == 5
    np.testing.assert_allclose(members, grown.member_predict_proba(X), atol=FLOAT32_RUN)
    assert not np.allclose(members[0], members[1], atol=0.01)
    with pytest.raises(ValueError, match="n_members must be at least the 3 members"):
        grown.set_params(n_members=2).fit(X, y)


def test_members_of_the_same_weights_differ_by_their_orders(iris, torch):
    X, y = iris
    model = small(2, module=torch.nn.Linear(4, 3), batch_size=10).fit(X, y)
    first, second = model.member_predict_proba(X)
    assert not np.allclose(first, second, atol=1e-4)
    np.testing.assert_allclose(first, second, atol=0.1)


def test_each_way_of_combining_is_its_formula(iris):
    X, y = iris
    model = small(3).fit(X, y)
    members = model.member_predict_proba(X)
    mean = softmax(np.log(members).mean(axis=0), axis=1)
    np.testing.assert_allclose(model.predict_proba(X), mean, rtol=1e-5)
    stages = list(model.staged_predict_proba(X))
    np.testing.assert_array_equal(stages[0], members[0])
    np.testing.assert_array_equal(stages[-1], model.predict_proba(X))
    losses = [log_loss(y, member) for member in members]
    assert log_loss(y, model.predict_proba(X)) <= np.mean(losses)
    model.set_params(combine="probability")
    np.testing.assert_allclose(model.predict_proba(X), members.mean(axis=0))
    alone = small(1).fit(X, y)
    np.testing.assert_array_equal(
        alone.predict_proba(X), alone.member_predict_proba(X)[0]
    )


def test_regressors_average_predictions(diabetes):
    X, y = diabetes
    model = RegularizedEnsembleRegressor(
        3, hidden_layer_sizes=(16,), weight_decay=0.1, max_epochs=60, random_state=0
    ).fit(X, y)
    members = model.member_predict(X)
    np.testing.assert_allclose(model.predict(X), members.mean(axis=0))
    np.testing.assert_array_equal(next(model.staged_predict(X)), members[0])
    assert model.score(X, y) > 0.4


def test_settings_are_searched_and_moved_for_the_ensemble(iris):
    X, y = iris
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))
    options = dict(max_epochs="auto", learning_rate=0.1)
    model = small(2, **options).fit(X, y, weights)
    found = model.search_.best_params_
    assert model.search_.certificate_ and set(found) == {"max_epochs"}
    assert model.max_epochs_ == 2 * found["max_epochs"] and model.weight_decay_ == 0.1
    single = small(2, tune_for="single", **options).fit(X, y, weights)
    assert single.max_epochs_ == found["max_epochs"]
    params = {**model.get_params(), **found, "n_members": 1}
    [(train, held_out)] = model.search_.cv
    params["random_state"] = model.search_.estimator.random_state
    again = RegularizedEnsembleClassifier(**params).fit(
        X[train], y[train], weights[train]
    )
    score = held_out_score(again, X[held_out], y[held_out], weights[held_out])
    assert score == pytest.approx(model.search_.best_score_)
    expected = log_loss(
        y[held_out], again.predict_proba(X[held_out]), sample_weight=weights[held_out]
    )
    assert score == pytest.approx(-expected, rel=1e-5)


def test_validation_rows_may_lack_a_class_and_training_rows_do_not():
    y = np.repeat([0, 1, 2], [30, 30, 1])
    for seed in range(20):
        train, held_out = hold_out(y, 0.2, seed, has_classes=True)
        assert set(y[train]) == {0, 1, 2} and 2 not in y[held_out]
        np.testing.assert_array_equal(np.sort(np.r_[train, held_out]), np.arange(61))
    train, held_out = hold_out(np.repeat([0, 1, 2], 20), 0.2, 0, has_classes=True)
    assert (np.bincount(np.repeat([0, 1, 2], 20)[held_out]) == 4).all()
    with pytest.raises(ValueError, match="leaves no row to validate of 3"):
        hold_out(np.arange(3), 0.2, 0, has_classes=True)
    with pytest.raises(ValueError, match="n_samples=1 can't be held out"):
        hold_out(np.zeros(1), 0.2, 0, has_classes=False)
    assert len(hold_out(np.arange(30.5), 0.2, 0, has_classes=False)[1]) == 7
    X = np.random.default_rng(0).normal(size=(61, 2))
    model = small(1, weight_decay="auto", max_epochs=2).fit(X, y)
    assert np.isfinite(model.search_.best_score_)


def test_a_member_that_diverged_is_dropped(iris, torch):
    X, y = iris

    def network(n_features, n_outputs):
        layer = torch.nn.Linear(n_features, n_outputs)
        if torch.rand(()) < share:
            torch.nn.init.constant_(layer.weight, np.nan)
        return layer

    share = 0.5
    with pytest.warns(
        ConvergenceWarning, match="of 6 members diverged and are dropped"
    ):
        model = small(6, module=network).fit(X, y)
    assert 1 <= len(model.member_predict_proba(X)) < 6
    assert np.isfinite(model.predict_proba(X)).all()
    share = 1.0
    with pytest.raises(ValueError, match="All of 2 members diverged: lower learning_r"):
        small(2, module=network).fit(X, y)


def test_gradients_are_cut_for_each_member_alone(iris, torch):
    from minimalml.neural_network import Training

    X, y = iris
    cut = Training(optimizer="sgd", gradient_clip=0.01, dtype="float64")
    one, four = (small(n, training=cut).fit(X, y) for n in (1, 4))
    np.testing.assert_allclose(
        one.member_predict_proba(X)[0], four.member_predict_proba(X)[0], rtol=1e-9
    )
    free = small(1, training=Training(optimizer="sgd", dtype="float64")).fit(X, y)
    assert not np.allclose(free.predict_proba(X), one.predict_proba(X), atol=1e-3)
    # networks of other kinds, called in turn, are those trained by batched products
    from minimalml._core.training.modules import MLP

    class Other(MLP):
        def __init__(self, n_features, n_outputs):
            super().__init__(n_features, (8,), n_outputs)

    other = small(4, module=Other, training=cut).fit(X, y)
    np.testing.assert_allclose(
        other.member_predict_proba(X), four.member_predict_proba(X), rtol=1e-9
    )


def test_an_ensemble_in_a_pipeline_is_searched(iris):
    X, y = iris
    pipeline = make_pipeline(
        StandardScaler(), small(2, learning_rate=0.03, max_epochs=30)
    )
    grid = {"regularizedensembleclassifier__weight_decay": [0.1, 3.2]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring="neg_log_loss").fit(X, y)
    assert search.best_score_ > -0.6
    assert not hasattr(small(), "partial_fit")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (dict(n_members=0), "'n_members' parameter"),
        (dict(weight_decay="best"), "'weight_decay' parameter"),
        (dict(max_epochs=0), "'max_epochs' parameter"),
        (dict(combine="mean"), "'combine' parameter"),
        (dict(tune_for="both"), "'tune_for' parameter"),
        (dict(validation_fraction=1.0), "'validation_fraction' parameter"),
        (dict(hidden_layer_sizes=(0,)), "hidden_layer_sizes must be integers"),
    ],
)
def test_bad_parameters_of_ensembles_are_refused(iris, parameters, message):
    with pytest.raises(ValueError, match=message):
        small(**parameters).fit(*iris)


# --- the analysis ---


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_analysis_fits_the_laws_of_its_table(iris):
    X, y = iris
    analysis = EnsembleScalingAnalysis(
        small(), sizes=[(2,), (4,), (8,)], n_members=4, data_fractions=(0.3, 0.6, 1.0),
        random_state=0,
    ).fit(X[:120], y[:120], X[120:], y[120:])  # fmt: skip
    table = analysis.results_
    assert {len(values) for values in table.values()} == {36}
    assert sorted(set(table["data"])) == [36, 72, 120]
    assert list(table["n_parameters"][:12:4]) == [2 * 5 + 9, 4 * 5 + 15, 8 * 5 + 27]
    whole = table["data"] == 120
    curve = table["loss"][whole][:4]
    assert (np.diff(curve) <= ROUNDING).all()
    first = analysis.member_laws_[0]
    assert abs(first.predict([[1.0], [4.0]]) - curve[[0, 3]]).max() < 0.05
    assert len(analysis.member_laws_) == 3
    n_parameters = np.unique(table["n_parameters"])[:, None]
    for law in (analysis.single_law_, analysis.joint_law_):
        assert law.predict(n_parameters).shape == (3,)
    assert analysis.data_law_.predict([[120.0]]).shape == (1,)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_analysis_has_no_laws_of_single_points_and_takes_classes_that_rows_lack(iris):
    X, y = iris
    rows = np.r_[:60, 100:102]  # two rows of the last class
    analysis = EnsembleScalingAnalysis(
        small(), sizes=[(4,)], n_members=1, data_fractions=(0.2, 1.0), random_state=1
    ).fit(X[rows], y[rows], X[40:110], y[40:110])
    assert analysis.member_laws_ == [None]
    assert analysis.single_law_ is analysis.joint_law_ is analysis.data_law_ is None
    assert np.isfinite(analysis.results_["loss"]).all()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_analysis_of_targets_has_straight_member_laws(diabetes):
    recipe = RegularizedEnsembleRegressor(weight_decay=0.1, max_epochs=5)
    analysis = EnsembleScalingAnalysis(
        recipe, sizes=[(4,), (8,)], n_members=3, random_state=0
    ).fit(*diabetes)
    for law, start in zip(analysis.member_laws_, (0, 3), strict=True):
        losses = analysis.results_["loss"][start : start + 3]
        np.testing.assert_allclose(law.predict([[1.0], [2], [3]]), losses)
    assert analysis.joint_law_.exponent_[0] == 1
    default = EnsembleScalingAnalysis()._recipe(diabetes[1] + 0.5)
    assert isinstance(default, RegularizedEnsembleRegressor)


@pytest.mark.parametrize(
    ("options", "more", "message"),
    [
        (dict(sizes=[]), {}, "sizes must hold at least one size"),
        (
            dict(data_fractions=[0.5, 2]),
            {},
            r"data_fractions must hold numbers in \(0, 1",
        ),
        (dict(data_fractions=[0.01]), {}, "which leaves 1 of 120 rows"),
        ({}, dict(X_val=np.ones((2, 4))), "must be given together"),
        ({}, dict(X_val=np.ones((2, 4)), y_val=[0, 7]), r"y_val has labels \[7\]"),
    ],
)
def test_bad_input_of_analyses_is_refused(iris, options, more, message):
    with pytest.raises(ValueError, match=message):
        EnsembleScalingAnalysis(small(), **{"sizes": [(2,)], **options}).fit(
            *iris, **more
        )
