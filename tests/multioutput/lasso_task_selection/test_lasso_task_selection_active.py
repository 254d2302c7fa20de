"""The active estimators: rounds, budgets, pools, samplers."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LinearRegression

from minimalml.multioutput import (
    ActiveMultiTaskClassifier,
    ActiveMultiTaskRegressor,
    allocate_samples,
    make_low_rank_tasks,
    relevance_lasso,
    task_statistics,
)
from minimalml.multioutput._lasso_task_selection._active_learners import (
    head_error,
    spread_heads,
)
from tests.multioutput.lasso_task_selection.test_lasso_task_selection_estimators import (
    RecordingCallback,
)


@pytest.fixture(scope="module")
def pool():
    return make_low_rank_tasks(12, 8, 3, 2, random_state=0, n_samples=150)


def model_for(**parameters):
    defaults = {"n_components": 3, "budget": 600, "random_state": 0}
    return ActiveMultiTaskRegressor(**(defaults | parameters))


def sampler_of(truth, noise=0.1):
    def sampler(task, n, random_state):
        rng = np.random.default_rng(random_state)
        X = rng.standard_normal((n, len(truth.basis)))
        w = truth.basis @ truth.heads[:, task]
        return X, X @ w + noise * rng.standard_normal(n)

    return sampler


def excess_risk(model, truth):
    return np.sum((model.coef_ - truth.basis @ truth.target_head) ** 2)


@pytest.mark.parametrize("center", [False, True])
def test_without_sources_it_is_least_squares(rng, center):
    X, y = rng.standard_normal((60, 5)), rng.standard_normal(60) + 1
    expected = LinearRegression(fit_intercept=center).fit(X, y)
    model = ActiveMultiTaskRegressor(center=center).fit(X, y)
    np.testing.assert_allclose(model.predict(X), expected.predict(X), atol=1e-5)
    assert model.n_samples_spent_ == 0
    assert len(model.sample_indices_) == 0


@settings(max_examples=15)
@given(
    st.sampled_from(["lasso", "l2", "uniform"]),
    st.integers(150, 1500),
    st.integers(1, 4),
    st.booleans(),
)
def test_the_budget_is_spent_exactly_on_distinct_rows(
    strategy, budget, n_rounds, reuse
):
    X, y, tasks, _ = make_low_rank_tasks(12, 8, 3, 2, random_state=0, n_samples=150)
    model = model_for(
        strategy=strategy, budget=budget, n_rounds=n_rounds, reuse_data=reuse,
        exploration_fraction=0.5, min_samples=0,
    )  # fmt: skip
    model.fit(X, y, tasks=tasks)
    rows = model.sample_indices_
    # One round spends whole numbers a task: what does not divide is left.
    least = budget - 11 if n_rounds == 1 else budget
    assert least <= model.n_samples_spent_ == model.allocation_.sum() <= budget
    assert len(np.unique(rows)) == len(rows) == model.n_samples_spent_
    assert not np.any(tasks[rows] == 12)
    bought = np.bincount(tasks[rows], minlength=12)
    np.testing.assert_array_equal(bought, model.allocation_.sum(axis=0))


def test_exploration_is_equal_and_later_rounds_double(pool):
    X, y, tasks, _ = pool
    model = model_for(budget=1200, n_rounds=3).fit(X, y, tasks=tasks)
    np.testing.assert_array_equal(model.allocation_[0], 25)
    np.testing.assert_array_equal(model.allocation_.sum(axis=1), [300, 300, 600])


def test_a_later_round_buys_by_the_relevance_before_it(pool):
    X, y, tasks, _ = pool
    model = model_for().fit(X, y, tasks=tasks)
    first = model.history_[0]["relevance"]
    caps = 150 - model.allocation_[0]
    expected = allocate_samples(first, 456, max_samples=caps)
    np.testing.assert_array_equal(model.allocation_[1], expected)


@pytest.mark.parametrize("lambda_", [0.05, "lp", "discrepancy"])
def test_relevance_finds_the_sources_of_the_target(lambda_):
    *_, truth = make_low_rank_tasks(12, 8, 3, 2, random_state=0, n_samples=1)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 8))
    y = X @ truth.basis @ truth.target_head
    model = model_for(budget=4000, lambda_=lambda_)
    model.fit_sampler(sampler_of(truth, 0.01), np.arange(12), X, y)
    penalty = 1e-6 if isinstance(lambda_, str) else lambda_
    exact = relevance_lasso(truth.heads, truth.target_head, penalty)
    np.testing.assert_allclose(model.relevance_, exact, atol=0.05)
    assert excess_risk(model, truth) < 1e-4
    assert not hasattr(model, "sample_indices_")


def test_active_beats_uniform_on_average():
    risks = {"lasso": [], "uniform": []}
    for seed in range(6):
        X, y, tasks, truth = make_low_rank_tasks(
            random_state=seed, n_samples=1500, n_target=500
        )
        for strategy, values in risks.items():
            model = ActiveMultiTaskRegressor(
                4, budget=4000, strategy=strategy, center=False, random_state=seed
            )
            values.append(excess_risk(model.fit(X, y, tasks=tasks), truth))
    assert np.mean(risks["lasso"]) < 0.8 * np.mean(risks["uniform"])


def test_prices_are_kept_and_cheap_tasks_preferred(pool):
    X, y, tasks, _ = pool
    prices = np.where(np.arange(12) % 2, 4.0, 1.0)
    model = model_for(sample_cost=prices, budget=900.0).fit(X, y, tasks=tasks)
    assert model.cost_ == pytest.approx(prices @ model.allocation_.sum(axis=0))
    assert 900 - 4 <= model.cost_ <= 900


def test_uniform_buys_equal_numbers_whatever_they_cost(pool):
    X, y, tasks, _ = pool
    prices = np.linspace(1, 4, 12)
    model = model_for(strategy="uniform", sample_cost=prices, budget=900.0, exponent=2)
    allocation = model.fit(X, y, tasks=tasks).allocation_
    assert np.ptp(allocation[0]) == 0
    assert np.ptp(allocation[1]) <= 1


def test_opening_prices_are_paid_in_each_round(pool):
    *_, truth = pool
    X = np.random.default_rng(0).standard_normal((200, 8))
    y = X @ truth.basis @ truth.target_head
    model = model_for(task_cost=5.0, budget=900.0)
    model.fit_sampler(sampler_of(truth), np.arange(12), X, y)
    opened = np.count_nonzero(model.allocation_)
    assert model.cost_ == model.n_samples_spent_ + 5 * opened
    assert 899 <= model.cost_ <= 900
    assert np.count_nonzero(model.allocation_[1]) <= 3


@pytest.mark.filterwarnings("ignore:No affordable choice")
def test_opening_prices_beyond_what_is_left_buy_nothing(pool):
    X, y, tasks, _ = pool
    prices = np.where(np.arange(12) == 0, 1.0, 100.0)
    model = model_for(task_cost=prices, budget=1500.0, exploration_fraction=0.99)
    model.fit(X, y, tasks=tasks)
    assert model.cost_ <= 1500


@pytest.mark.filterwarnings("ignore:No affordable choice")
def test_number_of_tasks_is_bounded_after_exploration(pool):
    X, y, tasks, _ = pool
    model = model_for(max_tasks=2, min_samples=5, budget=300).fit(X, y, tasks=tasks)
    assert np.count_nonzero(model.allocation_[1]) == 2


def test_floor_without_reuse_is_one_more_than_the_rank(pool):
    X, y, tasks, _ = pool
    model = model_for(reuse_data=False).fit(X, y, tasks=tasks)
    assert model.allocation_[1].min() == 4


def test_target_can_be_named_and_bought_rows_are_not_the_targets(pool):
    X, y, tasks, _ = pool
    names = np.char.add("t", tasks.astype(str))
    model = model_for().fit(X, y, tasks=names, target_task="t3")
    assert "t3" not in model.tasks_
    assert not np.any(names[model.sample_indices_] == "t3")


def test_a_budget_beyond_the_pool_buys_all_with_a_warning(pool):
    X, y, tasks, _ = pool
    with pytest.warns(UserWarning, match="budget=5000 exceeds the 1800 rows"):
        model = model_for(budget=5000).fit(X, y, tasks=tasks)
    assert model.n_samples_spent_ == 1800


@pytest.mark.filterwarnings("ignore:nu is all zero")
def test_few_rows_a_task_are_too_few_for_heads(pool):
    X, y, tasks, _ = pool
    with pytest.warns(UserWarning, match="No source has the 3 rows"):
        model_for(budget=24, exploration_fraction=0.5).fit(X, y, tasks=tasks)


def test_sampler_is_asked_by_threads_as_without(pool):
    *_, truth = pool
    X = np.random.default_rng(0).standard_normal((50, 8))
    y = X @ truth.basis @ truth.target_head
    one, two = (
        model_for(n_jobs=n).fit_sampler(sampler_of(truth), np.arange(12), X, y).coef_
        for n in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


def test_head_error_is_the_textbook_one(rng):
    Z, y = rng.standard_normal((40, 3)), rng.standard_normal((40, 1))
    head = np.linalg.lstsq(Z, y, rcond=None)[0]
    variance = np.sum((y - Z @ head) ** 2) / 37
    expected = np.sqrt(variance * np.trace(np.linalg.inv(Z.T @ Z)))
    assert head_error(Z, y, head) == pytest.approx(expected)


def classes_of(pool, n_classes):
    X, y, tasks, _ = pool
    edges = np.quantile(y, np.linspace(0, 1, n_classes + 1)[1:-1])
    return X, np.array(["a", "b", "c"])[np.searchsorted(edges, y)], tasks


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("lambda_", [0.05, "discrepancy"])
def test_classifier_learns_the_target(pool, n_classes, lambda_):
    X, labels, tasks = classes_of(pool, n_classes)
    model = ActiveMultiTaskClassifier(3, budget=900, lambda_=lambda_, random_state=0)
    model.fit(X, labels, tasks=tasks)
    target = tasks == 12
    assert model.score(X[target], labels[target]) > 0.5 + 0.3 * (n_classes == 2)
    assert model.relevance_.shape == (12,)
    assert model.coef_.shape == (1 if n_classes == 2 else 3, 8)
    assert np.all(model.relevance_ >= 0) or n_classes == 2


def test_heads_of_one_label_few_rows_or_none_are_barred(rng):
    tasks = np.repeat([0, 1, 3], [5, 5, 1])
    y = np.where(tasks == 0, -1.0, rng.standard_normal(11))
    statistics = task_statistics(rng.standard_normal((11, 4)), y, tasks)
    heads, is_usable = spread_heads(statistics, np.ones((3, 2, 1)), 4)
    np.testing.assert_array_equal(heads[:, 0, 0], [1, 1, 0, 1])
    np.testing.assert_array_equal(is_usable[:, 0], [False, True, False, False])


def test_a_source_with_one_label_is_not_relevant(pool):
    X, labels, tasks = classes_of(pool, 2)
    labels = np.where(tasks == 4, "a", labels)
    model = ActiveMultiTaskClassifier(3, budget=600, random_state=0)
    model.fit(X, labels, tasks=tasks)
    assert model.relevance_[4] == 0


def test_classifier_samples_labels(pool):
    X, labels, tasks = classes_of(pool, 2)
    *_, truth = pool
    draw = sampler_of(truth)

    def sampler(task, n, seed):
        rows, values = draw(task, n, seed)
        return rows, np.where(values > 0, "b", "a")

    target = tasks == 12
    model = ActiveMultiTaskClassifier(3, budget=600, random_state=0)
    model.fit_sampler(sampler, np.arange(12), X[target], labels[target])
    assert model.score(X[target], labels[target]) > 0.8
    with pytest.raises(
        ValueError, match=r"sampler has labels \['z'\] that are not among"
    ):
        model.fit_sampler(
            lambda task, n, seed: (draw(task, n, seed)[0], np.full(n, "z")),
            np.arange(12), X[target], labels[target],
        )  # fmt: skip


def test_classifier_names_what_it_cannot_do(pool):
    X, labels, tasks = classes_of(pool, 3)
    with pytest.raises(ValueError, match="need two classes, got 3"):
        ActiveMultiTaskClassifier(3, budget=600, max_tasks=2).fit(X, labels, tasks)
    with pytest.raises(ValueError, match="at least two classes, got one class: a"):
        ActiveMultiTaskClassifier(3).fit(X, np.full(len(X), "a"), tasks)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"budget": 47}, "budget must be at least 48 to explore 12 tasks"),
        ({"budget": 0}, "The 'budget' parameter"),
        ({"budget": 600.5}, "whole number of samples unless sample_cost"),
        ({"budget": 200, "task_cost": 10.0}, "budget must be at least 528"),
        ({"sample_cost": -np.ones(12)}, "sample_cost must be positive"),
        ({"sample_cost": np.ones(3)}, "one number for each of 12 tasks"),
        ({"task_cost": -1.0}, "The 'task_cost' parameter"),
        ({"task_cost": np.full(12, np.nan)}, "task_cost must be at least 0"),
        (
            {"reuse_data": False, "n_rounds": 4, "budget": 200},
            "budget leaves 21.* min_samples=4 of",
        ),
        ({"n_components": 9}, "n_components must be .* of features, 8, got 9"),
        ({"strategy": "uniform", "max_tasks": 2}, "got strategy='uniform', which"),
        ({"exploration_fraction": 1.5}, "The 'exploration_fraction' parameter"),
        ({"lambda_": "x"}, "The 'lambda_' parameter"),
    ],
)
def test_bad_settings_are_named(pool, parameters, message):
    X, y, tasks, _ = pool
    with pytest.raises(ValueError, match=message):
        model_for(**parameters).fit(X, y, tasks=tasks)


def test_bad_rows_and_tasks_are_named(pool):
    X, y, tasks, _ = pool
    with pytest.raises(ValueError, match="target_task must be one of tasks, got 99"):
        model_for().fit(X, y, tasks=tasks, target_task=99)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model_for().fit(X, y, tasks=tasks[:-1])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model_for().fit(np.where(X > 3, np.nan, X), y, tasks=tasks)
    few = tasks < 2
    with pytest.warns(UserWarning, match="not identifiable"):
        model_for(budget=100).fit(X[few], y[few], tasks=tasks[few])


def test_bad_samplers_are_named(pool):
    X, y, _, truth = pool
    draw = sampler_of(truth)
    with pytest.raises(TypeError, match="sampler must be callable"):
        model_for().fit_sampler(3, np.arange(12), X, y)
    with pytest.raises(ValueError, match="at least one id, each only once"):
        model_for().fit_sampler(draw, [1, 1], X, y)
    with pytest.raises(
        ValueError, match=r"sampler must give 12 rows of 8 features for"
    ):
        model_for().fit_sampler(lambda t, n, s: draw(t, n - 1, s), range(12), X, y)
    for spoil, message in (
        (lambda y: np.full_like(y, np.nan), "Input y contains NaN"),
        (lambda y: np.column_stack([y, y]), "y should be a 1d array"),
    ):
        with pytest.raises(ValueError, match=message):
            model_for().fit_sampler(
                lambda t, n, s, spoil=spoil: (draw(t, n, s)[0], spoil(draw(t, n, s)[1])),
                range(12), X, y,
            )  # fmt: skip


@pytest.mark.parametrize("bound", [{"max_tasks": 2}, {"task_cost": 1.0}])
def test_a_strategy_that_uses_all_tasks_buys_nothing_for_few(pool, bound):
    X, y, _, truth = pool
    bought, draw = [], sampler_of(truth)

    def sampler(task, n, seed):
        bought.append(n)
        return draw(task, n, seed)

    with pytest.raises(ValueError, match="need a sparse strategy, got strategy='l2'"):
        model_for(strategy="l2", **bound).fit_sampler(sampler, range(12), X, y)
    assert not bought


def test_rounds_call_back_and_may_stop(pool):
    X, y, tasks, _ = pool
    callback = RecordingCallback()
    model_for(n_rounds=3).set_callbacks(callback).fit(X, y, tasks)
    assert callback.tasks == ["round"] * 3 + ["fit"]
    stopped = model_for(n_rounds=3).set_callbacks(RecordingCallback(1))
    assert len(stopped.fit(X, y, tasks).allocation_) == 1


def test_fits_repeat_pickle_and_clone(pool):
    X, y, tasks, _ = pool
    model = model_for().fit(X, y, tasks)
    again = clone(model).fit(X, y, tasks)
    np.testing.assert_array_equal(again.coef_, model.coef_)
    np.testing.assert_array_equal(again.sample_indices_, model.sample_indices_)
    restored = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(restored.predict(X), model.predict(X))
