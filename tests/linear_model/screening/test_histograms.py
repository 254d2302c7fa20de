import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from minimalml.linear_model._screening._histograms import linear_binning_2d
from scipy.special import rel_entr, xlogy

from minimalml.linear_model import birge_rozenholc_bins, mutual_information_scores
from minimalml.linear_model._screening import _screening
from minimalml.linear_model._screening._binning import (
    MOST_BINS,
    Histograms,
    all_edges,
    to_unit_interval,
)
from minimalml.linear_model._screening._density import (
    axes,
    grid_information,
    joint_mass,
)

pytestmark = pytest.mark.kernel


def penalised_likelihoods(x):
    """Return the criterion for each number of bins, as the paper states it."""
    values = {}
    for n_bins in range(2, MOST_BINS + 1):
        counts, _ = np.histogram(x, n_bins)
        penalty = n_bins - 1 + np.log(n_bins) ** 2.5
        fit = xlogy(counts, counts).sum() + len(x) * np.log(n_bins)
        values[n_bins] = fit - penalty
    return values


@given(seed=st.integers(0, 10_000), n=st.integers(2, 400), kind=st.sampled_from("nuce"))
def test_bins_maximise_the_criterion(seed, n, kind):
    rng = np.random.default_rng(seed)
    draw = {"n": rng.normal, "u": rng.uniform, "c": rng.standard_cauchy,
            "e": rng.exponential}[kind]  # fmt: skip
    x = draw(size=n)
    values = penalised_likelihoods(x)
    n_bins = birge_rozenholc_bins(x)
    assert values[n_bins] == pytest.approx(max(values.values()), abs=1e-9)


def test_bins_hold_their_left_edge_and_the_last_its_right_one(rng):
    # edges of all histograms of up to 12 bins, and numbers between
    edges = np.unique([j / b for b in range(1, 13) for j in range(b + 1)])
    x = rng.choice(np.r_[edges, rng.uniform(size=50)], size=300)
    x[:2] = 0, 1
    cells, _ = Histograms(len(x)).choose(x[None])
    for n_bins in range(1, MOST_BINS + 1):
        own = np.arange(1, n_bins) / n_bins
        expected = np.searchsorted(own, x, side="right")
        found = all_edges().bin_of_cell[n_bins, cells[0]]
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("x", [[5.0], [0.1] * 40, np.full(3, -1e308)])
def test_equal_numbers_have_one_bin(x):
    assert birge_rozenholc_bins(x) == 1


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ([], "0 sample"),
        ([[1.0, 2.0]], "1d array"),
        ([1.0, np.nan], "x contains NaN"),
        (["a", "b"], "could not convert"),
    ],
)
def test_what_is_no_list_of_numbers_is_refused(x, words):
    with pytest.raises(ValueError, match=words):
        birge_rozenholc_bins(x)


@given(seed=st.integers(0, 10_000), size=st.integers(2, 20))
def test_points_are_shared_out_by_their_distance_to_nodes(seed, size):
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, size - 1, size=(2, 30))
    places[:, 0], places[:, 1] = 0, size - 1
    grid = np.zeros((size, size))
    places.flags.writeable = False
    linear_binning_2d(*places, grid)
    shares = np.maximum(1 - np.abs(places[:, :, None] - np.arange(size)), 0)
    np.testing.assert_allclose(grid, shares[0].T @ shares[1], atol=1e-12)


@pytest.mark.parametrize(
    ("grid_size", "tolerance"), [(64, 2e-2), (128, 6e-3), (256, 3e-3)]
)
def test_the_grid_holds_the_density_of_the_kernels(rng, grid_size, tolerance):
    x = rng.normal(size=300)
    columns = to_unit_interval(np.stack([x, x**2 + 0.5 * rng.normal(size=300)]))
    first, second = axes(columns, grid_size)
    mass = joint_mass(first, second, grid_size)
    assert mass.sum() == pytest.approx(1)
    nodes = np.arange(grid_size)
    distances = [
        # the second entry is the squared distance of two nodes next to each other
        (axis.places[:, None] - nodes) ** 2 * axis.distances[1]
        for axis in (first, second)
    ]
    kernels = 1 - distances[0][:, :, None] - distances[1][:, None]
    density = np.maximum(kernels, 0).sum(axis=0)
    density /= density.sum()
    assert np.abs(mass - density).max() <= tolerance * density.max()
    expected = rel_entr(density, np.outer(density.sum(axis=1), density.sum(axis=0)))
    assert grid_information(mass) == pytest.approx(expected.sum(), rel=2 * tolerance)


@pytest.mark.parametrize("draw", ["uniform", "laplace", "mostly equal"])
def test_bandwidths_follow_silverman_in_the_units_of_the_data(rng, draw):
    x = rng.normal(size=300)
    if draw == "mostly equal":
        x[:250] = 0
    else:
        x = getattr(rng, draw)(size=300)
    x = 7 * x + 2
    [axis] = axes(to_unit_interval(x[None]), 128)
    low, high = np.percentile(x, [25, 75])
    spreads = [x.std(ddof=1), (high - low) / 1.349]
    assert np.argmin(spreads) == (draw != "uniform")
    spread = min(spreads) or spreads[0]
    support = np.sqrt(5) * spread * (0.75 * 300) ** -0.2
    grid = np.linspace(x.min() - 1.05 * support, x.max() + 1.05 * support, 128)
    step = grid[1] - grid[0]
    np.testing.assert_allclose(axis.places, (x - grid[0]) / step, atol=1e-9)
    np.testing.assert_allclose(axis.distances[1], (step / support) ** 2)


def test_nothing_is_smoothed_around_the_ends_of_the_grid():
    # all points in two opposite corners: no mass may come out in the others
    columns = to_unit_interval(np.array([[0.0] * 20 + [1.0] * 20] * 2))
    for grid_size in (8, 9, 15, 64):
        mass = joint_mass(*axes(columns, grid_size), grid_size)
        half = grid_size // 2
        density = mass[: half - 1, -half + 1 :]
        assert mass[:half, :half].sum() == pytest.approx(0.5, abs=0.1)
        assert density[: half // 2, -(half // 2) :].max(initial=0) < 1e-15


@pytest.mark.parametrize("method", ["kde", "binning"])
def test_threads_change_no_bit(rng, method, monkeypatch):
    X = rng.normal(size=(60, 150))
    monkeypatch.setattr(_screening, "SECONDS_PER_CHUNK", 0)  # many chunks
    scores = []
    for n_threads in (1, 4):
        monkeypatch.setattr(
            _screening, "effective_n_threads", lambda *_, n=n_threads: n
        )
        scores.append(mutual_information_scores(X, X[:, 0] ** 2, method=method))
    np.testing.assert_array_equal(*scores)
