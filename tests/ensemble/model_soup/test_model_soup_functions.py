"""Averages, the greedy soup and the gap to the ensemble, on models at hand."""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from minimalml.ensemble import (
    average_weights,
    greedy_soup,
    interpolate_weights,
    soup_ensemble_gap,
)

EXACT = 1e-12
ACCUMULATION = 1e-10  # of logits, over some features


def models_of(rng, n, shape=(3, 4), dtype=np.float64):
    return [
        {
            "w": rng.normal(size=shape).astype(dtype),
            "b": rng.normal(size=4).astype(dtype),
        }
        for _ in range(n)
    ]


def closeness(target):
    """A score that is best at ``target``."""
    return lambda model: -float(np.square(model["w"] - target).sum())


def same(a, b, atol=EXACT):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=atol, rtol=0)


# --- what they reduce to ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_copies_of_one_model_are_their_soup(rng, dtype):
    [model] = models_of(rng, 1, dtype=dtype)
    same(average_weights([model] * 7), model)
    same(average_weights([model] * 3, [0.2, 0.5, 0.3]), model, atol=3e-7)
    same(greedy_soup([model] * 3, lambda m: 1.0).weights, model)
    assert average_weights([model] * 7)["w"].dtype == dtype


def test_the_ends_of_the_line_are_the_models(rng):
    a, b = models_of(rng, 2)
    b["b"][0] = -np.inf  # as masks of attention hold
    assert np.array_equal(interpolate_weights(a, b, 0)["b"], a["b"])
    assert np.array_equal(interpolate_weights(a, b, 1)["b"], b["b"])
    same(interpolate_weights(a, b, 0.5), average_weights([a, b]))
    same(interpolate_weights(a, {"w": 3 * a["w"], "b": a["b"]}, 2.0),
         {"w": 5 * a["w"], "b": a["b"]})  # fmt: skip


def test_accepting_everything_is_the_mean(rng):
    models = models_of(rng, 5)
    soup = greedy_soup(models, closeness(0), accept=np.inf)
    same(soup.weights, average_weights(models))
    assert sorted(soup.ingredients) == [0, 1, 2, 3, 4]


def test_linear_models_average_their_logits_and_have_no_gap():
    X, y = load_iris(return_X_y=True)
    a, b = (LogisticRegression(C=C, max_iter=500).fit(X, y) for C in (0.01, 10))
    mean = (a.decision_function(X) + b.decision_function(X)) / 2
    soup = average_weights([a, b])
    np.testing.assert_allclose(soup.decision_function(X), mean, atol=ACCUMULATION)
    found = soup_ensemble_gap(
        lambda model, X: model.decision_function(X), a, b, X, y, t=0.3, beta=1.5
    )
    assert abs(found["gap"]) < EXACT
    # the second difference is exact to the square of the step
    assert abs(found["approximation"]) < 1e-3 * found["disagreement"]


# --- invariants ---


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6))
def test_order_changes_nothing(seed, n):
    rng = np.random.default_rng(seed)
    models, target = models_of(rng, n), rng.normal(size=(3, 4))
    order = rng.permutation(n)
    shuffled = [models[i] for i in order]
    same(average_weights(shuffled), average_weights(models))
    soups = [greedy_soup(m, closeness(target)) for m in (models, shuffled)]
    same(soups[0].weights, soups[1].weights)
    assert [int(order[i]) for i in soups[1].ingredients] == soups[0].ingredients


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 7))
def test_greedy_lies_between_the_best_model_and_the_best_of_all_subsets(seed, k):
    rng = np.random.default_rng(seed)
    models, score = models_of(rng, k), closeness(0)
    soup = greedy_soup(models, score)
    best_of_all = max(
        score(average_weights([models[i] for i in subset]))
        for size in range(1, k + 1)
        for subset in combinations(range(k), size)
    )
    assert soup.soup_scores[0] == max(map(score, models))
    assert soup.soup_scores[0] <= score(soup.weights) + EXACT
    assert score(soup.weights) <= best_of_all + EXACT
    assert soup.n_evaluations == 2 * k - 1


def test_greedy_is_the_loop_of_the_paper(rng):
    models, score = models_of(rng, 8), closeness(0.2)
    order = sorted(range(8), key=lambda i: -score(models[i]))
    chosen, best = order[:1], score(models[order[0]])
    for i in order[1:]:
        value = score({"w": np.mean([models[j]["w"] for j in [*chosen, i]], axis=0)})
        if value >= best:
            chosen, best = [*chosen, i], value
    assert greedy_soup(models, score).ingredients == chosen


