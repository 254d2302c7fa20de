"""Mixing, the resampler and the meta-estimator of C-Mixup."""

import dask
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from imblearn.pipeline import make_pipeline as make_imblearn_pipeline
from scipy import sparse, stats
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_regression
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, Ridge, SGDRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import StandardScaler

from minimalml.resampling import (
    CMixup,
    CMixupMLPRegressor,
    CMixupRegressor,
    TargetKernelDisplay,
    TargetKernelSampler,
    mix,
    mix_tasks,
)


@pytest.fixture
def affine():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    return X, X @ [1.0, -2.0, 3.0, 0.5] + 7


def test_no_mixed_rows_are_plain_training(affine):
    X, y = affine
    X_new, y_new = CMixup(ratio=0).fit_resample(X, y)
    np.testing.assert_array_equal(X_new, X)
    np.testing.assert_array_equal(y_new, y)


@pytest.mark.parametrize("options", [{}, {"kernel": "uniform"}, {"metric": "input"}])
def test_affine_data_stay_affine(affine, options):
    model = CMixupRegressor(
        LinearRegression(), keep_original=False, random_state=0, **options
    )
    model.fit(*affine)
    np.testing.assert_allclose(model.coef_, [1.0, -2.0, 3.0, 0.5], atol=1e-8)
    assert model.intercept_ == pytest.approx(7, abs=1e-8)


@given(
    X=arrays(float, (8, 3), elements=st.floats(-1e3, 1e3)),
    mixing=arrays(float, 8, elements=st.floats(0, 1)),
    partners=arrays(np.int64, 8, elements=st.integers(0, 7)),
)
def test_mixed_rows_lie_between_their_pair(X, mixing, partners):
    y = X[:, 0] - X[:, 1]
    X_mixed, y_mixed = mix(X, y, partners, mixing)
    rounding = 1e-12 * (1 + np.abs(X) + np.abs(X[partners]))
    assert (X_mixed >= np.minimum(X, X[partners]) - rounding).all()
    assert (X_mixed <= np.maximum(X, X[partners]) + rounding).all()
    np.testing.assert_array_equal(y_mixed, mixing * y + (1 - mixing) * y[partners])


def test_numpy_torch_and_sparse_mix_alike(rng):
    X, y = (
        rng.normal(size=(9, 4)) * (rng.uniform(size=(9, 4)) < 0.5),
        rng.normal(size=9),
    )
    partners, mixing, indices = [3, 1, 8], np.array([0.2, 1.0, 0.7]), [0, 1, 1]
    X_mixed, y_mixed = mix(X, y, partners, mixing, indices=indices)
    for container in (sparse.csr_matrix, sparse.csr_array):
        sparse_X, sparse_y = mix(container(X), y, partners, mixing, indices=indices)
        assert isinstance(sparse_X, container)
        np.testing.assert_array_equal(sparse_X.toarray(), X_mixed)
        np.testing.assert_array_equal(sparse_y, y_mixed)
    torch_X, torch_y = mix(
        torch.as_tensor(X), torch.as_tensor(y), torch.tensor(partners),
        torch.as_tensor(mixing), indices=torch.tensor(indices),
    )  # fmt: skip
    np.testing.assert_array_equal(torch_X.numpy(), X_mixed)
    np.testing.assert_array_equal(torch_y.numpy(), y_mixed)


@pytest.mark.parametrize("to", [np.asarray, torch.as_tensor])
def test_mixing_keeps_float32_and_makes_integers_float64(to):
    X, y = np.arange(8, dtype=np.float32).reshape(2, 2, 2), np.array([1, 4])
    X_mixed, y_mixed = mix(to(X), to(y), to(np.array([1, 0])), 0.5)
    assert np.asarray(X_mixed).dtype == np.float32
    assert np.asarray(y_mixed).tolist() == [2.5, 2.5]
    assert np.asarray(y_mixed).dtype == np.float64


def test_mixing_shares_follow_the_beta_distribution(affine):
    X, y = make_regression(4000, 2, random_state=0)
    resampler = CMixup(alpha=1.5, random_state=0)
    resampler.fit_resample(X, y)
    assert stats.kstest(resampler.mixing_, stats.beta(1.5, 1.5).cdf).pvalue > 0.01
    resampler.set_params(lambda_per="batch").fit_resample(X, y)
    assert len(np.unique(resampler.mixing_)) == 1


