"""What every learner of the family keeps to, and the smallest learners on its floor.

``tests/bags/STEM/instances.py`` may say, by class name, ``BAG_TOLERANCE``: by how much
outputs may differ where rows were only reordered or bags renamed, 1e-7 without an entry;
and ``Y_VARIES_IN_BAGS``: the classes whose y is a label of the row itself.
"""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import is_regressor
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from minimalml.bags import aggregate_targets
from minimalml.bags._bag_estimator import ProportionClassifierMixin
from minimalml.datasets import make_bags
from minimalml.testing._comparison import with_fixed_random_state
from tests.bags.learners import LEARNERS
from tests.conventions import CONVENTIONS, outputs_with, requests
from tests.estimators import all_estimators, gathered

N_ROWS = 90


def names(estimator):
    return type(estimator).__name__


def family():
    """Return the first instance of each class of the family."""
    found = {
        names(estimator): estimator
        for estimator in reversed(all_estimators())
        if type(estimator).__module__.startswith("minimalml.bags")
    }
    return [*found.values(), *LEARNERS]


each_learner = pytest.mark.parametrize("estimator", family(), ids=names)


def how_of(estimator):
    """How the learner's y is made of responses or labels of rows."""
    if names(estimator) in gathered("Y_VARIES_IN_BAGS"):
        return None
    is_mean = is_regressor(estimator) or isinstance(
        estimator, ProportionClassifierMixin
    )
    return "mean" if is_mean else "max"


