"""Laws beside curve_fit, brute-force profiles and their own symmetries; and the search."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import OptimizeWarning, curve_fit, least_squares
from scipy.stats import f as f_distribution
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from minimalml.ensemble import LocallyOptimalSearchCV, ScalingLawRegressor
from minimalml.ensemble._infinite_compute._locally_optimal_search import climb

seeds = st.integers(0, 10**6)
QUIET = pytest.mark.filterwarnings("ignore::UserWarning")
RECOVERED = 1e-6  # of noiseless laws, on any scale


def draw(seed, n=7, noise=0.02):
    """Return x, y of a noisy law."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(1, 50, n))
    y = rng.uniform(1, 3) + rng.uniform(0.3, 2) * x ** -rng.uniform(0.2, 2)
    return x[:, None], y + noise * rng.normal(size=n)


def law_of(x, asymptote, coefficient, exponent):
    return asymptote + coefficient * x[:, 0] ** -exponent


@QUIET
@given(seed=seeds, exponent=st.floats(0.05, 3), rising=st.booleans())
def test_a_law_without_noise_is_recovered_on_any_scale(seed, exponent, rising):
    rng = np.random.default_rng(seed)
    x = np.geomspace(1, 1000, 7)[:, None] * 10 ** rng.uniform(-12, 12)
    size = 10 ** rng.uniform(-80, 80)
    asymptote, coefficient = rng.uniform(0.1, 10), rng.uniform(0.2, 5)
    coefficient *= x[0, 0] ** exponent * (-1 if rising else 1)
    law = ScalingLawRegressor(increasing=rising)
    law.fit(x, size * law_of(x, asymptote, coefficient, exponent))
    assert law.asymptote_ / size == pytest.approx(asymptote, rel=RECOVERED)
    assert law.exponent_[0] == pytest.approx(exponent, rel=RECOVERED)
    assert law.coefficient_[0] / size == pytest.approx(abs(coefficient), rel=RECOVERED)
    assert law.interval_ == pytest.approx([law.asymptote_] * 2, rel=RECOVERED)


def test_the_papers_law_is_read_off_four_rounded_losses():
    x = np.array([[0.15], [0.3], [0.6], [1.4]])
    law = ScalingLawRegressor().fit(x, np.round(law_of(x, 3.43, 0.05, 1.02), 3))
    assert law.asymptote_ == pytest.approx(3.429, abs=5e-4)
    assert law.exponent_ == pytest.approx([1.012], abs=5e-4)
    assert law.interval_ == pytest.approx([3.425, 3.433], abs=5e-4)
    assert law.identifiable_


@QUIET
@pytest.mark.parametrize(("seed", "lowered"), [(0, 0), (1, 0), (2, 1.3)])
def test_no_start_of_curve_fit_fits_better(seed, lowered):
    x, y = draw(seed, noise=0.1)
    y -= lowered * y.min()  # the best asymptote is then 0
    ours = np.sum((ScalingLawRegressor().fit(x, y).predict(x) - y) ** 2)
    rng, best = np.random.default_rng(seed), np.inf
    bounds = ([0, 0.01, 0], [np.inf, 10, np.inf])
    for _ in range(20):
        start = rng.uniform([0, 0.01, 0], [3, 3, 3])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)
            found, _ = curve_fit(
                lambda x, A, a, E: E + A * x**-a, x[:, 0], y, p0=start,
                bounds=bounds, maxfev=5000,
            )  # fmt: skip
        A, a, E = found
        best = min(best, np.sum((law_of(x, E, A, a) - y) ** 2))
    assert ours <= best + 1e-9 * np.sum((y - y.mean()) ** 2)


@QUIET
@given(seed=seeds, rising=st.booleans(), exponent=st.sampled_from([None, 1.0]))
def test_interval_is_where_a_brute_force_profile_meets_the_limit(
    seed, rising, exponent
):
    x, y = draw(seed, noise=0.05)
    y = 5 - y if rising else y
    law = ScalingLawRegressor(increasing=rising, exponent=exponent).fit(x, y)
    n_free = 2 if exponent else 3
    quantile = f_distribution.ppf(0.95, 1, len(y) - n_free)
    limit = np.sum((law.predict(x) - y) ** 2) * (1 + quantile / (len(y) - n_free))
    tried = np.array([exponent]) if exponent else np.geomspace(0.01, 10, 4000)
    basis = x[:, 0] ** -tried[:, None]
    sign = -1 if rising else 1
    for end in law.interval_:
        if np.isfinite(end) and (rising or end > 0):
            target = sign * (y - end)
            slope = np.maximum((basis @ target) / (basis**2).sum(axis=1), 0)
            errors = ((target - slope[:, None] * basis) ** 2).sum(axis=1)
            assert errors.min() == pytest.approx(limit, rel=1e-3)
    assert law.interval_[0] <= law.asymptote_ <= law.interval_[1]