@pytest.mark.parametrize("ratio", [0.25, 1.0, 2.5])
@pytest.mark.parametrize("keep_original", [True, False])
def test_attributes_tell_how_each_row_was_made(affine, ratio, keep_original):
    X, y = affine
    resampler = CMixup(ratio, keep_original=keep_original, random_state=0)
    X_new, y_new = resampler.fit_resample(X, y)
    n_mixed, start = round(ratio * 60), 60 * keep_original
    assert resampler.sample_indices_.shape == (n_mixed, 2)
    assert len(X_new) == len(y_new) == start + n_mixed
    sources, partners = resampler.sample_indices_.T
    assert np.bincount(sources, minlength=60).max() == np.ceil(ratio)
    share = resampler.mixing_[:, None]
    np.testing.assert_array_equal(
        X_new[start:], share * X[sources] + (1 - share) * X[partners]
    )


def test_rows_without_weight_are_absent(affine):
    X, y = affine
    weights = np.repeat([0.0, 1.0, 2.0], 20)
    resampler = CMixup(ratio=2.0, random_state=0)
    X_new, _ = resampler.fit_resample(X, y, sample_weight=weights)
    assert resampler.sample_indices_.min() == 20
    assert len(X_new) == len(resampler.sample_weight_) == 40 + 80
    np.testing.assert_array_equal(resampler.sample_weight_[:40], weights[20:])
    sources, partners = resampler.sample_indices_.T
    share = resampler.mixing_
    np.testing.assert_array_equal(
        resampler.sample_weight_[40:],
        share * weights[sources] + (1 - share) * weights[partners],
    )


def test_tasks_and_groups_never_mix(rng):
    tasks = rng.permutation(np.repeat(["a", "b", "c"], 20))
    X = np.equal.outer(tasks, ["a", "b", "c"]).astype(float)
    y = rng.normal(size=60)
    query = np.flatnonzero(rng.uniform(size=60) < 0.5)
    X_mixed, y_mixed = mix_tasks(X, y, tasks, indices=query, random_state=0)
    np.testing.assert_allclose(X_mixed, X[query])
    assert not np.allclose(y_mixed, y[query])
    X_new, _ = CMixup(random_state=0).fit_resample(X, y, groups=tasks)
    np.testing.assert_allclose(X_new[60:], X)


def make_frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": rng.normal(size=30).astype("float32"),
            "rooms": rng.integers(1, 9, 30),
            "town": pd.Categorical(rng.choice(["x", "y", "z"], 30)),
            "kind": rng.choice(["old", "new"], 30),
        }
    ), pd.Series(rng.normal(size=30), name="price")


@pytest.mark.parametrize(
    "categorical_features", ["from_dtype", ["town", "kind"], [2, 3], [False, False, True, True]]
)  # fmt: skip
def test_categories_come_whole_from_the_row_with_the_larger_share(categorical_features):
    X, y = make_frame()
    resampler = CMixup(categorical_features=categorical_features, random_state=0)
    X_new, y_new = resampler.fit_resample(X, y)
    assert X_new.dtypes[["size", "town", "kind"]].equals(
        X.dtypes[["size", "town", "kind"]]
    )
    assert X_new["rooms"].dtype == np.float64
    assert y_new.name == "price"
    sources, partners = resampler.sample_indices_.T
    larger = np.where(resampler.mixing_ >= 0.5, sources, partners)
    for name in ("town", "kind"):
        assert X_new[name].tolist()[30:] == X[name].iloc[larger].tolist()
    share = resampler.mixing_
    np.testing.assert_allclose(
        X_new["rooms"][30:], share * X["rooms"][sources].to_numpy()
        + (1 - share) * X["rooms"][partners].to_numpy(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "fill_value"), [(float, 0.0), (float, np.nan), (bool, False), (int, 0)]
)
@pytest.mark.parametrize("others", [{}, {"size": np.arange(40.0)}])
def test_sparse_columns_of_frames_are_mixed_and_stay_sparse(dtype, fill_value, others):
    y = np.random.default_rng(0).normal(size=40)
    one_hot = pd.get_dummies(pd.Series(list("abcd") * 10), dtype=dtype)
    X = one_hot.astype(pd.SparseDtype(dtype, fill_value)).assign(**others)
    X_new, _ = CMixup(random_state=0).fit_resample(X, y)
    expected, _ = CMixup(random_state=0).fit_resample(one_hot.assign(**others), y)
    sparse_dtype = pd.SparseDtype(float, float(fill_value))
    assert (X_new.dtypes[list("abcd")] == sparse_dtype).all()
    np.testing.assert_array_equal(X_new.to_numpy(float), expected.to_numpy())


