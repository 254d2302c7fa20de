"""The mapper of rows: where they land, which rows are what, bad input."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn.exceptions import ConvergenceWarning

from minimalml.transport import SparseTransportMapper, sparse_transport

N_SOURCE, N_TARGET = 40, 30


@pytest.fixture
def samples(rng):
    X_source = rng.normal(size=(N_SOURCE, 3))
    return X_source, rng.normal(size=(N_TARGET, 3)) * 0.5 + [4, 0, 0]


def test_a_shifted_sample_is_shifted_back(rng):
    X = rng.normal(size=(50, 2))
    mapper = SparseTransportMapper(reg=1e-4, max_iter=5000).fit_samples(X, X + [3, -1])
    np.testing.assert_allclose(mapper.transform(X), X + [3, -1], atol=0.05)


def test_rows_land_on_the_barycentres_of_the_plan(samples):
    mapper = SparseTransportMapper().fit_samples(*samples)
    cost = cdist(*samples, "sqeuclidean")
    reg = 0.5 * N_TARGET * np.median(cost)
    result = sparse_transport(None, None, cost, max_nonzeros=20, reg=reg)
    plan = mapper.plan_.toarray()
    np.testing.assert_array_equal(plan, result.plan.toarray())
    np.testing.assert_array_equal(mapper.potentials_[0], result.alpha)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / N_TARGET, rtol=1e-12)
    assert np.diff(mapper.plan_.indptr).max() <= 20
    barycentres = plan @ samples[1] / plan.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mapper.transform(samples[0]), barycentres, atol=1e-12)
    mapper.set_params(metric="cosine", max_nonzeros=1)  # what is fitted stays
    near = samples[0] + 1e-6  # moves as its neighbour does
    np.testing.assert_allclose(mapper.transform(near), barycentres + 1e-6, atol=1e-12)


def test_equal_rows_move_as_the_first_and_rows_without_mass_as_their_neighbour():
    X_source = np.array([[0.0], [0.0], [5.0], [5.1]])
    with pytest.warns(ConvergenceWarning, match="max_nonzeros=1 binds"):
        mapper = SparseTransportMapper(1).fit_samples(X_source, X_source + 1)
    # which of the two equal rows has the mass is up to rounding
    has_mass = mapper.plan_.sum(axis=1) > 0
    assert has_mass[:2].sum() == 1 and has_mass[2:].all()
    np.testing.assert_allclose(mapper.transform(X_source), X_source + 1, atol=1e-12)
    equal = SparseTransportMapper(4).fit_samples(X_source, X_source + 1)
    barycentres = equal.plan_ @ (X_source + 1) / equal.plan_.sum(axis=1)[:, None]
    np.testing.assert_allclose(equal.transform(X_source[:2]), barycentres[[0, 0]])


def test_domain_by_row_stacked_and_shuffled_gives_the_same_map(samples, rng):
    by_samples = SparseTransportMapper().fit_samples(*samples)
    X, domain = np.vstack(samples), np.repeat([2, -1], [N_SOURCE, N_TARGET])
    stacked = SparseTransportMapper().fit(X, sample_domain=domain)
    assert by_samples.source_indices_.tolist() == list(range(N_SOURCE))
    for name in ("source_indices_", "target_indices_"):
        np.testing.assert_array_equal(getattr(stacked, name), getattr(by_samples, name))
    ours, theirs = (m.transform(X) for m in (stacked, by_samples))
    np.testing.assert_array_equal(ours, theirs)
    order = rng.permutation(len(X))
    shuffled = SparseTransportMapper().fit(X[order], sample_domain=domain[order])
    assert (domain[order][shuffled.source_indices_] > 0).all()
    np.testing.assert_allclose(shuffled.transform(X), ours, atol=1e-4)


def test_without_domains_every_row_stays_nearly_where_it_is(samples):
    mapper = SparseTransportMapper(reg=1e-3).fit(samples[0])
    np.testing.assert_allclose(mapper.transform(samples[0]), samples[0], atol=1e-3)
    np.testing.assert_array_equal(mapper.source_indices_, mapper.target_indices_)


@pytest.mark.parametrize("metric", ["euclidean", "cityblock", "cosine", cdist])
def test_costs_are_those_of_the_metric(samples, metric):
    if callable(metric):
        metric, name = (lambda x, y: abs(x - y).max()), "chebyshev"
    else:
        name = metric
    mapper = SparseTransportMapper(metric=metric).fit_samples(*samples)
    cost = cdist(*samples, name)
    alpha, beta = mapper.potentials_
    reg = 0.5 * N_TARGET * np.median(cost)
    plan = mapper.plan_.tocoo()
    expected = (alpha[plan.row] + beta[plan.col] - cost[plan.row, plan.col]) / reg
    np.testing.assert_allclose(plan.data, expected, atol=1e-9)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
def test_far_from_the_origin_rows_still_find_themselves(samples, metric):
    X_source, X_target = (np.round(X * 64) / 64 for X in samples)
    near, far = (
        SparseTransportMapper(metric=metric).fit_samples(X_source + c, X_target + c)
        for c in (0.0, 2.0**30)
    )
    moved = far.transform(X_source + 2.0**30) - 2.0**30
    np.testing.assert_allclose(moved, near.transform(X_source), atol=1e-5)


@pytest.mark.parametrize(("scale", "dtype"), [(1e-30, "f4"), (1e-140, "f8"), (1e140, "f8")])  # fmt: skip
def test_the_scale_of_the_features_does_not_matter(samples, scale, dtype):
    X_source, X_target = (X.astype(np.float32) for X in samples)
    mapper = SparseTransportMapper().fit_samples(X_source, X_target)
    small = [(X.astype("f8") * scale).astype(dtype) for X in (X_source, X_target)]
    scaled = SparseTransportMapper().fit_samples(*small).transform(small[0])
    assert scaled.dtype == dtype
    expected = mapper.transform(X_source)
    np.testing.assert_allclose(scaled / np.array(scale, dtype), expected, atol=1e-4)


def test_frames_keep_their_names(samples):
    X_source, X_target = (pd.DataFrame(X, columns=list("abc")) for X in samples)
    mapper = SparseTransportMapper().set_output(transform="pandas")
    moved = mapper.fit_samples(X_source, X_target).transform(X_source)
    assert list(moved.columns) == list("abc")
    with pytest.raises(ValueError, match="feature names"):
        mapper.fit_samples(X_source, X_target[["c", "b", "a"]])


@pytest.mark.parametrize(
    ("n_target", "options", "domain", "message"),
    [
        (30, {}, [1, -1], r"shape \(2,\) but X has 70 rows"),
        (30, {}, np.ones(70), "70 source rows.*0 target rows"),
        (30, {}, np.full(70, np.nan), "NaN in row 0"),
        (1, {}, None, "max_nonzeros=20 lets 1 columns reach.*at least 40"),
        (30, {"max_nonzeros": 0}, None, "'max_nonzeros'"),
        (30, {"reg": 0.0}, None, "'reg'"),
        (30, {"metric": "precomputed"}, None, "'metric'"),
        (30, {"metric": "haversine"}, None, "only valid in 2"),
        (30, {"metric": lambda x, y: -1.0}, None, "negative or not finite: scale X"),
        (30, {"metric": lambda x, y: 0.0}, None, "cost of 0 to all pairs"),
    ],
)
def test_bad_input_is_refused(samples, n_target, options, domain, message):
    X = np.vstack([samples[0], samples[1][:n_target]])
    if domain is None:
        domain = np.repeat([1, -1], [N_SOURCE, n_target])
    with pytest.raises(ValueError, match=message):
        SparseTransportMapper(**options).fit(X, sample_domain=domain)


def test_bad_samples_are_refused(samples):
    mapper = SparseTransportMapper()
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        mapper.fit_samples(samples[0], samples[1][:0])  # a target without rows
    with pytest.raises(ValueError, match=r"X has 2 features.*expecting 3"):
        mapper.fit_samples(samples[0], samples[1][:, :2])
    for scale in (1e-200, 1e200):
        with pytest.raises(ValueError, match="scale X"), np.errstate(over="ignore"):
            mapper.fit_samples(samples[0] * scale, samples[1] * scale)


def test_constant_rows_and_too_many_partners_warn(samples):
    constant = np.ones((30, 2))
    with pytest.warns(ConvergenceWarning, match="max_nonzeros=20 binds in 30 columns"):
        moved = SparseTransportMapper().fit_transform(constant)
    np.testing.assert_allclose(moved, constant, rtol=1e-12)
    with pytest.warns(UserWarning, match="max_nonzeros=50 but there are 40 source"):
        many = SparseTransportMapper(50).fit_samples(*samples)
    all_rows = SparseTransportMapper(40).fit_samples(*samples)
    assert np.abs(many.plan_ - all_rows.plan_).max() == 0