@QUIET
@pytest.mark.parametrize(
    ("asymptote", "coefficient", "exponent", "x", "low", "high"),
    [(1, 1, 0.5, (1, 100), 0.88, 1), (1.5, 2, 0.3, (1, 100), 0.88, 1),
     (3.43, 0.05, 1.02, (0.1, 10), 0.93, 1)],
)  # fmt: skip
def test_intervals_cover_the_asymptote(
    rng, asymptote, coefficient, exponent, x, low, high
):
    x = np.geomspace(*x, 6)[:, None]
    mean = law_of(x, asymptote, coefficient, exponent)
    noise = 0.01 * (mean - asymptote if exponent > 1 else mean)
    covered = []
    for _ in range(100):
        y = mean + noise * rng.normal(size=6)
        lower, upper = ScalingLawRegressor().fit(x, y).interval_
        covered.append(lower <= asymptote <= upper)
    assert low <= np.mean(covered) <= high


@QUIET
@given(seed=seeds, factor=st.floats(1e-3, 1e3), shift=st.floats(0, 5))
def test_scales_and_shifts_move_the_law_with_them(seed, factor, shift):
    x, y = draw(seed)
    law = ScalingLawRegressor().fit(x, y)
    other = ScalingLawRegressor().fit(factor * x, y)
    assert other.asymptote_ == pytest.approx(law.asymptote_, abs=1e-5)
    if law.asymptote_ > 0:
        moved = ScalingLawRegressor().fit(x, 2 * y + shift)
        assert moved.asymptote_ == pytest.approx(2 * law.asymptote_ + shift, abs=1e-4)
    order = np.random.default_rng(seed).permutation(len(y))
    mixed = ScalingLawRegressor().fit(x[order], y[order])
    assert mixed.asymptote_ == pytest.approx(law.asymptote_, abs=1e-5)
    weights = np.random.default_rng(seed).integers(0, 3, len(y))
    weights[:4] += 1
    weighted = ScalingLawRegressor(interval=None).fit(x, y, weights)
    repeated = ScalingLawRegressor(interval=None).fit(
        np.repeat(x, weights, axis=0), np.repeat(y, weights)
    )
    assert weighted.asymptote_ == pytest.approx(repeated.asymptote_, abs=1e-5)


@QUIET
@given(seed=seeds)
def test_inverse_undoes_predict_and_efficiency_is_a_ratio(seed):
    x, y = draw(seed)
    law = ScalingLawRegressor().fit(x, y)
    if law.coefficient_[0] == 0:
        return
    losses = law.predict(x)
    seen = losses - law.asymptote_ > 1e-8 * law.asymptote_
    np.testing.assert_allclose(law.inverse(losses)[seen], x[seen, 0], rtol=1e-6)
    a, b, c = law.asymptote_ + np.array([0.1, 0.2, 0.3])
    assert law.efficiency(a, a) == pytest.approx(1)
    product = law.efficiency(a, b) * law.efficiency(b, c)
    assert product == pytest.approx(law.efficiency(a, c))
    assert law.inverse(law.asymptote_) == np.inf
    assert np.isnan(law.efficiency(0.0, 0.0))


def test_several_terms_are_recovered(rng):
    x = rng.uniform(1, 100, size=(30, 2))
    y = 1.7 + 2 * x[:, 0] ** -0.34 + 3 * x[:, 1] ** -0.8
    law = ScalingLawRegressor().fit(x, y)
    assert law.asymptote_ == pytest.approx(1.7, rel=RECOVERED)
    np.testing.assert_allclose(law.exponent_, [0.34, 0.8], rtol=RECOVERED)
    rising = ScalingLawRegressor(increasing=True, asymptote=-1.7).fit(x, -y)
    np.testing.assert_allclose(rising.coefficient_, [2, 3], rtol=RECOVERED)
    with pytest.raises(ValueError, match="inverse needs a law of one column, got 2"):
        law.inverse(2.0)


