"""Weights beside predictions, dense comparisons of leaves, and what smoothers must obey."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_classifier
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from minimalml.datasets import make_mars
from minimalml.inspection import (
    effective_parameters,
    effective_parameters_by_offset,
    smoother_weights,
)
from minimalml.inspection._forest_smoothers import _leaf_averages
from tests.inspection.forest_smoothers.models import (
    BOOSTING,
    FEW,
    FORESTS,
    TREES,
    UNWEIGHTED,
    WEIGHTED,
)

EXACT = dict(rtol=1e-10, atol=1e-10)
N_TRAIN = 60
X_ALL, Y_ALL = make_mars(N_TRAIN + 20, random_state=0)
X, X_NEW, Y = X_ALL[:N_TRAIN], X_ALL[N_TRAIN:], Y_ALL[:N_TRAIN] + 3
LABELS = np.array(["a", "b", "c"])[np.digitize(Y, [8, 11])]
WEIGHT = np.random.default_rng(0).integers(0, 4, N_TRAIN) / 2
CASES = [(model, None) for model in WEIGHTED + UNWEIGHTED]
CASES += [(model, WEIGHT) for model in WEIGHTED]
NO_BAGS = "ignore:When fitting BaggingRegressor with sample_weight:UserWarning"


def names(case):
    return type(case).__name__ if hasattr(case, "fit") else None


def fitted(model, weight=None):
    """Return a fitted clone, and what else its functions take."""
    y = LABELS if is_classifier(model) else Y
    if isinstance(model, FrozenEstimator):
        model = FrozenEstimator(clone(model.estimator).fit(X, y))
    else:
        params = {} if weight is None else {"sample_weight": weight}
        model = clone(model).fit(X, y, **params)
    return model, {"X_train": X, "y_train": y, "sample_weight": weight}


@pytest.mark.filterwarnings(NO_BAGS)
@pytest.mark.parametrize(("model", "weight"), CASES, ids=names)
def test_weighted_sums_of_targets_are_the_predictions(model, weight):
    model, data = fitted(model, weight)
    for X_eval, rows in ((None, X), (X_NEW, X_NEW)):
        S = smoother_weights(model, X_eval, **data)
        if is_classifier(model):
            targets = LABELS[:, None] == model.classes_
            assert_allclose(S @ targets, model.predict_proba(rows), **EXACT)
        else:
            assert_allclose(S @ Y, model.predict(rows), **EXACT)
        p0 = effective_parameters(model, X_eval, per_row=True, **data)
        assert_allclose(p0, N_TRAIN * (S**2).sum(axis=1), **EXACT)


@pytest.mark.parametrize("model", [FORESTS[0], BOOSTING[0], UNWEIGHTED[0]], ids=names)
def test_sparse_weights_and_means_of_parameters_are_those_of_dense_weights(model):
    model, data = fitted(model)
    S = smoother_weights(model, X_NEW, **data)
    sparse = smoother_weights(model, X_NEW, output="sparse", **data)
    assert_array_equal(sparse.toarray(), S)
    p0 = effective_parameters(model, X_NEW, **data)
    assert isinstance(p0, float)
    assert_allclose(p0, N_TRAIN / len(X_NEW) * (S**2).sum(), **EXACT)


def counts_of(model):
    return [np.bincount(rows, minlength=N_TRAIN) for rows in model.estimators_samples_]


def dense_weights(model, X_eval, row_weights, columns=None, first=0):
    """Compare leaves of all pairs of rows: weights of a forest by their definition."""
    S = np.zeros((len(X_eval), N_TRAIN))
    for number, weight in enumerate(row_weights, first):
        tree = model.estimators_[number]
        seen = slice(None) if columns is None else columns[number]
        together = tree.apply(X_eval[:, seen])[:, None] == tree.apply(X[:, seen])
        shares = together * weight
        S += shares / shares.sum(axis=1, keepdims=True)
    return S / len(row_weights)


@pytest.mark.parametrize("model", FORESTS[:8], ids=names)
def test_weights_of_forests_are_those_of_a_dense_comparison(model):
    model, data = fitted(model)
    counts = counts_of(model)
    columns = getattr(model, "estimators_features_", None)
    expected = dense_weights(model, X_NEW, counts, columns)
    found = smoother_weights(model, X_NEW, **data)
    assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_weights_of_boosting_are_those_of_the_dense_recursion():
    model, data = fitted(BOOSTING[0], WEIGHT)
    share = WEIGHT / WEIGHT.sum()
    S, S_new = np.tile(share, (60, 1)), np.tile(share, (20, 1))
    norms = []
    for leaves, new in zip(model.apply(X).T, model.apply(X_NEW).T, strict=True):
        A, B = ((rows[:, None] == leaves) * WEIGHT for rows in (leaves, new))
        A, B = A / A.sum(axis=1, keepdims=True), B / B.sum(axis=1, keepdims=True)
        S, S_new = S + 0.3 * A @ (np.eye(60) - S), S_new + 0.3 * B @ (np.eye(60) - S)
        norms.append(60 * (S_new**2).sum(axis=1))
    assert_allclose(smoother_weights(model, X_NEW, **data), S_new, rtol=0, atol=1e-12)
    staged = effective_parameters(model, X_NEW, staged=True, per_row=True, **data)
    assert_allclose(staged, norms, **EXACT)


@pytest.mark.parametrize("model", TREES + FORESTS, ids=names)
def test_weights_of_trees_are_shares(model):
    model, data = fitted(model)
    S = smoother_weights(model, X_NEW, **data)
    assert_allclose(S.sum(axis=1), 1.0, **EXACT)
    assert S.min() >= 0
    per_row = effective_parameters(model, X_NEW, per_row=True, **data)
    assert (per_row >= 1 - 1e-12).all() and (per_row <= N_TRAIN + 1e-9).all()


@pytest.mark.parametrize("model", [FORESTS[0], FORESTS[5], BOOSTING[0]], ids=names)
def test_the_last_stage_is_the_whole_ensemble(model):
    model, data = fitted(model)
    staged = effective_parameters(model, X_NEW, staged=True, per_row=True, **data)
    assert staged.shape == (len(model.estimators_), len(X_NEW))
    whole = effective_parameters(model, X_NEW, per_row=True, **data)
    assert_allclose(staged[-1], whole, **EXACT)
    means = effective_parameters(model, X_NEW, staged=True, **data)
    assert_allclose(means, staged.mean(axis=1), **EXACT)


@pytest.mark.filterwarnings("ignore:.*out of bag in no tree:UserWarning")
def test_stages_are_smaller_forests():
    model, data = fitted(RandomForestRegressor(**FEW))
    counts = counts_of(model)
    staged = effective_parameters(model, X_NEW, staged=True, per_row=True, **data)
    oob = effective_parameters(model, oob=True, staged=True, per_row=True, **data)
    for n_trees in (1, 3):
        S = dense_weights(model, X_NEW, counts[:n_trees])
        assert_allclose(staged[n_trees - 1], N_TRAIN * (S**2).sum(axis=1), **EXACT)
    unseen = (np.array(counts[:3]) == 0).sum(axis=0) == 1  # by one of three trees
    S = sum(
        dense_weights(model, X, [count], first=k) * (count == 0)[:, None]
        for k, count in enumerate(counts[:3])
    )
    assert_allclose(oob[2][unseen], N_TRAIN * (S[unseen] ** 2).sum(axis=1), **EXACT)


@pytest.mark.parametrize(
    "model",
    [
        RandomForestRegressor(40, oob_score=True, random_state=0),
        RandomForestRegressor(40, max_samples=0.3, oob_score=True, random_state=0),
        BaggingRegressor(n_estimators=40, oob_score=True, random_state=0),
        RandomForestClassifier(40, oob_score=True, random_state=0),
    ],
    ids=names,
)
def test_out_of_bag_weights_give_out_of_bag_predictions(model):
    model, data = fitted(model)
    S = smoother_weights(model, oob=True, **data)
    if is_classifier(model):
        targets = LABELS[:, None] == model.classes_
        assert_allclose(S @ targets, model.oob_decision_function_, **EXACT)
    else:
        assert_allclose(S @ Y, model.oob_prediction_, **EXACT)
    assert_array_equal(np.diag(S), 0)
    p0 = effective_parameters(model, oob=True, **data)
    assert_allclose(p0, (S**2).sum(), **EXACT)


def test_rows_that_all_trees_saw_are_nan_and_left_out_of_the_mean():
    model, data = fitted(RandomForestRegressor(2, random_state=0))
    with pytest.warns(UserWarning, match="training rows are out of bag in no tree"):
        S = smoother_weights(model, oob=True, **data)
    never = np.isnan(S).any(axis=1)
    assert 0 < never.sum() < 60 and np.isnan(S[never]).all()
    with pytest.warns(UserWarning, match=f"^{never.sum()} training rows"):
        sparse = smoother_weights(model, oob=True, output="sparse", **data)
    assert_array_equal(sparse.toarray(), S)
    with pytest.warns(UserWarning):
        p0 = effective_parameters(model, oob=True, **data)
    assert_allclose(p0, 60 * (S[~never] ** 2).sum(axis=1).mean(), **EXACT)


def test_interpolating_models_have_n_parameters_and_few_on_new_rows():
    tree, data = fitted(DecisionTreeRegressor(random_state=0))
    assert_array_equal(smoother_weights(tree, **data), np.eye(60))
    assert effective_parameters(tree, X_NEW, **data) == 60
    forest = ExtraTreesRegressor(100, random_state=0).fit(X, Y)
    assert_allclose(effective_parameters(forest, **data), 60, **EXACT)
    assert effective_parameters(forest, X_NEW, **data) < 60 / 3
    stump, data = fitted(DecisionTreeRegressor(max_leaf_nodes=2, min_samples_leaf=60))
    assert effective_parameters(stump, X_NEW, **data) == pytest.approx(1)
    one = RandomForestRegressor(3).fit(X[:1], Y[:1])
    assert_array_equal(smoother_weights(one, X_train=X[:1], y_train=Y[:1]), [[1.0]])


def test_classical_smoothers_have_their_degrees_of_freedom():
    model, data = fitted(LinearRegression())
    assert effective_parameters(model, **data) == pytest.approx(X.shape[1] + 1)
    S = smoother_weights(model, **data)
    assert_allclose(S @ S, S, **EXACT)
    model, data = fitted(Ridge(2.0))
    H = smoother_weights(model, **data)
    assert effective_parameters(model, **data) == pytest.approx(np.trace(H @ H.T))
    model, data = fitted(KNeighborsRegressor(4))
    assert effective_parameters(model, X_NEW, **data) == pytest.approx(60 / 4)


@given(seed=st.integers(0, 2**31 - 1), scale=st.sampled_from([-3.0, 0.5, 100.0]))
def test_parameters_know_neither_the_scale_of_targets_nor_the_order_of_rows(
    seed, scale
):
    rng = np.random.default_rng(seed)
    # of one feature: several that split a leaf alike are a tie, which rounding breaks
    X, y, X_new = rng.random((30, 1)), rng.random(30), rng.random((5, 1))
    model = DecisionTreeRegressor(min_samples_leaf=3, random_state=0)
    S = smoother_weights(model.fit(X, y), X_new, X_train=X)
    scaled = smoother_weights(model.fit(X, scale * y + 7), X_new, X_train=X)
    assert_allclose(scaled, S)
    order = rng.permutation(30)
    moved = smoother_weights(model.fit(X[order], y[order]), X_new, X_train=X[order])
    assert_allclose(moved, S[:, order])


@given(seed=st.integers(0, 1000), n_trees=st.integers(1, 8))
def test_a_forest_smooths_more_than_its_trees(seed, n_trees):
    forest = RandomForestRegressor(n_trees, random_state=seed).fit(X, Y)
    p0 = effective_parameters(forest, X_NEW, X_train=X, per_row=True)
    by_tree = []
    for tree, rows in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        counts = np.bincount(rows, minlength=60).astype(float)
        by_tree.append(
            effective_parameters(
                tree, X_NEW, X_train=X, sample_weight=counts, per_row=True
            )
        )
    assert (p0 <= np.mean(by_tree, axis=0) + 1e-9).all()


def test_rows_given_twice_at_half_weight_share_the_weight():
    once, _ = fitted(GradientBoostingRegressor(n_estimators=5, max_features=None))
    twice = clone(once).fit(np.r_[X, X], np.r_[Y, Y], sample_weight=np.full(120, 0.5))
    assert_allclose(twice.predict(X_NEW), once.predict(X_NEW))
    data = dict(X_train=np.r_[X, X], sample_weight=np.full(120, 0.5))
    S = smoother_weights(twice, X_NEW, **data)
    assert_allclose(S[:, :60], S[:, 60:], **EXACT)
    assert_allclose(2 * S[:, :60], smoother_weights(once, X_NEW, X_train=X), **EXACT)


@pytest.mark.kernel
def test_norms_do_not_depend_on_threads_or_chunks(monkeypatch):
    model, data = fitted(RandomForestRegressor(20, min_samples_leaf=3, random_state=0))
    X_eval = np.random.default_rng(1).random((1200, 5))
    options = dict(per_row=True, staged=True, **data)
    alone = effective_parameters(model, X_eval, **options)
    monkeypatch.setattr(_leaf_averages, "effective_n_threads", lambda *_: 3)
    assert_array_equal(effective_parameters(model, X_eval, **options), alone)
    monkeypatch.setattr(_leaf_averages, "CHUNK_ROWS", 7)
    assert_array_equal(effective_parameters(model, X_eval, **options), alone)


def test_offsets_start_at_the_training_rows_and_fall():
    model, _ = fitted(make_pipeline(StandardScaler(), ExtraTreesRegressor(**FEW)))
    offsets = [0.0, 0.02, 0.5]
    found = effective_parameters_by_offset(model, X, offsets, random_state=0)
    assert found[0] == pytest.approx(60)
    assert (np.diff(found) < 0).all()
    again = effective_parameters_by_offset(model, X, offsets, random_state=0)
    assert_array_equal(again, found)
    frame = pd.DataFrame(X, columns=list("abcde"))
    model = clone(model).fit(frame, Y)
    in_frame = effective_parameters_by_offset(model, frame, offsets, random_state=0)
    assert_array_equal(in_frame, found)


def test_float32_frames_lists_and_no_rows():
    model = ExtraTreesRegressor(**FEW).fit(X.astype(np.float32), Y)
    S = smoother_weights(model, X_NEW.astype(np.float32), X_train=X.astype(np.float32))
    as_lists = smoother_weights(model, X_NEW.tolist(), X_train=X.tolist())
    assert_array_equal(S, as_lists)
    assert smoother_weights(model, X[:0], X_train=X).shape == (0, 60)
    assert effective_parameters(model, X[:0], X_train=X, per_row=True).shape == (0,)
    assert np.isnan(effective_parameters(model, X[:0], X_train=X))
    gaps = np.where(X < 0.1, np.nan, X)
    forest = RandomForestRegressor(**FEW).fit(gaps, Y)
    S = smoother_weights(forest, gaps, X_train=gaps, y_train=Y)
    assert_allclose(S @ Y, forest.predict(gaps))
    two = RandomForestClassifier(**FEW).fit(X, np.c_[LABELS, LABELS[::-1]])
    S = smoother_weights(two, X_train=X, y_train=np.c_[LABELS, LABELS[::-1]])
    assert_allclose(
        S @ (LABELS[::-1, None] == two.classes_[1]), two.predict_proba(X)[1]
    )