def data(estimator, bag_size=(1, 4)):
    """Return rows, what the learner is told of their bags, and bags."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 3))
    y = X @ [2.0, -1.0, 0.5]
    how = how_of(estimator)
    if not is_regressor(estimator):
        y = (y > (0.0 if how != "max" else 2.0)).astype(int)
    bags = make_bags(N_ROWS, bag_size, random_state=1)
    return X, y if how is None else aggregate_targets(y, bags, how=how), bags


def fitted(estimator, X, y, bags, **options):
    return with_fixed_random_state(estimator).fit(X, y, bags=bags, **options)


def assert_same(estimator, before, after):
    """Compare two dictionaries of outputs."""
    tolerance = gathered("BAG_TOLERANCE").get(names(estimator), 1e-7)
    assert before.keys() == after.keys()
    for name in before:
        one, two = before[name], after[name]
        if one.dtype.kind == "f":
            np.testing.assert_allclose(two, one, rtol=tolerance, atol=tolerance)
        else:
            np.testing.assert_array_equal(two, one)


def learnt_arrays(model):
    """Return the fitted attributes that are numbers or arrays."""
    return {
        name: np.asarray(value)
        for name, value in vars(model).items()
        if name.endswith("_") and isinstance(value, int | float | np.ndarray)
    }


@each_learner
def test_names_of_bags_mean_nothing_but_their_order(estimator):
    pd = pytest.importorskip("pandas")
    X, y, bags = data(estimator)
    before = outputs_with(fitted(estimator, X, y, bags), X, {"bags": bags})
    words = np.array([f"bag {bag:03d}" for bag in bags])
    for ids in (bags * 5 - 7, bags / 3, words, words.astype(object), pd.Series(words, dtype="category")):  # fmt: skip
        after = outputs_with(fitted(estimator, X, y, ids), X, {"bags": ids})
        assert_same(estimator, before, after)


@each_learner
def test_the_order_of_rows_means_nothing(estimator):
    X, y, bags = data(estimator)
    rows = np.random.default_rng(2).permutation(N_ROWS)
    before = outputs_with(fitted(estimator, X, y, bags), X, {"bags": bags})
    moved = fitted(estimator, X[rows], y[rows], bags[rows])
    after = outputs_with(moved, X[rows], {"bags": bags[rows]})
    before = {name: values[rows] for name, values in before.items()}
    assert_same(estimator, before, after)


@each_learner
def test_without_bags_each_row_is_one(estimator):
    X, y, _ = data(estimator, bag_size=1)
    one, other = (
        fitted(estimator, X, y, None),
        fitted(estimator, X, y, np.arange(N_ROWS)),
    )
    singles = {"bags": np.arange(N_ROWS)}
    assert_same(estimator, outputs_with(one, X, {}), outputs_with(other, X, singles))
    assert_same(estimator, learnt_arrays(one), learnt_arrays(other))
    score, expected = one.score(X, y), other.score(X, y, bags=singles["bags"])
    assert score == pytest.approx(expected, abs=1e-12)


@each_learner
@pytest.mark.parametrize("is_weighted", [False, True])
def test_without_bags_scores_are_those_of_scikit_learn(estimator, is_weighted):
    X, y, _ = data(estimator, bag_size=1)
    model = fitted(estimator, X, y, None)
    weight = np.arange(N_ROWS) % 4 if is_weighted else None
    metric = r2_score if is_regressor(estimator) else accuracy_score
    expected = metric(y, model.predict(X), sample_weight=weight)
    score = model.score(X, y, sample_weight=weight)
    assert score == pytest.approx(expected, abs=1e-12)


@each_learner
def test_a_search_in_a_pipeline_needs_no_request(estimator):
    X, y, bags = data(estimator)
    estimator = with_fixed_random_state(estimator)
    model = make_pipeline(StandardScaler(), estimator)
    grid = {"standardscaler__with_std": [True, False]}
    tools = {"cv": GroupKFold(3), "error_score": "raise"}
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(model, grid, **tools).fit(X, y, bags=bags, groups=bags)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert np.isfinite(search.score(X, y, bags=bags))
        params = {"bags": bags, "groups": bags}
        assert np.isfinite(
            cross_val_score(estimator, X, y, params=params, **tools)
        ).all()
    step = names(estimator).lower()
    model.fit(X, y, **{f"{step}__bags": bags})
    direct = fitted(estimator, StandardScaler().fit_transform(X), y, bags)
    assert_same(
        estimator,
        {"predict": direct.predict(StandardScaler().fit_transform(X))},
        {"predict": model.predict(X)},
    )


@each_learner
def test_weights_repeat_rows_within_their_bags(estimator):
    if "sample_weight" not in requests(estimator, "fit") or how_of(estimator) is None:
        pytest.skip("fit takes no weights, or draws rows of bags at random")
    X, y, bags = data(estimator)
    weight = np.random.default_rng(3).integers(0, 3, size=N_ROWS)
    many = [array.repeat(weight, axis=0) for array in (X, y, bags)]
    before = outputs_with(fitted(estimator, *many), X, {"bags": bags})
    weighted = fitted(estimator, X, y, bags, sample_weight=weight)
    assert_same(estimator, before, outputs_with(weighted, X, {"bags": bags}))


@each_learner
def test_weights_of_scores_repeat_rows_within_their_bags(estimator):
    X, y, bags = data(estimator)
    model = fitted(estimator, X, y, bags)
    weight = np.random.default_rng(3).integers(0, 3, size=N_ROWS)
    score = model.score(X, y, bags=bags, sample_weight=weight)
    with pytest.raises(ValueError, match="sample_weight"):
        model.score(X, y, bags=bags, sample_weight=-np.ones(N_ROWS))
    if how_of(estimator) is None:  # rows of weight 0 are seen beside the others
        found = model.predict(X, bags=bags)
        assert score == accuracy_score(y, found, sample_weight=weight)
        return
    kept = weight > 0
    rest = model.score(X[kept], y[kept], bags=bags[kept], sample_weight=weight[kept])
    assert score == pytest.approx(rest, abs=1e-12)
    if how_of(estimator) == "mean":
        many = [array.repeat(weight, axis=0) for array in (X, y)]
        repeated = model.score(*many, bags=bags.repeat(weight))
        assert score == pytest.approx(repeated, abs=1e-12)


@each_learner
def test_a_y_that_varies_in_a_bag_is_refused(estimator):
    if how_of(estimator) is None:
        pytest.skip("y is a label of the row itself")
    X, y, bags = data(estimator)
    bags = bags + 100
    is_shared = (np.bincount(bags)[bags] > 1) & (y != 0.5)
    row, other = np.flatnonzero(bags == bags[is_shared.argmax()])[:2]
    y[other] = 1 - y[row]
    message = rf"bag {bags[row]} has .* and .*aggregate_targets\("
    with pytest.raises(ValueError, match=message):
        fitted(estimator, X, y, bags)
    model = with_fixed_random_state(estimator).fit(*data(estimator))
    with pytest.raises(ValueError, match=message):
        model.score(X, y, bags=bags)


@each_learner
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda ids: ids[:-1], "bags has 89 ids but X has 90 rows"),
        (lambda ids: np.column_stack([ids, ids]), "bags must have one dimension"),
        (lambda ids: np.where(ids == ids[4], np.nan, ids), "bags .* row 4 is missing"),
        (
            lambda ids: np.where(ids == ids[4], np.inf, ids),
            "bags must be finite; row 4",
        ),
        (lambda ids: [None, *ids[1:]], "bags .* row 0 is missing"),
    ],
)
def test_bags_that_are_none_are_named(estimator, spoil, message):
    X, y, bags = data(estimator, bag_size=1)
    ids = spoil(bags.astype(float))
    model = fitted(estimator, X, y, bags)
    methods = [m for m in ("fit", "predict", "decision_function", "predict_proba", "score") if "bags" in requests(estimator, m) and hasattr(model, m)]  # fmt: skip
    for method in methods:
        arguments = (X, y) if method in ("fit", "score") else (X,)
        with pytest.raises(ValueError, match=message):
            getattr(model, method)(*arguments, bags=ids)
    with pytest.raises(TypeError, match="bags must be values that can be sorted"):
        fitted(estimator, X, y, ["a", *bags[1:]])


@each_learner
def test_ids_that_fit_never_saw_are_normal(estimator):
    X, y, bags = data(estimator)
    model = fitted(estimator, X, y, bags)
    before = outputs_with(model, X, {"bags": bags})
    assert_same(estimator, before, outputs_with(model, X, {"bags": bags + 1000}))
    assert model.score(X, y, bags=bags) == model.score(X, y, bags=bags + 1000)


@parametrize_with_checks(LEARNERS)
def test_scikit_learn_checks_on_the_floor(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", LEARNERS, ids=names)
@pytest.mark.parametrize("check", CONVENTIONS, ids=lambda check: check.__name__)
def test_conventions_on_the_floor(estimator, check):
    if check.skip_reason(estimator) is None:
        check(estimator)