@QUIET
def test_log_huber_is_scipys_and_withstands_an_outlier(rng):
    x = np.geomspace(1, 1000, 9)[:, None]
    y = law_of(x, 2.0, 3.0, 0.6)
    y[4] *= 1.3
    law = ScalingLawRegressor(loss="log_huber").fit(x, y)
    assert law.asymptote_ == pytest.approx(2, rel=1e-3)
    assert np.isnan(law.interval_).all()
    y *= np.exp(0.01 * rng.normal(size=9))

    def residual(theta):
        return (np.log(law_of(x, theta[2], theta[0], theta[1])) - np.log(y)) / 1e-3

    ours = ScalingLawRegressor(loss="log_huber").fit(x, y)
    found = [
        least_squares(residual, start, loss="huber", bounds=([0, 0.01, 0], np.inf))
        for start in ([3, 0.6, 2], [1, 0.3, 1], [5, 1, 2.5])
    ]
    z = residual([ours.coefficient_[0], ours.exponent_[0], ours.asymptote_]) ** 2
    cost = 0.5 * np.where(z <= 1, z, 2 * np.sqrt(z) - 1).sum()
    assert cost <= min(one.cost for one in found) * (1 + 1e-6)


def test_bootstrap_draws_residuals_or_rows_of_one_x(rng):
    x = np.geomspace(1, 100, 8)[:, None]
    y = law_of(x, 1.0, 1.0, 0.8) + 0.005 * rng.normal(size=8)
    options = dict(interval="bootstrap", random_state=0)
    for rows in (np.arange(8), np.repeat(np.arange(8), 3)):
        noisy = y[rows] + 0.002 * rng.normal(size=len(rows))
        law = ScalingLawRegressor(**options).fit(x[rows], noisy)
        assert law.interval_[0] < law.asymptote_ < law.interval_[1]
        assert np.ptp(law.interval_) < 0.3
        again = ScalingLawRegressor(**options).fit(x[rows], noisy)
        assert again.interval_ == law.interval_


def test_what_the_points_do_not_show_is_told(rng):
    x = np.geomspace(1, 1000, 8)[:, None]
    with pytest.warns(UserWarning, match="not identifiable"):
        law = ScalingLawRegressor().fit(x, 110 - 0.3 * np.log(x[:, 0]))
    assert law.interval_[0] == 0 and not law.identifiable_
    with pytest.warns(UserWarning, match="not identifiable"):
        law = ScalingLawRegressor(increasing=True).fit(x, np.log(x[:, 0]))
    assert law.interval_[1] == np.inf
    with pytest.warns(UserWarning, match="y does not fall with X: the law is the con"):
        law = ScalingLawRegressor().fit(x, np.arange(8.0))
    assert law.asymptote_ == 3.5 and np.isnan(law.exponent_[0])
    assert np.isnan(law.inverse(4.0)) and not law.identifiable_
    with pytest.warns(UserWarning, match="y does not fall"):
        ScalingLawRegressor().fit(x, np.full(8, 0.1))
    with pytest.warns(UserWarning, match="needs over 3 rows .*, got 3"):
        law = ScalingLawRegressor().fit(x[:3], [3.0, 2.0, 1.5])
    assert np.isnan(law.interval_).all()
    known = ScalingLawRegressor(asymptote=0.5).fit(x[:2], [3.0, 2.0])
    assert known.interval_ == (0.5, 0.5)
    np.testing.assert_allclose(known.predict(x[:2]), [3, 2])


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({}, dict(X=[[0.0], [1], [2], [3]]), "Negative values in data: X must be > 0"),
        ({}, dict(X=[[np.nan], [1], [2], [3]]), "X contains NaN"),
        ({}, dict(y=[np.nan, 1, 2, 3]), "y contains NaN"),
        ({}, dict(X=[[1], [1], [2], [2]]), "X has 2 distinct x .* set exponent=1.0"),
        (dict(exponent=1.0), dict(X=[[1], [1], [1], [1]]), "X has 1 distinct x"),
        ({}, dict(sample_weight=[0, 0, 0, 0]), "sample_weight .* all zero"),
        (
            {},
            dict(sample_weight=[-1, 1, 1, 1]),
            "Negative values in data passed to `sample_weight`",
        ),
        (dict(delta=0), {}, "'delta' parameter"),
        (dict(confidence=1.0), {}, "'confidence' parameter"),
        (dict(exponent=-1.0), {}, "'exponent' parameter"),
        (dict(asymptote=-1.0), {}, "asymptote must be at least 0 unless increasing"),
        (dict(loss="log_huber"), dict(y=[4, 3, 2, 0]), "y must be above 0 .*, got 0"),
    ],
)
def test_bad_input_of_laws_is_refused(options, change, message):
    given_data = dict(X=[[1.0], [2], [3], [4]], y=[4.0, 3, 2.5, 2]) | change
    with pytest.raises(ValueError, match=message):
        ScalingLawRegressor(**options).fit(**given_data)


