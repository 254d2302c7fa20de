"""The draws of partners against the kernel written out in full."""

import pickle
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse, stats

from minimalml.resampling import TargetKernelSampler, sample_partners
from minimalml.resampling._c_mixup import _partner_draws

N_ROWS, N_DRAWS = 40, 20_000
# Chi-square tests with fixed seeds: one in a thousand would fail by chance alone.
SIGNIFICANCE = 1e-3
ROUNDING = 1e-12


def brute_force(y, h, *, weights=None, groups=None, X=None, h_input=None,
                kernel="gaussian", exclude_self=False):  # fmt: skip
    """Return the (n, n) matrix P(j | i), straight from the definition."""

    def log_kernel(values, width):
        values = np.asarray(values, float).reshape(len(values), -1)
        squares = ((values[:, None] - values[None]) ** 2).sum(2)
        if kernel == "gaussian":
            return -squares / (2 * width**2)
        edge = (width * (1 + 1e-9)) ** 2  # closed, also after rounding
        return np.where((squares <= edge) | (kernel == "uniform"), 0.0, -np.inf)

    logs = np.zeros((len(y), len(y)))
    if h is not None:
        logs = logs + log_kernel(y, h)
    if h_input is not None:
        logs = logs + log_kernel(X, h_input)
    with np.errstate(divide="ignore"):
        logs = logs + np.log(np.ones(len(y)) if weights is None else weights)
    if groups is not None:
        logs[groups[:, None] != groups[None]] = -np.inf
    if exclude_self:
        np.fill_diagonal(logs, -np.inf)
    alone = np.isinf(logs).all(1)
    logs[alone, alone] = 0.0
    p = np.exp(logs - logs.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def assert_follows(draws, probabilities):
    counts = np.bincount(draws, minlength=len(probabilities))
    assert counts[probabilities == 0].sum() == 0
    frequent = probabilities * len(draws) >= 5
    observed = np.append(counts[frequent], counts[~frequent].sum())
    expected = np.append(probabilities[frequent], probabilities[~frequent].sum())
    if expected[-1] * len(draws) < 5:  # too rare for a cell of its own
        assert observed[-1] <= 20
        observed, expected = observed[:-1], expected[:-1] / expected[:-1].sum()
    if len(expected) > 1:
        expected = expected * observed.sum()
        assert stats.chisquare(observed, expected).pvalue > SIGNIFICANCE


def make_rows(seed=0):
    rng = np.random.default_rng(seed)
    return dict(
        y=rng.normal(size=N_ROWS).round(1),  # with ties
        X=rng.normal(size=(N_ROWS, 3)),
        weights=rng.integers(0, 4, N_ROWS).astype(float),
        groups=rng.integers(0, 3, N_ROWS),
    )


ROUTES = {
    "sorted": dict(),
    "sorted exclude": dict(exclude_self=True),
    "tophat": dict(kernel="tophat"),
    "tophat exclude": dict(kernel="tophat", exclude_self=True),
    "uniform": dict(kernel="uniform"),
    "input": dict(metric="input", input_bandwidth=1.0),
    "both": dict(metric="target_and_input", input_bandwidth=1.0),
    "both tophat": dict(
        metric="target_and_input", input_bandwidth=2.0, kernel="tophat"
    ),
}


def expected_for(options, rows, h, use):
    options = dict(options)
    metric, h_input = options.pop("metric", "target"), options.pop("input_bandwidth", h)
    return brute_force(
        rows["y"],
        None if metric == "input" else h,
        X=rows["X"],
        h_input=None if metric == "target" else h_input,
        **{name: rows[name] for name in use},
        **options,
    )


def fitted(options, rows, h, use, to=np.asarray):
    sampler = TargetKernelSampler(h, standardize_target=False, **options)
    extra = {"weights": "sample_weight", "groups": "groups"}
    extra = {extra[name]: to(rows[name]) for name in use}
    return sampler.fit(to(rows["y"]), X=to(rows["X"]), **extra)


@pytest.mark.kernel
@pytest.mark.parametrize("use", [(), ("weights",), ("groups",), ("weights", "groups")])
@pytest.mark.parametrize("route", ROUTES)
def test_probabilities_are_the_kernel_written_out(route, use):
    rows = make_rows()
    expected = expected_for(ROUTES[route], rows, 0.3, use)
    sampler = fitted(ROUTES[route], rows, 0.3, use)
    for i in range(N_ROWS):
        np.testing.assert_allclose(sampler.probabilities(i), expected[i], atol=ROUNDING)


@pytest.mark.kernel
@pytest.mark.parametrize("use", [(), ("weights", "groups")])
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("to", [np.asarray, torch.as_tensor])
def test_frequencies_follow_the_kernel(route, use, to):
    rows = make_rows()
    expected = expected_for(ROUTES[route], rows, 0.3, use)
    sampler = fitted(ROUTES[route], rows, 0.3, use, to)
    for i in (0, 5):
        draws = sampler.sample(to(np.full(N_DRAWS, i)), random_state=i)
        assert_follows(np.asarray(draws), expected[i])


@pytest.mark.kernel
@pytest.mark.parametrize("h", [1e-9, 0.01, 0.1, 3.0, 1e6, np.inf])
def test_frequencies_follow_the_kernel_for_any_bandwidth(h):
    rows = make_rows(1)
    y = rows["y"] if h > 1e-3 else np.arange(N_ROWS) // 4 * 1.0
    expected = brute_force(y, h, weights=rows["weights"])
    sampler = TargetKernelSampler(h, standardize_target=False)
    sampler.fit(y, sample_weight=rows["weights"])
    for i in (0, 11):
        draws = sampler.sample(np.full(N_DRAWS, i), random_state=3)
        assert_follows(draws, expected[i])


@pytest.mark.kernel
def test_neighbours_that_share_shells_each_follow_their_own_kernel():
    h, y = 1.0, np.r_[0.0, 0.1, 0.24, np.linspace(-4, 4, 60)]  # three of one cell
    sampler = TargetKernelSampler(h, standardize_target=False).fit(y)
    draws = sampler.sample(np.tile([0, 1, 2], 10 * N_DRAWS), random_state=0)
    draws = draws.reshape(-1, 3)
    for i, expected in enumerate(brute_force(y, h)[:3]):
        assert_follows(draws[:, i], expected)


@pytest.mark.kernel
def test_far_outliers_are_drawn_exactly_when_a_row_excludes_itself():
    y = np.array([0.0, 50.0, 50.02, 50.05, -50.03])
    expected = brute_force(y, 1.0, exclude_self=True)
    sampler = TargetKernelSampler(1.0, standardize_target=False, exclude_self=True)
    draws = sampler.fit(y).sample(np.zeros(N_DRAWS, int), random_state=0)
    assert_follows(draws, expected[0])
    assert len(np.unique(draws)) == 4


def test_a_tiny_bandwidth_picks_equal_labels_only():
    y = np.repeat([0.0, 1.0, 1.0 + 1e-9], 5)
    Y = np.column_stack([y, 1e6 + y])
    for labels in (y, Y):
        partners = sample_partners(labels, bandwidth=1e-12, random_state=0)
        np.testing.assert_array_equal(y[partners], y)
        assert (partners != np.arange(15)).any()


def test_an_infinite_bandwidth_is_uniform_by_weight(rng):
    y, weights = rng.normal(size=30), rng.uniform(size=30)
    sampler = TargetKernelSampler(np.inf).fit(y, sample_weight=weights)
    np.testing.assert_allclose(
        sampler.probabilities(3), weights / weights.sum(), atol=ROUNDING
    )


@given(
    y=arrays(float, 12, elements=st.floats(-1e3, 1e3).map(lambda v: round(v, 3))),
    shift=st.floats(-1e3, 1e3),
    scale=st.floats(0.01, 1e3),
)
def test_shifting_and_scaling_labels_changes_nothing_when_standardised(y, shift, scale):
    before = TargetKernelSampler(0.3).fit(y).probabilities(0)
    if np.ptp(y) < 0.01:
        return  # the shift would round the labels away
    after = TargetKernelSampler(0.3).fit(scale * y + shift).probabilities(0)
    np.testing.assert_allclose(after, before, atol=1e-6)


@given(st.permutations(range(N_ROWS)), st.booleans())
def test_permuting_rows_permutes_the_distribution(order, exclude_self):
    rows, order = make_rows(), np.array(order)
    options = dict(bandwidth=0.3, exclude_self=exclude_self)
    sampler = TargetKernelSampler(**options).fit(rows["y"], groups=rows["groups"])
    moved = TargetKernelSampler(**options)
    moved.fit(rows["y"][order], groups=rows["groups"][order])
    np.testing.assert_allclose(
        moved.probabilities(0), sampler.probabilities(order[0])[order], atol=ROUNDING
    )


@given(arrays(np.int64, 15, elements=st.integers(0, 3)))
def test_integer_weights_equal_repetition(weights):
    weights[0] = 1
    y = np.linspace(0, 1, 15) ** 2
    weighted = TargetKernelSampler(0.3).fit(y, sample_weight=weights)
    repeated = TargetKernelSampler(0.3).fit(np.repeat(y, weights))
    expected = np.zeros(15)
    np.add.at(expected, np.repeat(np.arange(15), weights), repeated.probabilities(0))
    np.testing.assert_allclose(weighted.probabilities(0), expected, atol=ROUNDING)
    assert weighted.target_scale_ == pytest.approx(repeated.target_scale_)


def test_rows_without_weight_are_never_partners(rng):
    y, weights = rng.normal(size=300), np.repeat([0.0, 1e-9, 1.0], 100)
    for labels in (y, np.column_stack([y, y])):
        partners = sample_partners(labels, sample_weight=weights, random_state=0)
        assert (weights[partners] > 0).all()


def test_groups_never_mix(rng):
    y, groups = rng.normal(size=500), rng.integers(0, 40, 500)
    for options in (dict(), dict(max_neighbors=3), dict(metric="input")):
        partners = sample_partners(
            y, X=y[:, None] ** 2, groups=groups, random_state=0, **options
        )
        np.testing.assert_array_equal(groups[partners], groups)


def test_a_row_without_any_candidate_is_its_own_partner():
    y, groups = [0.0, 1.0, 2.0], ["a", "b", "b"]
    assert sample_partners([3.0], random_state=0).tolist() == [0]
    assert sample_partners([3.0], exclude_self=True).tolist() == [0]
    partners = sample_partners(y, groups=groups, exclude_self=True, random_state=0)
    assert partners.tolist() == [0, 2, 1]
    sampler = TargetKernelSampler(0.1, kernel="tophat", exclude_self=True).fit(y)
    assert sampler.sample().tolist() == [0, 1, 2]
    assert sampler.probabilities(1).tolist() == [0, 1, 0]


def test_a_constant_target_has_scale_one_and_uniform_partners():
    sampler = TargetKernelSampler(0.1).fit(np.full(8, 7.3))
    assert sampler.target_scale_ == 1.0
    np.testing.assert_allclose(sampler.probabilities(2), 1 / 8)


def test_the_scale_is_the_weighted_standard_deviation_even_of_huge_labels(rng):
    Y, weights = rng.normal(size=(50, 2)) * [1e200, 1e-3], rng.uniform(size=50)
    scale = TargetKernelSampler().fit(Y, sample_weight=weights).target_scale_
    unit = Y / [1e200, 1e-3]
    mean = np.average(unit, axis=0, weights=weights)
    expected = np.sqrt(np.average((unit - mean) ** 2, axis=0, weights=weights))
    np.testing.assert_allclose(scale, expected * [1e200, 1e-3])


@pytest.mark.kernel
@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e200, 1e300])
@pytest.mark.parametrize("options", [{}, {"metric": "input"}, {"max_neighbors": 9}])
def test_scales_of_labels_inputs_and_weights_do_not_matter(rng, scale, options):
    y, weights = np.round(rng.normal(size=20), 1), rng.integers(0, 4, 20)
    options = {**options, "standardize_target": True, "bandwidth": 0.3}
    before = TargetKernelSampler(**options).fit(y, X=y[:, None], sample_weight=weights)
    after = TargetKernelSampler(**options, input_bandwidth=0.3 * scale)
    after.fit(y * scale, X=y[:, None] * scale, sample_weight=weights * scale)
    digits = 0.05 if scale < 1e-300 else 1e-9  # numbers below 1e-308 have few
    np.testing.assert_allclose(
        after.probabilities(1), before.probabilities(1), atol=digits
    )
    drawn = after.sample(np.full(N_DRAWS, 1), random_state=0)
    assert_follows(drawn, after.probabilities(1))