def test_a_regressor_that_takes_sparse_frames_takes_them_mixed():
    y = np.random.default_rng(0).normal(size=40)
    X = pd.get_dummies(pd.Series(list("abcd") * 10), dtype=float)
    dense = CMixupRegressor(Ridge(), random_state=0).fit(X, y)
    sparse_frame = X.astype(pd.SparseDtype(float, 0.0))
    model = clone(dense).fit(sparse_frame, y)
    np.testing.assert_allclose(model.predict(sparse_frame), dense.predict(X))


def test_masked_columns_stay_masked():
    missing = pd.array([1, None] * 10, dtype="Int64")
    X = pd.DataFrame({"a": missing, "b": pd.array([True, False] * 10, "boolean")})
    X_new, _ = CMixup(random_state=0).fit_resample(X, np.arange(20.0))
    assert list(X_new.dtypes) == ["Float64", "Float64"]
    assert X_new["a"][:20].isna().tolist() == [False, True] * 10


def test_numbers_stored_as_objects_are_numbers_but_categories_are_not():
    numbers = pd.DataFrame({"a": np.arange(20.0), "b": [1, 2] * 10}, dtype=object)
    X_new, _ = CMixup(random_state=0).fit_resample(numbers, np.arange(20.0))
    assert (X_new.dtypes == np.float64).all()
    codes = numbers.assign(b=pd.Categorical([1, 2] * 10))
    with pytest.raises(TypeError, match=r"Columns \['b'\] of X are not numeric"):
        CMixup().fit_resample(codes, np.arange(20.0))


def test_categories_of_arrays(rng):
    X, y = rng.integers(0, 3, (40, 2)).astype(float), rng.normal(size=40)
    X_new, _ = CMixup(categorical_features=[1], random_state=0).fit_resample(X, y)
    assert set(X_new[:, 1]) <= {0.0, 1.0, 2.0}
    assert len(set(X_new[:, 0])) > 3
    text = np.column_stack([X[:, 0].astype(object), np.where(X[:, 1], "a", "b")])
    X_new, _ = CMixup(categorical_features=[1], random_state=0).fit_resample(text, y)
    assert set(X_new[:, 1]) == {"a", "b"}
    only, _ = CMixup(categorical_features=[0, 1]).fit_resample(X, y)
    assert only.shape == (80, 2)


def test_a_missing_number_stays_missing(affine):
    X, y = affine
    X[5, 2] = np.nan
    resampler = CMixup(random_state=0)
    X_new, _ = resampler.fit_resample(X, y)
    touched = (resampler.sample_indices_ == 5).any(1)
    np.testing.assert_array_equal(np.isnan(X_new[60:, 2]), touched)


def test_sparse_rows_stay_sparse_and_equal_dense_ones(affine):
    X, y = affine
    X = X * (np.abs(X) > 1)
    sparse_X, _ = CMixup(random_state=0).fit_resample(sparse.csr_matrix(X), y)
    dense_X, _ = CMixup(random_state=0).fit_resample(X, y)
    assert isinstance(sparse_X, sparse.csr_matrix)
    np.testing.assert_array_equal(sparse_X.toarray(), dense_X)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(bandwidth=0), ValueError, "'bandwidth' parameter"),
        (dict(bandwidth=np.nan), ValueError, "'bandwidth' parameter"),
        (dict(alpha=0.0), ValueError, "'alpha' parameter"),
        (dict(ratio=-1), ValueError, "'ratio' parameter"),
        (dict(ratio=0, keep_original=False), ValueError, "leaves no rows"),
        (dict(ratio=1e-3, keep_original=False), ValueError, "leaves no rows of 60"),
        (dict(categorical_features=[4]), ValueError, "must be in 0 to 3"),
        (dict(categorical_features=["town"]), ValueError, "mask of length 4"),
        (dict(categorical_features="from_dtype"), ValueError, "with a data frame"),
    ],
)
@pytest.mark.parametrize("cls", [CMixup, CMixupRegressor])
def test_bad_parameters_are_refused(affine, cls, options, error, message):
    with pytest.raises(error, match=message):
        cls(**options).fit(*affine)


