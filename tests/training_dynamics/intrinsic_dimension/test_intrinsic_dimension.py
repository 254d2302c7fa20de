"""The search on scores that are known, and the bound beside its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.training_dynamics import (
    IntrinsicDimension,
    SubspaceClassifier,
    generalization_bound,
)
from minimalml.training_dynamics._intrinsic_dimension._subspace_module import (
    TooFewDimensionsError,
)


class KnownScore(ClassifierMixin, BaseEstimator):
    """Scores ``best`` from ``step`` dimensions on, with some noise."""

    def __init__(self, step=10, best=1.0, noise=0.0, n_layers=0, dimension=5,
                 random_state=None):  # fmt: skip
        self.step, self.best, self.noise, self.n_layers = step, best, noise, n_layers
        self.dimension, self.random_state = dimension, random_state

    def fit(self, X, y, sample_weight=None):
        if self.dimension is not None and self.dimension <= self.n_layers:
            raise TooFewDimensionsError("too few")
        self.classes_, self.n_features_in_ = np.unique(y), X.shape[1]
        self.n_full_parameters_, self.weight_ = 1000, sample_weight
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

    def score(self, X, y):
        is_enough = self.dimension is None or self.dimension >= self.step
        rng = np.random.default_rng([self.random_state, self.dimension or 0])
        return self.best * (1.0 if is_enough else 0.5) + self.noise * rng.normal()


X, Y = load_iris(return_X_y=True)


@given(
    step=st.integers(1, 1000),
    growth=st.floats(1.05, 8),
    resolution=st.floats(0, 0.5),
    first=st.integers(1, 50),
)
def test_a_step_is_found_within_the_resolution(step, growth, resolution, first):
    search = IntrinsicDimension(
        KnownScore(step), growth=growth, resolution=resolution, min_dimension=first,
        n_repeats=1, random_state=0,
    ).fit(X, Y)  # fmt: skip
    found, tried = search.dimension_, search.results_["dimension"]
    assert found == first or step <= found <= max(step, step * (1 + resolution))
    assert found >= step and found in tried
    assert len(np.unique(tried)) == len(tried) and tried.max() <= 1000
    assert search.best_estimator_.dimension == found


@given(seed=st.integers(0, 10**6), noise=st.sampled_from([0.1, 0.4]))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_isotonic_fit_crosses_the_target_there(seed, noise):
    search = IntrinsicDimension(
        KnownScore(40, noise=noise), random_state=seed, baseline=1.0, max_dimension=300
    ).fit(X, Y)
    d, score = search.results_["dimension"], search.results_["score"]
    fitted = IsotonicRegression().fit(np.log(d), score).predict(np.log(d))
    enough = d[fitted >= search.target_score_ - 1e-12]
    assert search.dimension_ == min(enough, default=np.inf)


def test_runs_are_kept_by_dimension_repeat_and_split():
    search = IntrinsicDimension(
        KnownScore(5), n_repeats=2, cv=3, threshold=0.8, random_state=0
    ).fit(X, Y)
    results = search.results_
    assert set(results) == {"dimension", "repeat", "split", "score", "fit_time"}
    counts = np.unique(results["dimension"], return_counts=True)[1]
    assert (counts == 6).all() and results["split"].max() == 2
    assert search.baseline_score_ == 1.0 and search.target_score_ == 0.8
    assert search.n_full_parameters_ == 1000
    assert search.best_estimator_.random_state is not None
    assert search.set_params(cv=KFold(2)).fit(X, Y).dimension_ == 5
    weights = np.arange(150.0)
    search.fit(X, Y, sample_weight=weights)
    np.testing.assert_array_equal(search.best_estimator_.weight_, weights)


def test_a_target_that_is_never_reached_is_told():
    search = IntrinsicDimension(KnownScore(500), max_dimension=100, random_state=0)
    with pytest.warns(
        ConvergenceWarning, match="no dimension up to 100 reached the target score, 0.9"
    ):
        search.fit(X, Y)
    assert search.dimension_ == np.inf
    assert search.best_estimator_.dimension == 100
    with pytest.warns(ConvergenceWarning):
        search.set_params(estimator=KnownScore(5000), max_dimension=None).fit(X, Y)
    assert search.best_estimator_.dimension == 1000


def test_dimensions_that_layers_use_up_fail_without_a_run():
    search = IntrinsicDimension(KnownScore(3, n_layers=7), random_state=0, baseline=1.0)
    search.fit(X, Y)
    assert search.dimension_ == search.results_["dimension"].min() == 8


def test_rows_that_cannot_be_held_out_by_class_are_scored_in_training():
    y = np.r_[0, 1, np.full(148, 2)]
    with pytest.warns(UserWarning, match="too few to hold out"):
        IntrinsicDimension(KnownScore(), random_state=0).fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (dict(threshold=0.0), "'threshold' parameter"),
        (dict(threshold=1.1), "'threshold' parameter"),
        (dict(growth=1.0), "'growth' parameter"),
        (dict(baseline="whole"), "'baseline' parameter"),
        (dict(baseline=0.0), "baseline score must be above 0, got 0.0.*not defined"),
        (dict(estimator=KnownScore(best=-1.0)), "pass baseline or scoring"),
        (dict(min_dimension=9, max_dimension=8), "min_dimension=9 is above max_dimension=8"),
        (dict(estimator=KNeighborsClassifier()), "Invalid parameter 'dimension'"),
    ],
)  # fmt: skip
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        IntrinsicDimension(**dict(estimator=KnownScore()) | parameters).fit(X, Y)


def test_iris_needs_few_of_its_networks_weights():
    pytest.importorskip("torch")
    model = SubspaceClassifier(
        hidden_layer_sizes=(16,),
        max_epochs=20,
        batch_size=20,
        structure_aware=True,
        device="cpu",
    )
    search = IntrinsicDimension(model, n_repeats=1, resolution=1.0, random_state=0)
    pipeline = make_pipeline(StandardScaler(), search).fit(X, Y)
    again = clone(pipeline).fit(X, Y)
    assert 4 < search.dimension_ < search.n_full_parameters_ / 3 < 100
    np.testing.assert_array_equal(again.predict_proba(X), pipeline.predict_proba(X))
    assert pipeline.score(X, Y) > 0.8


@given(
    error=st.floats(0, 1),
    n=st.integers(1, 10**6),
    d=st.integers(1, 10**4),
    bits=st.integers(1, 32),
)
def test_bounds_are_ordered_and_monotone(error, n, d, bits):
    finite = generalization_bound(error, n, d, bits=bits, kind="finite")
    kl = generalization_bound(error, n, d, bits=bits)
    assert error <= kl <= finite + 1e-9 and finite <= 1
    for kind, bound in (("finite", finite), ("kl", kl)):
        assert generalization_bound(error, 2 * n, d, bits=bits, kind=kind) <= bound
        assert generalization_bound(error, n, d + 1, bits=bits, kind=kind) >= bound
        assert generalization_bound(error, n, d, bits=bits + 1, kind=kind) >= bound


def test_bounds_are_those_of_their_definitions():
    error, n, d, bits, delta = 0.03, 50_000, 300, 6, 0.01
    # 300 is between 2^8 and 2^9, 6 between 2^2 and 2^3
    nats = (d * bits + 32 + 17 + 5) * np.log(2) + np.log(1 / delta)
    options = dict(bits=bits, delta=delta)
    finite = generalization_bound(error, n, d, kind="finite", **options)
    assert finite == pytest.approx(error + np.sqrt(nats / (2 * n)))

    def excess(p):
        divergence = error * np.log(error / p)
        divergence += (1 - error) * np.log((1 - error) / (1 - p))
        return divergence - nats / n

    expected = brentq(excess, error, 1 - 1e-12, xtol=1e-12)
    assert generalization_bound(error, n, d, **options) == pytest.approx(
        expected, abs=2e-10
    )


@pytest.mark.parametrize(
    "parameters",
    [dict(train_error=1.5), dict(train_error=np.nan), dict(n_samples=0),
     dict(dimension=0), dict(bits=0), dict(delta=0.0), dict(kind="pac")],
)  # fmt: skip
def test_bounds_of_nonsense_are_refused(parameters):
    values = dict(train_error=0.1, n_samples=10, dimension=2) | parameters
    with pytest.raises(ValueError, match=f"'{next(iter(parameters))}' parameter"):
        generalization_bound(**values)