def test_labels_too_far_apart_for_a_float_are_refused():
    with pytest.raises(ValueError, match="y has values further apart"):
        sample_partners([1.7e308, -1.7e308])


def test_rows_without_weight_have_no_say_in_the_scale(rng):
    y = rng.normal(size=50)
    with_outlier = TargetKernelSampler().fit(
        np.r_[1e100, y], sample_weight=np.r_[0.0, np.ones(50)]
    )
    np.testing.assert_allclose(with_outlier.target_scale_, y.std())
    np.testing.assert_allclose(
        with_outlier.probabilities(1)[1:], TargetKernelSampler().fit(y).probabilities(0)
    )


@pytest.mark.parametrize("options", [{}, {"metric": "input"}, {"max_neighbors": 9}])
def test_parameters_set_after_fit_wait_for_the_next(rng, options):
    y = rng.normal(size=30)
    sampler = TargetKernelSampler(0.3, **options).fit(y, X=y[:, None])
    before = sampler.probabilities(4)
    sampler.exclude_self, sampler.kernel, sampler.max_neighbors = True, "tophat", 2
    np.testing.assert_array_equal(sampler.probabilities(4), before)
    assert_follows(sampler.sample(np.full(N_DRAWS, 4), random_state=0), before)


def test_views_with_negative_strides_are_taken(rng):
    y, rows, weights = rng.normal(size=(3, 40))
    rows, weights = np.argsort(rows), np.abs(weights)
    for options in ({}, {"metric": "input"}, {"max_neighbors": 5}):
        views = sample_partners(
            y[::-1], rows[::-1], X=y[::-1, None], sample_weight=weights[::-1],
            groups=(rows % 2)[::-1], random_state=0, **options,
        )  # fmt: skip
        y_copy, rows_copy, weights_copy = (a[::-1].copy() for a in (y, rows, weights))
        copies = sample_partners(
            y_copy, rows_copy, X=y_copy[:, None], sample_weight=weights_copy,
            groups=rows_copy % 2, random_state=0, **options,
        )  # fmt: skip
        np.testing.assert_array_equal(views, copies)


