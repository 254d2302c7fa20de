"""Rounds beside sorting and brute force; selection and transformer of an open set."""

from itertools import chain, combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.resampling import (
    CoresetAugmentedTransformer,
    OpenSetCoresetSelector,
    iterative_coreset,
)
from minimalml.resampling._open_set_coreset import _open_set_coreset as module
from minimalml.resampling._open_set_coreset._rounds import rounds_of_blocks

seeds = st.integers(0, 10**6)


def rounds_by_sorting(similarity, budget, ratio, patience):
    """Sort every column, and walk down the columns with a pointer each."""
    n_rows, n_columns = similarity.shape
    queues = [np.lexsort((np.arange(n_rows), -column)) for column in similarity.T]
    taken, values, reference = [], [], np.nan
    while len(taken) < budget:
        best = [next(row for row in queue if row not in taken) for queue in queues]
        value = np.mean(similarity[best, np.arange(n_columns)])
        if len(values) + 1 == patience:
            reference = value
        elif ratio and len(values) + 1 > patience:
            if value < reference - (1 - ratio) * abs(reference):
                return taken, values
        values.append(value)
        of_row = {}
        for column, row in enumerate(best):
            of_row[row] = max(of_row.get(row, -np.inf), similarity[row, column])
        taken += sorted(of_row, key=lambda row: (-of_row[row], row))
    return taken[:budget], values


@given(
    n_rows=st.integers(1, 30), n_columns=st.integers(1, 5), budget=st.integers(1, 30),
    ratio=st.sampled_from([None, 0.3, 0.8, 1.0]), patience=st.integers(1, 3), seed=seeds,
    block_size=st.integers(1, 9),
)  # fmt: skip
def test_rounds_are_those_of_sorting_in_blocks_of_any_size(
    n_rows, n_columns, budget, ratio, patience, seed, block_size
):
    # quarters: no rounding, and many ties
    rng = np.random.default_rng(seed)
    similarity = rng.integers(-4, 5, size=(n_rows, n_columns)) / 4
    budget = min(budget, n_rows)
    rows, values = rounds_by_sorting(similarity, budget, ratio, patience)
    whole = iterative_coreset(
        similarity, budget, stopping_ratio=ratio, patience=patience
    )
    assert whole.indices.tolist() == rows
    assert whole.round_values.tolist() == values
    assert (np.diff(values) <= 0).all()
    assert np.bincount(whole.round).max() <= n_columns
    np.testing.assert_array_equal(
        whole.similarities, similarity[whole.indices, whole.center_indices]
    )

    def blocks():
        for start in range(0, n_rows, block_size):
            part = slice(start, min(start + block_size, n_rows))
            yield part, similarity[part]

    streamed = rounds_of_blocks(blocks, similarity.shape, budget, ratio, patience)
    assert streamed.indices.tolist() == rows
    assert streamed.stopped_by == whole.stopped_by


def test_queues_that_run_dry_are_made_longer():
    similarity = np.column_stack([np.arange(1000.0)] * 40)  # all want the same rows
    calls = []

    def blocks():
        calls.append(1)
        yield slice(0, 1000), similarity

    coreset = rounds_of_blocks(blocks, similarity.shape, 500, None, 1)
    assert coreset.indices.tolist() == list(range(999, 499, -1))
    assert len(calls) > 1 and coreset.stopped_by == "budget"


@given(seed=seeds, n_columns=st.integers(1, 3))
def test_each_round_is_the_best_that_is_left(seed, n_columns):
    similarity = np.random.default_rng(seed).normal(size=(8, n_columns))
    coreset = iterative_coreset(similarity, 8)
    left = set(range(8))
    for number, value in enumerate(coreset.round_values):
        subsets = chain.from_iterable(
            combinations(left, size) for size in range(1, n_columns + 1)
        )
        best = max(similarity[list(rows)].max(axis=0).mean() for rows in subsets)
        assert value == pytest.approx(best)
        left -= set(coreset.indices[coreset.round == number])
    assert coreset.stopped_by == "exhausted" and not left