def test_equal_soups_are_taken_by_the_paper_and_not_by_its_code(rng):
    models = models_of(rng, 3)
    assert greedy_soup(models, lambda m: 1.0).ingredients == [0, 1, 2]
    assert greedy_soup(models, lambda m: 1.0, accept="better").ingredients == [0]


def test_a_score_of_nan_is_never_accepted(rng):
    models = models_of(rng, 3)
    known = {id(m["w"]) for m in models}
    score = lambda m: 1.0 if id(m["w"]) in known else np.nan  # noqa: E731
    assert greedy_soup(models, score, accept=np.inf).ingredients == [0]
    first_is_bad = lambda m: np.nan if m["w"] is models[0]["w"] else 1.0  # noqa: E731
    with pytest.warns(RuntimeWarning, match=r"models \[0\] diverged"):
        soup = greedy_soup(models, first_is_bad)
    assert soup.ingredients == [1, 2] and np.isnan(soup.candidate_scores[0])


def test_models_stay_as_they_are(rng):
    models = models_of(rng, 4)
    for model in models:
        for array in model.values():
            array.flags.writeable = False
    average_weights(models)
    greedy_soup(models, closeness(0))


def test_greedy_takes_the_memory_of_two_models():
    models = [[np.full((300, 1000), float(i))] for i in range(6)]
    tracemalloc.start()
    greedy_soup(models, lambda m: -float(m[0][0, 0]), accept=np.inf)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.3 * models[0][0].nbytes


# --- kinds of models ---


def test_lists_tuples_and_estimators_give_their_kind():
    X, y = load_iris(return_X_y=True)
    models = [Ridge(alpha).fit(X, y) for alpha in (0.1, 10)]
    soup = average_weights(models)
    assert soup is not models[0] and type(soup) is Ridge
    np.testing.assert_allclose(
        soup.predict(X), np.mean([m.predict(X) for m in models], axis=0)
    )
    arrays = ([np.zeros(2), np.array(1.0)], [np.ones(2), np.array(3.0)])
    assert average_weights(arrays)[1] == 2.0 and type(average_weights(arrays)) is list
    assert type(average_weights([tuple(a) for a in arrays])) is tuple


def test_averaged_modules_agree_with_torch():
    torch = pytest.importorskip("torch")
    from torch.optim.swa_utils import AveragedModel

    def module(seed):
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
        net(torch.randn(8, 3))  # moves the statistics
        return net

    modules = [module(seed) for seed in range(4)]
    modules[3](torch.randn(8, 3))
    averaged = AveragedModel(modules[0], use_buffers=True)
    for net in modules:
        averaged.update_parameters(net)
    ours, theirs = average_weights(modules).state_dict(), averaged.module.state_dict()
    for name in ours:
        if name != "1.num_batches_tracked":
            torch.testing.assert_close(ours[name], theirs[name])
    assert ours["1.num_batches_tracked"] == 1  # the first one's
    by_state = average_weights([net.state_dict() for net in modules])
    torch.testing.assert_close(by_state, dict(ours), rtol=0, atol=0)
    X = torch.randn(5, 3)
    soup = greedy_soup(modules, lambda net: -net.eval()(X).square().mean().item())
    assert type(soup.weights) is torch.nn.Sequential
    assert modules[0][1].num_batches_tracked == 1


# --- the gap ---


def test_the_error_of_the_approximation_is_of_third_order(rng):
    X, y = load_iris(return_X_y=True)
    network = MLPClassifier((6,), activation="tanh", solver="lbfgs", random_state=0)
    network.fit(X, y)

    def logits(weights, X):
        return np.tanh(X @ weights[0] + weights[2]) @ weights[1] + weights[3]

    a = [*network.coefs_, *network.intercepts_]
    direction = [rng.normal(size=w.shape) for w in a]
    errors = []
    for size in (0.04, 0.02, 0.01):
        b = [w + size * d for w, d in zip(a, direction, strict=True)]
        found = soup_ensemble_gap(logits, a, b, X, y, t=0.4, beta=1.3)
        errors.append(abs(found["gap"] - found["approximation"]))
    assert errors[0] > 6 * errors[1] > 36 * errors[2] > 0