@pytest.mark.kernel
def test_many_neighbours_are_all_rows(rng):
    Y = rng.normal(size=(60, 2))
    exact = TargetKernelSampler(0.5, exclude_self=True).fit(Y)
    near = TargetKernelSampler(0.5, exclude_self=True, max_neighbors=60).fit(Y)
    np.testing.assert_allclose(
        near.probabilities(4), exact.probabilities(4), atol=ROUNDING
    )
    draws = near.sample(np.full(N_DRAWS, 4), random_state=0)
    assert_follows(draws, exact.probabilities(4))


def test_few_neighbours_are_the_nearest(rng):
    Y = rng.normal(size=(60, 2))
    sampler = TargetKernelSampler(max_neighbors=5, standardize_target=False).fit(Y)
    draws = sampler.sample(np.full(2000, 7), random_state=0)
    nearest = np.argsort(((Y - Y[7]) ** 2).sum(1))[:5]
    assert set(draws) <= set(nearest)
    assert_follows(draws, sampler.probabilities(7))


def test_neighbours_are_near_by_the_kernels_that_fall_off(rng):
    X, y = rng.normal(size=(60, 2)), rng.normal(size=60)
    options = dict(max_neighbors=5, input_bandwidth=0.5)
    both = TargetKernelSampler(np.inf, metric="target_and_input", **options)
    inputs = TargetKernelSampler(metric="input", **options).fit(y, X=X)
    np.testing.assert_allclose(
        both.fit(y, X=X).probabilities(3), inputs.probabilities(3), atol=ROUNDING
    )