def test_ratio_one_stops_at_the_first_lower_round_and_patience_waits(rng):
    similarity = rng.uniform(size=(40, 3))
    strict = iterative_coreset(similarity, stopping_ratio=1.0)
    assert strict.stopped_by == "ratio" and len(strict.round_values) == 1
    later = iterative_coreset(similarity, stopping_ratio=1.0, patience=4)
    assert len(later.round_values) == 4
    assert later.reference_value == later.round_values[3]
    never = iterative_coreset(similarity, 30, stopping_ratio=1e-9, patience=50)
    assert never.stopped_by == "budget" and np.isnan(never.reference_value)


def test_cosines_ignore_lengths_and_rotations(rng):
    X, target = rng.normal(size=(200, 4)), rng.normal(1, 1, size=(10, 4))
    first = OpenSetCoresetSelector().fit(X, X_target=target)
    lengths = 10.0 ** rng.uniform(-150, 150, size=(200, 1))
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    for moved, of_target in (
        (X * lengths, target * 1e-150),
        (X @ rotation, target @ rotation),
    ):
        other = OpenSetCoresetSelector().fit(moved, X_target=of_target)
        np.testing.assert_array_equal(other.sample_indices_, first.sample_indices_)
    sparse = OpenSetCoresetSelector().fit(csr_array(X), X_target=csr_array(target))
    np.testing.assert_array_equal(sparse.sample_indices_, first.sample_indices_)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    expected = (unit @ first.cluster_centers_.T).max(axis=1)
    np.testing.assert_allclose(first.score_samples(X), expected, rtol=1e-12)
    assert first.stopped_by_ == "ratio" and first.round_.max() + 1 == len(
        first.round_values_
    )


def test_blocks_of_rows_change_nothing(rng, monkeypatch):
    X, target = rng.normal(size=(200, 4)), rng.normal(size=(10, 4))
    whole = OpenSetCoresetSelector(60, stopping_ratio=None).fit(X, X_target=target)
    monkeypatch.setattr(module, "BLOCK_NUMBERS", 70)
    blocks = OpenSetCoresetSelector(60, stopping_ratio=None).fit(X, X_target=target)
    np.testing.assert_array_equal(whole.sample_indices_, blocks.sample_indices_)


def test_copies_of_the_target_come_first_and_one_target_sorts(rng):
    target = rng.normal(size=(6, 3))
    X = np.vstack([rng.normal(size=(50, 3)), target])
    found = OpenSetCoresetSelector(6).fit(X, X_target=target)
    assert sorted(found.sample_indices_) == list(range(50, 56))
    single = OpenSetCoresetSelector(1.0, stopping_ratio=None).fit(
        X, X_target=target[:1]
    )
    order = np.argsort(-single.score_samples(X), kind="stable")
    assert single.sample_indices_.tolist() == order.tolist()
    assert single.stopped_by_ == "exhausted"
    default = OpenSetCoresetSelector(stopping_ratio=1e-9).fit(
        rng.uniform(size=(80, 3)), X_target=rng.uniform(size=(1, 3))
    )
    assert len(default.sample_indices_) == 50 and default.stopped_by_ == "budget"


def test_centres_are_units_and_embeddings_are_fitted_on_the_target_only(rng):
    X, target = rng.normal(size=(90, 5)), rng.normal(size=(40, 5))
    reduced = OpenSetCoresetSelector(n_clusters=7, random_state=0).fit(
        X, X_target=target
    )
    assert reduced.cluster_centers_.shape == (7, 5)
    np.testing.assert_allclose(np.linalg.norm(reduced.cluster_centers_, axis=1), 1)
    embedding = PCA(2)
    selector = OpenSetCoresetSelector(10, embedding=embedding).fit(X, X_target=target)
    np.testing.assert_allclose(selector.embedding_.mean_, target.mean(axis=0))
    assert not hasattr(embedding, "mean_")
    fitted = PCA(2).fit(X)
    selector = OpenSetCoresetSelector(10, embedding=fitted).fit(X, X_target=target)
    assert selector.embedding_ is fitted