def test_bad_data_are_refused(affine):
    X, y = affine
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="Input y contains"):
            CMixup().fit_resample(X, np.append(y[1:], bad))
    with pytest.raises(ValueError, match="could not convert string to float"):
        CMixup().fit_resample(X, np.array(["low"] * 60, dtype=object))
    with pytest.raises(ValueError, match="Input X contains infinity"):
        CMixup().fit_resample(np.full_like(X, np.inf), y)
    with pytest.raises(ValueError, match="needs a dense X"):
        CMixup(categorical_features=[0]).fit_resample(sparse.csr_matrix(X), y)
    frame, price = make_frame()
    with pytest.raises(TypeError, match=r"Columns \['town', 'kind'\] of X are not num"):
        CMixup().fit_resample(frame, price)
    with pytest.raises(TypeError, match=r"Columns \[1\] of X are not numeric"):
        CMixup().fit_resample(np.array([[1, "a"], [2, "b"]], dtype=object), [1.0, 2.0])
    with pytest.raises(ValueError, match=r"no columns in X: \['street'\]"):
        CMixup(categorical_features=["street"]).fit_resample(frame, price)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0], [0, 1], 0.5), "y has 1 rows but X has 2"),
        (([0.0, 1.0], [0], 0.5), "partners has 1 rows but 2 rows are mixed"),
        (([0.0, 1.0], [0, 2], 0.5), "partners must be a list of row numbers from 0 to 1"),
        (([0.0, 1.0], [0, 1], 1.5), "mixing must be a number in"),
        (([0.0, 1.0], [0, 1], [0.5] * 3), "mixing must be a number in"),
    ],
)  # fmt: skip
def test_mix_refuses_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        mix(np.zeros((2, 1)), *arguments)
    with pytest.raises(TypeError, match="must both be tensors or both be arrays"):
        mix(torch.zeros((2, 1)), *arguments)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(alpha=0), ValueError, "'alpha' parameter of mix_tasks"),
        (dict(lambda_per="row"), ValueError, "'lambda_per' parameter of mix_tasks"),
        (dict(bandwidth=0), ValueError, "'bandwidth' parameter"),
        (dict(band_width=1), TypeError, "unexpected keyword argument 'band_width'"),
    ],
)
def test_mix_tasks_refuses_bad_parameters(options, error, message):
    with pytest.raises(error, match=message):
        mix_tasks(np.zeros((2, 1)), [0.0, 1.0], [0, 0], **options)


def test_mix_tasks_needs_tasks():
    with pytest.raises(ValueError, match="tasks must name the task of each row"):
        mix_tasks(np.zeros((2, 1)), [0.0, 1.0], None)


@pytest.mark.parametrize("to", [np.asarray, torch.as_tensor])
def test_views_with_negative_strides_are_mixed(rng, to):
    X, y, mixing = rng.normal(size=(9, 4)), rng.normal(size=9), rng.uniform(size=9)
    partners = np.arange(9)[::-1]
    mixed = mix(to(X), to(y), partners, mixing[::-1])
    expected = mix(X, y, partners.copy(), mixing[::-1].copy())
    for ours, theirs in zip(mixed, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), theirs)


def test_labels_may_be_a_column_or_text_that_is_numbers(affine):
    X, y = affine
    _, expected = CMixup(random_state=0).fit_resample(X, y)
    _, column = CMixup(random_state=0).fit_resample(X, y[:, None])
    _, frame = CMixup(random_state=0).fit_resample(X, pd.DataFrame({"a": y}))
    _, text = CMixup(random_state=0).fit_resample(X, y.astype(str))
    np.testing.assert_array_equal(column[:, 0], expected)
    np.testing.assert_array_equal(frame["a"], expected)
    np.testing.assert_array_equal(text, expected)


def test_one_row_and_single_row_groups_mix_with_themselves():
    X_new, y_new = CMixup().fit_resample([[3.0]], [2])
    np.testing.assert_allclose(X_new, [[3.0], [3.0]])  # 0.3 * 3 + 0.7 * 3 may round
    np.testing.assert_allclose(y_new, [2.0, 2.0])
    X, y = np.arange(5.0)[:, None], np.arange(5)
    X_new, _ = CMixup().fit_resample(X, y, groups=np.arange(5))
    np.testing.assert_allclose(X_new[5:], X)


def test_the_resampler_works_in_an_imblearn_pipeline_and_search(affine):
    pipeline = make_imblearn_pipeline(StandardScaler(), CMixup(random_state=0), Ridge())
    search = GridSearchCV(pipeline, {"cmixup__bandwidth": [0.1, np.inf]}, cv=3)
    search.fit(*affine)
    assert search.best_score_ > 0.9


