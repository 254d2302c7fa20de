"""The two estimators: one start, many candidates, one model."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import parallel_config
from scipy.sparse import csr_array
from scipy.stats import loguniform
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, ParameterGrid, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from minimalml._core.models.weights import model_weights
from minimalml.ensemble import (
    ModelSoupClassifier,
    ModelSoupRegressor,
    average_weights,
    interpolate_weights,
)

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
X_TRAIN, X_VAL, Y_TRAIN, Y_VAL = train_test_split(X, Y, random_state=0, stratify=Y)
LINEAR = SGDClassifier("log_loss", max_iter=20, tol=None)
ALPHAS = {"alpha": [1e-4, 1e-3, 1e-2, 0.1]}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
EXACT = 1e-12


def linear_soup(estimator=LINEAR, points=ALPHAS, **options):
    return ModelSoupClassifier(estimator, points, **{"random_state": 0} | options)


def mlp(**options):
    settings = {"hidden_layer_sizes": (8,), "max_iter": 20, "learning_rate_init": 0.01}
    return MLPClassifier(**settings | options)


def same(a, b, atol=EXACT):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=atol, rtol=0)


@pytest.fixture(params=["greedy", "uniform", "learned"])
def method(request):
    if request.param == "learned":
        pytest.importorskip("torch")
    return request.param


# --- what it reduces to ---


def test_copies_of_one_candidate_are_that_candidate(method):
    points = [{"random_state": 3}] * 4
    soup = linear_soup(points=points, method=method).fit(X, Y)
    same(soup.weights_, soup.candidates_[0])


def test_one_candidate_is_kept_as_it_is(method):
    soup = linear_soup(points=[{"alpha": 0.1}], method=method).fit(X, Y)
    same(soup.weights_, soup.candidates_[0])
    assert soup.best_params_ == {"alpha": 0.1}


def test_a_candidate_goes_on_from_the_start_as_a_warm_start_does():
    start = LogisticRegression(max_iter=2).fit(X_TRAIN, Y_TRAIN)
    soup = ModelSoupClassifier(
        LogisticRegression(max_iter=3), [{"C": 2.0}], init=start
    ).fit(X_TRAIN, Y_TRAIN, X_VAL, Y_VAL)
    start.set_params(max_iter=3, C=2.0, warm_start=True).fit(X_TRAIN, Y_TRAIN)
    same(soup.candidates_[0], model_weights(start))
    assert type(soup.estimator_) is LogisticRegression
    assert soup.estimator_.get_params() == LogisticRegression(max_iter=3).get_params()


def test_a_start_that_stopped_does_not_stop_its_candidates():
    start = mlp(max_iter=200, n_iter_no_change=2, tol=1.0).fit(X, Y)  # stops at once
    # a penalty that lifts the loss above all that the start had
    points = [{"learning_rate_init": 1e-4, "alpha": 100.0}]
    network = mlp(n_iter_no_change=2, tol=1e-9)
    soup = ModelSoupClassifier(network, points, init=start, random_state=0).fit(X, Y)
    moved = np.abs(soup.candidates_[0]["coefs_.0"] - soup.init_["coefs_.0"]).max()
    assert moved > 1.5e-3  # nearly the rate in each of 20 epochs of one step


# --- invariants ---


def test_greedy_is_never_below_the_best_candidate_on_the_validation_rows():
    for seed in range(5):
        soup = ModelSoupClassifier(mlp(), n_candidates=5, random_state=seed)
        soup.fit(X_TRAIN, Y_TRAIN, X_VAL, Y_VAL)
        score = -log_loss(Y_VAL, soup.predict_proba(X_VAL))
        assert score >= soup.candidate_scores_.max() - EXACT
        assert soup.soup_scores_[0] == soup.candidate_scores_[soup.best_index_]
        assert soup.soup_scores_.max() == pytest.approx(score)
        mean = average_weights([soup.candidates_[i] for i in soup.ingredients_])
        same(soup.weights_, mean)
        same(soup.weights_, model_weights(soup.estimator_), atol=0)


@settings(max_examples=5)
@given(t=st.floats(0, 1))
def test_the_result_lies_between_the_start_and_the_soup(t):
    whole, part = (linear_soup(interpolation_with_init=s).fit(X, Y) for s in (1.0, t))
    same(part.weights_, interpolate_weights(whole.init_, whole.weights_, t), 1e-10)


def test_mixing_weights_say_what_is_in_the_soup(method):
    soup = linear_soup(method=method, top=3).fit(X, Y)
    weights = soup.mixing_weights_
    assert weights.sum() == pytest.approx(1) and len(weights) == 4
    assert set(np.flatnonzero(weights)) == set(soup.ingredients_)
    assert np.argmin(soup.candidate_scores_) not in soup.ingredients_
    same(soup.weights_, average_weights(soup.candidates_, weights), atol=1e-10)


def test_learning_starts_at_the_mean_and_follows_the_gradient():
    torch = pytest.importorskip("torch")
    from minimalml.ensemble._model_soup._learned_torch import (
        StateStack,
        mixing_loss,
        outputs_function,
    )

    soup = ModelSoupClassifier(mlp(), n_candidates=3, random_state=0).fit(X, Y)
    stack = StateStack(soup.candidates_, torch.float64)
    outputs, rows = outputs_function(soup.estimator_), torch.tensor(X)

    def loss(mixing, log_beta):
        values = outputs(stack.mix(mixing), rows)
        return mixing_loss(values, torch.tensor(Y), log_beta).mean()

    zeros = torch.zeros(3, dtype=torch.float64)
    same(
        {name: value.numpy() for name, value in stack.mix(zeros).items()},
        average_weights(soup.candidates_),
    )
    start = torch.tensor([0.3, -0.1, 0.5]).double(), torch.tensor(0.2).double()
    start = tuple(value.requires_grad_() for value in start)
    assert torch.autograd.gradcheck(loss, start, atol=1e-5)


def test_learned_outputs_are_those_of_the_estimators():
    torch = pytest.importorskip("torch")
    from minimalml._core.training.network import NetworkRegressor
    from minimalml.ensemble._model_soup._learned_torch import (
        StateStack,
        outputs_function,
    )

    def outputs(model):
        stack = StateStack([model_weights(model)], torch.float64)
        values = stack.mix(torch.zeros(1, dtype=torch.float64))
        return outputs_function(model)(values, torch.tensor(X)).detach().numpy()

    binary = Y > 0
    for model in (LINEAR, mlp(activation="tanh")):
        scores = outputs(model.fit(X, binary))
        np.testing.assert_allclose(
            1 / (1 + np.exp(scores[:, 0] - scores[:, 1])), model.predict_proba(X)[:, 1]
        )
    with pytest.raises(TypeError, match=r"can't differentiate MLPRegressor\(.*poisson"):
        outputs_function(MLPRegressor("poisson", max_iter=1).fit(X, Y))
    model = SGDRegressor().fit(X, Y)
    np.testing.assert_allclose(outputs(model)[:, 0], model.predict(X))
    model = NetworkRegressor((4,), max_epochs=2, random_state=0).fit(X, 5.0 + Y)
    model.module_.double()
    predicted = outputs(model)[:, 0] * model.target_scale_ + model.target_mean_
    np.testing.assert_allclose(predicted, model.predict(X), rtol=1e-6)


# --- what goes in ---


def test_a_mapping_of_weights_is_the_start():
    first = linear_soup().fit(X, Y)
    soup = linear_soup(init=first.init_, points=[{"max_iter": 1}]).fit(X, Y)
    same(soup.init_, first.init_, atol=0)
    frozen = FrozenEstimator(first.estimator_)
    again = ModelSoupClassifier(param_distributions=ALPHAS, init=frozen).fit(X, Y)
    same(again.init_, first.weights_, atol=0)


def test_distributions_grids_and_lists_say_what_is_tried():
    drawn = linear_soup(points={"alpha": loguniform(1e-4, 1)}, n_candidates=3).fit(X, Y)
    assert len(drawn.candidate_params_) == 3
    points = drawn.candidate_params_
    assert linear_soup(points=points).fit(X, Y).candidate_params_ == points
    grid = ParameterGrid({"alpha": [0.1, 1.0], "penalty": ["l1", "l2"]})
    assert len(linear_soup(points=grid).fit(X, Y).candidate_params_) == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of fewer points than 16
        assert len(linear_soup().fit(X, Y).candidate_params_) == 4


def test_the_default_score_is_fine_grained_on_few_rows():
    soup = linear_soup().fit(X_TRAIN, Y_TRAIN, X_VAL, Y_VAL)
    assert soup.candidate_scores_.max() < 0
    by_hinge = linear_soup(SGDClassifier()).fit(X_TRAIN, Y_TRAIN, X_VAL, Y_VAL)
    assert by_hinge.soup_scores_[0] * len(Y_VAL) == pytest.approx(
        round(by_hinge.soup_scores_[0] * len(Y_VAL))
    )
    many = np.tile(np.arange(len(X_VAL)), 60)[:2000]
    by_many = linear_soup().fit(X_TRAIN, Y_TRAIN, X_VAL[many], Y_VAL[many])
    assert by_many.candidate_scores_.min() >= 0


def test_validation_rows_may_lack_a_class():
    some = Y_VAL != 1
    soup = linear_soup().fit(X_TRAIN, Y_TRAIN, X_VAL[some], Y_VAL[some])
    proba = soup.predict_proba(X_VAL[some])
    expected = -log_loss(Y_VAL[some], proba, labels=[0, 1, 2])
    assert soup.soup_scores_.max() == pytest.approx(expected)


def test_weights_reach_fits_and_scores():
    weight = np.where(Y == 1, 0.0, 1.0)  # as if class 1 were not there
    soup = linear_soup(scoring="accuracy").fit(X, Y, sample_weight=weight)
    assert 1 not in soup.predict(X) and soup.soup_scores_[0] > 0.95

    def own(model, X, y):  # takes no weights
        return accuracy_score(y, model.predict(X))

    soup = linear_soup(scoring=own).fit(X, Y, sample_weight=weight)
    assert soup.soup_scores_[0] < 0.7


def test_sparse_rows_and_frames_pass_through(method):
    model, points = LogisticRegression(max_iter=20), {"C": [0.1, 1.0]}
    dense, sparse = (
        linear_soup(model, points, method=method).fit(rows, Y)
        for rows in (X, csr_array(X))
    )
    same(dense.weights_, sparse.weights_, atol=1e-4)
    frame = pd.DataFrame(X, columns=list("abcd"))
    soup = linear_soup(method=method).fit(frame, Y, frame, Y)
    assert soup.feature_names_in_.tolist() == list("abcd")
    assert soup.estimator_.feature_names_in_.tolist() == list("abcd")


def test_float32_stays_float32(method):
    soup = ModelSoupClassifier(mlp(), n_candidates=2, method=method, random_state=0)
    soup.fit(X.astype(np.float32), Y)
    assert {array.dtype for array in soup.weights_.values()} == {np.dtype(np.float32)}
    assert soup.predict_proba(X.astype(np.float32)).dtype == np.float32


def test_networks_of_torch_have_soups(method):
    pytest.importorskip("torch")
    from minimalml._core.training.network import NetworkClassifier

    network = NetworkClassifier((8,), max_epochs=10, learning_rate=0.05)
    points = {"learning_rate": [0.01, 0.05], "weight_decay": [0.0, 0.01]}
    soup = linear_soup(network, points, method=method).fit(X, Y)
    again = linear_soup(network, points, method=method).fit(X, Y)
    assert np.array_equal(soup.predict_proba(X), again.predict_proba(X))
    assert soup.score(X, Y) > 0.8


def test_regression_with_several_targets(method):
    X, y = load_diabetes(return_X_y=True)
    X, y = 20 * X, np.column_stack([y, -y]) / 100
    model = MLPRegressor(hidden_layer_sizes=(8,), max_iter=30)
    soup = ModelSoupRegressor(model, n_candidates=3, method=method, random_state=0)
    assert soup.fit(X, y).predict(X).shape == y.shape
    assert soup.soup_scores_[0] == soup.candidate_scores_.max() < 0


def test_a_search_in_a_pipeline_and_a_pipeline_inside():
    grid = {"modelsoupclassifier__method": ["greedy", "uniform"]}
    search = GridSearchCV(make_pipeline(StandardScaler(), linear_soup()), grid, cv=3)
    assert search.fit(X, Y).best_score_ > 0.9
    inside = make_pipeline(StandardScaler(), LINEAR)
    soup = linear_soup(inside, {"sgdclassifier__alpha": [1e-4, 1e-2]}).fit(50 * X, Y)
    assert soup.score(50 * X, Y) > 0.9
    again = linear_soup(inside, [{}], init=soup.weights_).fit(50 * X, Y)
    same(again.init_, soup.weights_, atol=0)


def test_the_number_of_jobs_changes_nothing():
    with parallel_config("threading"):  # starts at once
        one, two = (linear_soup(n_jobs=n).fit(X, Y) for n in (1, 2))
    same(one.weights_, two.weights_, atol=0)


# --- what it refuses ---


@pytest.mark.parametrize(
    "options, message",
    [
        ({"interpolation_with_init": 1.2}, "'interpolation_with_init' parameter"),
        ({"top": 0}, "'top' parameter"),
        ({"validation_fraction": 1.0}, "'validation_fraction' parameter"),
        ({"n_candidates": 0}, "'n_candidates' parameter"),
        ({"accept": "always"}, "'accept' parameter"),
        ({"method": "median"}, "'method' parameter"),
        ({"points": []}, "hold at least one dict of parameters"),
        ({"points": ["alpha"]}, "hold at least one dict of parameters"),
        ({"points": None}, "param_distributions=None has a default for MLP"),
        ({"init": {"coef_": np.zeros((3, 4))}}, "init and estimator differ"),
        (
            {"init": {"coef_": np.zeros((3, 5)), "intercept_": np.zeros(3)}},
            "weight 'coef_' of init is 3x5",
        ),
        ({"init": LogisticRegression().fit(X, Y > 0), "estimator": None},
         r"init was fitted on classes \[False, True\], but y has \[0, 1, 2\]"),
    ],
)  # fmt: skip
def test_bad_parameters_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        linear_soup(**options).fit(X, Y)


@pytest.mark.parametrize(
    "name, value", [("hidden_layer_sizes", (9,)), ("activation", "tanh")]
)
def test_settings_of_the_architecture_are_refused(name, value):
    for options in (
        {"param_distributions": {name: [value]}},
        {"pretrain_params": {name: value}},
        {"estimator": mlp(**{name: value}), "init": mlp().fit(X, Y)},
    ):
        with pytest.raises(
            ValueError, match=f"{name}=.*only models of one architecture"
        ):
            ModelSoupClassifier(**{"estimator": mlp()} | options).fit(X, Y)


@pytest.mark.parametrize(
    "estimator, message",
    [
        (SVC(), "SVC can't go on from given weights; supported are MLPClassifier"),
        (RandomForestClassifier(), "RandomForestClassifier can't go on"),
        (
            HistGradientBoostingClassifier(),
            "HistGradientBoostingClassifier has no weights",
        ),
        (LinearRegression(), "must be a classifier, got LinearRegression"),
    ],
)
def test_other_kinds_of_estimators_are_refused(estimator, message):
    with pytest.raises(TypeError, match=message):
        linear_soup(estimator, [{"verbose": 0}]).fit(X, Y)


def test_starts_of_another_kind_or_without_a_fit_are_refused():
    with pytest.raises(
        TypeError, match=r"or a fitted SGDClassifier, .* got MLPClassifier"
    ):
        linear_soup(init=mlp().fit(X, Y)).fit(X, Y)
    with pytest.raises(NotFittedError):
        ModelSoupClassifier(init=mlp()).fit(X, Y)


def test_bad_rows_are_refused():
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        linear_soup().fit(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match="X_val and y_val must be given together"):
        linear_soup().fit(X, Y, X)
    with pytest.raises(ValueError, match=r"y_val has labels \[7\] .* not among"):
        linear_soup().fit(X, Y, X[:2], [0, 7])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        linear_soup().fit(X, Y[:-1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        linear_soup().fit(X, Y, X[:2], [0])


def test_diverged_candidates_are_left_out(method):
    model = mlp(solver="sgd")
    points = [{"learning_rate_init": rate} for rate in (0.01, 1e15, 0.02)]
    soup = ModelSoupClassifier(model, points, method=method, random_state=0)
    with pytest.warns(RuntimeWarning, match=r"candidates \[1\] diverged"):
        soup.fit(X, Y)
    assert np.isnan(soup.candidate_scores_[1]) and 1 not in soup.ingredients_
    with pytest.raises(ValueError, match="all 1 candidates diverged"):
        ModelSoupClassifier(model, points[1:2], random_state=0).fit(X, Y)


def test_errors_that_are_no_divergence_are_not_hidden():
    with pytest.raises(ValueError, match="'alpha' parameter"):
        linear_soup(points=[{"alpha": 0.1}, {"alpha": -1}]).fit(X, Y)


def test_candidates_of_different_basins_are_told():
    digits, labels = load_digits(return_X_y=True)
    soup = ModelSoupClassifier(
        mlp(hidden_layer_sizes=(16,), batch_size=20), [{"learning_rate_init": 0.1}] * 4,
        pretrain_params={"max_iter": 1, "learning_rate_init": 1e-5},
        method="uniform", random_state=0,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="the candidates don't share one basin"):
        soup.fit(digits[:600] / 16, labels[:600])
    assert soup.soup_scores_[1] < soup.candidate_scores_.min()