def test_most_of_the_coreset_is_relevant():
    X, y = load_digits(return_X_y=True)
    relevant = np.isin(y, (3, 8))
    target = np.flatnonzero(relevant)[:60]
    rest = np.setdiff1d(np.arange(len(y)), target)
    others = np.r_[rest[relevant[rest]][:140], rest[~relevant[rest]]]
    selector = OpenSetCoresetSelector(
        200, stopping_ratio=None, n_clusters=20, random_state=0
    )
    rows = others[selector.fit(X[others], X_target=X[target]).sample_indices_]
    assert relevant[rows].mean() > 4 * relevant[others].mean()


def test_transformer_sees_the_coreset_as_well(rng):
    X, X_open = rng.normal(size=(20, 3)), rng.normal(size=(200, 3))
    selector = OpenSetCoresetSelector(15)
    model = CoresetAugmentedTransformer(StandardScaler(), selector).fit(
        X, X_open=X_open
    )
    seen = np.vstack([X, X_open[model.selector_.sample_indices_]])
    expected = StandardScaler().fit(seen).transform(X)
    np.testing.assert_array_equal(model.transform(X), expected)
    sparse = CoresetAugmentedTransformer(StandardScaler(with_mean=False), selector)
    sparse.fit(csr_array(X), X_open=csr_array(X_open))
    np.testing.assert_allclose(sparse.transformer_.var_, seen.var(axis=0))
    sparse.fit(X, X_open=csr_array(X_open))
    np.testing.assert_allclose(sparse.transformer_.var_, seen.var(axis=0))
    alone = model.fit(X)
    assert alone.selector_ is None
    np.testing.assert_array_equal(alone.transformer_.mean_, X.mean(axis=0))
    frame = pd.DataFrame(X, columns=list("abc"))
    named = model.set_output(transform="pandas").fit_transform(frame, X_open=X_open)
    assert named.columns.tolist() == list("abc")
    with pytest.raises(ValueError, match="X_open has 2 features, but X has 3"):
        model.fit(X, X_open=X_open[:, :2])
    with pytest.raises(ValueError, match="X_open contains NaN"):
        model.fit(X, X_open=X_open * np.nan)


def test_search_over_the_ratio_in_a_pipeline():
    X, y = load_digits(return_X_y=True)
    with config_context(enable_metadata_routing=True):
        model = CoresetAugmentedTransformer(
            PCA(10, random_state=0),
            OpenSetCoresetSelector(n_clusters=20, random_state=0),
        ).set_fit_request(X_open=True)
        pipeline = Pipeline([("pca", model), ("clf", LogisticRegression(max_iter=500))])
        search = GridSearchCV(
            pipeline, {"pca__selector__stopping_ratio": [0.9, 0.99]}, cv=2
        )
        search.fit(X[:200] / 16, y[:200], X_open=X[200:] / 16)
    assert search.best_score_ > 0.7
    assert search.best_estimator_[0].selector_.n_samples_in_ == len(X) - 200


def test_rows_of_zeros_are_told(rng):
    X = rng.normal(size=(9, 2))
    X[4] = 0
    with pytest.warns(UserWarning, match="1 rows are 0 in all features"):
        selector = OpenSetCoresetSelector(9, stopping_ratio=None).fit(X, X_target=X[:2])
    assert selector.similarities_[selector.sample_indices_ == 4] == 0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (dict(stopping_ratio=None), "both None"),
        (dict(stopping_ratio=0.0), "stopping_ratio"),
        (dict(stopping_ratio=1.1), "stopping_ratio"),
        (dict(patience=0), "patience"),
        (dict(n_samples_to_select=0), "n_samples_to_select"),
        (dict(n_samples_to_select=1.5), "n_samples_to_select"),
    ],
)
def test_bad_parameters_are_refused(rng, parameters, message):
    X = rng.normal(size=(9, 2))
    with pytest.raises(ValueError, match=message):
        OpenSetCoresetSelector(**parameters).fit(X)
    with pytest.raises(ValueError, match=message):
        iterative_coreset(X, **dict(stopping_ratio=0.5) | parameters)
    with pytest.raises(ValueError, match="n_clusters"):
        OpenSetCoresetSelector(n_clusters=0).fit(X)
    with pytest.raises(ValueError, match="similarity contains NaN"):
        iterative_coreset(X * np.nan, 3)