def test_curvature_agrees_with_the_second_derivative_of_autograd():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), np.arange(20) % 2
    a, b = ([rng.normal(size=(3, 4)), rng.normal(size=(4, 2))] for _ in range(2))
    found = soup_ensemble_gap(lambda w, X: np.tanh(X @ w[0]) @ w[1], a, b, X, y, t=0.4)
    ends = [[torch.tensor(w) for w in end] for end in (a, b)]

    def loss(t):
        w = [(1 - t) * u + t * v for u, v in zip(*ends, strict=True)]
        outputs = torch.tanh(torch.tensor(X) @ w[0]) @ w[1]
        return torch.nn.functional.cross_entropy(outputs, torch.tensor(y))

    exact = torch.autograd.functional.hessian(loss, torch.tensor(0.4).double())
    assert found["curvature"] == pytest.approx(float(exact), rel=1e-3)


# --- bad input ---

W = np.zeros((2, 3))
IRIS = load_iris(return_X_y=True)


def fitted(keep):
    X, y = IRIS
    return LogisticRegression(max_iter=500).fit(X[keep(y)], y[keep(y)])


@pytest.mark.parametrize(
    "models, message",
    [
        ([], "models must hold at least one model"),
        ([{"a": W}, {"a": W.T}], r"weight 'a' of models\[1\] is 3x2 .* is 2x3"),
        ([{"a": W}, {"a": W.astype(int)}], r"weight 'a' of models\[1\] is .*int64"),
        ([{"a": W}, {"b": W}], r"models\[1\] and models\[0\] differ .* 'a'"),
        ([{"a": W}, {"a": W + np.nan}], r"models\[1\] holds NaN"),
        (
            [fitted(lambda y: y < 2), fitted(lambda y: y > 0)],
            r"models\[1\] has classes_ \[1, 2\], but models\[0\] has \[0, 1\]",
        ),
    ],
)
def test_models_that_are_not_alike_are_refused(models, message):
    with pytest.raises(ValueError, match=message):
        average_weights(models)


def test_kinds_without_weights_are_refused():
    with pytest.raises(TypeError, match="models must be a list or tuple"):
        average_weights({"a": W})
    with pytest.raises(TypeError, match=r"SVC has no weights .* supported are"):
        average_weights([SVC().fit(*IRIS)])


def test_weights_have_to_sum_to_one():
    with pytest.raises(ValueError, match=r"weights must sum to 1, got 0\.9"):
        average_weights([{"a": W}, {"a": W}], [0.5, 0.4])
    with pytest.raises(ValueError, match="one number for each of 2 models"):
        average_weights([{"a": W}, {"a": W}], [1.0])
    with pytest.raises(ValueError, match="t must be a finite number"):
        interpolate_weights([W], [W], np.nan)


def test_diverged_models_are_left_out_with_one_warning():
    models = [[W], [W + np.nan], [W + 1], [W * np.nan]]
    with pytest.warns(RuntimeWarning, match=r"models \[1, 3\] diverged") as caught:
        soup = greedy_soup(models, lambda model: 1.0)
    assert len(caught) == 1 and soup.ingredients == [0, 2] and soup.n_evaluations == 3
    with pytest.raises(ValueError, match="all 1 models diverged"):
        greedy_soup(models[1:2], lambda model: 1.0)
    with pytest.raises(ValueError, match="all 1 models diverged"):
        greedy_soup(models[:1], lambda model: np.nan)


@pytest.mark.parametrize("accept", ["always", -0.1, np.nan, None])
def test_unknown_rules_of_acceptance_are_refused(accept):
    with pytest.raises(ValueError, match="accept must be 'not_worse', 'better' or"):
        greedy_soup([[W]], lambda model: 1.0, accept=accept)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"t": 1.5}, r"t must be in \[0, 1\], got 1.5"),
        ({"beta": 0}, "beta must be above 0"),
        ({"step": -1}, "step must be above 0"),
        ({"y": [0, 3]}, "y must hold a column of the logits, an integer from 0 to 2"),
        ({"y": [0]}, "for each of 2 rows"),
        ({"logit_fn": lambda w, X: X[:, 0]}, "logit_fn must return logits of shape"),
    ],
)
def test_what_the_gap_can_not_compare_is_refused(options, message):
    given = {"logit_fn": lambda w, X: X @ w[0], "a": [W], "b": [W], "X": np.eye(2)}
    with pytest.raises(ValueError, match=message):
        soup_ensemble_gap(**given | {"y": [0, 2]} | options)
