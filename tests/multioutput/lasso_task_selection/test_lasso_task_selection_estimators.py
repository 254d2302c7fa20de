"""The column selector and the shared representation as estimators."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LinearRegression

from minimalml.multioutput import (
    LassoTaskSelector,
    SharedRepresentationRegressor,
    make_low_rank_tasks,
    relevance_l1,
    relevance_l2,
    relevance_lasso,
    select_tasks,
)


@pytest.fixture
def heads(rng):
    return rng.standard_normal((5, 30)), rng.standard_normal(5)


@pytest.fixture(scope="module")
def low_rank():
    return make_low_rank_tasks(12, 8, 3, random_state=0, n_samples=40)


class RecordingCallback:
    """Counts what the fit reports."""

    def __init__(self, stop_after=None):
        self.stop_after, self.tasks = stop_after, []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **kwargs):
        pass

    def on_fit_task_end(self, estimator, context, **kwargs):
        self.tasks.append(context.task_name)
        return len(self.tasks) == self.stop_after


def test_selector_keeps_the_columns_of_its_relevance(heads):
    W, w0 = heads
    for strategy, expected in [
        ("lasso", relevance_lasso(W, w0)),
        ("lp", relevance_l1(W, w0)),
        ("l2", relevance_l2(W, w0)),
    ]:
        selector = LassoTaskSelector(strategy).fit(W, w0)
        np.testing.assert_allclose(selector.relevance_, expected)
        np.testing.assert_array_equal(selector.transform(W), W[:, expected != 0])


def test_larger_penalty_keeps_fewer_tasks(heads):
    counts = [
        LassoTaskSelector(lambda_=share).fit(*heads).get_support().sum()
        for share in (0.01, 0.3, 0.9)
    ]
    assert counts[0] >= counts[1] >= counts[2] >= 1


@given(st.integers(0, 10_000), st.integers(1, 500))
def test_selector_allocates_all_and_only_to_its_tasks(seed, n_total):
    rng = np.random.default_rng(seed)
    W, w0 = rng.standard_normal((4, 20)), rng.standard_normal(4)
    selector = LassoTaskSelector().fit(W, w0)
    counts = selector.allocate(n_total)
    assert counts.sum() == n_total
    assert not counts[~selector.get_support()].any()


def test_selector_with_prices_stays_within_its_budget(heads, rng):
    W, w0 = heads
    prices, openings = rng.uniform(0.5, 2, 30), rng.uniform(1, 5, 30)
    selector = LassoTaskSelector(
        sample_cost=prices, task_cost=openings, budget=200, refit=True
    ).fit(W, w0)
    expected = select_tasks(W, w0, 200, sample_cost=prices, task_cost=openings)
    np.testing.assert_allclose(selector.relevance_, expected.relevance)
    counts = selector.allocate(200, max_samples=100)
    spent = prices @ counts + openings[selector.get_support()].sum()
    assert 200 - prices.max() <= spent <= 200


def test_selector_counts_with_opening_prices_alone(heads):
    selector = LassoTaskSelector(task_cost=10.0, budget=100).fit(*heads)
    n_open = selector.get_support().sum()
    assert selector.allocate(100).sum() == 100 - 10 * n_open


def test_selector_names_money_that_opens_nothing(heads):
    selector = LassoTaskSelector(task_cost=10.0, budget=100).fit(*heads)
    with pytest.raises(ValueError, match=r"must exceed \d+, the task_cost .*, got 5"):
        selector.allocate(5)


def test_selector_bounds_the_number_of_tasks(heads):
    with pytest.warns(UserWarning, match="allow more tasks"):
        selector = LassoTaskSelector(max_tasks=2).fit(*heads)
    assert selector.get_support().sum() == 2


def test_selector_of_a_zero_target_keeps_all(heads):
    with pytest.warns(UserWarning, match="w0 is zero"):
        selector = LassoTaskSelector().fit(heads[0], np.zeros(5))
    assert selector.get_support().all()
    with pytest.warns(UserWarning, match="nu is all zero"):
        np.testing.assert_array_equal(selector.allocate(60), 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy": "l2", "max_tasks": 2}, "got strategy='l2'"),
        ({"strategy": "l2", "task_cost": 1.0}, "need a sparse strategy"),
        ({"task_cost": 1.0}, "task_cost needs a budget"),
        ({"sample_cost": [1.0]}, "one number for each of 30 tasks"),
        ({"sample_cost": -np.ones(30)}, "sample_cost must be positive"),
        ({"task_cost": -np.ones(30), "budget": 9}, "task_cost must not be negative"),
        ({"budget": 0}, "The 'budget' parameter"),
        ({"lambda_": -1}, "The 'lambda_' parameter"),
    ],
)
def test_selector_names_bad_settings(heads, settings, message):
    with pytest.raises(ValueError, match=message):
        LassoTaskSelector(**settings).fit(*heads)


def test_selector_keeps_float32_and_pickles(heads):
    W, w0 = (array.astype(np.float32) for array in heads)
    selector = pickle.loads(pickle.dumps(LassoTaskSelector().fit(W, w0)))
    assert selector.relevance_.dtype == selector.transform(W).dtype == np.float32
    clone(selector).fit(W, w0)


@pytest.mark.parametrize("center", [False, True])
def test_without_tasks_the_regressor_is_least_squares(rng, center):
    X, y = rng.standard_normal((60, 5)) + 1, rng.standard_normal(60)
    expected = LinearRegression(fit_intercept=center).fit(X, y).predict(X)
    model = SharedRepresentationRegressor(center=center, tol=0).fit(X, y)
    np.testing.assert_allclose(model.predict(X), expected, atol=1e-6)
    assert model.transform(X).shape == (60, 1)


def test_sharing_beats_separate_fits_on_few_rows():
    X, y, tasks, truth = make_low_rank_tasks(random_state=0, n_samples=25)
    model = SharedRepresentationRegressor(4, random_state=0).fit(X, y, tasks=tasks)
    shared = model.components_.T @ model.task_coef_[:-1].T
    exact = truth.basis @ truth.heads
    alone = np.column_stack(
        [
            np.linalg.lstsq(X[tasks == t], y[tasks == t], rcond=None)[0]
            for t in range(40)
        ]
    )
    assert np.sum((shared - exact) ** 2) < 0.3 * np.sum((alone - exact) ** 2)


@given(st.integers(0, 10_000), st.integers(2, 4))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_partial_fit_in_shards_equals_one_fit(seed, n_shards):
    X, y, tasks, _ = make_low_rank_tasks(12, 8, 3, random_state=seed, n_samples=40)
    order = np.random.default_rng(seed).permutation(len(X))
    model = SharedRepresentationRegressor(3, tol=1e-6, max_iter=500)
    for shard in np.array_split(order, n_shards):
        model.partial_fit(X[shard], y[shard], tasks=tasks[shard])
    whole = clone(model).fit(X, y, tasks=tasks)
    assert model.loss_curve_[-1] == pytest.approx(whole.loss_curve_[-1], rel=1e-3)
    np.testing.assert_allclose(
        model.statistics_.scatter, whole.statistics_.scatter, atol=1e-9
    )


@given(st.integers(0, 10_000))
def test_order_of_rows_does_not_matter(seed):
    X, y, tasks, _ = make_low_rank_tasks(12, 8, 3, random_state=seed, n_samples=30)
    order = np.random.default_rng(seed).permutation(len(X))
    model = SharedRepresentationRegressor(3)
    expected = model.fit(X, y, tasks=tasks).predict(X, tasks=tasks)
    shuffled = model.fit(X[order], y[order], tasks=tasks[order])
    np.testing.assert_allclose(shuffled.predict(X, tasks=tasks), expected, atol=1e-6)


def test_partial_fit_meets_new_tasks(low_rank):
    X, y, tasks, _ = low_rank
    names = np.char.add("task ", tasks.astype(str))
    early = tasks < 6
    model = SharedRepresentationRegressor(3)
    model.partial_fit(X[early], y[early], tasks=names[early])
    model.partial_fit(X[~early], y[~early], tasks=names[~early])
    np.testing.assert_array_equal(model.tasks_, np.unique(names))
    assert model.predict(X, tasks=names).shape == y.shape


def test_regressor_names_bad_tasks(low_rank):
    X, y, tasks, _ = low_rank
    model = SharedRepresentationRegressor(3)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y, tasks=tasks[:-1])
    for missing in (np.nan, None):
        with pytest.raises(ValueError, match="tasks contains NaN or None"):
            model.fit(X, y, tasks=np.where(tasks == 1, missing, tasks))
    model.fit(X, y, tasks=tasks)
    with pytest.raises(ValueError, match="tasks must be given to predict"):
        model.predict(X)
    with pytest.raises(ValueError, match="the id 99, which fit did not see"):
        model.predict(X[:1], tasks=np.array([99]))
    with pytest.raises(ValueError, match="tasks has 2 ids but X has 1 rows"):
        model.predict(X[:1], tasks=[0, 1])
    with pytest.raises(ValueError, match="tasks must be given at each call"):
        model.partial_fit(X, y)
    with pytest.raises(ValueError, match=r"n_components must be .* features, 8, got 9"):
        SharedRepresentationRegressor(9).fit(X, y, tasks=tasks)


def test_regressor_is_repeatable_bit_for_bit(low_rank):
    X, y, tasks, _ = low_rank
    model = SharedRepresentationRegressor(3, init="random", random_state=3)
    first = model.fit(X, y, tasks).components_
    np.testing.assert_array_equal(clone(model).fit(X, y, tasks).components_, first)


def test_callbacks_see_each_alternation_and_may_stop(low_rank):
    X, y, tasks, _ = low_rank
    callback = RecordingCallback()
    model = SharedRepresentationRegressor(3).set_callbacks(callback).fit(X, y, tasks)
    assert callback.tasks.count("alternation") == model.n_iter_ > 2
    stopped = clone(model).set_callbacks(RecordingCallback(stop_after=2))
    assert stopped.fit(X, y, tasks).n_iter_ == 2
