"""The column selector and the shared representation as estimators."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone, is_classifier
from sklearn.linear_model import LinearRegression

from minimalml.multioutput import (
    ActiveMultiTaskClassifier,
    ActiveMultiTaskRegressor,
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
    with pytest.raises(ValueError, match="max_samples must be a number or hold one"):
        selector.allocate(100, max_samples=[7])


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
        ({"task_cost": -np.ones(30), "budget": 9}, "task_cost must be at least 0"),
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


def task_names(tasks, kind):
    """The same tasks as other identifiers, in the same order."""
    pandas = pytest.importorskip("pandas")
    names = np.array([f"task {task:02d}" for task in tasks])
    return {
        "strings": names,
        "objects": names.astype(object),
        "categories": pandas.Categorical(names),
        "series": pandas.Series(names, dtype="string"),
        "floats": tasks.astype(float),
        "small integers": tasks.astype(np.int8),
        "nullable integers": pandas.array(tasks, dtype="Int64"),
        "list": tasks.tolist(),
        "backwards": tasks[::-1].copy()[::-1],
        "days": np.datetime64("2020-01-01") + tasks,
    }[kind]


TASK_KINDS = (
    "strings", "objects", "categories", "series", "floats", "small integers",
    "nullable integers", "list", "backwards", "days",
)  # fmt: skip


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_tasks_may_be_any_identifiers_that_sort(low_rank, kind):
    X, y, tasks, _ = low_rank
    expected = SharedRepresentationRegressor(3).fit(X, y, tasks).predict(X, tasks)
    names = task_names(tasks, kind)
    model = SharedRepresentationRegressor(3).fit(X, y, names)
    np.testing.assert_array_equal(model.predict(X, names), expected)


@pytest.mark.parametrize("cls", [ActiveMultiTaskRegressor, ActiveMultiTaskClassifier])
@pytest.mark.parametrize("kind", TASK_KINDS)
def test_active_tasks_may_be_any_identifiers_that_sort(low_rank, kind, cls):
    X, y, tasks, _ = low_rank
    y = y if cls is ActiveMultiTaskRegressor else y > 0
    expected, found = (
        cls(3, budget=300, random_state=0).fit(X, y, t)
        for t in (tasks, task_names(tasks, kind))
    )
    np.testing.assert_array_equal(found.sample_indices_, expected.sample_indices_)
    np.testing.assert_array_equal(found.predict(X), expected.predict(X))


def missing_tasks(tasks):
    pandas = pytest.importorskip("pandas")
    is_missing, names = tasks == 1, np.array([f"t{task}" for task in tasks])
    holes = np.where(is_missing, None, names)
    days = np.datetime64("2020-01-01") + tasks
    return [
        np.where(is_missing, np.nan, tasks),
        holes,
        pandas.Categorical(holes),
        pandas.Series(holes, dtype="string"),
        pandas.array(np.where(is_missing, None, tasks), dtype="Int64"),
        np.where(is_missing, np.datetime64("NaT"), days),
    ]


@pytest.mark.parametrize(
    "cls", [SharedRepresentationRegressor, ActiveMultiTaskRegressor]
)
def test_rows_without_a_task_are_refused(low_rank, cls):
    X, y, tasks, _ = low_rank
    for missing in missing_tasks(tasks):
        with pytest.raises(ValueError, match="tasks contains NaN or None"):
            cls(3).fit(X, y, tasks=missing)


def test_numbers_and_strings_are_not_mixed_up(low_rank):
    X, y, tasks, _ = low_rank
    names = tasks.astype(str)
    model = SharedRepresentationRegressor(3).fit(X, y, tasks)
    with pytest.raises(ValueError, match="the id '0', which fit did not see"):
        model.predict(X, names)
    with pytest.raises(TypeError, match="all strings or all numbers"):
        model.partial_fit(X, y, names)
    with pytest.raises(TypeError, match="all strings or all numbers"):
        model.fit(X, y, np.where(tasks == 1, 1, names.astype(object)))
    with pytest.raises(ValueError, match="target_task must be one of tasks, got '3'"):
        ActiveMultiTaskRegressor(3).fit(X, y, tasks, target_task="3")


@pytest.mark.filterwarnings("ignore:A column-vector y")
def test_one_column_of_targets_is_targets(low_rank):
    pandas = pytest.importorskip("pandas")
    X, y, tasks, _ = low_rank
    for model in (
        SharedRepresentationRegressor(3, random_state=0),
        ActiveMultiTaskRegressor(3, budget=300, random_state=0),
        ActiveMultiTaskClassifier(3, budget=300, random_state=0),
    ):
        target = y > 0 if is_classifier(model) else y
        also = {"tasks": tasks} if hasattr(model, "transform") else {}
        expected = model.fit(X, target, tasks=tasks).predict(X, **also)
        for column in (target[:, None], pandas.DataFrame({"y": target})):
            found = model.fit(X, column, tasks=tasks).predict(X, **also)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("init", ["spectral", "moments", "random"])
@pytest.mark.parametrize("solver", ["alternating", "altgdmin"])
@pytest.mark.parametrize(("unit", "target_unit"), [(1e-60, 1e60), (1e60, 1e-60)])
def test_units_of_inputs_and_targets_do_not_matter(
    low_rank, init, solver, unit, target_unit
):
    X, y, tasks, _ = low_rank
    model = SharedRepresentationRegressor(
        3, init=init, solver=solver, max_iter=1000, random_state=0
    )
    expected = model.fit(X, y, tasks).predict(X, tasks)
    scaled = model.fit(unit * X, target_unit * y, tasks)
    found = scaled.predict(unit * X, tasks) / target_unit
    np.testing.assert_allclose(found, expected, atol=1e-9)
    loss = scaled.loss_curve_[-1] / target_unit**2
    assert loss == pytest.approx(np.sum((y - expected) ** 2), rel=1e-6)


@pytest.mark.parametrize("unit", [2.0**-455, 2.0**-300, 2.0**495])
def test_active_fits_of_extreme_inputs_are_those_of_usual_ones(low_rank, unit):
    X, y, tasks, _ = low_rank
    model = ActiveMultiTaskRegressor(3, budget=300, random_state=0)
    expected = model.fit(X, y, tasks).predict(X)
    found = model.fit(unit * X, y, tasks).predict(unit * X)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("unit", [1e-320, 1e-160, 1e153, 1e300])
def test_inputs_and_targets_whose_squares_are_no_floats_are_refused(low_rank, unit):
    X, y, tasks, _ = low_rank
    for model in (SharedRepresentationRegressor(3), ActiveMultiTaskRegressor(3)):
        with pytest.raises(
            ValueError, match=r"X has values .* squares leave the range"
        ):
            model.fit(unit * X, y, tasks=tasks)
        with pytest.raises(
            ValueError, match=r"y has values .* squares leave the range"
        ):
            model.fit(X, unit * y, tasks=tasks)


def test_parameters_set_after_fit_do_not_change_what_was_fitted(low_rank):
    X, y, tasks, _ = low_rank
    shared = SharedRepresentationRegressor(3).fit(X, y, tasks)
    expected = shared.predict(X, tasks)
    shared.set_params(n_components=2, init="moments", center=False)
    np.testing.assert_array_equal(shared.predict(X, tasks), expected)
    active = ActiveMultiTaskRegressor(3, budget=300, random_state=0).fit(X, y, tasks)
    expected = active.predict(X)
    active.set_params(representation=object(), n_components=2, center=False)
    np.testing.assert_array_equal(active.predict(X), expected)


@pytest.mark.parametrize("unit", [1e-300, 1e-200, 1e200, 1e300])
@pytest.mark.parametrize(
    "settings",
    [{}, {"strategy": "lp"}, {"strategy": "l2"}, {"max_tasks": 5},
     {"task_cost": 1.0, "budget": 50.0}],
)  # fmt: skip
def test_selection_does_not_depend_on_the_unit_of_heads(heads, settings, unit):
    W, w0 = heads
    expected = LassoTaskSelector(**settings).fit(W, w0).relevance_
    found = LassoTaskSelector(**settings).fit(unit * W, unit * w0).relevance_
    np.testing.assert_allclose(found, expected, atol=1e-9)


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