def test_a_law_in_a_pipeline_is_searched():
    x, y = draw(0, n=12)
    pipeline = make_pipeline(StandardScaler(with_mean=False), ScalingLawRegressor())
    grid = {"scalinglawregressor__exponent": [0.5, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=KFold(3, shuffle=True, random_state=0))
    assert search.fit(x, y).best_score_ > 0


# --- the search ---


@given(seed=seeds, sizes=st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_the_end_of_a_climb_has_no_better_neighbour(seed, sizes):
    scores = np.random.default_rng(seed).integers(0, 9, sizes).astype(float)
    start = tuple(size // 2 for size in sizes)
    calls = []

    def evaluate(places):
        calls.extend(places)
        return [scores[place] for place in places]

    place, seen, certificate = climb(evaluate, sizes, start)
    assert certificate and len(set(calls)) == len(calls) == len(seen)
    for side in range(len(sizes)):
        for step in (-1, 1):
            other = np.array(place)
            other[side] += step
            if 0 <= other[side] < sizes[side]:
                assert scores[tuple(other)] <= scores[place]
    place, seen, _ = climb(evaluate, sizes, start, 3)
    assert len(seen) <= 3 and scores[place] == max(seen.values())


def test_the_certificate_holds_when_neighbours_are_fitted_again(rng):
    X = rng.normal(size=(80, 4))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    grid = {"svc__C": [0.01, 0.1, 1, 10, 100], "svc__gamma": [0.01, 0.1, 1, 10]}
    pipeline = make_pipeline(StandardScaler(), SVC())
    search = LocallyOptimalSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert search.certificate_ and search.n_evaluations_ <= 20
    assert search.n_evaluations_ == len(search.cv_results_["params"])
    for name, values in grid.items():
        place = values.index(search.best_params_[name])
        around = {name: values[max(place - 1, 0) : place + 2]}
        rest = {k: [v] for k, v in search.best_params_.items() if k != name}
        full = GridSearchCV(pipeline, around | rest, cv=3).fit(X, y)
        assert full.best_score_ == search.best_score_
    assert search.score(X, y) > 0.8


def test_a_search_follows_the_metric_of_refit_and_its_budget(rng):
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    grid = {"alpha": [0.01, 0.1, 1, 10, 100, 1000]}
    options = dict(start={"alpha": 0.01}, scoring=["r2", "neg_max_error"])
    search = LocallyOptimalSearchCV(Ridge(), grid, refit="r2", **options).fit(X, y)
    means = search.cv_results_["mean_test_r2"]
    assert search.best_score_ == means[search.best_index_] == max(means)
    cut = LocallyOptimalSearchCV(
        Ridge(), grid, start={"alpha": 0.01}, max_evaluations=2, scoring="r2"
    ).fit(X, y)
    assert not cut.certificate_ and cut.n_evaluations_ == 2
    lost = LocallyOptimalSearchCV(
        Ridge(), grid, scoring=lambda m, X, y: np.nan if m.alpha == 10 else -m.alpha
    )
    with pytest.warns(UserWarning, match="non-finite"):
        lost.fit(X, y)
    assert lost.best_params_ == {"alpha": 0.01}  # NaN at the start is the worst


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(start={"alpha": 3}), ValueError, "alpha=3, which is not among"),
        (dict(start={"beta": 1}), ValueError, "start must have the parameters"),
        (dict(param_grid={"alpha": []}), ValueError, "non-empty"),
        (dict(param_grid={"beta": [1]}), ValueError, "Invalid parameter 'beta'"),
        (dict(param_grid=[{"alpha": [1]}]), TypeError, "'param_grid' parameter"),
        (dict(cv=KFold(shuffle=True)), ValueError, "same splits at each call"),
        (dict(refit=max), ValueError, "'refit' parameter"),
        (
            dict(refit=False, scoring=["r2", "neg_max_error"]),
            ValueError,
            "refit must name",
        ),
        (dict(param_grid={"alpha": [-1, -2]}), ValueError, "fits failed"),
    ],
)
def test_bad_input_of_searches_is_refused(rng, options, error, message):
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    options = dict(param_grid={"alpha": [1, 2]}) | options
    with pytest.raises(error, match=message):
        LocallyOptimalSearchCV(Ridge(), **options).fit(X, y)