@pytest.mark.kernel
@pytest.mark.parametrize("route", ROUTES)
def test_results_do_not_depend_on_threads_nor_on_the_batch(route):
    rows = make_rows()
    sampler = fitted(ROUTES[route], rows, 0.3, ("weights", "groups"))
    indices = np.random.default_rng(0).integers(0, N_ROWS, 3000)
    one, two = (sampler.sample(indices, random_state=0, n_threads=k) for k in (1, 2))
    np.testing.assert_array_equal(one, two)
    seen_alone = sampler.sample(indices[:700], random_state=0)
    np.testing.assert_array_equal(one[:700], seen_alone)


@pytest.mark.parametrize("use", [(), ("weights", "groups")])
@pytest.mark.parametrize("route", ROUTES)
def test_tensors_of_labels_get_tensors_of_the_same_partners(route, use):
    rows = make_rows()
    ours = fitted(ROUTES[route], rows, 0.3, use)
    theirs = fitted(ROUTES[route], rows, 0.3, use, torch.as_tensor)
    drawn = theirs.sample(torch.arange(N_ROWS), random_state=5)
    assert isinstance(drawn, torch.Tensor)
    expected = ours.sample(np.arange(N_ROWS), random_state=5)
    np.testing.assert_array_equal(drawn.numpy(), expected)