def test_weights_of_mixed_rows_are_passed_on(affine):
    X, y = affine
    y = y + np.random.default_rng(0).normal(size=60)
    weights = np.linspace(0, 1, 60)
    model = CMixupRegressor(Ridge(), random_state=0).fit(X, y, sample_weight=weights)
    resampler = clone(model.resampler_)
    X_new, y_new = resampler.fit_resample(X, y, sample_weight=weights)
    by_hand = Ridge().fit(X_new, y_new, sample_weight=resampler.sample_weight_)
    np.testing.assert_array_equal(model.coef_, by_hand.coef_)


def test_a_regressor_without_weights_is_warned_about(affine):
    model = CMixupRegressor(KNeighborsRegressor(), random_state=0)
    with pytest.warns(UserWarning, match="KNeighborsRegressor takes no sample_weight"):
        model.fit(*affine, sample_weight=np.ones(60))


def test_metadata_with_a_value_a_row_are_refused(affine):
    with pytest.raises(ValueError, match="coef_init has one value a row"):
        CMixupRegressor(SGDRegressor()).fit(*affine, coef_init=np.zeros(60))


def test_methods_are_those_of_the_regressor(affine):
    boosted = CMixupRegressor(HistGradientBoostingRegressor(max_iter=3)).fit(*affine)
    assert len(list(boosted.staged_predict(affine[0]))) == 3
    assert not hasattr(boosted, "transform")
    assert not hasattr(boosted, "coef_")
    assert not hasattr(CMixupRegressor(Ridge()), "staged_predict")


def test_frames_with_categories_reach_the_default_regressor():
    X, y = make_frame()
    model = CMixupRegressor(random_state=0, categorical_features="from_dtype")
    X["kind"] = X["kind"].astype("category")
    assert model.fit(X, y).predict(X).shape == (30,)
    assert list(model.feature_names_in_) == list(X.columns)
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_float32_stays_and_several_targets_work(affine):
    X, y = affine
    X_new, y_new = CMixup().fit_resample(X.astype(np.float32), y.astype(np.float32))
    assert X_new.dtype == y_new.dtype == np.float32
    targets = pd.DataFrame({"a": y, "b": -y})
    _, Y_new = CMixup().fit_resample(X, targets)
    assert list(Y_new.columns) == ["a", "b"]
    model = CMixupRegressor(Ridge()).fit(X, targets)
    assert model.predict(X).shape == (60, 2)


def test_dask_mixes_partitions_within_themselves(affine):
    parts = [(X[:20], X[:20, 0] * k) for k, X in enumerate([affine[0]] * 3, start=1)]
    mixed = [
        dask.delayed(CMixup(random_state=seed).fit_resample)(*part)
        for seed, part in enumerate(parts)
    ]
    for seed, (X_new, y_new) in enumerate(dask.compute(*mixed, scheduler="threads")):
        np.testing.assert_allclose(y_new, (seed + 1) * X_new[:, 0])
        here, _ = CMixup(random_state=seed).fit_resample(*parts[seed])
        np.testing.assert_array_equal(X_new, here)


def test_the_display_shows_the_probabilities():
    y = load_diabetes(return_X_y=True)[1][:50]
    display = TargetKernelDisplay.from_estimator(CMixup(bandwidth=0.3), y=y)
    order = np.argsort(y, kind="stable")
    p = TargetKernelSampler(0.3).fit(y).probabilities(int(order[7]))[order]
    np.testing.assert_allclose(display.image_.get_array()[7], p)
    np.testing.assert_allclose(display.line_.get_xdata(), y[order])
    assert display.line_.get_ydata()[7] == pytest.approx(np.exp(stats.entropy(p)))
    coarse = TargetKernelDisplay.from_estimator(CMixupRegressor(), y=y, max_rows=10)
    np.testing.assert_allclose(coarse.probabilities.sum(1), 1.0)
    with pytest.raises(ValueError, match="one column"):
        TargetKernelDisplay.from_estimator(CMixup(), y=np.zeros((5, 2)))
    with pytest.raises(ValueError, match="max_rows must be at least 1, got 0"):
        TargetKernelDisplay.from_estimator(CMixup(), y=y, max_rows=0)


def test_the_display_takes_a_column_of_labels_and_a_network():
    y = np.linspace(0, 1, 9)
    for labels in (y[:, None], pd.DataFrame({"a": y})):
        display = TargetKernelDisplay.from_estimator(CMixupMLPRegressor(), y=labels)
        np.testing.assert_array_equal(display.labels, y)