def test_memory_is_below_a_hundred_bytes_a_row(rng):
    n = 200_000
    y = rng.normal(size=n)
    tracemalloc.start()
    TargetKernelSampler().fit(y).sample(random_state=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * n


@pytest.mark.kernel
def test_small_blocks_draw_from_the_same_distribution(monkeypatch):
    for name in ("CANDIDATE_BLOCK", "QUERY_CHUNK", "BLOCK_SIZE"):
        monkeypatch.setattr(_partner_draws, name, 7)
    rows = make_rows()
    options = ROUTES["both"]
    sampler = fitted(options, rows, 0.3, ("weights", "groups"))
    expected = expected_for(options, rows, 0.3, ("weights", "groups"))
    draws = sampler.sample(np.full(N_DRAWS, 5), random_state=0)
    assert_follows(draws, expected[5])


@pytest.mark.kernel
def test_sparse_inputs_equal_dense_ones(rng):
    X = rng.normal(size=(50, 6)) * (rng.uniform(size=(50, 6)) < 0.3)
    options = dict(metric="input", random_state=0)
    np.testing.assert_array_equal(
        sample_partners(X[:, 0], X=sparse.csr_array(X), **options),
        sample_partners(X[:, 0], X=X, **options),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(bandwidth=0.0), "'bandwidth' parameter"),
        (dict(bandwidth=-1.0), "'bandwidth' parameter"),
        (dict(bandwidth=np.nan), "'bandwidth' parameter"),
        (dict(kernel="box"), "'kernel' parameter"),
        (dict(metric="output"), "'metric' parameter"),
        (dict(max_neighbors=0), "'max_neighbors' parameter"),
        (dict(metric="input"), "metric='input' needs X, got None"),
        (dict(bandwidth=1e-200), "bandwidth=1e-200 is too small"),
        (dict(sample_weight=[1.0, -1.0, 1.0]), "[Nn]egative"),
        (dict(sample_weight=[0.0, 0.0, 0.0]), "at least one non-zero"),
        (dict(groups=[1, 2]), "inconsistent numbers of samples"),
        (dict(indices=[0, 3]), "row numbers from 0 to 2"),
        (dict(indices=[0.5]), "row numbers from 0 to 2"),
    ],
)
def test_bad_input_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        sample_partners([0.0, 1.0, 2.0], **options)


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ([[1], [2], [3]], ValueError, r"groups must be one-dimensional, got shape"),
        ([1.0, np.nan, 2.0], ValueError, "Input groups contains NaN"),
        (["a", None, "b"], TypeError, "groups must be numbers or strings"),
    ],
)
def test_groups_must_name_one_group_a_row(groups, error, message):
    with pytest.raises(error, match=message):
        sample_partners([0.0, 1.0, 2.0], groups=np.array(groups))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("to", [np.asarray, torch.as_tensor])
def test_labels_must_be_finite(bad, to):
    with pytest.raises(ValueError, match="Input y contains"):
        sample_partners(to(np.array([0.0, bad, 2.0])))


def test_an_unfitted_sampler_says_so():
    with pytest.raises(ValueError, match="not fitted"):
        TargetKernelSampler().sample()


def test_read_only_input_and_pickles_work(rng):
    y = rng.normal(size=100)
    y.setflags(write=False)
    sampler = TargetKernelSampler().fit(y)
    copy = pickle.loads(pickle.dumps(sampler))
    np.testing.assert_array_equal(
        copy.sample(random_state=0), sampler.sample(random_state=0)
    )
    assert repr(copy).startswith("TargetKernelSampler(bandwidth=0.5")


def test_no_draw_and_no_matrix_at_scale(rng):
    """A dense route would need 80 GB here."""
    y = rng.normal(size=100_000)
    sampler = TargetKernelSampler(0.05).fit(y)
    partners = sampler.sample(random_state=0)
    distance = (y[partners] - y) / y.std() / 0.05
    # labels hardly change over a bandwidth, so distances are normal themselves
    assert np.std(distance) == pytest.approx(1.0, abs=0.02)
    assert len(sampler.sample([])) == 0
